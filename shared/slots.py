"""A model's slots: who holds one, under which lease, who was refused, and what that allows.

Pure. A *holder* (`<job>#<attempt>`) owns a slot. Its *lease* says which invocation may call Create for it, until when; once
Bedrock has taken the job the lease is replaced by the mark that it is submitted, which is never removed or cleared before the
end: absence would look like "given up". A *refusal* is a holder that Bedrock turned away and that waits, without a slot, to be
tried again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared import events as e
from shared.events import text_of

MINUTE = timedelta(minutes=1)
BACKOFF_MINUTES = (1, 2, 5, 10, 30)  # by number of refusals; the last one stays
UNANSWERED = "unanswered"  # Create was called or not, its answer was lost, and Bedrock has no such job
MAX_PASSED = 5  # refused while another of the model's jobs was taken: then it is the job, and not a quota that opens and shuts
SUSPECT_AFTER = 2  # refusals of one job, from which on one more job is tried beside it
MAX_HELD = timedelta(days=7)  # a refused job waits no longer than this where its model is starved
MAX_LIFE = timedelta(hours=168)  # of a job at Bedrock (timeoutDurationInHours of CreateModelInvocationJob)
MAX_UNTRIED = timedelta(days=2)  # who was not tried for so long after his time was kept from it, by a pause for instance
MAX_EARLY = timedelta(days=1)  # no timer of ours fires earlier: a hint that claims so is not from one


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right of `owner` (one acquisition by one invocation) to call Create, until `until`. The rest is its past refusals."""

    owner: str
    until: datetime
    submitted: bool = False
    since: datetime | None = None
    count: int = 0
    passed: int = 0


# What is left of a lease once Bedrock has the job: nobody may call Create any more.
AT_BEDROCK = Lease(owner="", until=datetime.max.replace(tzinfo=UTC), submitted=True)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Turned away `count` times since `since`, `passed` of them while another job of the model was taken."""

    kind: str
    since: datetime
    retry_at: datetime
    count: int = 1
    passed: int = 0


@dataclass(frozen=True, kw_only=True)
class Day:
    """What has begun on a day (UTC, `2026-11-24`): how many attempts, and how many records their jobs have."""

    date: str = ""
    jobs: int = 0
    records: int = 0

    def at(self, now: datetime) -> "Day":
        """This day, or a new one on which nothing has begun. Never an earlier one: the clocks of two invocations differ."""
        date = text_of(now)[:10]
        return self if date <= self.date else Day(date=date)


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """How much of a model may begin in a day, whatever is uploaded. None: no bound."""

    jobs: int | None = None
    records: int | None = None

    def allows(self, day: Day, records: int) -> bool:
        """Whether a job of so many records may begin. Only the condition of the claim itself decides."""
        return (self.jobs is None or day.jobs < self.jobs) and (self.records is None or day.records + records <= self.records)


NO_DAY, UNBOUNDED = Day(), Ceiling()


@dataclass(frozen=True, kw_only=True)
class Slots:
    """The slots of one model. `ends` counts every end of a job of the model, ours or not; `day` every claim of the last day on
    which there was one.
    """

    model: str
    limit: int
    paused: bool = False
    model_version: int = 0
    ends: int = 0
    holders: Mapping[str, Lease] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    pause: e.ModelPaused | None = None  # who paused it, when and why
    day: Day = NO_DAY
    taken_on: str = ""  # the day (UTC) on which Bedrock last took a job

    @property
    def open(self) -> bool:
        """Whether a claim could pass now. Only the condition of the claim itself decides."""
        return not self.paused and len(self.holders) < self.limit

    @property
    def passes_on(self) -> bool:
        """Whether the slot of a job that ends goes to the head of the line: it stays, and nobody who was refused comes first."""
        return not self.paused and not self.refused and len(self.holders) <= self.limit

    @property
    def someone_hopes(self) -> bool:
        """Whether an end elsewhere could matter to anybody: someone was refused, or may be refused at this moment."""
        return bool(self.refused) or any(not lease.submitted for lease in self.holders.values())

    def held_back(self, now: datetime) -> bool:
        """Whether the last refusals ask for patience: a newcomer is then no reason to ask Bedrock again. One that another passed
        may have a reason of its own, and one that got no answer was not refused: they hold nobody back.
        """
        refusals = (self.refused[whose] for whose in self.not_due(now))
        return any(not refusal.passed and refusal.kind != UNANSWERED for refusal in refusals)

    def starved(self, now: datetime) -> bool:
        """Whether Bedrock has taken no job of the model for so long that the last one ended long ago, too."""
        return self.taken_on < text_of(now - MAX_HELD - MAX_LIFE)[:10]

    @property
    def suspect_from(self) -> int:
        """From how many refusals of everybody on the next in line is tried, too. The more there are, the later: a quota that is
        full for days must not draw the whole line into the refused, which pass by priority and are all in one item.
        """
        return max(SUSPECT_AFTER, len(self.refused))

    def not_due(self, now: datetime) -> frozenset[str]:
        """The holders that were refused and whose time to be tried again has not come."""
        return frozenset(whose for whose, refusal in self.refused.items() if refusal.retry_at > now)

    def oldest_refused(self, tried: frozenset[str]) -> str | None:
        """The holder that was refused first, except those already tried."""
        return min((h for h in self.refused if h not in tried), key=lambda h: (self.refused[h].since, h), default=None)

    def least_refused(self, tried: frozenset[str]) -> str | None:
        """The holder that was refused least often, except those already tried: each has its turn, however many are refused."""
        return min(
            (h for h in self.refused if h not in tried),
            key=lambda h: (self.refused[h].count, self.refused[h].since, h),
            default=None,
        )


def fold_model(alias: str, events: Iterable[e.Event]) -> Slots:
    """Limit and pause as the stream of a model says. Only these and `model_version` mean anything in the answer."""
    slots = Slots(model=alias, limit=0)
    for event in events:
        match event:
            case e.LimitSet():
                slots = replace(slots, limit=event.limit)
            case e.ModelPaused():
                slots = replace(slots, paused=True, pause=slots.pause or event)
            case e.ModelResumed():
                slots = replace(slots, paused=False, pause=None)
        slots = replace(slots, model_version=slots.model_version + 1)
    return slots


def leased(owner: str, until: datetime, now: datetime, refusal: Refusal | None = None) -> Lease:
    """A new lease; it remembers the refusals behind it. They count from now on where nobody tried it for long: that was no
    refusal of Bedrock's.
    """
    if refusal is None:
        return Lease(owner=owner, until=until)
    since = refusal.since if now <= refusal.retry_at + MAX_UNTRIED else now
    return Lease(owner=owner, until=until, since=since, count=refusal.count, passed=refusal.passed)


def refusal_of(lease: Lease, kind: str, now: datetime) -> Refusal:
    """One more refusal of the holder of this lease. That nobody knows the job (`UNANSWERED`) is not one of Bedrock's."""
    count = lease.count + (kind != UNANSWERED)
    return Refusal(kind=kind, since=lease.since or now, retry_at=backoff_due(now, count), count=count, passed=lease.passed)


