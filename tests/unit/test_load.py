"""A job is loaded as its view and the events after it, and the answer is that of all its events.

That it is so whatever happens to a job: test_job_properties.py, at every step. Here: that no view
is believed that may be wrong, and that a load does not grow with a job's history (R48).
"""

from typing import Any

import pytest

from bbq.services.scheduler.bedrock import Refused
from bbq.shared import events as e
from bbq.shared import rows
from bbq.shared.fold import SCHEMA, unfolded
from bbq.shared.hold import QUOTA
from bbq.shared.job import Job, fold
from bbq.shared.names import job_stream
from bbq.shared.store import Store
from bbq.shared.tables import EventRow, Put, R, ViewRow
from tests.support.driving import ended, let_pass, report, see, started
from tests.support.world import Bench, HookedTables


class CountedTables(HookedTables):
    """Counts the events that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.events_read = 0

    def query(self, kind: type[R], hash_key: str, **how: Any) -> list[R]:
        """See Tables."""
        rows = super().query(kind, hash_key, **how)
        if kind is EventRow:
            self.events_read += len(rows)
        return rows


def refused_for(hours: float) -> tuple[Bench, CountedTables, str]:
    """A job that Bedrock refuses, and how its model is asked again by the grid."""
    tables = CountedTables()
    bench = Bench(tables=tables)
    bench.bedrock.otherwise = Refused(QUOTA, "full")
    job = started(bench)
    let_pass(bench, hours=hours)
    return bench, tables, job


def by_events(store: Store, job: str) -> Job | None:
    return fold(job, [recorded.event for recorded in store.load(job_stream(job))])


def view(bench: Bench, job: str) -> ViewRow:
    found = bench.tables.get(ViewRow, rows.view_pk(job), rows.VIEW_KEY)
    assert found
    return found


def test_the_events_that_a_load_reads_do_not_grow_with_the_probes() -> None:  # R48
    costs = []
    for hours in (1, 24):
        bench, tables, job = refused_for(hours)
        tables.events_read = 0
        assert bench.job(job) == by_events(Store(tables, sleep=lambda _: None), job)
        by_all = len(bench.history(job))
        tables.events_read = 0
        bench.job(job)
        costs.append((tables.events_read, by_all > 10 * hours / 6))
    assert costs == [(1, True), (1, True)]


def test_what_is_not_projected_yet_is_read_after_the_view() -> None:
    bench = Bench(limit=0, tables=CountedTables())
    job = started(bench)
    bench.append(job, e.PriorityChanged(at=bench.time, priority=0, by="ann", why=""))
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    loaded = bench.store.load_job(job)
    assert loaded.job == by_events(bench.store, job)
    assert loaded.seen == fold(
        job, [recorded.event for recorded in bench.store.load(job_stream(job))][:1]
    )


@pytest.mark.parametrize("status", ["waiting", "claimed", "running", "late failure"])
def test_a_view_holds_the_whole_state_of_a_job_that_is_not_over(status: str) -> None:
    bench, _, job = refused_for(1)
    if status != "waiting":
        bench.bedrock.otherwise = (
            Refused(QUOTA, "full") if status == "claimed" else type(bench.bedrock)().otherwise
        )
        let_pass(bench, hours=1)
    if status in {"running", "late failure"}:
        report(bench, job, "InProgress")
    if status == "late failure":
        ended(bench, job, "Failed", "later", processed=0, total=100)
        let_pass(bench, minutes=9)
    assert unfolded(view(bench, job)) == by_events(bench.store, job)


def test_a_job_that_is_over_has_no_state_in_its_view_and_is_read_from_its_events() -> None:
    bench = Bench()
    job = started(bench)
    ended(bench, job)
    assert view(bench, job).fold is None
    assert bench.job(job) == by_events(bench.store, job)
    assert bench.job(job).status == "Completed"


WRONG: dict[str, Any] = {
    "gone": None,
    "another schema": ...,
    "no schema": {"status": "Queued"},
    "not a state": ["schema", SCHEMA],
    "a field that no job can have": {"schema": SCHEMA, "sources": 7},
    "a field that is missing": {"schema": SCHEMA},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_state_that_is_not_whole_or_not_ours_is_not_believed(what: str) -> None:
    bench, tables, job = refused_for(1)
    row = view(bench, job)
    row.fold = {**row.fold, "schema": SCHEMA + 1} if what == "another schema" else WRONG[what]
    assert unfolded(row) is None
    bench.tables.write([Put(row)])
    tables.events_read = 0
    assert bench.job(job).reason == "full"
    assert tables.events_read == len(bench.history(job))
    see(bench, job)  # and goes on with it
    assert bench.job(job) == by_events(bench.store, job)


def test_a_view_that_is_ahead_of_its_events_is_not_believed() -> None:
    bench, _, job = refused_for(1)
    row = view(bench, job)
    row.version, row.reason = int(row.version) + 1, "as no event says"
    bench.tables.write([Put(row)])
    assert bench.job(job) == by_events(bench.store, job)


def test_a_job_without_a_view_is_read_from_its_events() -> None:
    bench = Bench()
    job = bench.upload()
    loaded = bench.store.load_job(job)
    assert (loaded.job, loaded.seen) == (by_events(bench.store, job), None)
    assert bench.store.load_job("a" * 26).job is None


def test_a_view_holds_the_keys_of_its_uploads_once() -> None:
    """They may be long, and a view of more than a KB costs twice the writes."""
    bench = Bench()
    job = started(bench)
    state = bench.job(job)
    assert state.sources[0].key in str(view(bench, job).sources)
    assert state.sources[0].key not in str(view(bench, job).fold)
    assert unfolded(view(bench, job)) == state
