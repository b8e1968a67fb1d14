"""Jobs that Bedrock takes and that fail before a record is processed: their model is on hold at the
third in a row, and they come back by themselves (P9).
"""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from bbq.services.scheduler.bedrock import NotYetKnown
from bbq.services.scheduler.decide import COUNTS_LAG
from bbq.shared import events as e
from bbq.shared.hold import FAILING, MAX_FAILING, MAX_FAILURES
from bbq.shared.tables import EventRow, Write
from tests.support.driving import (
    counts_are_sure,
    ended,
    fire_next,
    foreign_end,
    let_pass,
    operator_says,
    report,
    see,
    started,
    wake,
)
from tests.support.samples import MODEL
from tests.support.world import Bench, arn

# Recorded 2024-2026, as the others in Validating.
NO_ACCESS = (
    "Could not validate GetObject permissions to access Amazon S3 bucket: x with file name: y. "
    "Please try again."
)
TOO_FEW = f"Batch job {arn(1)} contains less records (7) than the required minimum of: 100"


def fails(bench: Bench, job: str, message: str = NO_ACCESS) -> None:
    """In Validating, with nothing processed."""
    ended(bench, job, "Failed", message, processed=0, total=0)


def fails_and_comes_back(bench: Bench, job: str) -> None:
    """As `fails`, and then its counts are sure."""
    fails(bench, job)
    counts_are_sure(bench, job)


def in_line(limit: int, count: int) -> tuple[Bench, list[str]]:
    """So many jobs, of which `limit` are at Bedrock."""
    bench = Bench(limit=limit)
    jobs = []
    for number in range(count):
        jobs.append(started(bench, f"v{number}"))
        bench.wait(seconds=1)
    return bench, jobs


def after_failures(count: int = 3, *, jobs: int = 14) -> tuple[Bench, list[str]]:
    """One slot; the first ones of the line have failed, in turn."""
    bench, line = in_line(1, jobs)
    for _ in range(count):
        fails(bench, at_bedrock(bench))
        bench.wait(seconds=1)
    return bench, line


def at_bedrock(bench: Bench) -> str:
    """The job that has the one slot."""
    (whose,) = bench.slots.holders
    return whose.partition("#")[0]


# --- the hold


@pytest.mark.parametrize(("failures", "holds"), [(1, False), (2, False), (3, True)])
def test_the_third_failure_in_a_row_puts_the_model_on_hold(failures: int, holds: bool) -> None:
    bench, _ = in_line(3, 12)
    for job in list(bench.slots.holders)[:failures]:
        fails(bench, job.partition("#")[0])
    assert bench.slots.failures == failures
    assert (bench.slots.failing is not None) is holds
    if bench.slots.failing:
        assert (bench.slots.failing.kind, bench.slots.failing.message) == (FAILING, NO_ACCESS)
        assert bench.slots.failing.until in bench.timers.due(f"model-{MODEL}")
        assert [fields["reason"] for name, fields in bench.notes if name == "ModelHeld"] == [
            NO_ACCESS
        ]


def test_the_failure_that_holds_is_no_reason_to_ask_itself() -> None:  # R50
    bench, _ = after_failures(3)
    creates = len(bench.bedrock.creates)
    wake(bench)
    assert (len(bench.bedrock.creates), bench.slots.holders) == (creates, {})


def test_the_timer_of_the_hold_is_armed_before_it_is_written() -> None:
    bench, _ = after_failures(2)
    bench.timers.armed = {
        timer: True for timer in bench.timers.armed if not timer[0].startswith("model-")
    }
    armed: list[int] = []

    def watching(writes: Sequence[Write]) -> None:
        if any(
            isinstance(write.row, EventRow) and write.row.name == "job-ended" for write in writes
        ):
            armed.append(len(bench.timers.due(f"model-{MODEL}")))

    bench.tables.before_commit = watching
    fails(bench, at_bedrock(bench))
    assert armed == [1]


