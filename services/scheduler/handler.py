"""The scheduler function. Two triggers, one purpose: find out which job or model is meant, and reconcile it.

- the events table's stream (`aws:dynamodb`): never blocks its shard. What fails becomes a message in the hints queue and is
  reported done; only if that fails too is the record reported failed, and Lambda tries again for as long as the stream lasts.
  First comes the work of all the batch's jobs, then what is published of them (publish.py).
- the hints queue (`aws:sqs`): Bedrock's events, timers, wake-ups. What fails comes back, later each time (`retry_seconds`).
- a direct call `{"wake": "all", "limits": {alias: n}}`: a deployment. It waits while AWS does not know the function's rights yet.

Environment, clock, ids and clients enter here and nowhere else.
"""

import os
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError
from botocore.session import Session, get_session
from pynamodb.exceptions import PynamoDBException

from bbq.services.scheduler import hints, publish
from bbq.services.scheduler.bedrock import Bedrock
from bbq.services.scheduler.config import (
    CALL_ATTEMPTS,
    CALL_CONNECT_TIMEOUT_SECONDS,
    CALL_READ_TIMEOUT_SECONDS,
    CREATE_CONNECT_TIMEOUT_SECONDS,
    CREATE_READ_TIMEOUT_SECONDS,
    Config,
    read_config,
)
from bbq.services.scheduler.fill import UNREADABLE
from bbq.services.scheduler.outbox import Outbox
from bbq.services.scheduler.publish import ONLY_PUBLISHED, PUBLISHED, NotPublished, Topic
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.results import Results
from bbq.services.scheduler.timers import Timers
from bbq.services.scheduler.wake import reconcile_model, wake
from bbq.services.scheduler.world import World
from bbq.shared.batch import Record, partial_failures, retry_seconds
from bbq.shared.due import follow_up_due
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.names import is_job_id, job_stream
from bbq.shared.store import Store
from bbq.shared.telemetry import Telemetry, said

LONGEST_RETRY_SECONDS = 3600  # an outage of days fits in the queue's 120 receives
RECORD_SECONDS = 10.0  # a record that begins with less time than this becomes a hint instead

ID_BYTES = 6  # of a lease's owner, who is told apart from the few others that one attempt may have had
MAX_LIMIT = 10_000  # terraform/variables.tf
LONGEST_PAUSE = 9  # of `Store.pause`, which is a second then
# What AWS answers while a role or its policy is young (recorded 2026-03-24, terraform-aws-control_tower_account_factory #614;
# IAM user guide, "Troubleshoot IAM": changes are not always immediately visible).
NO_RIGHTS_YET = {"AccessDenied", "AccessDeniedException", "KMSAccessDeniedException", "UnrecognizedClientException"}
GAUGE_SECONDS = 30.0  # a model's line is measured at most so often by one container

telemetry = Telemetry()
_measured: dict[str, float] = {}  # model -> when this container measured its line last, by its monotonic clock


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The entry point. Answers a batch with its partial failures, a direct call with what it woke."""
    started = time.monotonic()
    left = context.get_remaining_time_in_millis() / 1000
    world = _world(lambda: left - (time.monotonic() - started))
    try:
        return act_on(world, event)
    finally:
        telemetry.flush()


def act_on(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """Handle one event of the function, whichever of its three triggers it is from."""
    records = event.get("Records")
    if not isinstance(records, list) or not records or not isinstance(records[0], dict):
        return {"woken": _deployed(world, *_asked(world, event))}
    if records[0].get("eventSource") == "aws:dynamodb":
        seen: set[str] = set()
        done = partial_failures(records, lambda record: on_stream_record(world, record, seen))
        published = partial_failures(records, lambda record: publish_record(world, record))
        return {"batchItemFailures": [*done["batchItemFailures"], *published["batchItemFailures"]]}
    return partial_failures(records, lambda record: _on_message(world, record))


def on_stream_record(world: World, record: Record, seen: set[str]) -> None:
    """Reconcile what the record is about, once in a batch: one look does all that is needed. A failure becomes a hint."""
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


def publish_record(world: World, record: Record) -> None:
    """Publish the record's event, if people want to hear of it. A failure becomes a hint."""
    kind, _, job = record["dynamodb"]["Keys"]["stream"]["S"].partition("#")
    if kind != "job" or not is_job_id(job) or _event_name(record) not in PUBLISHED:
        return
    try:
        if world.seconds_left() < RECORD_SECONDS:
            raise TimeoutError("no time left for this record")  # noqa: TRY301 - the same way out as every other failure
        world.topic.publish(publish.message(publish.row_of(record["dynamodb"]["NewImage"])))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not block the shard; the hint carries it on
        world.note("PublishFailed", job=job, error=said(error))
        world.outbox.publish_later(job, int(record["dynamodb"]["Keys"]["version"]["N"]))


