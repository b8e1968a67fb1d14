"""What happened on the slots of a model: the bars of a picture, their lanes, and the gaps in which a free slot was not used.

Pure: events in, figures out. A job is at each moment in line, on a slot, held (in line again, because Bedrock refused it), or
none of these; its events say when it moved. A stretch on a slot or held is a *bar*, and several attempts of a job are several
bars. A bar's *lane* is the lowest one that is free when it begins: a slot has no number of its own, so lanes are as many as
the most bars at once.

A *gap* is one free slot beside somebody in line, while the model was not paused. It begins with an end, an arrival, a refusal,
a raised limit or a resumption, and is over when a job starts (the oldest gap first) or when nobody waits any more. A *refill*
is a gap that an end began and a start ended; refills are what promise P4 is about. Where a job of the model was held in between
(`held_back`) the answer was Bedrock's and not ours to give, and the gap is no refill. Times are those of the events' writers:
their clocks may differ by milliseconds.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil
from statistics import median

from shared import events as e
from shared.job import CLAIMED, QUEUED, RUNNING, Job, evolve, outcome

WAITING, SLOT, HOLD, NOWHERE = "waiting", "slot", "held", ""
REFUSED, NOT_OVER = "Refused", ""
END, ARRIVAL, REFUSAL, CONFIGURED, BEFORE = "end", "arrival", "refusal", "configured", "before"  # what began a gap


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One stretch of an attempt. `end` None: still so. `kind`: slot or held.

    `outcome` is the attempt's where the bar ended it, Refused where the slot was given back, empty for one that goes on or was
    taken onto a slot again. `started`: when Bedrock said InProgress. `waited_seconds`: in line, before this attempt.
    """

    job: str
    file: str
    model: str
    attempt: int
    kind: str
    lane: int = 0
    begin: datetime
    end: datetime | None = None
    started: datetime | None = None
    status: str = ""
    outcome: str = NOT_OVER
    reason: str = ""
    records: int = 0
    waited_seconds: float = 0.0


@dataclass(frozen=True)
class Move:
    """A job went from one place to another. Sorts as things happen: by time, and at one moment first what frees a slot."""

    at: datetime
    rank: int
    source: str = field(compare=False)
    target: str = field(compare=False)
    job: str = field(compare=False)

    def __lt__(self, other: "Move") -> bool:
        return (self.at, self.rank) < (other.at, other.rank)


@dataclass(frozen=True, kw_only=True)
class Life:
    """What one job did: its bars, without lanes, and its moves."""

    model: str
    bars: tuple[Bar, ...]
    moves: tuple[Move, ...]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Limit and pause of a model from a moment on. `limit` None: nobody has said."""

    at: datetime
    limit: int | None
    paused: bool


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A slot that was free while somebody was in line. `end` None: still so. `next_job`: who got it, None for nobody.

    `after`: what began it (end, arrival, refusal, configured, or before `since`), `after_job`: whose.
    """

    model: str
    begin: datetime
    end: datetime | None
    seconds: float
    after: str
    after_job: str | None
    next_job: str | None
    held_back: bool

    @property
    def refill(self) -> bool:
        """Whether this is how long a freed slot took to be used again."""
        return self.after == END and self.next_job is not None and not self.held_back


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long something took, in seconds. None for none. `p99_seconds`: 99 of 100 took no longer (nearest rank)."""

    count: int
    median_seconds: float | None
    p99_seconds: float | None
    largest_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many were in line and held, from a moment on."""

    at: datetime
    waiting: int
    held: int


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All of one model, from `since` to `until`. `waits`: in line, of those that got a slot since then."""

    model: str
    settings: tuple[Setting, ...]
    bars: tuple[Bar, ...]
    gaps: tuple[Gap, ...]
    counts: tuple[Count, ...]
    waits: Times
    jobs: int

    @property
    def lanes(self) -> int:
        """The most slots that were in use at once."""
        return max((bar.lane for bar in self.bars if bar.kind == SLOT), default=0)

    @property
    def held_lanes(self) -> int:
        """The most jobs that were held at once."""
        return max((bar.lane for bar in self.bars if bar.kind == HOLD), default=0)

    @property
    def limit(self) -> int | None:
        """The limit at the end."""
        return self.settings[-1].limit if self.settings else None

    @property
    def refills(self) -> Times:
        """How fast freed slots were used again."""
        return times(gap.seconds for gap in self.gaps if gap.refill)


def life(job_id: str, events: Iterable[e.Event]) -> Life | None:
    """A job's bars and moves; None for one without events. Raises IllegalEvent as `fold` does."""
    job: Job | None = None
    bars: list[Bar] = []
    moves: list[Move] = []
    waiting_since: datetime | None = None
    waited = 0.0
    for event in events:
        before, job = job, evolve(job_id, job, event)
        source, target = _place(before), _place(job)
        if source != target:
            at = max(event.at, moves[-1].at) if moves else event.at  # clocks differ; a bar never ends before it begins
            if source == WAITING and waiting_since:
                waited = (at - waiting_since).total_seconds()
            if bars and bars[-1].end is None:
                bars[-1] = replace(bars[-1], end=at, outcome=REFUSED if (source, target) == (SLOT, HOLD) else NOT_OVER)
            waiting_since = at if target == WAITING else None
            moves.append(_move(moves[-1:], at, source, target, job_id))
            if target in {SLOT, HOLD}:
                bars.append(_bar(job, target, at, waited))
        if bars and bars[-1].attempt == job.attempt and target != WAITING:
            bars[-1] = replace(
                bars[-1], started=job.started_at if bars[-1].kind == SLOT else None, status=job.status,
                reason=job.reason or bars[-1].reason, outcome=outcome(job) or bars[-1].outcome,
            )  # fmt: skip
        if target == HOLD and len(bars) > 1 and bars[-2].end == bars[-1].begin:
            bars[-2] = replace(bars[-2], reason=bars[-1].reason)  # why the slot was given back
    return Life(model=job.model, bars=tuple(bars), moves=tuple(moves)) if job else None