# P9
def test_an_hour_in_which_every_job_fails_in_validating_loses_none_and_few_are_tried() -> None:
    bench = Bench(limit=3)
    jobs = [bench.upload(f"v{number}") for number in range(30)]
    for job in jobs:
        see(bench, job)
    start = bench.time

    def validated() -> None:
        for which, found in list(bench.bedrock.jobs.items()):
            if found.status == "Submitted":
                bench.bedrock.turn(which, "Failed", NO_ACCESS, processed=0, total=0)
                _, job, attempt = found.name.rsplit("-", 2)
                report(bench, job, "Failed", attempt=int(attempt), which=which, message=NO_ACCESS)

    for minute in range(1, 61):
        let_pass(bench, seconds=(start + timedelta(minutes=minute) - bench.time).total_seconds())
        validated()
    let_pass(bench, minutes=4)  # until the counts of the last one are sure
    assert {bench.job(job).status for job in jobs} <= {"Queued", "Submitted"}
    assert 3 + 4 <= len(bench.bedrock.jobs) <= 3 + 10
    while not all(bench.job(job).status == "Completed" for job in jobs):  # mended
        let_pass(bench, minutes=31)
        for whose in list(bench.slots.holders):
            ended(bench, whose.partition("#")[0], processed=100)
    assert bench.slots.holds == ()


def test_an_acceptance_does_not_lift_it_and_a_good_end_does() -> None:
    bench, _ = after_failures(3)
    let_pass(bench, minutes=3)
    assert len(bench.slots.holders) == 1
    assert bench.slots.failing is not None
    ended(bench, at_bedrock(bench), processed=100)
    after = bench.slots
    assert (after.failing, after.failures, after.good_ends) == (None, 0, 1)
    assert len(bench.slots.holders) == 1


@pytest.mark.parametrize("processed", [1, 100])
def test_a_failure_with_a_processed_record_is_no_such_failure_and_ends_the_row(
    processed: int,
) -> None:
    bench, _ = after_failures(2)
    job = at_bedrock(bench)
    ended(bench, job, "Failed", "later", processed=processed, total=100)
    assert (bench.slots.failures, bench.slots.failing, bench.job(job).status) == (0, None, "Failed")


@pytest.mark.parametrize("status", ["Stopped", "Expired"])
def test_another_end_without_a_processed_record_neither_counts_nor_ends_the_row(
    status: str,
) -> None:
    bench, _ = after_failures(2)
    ended(bench, at_bedrock(bench), status, processed=0)
    assert (bench.slots.failures, bench.slots.failing) == (2, None)


def test_a_failure_without_counts_does_not_count_and_does_not_come_back() -> None:
    bench, _ = after_failures(2)
    job = at_bedrock(bench)
    ended(bench, job, "Failed", NO_ACCESS)
    assert (bench.slots.failures, bench.job(job).status) == (2, "Failed")


def test_a_job_that_gets_to_inprogress_ends_the_row_and_its_hold() -> None:
    bench, _ = after_failures(3)
    let_pass(bench, minutes=3)
    job = at_bedrock(bench)
    bench.set_limit(3)
    report(bench, job, "InProgress", attempt=bench.job(job).attempt, which=bench.job(job).arn or "")
    assert (bench.slots.failures, bench.slots.failing) == (0, None)
    assert len(bench.slots.holders) == 3  # and who waits is served


def test_inprogress_ends_no_row_in_which_one_failed_after_it() -> None:
    """Recorded: missing model access shows only after InProgress, with nothing processed."""
    bench, _ = in_line(1, 9)
    for number in range(3):
        job = at_bedrock(bench)
        if number == 1:
            report(bench, job, "InProgress", attempt=1, which=bench.job(job).arn or "")
        fails(bench, job)
        bench.wait(seconds=1)
    # InProgress ended the row of the first
    assert (bench.slots.failures, bench.slots.failed_late) == (2, True)
    let_pass(bench, minutes=3)
    fails(bench, at_bedrock(bench))
    assert bench.slots.failing is not None
    let_pass(bench, minutes=3)
    job = at_bedrock(bench)
    report(bench, job, "InProgress", attempt=bench.job(job).attempt, which=bench.job(job).arn or "")
    assert bench.slots.failing is not None
    ended(bench, job, processed=100)
    after = bench.slots
    assert (after.failing, after.failed_late) == (None, False)


