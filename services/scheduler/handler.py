"""The scheduler function. Three triggers, one purpose: find out which job or model is meant, and
reconcile it.

- the events table's stream (`aws:dynamodb`): never blocks its shard. What fails becomes a message
  in the hints queue and is reported done; only if that fails too is the record reported failed, and
  Lambda tries again for as long as the stream lasts. First comes the work of all the batch's jobs,
  then what is published of them (publish.py).
- the hints queue (`aws:sqs`): Bedrock's events, timers, wake-ups. What fails comes back, later each
  time (`retry_seconds`).
- a direct call: a deployment (deployed.py).
"""

import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from bbq.services.scheduler import hints, publish, wiring
from bbq.services.scheduler.deployed import deployed
from bbq.services.scheduler.fill import UNREADABLE
from bbq.services.scheduler.publish import ONLY_PUBLISHED, NotPublished, is_published
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model, wake
from bbq.services.scheduler.world import World
from bbq.shared.batch import Record, partial_failures, retry_seconds
from bbq.shared.names import is_job_id, job_stream
from bbq.shared.telemetry import said

LONGEST_RETRY_SECONDS = 3600  # an outage of days fits in the queue's 120 receives
RECORD_SECONDS = 10.0  # a record that begins with less time than this becomes a hint instead


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The entry point. Answers a batch with its partial failures, a direct call with what it
    woke.
    """
    started = time.monotonic()
    left = context.get_remaining_time_in_millis() / 1000
    world = wiring.world_of(lambda: left - (time.monotonic() - started))
    try:
        return act_on(world, event)
    finally:
        wiring.telemetry.flush()


def act_on(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """Handle one event of the function, whichever of its three triggers it is from."""
    records = event.get("Records")
    if not isinstance(records, list) or not records or not isinstance(records[0], dict):
        return {"woken": deployed(world, event)}
    if records[0].get("eventSource") == "aws:dynamodb":
        seen: set[str] = set()
        done = partial_failures(records, lambda record: on_stream_record(world, record, seen))
        published = partial_failures(records, lambda record: publish_record(world, record))
        return {"batchItemFailures": [*done["batchItemFailures"], *published["batchItemFailures"]]}
    return partial_failures(records, lambda record: _on_message(world, record))


def on_stream_record(world: World, record: Record, seen: set[str]) -> None:
    """Reconcile what the record is about, once in a batch: one look does all that is needed. A
    failure becomes a hint.
    """
    stream = record["dynamodb"]["Keys"]["stream"]["S"]
    kind, _, name = stream.partition("#")
    if stream in seen or kind not in {"job", "model"} or _event_name(record) in ONLY_PUBLISHED:
        return
    seen.add(stream)
    try:
        if world.seconds_left() < RECORD_SECONDS:
            raise TimeoutError("no time left for this record")  # noqa: TRY301 - the same way out as every other failure
        if kind == "job":
            reconcile(world, name, Visit())
        else:
            reconcile_model(world, name)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not block the shard; the hint carries it on
        world.note("StreamRecordFailed", stream=stream, error=said(error))
        world.outbox.wake_job(name) if kind == "job" else world.outbox.wake_model(name)
        if isinstance(error, UNREADABLE) and (alias := _text(record, "model")):
            world.outbox.wake_model(alias)  # whoever waits behind it may begin now


def publish_record(world: World, record: Record) -> None:
    """Publish the record's event, if people want to hear of it. A failure becomes a hint."""
    kind, _, job = record["dynamodb"]["Keys"]["stream"]["S"].partition("#")
    if (
        kind != "job"
        or not is_job_id(job)
        or not is_published(_event_name(record), _text(record, "outcome"))
    ):
        return
    try:
        if world.seconds_left() < RECORD_SECONDS:
            raise TimeoutError("no time left for this record")  # noqa: TRY301 - the same way out as every other failure
        world.topic.publish(publish.message(publish.row_of(record["dynamodb"]["NewImage"])))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not block the shard; the hint carries it on
        world.note("PublishFailed", job=job, error=said(error))
        world.outbox.publish_later(job, int(record["dynamodb"]["Keys"]["version"]["N"]))


def on_hint(world: World, body: str) -> None:
    """Act on a message of the hints queue. What is not a hint changes nothing. Errors rise: the
    message comes back.
    """
    config = world.config
    hint = hints.parse(
        body,
        deployment=config.deployment,
        source=config.event_source,
        account=config.account_id,
        region=config.region,
    )
    match hint:
        case hints.Report():
            reconcile_report(world, hint)
        case hints.JobHint(job=job, attempt=attempt, timer=timer):
            try:
                reconcile(world, job, Visit(look=True, timer=timer))
            except UNREADABLE:
                if attempt or not timer:
                    raise
                # the timer of a fill that passed it: the next fill arms another
                world.note("JobUnreadable", job=job)
        case hints.PublishHint(job=job, version=version):
            _publish_stored(world, job, version)
        case hints.ModelHint(alias=hints.ALL, ask=ask):
            wake(world, ask=ask)
        case hints.ModelHint(alias=alias, ask=ask) if alias in config.models:
            wake(world, alias, ask=ask)
        case _:
            world.note("HintIgnored", reason="NoHint", size=len(body))


def _publish_stored(world: World, job: str, version: int) -> None:
    """Publish what the store has there: a forged hint publishes nothing that is no event of
    ours.
    """
    row = world.store.row(job_stream(job), version)
    if row is None or not is_published(row.name, row.outcome):
        world.note("HintIgnored", reason="NoSuchEvent", job=job)
    else:
        world.topic.publish(publish.message(row))


def _on_message(world: World, record: Record) -> None:
    try:
        on_hint(world, record["body"])
    except Exception as error:
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        name = "PublishFailed" if isinstance(error, NotPublished) else "HintFailed"
        world.note(name, message=record["messageId"], receives=receives, error=said(error))
        world.outbox.hide(record["receiptHandle"], retry_seconds(receives, LONGEST_RETRY_SECONDS))
        raise


def _event_name(record: Record) -> str:
    return _text(record, "name")


def _text(record: Record, attribute: str) -> str:
    """An attribute of the record's event; empty if it has none."""
    text: str = record["dynamodb"].get("NewImage", {}).get(attribute, {}).get("S", "")
    return text
