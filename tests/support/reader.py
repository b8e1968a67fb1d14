"""The reader of all keys, on the in-memory tables."""

import hashlib
from typing import Any

from cli.reader import Key, Page
from shared.memory import MemoryTables


class MemoryReader:
    """`Reader` on `MemoryTables`: partitions in an order that nobody can guess, as DynamoDB's are; few keys a page."""

    def __init__(self, tables: MemoryTables, page_items: int = 3) -> None:
        self._tables = tables
        self._page_items = page_items

    def page(self, table: str, start: Key | None) -> Page:
        """See Reader."""
        rows = self._tables._items.get(table, {})
        keys = sorted(((hash_key, range_key) for hash_key, partition in rows.items() for range_key in partition), key=_order)
        rest = [key for key in keys if start is None or _order(key) > _order(start)]
        page = tuple(rest[: self._page_items])
        return Page(keys=page, next=page[-1] if len(rest) > len(page) else None, read_units=float(len(page)))


def _order(key: Key) -> Any:
    return hashlib.sha256(key[0].encode()).hexdigest(), key[1]
