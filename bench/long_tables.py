"""The tables in memory, for lines of many thousands and for runs that would not fit: the same
writes and conditions.

What differs is cost, not meaning. The head of a line is looked up in a sorted list (DynamoDB's own
range key does as much), and nothing is kept of what was written before: no log, and a bounded
number of rows that were read.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

from bbq.shared.memory import Item, MemoryTables
from bbq.shared.tables import Check, Delete, LineRow, R, Write

MAX_ROWS_KEPT = 20_000  # rows that were read are remembered by the item they came from


class _Forgotten(list[tuple[str, Item]]):
    def append(self, _: Any) -> None:
        """Nobody will ask."""


class LongTables(MemoryTables):
    """`MemoryTables` whose cost does not grow with the length of a line or of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.log = _Forgotten()
        self._places: dict[str, list[str]] = {}

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
        if kind is not LineRow or limit is None or prefix or after:
            return super().query(kind, hash_key, limit=limit, prefix=prefix, after=after)
        partition = self._partition(kind.TABLE, hash_key)
        return [
            self._row(kind, partition[place]) for place in self._places.get(hash_key, [])[:limit]
        ]

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        super().write(writes)
        for write in writes:
            if isinstance(write.row, LineRow) and not isinstance(write, Check):
                self._place(write.row, gone=isinstance(write, Delete))
        if len(self._rows) > MAX_ROWS_KEPT:
            self._rows.clear()

    def _place(self, row: LineRow, *, gone: bool) -> None:
        places = self._places.setdefault(row.pk, [])
        at = bisect_left(places, row.sk)
        known = at < len(places) and places[at] == row.sk
        if gone and known:
            del places[at]
        elif not gone and not known:
            insort(places, row.sk)
