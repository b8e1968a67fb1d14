"""An end that may come back, until its counts are sure: interleavings that a review found
(2026-11-29).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bbq.cli import decisions
from bbq.services.scheduler.bedrock import NotYetKnown
from bbq.shared import events as e
from bbq.shared import rows as rows_
from bbq.shared.models import Model
from bbq.shared.names import holder
from bbq.shared.plain import text_of
from bbq.shared.tables import EventRow, LineRow, Put, Write
from tests.support.driving import (
    counts_are_sure,
    ended,
    fire_next,
    let_pass,
    report,
    see,
    started,
    wake,
)
from tests.support.samples import MODEL, MODEL_ID, id_of
from tests.support.world import Bench, arn, config
from tests.unit.test_promises import by_the_documented_filter, fails, told


def behind(bench: Bench, job: str, processed: int) -> None:
    """It fails, and Get's counts are behind: at first it says that nothing was processed."""
    which = bench.job(job).arn or ""
    ended(bench, job, "Failed", "internal error", processed=0, total=100)
    bench.bedrock.turn(which, "Failed", "internal error", processed=processed, total=100)


@pytest.mark.parametrize(
    "when", ["while it waits for its counts", "between its tally and its requeue"]
)
def test_a_cancel_of_a_job_that_was_about_to_come_back_is_told(when: str) -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    ended(bench, job, "Failed", "later", processed=0, total=100)

    def cancel(writes: Sequence[Write] = ()) -> None:
        if not writes or any(
            isinstance(w.row, EventRow) and w.row.name == "job-requeued" for w in writes
        ):
            bench.tables.before_commit = lambda _: None
            bench.append(job, e.CancelRequested(at=bench.time, by="ann", why="wrong file"))

    if when.startswith("while"):
        cancel()
        see(bench, job)
    else:
        bench.tables.before_commit = cancel
    let_pass(bench, hours=1)
    assert bench.job(job).status == "Failed"
    assert by_the_documented_filter(bench, job) == ["Failed"], told(bench, job)


def test_late_counts_of_an_old_job_do_not_lift_a_hold() -> None:
    bench = Bench(limit=5)
    old = started(bench, "old")
    report(bench, old, "InProgress")
    bench.wait(minutes=30)  # now the role breaks
    new = [started(bench, f"new{n}") for n in range(4)]
    bench.set_limit(0)
    for job in new[:3]:
        fails(bench, job)
    assert bench.slots.failing is not None
    behind(bench, old, 90)
    bench.timers.armed = {timer: True for timer in bench.timers.armed if timer[0].startswith(old)}
    let_pass(bench, minutes=4)
    assert bench.job(old).tally is not None
    assert bench.slots.failing is not None


def test_late_counts_that_lift_a_hold_fill_the_free_slots() -> None:
    bench = Bench(limit=1)
    for n in range(12):
        started(bench, f"v{n}")
    while bench.slots.failing is None or bench.slots.failing.count < 6:
        if bench.slots.holders:
            bench.wait(seconds=60)
            fails(bench, next(iter(bench.slots.holders)).partition("#")[0])
        else:
            assert fire_next(bench, bench.time + timedelta(hours=1))
    while not bench.slots.holders:
        assert fire_next(bench, bench.time + timedelta(hours=1))  # a probe; the role is mended now
    probe = next(iter(bench.slots.holders)).partition("#")[0]
    bench.wait(minutes=2)
    behind(bench, probe, 90)
    while bench.job(probe).tally is None:
        assert fire_next(bench, bench.time + timedelta(hours=1))
    assert (bench.slots.failing is None, bench.slots.failures) == (True, 0)
    assert bench.slots.holders, (
        "free, and jobs wait, until",
        bench.timers.due(f"model-{MODEL}"),
        "now",
        bench.time,
    )


def test_a_place_in_line_of_nobody_does_not_stop_its_model() -> None:
    bench = Bench(limit=1)
    nobody = id_of(version="nobody's")
    bench.store.commit(
        [Put(LineRow(pk=rows_.line_pk(MODEL), sk=f"0#{text_of(bench.time)}#{nobody}", job=nobody))]
    )
    plain = bench.tables.query

    def query(*args: Any, **kwargs: Any) -> Any:
        bench.left -= 0.02  # each takes 20 ms
        return plain(*args, **kwargs)

    bench.tables.query = query  # type: ignore[method-assign]
    job = bench.upload("a")
    see(bench, job)
    assert bench.job(job).status == "Submitted", (bench.left, bench.outbox.sent)