def passed_by(refusal: Refusal) -> Refusal:
    """It was refused, and another was taken."""
    return replace(refusal, passed=refusal.passed + 1)


def backoff_due(now: datetime, count: int) -> datetime:
    """When to try again: a whole minute on a grid that grows with `count`, so that many refusals share one timer."""
    step = BACKOFF_MINUTES[min(max(count, 1), len(BACKOFF_MINUTES)) - 1]
    return grid_due(now, step, offset=0)


def grid_due(now: datetime, step_minutes: int, *, offset: int) -> datetime:
    """The first minute of the grid that is at least one full minute ahead. `offset` (in minutes) shifts the grid."""
    earliest = minute_number(now) + 2 if now.second or now.microsecond else minute_number(now) + 1
    steps = -(-(earliest - offset) // step_minutes)
    return at_minute(offset + steps * step_minutes)


def lease_due(until: datetime, now: datetime) -> datetime:
    """The minute of a lease's timer: after its end, and at least one full minute ahead."""
    return max(at_minute(minute_number(until) + 1), grid_due(now, 1, offset=0))


def check_in_due(anchor: datetime, step_minutes: int, now: datetime) -> datetime:
    """The minute of the next look at a running attempt: on a grid anchored at its claim, so that every hint names the same."""
    return grid_due(now, step_minutes, offset=minute_number(anchor) % step_minutes)


def next_day_due(day: Day, now: datetime) -> datetime:
    """The first minute of the day after `day` (a date, at least today's), at least one full minute ahead."""
    midnight = datetime.fromisoformat(day.date).replace(tzinfo=UTC) + timedelta(days=1)
    return max(midnight, grid_due(now, 1, offset=0))


def follow_up_due(due: datetime | None, now: datetime) -> datetime | None:
    """When a timer for `due` that woke us early is to be followed by another; None where it was not early.

    It is used up, but may still have its name: whoever arms one for its minute is told that there is one. So each timer that
    fires early leaves a later one behind, whatever it finds to do.
    """
    if due is None or not now < due < now + MAX_EARLY:
        return None
    return at_minute(minute_number(due) + 1)


def minute_number(moment: datetime) -> int:
    """Whole minutes since 1970, rounded down."""
    return int(moment.timestamp() // 60)


def at_minute(number: int) -> datetime:
    """The reverse of `minute_number`."""
    return datetime.fromtimestamp(number * 60, UTC)
