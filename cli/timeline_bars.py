"""What happened on the slots of a model, for `bbq timeline`: bars, and the gaps in which a slot was
free although a job waited.

Pure: events in, bars and gaps out. At each moment a job waits in line, is on a slot, is held (in
line again, because Bedrock refused it), or none of these. Each such stretch is a *bar*, and a job
of several attempts has several. The *lane* of a bar is the lowest one that is free when the bar
begins: slots have no numbers, so there are as many lanes as bars at once.

A *gap* is one free slot while a job waits and the model is not paused. It is over when a job starts
(the oldest gap first), or when no job waits any more. A *refill* is a gap between an end and a
start: promise P4 is about refills. If a job of the model was held in between (`held_back`), Bedrock
and not the queue let the slot stand, and the gap is no refill. The times are those of the
functions' clocks, which may differ by milliseconds.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from statistics import median

from bbq.shared import events as e
from bbq.shared.job import CLAIMED, QUEUED, RUNNING, Job, evolve, outcome

WAITING, SLOT, HELD, NOWHERE = "waiting", "slot", "held", ""
GOES_ON, REFUSED = "", "Refused"

Move = tuple[str, str, str]  # from, to, job


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One stretch of a job's life. `kind`: waiting, slot or held; `source`: what it was before.
    `end` None: it goes on.

    `outcome`: what became of the job if the bar ended with it; Refused if Bedrock refused it; empty
    if the job goes on or was claimed again. `started`: when Bedrock said InProgress.
    `waited_seconds`: in line, before this attempt.
    """

    job: str
    file: str
    model: str
    attempt: int
    source: str
    kind: str
    lane: int = 0
    begin: datetime
    end: datetime | None = None
    started: datetime | None = None
    status: str = ""
    outcome: str = GOES_ON
    reason: str = ""
    records: int = 0
    waited_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A slot that was free while a job waited. `end` None: it still is. `ended_job`: the job that
    freed it by its end, None if the gap began with something else. `next_job`: which job started on
    it, None for no job.
    """

    begin: datetime
    end: datetime | None = None
    seconds: float = 0.0
    ended_job: str | None
    next_job: str | None = None
    held_back: bool

    @property
    def refill(self) -> bool:
        """Whether this is how long a freed slot took to be used again."""
        return self.ended_job is not None and self.next_job is not None and not self.held_back


@dataclass(frozen=True)
class Times:
    """How long something took, in seconds. None for none. `p99_seconds`: 99 of 100 took no longer
    (nearest rank).
    """

    count: int
    median_seconds: float | None = None
    p99_seconds: float | None = None
    largest_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All of one model. `settings`: its limit (None: no event has said it yet) and whether it was
    paused, from each moment on; `limit`: the last one. `bars`: on `lanes` slots, and held in
    `held_lanes`. `line`: how many waited, from each moment on. `waits`: how long in line, of the
    jobs that got a slot.
    """

    model: str
    settings: Mapping[datetime, tuple[int | None, bool]]
    limit: int | None
    jobs: int
    bars: Sequence[Bar]
    lanes: int
    held_lanes: int
    gaps: Sequence[Gap]
    refills: Times
    line: Mapping[datetime, int]
    waits: Times


def bars_of(job_id: str, events: Iterable[e.Event]) -> list[Bar]:
    """The bars of one job, oldest first, without lanes. Raises IllegalEvent as `fold` does."""
    job: Job | None = None
    bars: list[Bar] = []
    waited_seconds = 0.0
    for event in events:
        before, job = job, evolve(job_id, job, event)
        source, kind = _place(before), _place(job)
        if kind != source:
            # clocks differ: no bar ends before it begins
            at = max([event.at, *(bar.end or bar.begin for bar in bars[-1:])])
            if source:
                bars[-1] = replace(bars[-1], end=at)
            if (source, kind) == (SLOT, HELD):
                bars[-1] = replace(bars[-1], outcome=REFUSED, reason=job.reason)
            if source == WAITING:
                waited_seconds = (at - bars[-1].begin).total_seconds()
            if kind:
                bar = Bar(
                    job=job_id,
                    file=job.sources[0].key if job.sources else "",
                    model=job.model,
                    attempt=job.attempt,
                    source=source,
                    kind=kind,
                    begin=at,
                    records=job.record_count,
                )
                bars.append(bar)
        if bars and kind != WAITING:
            bars[-1] = replace(
                bars[-1],
                started=job.started_at,
                status=job.status,
                outcome=outcome(job),
                reason=job.reason,
                waited_seconds=waited_seconds,
            )
    return bars


