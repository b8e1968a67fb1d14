"""What people want to hear of is published, and whatever becomes of that, the jobs' own work is
done.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from bbq.services.scheduler import handler as h
from bbq.services.scheduler import publish
from bbq.services.scheduler.outbox import Outbox
from bbq.services.scheduler.publish import ONLY_PUBLISHED, PUBLISHED, NotPublished, Topic
from bbq.shared import events as e
from bbq.shared.names import job_stream
from bbq.shared.tables import EventRow
from tests.support.driving import ended, started
from tests.support.payloads import body, image, sqs_event, stream_event, stream_of
from tests.support.world import Bench

HOSTILE_KEY = 'to-process/a", "owner": "somebody@else.org", "x": "\\ü\ud800\u2028\x07.jsonl'
DENIED = ClientError({"Error": {"Code": "AuthorizationError", "Message": "no"}}, "Publish")
SILENCE = ReadTimeoutError(endpoint_url="https://sns")


class Sns:
    """boto3's `sns`: keeps the arguments of each Publish, or raises."""

    def __init__(self, *errors: Exception) -> None:
        self.calls: list[dict[str, str]] = []
        self.tries = 0
        self._errors = list(errors)

    def publish(self, **arguments: str) -> None:
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        self.calls.append(arguments)


def record(stream: str, name: str, version: int = 1, **attributes: str) -> dict[str, Any]:
    """A batch of one record."""
    event = stream_event(stream)
    event["Records"][0]["dynamodb"] |= {
        "Keys": {"stream": {"S": stream}, "version": {"N": str(version)}},
        "NewImage": image(stream, name, version, **attributes),
    }
    return event


def told(bench: Bench) -> list[tuple[str, str]]:
    return [(body["event"], body["version"]) for body in bench.topic.messages]


def hint_of(job: str, version: int) -> dict[str, Any]:
    """What the outbox really sends."""
    sent: list[str] = []
    Outbox(
        type(
            "Sqs", (), {"send_message": lambda _, QueueUrl, MessageBody: sent.append(MessageBody)}
        )(),
        "q",
    ).publish_later(job, version)
    return sqs_event(*sent)


@pytest.mark.parametrize("name", sorted(e.EVENTS))
def test_five_events_are_published_and_no_other(name: str) -> None:
    bench = Bench(limit=0)
    job = bench.upload()
    assert h.act_on(bench.world(), record(job_stream(job), name, 3)) == {"batchItemFailures": []}
    wanted = name in {"job-queued", "job-rejected", "job-ended", "job-tallied", "job-cancelled"}
    assert told(bench) == ([(name, "3")] if wanted else [])


@pytest.mark.parametrize("way", ["the stream", "a hint"])
def test_a_cancel_that_ends_a_job_is_published(way: str) -> None:
    bench = Bench()
    job = started(bench)
    ended(bench, job, "Failed", processed=0, total=0)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    version = bench.job(job).version
    sent = record(job_stream(job), "cancel-requested", version, outcome="Failed")
    h.act_on(bench.world(), sent if way == "the stream" else hint_of(job, version))
    assert told(bench) == [("cancel-requested", str(version))]
    assert bench.topic.messages[0]["outcome"] == "Failed"


@pytest.mark.parametrize("stream", ["model#haiku", "job#", "job#nobody", "other#x", "x"])
def test_what_is_no_job_is_not_published(stream: str) -> None:
    bench = Bench()
    h.act_on(bench.world(), record(stream, "job-ended"))
    assert (told(bench), bench.outbox.sent) == ([], [])


@pytest.mark.parametrize("name", sorted(ONLY_PUBLISHED))
def test_an_event_that_leaves_nothing_to_do_costs_no_read(name: str) -> None:
    bench = Bench()
    job = bench.upload()

    def read(stream: str, after: int = 0) -> Any:
        pytest.fail(f"read {stream} {after}")

    bench.store.load = read  # type: ignore[method-assign] # to notice
    h.act_on(bench.world(), record(job_stream(job), name))
    assert told(bench) == [(name, "1")]


