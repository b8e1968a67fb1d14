"""Lookalikes on the bus, in the queue, and straight at the function: nothing changes, each is
counted once, and nobody fails.

Who may send what is IAM's business (terraform/hints.tf); here everything arrives all the same.
"""

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bbq.services.scheduler import handler as h
from bbq.services.scheduler.bedrock import KNOWN_WITHIN, Unknown
from bbq.services.scheduler.reconcile import Visit, reconcile
from bbq.shared import events as e
from bbq.shared.names import attempt_name
from tests.support.payloads import BEDROCK_EVENT, body, sqs_event
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import ACCOUNT, DEPLOYMENT, REGION, Bench

COUNTED = {"HintIgnored", "ForeignJobWithOurName"}
UNKNOWN = "b" * 26
OTHER_ARN = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job/zzzzzzzzzzzz"


class Scene:
    """A job that runs, one that ended in its second attempt, one that is claimed and not answered,
    and one in line.
    """

    def __init__(self) -> None:
        self.bench = bench = Bench(limit=2)
        self.ended, self.running = self._upload("ended"), self._upload("running")
        for attempt in (1, 2):
            self.end(self.ended)
            if attempt == 1:
                bench.append(
                    self.ended, e.JobRequeued(at=bench.time, attempt=1, by="ops", why="again")
                )
                self.visit(self.ended)
        self.visit(self.running)  # its check-in is armed
        bench.bedrock.script = [Unknown("no answer")]
        self.claimed, self.waiting = self._upload("claimed"), self._upload("waiting")
        assert [
            bench.job(job).status for job in (self.ended, self.running, self.claimed, self.waiting)
        ] == [
            "Failed",
            "Submitted",
            "Claimed",
            "Queued",
        ]
        assert bench.job(self.ended).attempt == 2

    def _upload(self, version: str) -> str:
        job = self.bench.upload(version)
        self.visit(job)
        self.bench.wait(seconds=1)
        return job

    def visit(self, job: str) -> None:
        reconcile(self.bench.world(), job, Visit(look=True))

    def end(self, job: str) -> None:
        made = self.bench.job(job).arn
        assert made
        self.bench.bedrock.turn(made, "Failed")
        self.visit(job)

    def event(self, job: str, attempt: int = 1, **detail: Any) -> dict[str, Any]:
        """Everything as Bedrock would say it of this attempt, but for what is said here."""
        event = copy.deepcopy(BEDROCK_EVENT) | {"account": ACCOUNT, "region": REGION}
        made = next(
            (
                arn
                for arn, found in self.bench.bedrock.jobs.items()
                if found.name == attempt_name(DEPLOYMENT, job, attempt)
            ),
            OTHER_ARN,
        )
        event["detail"] |= {
            "accountId": ACCOUNT,
            "batchJobName": attempt_name(DEPLOYMENT, job, attempt),
            "batchJobArn": made,
            "batchModelId": MODEL_ID,
            "status": "Completed",
        }
        event["detail"] |= detail
        return event

    @property
    def state(self) -> tuple[Any, ...]:
        """All that a hint could change, but for `ends`: after an end, whoever is just being refused
        asks once more.
        """
        rows = {
            (name, sk): {field: value for field, value in row.items() if field != "ends"}
            for table in self.bench.tables._items.values()
            for name, partition in table.items()
            for sk, row in partition.items()
        }
        bench = self.bench
        return (
            rows,
            len(bench.bedrock.creates),
            list(bench.bedrock.stopped),
            list(bench.outbox.sent),
            set(bench.timers.armed),
        )


def without(event: dict[str, Any], *path: str) -> dict[str, Any]:
    *parents, last = path
    inner = event
    for name in parents:
        inner = inner[name]
    del inner[last]
    return event


