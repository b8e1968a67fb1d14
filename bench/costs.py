"""What one job costs at DynamoDB, by kind of row and by status: partitions have limits of their own
(docs/scale.md).

The same life of a job as in `bench/scale.py`, on one model whose slots are all in use, counted by
the rules in `bench/units.py`. `bench/work.py` counts all together, with their prices.
"""

from collections.abc import Mapping
from typing import Any

from bbq.shared.memory import MemoryTables
from bbq.shared.tables import PROJECTIONS
from bench.scale import WAITING, BusyModels
from bench.table import Table, rounded
from bench.units import CountingTables, item_bytes

SLOTS = (20, 100)
JOBS, JOBS_QUICK = 500, 50
ITEM_BYTES = 400 * 1024  # DynamoDB takes none that is larger


def run(*, quick: bool) -> dict[str, Any]:
    """What a job costs, for few and for many slots. Nothing to reach: docs/scale.md reckons with
    it.
    """
    jobs = JOBS_QUICK if quick else JOBS
    return {"costs": [cost(slots, jobs) for slots in SLOTS], "targets": []}


def cost(slots: int, jobs: int) -> dict[str, Any]:
    """What one job of a model with so many slots, all in use, costs: reads, writes, write units,
    timers, by kind of item.
    """
    tables = CountingTables(MemoryTables())
    deployment = BusyModels(1, slots, WAITING, tables)
    for counter in tables.by_kind.values():
        counter.clear()
    deployment.timers.log.clear()
    for _ in range(jobs):
        deployment.turn()
    item = tables.peek(PROJECTIONS, "slots#m0", "slots")
    assert item is not None  # noqa: S101 - it was made above
    return {
        "slots": slots,
        "jobs": jobs,
        "slots_item_bytes": item_bytes(item),
        **{
            name: {kind: round(count / jobs, 2) for kind, count in sorted(counter.items())}
            for name, counter in tables.by_kind.items()
        },
        "timers": {
            name: round(count / jobs, 2) for name, count in sorted(deployment.timer_calls.items())
        },
    }


def report(result: Mapping[str, Any]) -> dict[str, Table | str]:
    """What one job costs, by kind of row, for few and for many slots; and how many slots fit into
    one item.
    """
    few, many = result["costs"]
    rows: list[tuple[str, ...]] = [
        (
            kind,
            *(rounded(many[what].get(kind, 0), 1) for what in ("reads", "writes", "transactions")),
            *(rounded(one["write_units"].get(kind, 0), 1) for one in (few, many)),
        )
        for kind in sorted({*many["reads"], *many["writes"]})
    ]
    index = [sum(one["index_units"].values()) for one in (few, many)]
    sums = [
        sum(one["write_units"].values()) + units
        for one, units in zip((few, many), index, strict=True)
    ]
    rows.append(("status index", "", "", "", *(rounded(units, 1) for units in index)))
    rows.append(("**all**", "", "", "", *(f"**{rounded(units, 0)}**" for units in sums)))
    columns = (
        "rows",
        "reads",
        "writes",
        "in transactions",
        f"write units, {few['slots']} slots",
        f"{many['slots']} slots",
    )
    each = (many["slots_item_bytes"] - few["slots_item_bytes"]) / (many["slots"] - few["slots"])
    slots_item = (
        f"With {many['slots']} holders the slots item has {many['slots_item_bytes']:,} bytes, "
        f"{rounded(each, 0)} for each; "
        f"{rounded(ITEM_BYTES / each, 0)} slots would fill the 400 KB of an item."
    )
    return {
        "costs": Table("what one job costs at DynamoDB", columns, rows),
        "slots-item": slots_item,
    }
