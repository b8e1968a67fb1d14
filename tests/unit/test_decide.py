"""What a job needs next: given a state and what is known, the step."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bbq.services.scheduler.decide import (
    Adopt,
    Cancel,
    End,
    Progress,
    ReadAgain,
    Refill,
    Requeue,
    Rest,
    Seen,
    Step,
    Stop,
    StopStray,
    TakeOver,
    Tally,
    decide,
)
from bbq.services.scheduler.hints import Report
from bbq.shared import events as e
from bbq.shared.job import UNREADABLE, Job, fold
from bbq.shared.slots import AT_BEDROCK, Lease
from tests.support.samples import ARN, MODEL_ID, T0, id_of, queued, slot_claimed
from tests.support.world import config

JOB = id_of()
MINUTE = timedelta(minutes=1)
NOW = T0 + 10 * MINUTE
RUNS = Lease(owner="another", until=NOW + MINUTE)
OVER = Lease(owner="another", until=NOW - MINUTE)
CANCEL = e.CancelRequested(at=NOW, by="ops", why="no need")
FORGET = e.ForgetRequested(at=NOW, by="ops", why="no need")


USUAL = (
    queued(),
    slot_claimed(JOB),
    e.JobSubmitted(at=T0, attempt=1, arn=ARN),
    e.JobProgressed(at=T0, attempt=1, status="InProgress"),
    e.JobEnded(at=T0, attempt=1, status="Completed", message="", arn=ARN),
    e.JobTallied(at=T0, attempt=1),
)


def job(length: int, *more: e.Event, **changes: Any) -> Job:
    """After so many events of a usual life: 1 Queued, 2 Claimed, 3 Submitted, 4 InProgress, 5
    Completed, 6 tallied.
    """
    made = fold(JOB, [*USUAL[:length], *more])
    assert made
    return replace(made, **changes)


def told(status: str, attempt: int = 1, arn: str = ARN) -> Seen:
    """Bedrock said so of this attempt."""
    report = Report(
        arn=arn, model_id=MODEL_ID, status=status, message="m", job=JOB, attempt=attempt
    )
    return Seen(told=report)


def next_of(made: Job, seen: Seen | None = None) -> Step:
    return decide(made, seen or Seen(), config(), NOW)


def test_who_waits_wants_a_slot_and_who_is_cancelled_leaves_the_line() -> None:
    assert next_of(job(1)) == Rest(fill=True)
    assert next_of(job(1, CANCEL)) == Cancel()


def test_what_cannot_be_read_waits_for_intake_or_is_cancelled() -> None:
    unreadable = job(1, status=UNREADABLE, model="")
    assert next_of(unreadable) == Rest()
    assert next_of(replace(unreadable, cancel=CANCEL)) == Cancel()


def test_he_who_claims_creates() -> None:
    step = next_of(job(2), Seen(lease=RUNS))
    assert isinstance(step, Rest)
    assert step.timer is not None
    assert step.timer > RUNS.until
    assert next_of(job(2), Seen(lease=OVER)) == TakeOver(OVER)
    assert next_of(job(2, CANCEL), Seen(lease=RUNS)) == step


@pytest.mark.parametrize("lease", [None, AT_BEDROCK])
def test_a_claim_that_is_in_the_slots_no_more_is_read_again(lease: Lease | None) -> None:
    assert next_of(job(2), Seen(lease=lease)) == ReadAgain()


@pytest.mark.parametrize("status", ["InProgress", "Completed"])
def test_an_event_of_an_attempt_that_is_not_answered_is_adopted(status: str) -> None:
    seen = told(status)
    assert seen.told is not None
    assert next_of(job(2), replace(seen, lease=OVER)) == Adopt(seen.told)
    assert next_of(job(1, attempt=1), seen) == Adopt(seen.told)
    assert next_of(job(1), seen) == Rest(fill=True)  # never claimed: nobody asked for it


def test_what_bedrock_says_is_recorded_if_it_is_news_of_this_attempt() -> None:
    assert next_of(job(3), told("InProgress")) == Progress("InProgress")
    assert next_of(job(4), told("Completed")) == End("Completed", "m")
    for nothing_new in (
        told("InProgress"),
        told("Completed", attempt=2),
        told("Failed", arn=ARN[:-1]),
    ):
        step = next_of(job(4), nothing_new)
        assert isinstance(step, Rest)
        assert step.timer is not None
        assert step.timer >= NOW + MINUTE


def test_an_end_comes_before_a_cancel() -> None:
    assert next_of(job(4, CANCEL), told("Completed")) == End("Completed", "m")
    assert next_of(job(4, CANCEL)) == Stop()
    assert isinstance(next_of(job(4, CANCEL), Seen(stopped=True)), Rest)
    assert isinstance(next_of(job(4, CANCEL, status="Stopping")), Rest)


def test_only_what_get_does_not_know_is_forgotten() -> None:
    assert isinstance(next_of(job(4, FORGET)), Rest)
    step = next_of(job(4, FORGET), Seen(unknown=True))
    assert step == End(
        "Failed", "Bedrock does not know it; forgotten by ops: no need", forgotten=True
    )
    assert isinstance(next_of(job(4), Seen(unknown=True)), Rest)


def test_an_end_gives_its_slot_on_before_it_is_counted() -> None:
    assert next_of(job(5)) == Refill()
    assert next_of(job(5), Seen(refilled=True)) == Tally()
    assert next_of(job(6)) == Rest()


def failed(**changes: Any) -> Job:
    end = e.JobEnded(
        at=NOW, attempt=1, status="Failed", message="no key", arn=ARN, processed_records=0
    )
    return job(4, end, **changes)


def test_what_may_come_back_waits_for_its_counts_and_then_comes_back() -> None:
    waits = next_of(failed(), Seen(refilled=True))
    assert isinstance(waits, Rest)
    assert waits.timer is not None
    assert waits.timer - NOW >= 2 * MINUTE
    long_ago = failed(ended_at=NOW - 5 * MINUTE)
    assert next_of(long_ago, Seen(refilled=True)) == Tally()
    none, some = (e.JobTallied(at=NOW, attempt=1, processed_records=n) for n in (0, 1))
    assert next_of(replace(long_ago, tally=none)) == Requeue(
        "Failed before a record was processed: no key"
    )
    assert next_of(replace(long_ago, tally=some)) == Rest()


def test_what_expired_comes_back_also_while_its_model_is_not_configured() -> None:
    none = e.JobTallied(at=NOW, attempt=1, processed_records=0)
    expired = failed(status="Expired", reason="", tally=none, model="gone")
    assert next_of(expired) == Requeue("Expired before it began")
    assert next_of(replace(expired, attempt=9)) == Rest()


def test_what_was_cancelled_in_line_is_stopped_if_bedrock_has_it_all_the_same() -> None:
    cancelled = job(2, status="Cancelled")
    seen = told("InProgress")
    assert seen.told is not None
    assert next_of(cancelled, seen) == StopStray(seen.told)
    for over in (told("Stopping"), told("Completed"), told("InProgress", attempt=2), Seen()):
        assert next_of(cancelled, over) == Rest(fill=True)


def test_what_was_rejected_concerns_no_line() -> None:
    assert next_of(job(1, status="Rejected", model="")) == Rest()
