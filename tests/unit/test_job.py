"""A job is the fold of its events."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.shared import events as e
from bbq.shared.job import ENDS, OVER, IllegalEvent, comes_back, evolve, fold, outcome
from tests.support.samples import ARN, at, id_of, life, queued, slot_claimed, source

CLAIM = slot_claimed(id_of())
SUBMIT = e.JobSubmitted(at=at(2), attempt=1, arn=ARN)
REFUSE = e.SubmissionRefused(at=at(2), attempt=1, kind="invalid", message="no", taken=4)
CANCEL = e.CancelRequested(at=at(3), by="ann", why="wrong file")


def progress(status: str) -> e.JobProgressed:
    return e.JobProgressed(at=at(5), attempt=1, status=status)


def end(status: str = "Completed", arn: str | None = ARN, **said: Any) -> e.JobEnded:
    return e.JobEnded(
        **{"at": at(9), "attempt": 1, "status": status, "message": "", "arn": arn, **said}
    )


def tally(**counts: int) -> e.JobTallied:
    return e.JobTallied(at=at(10), attempt=1, **counts)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), "Queued"),
        ((CLAIM,), "Claimed"),
        ((CLAIM, REFUSE), "Queued"),
        ((CLAIM, REFUSE, CLAIM), "Claimed"),
        ((CLAIM, REFUSE, slot_claimed(id_of(), 2)), "Queued"),
        ((CLAIM, SUBMIT), "Submitted"),
        ((CLAIM, REFUSE, SUBMIT), "Submitted"),
        ((CLAIM, SUBMIT, progress("InProgress")), "InProgress"),
        ((CLAIM, SUBMIT, progress("InProgress"), progress("Validating")), "InProgress"),
        ((CLAIM, SUBMIT, progress("Stopping"), progress("InProgress")), "Stopping"),
        ((CLAIM, SUBMIT, end("Stopped")), "Stopped"),
        ((CLAIM, end("Failed", None)), "Failed"),
        ((e.JobCancelled(at=at(4)),), "Cancelled"),
        (
            (
                CLAIM,
                SUBMIT,
                end("Expired"),
                e.JobRequeued(at=at(11), attempt=1, by="policy", why=""),
            ),
            "Queued",
        ),
    ],
)
def test_the_status_after_these_events(events: tuple[e.Event, ...], status: str) -> None:
    assert life(*events).status == status


def test_an_end_is_final() -> None:
    over = life(CLAIM, SUBMIT, end("Completed"))
    for late in (SUBMIT, progress("Stopping"), end("Failed"), CANCEL, e.JobCancelled(at=at(20))):
        after = evolve(over.id, over, late)
        assert (after.status, after.ended_at, after.arn) == ("Completed", at(9), ARN)


AGAIN = e.JobRequeued(at=at(11), attempt=1, by="policy", why="")
BY_ANN = e.JobRequeued(at=at(11), attempt=1, by="ann", why="")
NOTHING = end("Failed", processed_records=0, good_ends=6)


def test_a_requeued_job_remembers_its_attempts_and_forgets_the_rest() -> None:
    job = life(
        CLAIM,
        REFUSE,
        CLAIM,
        SUBMIT,
        end("Expired", processed_records=0),
        tally(processed_records=0),
        AGAIN,
    )
    assert (job.attempt, job.next_attempt, job.refused_under, job.tally) == (
        1,
        2,
        frozenset(),
        None,
    )
    assert (job.arn, job.ended_at, job.processed_records) == (None, None, None)


def test_an_attempt_keeps_its_number_until_bedrock_has_taken_it() -> None:
    assert life().next_attempt == 1
    refused = life(CLAIM, REFUSE)
    assert (refused.attempt, refused.next_attempt) == (1, 1)
    again = evolve(refused.id, refused, slot_claimed(id_of(), 1, 20))
    assert (again.first_claimed_at, again.claimed_at) == (at(1), at(20))
    assert life(CLAIM, SUBMIT, end("Failed"), AGAIN).next_attempt == 2


@pytest.mark.parametrize(
    ("kind", "readings", "unanswered"),
    [
        ("invalid", {4}, False),
        ("name taken", {4}, True),
        ("unanswered", set(), True),
        ("not found", set(), False),
        ("quota", set(), False),
        ("access", set(), False),
        ("throttled", set(), False),
    ],
)
def test_a_refusal_is_remembered_for_the_guard_and_for_the_look_up(
    kind: str, readings: set[int], unanswered: bool
) -> None:
    job = life(CLAIM, replace(REFUSE, kind=kind))
    assert (job.refused_under, job.unanswered, job.reason) == (
        frozenset(readings),
        unanswered,
        "no",
    )
    assert evolve(job.id, job, CLAIM).unanswered is unanswered
    assert evolve(job.id, job, CLAIM).refused_under == frozenset(readings)


def test_a_new_attempt_has_no_refusal_behind_it() -> None:
    job = life(
        CLAIM,
        replace(REFUSE, kind="name taken"),
        CLAIM,
        SUBMIT,
        end("Failed"),
        AGAIN,
        slot_claimed(id_of(), 2, 30),
    )
    assert (job.refused_under, job.unanswered, job.first_claimed_at) == (frozenset(), False, at(30))


@pytest.mark.parametrize(
    ("events", "may"),
    [
        ((), False),
        ((CLAIM,), True),
        ((CLAIM, REFUSE), True),
        ((CLAIM, SUBMIT), False),
        ((CLAIM, SUBMIT, NOTHING, AGAIN), False),
    ],
)
def test_an_attempt_may_be_at_bedrock_from_its_claim_until_it_is_known_to_be(
    events: tuple[e.Event, ...], may: bool
) -> None:
    assert life(*events).may_be_at_bedrock is may


def test_failures_are_counted_over_the_attempts_until_a_person_retries() -> None:
    first = life(CLAIM, SUBMIT, NOTHING, AGAIN)
    assert (first.failures, first.failed_under, first.first_failed_at) == (1, frozenset({6}), at(9))
    by_ann = life(CLAIM, SUBMIT, NOTHING, BY_ANN)
    assert (by_ann.failures, by_ann.failed_under, by_ann.first_failed_at) == (0, frozenset(), None)


def test_a_forget_is_heard_only_of_a_job_at_bedrock() -> None:
    forget = e.ForgetRequested(at=at(5), by="ann", why="")
    assert life(CLAIM, SUBMIT, forget).forget == forget
    assert [life(*events, forget).forget for events in ((), (CLAIM,), (CLAIM, SUBMIT, end()))] == [
        None
    ] * 3


def test_a_rejected_job_says_its_first_problem_and_how_many_more() -> None:
    problems = (e.Problem(line=3, text="line 3 is not JSON"), e.Problem(line=4, text="x"))
    event = e.JobRejected(
        at=at(0), model=None, sources=(source(),), problems=problems, problem_count=7, size_bytes=0
    )
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


SURE = tally(processed_records=0)


@pytest.mark.parametrize(
    ("events", "again"),
    [
        ((end("Expired", processed_records=0),), False),  # Get's counts lag
        ((end("Expired", processed_records=0), SURE), True),
        ((end("Expired", processed_records=1), SURE), False),
        ((end("Expired"), SURE), False),
        ((end("Failed", processed_records=0),), False),
        ((end("Failed", processed_records=0), SURE), True),
        ((end("Failed", processed_records=0), tally(processed_records=3)), False),
        ((end("Failed", processed_records=0), e.JobTallied(at=at(9), attempt=1)), False),
        ((end("Failed", processed_records=1), SURE), False),
        ((end("Failed"), SURE), False),
        ((end("Failed", None, processed_records=0), SURE), True),
        (
            (
                end(
                    "Failed",
                    processed_records=0,
                    message="Batch job x contains less records (7) than",
                ),
                SURE,
            ),
            False,
        ),
        ((end("Stopped", processed_records=0), SURE), False),
        ((end("Completed", processed_records=0), SURE), False),
        ((CANCEL, end("Expired", processed_records=0), SURE), False),
        ((CANCEL, end("Failed", processed_records=0), SURE), False),
    ],
)
def test_a_job_comes_back_only_if_it_certainly_bought_nothing(
    events: tuple[e.Event, ...], again: bool
) -> None:
    assert comes_back(life(CLAIM, SUBMIT, *events), max_attempts=3) is again


def test_only_one_that_expired_has_so_many_attempts() -> None:
    assert not comes_back(
        life(CLAIM, SUBMIT, end("Expired", processed_records=0), SURE), max_attempts=1
    )
    assert comes_back(life(CLAIM, SUBMIT, NOTHING, SURE), max_attempts=1)


def test_a_job_that_bedrock_never_had_does_not_come_back() -> None:
    assert not comes_back(
        life(CLAIM, end("Failed", None, processed_records=0), SURE), max_attempts=3
    )


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
