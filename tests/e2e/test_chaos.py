"""Chaos on the emulator: killed functions, a Bedrock that dies, answers and events that are lost,
strangers, bursts, poison.

Whatever strikes, afterwards: every job has ended as Bedrock says it did, each attempt was bought
exactly once, no model ever had more jobs alive than its limit, every history is dense and told by
its view, and slots and line are empty.

**Nothing here is helped along: all of it heals by itself**, through what the events table's stream
keeps, through the queues' redelivery, and through timers. What that takes:

| lost | comes back |
|---|---|
| a batch of the stream, with its function | at once: the stream keeps its position |
| a hint or an upload, with its function | after the queue's visibility timeout |
| an answer of Create, with its function or on the way | after the lease (function timeout + 95 s) and the timer's whole minute |
| the answers of all that a model has at Bedrock | two minutes later: the look-ups put the model on hold, and a probe lifts it |
| all events of an attempt | after `check_in_minutes` and the timer's whole minute |

Only the waits are shorter than a deployment's own (`hurried`): functions time out after 60 s, and
their queues hide messages for as long instead of six times as long, which SQS and Lambda allow. The
slow healings run while other tests do.

Numbers are logged: `pytest tests/e2e/test_chaos.py --log-cli-level=INFO`.
"""

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bbq.shared.hold import STEP_MINUTES
from bbq.shared.names import job_stream, model_stream
from local import stack
from local.deployment import LocalDeployment, records, simulator
from tests.e2e import promises
from tests.e2e.conftest import (
    FUNCTION_SECONDS,
    INTAKES,
    LEASE_SECONDS,
    MODELS,
    PATIENCE_SECONDS,
    eventually,
    over,
    simulator_options,
)
from tests.e2e.promises import Line, bedrock_jobs, dead_letters, nothing_is_left

pytestmark = pytest.mark.e2e

# Where no attempt of a model was answered it is on hold, to the first probe's minute, its timer's,
# and MiniStack's tick.
HELD_SECONDS = 60 * STEP_MINUTES[0] + 60 + 10
# To the timer's minute, MiniStack's tick, what ran before and after, and the hold.
HEALING_SECONDS = LEASE_SECONDS + 60 + 10 + 90 + HELD_SECONDS
DEPLOYMENT = "bbq-local"  # as local.tfvars says
HIDDEN_SECONDS = 240  # a hint that failed four times, which takes a busy machine to happen
CHUNK = 5  # uploads at a time
KILLING_ROUNDS = 25  # at most: each cuts off something, and a few in ten an upload

log = logging.getLogger(__name__)


@dataclass
class Trouble:
    """What happened to the jobs of one model: their ids, and what struck them."""

    model: str
    jobs: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    # when it last struck: from then on it heals
    last: float = field(default_factory=time.monotonic)
    struck: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module", autouse=True)
def hurried(deployment: LocalDeployment) -> Iterator[None]:
    """Shorter waits for this module: see above. Everything is put back, so that Terraform finds
    what it made.
    """
    functions, sqs = deployment.client("lambda"), deployment.sqs
    names = [deployment.outputs["intake_function"], deployment.outputs["scheduler_function"]]
    urls = [deployment.outputs["intake_queue_url"], deployment.outputs["hints_queue_url"]]
    # S3's test event has come: on MiniStack an update ends what a function is doing, and what it
    # held stays hidden for long.
    assert eventually(lambda: not any(map(deployment.queue_depth, urls)))
    before = {name: functions.get_function_configuration(FunctionName=name) for name in names}
    hidden = {
        url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])[
            "Attributes"
        ]["VisibilityTimeout"]
        for url in urls
    }

    def configure(name: str, timeout: int, seconds: str | None) -> None:
        variables = dict(before[name]["Environment"]["Variables"])
        if seconds is not None and "BBQ_FUNCTION_TIMEOUT_SECONDS" in variables:
            variables["BBQ_FUNCTION_TIMEOUT_SECONDS"] = seconds
        functions.update_function_configuration(
            FunctionName=name, Timeout=timeout, Environment={"Variables": variables}
        )

    (uploads,) = functions.list_event_source_mappings(FunctionName=names[0])["EventSourceMappings"]
    functions.update_event_source_mapping(
        UUID=uploads["UUID"], ScalingConfig={"MaximumConcurrency": INTAKES}
    )
    for name in names:
        configure(name, FUNCTION_SECONDS, str(FUNCTION_SECONDS))
    for url in urls:
        sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"VisibilityTimeout": str(FUNCTION_SECONDS)}
        )
    yield
    functions.update_event_source_mapping(
        UUID=uploads["UUID"], ScalingConfig=uploads["ScalingConfig"]
    )
    for name in names:
        configure(name, before[name]["Timeout"], None)
    for url in urls:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": hidden[url]})


