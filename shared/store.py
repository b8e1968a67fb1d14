"""Load, fold, decide, append: the event store on top of the tables.

Whoever acts on a job loads its events (strongly consistent), folds them, decides, and commits the
event together with all it changes, on condition that its version is still free. A conflict means:
load and decide again, a bounded number of times.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bbq.shared import appends, counts, rows
from bbq.shared.events import Event, from_stored
from bbq.shared.fold import unfolded
from bbq.shared.job import Job, evolve, fold
from bbq.shared.names import job_stream
from bbq.shared.plain import moment_of
from bbq.shared.slots import Slots
from bbq.shared.tables import (
    ConditionFailed,
    Contended,
    CountRow,
    EventRow,
    LineRow,
    SlotsRow,
    Tables,
    ViewRow,
    Write,
)

MAX_TRIES = 10  # of one write under contention: ten fillers on a hundred free slots need it
BASE_PAUSE_SECONDS = 0.02
MAX_PAUSE_SECONDS = 1.0


class VersionTaken(Exception):
    """Somebody appended this version first, or it was us and the answer was lost: load again."""


@dataclass(frozen=True)
class Recorded:
    """An event with its place in its stream."""

    stream: str
    version: int
    event: Event


@dataclass(frozen=True)
class Loaded:
    """A job (None: there is none), and as its view has seen it (None: not at all)."""

    job: Job | None
    seen: Job | None


class Store:
    """Events and projections. `sleep` and `draw` (0 to 1) are arguments so that simulations own
    time and chance.
    """

    def __init__(
        self,
        tables: Tables,
        sleep: Callable[[float], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._tables = tables
        self._sleep = sleep
        self._draw = draw

    def load(self, stream: str, after: int = 0) -> list[Recorded]:
        """The events of a stream after version `after`, oldest first. Raises UnknownEvent if a
        newer deployment wrote one.
        """
        return [
            Recorded(
                stream, int(row.version), from_stored(row.name, int(row.schema), row.at, row.data)
            )
            for row in self._tables.query(EventRow, stream, after=after)
        ]

    def load_job(self, job_id: str) -> Loaded:
        """A job by its view and the events after it. All events are read if the view does not say,
        or does not end where an event is: a view ahead of its events would leave a gap in them.
        Raises UnknownEvent, IllegalEvent.
        """
        row = self._tables.get(ViewRow, rows.view_pk(job_id), rows.VIEW_KEY)
        seen = unfolded(row) if row is not None else None
        if seen is not None:
            last = self.load(job_stream(job_id), seen.version - 1)
            if last and last[0].version == seen.version:
                return Loaded(fold(job_id, (recorded.event for recorded in last[1:]), seen), seen)
        events = [recorded.event for recorded in self.load(job_stream(job_id))]
        seen = fold(job_id, events[: int(row.version)]) if row is not None else None
        return Loaded(fold(job_id, events), seen)

    def job(self, job_id: str) -> Job | None:
        """The state of a job; None if there is no such job. Raises UnknownEvent, IllegalEvent."""
        return self.load_job(job_id).job

    def job_of_events(self, job_id: str) -> Job | None:
        """As `job`, by the events alone: for intake, whose role reads no projections."""
        return fold(job_id, (recorded.event for recorded in self.load(job_stream(job_id))))

    def exists(self, stream: str) -> bool:
        """Whether the stream has an event."""
        return bool(self._tables.query(EventRow, stream, limit=1))

    def row(self, stream: str, version: int) -> EventRow | None:
        """One event of a stream as it is stored, also if this code cannot read its data."""
        return next(
            (row for row in self._tables.query(EventRow, stream) if int(row.version) == version),
            None,
        )

    def append(self, job_id: str, job: Job | None, event: Event) -> None:
        """Append an event of an uploader or an operator to the job as it was loaded (None: its
        first); the scheduler projects it.

        Raises VersionTaken where the job has moved on: load it and decide again.
        """
        after = evolve(job_id, job, event)
        self._append(
            appends.append(after, event), f"version {after.version} of {job_stream(job_id)}"
        )

    def append_to_model(self, model: str, version: int, event: Event) -> None:
        """Append an operator's event to a model's stream; the scheduler projects it. Raises
        VersionTaken.
        """
        self._append(
            appends.append_to_model(model, version, event),
            f"version {version} of model {model}",
        )

    def slots(self, model: str) -> Slots | None:
        """The slots of a model; None before its first limit was set."""
        row = self._tables.get(SlotsRow, rows.slots_pk(model), rows.SLOTS_KEY)
        return rows.slots_of(row) if row is not None else None

    def line(self, model: str, limit: int, prefix: str = "") -> list[str]:
        """The ids of the first `limit` jobs in line, or of those of one priority (`prefix`
        "5#").
        """
        return [
            row.job
            for row in self._tables.query(LineRow, rows.line_pk(model), limit=limit, prefix=prefix)
        ]

    def oldest_place(self, model: str) -> datetime | None:
        """When the oldest of those was queued who are first at their priority. One query for each
        priority that somebody waits at, and one more.
        """
        found: list[datetime] = []
        after = ""
        while first := self._tables.query(LineRow, rows.line_pk(model), limit=1, after=after):
            priority, line_at, _ = first[0].sk.split("#")
            found.append(moment_of(first[0].queued_at or line_at))
            # behind every place of this priority, before every one of the next
            after = f"{priority}$"
        return min(found, default=None)

    def waiting(self, model: str) -> counts.Numbers:
        """What waits in line, exactly: `jobs` and `records`."""
        return self._counts(model, counts.WAITING)

    def day(self, model: str, day: str) -> counts.Numbers:
        """What was over on a day (`2026-11-23`, UTC): jobs by outcome, and what they add up to (see
        `shared/counts.py`).
        """
        return self._counts(model, day)

    def view_version(self, job_id: str) -> int:
        """How many events the job's view has seen; 0 without a view."""
        row = self._tables.get(ViewRow, rows.view_pk(job_id), rows.VIEW_KEY)
        return int(row.version) if row is not None else 0

    def commit(self, writes: Sequence[Write]) -> None:
        """Write, and try again under contention with growing pauses and full jitter. Raises
        ConditionFailed, Contended.
        """
        for attempt in range(MAX_TRIES):
            try:
                return self._tables.write(writes)
            except Contended:
                if attempt == MAX_TRIES - 1:
                    raise
            self.pause(attempt)
        return None

    def _append(self, write: Write, what: str) -> None:
        try:
            self.commit([write])
        except ConditionFailed as error:
            raise VersionTaken(f"{what} is taken") from error

    def _counts(self, model: str, what: str) -> counts.Numbers:
        return counts.total(
            self._tables.query(CountRow, counts.counts_pk(model), prefix=f"{what}#")
        )

    def pause(self, attempt: int) -> None:
        """A pause that grows with `attempt` (from 0), anywhere between nothing and its bound."""
        self._sleep(self._draw() * min(MAX_PAUSE_SECONDS, BASE_PAUSE_SECONDS * 2**attempt))
