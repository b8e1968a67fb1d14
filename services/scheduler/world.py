"""Everything the scheduler's decisions touch, in one argument: configuration, store, AWS, clock,
ids.

`handler.py` builds the real one; tests and simulations build theirs. One world lives as long as one
invocation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bbq.services.scheduler.bedrock import Answer, Found, Request
from bbq.services.scheduler.config import Config
from bbq.shared.store import Store


class BedrockCalls(Protocol):
    """See bedrock.Bedrock."""

    def create(self, request: Request) -> Answer: ...
    def get(self, arn: str) -> Found | None: ...
    def named(self, name: str, since: datetime) -> list[Found]: ...
    def stop(self, arn: str) -> bool: ...


class TimerCalls(Protocol):
    """See timers.Timers."""

    def arm_attempt(self, job: str, attempt: int, due: datetime) -> None: ...
    def arm_model(self, alias: str, due: datetime) -> None: ...
    def disarm_attempt(self, job: str, attempt: int, due: datetime) -> None: ...


class OutboxCalls(Protocol):
    """See outbox.Outbox."""

    def wake_job(self, job: str) -> None: ...
    def wake_model(self, alias: str) -> None: ...
    def publish_later(self, job: str, version: int) -> None: ...
    def hide(self, receipt_handle: str, seconds: int) -> None: ...


class TopicCalls(Protocol):
    """See publish.Topic."""

    def publish(self, body: Mapping[str, str]) -> None: ...


class ResultCalls(Protocol):
    """See results.Results."""

    def manifest(self, output_uri: str, arn: str) -> dict[str, int]: ...


@dataclass(frozen=True, kw_only=True)
class World:
    """`now` is UTC; `seconds_left` is what the invocation still has; `new_id` never repeats for one
    attempt; `note` logs and counts; `measure` takes a model and values by metric
    (shared/telemetry.py); `gauges_due`: whether a model is to be measured again.
    """

    config: Config
    store: Store
    bedrock: BedrockCalls
    timers: TimerCalls
    outbox: OutboxCalls
    topic: TopicCalls
    results: ResultCalls
    now: Callable[[], datetime]
    seconds_left: Callable[[], float]
    new_id: Callable[[], str]
    note: Callable[..., None]
    measure: Callable[..., None] = lambda *_, **__: None
    gauges_due: Callable[[str], bool] = lambda _: False
