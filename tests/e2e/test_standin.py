"""A storm on the second Bedrock stand-in (tests/standin), which is written from recordings: every
upload ends Completed, and is run exactly once.

Thirty uploads of two models, and for some 150 s at once: answers of Create that are lost, with the
job made, not made, or made and never heard of; events that are dropped, doubled and late; a Get
that does not know a new job; a List without tokens; then every job fails in Validating for a
minute, and then every Create is refused for 90 s, both as accounts were recorded to do.

It has a deployment of its own on the emulator of the other tests, as `make deploy-local
AWS_ENDPOINT_URL_BEDROCK=…` makes it. Functions time out after 60 s instead of 120 s, so that a
lease is over in 155 s. Nothing is helped along. Numbers are logged: `pytest
tests/e2e/test_standin.py --log-cli-level=INFO`.
"""

import json
import logging
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import deploy
from local.deployment import LocalDeployment, records
from local.settings import ROOT, free_port, local_environment
from tests.e2e.conftest import CHECK_IN_MINUTES, INTAKES, eventually, hurry, over

pytestmark = pytest.mark.e2e

DEPLOYMENT, EVENT_SOURCE = "bbq-standin", "local.standin"
SEED = 11
HAIKU, NOVA = "us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-lite-v1:0"
MODELS = {"haiku": HAIKU, "nova": NOVA}  # as local.tfvars says


def body_for(key: str) -> bytes:
    """A good input for the model that its first folder names."""
    return records(converse=key.startswith("nova/"))


LIMITS = {"haiku": 3, "nova": 2}
UPLOADS, LATER_UPLOADS = 10, 5  # of each model: at first, and while Bedrock refuses
FAILING_SECONDS, REFUSING_SECONDS = 60, 90
# at most, from the first upload to the last result: two leases, and holds of some minutes
STORM_SECONDS = 540
BACK_SECONDS = 300  # a failed job is brought back by then, or never: Get's counts are waited for
EVENTS = {"drop_events": 0.1, "double_events": 0.3, "late_events_seconds": 3.0}
CALM = {"drop_events": 0.0}
BURNT = 10  # jobs that fail at Bedrock before the line is held, beside the limit

log = logging.getLogger(__name__)


class Bedrock:
    """The stand-in's administration."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ledger(self) -> dict[str, Any]:
        """What happened: see tests/standin/bedrock.py."""
        return dict(self._call("ledger"))

    def weather(self, **changes: Any) -> None:
        """Change the weather from now on."""
        self._call("weather", changes)

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return bool(self._call("health") == {})
        except urllib.error.URLError:
            return False

    def _call(self, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(f"{self.url}/standin/{path}", data, timeout=30) as answer:
            return json.load(answer)


@dataclass(frozen=True)
class Storm:
    """What it left: the views of all uploads by job, and the stand-in's ledger."""

    views: dict[str, dict[str, Any]]
    ledger: dict[str, Any]

    def processed(self) -> Counter[str]:
        """How many Bedrock jobs have processed the input of each upload, by job id. It is in the
        key of the staged copy.
        """
        inputs = self.ledger["inputs"].items()
        return Counter(
            {
                job: sum(entry["processed"] for uri, entry in inputs if f"/{job}/" in uri)
                for job in self.views
            }
        )

    def failed_in_validating(self) -> list[dict[str, Any]]:
        """The Bedrock jobs that did."""
        return [
            job for job in self.ledger["jobs"] if job["history"][-2:] == ["Validating", "Failed"]
        ]


