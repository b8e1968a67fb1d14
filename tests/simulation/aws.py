"""Small models of what carries hints: SQS with its Lambda mapping, the stream with its,
EventBridge, Scheduler, S3.

Each keeps the promises AWS documents and no more: at least once, no order but a stream item's own,
delivery some time.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bbq.services.scheduler.publish import ONLY_PUBLISHED
from bbq.shared.memory import Item
from local.bedrock_simulator.events import event_entry
from local.bedrock_simulator.faults import Faults
from local.bedrock_simulator.jobs import TERMINAL, Settings, StatusChange
from tests.simulation.kernel import Kernel
from tests.simulation.weather import Weather

# (event, when it is done: the function's answer, None where it was killed or raised)
Invoke = Callable[[dict[str, Any], Callable[[Any], None]], object]
# (table, hash key, range key) -> the item in wire form
Image = Callable[[str, str, int], Item | None]
HOUR = 3600.0

EARLY_SECONDS = 15.0  # before its minute may a timer fire: clocks differ


class Source:
    """Something that can be stopped and restored (the swizzle): what it would deliver waits
    meanwhile.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._stopped = False
        self._waiting: list[Callable[[], None]] = []

    def stop(self) -> None:
        """Nothing is delivered from now on."""
        self._stopped = True

    def restore(self) -> None:
        """Everything that waits is delivered, and all to come."""
        self._stopped = False
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            self._kernel.after(0.0, lambda act=act: self._let(act))  # type: ignore[misc] # a lambda with a default

    def _let(self, act: Callable[[], None]) -> None:
        if self._stopped:
            self._waiting.append(act)
        else:
            act()


@dataclass(eq=False)
class Message:
    """A message of a queue."""

    id: str
    body: str
    receives: int = 0
    hidden_until: float = 0.0


class Queue(Source):
    """A standard queue whose messages a function receives one at a time (batch size 1), with a
    dead-letter queue.
    """

    def __init__(
        self,
        kernel: Kernel,
        weather: Weather,
        name: str,
        invoke: Invoke,
        *,
        visibility: float,
        receives: int,
        concurrency: int,
    ) -> None:
        super().__init__(kernel)
        self.name = name
        self.dead: list[str] = []
        self.delivered: list[str] = []
        self.again: Callable[[], None] = lambda: None  # hears that what is delivered was so before
        self._weather, self._invoke = weather, invoke
        self._visibility, self._receives, self._concurrency = visibility, receives, concurrency
        self._messages: dict[str, Message] = {}
        self._ready: list[Message] = []
        self._known: set[str] = set()
        self._busy = 0
        self._numbers = itertools.count(1)

    def send(self, body: str, delay: float = 0.0) -> None:
        """Take a message: it is delivered at least once."""
        copies = 1 + self._weather.strike("hint-duplicated")
        for _ in range(copies):
            message = Message(f"{self.name}-{next(self._numbers)}", body)
            self._messages[message.id] = message
            self._deliver_after(delay + delayed(self._kernel, self._weather, self.name), message)

    def hide(self, message_id: str, seconds: float) -> None:
        """ChangeMessageVisibility."""
        if message_id in self._messages:
            self._messages[message_id].hidden_until = self._kernel.time + seconds

    def redrive(self) -> int:
        """An operator sends the dead letters back."""
        dead, self.dead = self.dead, []
        for body in dead:
            self.send(body)
        return len(dead)

    def holds(self, text: str) -> bool:
        """Whether a message that is not yet handled, or a dead letter, says this. Those that only
        publish do not count.
        """
        bodies = [*(message.body for message in self._messages.values()), *self.dead]
        return any(text in body for body in bodies if '"publish"' not in body)

    def count(self, text: str) -> int:
        """How many messages that are not yet handled say this."""
        return sum(text in message.body for message in self._messages.values())

    @property
    def depth(self) -> int:
        """Messages not yet handled."""
        return len(self._messages)

    def _deliver_after(self, seconds: float, message: Message) -> None:
        self._kernel.after(seconds, lambda: self._let(lambda: self._ready_now(message)))

    def _ready_now(self, message: Message) -> None:
        self._ready.append(message)
        self._pump()

    def _pump(self) -> None:
        while self._ready and self._busy < self._concurrency:
            message = self._ready.pop(0)
            message.receives += 1
            if message.receives > self._receives:
                del self._messages[message.id]
                self.dead.append(message.body)
                self._kernel.say(self.name, f"{message.id} is a dead letter")
                continue
            if self._weather.strike("lambda-throttled"):
                self._deliver_after(self._visibility, message)
                continue
            self._busy += 1
            message.hidden_until = self._kernel.time + self._visibility
            self.delivered.append(message.body)
            if message.body in self._known:
                self.again()
            self._known.add(message.body)
            self._kernel.say(
                self.name,
                f"delivers {message.id} (receive {message.receives}): {message.body[:160]}",
            )
            self._invoke(
                sqs_event(message),
                lambda answer, message=message: self._done(message, answer),  # type: ignore[misc]
            )

    def _done(self, message: Message, answer: Any) -> None:
        self._busy -= 1
        if (
            answer is not None
            and not answer["batchItemFailures"]
            and not self._weather.strike("hint-deletion-lost")
        ):
            del self._messages[message.id]
        else:
            self._deliver_after(message.hidden_until - self._kernel.time, message)
        self._pump()