def panel(
    model: str,
    bars: Sequence[Bar],
    model_events: Iterable[e.Event],
    since: datetime,
    until: datetime,
) -> Panel:
    """All of one model. `bars`: of all its jobs that lived since `since`. No bar and no event is
    later than `until`.
    """
    settings, gaps, line = _swept(bars, model_events, since, until)
    shown = [bar for bar in bars if bar.end is None or bar.end >= since]
    slots, held = (in_lanes(bar for bar in shown if bar.kind == kind) for kind in (SLOT, HELD))
    return Panel(
        model=model,
        settings=settings,
        limit=[None, *(limit for limit, _ in settings.values())][-1],
        gaps=gaps,
        line=line,
        jobs=len({bar.job for bar in shown}),
        bars=[*slots, *held],
        lanes=max((bar.lane for bar in slots), default=0),
        held_lanes=max((bar.lane for bar in held), default=0),
        refills=times(gap.seconds for gap in gaps if gap.refill),
        waits=times(
            bar.waited_seconds for bar in slots if bar.source == WAITING and bar.begin >= since
        ),
    )


def in_lanes(bars: Iterable[Bar]) -> list[Bar]:
    """Each bar in the lowest lane, from 1, that is free when it begins. Oldest first."""
    free: list[int] = []
    busy: list[tuple[datetime, int]] = []
    placed: list[Bar] = []
    for bar in sorted(
        bars,
        key=lambda bar: (bar.begin, bar.end is None, bar.end or bar.begin, bar.job, bar.attempt),
    ):
        while busy and busy[0][0] <= bar.begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy) + 1
        heapq.heappush(busy, (bar.end or datetime.max.replace(tzinfo=bar.begin.tzinfo), lane))
        placed.append(replace(bar, lane=lane))
    return placed


def times(seconds: Iterable[float]) -> Times:
    """Median, 99th percentile and the largest."""
    ranked = sorted(seconds)
    if not ranked:
        return Times(0)
    return Times(len(ranked), median(ranked), ranked[ceil(0.99 * len(ranked)) - 1], ranked[-1])


def _place(job: Job | None) -> str:
    if job is None:
        return NOWHERE
    if job.status == QUEUED:
        return HELD if job.may_be_at_bedrock else WAITING
    return SLOT if job.status in RUNNING | {CLAIMED} else NOWHERE


def _moves(bars: Iterable[Bar]) -> Iterator[tuple[datetime, int, Move]]:
    """(moment, rank, move) of each move. Of two at one moment, the one that frees a slot has the
    lower rank.
    """
    for bar in bars:
        yield (
            bar.begin,
            3 if bar.kind == SLOT else 1 if bar.source == SLOT else 2,
            (bar.source, bar.kind, bar.job),
        )
        if bar.end and bar.outcome not in {GOES_ON, REFUSED}:
            yield bar.end, 1 if bar.end > bar.begin else 4, (bar.kind, NOWHERE, bar.job)


def _swept(
    bars: Iterable[Bar], model_events: Iterable[e.Event], since: datetime, until: datetime
) -> tuple[dict[datetime, tuple[int | None, bool]], list[Gap], dict[datetime, int]]:
    """(settings, gaps, line) of a panel, oldest first.

    As many gaps are open as slots are free beside waiting jobs; none before an event has said the
    limit. Not all jobs from before `since` are known: a gap that is open then begins then.
    """
    places: Counter[str] = Counter()
    limit, paused, settings, line = None, False, {}, {since: 0}
    gaps: deque[Gap] = deque()
    closed: list[Gap] = []
    steps: list[tuple[datetime, int, e.Event | Move]] = [
        *_moves(bars),
        *((event.at, 0, event) for event in model_events),
    ]
    for at, _, step in sorted(steps, key=lambda step: step[:2]):
        ended = started = None
        if isinstance(step, tuple):
            source, target, job = step
            places.update({source: -1, target: 1})
            started = job if target == SLOT else None
            ended = job if (source, target) == (SLOT, NOWHERE) else None
        else:
            limit = step.limit if isinstance(step, e.LimitSet) else limit
            paused = isinstance(step, e.ModelPaused) or (
                paused and not isinstance(step, e.ModelResumed)
            )
            settings[at] = (limit, paused)
        line[max(at, since)] = places[WAITING]
        if places[HELD]:
            gaps = deque(replace(gap, held_back=True) for gap in gaps)
        due = 0 if paused else max(0, min((limit or 0) - places[SLOT], places[WAITING]))
        while len(gaps) > due:
            gap = gaps.popleft() if started else gaps.pop()
            closed.append(replace(gap, end=at, next_job=started))
        while len(gaps) < due:
            gaps.append(Gap(begin=at, ended_job=ended, held_back=places[HELD] > 0))
    line[until] = places[WAITING]
    found = [
        gap if gap.begin >= since else replace(gap, begin=since, ended_job=None)
        for gap in [*closed, *gaps]
    ]
    lasting = [
        replace(gap, seconds=((gap.end or until) - gap.begin).total_seconds()) for gap in found
    ]
    return (
        settings,
        sorted((gap for gap in lasting if gap.seconds >= 0), key=lambda gap: gap.begin),
        line,
    )
