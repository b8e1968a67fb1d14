"""A model's slots: who holds one, under which lease, and what that allows.

Pure. A *holder* (`<job>#<attempt>`) owns a slot. Its *lease* says which invocation may call Create
for it, until when; once Bedrock has taken the job the lease is replaced by the mark that it is
submitted, which is never removed or cleared before the end: absence would look like "given up". Why
a free slot may be left alone: shared/hold.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bbq.shared import events as e
from bbq.shared.hold import PASSING, Hold
from bbq.shared.plain import text_of


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right of `owner` (one acquisition by one invocation) to call Create, until `until`."""

    owner: str
    until: datetime
    submitted: bool = False


# What is left of a lease once Bedrock has the job: nobody may call Create any more.
AT_BEDROCK = Lease(owner="", until=datetime.max.replace(tzinfo=UTC), submitted=True)


@dataclass(frozen=True, kw_only=True)
class Day:
    """What has begun on a day (UTC, `2026-11-24`): how many attempts, and how many records their
    jobs have.
    """

    date: str = ""
    jobs: int = 0
    records: int = 0

    def at(self, now: datetime) -> "Day":
        """This day, or a new one on which nothing has begun. Never an earlier one: the clocks of
        two invocations differ.
        """
        date = text_of(now)[:10]
        return self if date <= self.date else Day(date=date)


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """How much of a model may begin in a day, whatever is uploaded. None: no bound."""

    jobs: int | None = None
    records: int | None = None

    def allows(self, day: Day, records: int) -> bool:
        """Whether a job of so many records may begin. Only the condition of the claim itself
        decides.
        """
        return (self.jobs is None or day.jobs < self.jobs) and (
            self.records is None or day.records + records <= self.records
        )


# Why a rebuild pauses; in the end it lifts the pauses that give this reason.
REBUILDING = "bbq rebuild is at work"
NO_DAY, UNBOUNDED = Day(), Ceiling()


@dataclass(frozen=True, kw_only=True)
class Slots:
    """The slots of one model. `day` counts every claim of the last day on which there was one.

    Counters that only rise: `ends`, whatever may have made room or mended something (every end of
    the model, ours or not, a cancel, a change of the model, `bbq wake`); `taken`, jobs that Bedrock
    took; `good_ends`, jobs that ended with a processed record, and were claimed since the failures
    in a row. `failures` of jobs in a row ended without one, the first of them at `failed_since`;
    `failed_late`: one of them after it was InProgress.
    """

    model: str
    limit: int
    paused: bool = False
    model_version: int = 0
    ends: int = 0
    taken: int = 0
    good_ends: int = 0
    ceiling: Ceiling = UNBOUNDED
    holders: Mapping[str, Lease] = field(default_factory=dict)
    refused: Hold | None = None
    failing: Hold | None = None
    failures: int = 0
    failed_late: bool = False
    failed_since: datetime | None = None
    pause: e.ModelPaused | None = None  # who paused it, when and why
    day: Day = NO_DAY

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Why nothing but a probe is tried; empty if all is well."""
        return tuple(hold for hold in (self.refused, self.failing) if hold is not None)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free. Only the condition of the claim itself decides."""
        return not self.paused and len(self.holders) < self.limit

    def is_open(self, now: datetime) -> bool:
        """Whether a claim could pass now: there is room, and no hold, or each is open to a probe.
        Only its condition decides.
        """
        return self.has_room and all(hold.is_open(self.ends, now) for hold in self.holds)

    @property
    def quota_matters(self) -> bool:
        """Whether an end elsewhere could matter: Bedrock refused for want of room, or may be
        refusing at this moment.
        """
        if any(hold.kind not in PASSING for hold in self.holds):
            return False
        return self.refused is not None or any(
            not lease.submitted for lease in self.holders.values()
        )


def fold_model(alias: str, events: Iterable[e.Event]) -> Slots:
    """Limit, ceiling and pause as the stream of a model says. Only these and `model_version` mean
    anything in the answer.
    """
    slots = Slots(model=alias, limit=0)
    for event in events:
        match event:
            case e.LimitSet():
                ceiling = Ceiling(jobs=event.max_jobs_per_day, records=event.max_records_per_day)
                slots = replace(slots, limit=event.limit, ceiling=ceiling)
            case e.ModelPaused():
                first = slots.pause
                own = first is not None and (first.why != REBUILDING or event.why == REBUILDING)
                slots = replace(slots, paused=True, pause=first if own else event)
            case e.ModelResumed():
                slots = replace(slots, paused=False, pause=None)
        slots = replace(slots, model_version=slots.model_version + 1)
    return slots
