"""State-change events: their documented shape, and how they reach the emulator's event bus (or do
not).

Bedrock promises best effort, no order and no single delivery; `Faults` makes each of that happen.
AWS and the emulator refuse PutEvents from sources that begin with `aws.`, so the source is a
setting. Each job keeps to one sender thread: without a fault its events stay in order, and the
rules never wait for the network.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import threading
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local.bedrock_simulator.models import foundation_model_arn, model_arn

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from datetime import datetime

    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

    from local.bedrock_simulator.faults import Faults
    from local.bedrock_simulator.jobs import Settings, StatusChange

DETAIL_TYPE = "Batch Inference Job State Change"
MAX_ENTRIES_PER_CALL = 10
SENDERS = 4

log = logging.getLogger(__name__)


class EventBus(Protocol):
    """What a sender needs: a function that delivers 1-10 entries and says how many were refused."""

    def __call__(self, entries: list[PutEventsRequestEntryTypeDef], /) -> int: ...


def event_entry(
    change: StatusChange, settings: Settings, source: str, faults: Faults
) -> PutEventsRequestEntryTypeDef:
    """One PutEvents entry, with exactly the detail fields of the documented sample."""
    detail = {
        "version": "0.0",
        "accountId": settings.account,
        "batchJobName": change.name,
        "batchJobArn": change.arn,
        "batchModelId": _model_id(change.model, settings, faults),
        "status": change.status,
        "failureMessage": change.message,
        "creationTime": _creation_time(change.submit_time),
    }
    return {
        "Time": change.at,
        "Source": source,
        "Resources": [change.arn],
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail),
    }


def _model_id(model: str, settings: Settings, faults: Faults) -> str:
    """The documented sample names a foundation model by its ARN; how the event of a profile's job
    names it is not known.
    """
    if faults.event_model_id == "as-given":
        return model
    if faults.event_model_id == "foundation-model":
        return foundation_model_arn(model, settings.region)
    return model_arn(model, settings.region, settings.account)


def _creation_time(moment: datetime) -> str:
    """As in the sample: `Aug 28, 2024, 10:47:53 PM`."""
    return f"{moment:%b} {moment.day}, {moment.year}, {moment.hour % 12 or 12}:{moment:%M:%S %p}"


class Events:
    """Takes changes without waiting and sends them from threads of its own. Stop with `close`."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        new_bus: Callable[[], EventBus],
        chance: random.Random,
    ) -> None:
        self._settings, self._source, self._chance = settings, source, chance
        self._struck = Counter(dict.fromkeys(("dropped", "duplicated", "delayed", "reordered"), 0))
        self._senders = [_Sender(new_bus) for _ in range(SENDERS)]
        for sender in self._senders:
            sender.start()

    def put(self, change: StatusChange, faults: Faults) -> None:
        """Called under the driver's lock, one change at a time."""
        if change.status not in faults.event_statuses:
            return
        sender = self._senders[zlib.crc32(change.job_id.encode()) % SENDERS]
        entry = event_entry(change, self._settings, self._source, faults)
        if self._strikes("dropped", faults.event_drop):
            return
        sender.put(self._wait(faults), entry)
        if self._strikes("duplicated", faults.event_duplicate):
            sender.put(self._wait(faults), entry)

    def counts(self) -> dict[str, int]:
        """Events by what became of them. `sent` counts duplicates too, `failed` those that the bus
        did not take.
        """
        sent, failed = (
            sum(getattr(sender, name) for sender in self._senders) for name in ("sent", "failed")
        )
        return {"sent": sent, "failed": failed, **self._struck}

    def close(self) -> None:
        for sender in self._senders:
            sender.close()

    def _wait(self, faults: Faults) -> float:
        seconds = 0.0
        if self._strikes("delayed", faults.event_delay):
            seconds += self._chance.uniform(*faults.event_delay_seconds)
        if self._strikes("reordered", faults.event_reorder):
            seconds += self._chance.uniform(*faults.event_reorder_seconds)
        return seconds

    def _strikes(self, fault: str, rate: float) -> bool:
        struck = self._chance.random() < rate
        self._struck[fault] += struck
        return struck


class _Sender(threading.Thread):
    def __init__(self, new_bus: Callable[[], EventBus]) -> None:
        super().__init__(daemon=True, name="event-sender")
        self.sent = self.failed = 0
        self._new_bus = new_bus
        self._wake = threading.Condition()
        self._queue: list[tuple[float, int, PutEventsRequestEntryTypeDef]] = []
        self._order = itertools.count()
        self._closed = False

    def put(self, wait_seconds: float, entry: PutEventsRequestEntryTypeDef) -> None:
        with self._wake:
            heapq.heappush(self._queue, (time.monotonic() + wait_seconds, next(self._order), entry))
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()

    def run(self) -> None:
        bus = self._new_bus()
        while entries := self._next_entries():
            try:
                failed = bus(entries)
            except (BotoCoreError, ClientError) as error:
                # Best effort, like the service: what botocore's own retries could not deliver is
                # lost, and counted.
                log.warning("events were not delivered: %s", error)
                failed = len(entries)
            self.failed += failed
            self.sent += len(entries) - failed

    def _next_entries(self) -> list[PutEventsRequestEntryTypeDef]:
        """Wait for what is due, at most one call's worth; empty when closed."""
        with self._wake:
            while not self._closed:
                now = time.monotonic()
                due: list[PutEventsRequestEntryTypeDef] = []
                while self._queue and self._queue[0][0] <= now and len(due) < MAX_ENTRIES_PER_CALL:
                    due.append(heapq.heappop(self._queue)[2])
                if due:
                    return due
                self._wake.wait(self._queue[0][0] - now if self._queue else None)
        return []