FORGED: dict[str, Callable[[Scene], Any]] = {
    "another source": lambda s: s.event(s.running) | {"source": "my.bedrock"},
    "a source like it": lambda s: s.event(s.running) | {"source": "aws.bedrock "},
    "another account": lambda s: s.event(s.running) | {"account": "999999999999"},
    "another region": lambda s: s.event(s.running) | {"region": "eu-west-1"},
    "another type": lambda s: (
        s.event(s.running) | {"detail-type": "Batch Inference Job State Change "}
    ),
    "an ARN of another account": lambda s: s.event(
        s.running, batchJobArn=OTHER_ARN.replace(ACCOUNT, "9" * 12)
    ),
    "an ARN of another region": lambda s: s.event(
        s.running, batchJobArn=OTHER_ARN.replace(REGION, "eu-west-1")
    ),
    "an ARN of another kind": lambda s: s.event(
        s.running, batchJobArn=OTHER_ARN.replace("invocation", "customization")
    ),
    "an ARN that goes on": lambda s: s.event(s.running, batchJobArn=f"{OTHER_ARN}/../x"),
    "a running job's name, another's ARN": lambda s: s.event(s.running, batchJobArn=OTHER_ARN),
    "a running job's name, another's ARN, not an end": lambda s: s.event(
        s.running, batchJobArn=OTHER_ARN, status="InProgress"
    ),
    "a waiting job's name": lambda s: s.event(s.waiting, status="InProgress"),
    "an unknown job": lambda s: s.event(UNKNOWN, status="InProgress"),
    "an unknown job's end": lambda s: s.event(UNKNOWN),
    "an attempt before": lambda s: s.event(s.ended, 1, status="Failed"),
    "an attempt to come": lambda s: s.event(s.running, 2, status="InProgress"),
    "an ended job with another ARN": lambda s: s.event(
        s.ended, 2, batchJobArn=OTHER_ARN, status="InProgress"
    ),
    "a status that is none": lambda s: s.event(s.running, status="Melted"),
    "a status in other letters": lambda s: s.event(s.running, status="completed"),
    "a status in a list": lambda s: s.event(s.running, status=["Completed"]),
    "no status": lambda s: without(s.event(s.running), "detail", "status"),
    "no ARN": lambda s: without(s.event(s.running), "detail", "batchJobArn"),
    "no detail": lambda s: without(s.event(s.running), "detail"),
    "no account": lambda s: without(s.event(s.running), "account"),
    "no type, and a job": lambda s: without(s.event(s.running), "detail-type") | {"job": UNKNOWN},
    "a job hint of nobody": lambda _: {"job": UNKNOWN},
    "a timer of nobody": lambda s: {
        "job": UNKNOWN,
        "attempt": 1,
        "due": (s.bench.time.replace(minute=30)).isoformat(),
    },
    "a job that is a path": lambda _: {"job": "../../../etc"},
    "a model that is not there": lambda _: {"wake": "nobody"},
    "a number": lambda _: 7,
    "a megabyte": lambda s: s.event(s.running, failureMessage="x" * 1024**2),
    "a megabyte of depth": lambda _: "[" * 1024**2,
    "a megabyte of digits": lambda _: "9" * 1024**2,
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_message_changes_nothing_and_is_counted_once(what: str) -> None:  # P7
    scene = Scene()
    message = FORGED[what](scene)
    text = message if isinstance(message, str) else body(message)
    before, scene.bench.notes[:] = scene.state, []
    answer = h.act_on(scene.bench.world(), sqs_event(text))
    assert answer == {"batchItemFailures": []}
    assert scene.state == before
    assert [name for name, _ in scene.bench.notes if name in COUNTED] in [
        ["HintIgnored"],
        ["ForeignJobWithOurName"],
    ]
    assert len(repr(scene.bench.notes)) < 2000  # nothing of a megabyte is in the log


def test_an_event_whose_arn_get_does_not_know_comes_back_until_it_is_believed_forged() -> None:
    scene = Scene()
    before, text = scene.state, body(scene.event(scene.claimed, batchJobArn=OTHER_ARN))
    # it may be its own job, made a moment ago
    assert h.act_on(scene.bench.world(), sqs_event(text))["batchItemFailures"]
    assert scene.state == before
    scene.bench.time = (
        scene.bench.job(scene.claimed).claimed_at or scene.bench.time
    ) + KNOWN_WITHIN
    assert h.act_on(scene.bench.world(), sqs_event(text)) == {"batchItemFailures": []}
    assert [name for name, _ in scene.bench.notes if name in COUNTED] == ["ForeignJobWithOurName"]
    assert scene.bench.job(scene.claimed).arn is None


def test_what_is_more_than_documented_changes_nothing_about_what_is() -> None:
    scene = Scene()
    event = scene.event(
        scene.running, status="InProgress", extra={"job": scene.waiting}, wake="all"
    )
    event |= {"job": scene.waiting, "wake": "all", "limits": {MODEL: 99}}
    h.act_on(scene.bench.world(), sqs_event(body(event)))
    assert scene.bench.job(scene.running).status == "InProgress"
    assert scene.bench.job(scene.waiting).status == "Queued"
    assert scene.bench.slots.limit == 2


DIRECT = [
    {},
    {"hello": 1},
    {"wake": None},
    {"wake": ["all"]},
    {"wake": {}},
    {"wake": "nobody"},
    {"Records": "x"},
    {"Records": [7]},
    {"Records": {"0": 1}},
    BEDROCK_EVENT,
    {"wake": "all", "limits": {MODEL: "9"}},
    {"wake": "all", "limits": {MODEL: -1}},
    {"wake": "all", "limits": {MODEL: True}},
    {"wake": "all", "limits": {MODEL: 10**9}},
    {"wake": "all", "limits": [5]},
    {"wake": "all", "limits": {MODEL: None}},
    {"wake": "all", "limits": {MODEL: 1.5}},
]


@pytest.mark.parametrize("event", DIRECT, ids=lambda event: json.dumps(event)[:60])
def test_a_direct_call_that_is_no_wake_is_told_so_and_changes_nothing(
    event: dict[str, Any],
) -> None:
    scene = Scene()
    before, scene.bench.notes[:] = scene.state, []
    with pytest.raises(ValueError, match=r"say \{\"wake\"|limits must be"):
        h.act_on(scene.bench.world(), event)
    assert scene.state == before
    assert [name for name, _ in scene.bench.notes if name in COUNTED] == ["HintIgnored"]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"eventSource": "aws:sqs"},
        {"eventSource": "aws:dynamodb"},
        {"body": "x", "messageId": "1"},
    ],
)
def test_a_batch_that_aws_never_sent_fails_and_changes_nothing(record: dict[str, Any]) -> None:
    scene = Scene()
    before = scene.state
    with suppress(KeyError):  # only who may invoke the function can send it, and is told
        h.act_on(scene.bench.world(), {"Records": [record]})
    assert scene.state == before