def in_lanes(bars: Iterable[Bar]) -> list[Bar]:
    """Each bar in the lowest lane, from 1, that is free when it begins. Oldest first."""
    free: list[int] = []
    busy: list[tuple[datetime, int]] = []
    placed: list[Bar] = []
    for bar in sorted(bars, key=lambda bar: (bar.begin, bar.end is None, bar.end or bar.begin, bar.job, bar.attempt)):
        while busy and busy[0][0] <= bar.begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy) + 1
        heapq.heappush(busy, (bar.end or datetime.max.replace(tzinfo=bar.begin.tzinfo), lane))
        placed.append(replace(bar, lane=lane))
    return placed


def settings(events: Iterable[e.Event]) -> list[Setting]:
    """What the events of a model say about its limit and pause, oldest first."""
    said: list[Setting] = []
    limit, paused = None, False
    for event in events:
        match event:
            case e.LimitSet():
                limit = event.limit
            case e.ModelPaused():
                paused = True
            case e.ModelResumed():
                paused = False
        said.append(Setting(at=event.at, limit=limit, paused=paused))
    return said


def gaps(model: str, moves: Iterable[Move], said: Sequence[Setting], since: datetime, until: datetime) -> list[Gap]:
    """Every gap from `since` on, oldest first; those that are still open have no end, and last until `until`.

    Without a limit in `said` the slots are taken to be as many as were ever in use at once.
    """
    steps: list[Move | Setting] = sorted([*moves, *said], key=_order)
    most = max(_in_use(steps), default=0)
    watch = _Watch(model=model, limit=most)
    for step in steps:
        if step.at > until:
            break
        if step.at >= since and not watch.watching:
            watch.begin(since)
        if isinstance(step, Setting):
            watch.limit, watch.paused = most if step.limit is None else step.limit, step.paused
            watch.settle(step.at, CONFIGURED, None)
        else:
            watch.take(step)
    if not watch.watching:
        watch.begin(since)
    return watch.finish(until)


def counts(moves: Iterable[Move], since: datetime, until: datetime) -> list[Count]:
    """How many were in line and held, from `since` to `until`: one for each change, and one at either end."""
    waiting = held = 0
    found: list[Count] = [Count(at=since, waiting=0, held=0)]
    for move in sorted(moves):
        waiting += (move.target == WAITING) - (move.source == WAITING)
        held += (move.target == HOLD) - (move.source == HOLD)
        now = Count(at=max(move.at, since), waiting=waiting, held=held)
        if now.at == found[-1].at:
            found[-1] = now
        elif (waiting, held) != (found[-1].waiting, found[-1].held):
            found.append(now)
    return [*found, replace(found[-1], at=max(until, found[-1].at))]


def panel(model: str, lives: Sequence[Life], model_events: Iterable[e.Event], since: datetime, until: datetime) -> Panel:
    """Everything about one model. `lives` are those of its jobs that were alive at any time since `since`."""
    said = settings(model_events)
    moves = [move for one in lives for move in one.moves]
    bars = [bar for one in lives for bar in one.bars if bar.end is None or bar.end >= since]
    placed = [*in_lanes(bar for bar in bars if bar.kind == SLOT), *in_lanes(bar for bar in bars if bar.kind == HOLD)]
    return Panel(
        model=model, settings=tuple(said), bars=tuple(placed), gaps=tuple(gaps(model, moves, said, since, until)),
        counts=tuple(counts(moves, since, until)), jobs=len(lives),
        waits=times(waited for one in lives for waited in _waits(one, since)),
    )  # fmt: skip