def test_its_probes_walk_down_the_line() -> None:  # R49
    bench, jobs = in_line(1, 12)
    bench.bedrock.on_create = lambda request: order.append(request.name.split("-")[1])
    order: list[str] = [jobs[0]]
    for _ in range(2):
        fails_and_comes_back(bench, at_bedrock(bench))
    del order[:]  # the hold comes with the next
    while len(order) < 2 * 10 - 1:
        if bench.slots.holders:
            fails_and_comes_back(bench, at_bedrock(bench))
        else:
            assert fire_next(bench, bench.time + timedelta(hours=1))
    # each has its turn; who failed is not in line for some minutes, so not in turn
    assert set(order) == set(jobs[:10])


def test_a_foreign_end_opens_no_hold_of_failures_and_a_wake_by_a_person_does() -> None:
    bench, _ = after_failures(3)
    foreign_end(bench)
    wake(bench)
    assert bench.slots.holders == {}
    wake(bench, ask=True)
    assert len(bench.slots.holders) == 1


def test_a_resume_takes_it_away() -> None:
    bench, _ = after_failures(3)
    operator_says(bench, e.ModelResumed(at=bench.time, by="ann", why="the role is mended"))
    assert (bench.slots.failing, bench.slots.failures, len(bench.slots.holders)) == (None, 0, 1)


def test_two_ends_at_once_count_both() -> None:
    bench, jobs = in_line(3, 9)
    first, second = jobs[0], jobs[1]
    once = [True]

    def meanwhile(writes: Sequence[Write]) -> None:
        if once and any(
            isinstance(write.row, EventRow) and write.row.name == "job-ended" for write in writes
        ):
            once.clear()
            fails(bench, second)

    bench.tables.before_commit = meanwhile
    fails(bench, first)
    assert bench.slots.failures == 2


# --- the jobs


def test_a_job_that_failed_so_comes_back_at_its_old_place_with_the_reason() -> None:
    bench, (first, second, third) = in_line(1, 3)
    bench.set_limit(0)
    fails(bench, first)
    assert bench.store.line(MODEL, 9) == [second, third]
    counts_are_sure(bench, first)
    assert bench.store.line(MODEL, 9) == [first, second, third]
    assert (bench.job(first).status, bench.job(first).attempt) == ("Queued", 1)
    assert NO_ACCESS in bench.job(first).reason
    assert bench.history(first)[-2:] == ["job-tallied", "job-requeued"]


def test_too_few_records_are_the_jobs_own_reason_at_once_and_do_not_count() -> None:
    bench, _ = after_failures(2)
    job = at_bedrock(bench)
    fails(bench, job, TOO_FEW)
    assert (bench.job(job).status, bench.job(job).reason) == ("Failed", TOO_FEW)
    assert (bench.slots.failures, bench.slots.failing) == (2, None)
    assert bench.job(job).tally is not None


def run_of(bench: Bench, good: int) -> str:
    """A job that fails each time it is taken; between, so many others do well."""
    bad = started(bench, "bad")
    for number in range(good):
        other = started(bench, f"g{number}", priority=0)
        fails_and_comes_back(bench, bad)
        assert bench.job(other).status == "Submitted"
        ended(bench, other, processed=100)
        assert bench.job(bad).status == "Submitted"
    fails(bench, bad)
    return bad


def test_a_job_that_failed_while_three_others_did_well_is_at_fault() -> None:
    bench = Bench()
    bad = run_of(bench, 2)
    counts_are_sure(bench, bad)
    assert bench.job(bad).status == "Submitted"
    bench = Bench()
    bad = run_of(bench, 3)
    assert (bench.job(bad).status, bench.job(bad).reason) == ("Failed", NO_ACCESS)
    assert bench.slots.holders == {}


