"""The smallest part of the system's life that needs each right. Each scenario stops as soon as
`seen` says that it may.
"""

import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bbq.shared import events as e
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.job import ENDS, RUNNING
from bbq.shared.store import Store, VersionTaken
from local.deployment import records, simulator
from tests.rights.bench import Bench, until
from tests.rights.mutation import Right

Seen = Callable[[], object]
Scenario = Callable[[Bench, Seen], None]
MODEL = "haiku"
MODEL_ID = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
QUOTA_MODEL, QUOTA_MODEL_ID = "full", "amazon.nova-lite-v1:0"
MODELS = {
    MODEL: {"model_id": MODEL_ID, "limit": 900},
    QUOTA_MODEL: {"model_id": QUOTA_MODEL_ID, "limit": 9},
}
UNHEARD_MODEL = QUOTA_MODEL  # its slots are not damaged and rebuilt, which would begin a lease anew
NO_QUEUEING = Right(who="intake", sid="AppendEvents", action="dynamodb:PutItem")
# with it gone, every reconcile fails
NO_HISTORY = Right(who="scheduler", sid="AppendEvents", action="dynamodb:Query")

CANCELS = 8  # jobs run for two seconds, and a busy machine may come too late to stop one

_count = iter(range(1_000_000))


def upload(bench: Bench, seen: Seen) -> None:
    """An upload runs, and is tallied."""
    job = bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", records())
    until(lambda: seen() or "processed_records" in bench.deployment.view(job), 90)
    until(seen, 0.5)


def rejected(bench: Bench, seen: Seen) -> None:
    """A file that no model could read."""
    bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", b"not json\n")
    until(seen, 3)


def unversioned(bench: Bench, seen: Seen) -> None:
    """A notification without a version: the bucket's versioning was suspended."""
    key = f"to-process/{MODEL}/{next(_count)}.jsonl"
    _notify(
        bench,
        key,
        bench.deployment.s3.put_object(
            Bucket=bench.deployment.outputs["bucket"], Key=key, Body=records()
        )["ETag"],
    )
    until(seen, 4)


def missing(bench: Bench, seen: Seen) -> None:
    """A notification of an object that is gone."""
    _notify(bench, f"to-process/{MODEL}/{next(_count)}.jsonl", "none")
    until(seen, 4)


def lost_event(bench: Bench, seen: Seen) -> None:
    """Bedrock's events do not come; the attempt's timer asks."""
    simulator("faults", {"event_drop": 1.0})
    try:
        job = _submitted(bench, seen)
        bench.hint(
            {
                "job": job,
                "attempt": 1,
                "due": datetime.now(UTC).replace(second=0, microsecond=0).isoformat(),
            }
        )
        until(seen)
    finally:
        simulator("faults", {"event_drop": 0.0})


def cancel(bench: Bench, seen: Seen) -> None:
    """A running job is cancelled."""
    for _ in range(CANCELS):
        _cancel_one(bench, _submitted(bench, seen))
        if until(seen, 6):
            return


def _cancel_one(bench: Bench, job: str) -> None:
    """As `bbq cancel` does. Another event may be faster, and take the version."""
    outputs = bench.deployment.outputs
    names = {"events": outputs["events_table"], "projections": outputs["projections_table"]}
    store = Store(DynamoTables(names, "us-east-1"), sleep=time.sleep)
    for tries in range(20):
        event = e.CancelRequested(at=datetime.now(UTC), by="rights", why="tried")
        try:
            return store.append(job, store.job(job), event)
        except VersionTaken:
            store.pause(tries)
    raise VersionTaken(job)


def unanswered(bench: Bench, seen: Seen) -> None:
    """A job whose Create was never answered, and whose lease is over: its name is looked up. See
    `prepare`.
    """
    ((job, since),) = _unanswered
    until(lambda: seen() or time.monotonic() > since + LEASE_SECONDS, LEASE_SECONDS)
    bench.hint({"job": job})
    until(seen, 20)


def start(bench: Bench, seen: Seen) -> None:
    """An upload is sent to Bedrock."""
    bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", records())
    until(seen)


def lift_hold(bench: Bench) -> None:
    """A refusal holds the model up for a while; a resume lifts that."""
    for act in ("pause", "resume"):
        bench.run("operator", "bbq", act, MODEL)


def start_other(bench: Bench, seen: Seen) -> None:
    """An upload is sent to a model that is named by its own id."""
    bench.deployment.upload(f"{QUOTA_MODEL}/{next(_count)}.jsonl", records())
    until(seen)


def failing_event(bench: Bench, seen: Seen) -> None:
    """An event cannot be handled: it becomes a hint."""
    with bench.less(NO_HISTORY):
        bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", records())
        until(seen)


def failing_upload(bench: Bench, seen: Seen) -> None:
    """An upload cannot be taken in: its message is hidden for a while."""
    with bench.less(NO_QUEUEING):
        bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", records())
        until(seen)


