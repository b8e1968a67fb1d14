"""The intake function: batches of S3 notifications from the uploads queue, one event for each upload.

A message fails alone, and comes back; after ten times it is in the dead-letter queue. Environment, clock and clients enter here
and nowhere else.
"""

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config as ClientConfig

from services.intake.config import Config, read_config
from services.intake.intake import World, take_in
from services.intake.objects import Objects
from services.intake.uploads import uploads_in
from shared.dynamodb import DynamoTables
from shared.store import Store

COPY_TIMEOUT_SECONDS = 120  # S3 answers a copy of gigabytes only when it is done
SLOWEST_BYTES_PER_SECOND = 20e6  # of reading and inspecting, at worst
SPARE_SECONDS = 10.0

logger = Logger()
metrics = Metrics()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The entry point: the batch's partial failures."""
    world = World(config=_config(), store=_store(), objects=_objects(), now=lambda: datetime.now(UTC), note=_note)
    try:
        return take_in_batch(world, event, context)
    finally:
        metrics.flush_metrics()


def take_in_batch(world: World, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Every message is tried, whatever became of the others."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def on_message(record: SQSRecord) -> None:
        try:
            for upload in uploads_in(record.body, world.config.bucket):
                needed = SPARE_SECONDS + upload.size_bytes / SLOWEST_BYTES_PER_SECOND
                if context.get_remaining_time_in_millis() / 1000 < needed:
                    raise TimeoutError(f"not enough time left for {upload.size_bytes} bytes")  # noqa: TRY301 - as all others
                take_in(world, upload)
        except Exception as error:
            world.note("UploadFailed", message=record.message_id, error=repr(error)[:500])
            raise

    return dict(process_partial_response(event, on_message, processor, context))


def _note(name: str, **fields: object) -> None:
    """A constant word, counted as a metric and logged with its fields. Powertools writes JSON, so no field can break a line."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    logger.info(name, extra={"about": fields})


@cache
def _config() -> Config:
    return read_config(os.environ)


@cache
def _store() -> Store:
    return Store(DynamoTables({"events": _config().events_table}, _config().region), sleep=time.sleep)


@cache
def _objects() -> Objects:
    return Objects(boto3.client("s3", config=ClientConfig(read_timeout=COPY_TIMEOUT_SECONDS)))
