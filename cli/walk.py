"""Through a whole table, slowly, and so that it can be broken off: the walk that every tool of last resort takes.

A walk goes through the projections first and the events second. What matters about a model's slots is whether it was paused
*before* its jobs were read, so the walk notes that when it meets the item, and the jobs come after.

`Cursor` is all that a walk knows. `Desk.progress` hands it out after every page; whoever stores it can go on from there with
another process. Going over a page twice is harmless.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from cli.reader import Key, Reader
from shared import projections
from shared.events import UnknownEvent
from shared.job import IllegalEvent
from shared.store import Store
from shared.tables import EVENTS, PROJECTIONS, ConditionFailed, Contended, Tables

READ_UNITS = 4.0  # of one look at a job: its events, its view, its place in line, each a few KB, strongly consistent
DEFAULT_READ_UNITS_PER_SECOND = 200.0
MAX_SUSPECTS = 10_000  # rows that differ; a walk that has found so many stops, for its cursor must stay small
OPEN = -1  # in `Cursor.paused`: the model was not paused when the walk met it
NO_ROW = "(stream)"  # the range key of what has no row among the projections

# What a walk looks at: the key of a projection. A job's view stands for the whole job, a slots item for the whole model.
Target = tuple[str, str]


class Hints(Protocol):
    """See services/scheduler/outbox.Outbox."""

    def wake_job(self, job: str) -> None: ...
    def wake_model(self, alias: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """How far a walk has come. A new one begins at the beginning; `table` is None behind the last page.

    `paused`: each model whose slots item was met, and its `model_version` if it was paused then, else OPEN. `live`: id and model
    of each job with an attempt that needs a place in the slots. `suspects`: keys of rows that differed when they were read.
    `touched`: ids of jobs that are being repaired and must be woken. `began`: when the walk began, by the clock of this machine.
    `counts`: what each row of counts (by pk and sk) should hold for the jobs that were met. `changes`: how often each had been
    changed when it was met: only one that has not been changed since can be compared, and whose shard holds no job of
    `unreadable` ones.
    """

    table: str | None = PROJECTIONS
    start: Key | None = None
    paused: Mapping[str, int] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    live: Mapping[str, str] = field(default_factory=dict)
    suspects: tuple[Target, ...] = ()
    touched: tuple[str, ...] = ()
    pages: int = 0
    jobs: int = 0
    began: str | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    changes: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[int, ...] = ()

    def to_text(self) -> str:
        """As JSON, to be stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Cursor":
        """The reverse of `to_text`."""
        values = json.loads(text)
        start = values["start"]
        return cls(
            **{
                **values,
                "start": (start[0], start[1]) if start else None,
                "models": tuple(values["models"]),
                "suspects": tuple((pk, sk) for pk, sk in values["suspects"]),
                "touched": tuple(values["touched"]),
                "unreadable": tuple(values["unreadable"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the tools work with. `now` is UTC; `lease` is the deployment's (scheduler `Config.lease`).

    `read_units_per_second` bounds what a walk takes from the tables, roughly: scans are measured, single reads are estimated.
    """

    tables: Tables
    reader: Reader
    hints: Hints
    lease: timedelta
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    progress: Callable[[Cursor], None] = lambda _: None
    read_units_per_second: float = DEFAULT_READ_UNITS_PER_SECOND

    @property
    def store(self) -> Store:
        """Events and projections, with the store's own bounded retries."""
        return Store(self.tables, self.sleep)

    def spend(self, read_units: float) -> None:
        """Wait for as long as that many read units should take."""
        self.sleep(read_units / self.read_units_per_second)


def walk(desk: Desk, cursor: Cursor, visit: Callable[[Cursor, Sequence[Target]], Cursor]) -> Cursor:
    """Page by page: `visit` gets the cursor before the page and what the page is about, and answers the cursor with what it
    found. Stops early at MAX_SUSPECTS; then `table` of the answer is not None.
    """
    while cursor.table is not None and len(cursor.suspects) < MAX_SUSPECTS:
        page = desk.reader.page(cursor.table, cursor.start)
        targets = _targets(cursor.table, page.keys, cursor.start)
        cursor = visit(cursor, targets)
        table = cursor.table if page.next is not None else _AFTER[cursor.table or EVENTS]
        cursor = replace(cursor, table=table, start=page.next, pages=cursor.pages + 1)
        desk.progress(cursor)
        desk.spend(page.read_units + READ_UNITS * len(targets))
    return cursor


class Damaged(Exception):
    """A job's events or rows cannot be read, its events are not 1 to n, or they cannot be projected: what its rows should be is
    not known.
    """


# Says nothing of a job: AWS did not answer, others were faster, or the damage has a name of its own already.
_NOT_DAMAGE = (
    PynamoDBException, BotoCoreError, ClientError, OSError, ConditionFailed, Contended, UnknownEvent, IllegalEvent, Damaged,
)  # fmt: skip


@contextmanager
def one_job() -> Iterator[None]:
    """Whatever one job does to this code is damage of that job, and never the end of a walk through all jobs. Raises Damaged."""
    try:
        yield
    except _NOT_DAMAGE:
        raise
    except Exception as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


_AFTER = {PROJECTIONS: EVENTS, EVENTS: None}


def _targets(table: str, keys: Sequence[Key], start: Key | None) -> list[Target]:
    """What to look at, each once: the many events of a stream are one job, and the page before may have ended among them."""
    if table == PROJECTIONS:
        return [(pk, str(sk)) for pk, sk in keys]
    streams = dict.fromkeys(stream for stream, _ in keys)
    return [_target(stream) for stream in streams if start is None or stream != start[0]]


def _target(stream: str) -> Target:
    kind, _, name = stream.partition("#")
    if kind == "job":
        return projections.view_pk(name), projections.VIEW_KEY
    if kind == "model":
        return projections.slots_pk(name), projections.SLOTS_KEY
    return stream, NO_ROW
