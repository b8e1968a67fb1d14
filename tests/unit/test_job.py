"""A job is the fold of its events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import events as e
from shared.job import ENDS, OVER, IllegalEvent, Job, evolve, fold, may_retry, outcome
from tests.support.samples import ARN, at, id_of, life, queued, slot_claimed, source

CLAIM = slot_claimed(id_of())
SUBMIT = e.JobSubmitted(at=at(2), attempt=1, arn=ARN)
REFUSE = e.SubmissionRefused(at=at(2), attempt=1, kind="quota", message="full", retry_at=at(60))
CANCEL = e.CancelRequested(at=at(3), by="ann", why="wrong file")


def progress(status: str) -> e.JobProgressed:
    return e.JobProgressed(at=at(5), attempt=1, status=status)


def end(status: str = "Completed", arn: str | None = ARN) -> e.JobEnded:
    return e.JobEnded(at=at(9), attempt=1, status=status, message="", arn=arn)


def tally(**counts: int) -> e.JobTallied:
    return e.JobTallied(at=at(10), attempt=1, **counts)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), "Queued"),
        ((CLAIM,), "Claimed"),
        ((CLAIM, REFUSE), "Held"),
        ((CLAIM, SUBMIT), "Submitted"),
        ((CLAIM, REFUSE, SUBMIT), "Submitted"),
        ((CLAIM, SUBMIT, progress("InProgress")), "InProgress"),
        ((CLAIM, SUBMIT, progress("InProgress"), progress("Validating")), "InProgress"),
        ((CLAIM, SUBMIT, progress("Stopping"), progress("InProgress")), "Stopping"),
        ((CLAIM, SUBMIT, end("Stopped")), "Stopped"),
        ((CLAIM, end("Failed", None)), "Failed"),
        ((e.JobCancelled(at=at(4)),), "Cancelled"),
        ((CLAIM, SUBMIT, end("Expired"), e.JobRequeued(at=at(11), attempt=1, by="policy", why="")), "Queued"),
    ],
)
def test_the_status_after_these_events(events: tuple[e.Event, ...], status: str) -> None:
    assert life(*events).status == status


def test_an_end_is_final() -> None:
    over = life(CLAIM, SUBMIT, end("Completed"))
    for late in (SUBMIT, progress("Stopping"), end("Failed"), CANCEL, e.JobCancelled(at=at(20))):
        after = evolve(over.id, over, late)
        assert (after.status, after.ended_at, after.arn) == ("Completed", at(9), ARN)


def test_a_requeued_job_remembers_its_attempts_and_forgets_the_rest() -> None:
    job = life(
        CLAIM, REFUSE, SUBMIT, end("Expired"), tally(processed_records=0), e.JobRequeued(at=at(11), attempt=1, by="p", why="")
    )
    assert (job.attempt, job.arn, job.refusals, job.tally, job.ended_at) == (1, None, frozenset(), None, None)


def test_a_rejected_job_says_its_first_problem_and_how_many_more() -> None:
    problems = (e.Problem(line=3, text="line 3 is not JSON"), e.Problem(line=4, text="x"))
    event = e.JobRejected(at=at(0), model=None, sources=(source(),), problems=problems, problem_count=7, size_bytes=0)
    job = fold("x", [event])
    assert job
    assert (job.status, job.reason) == ("Rejected", "line 3 is not JSON (and 6 more)")


def test_a_stream_that_begins_in_the_middle_is_damaged() -> None:
    with pytest.raises(IllegalEvent):
        fold("x", [CLAIM])


@pytest.mark.parametrize(
    ("status", "counts", "word"),
    [
        ("Completed", {"succeeded_records": 100, "failed_records": 0}, "Completed"),
        ("Completed", {"succeeded_records": 99, "failed_records": 1}, "CompletedWithErrors"),
        ("Completed", {"succeeded_records": 0, "failed_records": 100}, "NoRecordSucceeded"),
        ("Completed", {}, "Completed"),
        ("Failed", {"succeeded_records": 0}, "Failed"),
    ],
)
def test_completed_is_shown_as_what_it_is(status: str, counts: dict[str, int], word: str) -> None:
    assert outcome(life(CLAIM, SUBMIT, end(status), tally(**counts))) == word


@pytest.mark.parametrize(
    ("job", "again"),
    [
        (life(CLAIM, SUBMIT, end("Expired"), tally(processed_records=0)), True),
        (life(CLAIM, SUBMIT, end("Expired"), tally(processed_records=1)), False),
        (life(CLAIM, SUBMIT, end("Expired"), tally()), False),
        (life(CLAIM, SUBMIT, end("Expired")), False),
        (life(CLAIM, SUBMIT, end("Failed"), tally(processed_records=0)), False),
        (life(CLAIM, SUBMIT, CANCEL, end("Expired"), tally(processed_records=0)), False),
    ],
)
def test_policy_buys_again_only_what_certainly_bought_nothing(job: Job, again: bool) -> None:
    assert may_retry(job, max_attempts=3) is again
    assert may_retry(job, max_attempts=1) is False


EVENTS = st.sampled_from(
    [
        CLAIM,
        REFUSE,
        SUBMIT,
        CANCEL,
        progress("Validating"),
        progress("InProgress"),
        progress("Stopping"),
        tally(processed_records=0),
    ]
    + [end(status) for status in sorted(ENDS)]
    + [e.JobCancelled(at=at(30)), e.JobRequeued(at=at(31), attempt=1, by="p", why="")]
)


@given(st.lists(EVENTS, max_size=12))
def test_any_order_of_events_folds_and_counts_every_event(events: list[e.Event]) -> None:
    job = fold(id_of(), [queued(), *events])
    assert job
    assert job.version == 1 + len(events)
    if job.status in OVER:
        assert job.ended_at is not None