def test_a_message_says_what_the_event_says_and_what_the_job_is_after_it() -> None:
    data = '{"attempt": 1, "message": "a \\"b\\"", "arn": null}'
    attributes = {
        "status": "Failed",
        "outcome": "Failed",
        "key": HOSTILE_KEY,
        "owner": 'o"',
        "data": data,
    }
    row = publish.row_of(image("job#" + "a" * 26, "job-ended", 4, **attributes))
    assert publish.message(row) == {
        "job": "a" * 26,
        "model": "haiku",
        "status": "Failed",
        "outcome": "Failed",
        "owner": 'o"',
        "key": HOSTILE_KEY,
        "event": "job-ended",
        "version": "4",
        "at": "2026-11-24T09:30:00.000000Z",
        "data": data,
    }


def test_a_stored_event_and_its_record_in_the_stream_are_one_message() -> None:
    bench = Bench()
    job = bench.upload()
    stored = bench.store.row(job_stream(job), 1)
    assert stored is not None
    assert publish.message(publish.row_of(stored.to_dynamodb_dict())) == publish.message(stored)
    assert publish.message(stored) | {"data": ""} == {
        "job": job,
        "model": "haiku",
        "status": "Queued",
        "outcome": "",
        "owner": "",
        "key": "to-process/haiku/a.jsonl",
        "event": "job-queued",
        "version": "1",
        "at": stored.at,
        "data": "",
    }
    assert json.loads(publish.message(stored)["data"]) == stored.data


def test_the_topic_gets_json_in_ascii_whatever_the_key_holds() -> None:
    sns = Sns()
    Topic(lambda: sns, "arn:topic").publish({"key": HOSTILE_KEY})  # type: ignore[arg-type,return-value] # what is called of it
    assert [call["TopicArn"] for call in sns.calls] == ["arn:topic"]
    assert sns.calls[0]["Message"].isascii()
    assert json.loads(sns.calls[0]["Message"]) == {"key": HOSTILE_KEY}


def test_the_client_is_made_when_the_first_message_is_published_and_once() -> None:
    made: list[Sns] = []

    def connect() -> Any:
        made.append(Sns())
        return made[-1]

    topic = Topic(connect, "arn:topic")
    assert made == []
    topic.publish({})
    topic.publish({})
    assert [len(sns.calls) for sns in made] == [2]


def test_a_topic_that_hangs_is_left_alone_for_a_minute_and_one_that_refuses_is_not() -> None:
    time = [0.0]
    sns = Sns(DENIED, SILENCE)
    topic = Topic(lambda: sns, "arn:topic", clock=lambda: time[0])  # type: ignore[arg-type,return-value] # what is called of it
    for now, tries in ((0.0, 1), (0.0, 2), (59.0, 2)):
        time[0] = now
        with pytest.raises(NotPublished):
            topic.publish({})
        assert sns.tries == tries
    time[0] = 60.0
    topic.publish({})
    assert len(sns.calls) == 1


def test_a_topic_that_is_out_of_reach_holds_up_no_job_and_its_message_becomes_a_hint() -> None:
    bench = Bench()
    bench.topic.broken = True
    job = bench.upload()
    assert h.act_on(bench.world(), stream_of(job)) == {"batchItemFailures": []}
    assert bench.job(job).status == "Submitted"
    assert bench.outbox.sent == [("publish", f"{job} 1")]
    assert [name for name, _ in bench.notes if name.endswith("Failed")] == ["PublishFailed"]


def test_all_jobs_of_a_batch_are_looked_at_before_the_first_message() -> None:
    bench = Bench(limit=2)
    jobs = [bench.upload("a"), bench.upload("b")]
    seen: list[list[str]] = []
    publish_one = bench.topic.publish

    def publish_and_look(body: Mapping[str, str]) -> None:
        seen.append([bench.job(job).status for job in jobs])
        publish_one(body)

    bench.topic.publish = publish_and_look  # type: ignore[method-assign] # to look just then
    h.act_on(bench.world(), stream_of(*jobs))
    assert seen == [["Submitted", "Submitted"]] * 2