def failing_hint(bench: Bench, seen: Seen) -> None:
    """A hint cannot be handled: it is hidden for a while."""
    with bench.less(NO_HISTORY):
        bench.hint({"wake": MODEL})
        until(seen)


LEASE_SECONDS = 120 + 35 + 60 + 2.0
_unanswered: list[tuple[str, float]] = []


def prepare(bench: Bench) -> None:
    """What takes minutes to ripen: a job that Bedrock took and ended without anybody hearing of it.
    Its timer is gone, too, or that would look the name up while the right to is still there.
    """
    simulator("faults", {"accept_then_timeout": 1.0, "timeout_seconds": 0.1, "event_drop": 1.0})
    try:
        job = bench.deployment.upload(f"{UNHEARD_MODEL}/unanswered.jsonl", records())
        until(
            lambda: any(
                job in made["jobName"] and made["status"] in ENDS
                for made in simulator("jobs")["jobs"]
            ),
            30,
        )
        time.sleep(1)
        _unanswered.append((job, time.monotonic()))
    finally:
        simulator("faults", {"accept_then_timeout": 0.0, "event_drop": 0.0})
    timers = bench.deployment.client("scheduler")
    for timer in timers.list_schedules()["Schedules"]:
        if timer["Name"].startswith(job):
            timers.delete_schedule(Name=timer["Name"], GroupName=timer["GroupName"])


def viewer(bench: Bench, seen: Seen) -> None:
    """Everything that a viewer looks at."""
    job = _finished(bench)
    with tempfile.TemporaryDirectory() as directory:
        for command in (
            ["status"],
            ["show", job],
            ["show", f"{MODEL}/finished.jsonl"],
            ["jobs"],
            ["download", job, directory],
        ):
            bench.run("viewer", "bbq", *command)
            if seen():
                return


def running(bench: Bench, seen: Seen) -> None:
    """A viewer asks what Bedrock says of a job that runs."""
    job = bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", records())
    until(lambda: bench.deployment.view(job).get("status") == "InProgress", 30)
    # so that it runs, as far as anybody knows, until `bbq` has started
    simulator("faults", {"event_drop": 1.0})
    try:
        bench.run("viewer", "bbq", "show", job)
    finally:
        simulator("faults", {"event_drop": 0.0})


def operator(bench: Bench, seen: Seen) -> None:
    """Everything that an operator does."""
    job = _finished(bench)
    outputs = bench.deployment.outputs
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "mine.jsonl"
        file.write_bytes(records())
        for url in outputs["dead_letter_queue_urls"].values():
            bench.deployment.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"job": job}))
        for command in (
            ["submit", str(file), "--model", MODEL, "--yes"],
            ["wake", MODEL],
            ["pause", MODEL, "--why", "tried"],
            ["resume", MODEL],
            ["verify"],
            ["redrive", "--yes"],
            ["rebuild", "--yes"],
        ):
            bench.run("operator", "bbq", *command)
            if seen():
                return


def damaged(bench: Bench, seen: Seen) -> None:
    """An operator mends projections in which a place in line is too many, a view is gone and the
    slots are wrong.
    """
    table, client = bench.deployment.outputs["projections_table"], bench.deployment.dynamodb
    job = _finished(bench)
    client.delete_item(TableName=table, Key={"pk": {"S": f"job#{job}"}, "sk": {"S": "view"}})
    client.put_item(
        TableName=table,
        Item={
            "pk": {"S": f"line#{MODEL}"},
            "sk": {"S": f"5#2026-01-01T00:00:00.000000Z#{job}"},
            "job": {"S": job},
        },
    )
    client.delete_item(TableName=table, Key={"pk": {"S": f"slots#{MODEL}"}, "sk": {"S": "slots"}})
    bench.run("operator", "bbq", "rebuild", "--yes")


def large(bench: Bench, seen: Seen) -> None:
    """A file that is uploaded in parts."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "large.jsonl"
        file.write_bytes(records(100, words="w" * 100_000))
        bench.run("operator", "bbq", "submit", str(file), "--model", MODEL, "--yes")


def _finished(bench: Bench) -> str:
    if not _done:
        job = bench.deployment.upload(f"{MODEL}/finished.jsonl", records())
        until(lambda: "processed_records" in bench.deployment.view(job), 20)
        _done.append(job)
    return _done[0]


_done: list[str] = []


def _submitted(bench: Bench, seen: Seen) -> str:
    job = bench.deployment.upload(f"{MODEL}/{next(_count)}.jsonl", records())
    # a job of an earlier trial may have been refused, and holds its model for a minute
    bench.hint({"wake": MODEL, "ask": True})
    until(lambda: seen() or bench.deployment.view(job).get("status") in RUNNING, 30)
    return job


def _notify(bench: Bench, key: str, etag: str) -> None:
    bucket = bench.deployment.outputs["bucket"]
    thing = {"key": key, "size": 1, "eTag": etag.strip('"'), "sequencer": f"{next(_count):016X}"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": thing,
        },
    }
    url = bench.deployment.outputs["intake_queue_url"]
    bench.deployment.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": [record]}))
