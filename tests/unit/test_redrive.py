"""What was dropped is picked up again, and nothing is lost on the way."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from bbq.cli.redrive import redrive, redrive_stream_failures, wake_unfinished
from bbq.cli.scan import RepairContext
from bbq.cli.sqs import Message, SqsQueue
from bbq.services.scheduler.bedrock import Refused
from bbq.services.scheduler.hints import ALL, Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.shared import events as e
from bbq.shared.hold import QUOTA
from bbq.shared.names import job_stream
from tests.support.reader import MemoryReader
from tests.support.samples import MODEL_ID, id_of, queued
from tests.support.tables import REGION
from tests.support.world import Bench, arn


@dataclass
class FakeQueue:
    """A queue that hands out each message once. `log` says in which order things were done, to all
    queues that share it.
    """

    name: str
    bodies: list[Message] = field(default_factory=list)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    hidden: list[Message] = field(default_factory=list)
    refuses: int = -1

    def depth(self) -> int:
        return len(self.bodies)

    def receive(self, most: int) -> list[Message]:
        taken, self.bodies = self.bodies[:most], self.bodies[most:]
        self.hidden += taken
        return taken

    def send(self, body: str) -> None:
        if self.refuses == 0:
            raise ConnectionError
        self.refuses -= 1
        self.log.append(("send", self.name, body))

    def delete(self, message: Message) -> None:
        self.hidden.remove(message)
        self.log.append(("delete", self.name, message.body))

    def came(self, *bodies: str, sent_at: datetime = datetime(2020, 1, 1, tzinfo=UTC)) -> None:
        self.bodies += [Message(body=body, receipt=body, sent_at=sent_at) for body in bodies]


def two() -> tuple[FakeQueue, FakeQueue]:
    log: list[tuple[str, str, str]] = []
    return FakeQueue("dead", log=log), FakeQueue("source", log=log)


def context_on(bench: Bench) -> RepairContext:
    return RepairContext(
        tables=bench.tables,
        reader=MemoryReader(bench.tables),
        hints=bench.outbox,
        lease=bench.config.lease,
        now=lambda: bench.time,
        sleep=lambda _: None,
    )


def test_a_dead_letter_is_sent_before_it_is_deleted() -> None:
    dead, source = two()
    dead.came("a", "b")
    assert redrive(dead, source, most=10, sleep=lambda _: None) == 2
    assert dead.log == [
        ("send", "source", "a"),
        ("delete", "dead", "a"),
        ("send", "source", "b"),
        ("delete", "dead", "b"),
    ]


def test_a_letter_that_cannot_be_sent_is_not_deleted() -> None:
    dead, source = two()
    dead.came("a", "b")
    source.refuses = 1
    with pytest.raises(ConnectionError):
        redrive(dead, source, most=10, sleep=lambda _: None)
    assert [message.body for message in dead.hidden] == ["b"]


def test_no_more_are_moved_than_are_asked_for_and_than_there_were() -> None:
    dead, source = two()
    dead.came(*(str(number) for number in range(30)))
    assert redrive(dead, source, most=12, sleep=lambda _: None) == 12
    dying = FakeQueue("dead")
    dying.came("poison")
    dying.send = dying.came  # type: ignore[assignment,method-assign] # what dies again comes back at once
    assert redrive(dying, dying, most=100, sleep=lambda _: None) == 1
    assert redrive(FakeQueue("dead"), source, most=100, sleep=lambda _: None) == 0


def test_a_queue_that_holds_less_than_it_says_comes_to_an_end() -> None:
    dead, source = two()
    dead.came("a")
    dead.depth = lambda: 50  # type: ignore[method-assign]
    told: list[str] = []
    assert redrive(dead, source, most=100, sleep=lambda _: None, tell=told.append) == 1
    assert told == ["1 letter"] * 4  # and three receives that found nothing


def test_moving_is_paced_and_told() -> None:
    dead, source = two()
    dead.came(*"abcde")
    pauses: list[float] = []
    told: list[str] = []
    redrive(dead, source, most=10, sleep=pauses.append, tell=told.append, per_second=2)
    assert (sum(pauses), told) == (2.5, ["5 letters"])


# --- wake_unfinished


def queue_with_everything() -> tuple[Bench, set[str]]:
    """Answers the ids of those with anything left to do."""
    bench = Bench(limit=2)
    jobs = {
        name: bench.upload(name)
        for name in ("done", "untallied", "running", "refused", "waiting", "unprojected")
    }
    for name in ("done", "untallied"):
        reconcile(bench.world(), jobs[name], Visit())
    told = Report(
        arn=arn(1), model_id=MODEL_ID, status="Completed", message="", job=jobs["done"], attempt=1
    )
    reconcile_report(bench.world(), told)
    job = bench.job(jobs["untallied"])
    bench.append(
        jobs["untallied"],
        e.JobEnded(at=bench.time, attempt=1, status="Completed", message="", arn=job.arn),
    )
    rejected = e.JobRejected(
        at=bench.time,
        model=None,
        sources=queued().sources,
        problems=(),
        problem_count=0,
        size_bytes=1,
    )
    for name in ("rejected", "rejected and projected"):
        bench.store.append(id_of(version=name), None, rejected)
    reconcile(bench.world(), id_of(version="rejected and projected"), Visit())
    bench.bedrock.script = [Refused(QUOTA, "full")]
    reconcile(bench.world(), jobs["refused"], Visit())
    bench.outbox.sent.clear()
    return bench, {*jobs.values(), id_of(version="rejected")} - {jobs["done"]}


def test_every_job_with_anything_left_to_do_is_woken_once() -> None:
    bench, due = queue_with_everything()
    assert wake_unfinished(context_on(bench)) == len(due)
    assert sorted(bench.outbox.sent) == sorted(("job", job) for job in due)


def test_a_job_that_this_code_cannot_read_is_woken_for_newer_code_may() -> None:
    bench, due = queue_with_everything()
    rows = bench.tables._items["events"][job_stream(min(due))]
    rows[1] = {**rows[1], "name": {"S": "job-teleported"}}
    broken = bench.tables._items["events"][job_stream(max(due))]
    broken[1] = {**broken[1], "name": {"S": "job-cancelled"}, "data": {"S": "{}"}}
    wake_unfinished(context_on(bench))
    assert {name for kind, name in bench.outbox.sent if kind == "job"} == due - {max(due)}


# --- the stream's failures


BATCH = json.dumps(
    {
        "DDBStreamBatchInfo": {
            "shardId": "shardId-1",
            "startSequenceNumber": "1",
            "endSequenceNumber": "9",
            "streamArn": "arn:x",
        }
    }
)


def test_the_streams_failures_are_deleted_only_after_every_unfinished_job_was_woken() -> None:
    bench, due = queue_with_everything()
    failures = FakeQueue("failures")
    failures.came(BATCH, BATCH)
    bench.outbox.wake_model = lambda alias: failures.log.append(("wake", "", alias))  # type: ignore[method-assign]
    assert redrive_stream_failures(context_on(bench), failures, most=10) == 2
    assert {name for _, name in bench.outbox.sent} == due
    assert [(act, what) for act, _, what in failures.log] == [
        ("wake", ALL),
        ("delete", BATCH),
        ("delete", BATCH),
    ]


def test_a_failure_that_came_after_the_walk_began_stays() -> None:
    bench, _ = queue_with_everything()
    failures = FakeQueue("failures")
    failures.came("old")
    # or so it seems, by another clock
    failures.came("new", sent_at=bench.time - timedelta(seconds=10))
    assert redrive_stream_failures(context_on(bench), failures, most=10) == 1
    assert [message.body for message in failures.hidden] == ["new"]


def test_without_failures_nobody_is_woken() -> None:
    bench, _ = queue_with_everything()
    assert redrive_stream_failures(context_on(bench), FakeQueue("failures"), most=10) == 0
    assert bench.outbox.sent == []


# --- on SQS


def test_on_sqs_every_letter_arrives_and_none_is_left() -> None:
    with mock_aws():
        client = boto3.client("sqs", region_name=REGION)
        dead, source = (
            SqsQueue(client, client.create_queue(QueueName=name)["QueueUrl"])
            for name in ("dead", "source")
        )
        for number in range(12):
            dead.send(json.dumps({"job": number}))
        assert dead.depth() == 12
        assert redrive(dead, source, most=100, sleep=lambda _: None) == 12
        assert (dead.depth(), source.depth()) == (0, 12)
        (first, *_) = source.receive(10)
        assert json.loads(first.body) == {"job": 0}
        assert abs(first.sent_at - datetime.now(UTC)) < timedelta(minutes=1)
