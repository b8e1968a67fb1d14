"""A lost answer of Create loses no job and buys none twice: an attempt is looked up until it is
known where it is.
"""

from datetime import datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from bbq.services.scheduler.bedrock import (
    KNOWN_WITHIN,
    Accepted,
    Answer,
    Found,
    NameInUse,
    NotYetKnown,
    Request,
    Unknown,
)
from bbq.shared import events as e
from bbq.shared.hold import NAME_TAKEN, UNANSWERED
from bbq.shared.names import attempt_name, holder
from tests.support.driving import ended, fire_next, let_pass, operator_says, report, see, started
from tests.support.samples import MODEL
from tests.support.world import DEPLOYMENT, Bench, FakeBedrock, arn

NO_ANSWER = Unknown("ReadTimeout")


def unanswered(*, taken: bool = False, token: str | None = None) -> tuple[Bench, str, str]:
    """(bench, job, ARN): its Create got no answer; `taken`: Bedrock has a job of its name, with our
    token if none is said.
    """
    bench = Bench(bedrock=FakeBedrock(script=[NO_ANSWER]))
    job = started(bench)
    return bench, job, bench.bedrock.take(name_of(job), token=token) if taken else ""


def name_of(job: str, attempt: int = 1) -> str:
    return attempt_name(DEPLOYMENT, job, attempt)


def after_the_lease(bench: Bench, job: str) -> None:
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)


def broken_list(name: str, since: datetime) -> list[Found]:
    del name, since
    raise ClientError({"Error": {"Code": "ThrottlingException"}}, "ListModelInvocationJobs")


# --- the take-over


def test_an_unknown_answer_ends_the_fill_and_keeps_the_slot() -> None:  # R6
    bench = Bench(limit=0)
    bench.bedrock.script = [NO_ANSWER]
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.set_limit(3)
    see(bench, first)
    assert (len(bench.bedrock.creates), list(bench.slots.holders)) == (1, [holder(first, 1)])
    see(bench, second)
    assert bench.job(second).status == "Submitted"


def test_after_the_lease_a_job_that_bedrock_has_is_taken_over() -> None:  # R4 R5
    bench, job, made = unanswered(taken=True)
    after_the_lease(bench, job)
    assert (bench.job(job).status, bench.job(job).arn) == ("Submitted", made)
    assert len(bench.bedrock.creates) == 1
    assert bench.slots.holders[holder(job, 1)].submitted


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_the_end_of_a_job_that_is_taken_over_is_recorded_at_once(status: str) -> None:
    bench, job, made = unanswered(taken=True)
    bench.bedrock.turn(made, status, processed=100, total=100)
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job)  # the look-up has said all: Bedrock need not be asked again
    assert bench.history(job)[2:] == ["job-submitted", "job-ended", "job-tallied"]
    assert (bench.job(job).status, bench.slots.holders) == (status, {})


def test_a_job_that_bedrock_does_not_have_goes_back_in_line_and_holds_its_model() -> None:  # R45
    bench, job, _ = unanswered()
    after_the_lease(bench, job)
    assert (bench.job(job).status, bench.store.line(MODEL, 9), bench.slots.holders) == (
        "Queued",
        [job],
        {},
    )
    hold = bench.slots.refused
    assert hold
    assert hold.kind == UNANSWERED
    assert ("ModelHeld", UNANSWERED) in [(name, fields.get("kind")) for name, fields in bench.notes]


# R46
def test_it_is_created_again_with_the_same_name_and_token_and_counts_as_one_attempt() -> None:
    bench, job, _ = unanswered()
    let_pass(bench, hours=1)
    assert [create.name for create in bench.bedrock.creates] == [name_of(job)] * 2
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 1)


