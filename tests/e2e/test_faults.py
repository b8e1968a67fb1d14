"""Answers lost on the way: between the functions and DynamoDB, S3, SQS and Scheduler stands a proxy
that throttles, resets, cuts off, and loses answers after the write was done. Afterwards every
promise holds, with nothing helped along.

Uploads of two models, eight each half minute; jobs of others take all of one model's quota, again
and again. For a minute one call in seven is struck. Then three in five, for a minute and until
every fault has struck every call that it is meant for: the SDK's retries are used up, and a hint
that stands for a failure fails as well. Then it is calm, and what is left heals by itself.

| kind | what a function sees | done at AWS |
|---|---|---|
| throttled | the service's own refusal, which the SDK retries | no |
| in progress | `TransactionInProgressException`, which the SDK retries | no |
| conflict | a transaction that another one cancelled, which the store retries | no |
| reset | the connection breaks before an answer | no |
| cut in half | the connection breaks in the middle of a read's answer | nothing to do |
| lost | the connection breaks before the first byte of a write's answer | yes |

It has a deployment of its own on the emulator of the other tests; only its functions go through the
proxy (variable `environment`), and the tests talk to the emulator itself. It takes twelve minutes,
so `make test` leaves it out: `make test-faults`.
"""

import json
import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError

from bbq.services.scheduler.results import MANIFEST
from bbq.shared.names import INPUT_PREFIX
from local import deploy
from local.deployment import RECORDS, LocalDeployment, records, simulator
from local.settings import ROOT, bedrock_endpoint_of, endpoint_of, free_port, local_environment
from tests.e2e.conftest import CHECK_IN_MINUTES, FUNCTION_SECONDS, LEASE_SECONDS, eventually, hurry
from tests.e2e.fault_proxy import COPY_OBJECT, Fault, FaultProxy, Place
from tests.e2e.promises import Line, nothing_is_left, settled
from tests.e2e.scratch import OBJECT_BYTES, Scratch, client

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

DEPLOYMENT = "bbq-faults"
MODELS: dict[str, dict[str, Any]] = {
    "left": {"model_id": "faults.left-v1:0", "limit": 3},
    "right": {"model_id": "faults.right-v1:0", "limit": 2},
}
GENTLE, HARD = 0.15, 0.6  # the share of the calls that is struck
BURST_SECONDS, UPLOADS = 30, 4  # of each model in each burst
BURSTS, MOST_BURSTS = 2, 8  # of each share; of the hard one until every fault has struck
OTHERS, OTHERS_SECONDS = 3, 10  # jobs of others in each burst, and how long they last
# Bedrock has no quota for `right` for so long in each burst, and then plenty
FULL_SECONDS, QUOTA = 15, 100
HIDDEN_SECONDS = 480  # a message that failed five times
# An attempt is in doubt for a lease, the timer's minute and MiniStack's tick.
HEALING_SECONDS = HIDDEN_SECONDS + LEASE_SECONDS + 60 + 10 + 90