def times(seconds: Iterable[float]) -> Times:
    """Median, 99th percentile and the largest."""
    ranked = sorted(seconds)
    if not ranked:
        return Times(count=0, median_seconds=None, p99_seconds=None, largest_seconds=None)
    p99 = ranked[ceil(0.99 * len(ranked)) - 1]
    return Times(count=len(ranked), median_seconds=median(ranked), p99_seconds=p99, largest_seconds=ranked[-1])


def _place(job: Job | None) -> str:
    if job is None:
        return NOWHERE
    if job.status == QUEUED:
        return HOLD if job.may_be_at_bedrock else WAITING
    return SLOT if job.status in RUNNING | {CLAIMED} else NOWHERE


def _bar(job: Job, kind: str, at: datetime, waited: float) -> Bar:
    return Bar(
        job=job.id, file=job.sources[0].key if job.sources else "", model=job.model, attempt=job.attempt, kind=kind, begin=at,
        records=job.record_count, waited_seconds=waited,
    )  # fmt: skip


def _move(before: Sequence[Move], at: datetime, source: str, target: str, job: str) -> Move:
    rank = 1 if source == SLOT else 3 if target == SLOT else 2
    if before and before[-1].at == at:
        rank = max(rank, before[-1].rank)  # a job's own moves keep their order
    return Move(at, rank, source, target, job)


def _order(step: Move | Setting) -> tuple[datetime, int]:
    return (step.at, step.rank if isinstance(step, Move) else 0)


def _in_use(steps: Iterable[Move | Setting]) -> Iterator[int]:
    used = 0
    for step in steps:
        if isinstance(step, Move):
            used += (step.target == SLOT) - (step.source == SLOT)
            yield used


def _waits(life: Life, since: datetime) -> Iterator[float]:
    """How long the job had been in line each time that it got a slot; coming back from being held is no such time."""
    held = False
    for bar in life.bars:
        if bar.kind == SLOT and not held and bar.begin >= since:
            yield bar.waited_seconds
        held = bar.kind == HOLD and bar.outcome == NOT_OVER


@dataclass(kw_only=True)
class _Watch:
    """The slots of a model as moves pass by. As many gaps are open as slots are free beside somebody in line."""

    model: str
    limit: int
    paused: bool = False
    watching: bool = False
    used: int = 0
    waiting: int = 0
    held: int = 0
    open: deque[Gap] = field(default_factory=deque)
    closed: list[Gap] = field(default_factory=list)

    def begin(self, since: datetime) -> None:
        """From now on gaps count."""
        self.watching = True
        self.settle(since, BEFORE, None)

    def take(self, move: Move) -> None:
        """One move, and what it means for the gaps."""
        self.used += (move.target == SLOT) - (move.source == SLOT)
        self.waiting += (move.target == WAITING) - (move.source == WAITING)
        self.held += (move.target == HOLD) - (move.source == HOLD)
        if move.target == HOLD:
            self.open = deque(replace(gap, held_back=True) for gap in self.open)
        after = {(SLOT, HOLD): REFUSAL, (NOWHERE, WAITING): ARRIVAL}.get((move.source, move.target), END)
        self.settle(move.at, after, move.job, started=move.target == SLOT)

    def settle(self, at: datetime, after: str, job: str | None, *, started: bool = False) -> None:
        """Open and close gaps until they are as many as they should be. A start fills the oldest."""
        if not self.watching:
            return
        due = 0 if self.paused else max(0, min(self.limit - self.used, self.waiting))
        while len(self.open) > due:
            if started:
                self._close(self.open.popleft(), at, job)
            else:  # nobody waits any more, or nobody may start
                self._close(self.open.pop(), at, None)
        while len(self.open) < due:
            gap = Gap(
                model=self.model, begin=at, end=None, seconds=0.0, after=after, after_job=job, next_job=None,
                held_back=self.held > 0,
            )  # fmt: skip
            self.open.append(gap)

    def finish(self, until: datetime) -> list[Gap]:
        """All gaps, the open ones with the seconds that they have lasted."""
        still = [replace(gap, seconds=_seconds(gap.begin, until)) for gap in self.open]
        return sorted([*self.closed, *still], key=lambda gap: gap.begin)

    def _close(self, gap: Gap, at: datetime, next_job: str | None) -> None:
        self.closed.append(replace(gap, end=at, seconds=_seconds(gap.begin, at), next_job=next_job))


def _seconds(begin: datetime, end: datetime) -> float:
    return max(timedelta(), end - begin).total_seconds()
