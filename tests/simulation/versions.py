"""Two versions of the code at once: `job-progressed` has a made-up newer shape here, and some
invocations run the old code.

Version 1 calls the status `state`; version 2, the current code of the simulation, calls it
`status`. Old code writes version 1, and cannot read version 2; current code lifts version 1 on
reading.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bbq.shared import events
from bbq.shared.events import JobProgressed, UnknownEvent
from bbq.shared.tables import EventRow, Put, R, Tables, Write


@contextmanager
def newer_shape() -> Iterator[None]:
    """`job-progressed` is at version 2 meanwhile."""
    before: Any = events.UPCASTS
    events.UPCASTS = {(JobProgressed.NAME, 1): _lift}
    JobProgressed.VERSION = 2
    try:
        yield
    finally:
        events.UPCASTS = before
        JobProgressed.VERSION = 1


def _lift(data: dict[str, Any]) -> dict[str, Any]:
    return {"attempt": data["attempt"], "status": data["state"]}


class OldTables:
    """The tables as the old code sees and writes them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables."""
        return self._tables.get(kind, hash_key, range_key)

    def query(
        self,
        kind: type[R],
        hash_key: str,
        *,
        limit: int | None = None,
        prefix: str = "",
        after: str | int = "",
    ) -> list[R]:
        """See Tables."""
        return [
            _lifted(row)
            for row in self._tables.query(kind, hash_key, limit=limit, prefix=prefix, after=after)
        ]

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        self._tables.write([_as_old(write) for write in writes])


def _lifted(row: R) -> R:
    """Old code reads its own shape only; what it sees is turned into ours, which is the code that
    runs.
    """
    if not isinstance(row, EventRow) or row.name != JobProgressed.NAME:
        return row
    if int(row.schema) > 1:
        raise UnknownEvent("injected: old code meets a newer event")
    data = {"attempt": row.data["attempt"], "status": row.data["state"]}
    lifted: Any = EventRow(
        stream=row.stream, version=row.version, name=row.name, schema=2, at=row.at, data=data
    )
    found: R = lifted
    return found


def _as_old(write: Write) -> Write:
    row = write.row
    if (
        not isinstance(write, Put)
        or not isinstance(row, EventRow)
        or row.name != JobProgressed.NAME
    ):
        return write
    data = row.data if isinstance(row.data, dict) else json.loads(row.data)
    old = EventRow(
        stream=row.stream,
        version=row.version,
        name=row.name,
        schema=1,
        at=row.at,
        data={"attempt": data["attempt"], "state": data["status"]},
    )
    return Put(old, write.condition)
