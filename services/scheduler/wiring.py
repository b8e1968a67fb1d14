"""The scheduler's `World` as it is on AWS: environment, clock, ids and clients enter here and
nowhere else.
"""

import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.config import Config as ClientConfig
from botocore.session import Session, get_session

from bbq.services.scheduler import publish
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
from bbq.services.scheduler.outbox import Outbox
from bbq.services.scheduler.publish import Topic
from bbq.services.scheduler.results import Results
from bbq.services.scheduler.timers import Timers
from bbq.services.scheduler.world import World
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.store import Store
from bbq.shared.telemetry import Telemetry

# of a lease's owner, who is told apart from the few others that one attempt may have had
ID_BYTES = 6
GAUGE_SECONDS = 30.0  # a model's line is measured at most so often by one container

telemetry = Telemetry()
# model -> when this container measured its line last, by its monotonic clock
_measured: dict[str, float] = {}


def world_of(seconds_left: Callable[[], float]) -> World:
    """One invocation's."""
    config = _config()
    bedrock, timers, outbox, topic, results = _clients()
    return World(
        config=config,
        store=Store(_tables(), sleep=time.sleep),
        bedrock=bedrock,
        timers=timers,
        outbox=outbox,
        topic=topic,
        results=results,
        now=lambda: datetime.now(UTC),
        seconds_left=seconds_left,
        new_id=lambda: secrets.token_urlsafe(ID_BYTES),
        note=telemetry.note,
        measure=telemetry.measure,
        gauges_due=_gauges_due,
    )


def _gauges_due(alias: str) -> bool:
    now = time.monotonic()
    if now - _measured.get(alias, -GAUGE_SECONDS) < GAUGE_SECONDS:
        return False
    _measured[alias] = now
    return True


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
    return DynamoTables(
        {"events": config.events_table, "projections": config.projections_table},
        config.region,
        _session(),
    )


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
    return (
        Bedrock(_client("bedrock", config=once)),
        timers,
        outbox,
        topic,
        Results(_client("s3", config=soon)),
    )


def _client(service: str, **options: Any) -> Any:
    """One of botocore's clients (local/build.py packs their data: SDK_SERVICES); their types name
    no service.
    """
    return _session().create_client(service, **options)
