"""Largest first, within a bound: whoever was uploaded a whole window later overtakes nobody."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.services.scheduler.reconcile import Visit, reconcile
from bbq.shared.job import evolve
from bbq.shared.models import LARGEST_FIRST, LARGEST_FIRST_WINDOW, Model, parse_models
from tests.support.samples import MODEL, at, id_of, queued
from tests.support.world import Bench

FIFO_MODEL = Model(alias=MODEL, model_id="m", limit=1)
LARGEST = replace(FIFO_MODEL, order=LARGEST_FIRST)
RECORDS = st.integers(1, 200_000)


def test_first_come_first_served_unless_a_model_says_otherwise() -> None:
    assert FIFO_MODEL.line_at(at(0), 50_000) is None
    job = evolve(id_of(), None, queued(seconds=7))
    assert job.line_at == job.queued_at == at(7)


@given(RECORDS, RECORDS, st.floats(0, 300_000))
def test_a_larger_job_is_served_before_a_smaller_one_and_nobody_waits_beyond_the_window(
    first: int, second: int, later: float
) -> None:
    mine, others = LARGEST.line_at(at(0), first), LARGEST.line_at(at(later), second)
    assert mine is not None
    assert others is not None
    if later > LARGEST_FIRST_WINDOW.total_seconds():
        assert mine < others
    if later == 0 and LARGEST.min_records <= first < second <= LARGEST.max_records:
        assert others < mine
    assert at(0) - LARGEST_FIRST_WINDOW <= mine <= at(0)


def test_twice_the_records_count_for_the_same_among_small_and_among_large_jobs() -> None:
    def ahead(records: int) -> timedelta:
        found = LARGEST.line_at(at(0), records)
        assert found is not None
        return at(0) - found

    assert ahead(200) - ahead(100) == pytest.approx(
        ahead(100_000) - ahead(50_000), abs=timedelta(milliseconds=1)
    )
    assert ahead(100_000) == LARGEST_FIRST_WINDOW
    assert ahead(1) == timedelta()


def test_a_model_of_one_size_has_no_order_by_size() -> None:
    assert replace(LARGEST, min_records=100, max_records=100).line_at(at(0), 100) is None


def test_an_order_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="order must be one of fifo, largest-first"):
        parse_models('{"m": {"model_id": "a", "limit": 1, "order": "random"}}')


def test_the_line_is_in_the_order_of_what_counts() -> None:
    bench = Bench(limit=0)
    for version, seconds, records in (
        ("small", 0, 100),
        ("large", 60, 90_000),
        ("middle", 30, 5_000),
    ):
        event = replace(queued(version=version, seconds=seconds), record_count=records)
        event = replace(event, line_at=LARGEST.line_at(event.at, records))
        bench.store.append(id_of(version=version), None, event)
        reconcile(bench.world(), id_of(version=version), Visit())
    assert bench.store.line(MODEL, 9) == [
        id_of(version=name) for name in ("large", "middle", "small")
    ]
    assert bench.store.oldest_place(MODEL) == at(60)  # of who is first: the next to be served
