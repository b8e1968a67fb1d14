"""A flood of uploads: each costs a bounded number of calls, however many came before it, and delays
no other model.

Within one model the line is first come, first served: who floods a model delays the others of that
model. A priority moves a job past them, and a ceiling of the day bounds the bill; fair shares
between the uploaders of one model do not exist.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bbq.services.intake.intake import take_in
from bbq.services.intake.uploads import Upload
from bbq.services.scheduler.reconcile import Visit, reconcile
from bbq.services.scheduler.wake import reconcile_model
from bbq.shared import events as e
from bbq.shared.appends import append_to_model
from bbq.shared.memory import MemoryTables
from bbq.shared.models import Model
from bbq.shared.projections import model_changed
from bbq.shared.slots import Slots
from bbq.shared.store import Store
from bbq.shared.tables import R, Write
from tests.support.samples import BUCKET, MODEL, MODEL_ID, id_of, queued
from tests.support.world import Bench, HookedTables, config
from tests.unit.test_hostile_keys import Life

FLOOD = 10_000
# of a flood that is parked: looking at a line in memory takes longer, the longer it is
SAMPLE = 300
OTHER = "nova"
# of the scheduler, for an upload that has to wait: reads and writes of the tables, timers, Bedrock
MOST_CALLS = 8
MOST_INTAKE_CALLS = 4  # is it known; read; copy; append


class CountedTables(HookedTables):
    """Counts requests, and the rows that queries answer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables."""
        self.calls["get"] += 1
        return super().get(kind, hash_key, range_key)

    def query(self, kind: type[R], hash_key: str, **how: Any) -> list[R]:
        """See Tables."""
        rows = super().query(kind, hash_key, **how)
        self.calls["query"] += 1
        self.calls["rows"] += len(rows)
        return rows

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        self.calls["write"] += 1
        super().write(writes)


def flooded(count: int, *, limit: int, **ceiling: int) -> tuple[Bench, list[int], list[int]]:
    """(bench, calls and rows for each upload in turn): all of one model, each taken up by the
    record of its own event.
    """
    tables = CountedTables()
    # they are due every 30 s, not for every upload
    bench = Bench(limit=limit, tables=tables, gauges_due=False)
    models = {
        MODEL: Model(alias=MODEL, model_id=MODEL_ID, limit=limit, max_records=100, **ceiling),  # type: ignore[arg-type] # ceilings
        OTHER: Model(alias=OTHER, model_id="amazon.nova-lite-v1:0", limit=1),
    }
    bench.config = config(models=models)
    reconcile_model(bench.world(), MODEL, limit)
    calls, rows = [], []
    for number in range(count):
        job = bench.upload(f"v{number}")
        before = spent(bench)
        reconcile(bench.world(), job, Visit())
        calls.append(spent(bench) - before)
        rows.append(tables.calls["rows"])
    return bench, calls, [later - earlier for earlier, later in zip([0, *rows], rows, strict=False)]


def spent(bench: Bench) -> int:
    """Calls of any kind until now."""
    assert isinstance(bench.tables, CountedTables)
    of_tables = sum(bench.tables.calls[name] for name in ("get", "query", "write"))
    return of_tables + len(bench.timers.log) + len(bench.bedrock.creates) + len(bench.outbox.sent)


def other_starts(bench: Bench) -> int:
    """Calls until an upload of another model is at Bedrock."""
    event = e.LimitSet(at=bench.time, limit=1)
    bench.store.commit(
        [
            append_to_model(OTHER, 1, event),
            *model_changed(None, Slots(model=OTHER, limit=1, model_version=1), resumed=False),
        ]
    )
    before = spent(bench)
    job = id_of("to-process/nova/other.jsonl")
    bench.store.append(job, None, replace(queued("to-process/nova/other.jsonl"), model=OTHER))
    reconcile(bench.world(), job, Visit())
    assert bench.job(job).status == "Submitted"
    return spent(bench) - before


@pytest.mark.parametrize(
    ("count", "limit", "ceiling"),
    [(FLOOD, 1, {}), (SAMPLE, 9, {"max_jobs_per_day": 1}), (SAMPLE, 0, {})],
    ids=["full", "parked", "stopped"],
)
def test_each_upload_of_a_flood_costs_the_same_and_another_model_starts_at_once(
    count: int, limit: int, ceiling: dict[str, int]
) -> None:
    bench, calls, rows = flooded(count, limit=limit, **ceiling)
    begun = min(limit, *ceiling.values()) if ceiling else limit
    assert len(bench.bedrock.creates) == begun
    assert len(set(calls[20:])) == 1  # the last one costs what the twentieth did
    assert max(calls[begun:]) <= MOST_CALLS
    assert len(set(rows[20:])) == 1
    quiet, _, _ = flooded(2, limit=limit, **ceiling)
    assert other_starts(bench) == other_starts(quiet)


def test_a_wake_of_a_flooded_model_costs_what_it_fills_and_not_what_waits() -> None:
    few, _, _ = flooded(10, limit=1)
    many, _, _ = flooded(1000, limit=1)
    costs = []
    for bench in (few, many):
        before = spent(bench)
        reconcile_model(bench.world(), MODEL)
        costs.append(spent(bench) - before)
    assert costs[0] == costs[1]


def test_intake_takes_the_same_few_calls_for_every_upload_of_a_flood() -> None:
    life = Life()
    tables = CountedTables()
    life.intake = replace(life.intake, store=Store(tables, sleep=lambda _: None))
    for number in range(SAMPLE):
        before = tables.calls.total() + 2 * len(life.bucket.copies)
        take_in(
            life.intake,
            Upload(
                bucket=BUCKET,
                key=f"to-process/{number}.jsonl",
                version_id="v",
                etag="e",
                sequencer="",
                size_bytes=19,
            ),
        )
        assert tables.calls.total() + 2 * len(life.bucket.copies) - before <= MOST_INTAKE_CALLS
    assert isinstance(tables, MemoryTables)