WRITES = ("PutItem", "UpdateItem", "TransactWriteItems")
READS = ("GetItem", "Query")
TIMERS = ("CreateSchedule", "DeleteSchedule")
HINTS = ("SendMessage", "ChangeMessageVisibility")
OBJECTS = ("GetObject", "ListObjectVersions", COPY_OBJECT)
LOST, HALF, RESET = (
    {"response": {"abort_bytes": 0}},
    {"response": {"abort_frac": 0.5}},
    {"reset": True},
)
CONFLICT = {
    "code": "TransactionCanceledException",
    "message": "Transaction cancelled, please refer cancellation reasons for specific reasons "
    "[TransactionConflict]",
    "fields": {
        "CancellationReasons": [
            {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
        ]
    },
}


def error(code: str) -> dict[str, dict[str, str]]:
    return {"error": {"code": code}}


FAULTS = (
    Fault(
        kind="throttled",
        service="dynamodb",
        operations=(*READS, *WRITES),
        effect=error("ProvisionedThroughputExceededException"),
    ),
    Fault(kind="throttled", service="s3", operations=OBJECTS, effect=error("SlowDown")),
    # microburst puts SQS's own prefix before the code, which the SDK then does not know, and does
    # not retry: harder than AWS.
    Fault(kind="throttled", service="sqs", operations=HINTS, effect=error("RequestThrottled")),
    Fault(
        kind="throttled",
        service="scheduler",
        operations=TIMERS,
        effect=error("ThrottlingException"),
    ),
    Fault(
        kind="in progress",
        service="dynamodb",
        operations=("TransactWriteItems",),
        effect=error("TransactionInProgressException"),
    ),
    Fault(
        kind="conflict",
        service="dynamodb",
        operations=("TransactWriteItems",),
        effect={"error": CONFLICT},
    ),
    Fault(
        kind="conflict",
        service="dynamodb",
        operations=("PutItem", "UpdateItem"),
        effect=error("TransactionConflictException"),
    ),
    Fault(kind="reset", service="dynamodb", operations=(*READS, *WRITES), effect=RESET),
    Fault(kind="reset", service="s3", operations=OBJECTS, effect=RESET),
    Fault(kind="reset", service="sqs", operations=HINTS, effect=RESET),
    Fault(kind="reset", service="scheduler", operations=TIMERS, effect=RESET),
    Fault(kind="cut in half", service="dynamodb", operations=READS, effect=HALF),
    Fault(
        kind="cut in half",
        service="s3",
        operations=("GetObject", "ListObjectVersions"),
        effect=HALF,
    ),
    Fault(kind="lost", service="dynamodb", operations=WRITES, effect=LOST),
    Fault(kind="lost", service="s3", operations=(COPY_OBJECT,), effect=LOST),
    Fault(kind="lost", service="sqs", operations=HINTS, effect=LOST),
    Fault(kind="lost", service="scheduler", operations=TIMERS, effect=LOST),
)

# microburst reads the SDK's description of a service at its first call, which takes longer than a
# function waits.
FIRST_CALLS = {
    "dynamodb": "list_tables",
    "s3": "list_buckets",
    "sqs": "list_queues",
    "scheduler": "list_schedule_groups",
}
PLACES = {place for fault in FAULTS for place in fault.places}
WRITTEN = (*WRITES, "SendMessage", "CreateSchedule", COPY_OBJECT)  # the others write nothing new
# UpdateItem by itself is called if a job of others ends just while its model is on hold, or if a
# lease is taken over: seldom.
SELDOM = {place for place in PLACES if place[2] == "UpdateItem"}
TRIED = sorted((kind, operation) for kind, _, operation in PLACES if operation in WRITTEN)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storm:
    """The jobs of each model, what struck, and when it became calm."""

    jobs: dict[str, list[str]]
    struck: Counter[Place]
    halves: set[str]  # the objects that were cut in half
    calm_at: float

    def healed_in(self) -> float:
        """Seconds that are left until all must have healed."""
        return max(0.0, self.calm_at + HEALING_SECONDS - time.monotonic())


@pytest.fixture(scope="module")
def proxy(local_stack: None, work: Path) -> Iterator[FaultProxy]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tests.e2e.fault_proxy",
        "--upstream",
        endpoint_of(),
        "--host",
        "127.0.0.1",
        f"--port={port}",
    ]
    with (work / "fault-proxy.log").open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=local_environment(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        started = FaultProxy(f"http://127.0.0.1:{port}")
        assert eventually(started.answers, seconds=60)
        for service, call in FIRST_CALLS.items():
            getattr(client(service, started.url), call)()
        yield started
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def behind(proxy: FaultProxy, work: Path) -> Iterator[LocalDeployment]:
    """The deployment whose functions reach AWS through the proxy, with shorter waits. Destroyed at
    the end.
    """
    directory = work / "terraform-faults"
    environment = {
        f"AWS_ENDPOINT_URL_{service}": proxy.url for service in map(str.upper, FIRST_CALLS)
    }
    environment["AWS_ENDPOINT_URL_BEDROCK"] = bedrock_endpoint_of()
    variables = [
        f"-var=name={DEPLOYMENT}",
        f"-var=models={json.dumps(MODELS)}",
        "-var=default_model=left",
        f"-var=check_in_minutes={CHECK_IN_MINUTES}",
        f"-var=environment={json.dumps(environment)}",
    ]
    try:
        deployment = LocalDeployment(deploy.apply(variables, work=directory, quiet=True))
        hurry(deployment)
        yield deployment
    finally:
        deploy.destroy(variables, work=directory, quiet=True)


@pytest.fixture(scope="module")
def scratch(behind: LocalDeployment, proxy: FaultProxy) -> Iterator[Scratch]:
    with Scratch(behind, proxy.url) as made:
        yield made


@pytest.mark.parametrize(("kind", "operation"), TRIED)
def test_a_write_is_done_if_its_answer_is_lost_and_not_done_if_it_was_refused_or_reset(
    scratch: Scratch, proxy: FaultProxy, kind: str, operation: str
) -> None:
    name = f"{kind}-{operation}".replace(" ", "-")
    proxy.weather(
        [
            replace(fault, operations=(operation,))
            for fault in FAULTS
            if (kind, fault.service, operation) in fault.places
        ],
        1.0,
    )
    try:
        with pytest.raises((BotoCoreError, ClientError)):
            scratch.write(operation, name)
    finally:
        proxy.weather((), 0.0)
    assert scratch.has(operation, name) == (kind == "lost")


@pytest.mark.parametrize("operation", WRITTEN)
def test_a_write_that_nothing_strikes_is_done_and_answered(
    scratch: Scratch, operation: str
) -> None:
    scratch.write(operation, f"calm-{operation}")
    assert scratch.has(operation, f"calm-{operation}")


def test_a_read_is_cut_in_half(scratch: Scratch, proxy: FaultProxy) -> None:
    assert scratch.read() == bytes(OBJECT_BYTES)
    proxy.weather(
        [fault for fault in FAULTS if (fault.kind, fault.service) == ("cut in half", "s3")], 1.0
    )
    try:
        with pytest.raises(ResponseStreamingError, match=str(OBJECT_BYTES // 2)):
            scratch.read()
    finally:
        proxy.weather((), 0.0)


@pytest.fixture(scope="module")
def storm(behind: LocalDeployment, proxy: FaultProxy) -> Storm:
    """Both shares, one after the other, with uploads from the beginning to the end."""
    jobs: dict[str, list[str]] = {model: [] for model in MODELS}
    requests, before, halves = proxy.requests(), proxy.struck(), set[str]()
    try:
        proxy.weather(FAULTS, GENTLE)
        for _ in range(BURSTS):
            burst(behind, jobs)
        proxy.weather(FAULTS, HARD)
        for number in range(MOST_BURSTS):
            if number >= BURSTS and not missing(proxy.struck() - before, halves):
                break
            burst(behind, jobs)
            halves |= proxy.paths("cut in half", "GetObject")
    finally:
        proxy.weather(FAULTS, 0.0)
    struck, kinds = proxy.struck() - before, Counter[tuple[str, str]]()
    for (kind, service, _), count in struck.items():
        kinds[kind, service] += count
    uploaded, requests = sum(map(len, jobs.values())), proxy.requests() - requests
    log.info(
        "storm: %d uploads, %d of %d calls struck: %s",
        uploaded,
        struck.total(),
        requests,
        dict(kinds),
    )
    return Storm(jobs, struck, halves, time.monotonic())


def missing(struck: Counter[Place], halves: set[str]) -> set[object]:
    """What has not been struck yet, but for SELDOM: places, and of the objects that are read an
    input and a manifest.
    """
    unread = {what for what in (INPUT_PREFIX, MANIFEST) if not any(what in path for path in halves)}
    return {*(PLACES - SELDOM - set(struck)), *unread}


def burst(deployment: LocalDeployment, jobs: dict[str, list[str]]) -> None:
    """More jobs of both models. For most of the time Bedrock has no quota for `right`: each end of
    a job of others is a reason to ask, and the answer is no.
    """
    began, full = time.monotonic(), MODELS["right"]["model_id"]
    simulator("foreign-jobs", {"model": full, "count": OTHERS, "seconds": OTHERS_SECONDS})
    simulator("quotas", {"model": full, "limit": 0})
    for model, found in jobs.items():
        found.extend(upload(deployment, model, range(len(found), len(found) + UPLOADS)))
    time.sleep(max(0.0, began + FULL_SECONDS - time.monotonic()))
    simulator("quotas", {"model": full, "limit": QUOTA})
    time.sleep(max(0.0, began + BURST_SECONDS - time.monotonic()))


def upload(deployment: LocalDeployment, model: str, numbers: range) -> list[str]:
    """A good file for each number; their jobs."""
    body = records()
    assert deployment.s3  # made before the threads, which share it
    with ThreadPoolExecutor(UPLOADS) as pool:
        return list(
            pool.map(lambda number: deployment.upload(f"{model}/{number:02d}.jsonl", body), numbers)
        )


def test_every_fault_struck_every_call_that_it_is_meant_for(storm: Storm) -> None:
    assert not missing(storm.struck, storm.halves), storm.struck


@pytest.mark.parametrize("model", MODELS)
def test_all_that_was_uploaded_heals_by_itself_and_every_promise_was_kept(
    behind: LocalDeployment, storm: Storm, model: str
) -> None:
    line = Line(deployment=behind, name=DEPLOYMENT, model=model, **MODELS[model])
    settled(line, storm.jobs[model], seconds=storm.healed_in())
    assert "hold" not in behind.slots(model)


def test_what_each_job_did_was_counted_from_a_whole_manifest(
    behind: LocalDeployment, storm: Storm
) -> None:
    for job in [*storm.jobs["left"], *storm.jobs["right"]]:
        view = behind.view(job)
        assert (
            view["processed_records"]
            == view["succeeded_records"] + view["failed_records"]
            == RECORDS
        ), view
        assert view["input_tokens"], view  # which only the manifest knows


def test_no_message_is_left_and_none_is_dead(behind: LocalDeployment, storm: Storm) -> None:
    nothing_is_left(behind, seconds=storm.healed_in() + FUNCTION_SECONDS)


def test_what_is_shown_is_what_the_events_say(behind: LocalDeployment, storm: Storm) -> None:
    """`bbq verify` folds every stream again and compares views, line, slots and counts."""
    verify = [sys.executable, "-m", "bbq.cli.main", "--name", DEPLOYMENT, "verify"]
    done = subprocess.run(
        verify,
        cwd=ROOT,
        env=local_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done
    assert "no difference" in done.stderr, done
