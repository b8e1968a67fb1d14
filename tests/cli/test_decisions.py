"""What may follow what: every status against every act."""

from dataclasses import replace

import pytest

from bbq.cli.decisions import (
    Act,
    Already,
    Decision,
    Refused,
    cancel,
    forget,
    pause,
    priority,
    resume,
    retry,
    settled,
)
from bbq.shared import events as e
from bbq.shared.hold import TOO_FEW_RECORDS
from bbq.shared.job import CLAIMED, ENDS, OVER, RUNNING, Job
from bbq.shared.slots import REBUILDING
from tests.support.samples import ARN, MODEL, at, id_of, life, slot_claimed

ASKED = {"at": at(100), "by": "ada", "why": "because"}
TALLY = e.JobTallied(
    at=at(60),
    attempt=1,
    total_records=100,
    processed_records=100,
    succeeded_records=90,
    failed_records=10,
)
NOTHING = e.JobTallied(
    at=at(60),
    attempt=1,
    total_records=100,
    processed_records=0,
    succeeded_records=0,
    failed_records=0,
)


def job(status: str, **changes: object) -> Job:
    """A job in this status; ended ones are counted."""
    changes = {"attempt": 1, "arn": ARN if status in RUNNING | ENDS else None, **changes}
    if status in ENDS:
        changes = {"tally": TALLY, **changes}
    return replace(life(slot_claimed(id_of())), status=status, **changes)  # type: ignore[arg-type] # fields of a job


def retried(of: Job) -> Decision:
    return retry(of, models=[MODEL], at=at(100), by="ada", why="because")


ALL = sorted({"Queued", CLAIMED, *RUNNING, *OVER})


@pytest.mark.parametrize("status", ALL)
def test_a_job_can_be_cancelled_until_it_is_over(status: str) -> None:
    decision = cancel(job(status), **ASKED)  # type: ignore[arg-type] # the three words
    if status == "Cancelled":
        assert isinstance(decision, Already)
    elif status in OVER:
        assert isinstance(decision, Refused)
    else:
        assert isinstance(decision, Act)
        assert decision.event == e.CancelRequested(at=at(100), by="ada", why="because")


@pytest.mark.parametrize("status", ALL)
def test_who_cancels_again_hears_who_asked_first(status: str) -> None:
    first = e.CancelRequested(at=at(50), by="bob", why="")
    decision = cancel(job(status, cancel=first), **ASKED)  # type: ignore[arg-type] # the three words
    assert "bob asked for it at 2026-11-23 12:00 UTC" in getattr(decision, "sentence", "")
    assert isinstance(
        decision, Already if status in {"Cancelled", "Stopped"} or status not in OVER else Refused
    )


@pytest.mark.parametrize("status", ALL)
def test_only_an_ended_job_is_tried_again(status: str) -> None:
    decision = retried(job(status))
    if status in ENDS:
        assert isinstance(decision, Act)
        assert decision.event == e.JobRequeued(at=at(100), attempt=1, by="ada", why="because")
        assert decision.buys == 90
    else:
        assert isinstance(decision, Refused)


def test_a_retry_that_was_asked_for_is_not_asked_for_again() -> None:
    assert isinstance(retried(job("Queued", latest=e.JobRequeued.NAME)), Already)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (job("Failed", model="gone"), "not configured any more"),
        (job("Failed", attempt=999), "submit its file again"),
        (job("Failed", tally=None), "try again in a minute"),  # its counts would be lost
        # policy is about to
        # so it is here
        (job("Rejected"), "mend"),
        (job("Cancelled"), "submit its file again"),
        (job("InProgress"), "cancel it first"),
    ],
)
def test_a_retry_that_makes_no_sense_says_what_to_do_instead(wrong: Job, says: str) -> None:
    decision = retried(wrong)
    assert isinstance(decision, Refused)
    assert says in decision.sentence


@pytest.mark.parametrize("status", ALL)
def test_a_priority_changes_until_the_job_is_over(status: str) -> None:
    decision = priority(job(status), 0, **ASKED)  # type: ignore[arg-type] # the three words
    assert isinstance(decision, Refused if status in OVER else Act)
    if isinstance(decision, Act):
        assert decision.event == e.PriorityChanged(at=at(100), priority=0, by="ada", why="because")
        assert ("moves in line" in decision.sentence) is (status == "Queued")


