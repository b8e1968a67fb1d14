"""The intake function: batches of S3 notifications from the uploads queue, one event for each
upload.

A message fails alone, and comes back, later each time (`retry_seconds`), until it is in the
dead-letter queue. Environment, clock and clients enter here and nowhere else.
"""

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config as ClientConfig
from botocore.session import Session, get_session

from bbq.services.intake.config import Config, read_config
from bbq.services.intake.intake import World, take_in
from bbq.services.intake.objects import Objects
from bbq.services.intake.uploads import NotANotification, Upload, announced
from bbq.shared.batch import Record, partial_failures, retry_seconds
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.store import Store
from bbq.shared.telemetry import Telemetry, said

CONNECT_TIMEOUT_SECONDS = 5
LONGEST_RETRY_SECONDS = 1800  # an outage of nine hours fits in the queue's 24 receives
READ_TIMEOUT_SECONDS = 120  # S3 answers a copy of gigabytes only when it is done

telemetry = Telemetry()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The entry point: the batch's partial failures."""
    world = World(
        config=_config(),
        store=_store(),
        objects=_objects(),
        now=lambda: datetime.now(UTC),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
        note=telemetry.note,
        hide=_hide,
    )
    try:
        return take_in_batch(world, event)
    finally:
        telemetry.flush()


def take_in_batch(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """Every message is tried, whatever became of the others; Lambda hears which failed."""
    return partial_failures(event["Records"], lambda record: _on_message(world, record))


def _on_message(world: World, record: Record) -> None:
    try:
        take_in_message(world, record["body"])
    except Exception as error:
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        world.note(
            "MessageFailed", message=record["messageId"], receives=receives, error=said(error)
        )
        world.hide(record["receiptHandle"], retry_seconds(receives, LONGEST_RETRY_SECONDS))
        raise


def take_in_message(world: World, body: str) -> None:
    """Take in all that a message announces. Then the first failure rises: what did not fail is not
    done twice.
    """
    failures: list[Exception] = []
    for entry in announced(body, world.config.bucket):
        match entry:
            case Upload():
                try:
                    take_in(world, entry)
                except Exception as error:  # noqa: BLE001 - raised below, after the others had their turn
                    failures.append(error)
            case NotANotification():
                failures.append(entry)
            case _:
                world.note("UploadIgnored", reason=entry.reason)
    if failures:
        raise failures[0]


@cache
def _config() -> Config:
    return read_config(os.environ)


@cache
def _session() -> Session:
    """One for all clients: see DynamoTables."""
    return get_session()


@cache
def _store() -> Store:
    return Store(
        DynamoTables({"events": _config().events_table}, _config().region, _session()),
        sleep=time.sleep,
    )


@cache
def _objects() -> Objects:
    config = ClientConfig(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    return Objects(_client("s3", config=config))


def _hide(receipt_handle: str, seconds: int) -> None:
    """Keep a failed message from coming back for so long. Its client is made when something fails,
    and not at a cold start.
    """
    _client("sqs").change_message_visibility(
        QueueUrl=_config().uploads_queue_url,
        ReceiptHandle=receipt_handle,
        VisibilityTimeout=seconds,
    )


def _client(service: str, **options: Any) -> Any:
    """One of botocore's clients (local/build.py packs their data: SDK_SERVICES); their types name
    no service.
    """
    return _session().create_client(service, **options)
