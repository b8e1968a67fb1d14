"""What one job costs at DynamoDB, by kind of row and by status: partitions have limits of their own (docs/scale.md).

The same life of a job as in `bench/scale.py`, on one model whose slots are all in use, counted by the rules in `bench/units.py`.
`bench/work.py` counts all together, with their prices.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.samples import console
from bench.scale import WAITING, Deployment
from bench.tables import LongTables
from bench.units import IN_TRANSACTION, index_units, item_bytes, write_units
from shared.memory import Item
from shared.tables import PROJECTIONS, Check, CountRow, EventRow, LineRow, SlotsRow, ViewRow, Write, key_of

SLOTS = (20, 100)
JOBS, JOBS_QUICK = 500, 50
KINDS = {EventRow: "events", ViewRow: "views", LineRow: "line", SlotsRow: "slots", CountRow: "counts"}


def run(*, quick: bool) -> dict[str, Any]:
    """What a job costs, for few and for many slots. Nothing to reach: docs/scale.md reckons with it."""
    jobs = JOBS_QUICK if quick else JOBS
    costs = [cost(slots, jobs) for slots in SLOTS]
    for each in costs:
        console.print(f"{each['slots']} slots: {sum(each['write_units'].values()):.0f} write units a job in the tables")
    return {"costs": costs, "targets": []}


class CountedTables(LongTables):
    """Counts what DynamoDB would, by kind of row."""

    def __init__(self) -> None:
        super().__init__()
        self.counting = False
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self.index_units: Counter[str] = Counter()  # of the status index, by partition of a model (once over: of a day)
        self.transactions: Counter[str] = Counter()  # that have an item of this kind

    def get(self, kind: Any, hash_key: str, range_key: str) -> Any:
        """See Tables."""
        self._read(kind)
        return super().get(kind, hash_key, range_key)

    def query(self, kind: Any, hash_key: str, *, limit: int | None = None, prefix: str = "", after: str | int = "") -> list[Any]:
        """See Tables."""
        self._read(kind)
        return super().query(kind, hash_key, limit=limit, prefix=prefix, after=after)

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        if not self.counting:
            return super().write(writes)
        keys = [(write.row.TABLE, *key_of(write.row)) for write in writes]
        before = [self.peek(*key) for key in keys]
        super().write(writes)
        factor = IN_TRANSACTION if len(writes) > 1 else 1
        for write, key, old in zip(writes, keys, before, strict=True):
            kind, new = KINDS[type(write.row)], self.peek(*key)
            self.writes[kind] += not isinstance(write, Check)
            self.units[kind] += factor * write_units(old, new)
            if new is not None and "status_key" in new:
                self.index_units.update(_index_units(old, new))
        for kind in {KINDS[type(write.row)] for write in writes}:
            self.transactions[kind] += len(writes) > 1
        return None

    def _read(self, kind: type[Any]) -> None:
        if self.counting:
            self.reads[KINDS[kind]] += 1


def cost(slots: int, jobs: int) -> dict[str, Any]:
    """What one job of a model with so many slots, all in use, costs: reads, writes, write units, timers, by kind of item."""
    tables = CountedTables()
    deployment = Deployment(1, slots, WAITING, tables)
    tables.counting = True
    deployment.timers.calls.clear()
    for _ in range(jobs):
        deployment.turn()
    item = tables.peek(PROJECTIONS, "slots#m0", "slots")
    assert item is not None  # noqa: S101 - it was made above
    counted = {"reads": tables.reads, "writes": tables.writes, "write_units": tables.units, "transactions": tables.transactions,
               "index_units": tables.index_units}  # fmt: skip
    return {
        "slots": slots, "jobs": jobs, "slots_item_bytes": item_bytes(item),
        **{name: {kind: round(count / jobs, 2) for kind, count in sorted(counter.items())} for name, counter in counted.items()},
        "timers": {name: round(count / jobs, 2) for name, count in sorted(deployment.timers.calls.items())},
    }  # fmt: skip


def _index_units(old: Item | None, new: Item) -> Counter[str]:
    """By partition: where it changed, an entry goes and another comes."""
    if old is not None and old["status_key"] != new["status_key"]:
        return Counter({_partition(old): write_units(old, None), _partition(new): write_units(None, new)})
    return Counter({_partition(new): index_units(old, new)})


def _partition(view: Item) -> str:
    """`Queued` of `haiku#Queued`, `Completed` of `haiku#Completed#2026-11-23`."""
    key: str = view["status_key"]["S"]
    return key.split("#")[1]