def test_it_is_looked_up_before_each_create_since_its_first_claim() -> None:  # R46
    bench, job, _ = unanswered()
    first_claimed = bench.time
    bench.bedrock.otherwise = NO_ANSWER
    let_pass(bench, minutes=30)
    assert len(bench.bedrock.creates) > 1
    made = bench.bedrock.take(name_of(job))  # List shows by now what the first Create made
    creates = len(bench.bedrock.creates)
    let_pass(bench, hours=1)
    assert len(bench.bedrock.creates) == creates
    assert (bench.job(job).status, bench.job(job).arn) == ("Submitted", made)
    assert {since for _, since in bench.bedrock.looked_up} == {first_claimed}


def test_a_job_that_is_found_before_create_takes_the_slot_that_was_claimed_for_it() -> None:
    bench, job, _ = unanswered()
    after_the_lease(bench, job)
    made = bench.bedrock.take(name_of(job))
    let_pass(bench, minutes=10)
    assert (bench.job(job).arn, len(bench.bedrock.creates)) == (made, 1)
    assert list(bench.slots.holders) == [holder(job, 1)]
    assert (
        bench.slots.is_open(bench.time) or not bench.slots.has_room
    )  # a reason to ask again, and no proof that Bedrock takes jobs
    assert all(hold.is_open(bench.slots.ends, bench.time) for hold in bench.slots.holds)
    ended(bench, job)
    assert bench.slots.holders == {}


@pytest.mark.parametrize("what", ["list fails", "get is behind"])
def test_a_look_up_that_fails_is_no_answer_and_create_is_not_called(what: str) -> None:
    bench, job, _ = unanswered()
    after_the_lease(bench, job)
    bench.wait(hours=1)
    plain = bench.bedrock.named
    made = ""
    if what == "list fails":
        bench.bedrock.named = broken_list  # type: ignore[method-assign] # throttled
    else:
        made = bench.bedrock.take(name_of(job))
        bench.bedrock.unknown = {made}
    see(bench, job)
    assert (bench.job(job).status, len(bench.bedrock.creates)) == ("Queued", 1)
    bench.bedrock.named, bench.bedrock.unknown = plain, set()  # type: ignore[method-assign] # again
    let_pass(bench, hours=1)
    assert bench.job(job).status == "Submitted"
    assert len(bench.bedrock.creates) == (2 if what == "list fails" else 1)


@pytest.mark.parametrize("what", ["list fails", "get is behind"])
def test_a_take_over_whose_look_up_fails_keeps_the_slot_and_its_timer_comes_back(what: str) -> None:
    bench, job, made = unanswered(taken=True)
    plain = bench.bedrock.named
    if what == "list fails":
        bench.bedrock.named = broken_list  # type: ignore[method-assign] # throttled
    else:
        bench.bedrock.unknown = {made}
    with pytest.raises((ClientError, NotYetKnown)):
        after_the_lease(bench, job)
    assert list(bench.slots.holders) == [holder(job, 1)]
    assert bench.timers.due(f"{job}-1")[-1] > bench.slots.holders[holder(job, 1)].until
    bench.bedrock.named, bench.bedrock.unknown = plain, set()  # type: ignore[method-assign] # again
    let_pass(bench, hours=1)
    assert (bench.job(job).arn, len(bench.bedrock.creates)) == (made, 1)


def test_a_take_over_arms_its_timer_before_it_takes_the_lease() -> None:  # R11
    bench, job, _ = unanswered()
    bench.timers.armed.clear()
    armed: list[int] = []
    bench.tables.before_commit = lambda _: armed.append(len(bench.timers.due(f"{job}-1")))
    after_the_lease(bench, job)
    assert armed[0] == 1


def test_an_owner_that_was_late_but_alive_is_not_taken_over_twice() -> None:
    bench, job, made = unanswered(taken=True)

    def alive(_: object) -> None:
        bench.tables.before_commit = lambda _: None
        report(bench, job, "Validating", which=made)

    bench.tables.before_commit = alive
    after_the_lease(bench, job)
    assert bench.history(job).count("job-submitted") == 1
    assert bench.slots.holders[holder(job, 1)].submitted