def on_hint(world: World, body: str) -> None:
    """Act on a message of the hints queue. What is not a hint changes nothing. Errors rise: the message comes back."""
    config = world.config
    hint = hints.parse(
        body, deployment=config.deployment, source=config.event_source, account=config.account_id, region=config.region
    )
    match hint:
        case hints.Report():
            reconcile_report(world, hint)
        case hints.JobHint(job=job, attempt=attempt, due=due):
            again = follow_up_due(due, world.now())
            if again is not None and world.store.exists(job_stream(job)):  # nobody arms timers for what never was
                world.timers.arm_attempt(job, attempt, again)
            try:
                reconcile(world, job, Visit(look=True, timer=due is not None))
            except UNREADABLE:
                if attempt or due is None:
                    raise
                world.note("JobUnreadable", job=job)  # the timer of a fill that passed it: the next fill arms another
        case hints.PublishHint(job=job, version=version):
            _publish_stored(world, job, version)
        case hints.ModelHint(alias=hints.ALL, ask=ask):
            wake(world, ask=ask)
        case hints.ModelHint(alias=alias, due=due, ask=ask) if alias in config.models:
            if (again := follow_up_due(due, world.now())) is not None:
                world.timers.arm_model(alias, again)
            wake(world, alias, ask=ask)
        case _:
            world.note("HintIgnored", reason="NoHint", size=len(body))


def _publish_stored(world: World, job: str, version: int) -> None:
    """Publish what the store has there: a forged hint publishes nothing that is no event of ours."""
    row = world.store.row(job_stream(job), version)
    if row is None or row.name not in PUBLISHED:
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
    name: str = record["dynamodb"].get("NewImage", {}).get("name", {}).get("S", "")
    return name


def _deployed(world: World, alias: str | None, limits: dict[str, int] | None) -> list[str]:
    """Wake one model, or all: what a deployment asks for. Raises what went wrong after every model had its turn.

    In the apply that makes the function's role its rights may not hold yet: then what failed for want of them is tried again,
    until the time of the invocation is nearly over.
    """
    aliases = [alias] if alias is not None else list(world.config.models)
    left, errors, failed = aliases, list[Exception](), list[str]()
    while left:
        again = []
        for each in left:
            try:
                wake(world, each, limits, ask=True)
            except Exception as error:  # noqa: BLE001 - raised below, after the others had their turn
                if _no_rights_yet(error) and world.seconds_left() > RECORD_SECONDS:
                    world.note("RightsNotThereYet", model=each, error=said(error))
                    again.append(each)
                else:
                    errors.extend(error.exceptions if isinstance(error, ExceptionGroup) else [error])
                    failed.append(each)
        if again:
            world.store.pause(LONGEST_PAUSE)
        left = again
    if errors:
        # A timer of its hold may have met a model that was not configured; a person may wait long before the next apply.
        for each in failed:
            with suppress(Exception):
                world.outbox.wake_model(each)
        raise ExceptionGroup("some models could not be looked after", errors)
    return aliases


