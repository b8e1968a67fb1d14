"""What reads and writes of the tables cost, by DynamoDB's own rules, counted beside the in-memory
tables.

Rules and sizes: DynamoDB developer guide, "DynamoDB read and write operations", "DynamoDB item
sizes and formats", "Using global secondary indexes", "TransactWriteItems". A write costs a unit for
each KB of the item, before or after, whichever is larger; in a transaction twice that; a failed
condition costs the same. An index costs its own writes on top, at the plain price also inside of a
transaction (so MiniStack counts; the guide does not say: UNVERIFIED). A strongly consistent read
costs a unit for each 4 KB, a Query for the sum of what it read, and at least one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bbq.shared.memory import MemoryTables
from bbq.shared.tables import (
    Check,
    CountRow,
    EventRow,
    LineRow,
    R,
    SlotsRow,
    ViewRow,
    Write,
    key_of,
)

WRITE_BYTES, READ_BYTES = 1024, 4096
IN_TRANSACTION = 2
CONTAINER_BYTES, ELEMENT_BYTES = 3, 1  # of a list or map, and of each of its elements
INDEX_KEYS = ("status_key", "queued_at")  # of `by-status`, which has every attribute
KINDS = {
    EventRow: "events",
    ViewRow: "views",
    LineRow: "line",
    SlotsRow: "slots",
    CountRow: "counts",
}

Item = Mapping[str, Any]


def item_bytes(item: Item) -> int:
    """Size of an item in wire form: its names and its values."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def write_units(before: Item | None, after: Item | None) -> int:
    """Of one write outside of a transaction, on the table alone."""
    return _blocks(max(item_bytes(before or {}), item_bytes(after or {})), WRITE_BYTES)


def index_units(before: Item | None, after: Item | None) -> Counter[str]:
    """Of what the same write changes in the index, by status (its partition): nothing, an entry, or
    two if its key changes.
    """
    old, new = (
        item if item is not None and all(key in item for key in INDEX_KEYS) else None
        for item in (before, after)
    )
    if old == new:
        return Counter()
    if old is not None and new is not None and all(old[key] == new[key] for key in INDEX_KEYS):
        return Counter({_status(new): write_units(old, new)})
    units: Counter[str] = Counter()
    for entry in (old, new):
        if entry is not None:
            units[_status(entry)] += write_units(None, entry)
    return units


def read_units(sizes: Sequence[int]) -> int:
    """Of one strongly consistent read of items of these sizes, or of none."""
    return _blocks(sum(sizes), READ_BYTES)


class CountingTables(MemoryTables):
    """`Tables` on the items of other tables, which counts what production code asks of them: by
    operation, and by kind of row.
    """

    def __init__(self, tables: MemoryTables) -> None:
        super().__init__()
        self._items, self.log = tables._items, tables.log
        self.requests: Counter[str] = Counter()
        self.units: Counter[str] = Counter()  # "read", "write", "index"
        # the last by status
        names = ("reads", "writes", "write_units", "transactions", "index_units")
        self.by_kind: dict[str, Counter[str]] = {name: Counter() for name in names}

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables."""
        item = self.peek(kind.TABLE, hash_key, int(range_key) if kind is EventRow else range_key)
        self._read("GetItem", kind, [item] if item else [])
        return super().get(kind, hash_key, range_key)

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
        rows = super().query(kind, hash_key, limit=limit, prefix=prefix, after=after)
        items = [self.peek(kind.TABLE, *key_of(row)) for row in rows]
        self._read("Query", kind, [item for item in items if item is not None])
        return rows

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables. Counted by what is there before and after, also where it fails."""
        keys = [(write.row.TABLE, *key_of(write.row)) for write in writes]
        before = [self.peek(*key) for key in keys]
        times = 1 if len(writes) == 1 else IN_TRANSACTION
        self.requests[
            type(writes[0]).__name__ + "Item" if len(writes) == 1 else "TransactWriteItems"
        ] += 1
        try:
            super().write(writes)
        finally:
            for write, key, old in zip(writes, keys, before, strict=True):
                new, kind = (
                    old if isinstance(write, Check) else self.peek(*key),
                    KINDS[type(write.row)],
                )
                index = index_units(old, new) if isinstance(write.row, ViewRow) else Counter[str]()
                self.units["write"] += times * write_units(old, new)
                self.units["index"] += index.total()
                self.by_kind["writes"][kind] += not isinstance(write, Check)
                self.by_kind["write_units"][kind] += times * write_units(old, new)
                self.by_kind["index_units"].update(index)
            self.by_kind["transactions"].update(
                {KINDS[type(write.row)] for write in writes} if len(writes) > 1 else ()
            )

    def _read(self, operation: str, kind: type[Any], items: Sequence[Item]) -> None:
        self.requests[operation] += 1
        self.units["read"] += read_units([item_bytes(item) for item in items])
        self.by_kind["reads"][KINDS[kind]] += 1


def _status(view: Item) -> str:
    """`Queued` of `haiku#Queued`, `Completed` of `haiku#Completed#2026-11-23`."""
    key: str = view["status_key"]["S"]
    return key.split("#")[1]


def _blocks(size: int, block: int) -> int:
    return max(1, -(-size // block))


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "BOOL" | "NULL":
            return 1
        case "M":
            return CONTAINER_BYTES + sum(
                ELEMENT_BYTES + len(name.encode()) + _value_bytes(each)
                for name, each in content.items()
            )
        case "L":
            return CONTAINER_BYTES + sum(ELEMENT_BYTES + _value_bytes(each) for each in content)
        case other:
            raise NotImplementedError(f"size of a value of type {other}")


def _number_bytes(text: str) -> int:
    """A byte for each two significant digits, and one more; one more where it is negative."""
    digits = text.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")