def test_the_priority_that_it_has_is_no_change() -> None:
    assert isinstance(priority(job("Queued", priority=5), 5, **ASKED), Already)  # type: ignore[arg-type] # the three words


PAUSED = e.ModelPaused(at=at(1), by="bob", why="a bad prompt")
RESUMED = e.ModelResumed(at=at(2), by="cyd", why="")


def test_a_model_is_paused_once_and_says_by_whom() -> None:
    assert isinstance(pause(MODEL, [e.LimitSet(at=at(0), limit=1)], **ASKED), Act)  # type: ignore[arg-type] # the three words
    again = pause(MODEL, [PAUSED], **ASKED)  # type: ignore[arg-type] # the three words
    assert again == Already("was paused already by bob at 2026-11-23 12:00 UTC: a bad prompt")
    assert isinstance(pause(MODEL, [PAUSED, RESUMED], **ASKED), Act)  # type: ignore[arg-type] # the three words


def test_a_person_pauses_a_model_that_a_rebuild_has_paused_and_will_resume() -> None:
    by_rebuild = replace(PAUSED, why=REBUILDING)
    assert isinstance(pause(MODEL, [by_rebuild], **ASKED), Act)  # type: ignore[arg-type] # the three words


def test_a_model_is_resumed_if_it_is_paused() -> None:
    assert isinstance(resume(MODEL, [PAUSED], on_hold=False, **ASKED), Act)  # type: ignore[arg-type] # the three words
    assert resume(MODEL, [], on_hold=False, **ASKED) == Already("is not paused")  # type: ignore[arg-type] # the three words
    again = resume(MODEL, [PAUSED, RESUMED], on_hold=False, **ASKED)  # type: ignore[arg-type] # the three words
    assert again == Already("is not paused: cyd resumed it at 2026-11-23 12:00 UTC")


def test_a_resume_takes_a_model_off_its_hold_too() -> None:
    for history in ([], [PAUSED, RESUMED]):
        decision = resume(MODEL, history, on_hold=True, **ASKED)  # type: ignore[arg-type] # the three words
        assert isinstance(decision, Act)
        assert decision.event == e.ModelResumed(at=at(100), by="ada", why="because")
        assert "is on hold no more" in decision.sentence


@pytest.mark.parametrize("status", ALL)
def test_only_a_job_that_bedrock_took_can_be_forgotten(status: str) -> None:
    decision = forget(job(status), **ASKED)  # type: ignore[arg-type] # the three words
    if status in RUNNING:
        assert isinstance(decision, Act)
        assert decision.event == e.ForgetRequested(at=at(100), by="ada", why="because")
    else:
        assert isinstance(decision, Refused)
        assert ("is over" in decision.sentence) is (status in OVER)


def test_a_job_is_forgotten_once_and_says_who_asked() -> None:
    first = e.ForgetRequested(at=at(50), by="bob", why="")
    again = forget(job("InProgress", forget=first), **ASKED)  # type: ignore[arg-type] # the three words
    assert again == Already("bob asked for it at 2026-11-23 12:00 UTC")


@pytest.mark.parametrize("status", ALL)
def test_a_job_is_settled_when_nothing_will_happen_to_it_by_itself(status: str) -> None:
    assert settled(job(status), 3) is (status in OVER)
    assert settled(job(status, tally=None), 3) is (status in {"Cancelled", "Rejected"})


def test_a_job_that_policy_tries_again_is_not_settled() -> None:
    assert not settled(job("Expired", tally=NOTHING, processed_records=0), 3)
    assert settled(job("Expired", tally=NOTHING, processed_records=0, attempt=3), 3)
    # nobody knows how far it came
    assert settled(job("Expired", tally=NOTHING, processed_records=None), 3)
    assert not settled(job("Failed", tally=NOTHING, processed_records=0, attempt=3), 3)
    assert settled(job("Failed", tally=NOTHING, processed_records=0, reason=TOO_FEW_RECORDS), 3)


def test_a_job_that_bedrock_never_took_has_nothing_to_count() -> None:
    assert settled(job("Failed", tally=None, arn=None), 3)