def test_who_expired_for_the_last_time_can_be_retried_after_more_attempts_are_allowed() -> None:
    few = Model(alias=MODEL, model_id=MODEL_ID, limit=1, max_attempts=1)
    bench = Bench(config=config(models={MODEL: few}))
    job = started(bench)
    ended(bench, job, "Expired", processed=0, total=0)
    let_pass(bench, minutes=10)
    assert bench.job(job).status == "Expired"
    bench.config = config(models={MODEL: replace(few, max_attempts=3)})
    wake(bench, ask=True)  # `make deploy`
    let_pass(bench, days=1)
    decision = decisions.retry(bench.job(job), models=[MODEL], at=bench.time, by="ann", why="")
    assert isinstance(decision, decisions.Act), (bench.job(job).status, decision)


def test_a_line_that_cannot_be_read_keeps_no_failed_job_from_coming_back() -> None:
    bench = Bench()
    job = started(bench)

    def broken(*_: object) -> list[str]:
        raise TimeoutError("the line cannot be read")

    bench.store.line = broken  # type: ignore[assignment, method-assign] # of any arguments
    bench.timers.armed.clear()
    with pytest.raises(TimeoutError):  # and its message comes back, an hour later in the end
        ended(bench, job, "Failed", "no key", processed=0, total=0)
    with pytest.raises(TimeoutError):
        counts_are_sure(bench, job)
    assert bench.job(job).tally is not None
    with pytest.raises(TimeoutError):
        see(bench, job)
    assert bench.job(job).status == "Queued"


def test_get_that_still_says_inprogress_buys_nothing_again() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    bench.bedrock.turn(arn(1), "InProgress", total=100, processed=0)  # Get is behind
    report(bench, job, "Failed", message="internal error")
    with pytest.raises(NotYetKnown):  # the message of its timer comes back
        let_pass(bench, minutes=4)
    bench.bedrock.turn(arn(1), "Failed", total=100, processed=90)
    see(bench, job)
    let_pass(bench, hours=1)
    assert bench.job(job).tally is not None
    assert len(bench.bedrock.creates) == 1


def test_a_manifest_that_says_less_than_get_buys_nothing_again() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    bench.results.manifests[arn(1)] = {"totalRecordCount": 100, "processedRecordCount": 0}
    behind(bench, job, 90)
    let_pass(bench, hours=1)
    assert len(bench.bedrock.creates) == 1


def test_a_forgotten_job_that_get_knows_a_moment_later_keeps_its_slot() -> None:
    bench = Bench()
    job = started(bench)
    bench.wait(hours=1)
    bench.append(job, e.ForgetRequested(at=bench.time, by="ann", why="gone"))
    plain, asked = bench.bedrock.get, list[str]()

    def get(which: str) -> Any:
        asked.append(which)
        return plain(which) if len(asked) > 1 else None

    bench.bedrock.turn(arn(1), "InProgress", total=100, processed=0)
    bench.bedrock.get = get  # type: ignore[assignment, method-assign]
    see(bench, job)
    assert holder(job, 1) in bench.slots.holders, (
        bench.history(job)[-1],
        bench.bedrock.jobs[arn(1)].status,
    )


def test_a_priority_before_a_job_comes_back_is_to_be_asked_for_again() -> None:
    bench = Bench()
    job = started(bench, "failed")
    fails(bench, job)
    decision = decisions.priority(bench.job(job), 0, at=bench.time, by="ann", why="")
    assert isinstance(decision, decisions.Refused)
    assert "comes back" in decision.sentence


def test_a_look_that_lifts_a_hold_fills_the_free_slots() -> None:
    bench = Bench(limit=3)
    for n in range(9):
        started(bench, f"v{n}")
    for whose in list(bench.slots.holders):
        fails(bench, whose.partition("#")[0])
    while not bench.slots.holders:
        assert fire_next(bench, bench.time + timedelta(hours=1))
    assert bench.slots.failing is not None
    assert len(bench.slots.holders) < 3
    probe = next(iter(bench.slots.holders)).partition("#")[0]
    bench.bedrock.turn(bench.job(probe).arn or "", "InProgress", total=100, processed=7)
    see(bench, probe, look=True)
    after = bench.slots
    assert (after.failing, len(after.holders)) == (None, 3)