def test_one_job_whose_create_is_never_answered_does_not_stop_its_model() -> None:  # R45 P7
    bench = Bench()
    bad = bench.upload_id("bad")
    only_for(bench, bad, NO_ANSWER)
    started(bench, "bad")
    bench.wait(seconds=1)
    good = started(bench, "good")
    until = bench.time + timedelta(hours=1)
    while bench.job(good).status == "Queued":
        assert fire_next(bench, until)
    assert bench.job(bad).status in {"Queued", "Claimed"}


def only_for(bench: Bench, job: str, answer: Answer) -> None:
    def decide(request: Request) -> None:
        bench.bedrock.script = [answer if request.name == name_of(job) else Accepted("")]

    bench.bedrock.on_create = decide


# --- adoption


@pytest.mark.parametrize("status", ["Validating", "Completed"])
# R47
def test_an_event_of_a_job_that_waits_after_an_unanswered_create_adopts_it(status: str) -> None:
    bench, job, _ = unanswered()
    after_the_lease(bench, job)
    assert bench.job(job).status == "Queued"
    made = bench.bedrock.take(name_of(job))
    bench.bedrock.unlisted = {made}
    bench.bedrock.turn(made, status)
    report(bench, job, status, which=made)
    assert (bench.job(job).status, bench.job(job).arn) == (status, made)
    assert bench.store.line(MODEL, 9) == []
    assert bench.store.waiting(MODEL) == {}
    assert list(bench.slots.holders) == ([] if status == "Completed" else [holder(job, 1)])
    assert len(bench.bedrock.creates) == 1


def test_a_job_that_is_adopted_while_it_waits_counts_beyond_the_limit() -> None:  # P1
    bench, job, _ = unanswered()
    after_the_lease(bench, job)
    made = bench.bedrock.take(name_of(job))
    bench.bedrock.unlisted = {made}
    other = started(bench, "other", priority=0)
    operator_says(
        bench, e.ModelResumed(at=bench.time, by="ann", why="no hold: the head of the line is next")
    )
    assert bench.job(other).status == "Submitted"
    report(bench, job, "Validating", which=made)
    assert set(bench.slots.holders) == {holder(job, 1), holder(other, 1)}
    ended(bench, other)
    started(bench, "third")
    assert list(bench.slots.holders) == [holder(job, 1)]


def test_an_event_that_get_does_not_confirm_yet_comes_back() -> None:
    bench, job, made = unanswered(taken=True)
    bench.bedrock.unknown = {made}
    with pytest.raises(NotYetKnown):
        report(bench, job, "Completed", which=made)
    assert bench.job(job).status == "Claimed"
    bench.bedrock.unknown = set()
    report(bench, job, "Completed", which=made)
    assert bench.job(job).status == "Completed"


# --- strangers


def test_a_stranger_with_our_name_is_never_adopted() -> None:
    bench, job, theirs = unanswered(taken=True, token="theirs")
    report(bench, job, "Completed", which=theirs)
    assert bench.job(job).status == "Claimed"
    assert ("ForeignJobWithOurName", theirs) in [
        (name, fields.get("arn")) for name, fields in bench.notes
    ]


# found by simulation: ours was accepted, and List was behind
def test_a_stranger_with_our_name_fails_no_job_at_once() -> None:
    bench, job, theirs = unanswered(taken=True, token="theirs")
    made = bench.bedrock.take(name_of(job))
    bench.bedrock.unlisted = {made}
    after_the_lease(bench, job)
    assert bench.job(job).status == "Queued"
    hold = bench.slots.refused
    assert hold
    assert (hold.kind, theirs in hold.message) == (NAME_TAKEN, True)
    bench.bedrock.unlisted = set()
    let_pass(bench, hours=1)
    assert (bench.job(job).status, bench.job(job).arn, len(bench.bedrock.creates)) == (
        "Submitted",
        made,
        1,
    )