@pytest.fixture(scope="module")
def troubles(deployment: LocalDeployment, work: Path) -> dict[str, Trouble]:
    """Four troubles, one after another, each for a model of its own. They heal while the tests
    below go on.
    """
    found = {}
    for strike in (bedrock_dies, lost_answers, killed_workers, no_event_arrives):
        trouble = strike(deployment, work)
        trouble.last = time.monotonic()
        log.info(
            "%s: %s in %.0f s", trouble.model, trouble.struck, time.monotonic() - trouble.began
        )
        found[trouble.model] = trouble
    return found


def killed_workers(deployment: LocalDeployment, work: Path) -> Trouble:
    """SIGKILL for every process that runs a function while 30 and more jobs are on their way, again
    and again after two uploads.

    At least five times, and until it has cut off work of each kind: what a function is doing at
    that moment is chance, and the longer or shorter waits before the signal are there to meet all
    of it.
    """
    trouble = Trouble("killed")
    trouble.jobs += upload_all(deployment, "killed", 20)
    assert eventually(lambda: len(made("killed")) + len(deployment.line("killed")) >= 16)
    kills, emulator = 0, stack.emulator_pid(work / "stack.json")
    for n in range(KILLING_ROUNDS):
        if n >= 5 and all(cut_off(deployment, work).values()):
            break
        eventually(partial(at_least, "killed", len(made("killed")) + 2), seconds=3)
        trouble.jobs += upload_all(deployment, "killed", 2, first=len(trouble.jobs))
        time.sleep((0.1, 0.2, 0.4, 0.8)[n % 4])
        for pid in children(emulator):
            with suppress(ProcessLookupError):  # it ended by itself since
                os.kill(pid, signal.SIGKILL)
                kills += 1
        time.sleep(0.2)  # the emulator sees its children go, and says so
    time.sleep(1)
    trouble.struck = {
        "kills": kills,
        **cut_off(deployment, work),
        "Bedrock jobs by then": len(made("killed")),
    }
    return trouble


def cut_off(deployment: LocalDeployment, work: Path) -> dict[str, int]:
    """How many invocations of each kind ended with their process."""
    told = stack.cut_off(work / "stack.json")
    intake, scheduler = (
        deployment.outputs["intake_function"],
        deployment.outputs["scheduler_function"],
    )
    return {
        "uploads cut off": told[intake, "aws:sqs"],
        "hints cut off": told[scheduler, "aws:sqs"],
        "stream batches cut off": told[scheduler, "aws:dynamodb"],
    }


def children(parent: int) -> list[int]:
    """The processes that this one started: the emulators run each instance of a function as a
    process of its own.
    """
    shown = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.split() for line in shown.splitlines()]
    return [int(pid) for pid, its_parent in pairs if int(its_parent) == parent]


def bedrock_dies(deployment: LocalDeployment, work: Path) -> Trouble:
    """SIGKILL for the simulator while jobs run and others wait, 8 s without any Bedrock, and more
    uploads in that time.
    """
    trouble = Trouble("outage")
    trouble.jobs += upload_all(deployment, "outage", 4)
    assert eventually(partial(at_least, "outage", 3))
    before = len(made("outage"))
    stack.kill("bedrock-simulator", work / "stack.json")
    trouble.jobs += upload_all(deployment, "outage", 8, first=4)
    time.sleep(8)
    stack.again("bedrock-simulator", simulator_options(work), work / "stack.json")
    trouble.struck = {"Bedrock jobs when it died": before, "remembered": len(made("outage"))}
    return trouble