@pytest.fixture(scope="module")
def bedrock(local_stack: None, work: Path) -> Iterator[Bedrock]:
    """The stand-in, started as a person would."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tests.standin",
        f"--port={port}",
        f"--seed={SEED}",
        f"--event-source={EVENT_SOURCE}",
    ]
    with (work / "standin.log").open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=local_environment(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        standin = Bedrock(f"http://127.0.0.1:{port}")
        assert eventually(standin.answers, seconds=60)
        yield standin
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def stormy(bedrock: Bedrock, work: Path) -> Iterator[LocalDeployment]:
    """The deployment on it, with shorter waits. Destroyed at the end, so that the last test of all
    finds nothing.
    """
    directory = work / "terraform-standin"
    variables = [
        f"-var=name={DEPLOYMENT}",
        f"-var=event_source={EVENT_SOURCE}",
        f"-var=check_in_minutes={CHECK_IN_MINUTES}",
    ]
    try:
        # no longer: the other fixtures mean the simulator
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_BEDROCK", bedrock.url)
            deployment = LocalDeployment(deploy.apply(variables, work=directory, quiet=True))
        hurry(deployment)
        yield deployment
    finally:
        deploy.destroy(variables, work=directory, quiet=True)


def slots_are_free(deployment: LocalDeployment, model: str) -> bool:
    return not deployment.slots(model)["holders"]


def upload_all(deployment: LocalDeployment, count: int, *, first: int = 0) -> list[str]:
    """So many uploads of each model; their jobs."""
    assert deployment.s3  # made before the threads, which share it
    with ThreadPoolExecutor(INTAKES) as pool:
        keys = [
            f"{model}/{number:02d}.jsonl"
            for number in range(first, first + count)
            for model in MODELS
        ]
        return list(pool.map(lambda key: deployment.upload(key, body_for(key)), keys))


@pytest.fixture(scope="module")
def storm(stormy: LocalDeployment, bedrock: Bedrock) -> Storm:
    """The storm from its first upload until all are Completed, or until patience is over."""
    began = time.monotonic()

    def count(what: str) -> int:
        return int(bedrock.ledger()["count"].get(what, 0))

    def statuses() -> Counter[str]:
        return Counter(str(stormy.view(job).get("status")) for job in jobs)

    # a slot of each model stays in doubt until its lease is over
    losses = {HAIKU: ["", "made", "unheard"], NOVA: ["", "unmade"]}
    bedrock.weather(get_behind_seconds=5.0, lose=losses, **EVENTS)
    jobs = upload_all(stormy, UPLOADS)
    assert eventually(lambda: count("lost unmade") and count("lost unheard"))
    time.sleep(5)  # the one that is not heard of has passed its validation
    bedrock.weather(fail={"what": "get-object", "seconds": FAILING_SECONDS})
    time.sleep(FAILING_SECONDS)
    bedrock.weather(refuse={"what": "account", "seconds": REFUSING_SECONDS}, lose={HAIKU: ["made"]})
    jobs += upload_all(stormy, LATER_UPLOADS, first=UPLOADS)
    time.sleep(REFUSING_SECONDS)
    bedrock.weather(**CALM)
    eventually(
        lambda: set(statuses()) <= {"Completed", "Failed"},
        seconds=began + STORM_SECONDS - time.monotonic(),
    )
    eventually(lambda: set(statuses()) == {"Completed"}, seconds=BACK_SECONDS)
    found = Storm({job: stormy.view(job) for job in jobs}, bedrock.ledger())
    log.info("storm: over after %.0f s: %s", time.monotonic() - began, dict(statuses()))
    log.info("storm: %s, most alive %s", found.ledger["count"], found.ledger["most_alive"])
    return found


def test_an_upload_runs_on_the_stand_in_and_its_result_is_back_in_the_bucket(
    stormy: LocalDeployment, bedrock: Bedrock
) -> None:
    """Get is behind, and every event comes twice, late and in another order."""
    bedrock.weather(get_behind_seconds=5.0, double_events=1.0, late_events_seconds=3.0)
    for model, model_id in MODELS.items():
        job = stormy.upload(key := f"{model}/calm.jsonl", body_for(key))
        view = over(stormy, job)
        assert (view["status"], view["records"]) == ("Completed", 100)
        assert view["succeeded_records"] + view["failed_records"] == 100
        (made,) = [made for made in bedrock.ledger()["jobs"] if f"/{job}/" in made["input"]]
        assert (made["arn"], made["model"], made["status"]) == (view["arn"], model_id, "Completed")
        prefix = view["output_uri"].partition(f"{stormy.outputs['bucket']}/")[2]
        (output,) = [key for key in stormy.keys(prefix) if key.endswith(".jsonl.out")]
        ids = {json.loads(line)["recordId"] for line in stormy.read(output).splitlines()}
        assert ids == {f"CALL{number:07d}" for number in range(1, 101)}


def test_every_fault_struck(storm: Storm) -> None:
    happened = storm.ledger["count"]
    for what in (
        "lost made",
        "lost unmade",
        "lost unheard",
        "events dropped",
        "events doubled",
        "refused ValidationException",
    ):
        assert happened.get(what), (what, happened)
    assert storm.failed_in_validating()


def test_no_more_jobs_were_ever_alive_than_the_limit(storm: Storm) -> None:
    for model, model_id in MODELS.items():
        assert storm.ledger["most_alive"][model_id] <= LIMITS[model]


def test_no_input_was_processed_twice(storm: Storm) -> None:
    assert max(storm.processed().values()) == 1


def test_every_upload_is_completed_and_was_processed(storm: Storm) -> None:
    ends = Counter((view.get("status"), view.get("reason")) for view in storm.views.values())
    others = {end: count for end, count in ends.items() if end[0] != "Completed"}
    assert not others
    assert set(storm.processed().values()) == {1}


def test_few_jobs_failed_before_the_line_was_held_and_each_was_brought_back(storm: Storm) -> None:
    failed = Counter(job["model"] for job in storm.failed_in_validating())
    for model, model_id in MODELS.items():
        assert failed[model_id] <= LIMITS[model] + BURNT
    processed = {uri for uri, entry in storm.ledger["inputs"].items() if entry["processed"]}
    lost = {job["input"] for job in storm.failed_in_validating()} - processed
    assert not lost


def test_a_refusing_account_is_asked_seldom(storm: Storm) -> None:
    """Of each model: the claims that were under way, and one probe a minute or after an end."""
    assert storm.ledger["count"]["refused ValidationException"] <= sum(
        2 * LIMITS[model] + 2 for model in MODELS
    )


def test_nothing_is_left_of_the_storm(stormy: LocalDeployment, storm: Storm) -> None:
    for model in MODELS:
        assert eventually(partial(slots_are_free, stormy, model)), stormy.slots(model)
        assert stormy.line(model) == []
        assert "hold" not in stormy.slots(model)
    queues = [stormy.outputs["hints_queue_url"], stormy.outputs["intake_queue_url"]]
    assert eventually(lambda: not any(map(stormy.queue_depth, queues)))
    assert not any(
        stormy.queue_depth(url) for url in stormy.outputs["dead_letter_queue_urls"].values()
    )