def _no_rights_yet(error: BaseException) -> bool:
    match error:
        case ExceptionGroup():
            return all(map(_no_rights_yet, error.exceptions))
        case PynamoDBException():
            return error.cause_response_code in NO_RIGHTS_YET
        case ClientError():
            return error.response["Error"].get("Code") in NO_RIGHTS_YET
        case _:
            return False


def _asked(world: World, event: dict[str, Any]) -> tuple[str | None, dict[str, int] | None]:
    """The model to wake (None: all) and the limits of a direct call. Raises ValueError, which its caller is told."""
    alias, limits = event.get("wake"), event.get("limits")
    models, problem = world.config.models, ""
    if not isinstance(alias, str) or (alias != hints.ALL and alias not in models):
        problem = f'say {{"wake": "all"}} or one of: {", ".join(models)}'
    elif limits is not None and not _are_limits(limits):
        problem = f"limits must be a whole number from 0 to {MAX_LIMIT} for each model"
    if problem:
        world.note("HintIgnored", reason="NoWake")
        raise ValueError(problem)
    return (None if alias == hints.ALL else alias), limits


def _are_limits(limits: Any) -> bool:
    """They become events: what is not a limit would stop its model for good."""
    return isinstance(limits, dict) and all(
        isinstance(limit, int) and not isinstance(limit, bool) and 0 <= limit <= MAX_LIMIT for limit in limits.values()
    )


def _gauges_due(alias: str) -> bool:
    now = time.monotonic()
    if now - _measured.get(alias, -GAUGE_SECONDS) < GAUGE_SECONDS:
        return False
    _measured[alias] = now
    return True


def _world(seconds_left: Any) -> World:
    config = _config()
    bedrock, timers, outbox, topic, results = _clients()
    return World(
        config=config, store=Store(_tables(), sleep=time.sleep), bedrock=bedrock, timers=timers, outbox=outbox,
        topic=topic, results=results, now=lambda: datetime.now(UTC), seconds_left=seconds_left,
        new_id=lambda: secrets.token_urlsafe(ID_BYTES),
        note=telemetry.note, measure=telemetry.measure, gauges_due=_gauges_due,
    )  # fmt: skip


@cache
def _config() -> Config:
    return read_config(os.environ)


@cache
def _session() -> Session:
    """One for all clients: see DynamoTables."""
    return get_session()


@cache
def _tables() -> DynamoTables:
    config = _config()
    return DynamoTables({"events": config.events_table, "projections": config.projections_table}, config.region, _session())


@cache
def _clients() -> tuple[Bedrock, Timers, Outbox, Topic, Results]:
    config = _config()
    once = ClientConfig(
        retries={"total_max_attempts": 1},
        connect_timeout=CREATE_CONNECT_TIMEOUT_SECONDS,
        read_timeout=CREATE_READ_TIMEOUT_SECONDS,
    )
    soon = ClientConfig(
        retries={"mode": "standard", "total_max_attempts": CALL_ATTEMPTS},
        connect_timeout=CALL_CONNECT_TIMEOUT_SECONDS,
        read_timeout=CALL_READ_TIMEOUT_SECONDS,
    )
    timers = Timers(
        _client("scheduler", config=soon),
        group=config.timer_group,
        role_arn=config.timer_role_arn,
        queue_arn=config.hints_queue_arn,
        dlq_arn=config.hints_dlq_arn,
    )
    outbox = Outbox(_client("sqs", config=soon), config.hints_queue_url)
    short = ClientConfig(
        retries={"total_max_attempts": 1},
        connect_timeout=publish.CONNECT_TIMEOUT_SECONDS,
        read_timeout=publish.READ_TIMEOUT_SECONDS,
    )
    topic = Topic(lambda: _client("sns", config=short), config.events_topic_arn)
    return Bedrock(_client("bedrock", config=once)), timers, outbox, topic, Results(_client("s3", config=soon))


def _client(service: str, **options: Any) -> Any:
    """One of botocore's clients (local/build.py packs their data: SDK_SERVICES); their types name no service."""
    return _session().create_client(service, **options)