@dataclass(eq=False)
class Lane:
    """The records of some items, in order. One invocation at a time."""

    records: list[tuple[str, int, str]] = field(default_factory=list)
    busy: bool = False
    failures: int = 0


class Stream(Source):
    """The events table's stream and its mapping: order per item, batches, partial failures,
    bisection, a failure queue.
    """

    BATCH = 10
    LANES = 4
    # As terraform/scheduler.tf filters them (a test compares the two lists).
    IGNORED = frozenset({"job-progressed", "job-submitted", "slot-claimed"})

    def __init__(self, kernel: Kernel, weather: Weather, invoke: Invoke, image: Image) -> None:
        super().__init__(kernel)
        self.failed: list[tuple[str, int, str]] = []  # the on-failure destination
        # what ever was there: an operator empties it
        self.given_up: list[tuple[str, int, str]] = []
        self.delivered: list[tuple[str, int, str]] = []
        self._weather, self._invoke, self._image = weather, invoke, image
        self._lanes = [Lane() for _ in range(self.LANES)]

    def put(self, stream: str, version: int, name: str) -> None:
        """A row was written."""
        if name in self.IGNORED:
            return
        lane = self._lanes[sum(stream.encode()) % self.LANES]
        lane.records.append((stream, version, name))
        lag = self._kernel.delay("stream")
        if self._weather.strike("stream-lag"):
            lag = self._kernel.chance.uniform(1, 600)
        self._kernel.after(lag, lambda: self._let(lambda: self._pump(lane)))

    def holds(self, text: str) -> bool:
        """Whether a record that is not yet handled, or was set aside, is of this stream, and makes
        the scheduler look at it.
        """
        records = [*(record for lane in self._lanes for record in lane.records), *self.failed]
        return any(text in stream for stream, _, name in records if name not in ONLY_PUBLISHED)

    @property
    def depth(self) -> int:
        """Records not yet handled."""
        return sum(len(lane.records) for lane in self._lanes)

    def _pump(self, lane: Lane) -> None:
        if lane.busy or not lane.records:
            return None
        size = self.BATCH
        if len(lane.records) > 1 and self._weather.strike("stream-batch-split"):
            size = 1
        batch = lane.records[:size]
        if self._weather.strike("stream-retries-exhausted"):
            self.failed.extend(batch)
            self.given_up.extend(batch)
            self._kernel.say("stream", f"gives up {batch}")
            del lane.records[: len(batch)]
            return self._pump(lane)
        lane.busy = True
        self.delivered.extend(batch)
        self._kernel.say(
            "stream", "delivers " + ", ".join(f"{name} of {stream}" for stream, _, name in batch)
        )
        self._invoke(
            stream_event(batch, self._image), lambda answer: self._done(lane, batch, answer)
        )
        return None

    def _done(self, lane: Lane, batch: list[tuple[str, int, str]], answer: Any) -> None:
        lane.busy = False
        failed = (
            [item["itemIdentifier"] for item in answer["batchItemFailures"]]
            if answer is not None
            else [sequence(batch[0])]
        )
        handled = min(
            (i for i, record in enumerate(batch) if sequence(record) in failed), default=len(batch)
        )
        del lane.records[:handled]
        lane.failures = 0 if handled else lane.failures + 1
        pause = min(60.0, 2.0 ** min(lane.failures, 6)) if failed else 0.0
        self._kernel.after(pause, lambda: self._let(lambda: self._pump(lane)))


class Bus:
    """EventBridge between Bedrock and the hints queue: best effort, no order, dead letters after
    its retries.
    """

    # as terraform/hints.tf filters them (a test compares the two)
    IGNORED = frozenset({"Submitted"})

    def __init__(
        self,
        kernel: Kernel,
        weather: Weather,
        settings: Settings,
        queue: Queue,
        faults: Callable[[], Faults] = Faults,
    ) -> None:
        self.sent: list[str] = []
        self._kernel, self._weather, self._settings, self._queue = kernel, weather, settings, queue
        self._faults = faults  # the simulator's switches, as they are now

    def put(self, change: StatusChange) -> None:
        """Bedrock's job changed its status."""
        self._kernel.say("bedrock", f"{change.name} is {change.status} ({change.arn[-12:]})")
        faults = self._faults()
        if change.status not in faults.event_statuses:
            return None
        body = bedrock_event(
            change, self._settings, faults, no_model=self._weather.spell("events-name-no-model")
        )
        if self._weather.spell("events-name-no-model"):
            self._weather.felt("events-name-no-model")
        self.sent.append(body)
        if change.status in self.IGNORED:
            return None
        if self._weather.spell("every-event-dropped"):
            return self._weather.felt("every-event-dropped")
        if self._weather.spell("events-of-ends-only") and change.status not in TERMINAL:
            return self._weather.felt("events-of-ends-only")
        if self._weather.strike("bedrock-event-dropped"):
            return None
        if self._weather.strike("event-retries-exhausted"):
            self._queue.dead.append(body)
            return None
        reordered = (
            self._kernel.chance.uniform(0, 120)
            if self._weather.strike("bedrock-event-reordered")
            else 0.0
        )
        self._queue.send(body, self._kernel.delay("bus") + reordered)
        return None


