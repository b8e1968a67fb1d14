"""The reader of all keys, on the in-memory tables."""

import hashlib
from collections.abc import Iterator
from typing import Any

from bbq.cli.scan import Key, Page
from bbq.shared.memory import MemoryTables


class MemoryReader:
    """`Reader` on `MemoryTables`: partitions in an order that nobody can guess, as DynamoDB's are;
    few keys a page.
    """

    def __init__(self, tables: MemoryTables, page_items: int = 3) -> None:
        self._tables = tables
        self._page_items = page_items

    def pages(self, table: str) -> Iterator[Page]:
        """See Reader. Each page is of the table as it is when the page is asked for."""
        last: Key | None = None
        while True:
            rows = self._tables._items.get(table, {})
            keys = (
                (hash_key, range_key)
                for hash_key, partition in rows.items()
                for range_key in partition
            )
            rest = sorted(
                (key for key in keys if last is None or _order(key) > _order(last)), key=_order
            )
            page = tuple(rest[: self._page_items])
            yield Page(keys=page, read_units=float(len(page)))
            if len(rest) == len(page):
                return
            last = page[-1]


def _order(key: Key) -> Any:
    return hashlib.sha256(key[0].encode()).hexdigest(), key[1]