def test_a_name_that_a_stranger_has_fails_its_job_after_three_acceptances_of_others_only() -> None:
    bench = Bench()
    job = bench.upload_id("v1")
    bench.bedrock.take(name_of(job), token="theirs")
    only_for(bench, job, NameInUse("in use"))
    started(bench, "v1")
    for number in range(3):
        assert bench.job(job).status != "Failed"
        bench.wait(seconds=1)
        other = started(bench, f"g{number}")
        let_pass(bench, hours=2)
        ended(bench, other)
        let_pass(bench, hours=2)
    assert bench.job(job).status == "Failed"
    assert "belongs to another job" in bench.job(job).reason


def test_a_name_in_use_by_our_own_lost_call_is_adopted() -> None:
    bench = Bench()
    bench.bedrock.script = [NameInUse("in use")]

    def lost_call(request: Request) -> None:
        bench.bedrock.take(request.name)

    bench.bedrock.on_create = lost_call
    assert bench.job(started(bench)).status == "Submitted"


def test_a_name_in_use_that_list_does_not_show_yet_keeps_the_slot_until_it_does() -> None:
    bench = Bench()
    bench.bedrock.script = [NameInUse("in use")]
    made = arn(1)

    def lost_call(request: Request) -> None:
        bench.bedrock.take(request.name)
        bench.bedrock.unlisted = {made}

    bench.bedrock.on_create = lost_call
    job = started(bench)
    assert (bench.job(job).status, list(bench.slots.holders)) == ("Claimed", [holder(job, 1)])
    bench.bedrock.unlisted = set()
    after_the_lease(bench, job)
    assert (bench.job(job).arn, len(bench.bedrock.creates)) == (made, 1)


# --- a job that Bedrock does not know any more


def lost() -> tuple[Bench, str]:
    """Bedrock does not know it, although we hold its ARN."""
    bench = Bench()
    job = started(bench)
    bench.bedrock.unknown = {arn(1)}
    return bench, job


def test_a_job_that_bedrock_does_not_know_is_said_so_when_it_is_no_longer_young() -> None:
    bench, job = lost()
    bench.time += KNOWN_WITHIN
    see(bench, job, look=True, timer=True)
    assert "JobUnknown" not in [name for name, _ in bench.notes]
    bench.wait(seconds=1)
    see(bench, job, look=True, timer=True)
    (said,) = [fields for name, fields in bench.notes if name == "JobUnknown"]
    assert (said["job"], said["model"], said["arn"]) == (job, MODEL, arn(1))
    assert bench.job(job).status == "Submitted"


def test_an_operator_may_have_it_forgotten_and_its_slot_is_free() -> None:
    bench, job = lost()
    bench.wait(hours=1)
    waits = started(bench, "v2")
    bench.append(job, e.ForgetRequested(at=bench.time, by="ann", why="support says it is gone"))
    see(bench, job)
    assert (bench.job(job).status, bench.job(waits).status) == ("Failed", "Submitted")
    assert (
        bench.job(job).reason
        == "Bedrock does not know it; forgotten by ann: support says it is gone"
    )
    assert list(bench.slots.holders) == [holder(waits, 1)]


def test_a_job_that_bedrock_knows_is_never_forgotten() -> None:
    bench = Bench()
    job = started(bench)
    bench.append(job, e.ForgetRequested(at=bench.time, by="ann", why=""))
    bench.wait(hours=1)
    see(bench, job)
    see(bench, job, look=True, timer=True)
    assert (bench.job(job).status, list(bench.slots.holders)) == ("Submitted", [holder(job, 1)])


def test_forgetting_a_job_of_a_moment_ago_waits_until_get_must_know_it() -> None:
    bench, job = lost()
    bench.append(job, e.ForgetRequested(at=bench.time, by="ann", why=""))
    with pytest.raises(NotYetKnown):
        see(bench, job)
    assert bench.job(job).status == "Submitted"