class Schedules:
    """EventBridge Scheduler's one-time schedules to the hints queue: a minute's precision, at least
    once, lingering names.
    """

    def __init__(self, kernel: Kernel, weather: Weather, queue: Queue) -> None:
        self.armed: dict[str, datetime] = {}  # by name; a fired one stays for a moment
        self.pending: dict[str, int] = {}  # by name, how often it will still fire
        self.fired: list[str] = []
        self.heard: Callable[[str], None] = lambda _: None
        self.source = Source(kernel)
        self.under_way: list[str] = []
        self._kernel, self._weather, self._queue = kernel, weather, queue

    def create(self, name: str, due: datetime, body: str) -> bool:
        """False where the name exists."""
        if name in self.armed:
            return False
        self.armed[name] = due
        wait = (due - self._kernel.now).total_seconds() + self._kernel.chance.uniform(0, 59)
        if self._weather.strike("timer-early"):
            # by AWS's clock it is due; by that of whom it wakes it is not
            wait = (due - self._kernel.now).total_seconds()
            wait = max(wait - self._kernel.chance.uniform(0, EARLY_SECONDS), 0)
        if self._weather.strike("timer-late"):
            wait += self._kernel.chance.uniform(60, 4 * HOUR)
        times = 1 + self._weather.strike("timer-twice")
        self.pending[name] = 1
        for _ in range(times):
            self._kernel.after(wait, lambda: self._fire(name, due, body))
            wait += self._kernel.chance.uniform(0, 60)
        return True

    def delete(self, name: str) -> bool:
        """False where there is none."""
        self.pending.pop(name, None)
        return self.armed.pop(name, None) is not None

    def _fire(self, name: str, due: datetime, body: str) -> None:
        if self.armed.get(name) != due:
            return
        self.pending.pop(name, None)
        # It lingers under its name for a moment.
        self._kernel.after(self._kernel.chance.uniform(1, 90), lambda: self._gone(name))
        if self._weather.strike("timer-dead-lettered"):
            self._queue.dead.append(body)
            return
        self.fired.append(body)
        self.heard(body)
        self.under_way.append(body)
        self.source._let(lambda: self._send(body))

    def _gone(self, name: str) -> None:
        self.armed.pop(name, None)

    def holds(self, prefix: str, text: str) -> bool:
        """Whether a timer of this name will fire, or is on its way to the queue."""
        return any(name.startswith(prefix) for name in self.pending) or any(
            text in body for body in self.under_way
        )

    def _send(self, body: str) -> None:
        self.under_way.remove(body)
        self._queue.send(body, self._kernel.chance.uniform(0.0, 0.2))


def delayed(kernel: Kernel, weather: Weather, queue: str) -> float:
    """How long a hint takes: milliseconds, or hours."""
    if not weather.strike("hint-delayed"):
        return kernel.delay(queue)
    return float(10 ** kernel.chance.uniform(-1, 4))


def sqs_event(message: Message) -> dict[str, Any]:
    """As Lambda gets it (Lambda developer guide, "Using Lambda with Amazon SQS"), the parts that
    are read.
    """
    attributes = {"ApproximateReceiveCount": str(message.receives)}
    record = {
        "messageId": message.id,
        "receiptHandle": message.id,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
    return {"Records": [record]}


def sequence(record: tuple[str, int, str]) -> str:
    """A stream record's sequence number."""
    return f"{record[0]}/{record[1]}"


def stream_event(batch: list[tuple[str, int, str]], image: Image) -> dict[str, Any]:
    """As Lambda gets it (Lambda developer guide, "Using Lambda with DynamoDB"), the parts that are
    read. Of an event that nobody appended (a forged record) there is the name alone.
    """
    return {
        "Records": [
            {
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"stream": {"S": stream}, "version": {"N": str(version)}},
                    "NewImage": image("events", stream, version) or {"name": {"S": name}},
                    "SequenceNumber": f"{stream}/{version}",
                },
            }
            for stream, version, name in batch
        ]
    }


def bedrock_event(
    change: StatusChange, settings: Settings, faults: Faults, *, no_model: bool
) -> str:
    """What the rule delivers: the documented envelope around the simulator's own entry."""
    entry = event_entry(change, settings, "aws.bedrock", faults)
    detail = json.loads(entry["Detail"])
    if no_model:  # a profile's id, a provisioned model: which name an event gives is UNVERIFIED
        detail["batchModelId"] = (
            "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/unknown"
        )
    return json.dumps(
        {
            "version": "0",
            "id": change.arn[-12:],
            "detail-type": entry["DetailType"],
            "source": "aws.bedrock",
            "account": settings.account,
            "time": "Wed Aug 28 22:58:30 UTC 2024",
            "region": settings.region,
            "resources": [change.arn],
            "detail": detail,
        }
    )