def test_failures_without_good_ends_between_them_are_never_too_many_within_a_week() -> None:
    bench, jobs = in_line(1, 1)
    for _ in range(MAX_FAILURES * 2):
        let_pass(bench, hours=1)
        fails_and_comes_back(bench, jobs[0])
    assert bench.job(jobs[0]).status in {"Queued", "Submitted"}
    bench.wait(days=MAX_FAILING.days)
    let_pass(bench, hours=1)
    fails(bench, jobs[0])
    assert bench.job(jobs[0]).status == "Failed"


def test_a_person_who_retries_it_begins_its_count_again() -> None:
    bench = Bench()
    bad = run_of(bench, 3)
    bench.append(
        bad, e.JobRequeued(at=bench.time, attempt=bench.job(bad).attempt, by="ann", why="mended")
    )
    see(bench, bad)
    fails_and_comes_back(bench, bad)
    assert bench.job(bad).status == "Submitted"


def test_a_cancelled_job_does_not_come_back() -> None:
    bench, (job,) = in_line(1, 1)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    fails(bench, job)
    assert bench.job(job).status == "Failed"


def test_an_expired_job_with_nothing_processed_comes_back_so_often_as_its_model_allows() -> None:
    bench, (job,) = in_line(1, 1)
    for attempt in (1, 2):
        ended(bench, job, "Expired", processed=0)
        counts_are_sure(bench, job)
        assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", attempt + 1)
    ended(bench, job, "Expired", processed=0)
    assert (bench.job(job).status, bench.job(job).attempt) == ("Expired", 3)


@pytest.mark.parametrize("status", ["Failed", "Expired"])
def test_get_is_asked_how_far_it_came_before_its_end_is_recorded(status: str) -> None:
    bench, (job,) = in_line(1, 1)
    bench.bedrock.unknown = {arn(1)}
    with pytest.raises(NotYetKnown):  # its message comes back
        report(bench, job, status, message=NO_ACCESS)
    assert bench.job(job).status == "Submitted"
    bench.bedrock.unknown = set()
    bench.bedrock.turn(arn(1), status, processed=0, total=0)
    report(bench, job, status, message=NO_ACCESS)
    counts_are_sure(bench, job)
    assert bench.job(job).attempt == 2


def late_failure(
    processed_later: int, *, heard: bool = True, total: int = 100
) -> tuple[Bench, str]:
    """It was InProgress, and Get says that no record was processed; a minute later it may say
    otherwise.
    """
    bench, (job,) = in_line(1, 1)
    if heard:
        report(bench, job, "InProgress")
    ended(bench, job, "Failed", "later", processed=0, total=total)
    assert (bench.job(job).status, bench.job(job).tally) == ("Failed", None)
    assert bench.timers.due(f"{job}-1")[0] - bench.time >= COUNTS_LAG
    bench.bedrock.turn(arn(1), "Failed", "later", processed=processed_later, total=100)
    return bench, job


def test_a_job_that_failed_after_inprogress_comes_back_when_the_counts_are_sure() -> None:
    bench, job = late_failure(0)
    see(bench, job, look=True)
    assert bench.job(job).status == "Failed"
    let_pass(bench, minutes=5)
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 2)


@pytest.mark.parametrize(
    "heard", [True, False], ids=["its InProgress was heard", "its InProgress is on its way"]
)
@pytest.mark.parametrize("total", [100, 0])
def test_counts_that_come_late_keep_what_was_bought_from_being_bought_again(
    heard: bool, total: int
) -> None:
    bench, job = late_failure(3, heard=heard, total=total)
    let_pass(bench, hours=3)
    tally = bench.job(job).tally
    assert tally is not None
    assert (bench.job(job).status, tally.processed_records, len(bench.bedrock.creates)) == (
        "Failed",
        3,
        1,
    )


def test_total_records_at_its_end_show_that_it_had_started_although_its_event_was_lost() -> None:
    bench, (job,) = in_line(1, 1)
    ended(bench, job, "Failed", "later", processed=0, total=100)
    assert bench.slots.failed_late