def lost_answers(deployment: LocalDeployment, work: Path) -> Trouble:
    """Three Creates in ten make the job and never answer, and four events in five are lost."""

    def struck(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
        return {
            "answers lost": after["accepted_then_timed_out"] - before["accepted_then_timed_out"],
            "events dropped": after["events"]["dropped"] - before["events"]["dropped"],
        }

    trouble, before = Trouble("unsure"), simulator("stats")
    simulator("faults", {"accept_then_timeout": 0.3, "timeout_seconds": 0.2, "event_drop": 0.8})
    try:
        trouble.jobs += upload_all(deployment, "unsure", 20)
        eventually(lambda: all(struck(before, simulator("stats")).values()))
        eventually(lambda: len(made("unsure")) == 20 and all_ended("unsure"), seconds=15)
    finally:
        simulator("faults", {"accept_then_timeout": 0.0, "event_drop": 0.0})
    trouble.struck = {
        "Bedrock jobs by then": len(made("unsure")),
        **struck(before, simulator("stats")),
    }
    return trouble


def no_event_arrives(deployment: LocalDeployment, work: Path) -> Trouble:
    """Every event is dropped until all that runs has ended at Bedrock; four more jobs wait for the
    slots.
    """
    trouble, before = Trouble("unheard"), simulator("stats")["events"]["dropped"]
    simulator("faults", {"event_drop": 1.0})
    try:
        trouble.jobs += upload_all(deployment, "unheard", 8)
        assert eventually(lambda: len(made("unheard")) >= 4 and all_ended("unheard"))
    finally:
        simulator("faults", {"event_drop": 0.0})
    trouble.struck = {"events dropped": simulator("stats")["events"]["dropped"] - before}
    return trouble


def test_every_trouble_struck(troubles: Mapping[str, Trouble]) -> None:
    for trouble in troubles.values():
        assert all(trouble.struck.values()), trouble
    assert (
        troubles["outage"].struck["remembered"]
        >= troubles["outage"].struck["Bedrock jobs when it died"]
    )
    assert troubles["unheard"].struck["events dropped"] >= 4 * 5


def test_others_that_hold_the_quota_cost_few_refusals_and_their_end_lets_all_run(
    deployment: LocalDeployment,
) -> None:
    began, refused = time.monotonic(), simulator("stats")["refused_by_quota"]
    simulator("quotas", {"model": model_id("shared"), "limit": 3})
    simulator("foreign-jobs", {"model": model_id("shared"), "count": 3, "seconds": None})
    jobs = upload_all(deployment, "shared", 8)
    assert eventually(lambda: {deployment.view(job).get("status") for job in jobs} == {"Queued"})
    assert eventually(lambda: "refused" in deployment.slots("shared"))
    time.sleep(3)  # who came late asks no more
    simulator("foreign-jobs", method="DELETE")
    settled(deployment, "shared", jobs)
    refusals, took = simulator("stats")["refused_by_quota"] - refused, time.monotonic() - began
    log.info("shared: %d Creates refused, all over after %.0f s", refusals, took)
    # Three claims may be made before the first is refused; then each end of another's is a reason
    # to ask, and each minute.
    assert 1 <= refusals <= 3 + 3 + took // 60 + 1


POISON = "job-from-the-future"
STRANGERS = {
    job_stream("a" * 26): POISON,
    job_stream("b" * 26): "job-queued",
    "invoice#4711": "job-queued",
}


@pytest.fixture(scope="module")
def poisoned(deployment: LocalDeployment) -> list[str]:
    """Five jobs wait for a paused model, in this order; the first has an event that this code does
    not know. Then: resumed.
    """
    put_event(
        deployment,
        model_stream("poison"),
        2,
        "model-paused",
        {"by": "test", "why": "to let a line form"},
    )
    assert eventually(lambda: deployment.slots("poison")["paused"])
    upload_all(deployment, "poison", 5)
    assert eventually(lambda: len(deployment.line("poison")) == 5)
    jobs = deployment.line("poison")
    put_event(deployment, job_stream(jobs[0]), 2, POISON, {})
    for stream, name in STRANGERS.items():
        put_event(deployment, stream, 1, name, {"hello": "world"})
    put_event(deployment, model_stream("poison"), 3, "model-resumed", {"by": "test", "why": ""})
    return jobs


def test_an_event_of_the_future_or_of_a_stranger_stops_nobody_else(
    deployment: LocalDeployment, poisoned: list[str]
) -> None:
    """Each record that cannot be handled becomes a hint, which comes back later each time; the
    others go on at once.
    """
    began = time.monotonic()
    victim, *others = poisoned
    for job in others:
        assert over(deployment, job)["status"] == "Completed"
    log.info("poison: four others over after %.1f s", time.monotonic() - began)
    assert deployment.view(victim)["status"] == "Queued"
    assert not deployment.slots("poison")["holders"]
    hints = deployment.outputs["hints_queue_url"]
    # the victim's, and the unreadable stranger's
    assert eventually(lambda: deployment.queue_depth(hints) >= 2)
    assert not any(dead_letters(deployment).values())
    # As if it had never been there (nobody but a test may delete an event): what still circulates
    # finds its job readable.
    for stream, version in [*((stream, 1) for stream in STRANGERS), (job_stream(victim), 2)]:
        key: Any = {"stream": {"S": stream}, "version": {"N": str(version)}}
        deployment.dynamodb.delete_item(TableName=deployment.outputs["events_table"], Key=key)


def test_three_hundred_uploads_at_once_all_run_in_order_and_within_the_limits(
    deployment: LocalDeployment,
) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(lambda model: upload_all(deployment, model, 150), ("left", "right"))
    uploaded = time.monotonic() - began
    for job in [*left, *right]:
        assert over(deployment, job, seconds=240)["status"] == "Completed"
    log.info(
        "burst: 300 uploaded in %.0f s, all over after %.0f s", uploaded, time.monotonic() - began
    )
    for model, jobs in (("left", left), ("right", right)):
        settled(deployment, model, jobs)
        views = [deployment.view(job) for job in jobs]
        queued = sorted(views, key=lambda view: (view["queued_at"], view["job"]))
        claimed = sorted(views, key=lambda view: view["claimed_at"])
        place = {view["job"]: number for number, view in enumerate(queued)}
        moved = sorted(abs(place[view["job"]] - number) for number, view in enumerate(claimed))
        log.info(
            "burst: %s: places moved: median %d, worst %d", model, moved[len(moved) // 2], moved[-1]
        )
        # the worst is one that stood still before its append
        assert moved[len(moved) // 2] <= MODELS[model]["limit"], moved


def test_the_hint_of_a_poisoned_job_is_kept_until_it_can_be_read(
    deployment: LocalDeployment, poisoned: list[str]
) -> None:
    settled(deployment, "poison", poisoned, seconds=FUNCTION_SECONDS + 60)


@pytest.mark.parametrize("model", ["unheard", "unsure", "outage", "killed"])
def test_it_heals_by_itself(
    deployment: LocalDeployment, troubles: Mapping[str, Trouble], model: str
) -> None:
    trouble = troubles[model]
    settled(
        deployment, model, trouble.jobs, seconds=trouble.last + HEALING_SECONDS - time.monotonic()
    )


def test_no_hint_and_no_upload_is_left_and_none_is_dead(deployment: LocalDeployment) -> None:
    nothing_is_left(deployment, seconds=HIDDEN_SECONDS + FUNCTION_SECONDS)


def settled(
    deployment: LocalDeployment,
    model: str,
    jobs: Iterable[str],
    *,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """What every trouble must leave behind: see promises.py."""
    line = Line(
        deployment=deployment,
        name=DEPLOYMENT,
        model=model,
        model_id=model_id(model),
        limit=MODELS[model]["limit"],
    )
    promises.settled(line, jobs, seconds=seconds)


def upload_all(deployment: LocalDeployment, model: str, count: int, *, first: int = 0) -> list[str]:
    """So many good files at once; their jobs."""
    body = records()
    assert deployment.s3  # made before the threads, which may share it
    with ThreadPoolExecutor(CHUNK) as pool:
        return list(
            pool.map(
                lambda n: deployment.upload(f"{model}/{n:03d}.jsonl", body),
                range(first, first + count),
            )
        )


def model_id(model: str) -> str:
    return str(MODELS[model]["model_id"])


def made(model: str) -> list[dict[str, Any]]:
    """Our jobs of a model, as the simulator knows them."""
    return bedrock_jobs(model_id(model))


def at_least(model: str, count: int) -> bool:
    return len(made(model)) >= count


def all_ended(model: str) -> bool:
    return all(job["status"] == "Completed" for job in made(model))


def put_event(
    deployment: LocalDeployment, stream: str, version: int, name: str, data: object
) -> None:
    """An event written past the code that may write it."""
    item: Any = {
        "stream": {"S": stream},
        "version": {"N": str(version)},
        "name": {"S": name},
        "schema": {"N": "1"},
        "at": {"S": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")},
        "data": {"S": json.dumps(data)},
    }
    deployment.dynamodb.put_item(TableName=deployment.outputs["events_table"], Item=item)