def test_a_job_that_cannot_be_looked_at_is_published_all_the_same() -> None:
    bench = Bench()
    job = bench.upload()

    def denied(stream: str, after: int = 0) -> Any:
        raise DENIED

    bench.store.load = denied  # type: ignore[method-assign] # its partition is out of reach
    h.act_on(bench.world(), stream_of(job))
    assert bench.outbox.sent == [("job", job)]
    assert told(bench) == [("job-queued", "1")]


def test_only_when_the_hint_fails_too_is_the_record_reported_failed() -> None:
    bench = Bench(limit=2)
    bad, good = bench.upload("bad"), bench.upload("good")
    bench.topic.broken = True

    def broken(job: str, version: int) -> None:
        if job == bad:
            raise DENIED
        bench.outbox.sent.append(("publish", f"{job} {version}"))

    bench.outbox.publish_later = broken  # type: ignore[method-assign] # the queue is out of reach
    event = stream_of(bad, good)
    failed = event["Records"][0]["dynamodb"]["SequenceNumber"]
    assert h.act_on(bench.world(), event) == {"batchItemFailures": [{"itemIdentifier": failed}]}
    assert [bench.job(job).status for job in (bad, good)] == ["Submitted", "Submitted"]
    assert bench.outbox.sent == [("publish", f"{good} 1")]


def test_a_hint_publishes_the_stored_event_and_comes_back_later_each_time_until_it_could() -> None:
    bench = Bench()
    job = bench.upload()
    bench.topic.broken = True
    event = hint_of(job, 1)
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "3"
    assert h.act_on(bench.world(), event) == {
        "batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]
    }
    assert [seconds for _, seconds in bench.outbox.hidden] == [120]
    assert [name for name, _ in bench.notes] == ["PublishFailed"], (
        "HintFailed would say that a job is not looked after"
    )
    bench.topic.broken = False
    assert h.act_on(bench.world(), event) == {"batchItemFailures": []}
    stored = bench.store.row(job_stream(job), 1)
    assert stored
    assert bench.topic.messages == [publish.message(stored)]
    assert bench.job(job).status == "Queued", "it publishes, and does nothing else"


@pytest.mark.parametrize(
    "forged",
    [
        {"publish": "{job}", "version": 99},
        {"publish": "{job}", "version": 2},
        {"publish": "{job}", "version": 0},
        {"publish": "{job}", "version": -1},
        {"publish": "{job}", "version": True},
        {"publish": "{job}", "version": "1"},
        {"publish": "{job}"},
        {"publish": "a" * 26, "version": 1},
        {"publish": "model#haiku", "version": 1},
        {"publish": {"job": "{job}", "text": "hello"}, "version": 1},
        {"publish": None, "version": 1},
    ],
)
def test_a_forged_hint_changes_nothing_and_publishes_nothing(forged: dict[str, object]) -> None:
    """Version 2 is a claim: an event of ours, and none that is published."""
    bench = Bench()
    job = bench.upload()
    h.act_on(bench.world(), stream_of(job))
    bench.topic.messages.clear()
    bench.notes.clear()
    before = copy.deepcopy(bench.history(job))
    assert before[1] == "slot-claimed"
    text = body(forged).replace("{job}", job)
    assert h.act_on(bench.world(), sqs_event(text)) == {"batchItemFailures": []}
    assert (bench.topic.messages, bench.history(job)) == ([], before)
    assert [name for name, _ in bench.notes] == ["HintIgnored"]


def test_a_record_without_an_event_is_asked_of_the_store() -> None:
    bench = Bench(limit=0)
    job = bench.upload()
    event = stream_of(job)
    event["Records"][0]["dynamodb"]["NewImage"] = {
        "name": {"S": "job-ended"},
        "version": {"N": "1"},
    }
    h.act_on(bench.world(), event)
    assert (told(bench), bench.outbox.sent) == ([], [("publish", f"{job} 1")])


def test_every_event_that_is_published_is_one_of_a_job() -> None:
    assert ONLY_PUBLISHED < PUBLISHED < e.EVENTS.keys()
    assert EventRow().job == "", "subscribers' words are never missing"
