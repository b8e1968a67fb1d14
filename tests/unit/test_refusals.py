"""What Bedrock refuses costs no upload: the job goes back to its place, and its model is on hold
until Bedrock takes one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bbq.services.scheduler import handler
from bbq.services.scheduler.bedrock import Accepted, Refused, Request, Unknown
from bbq.services.scheduler.wake import reconcile_model
from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.hold import ACCESS, INVALID, NOT_FOUND, QUOTA, THROTTLED, refused
from bbq.shared.names import attempt_name, holder
from bbq.shared.slots import Lease
from bbq.shared.tables import ConditionFailed, EventRow, Put, SlotsRow, Write
from tests.support.driving import (
    ended,
    fire_next,
    foreign_end,
    let_pass,
    operator_says,
    see,
    started,
    wake,
)
from tests.support.samples import MODEL
from tests.support.world import DEPLOYMENT, Bench

FULL = Refused(QUOTA, "ServiceQuotaExceededException: full")
NOT_SUPPORTED = Refused(
    INVALID, "ValidationException: Batch inference is not supported for this model in your account."
)
KINDS = [QUOTA, THROTTLED, ACCESS, INVALID, NOT_FOUND]
WALKING = [INVALID, NOT_FOUND]


def refusing(answer: Refused = FULL, *, limit: int = 1, count: int = 1) -> tuple[Bench, list[str]]:
    """So many jobs in line, a second apart, at a Bedrock that refuses every Create like this."""
    bench = Bench(limit=limit)
    bench.bedrock.otherwise = answer
    jobs = []
    for number in range(count):
        jobs.append(started(bench, f"v{number}"))
        bench.wait(seconds=1)
    return bench, jobs


def takes_again(bench: Bench) -> None:
    bench.bedrock.otherwise = Accepted("")


def asked(bench: Bench) -> list[str]:
    """The job of each Create."""
    return [create.name.split("-")[1] for create in bench.bedrock.creates]


def statuses(bench: Bench, jobs: list[str]) -> list[str]:
    return [bench.job(job).status for job in jobs]


def refuse(bench: Bench, bad: set[str], answer: Refused = NOT_SUPPORTED) -> None:
    """From now on Bedrock refuses these jobs and takes all others."""

    def decide(request: Request) -> None:
        bench.bedrock.script = [answer if request.name.split("-")[1] in bad else Accepted("")]

    bench.bedrock.on_create = decide


def between(bench: Bench, event: str, act: Callable[[], None]) -> None:
    """What another invocation does, once, just before this event is committed."""

    def hook(writes: Sequence[Write]) -> None:
        if any(isinstance(write.row, EventRow) and write.row.name == event for write in writes):
            bench.tables.before_commit = lambda _: None
            act()

    bench.tables.before_commit = hook


# --- a refusal is the model's


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_job_waits_at_its_old_place_and_its_model_is_on_hold(kind: str) -> None:
    bench, (first, second) = refusing(Refused(kind, "in Bedrock's words"), count=2)
    assert statuses(bench, [first, second]) == ["Queued", "Queued"]
    assert bench.store.line(MODEL, 9) == [first, second]
    assert (bench.job(first).reason, bench.slots.holders) == ("in Bedrock's words", {})
    hold = bench.slots.refused
    assert hold
    assert (hold.kind, hold.message, hold.count, len(bench.bedrock.creates)) == (
        kind,
        "in Bedrock's words",
        1,
        1,
    )
    assert bench.timers.due(f"model-{MODEL}") == [hold.until]
    assert timedelta(minutes=1) <= hold.until - hold.since <= timedelta(minutes=2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_refusal_fails_a_job_however_long_it_lasts(kind: str) -> None:
    bench, jobs = refusing(Refused(kind, "no"), limit=2, count=5)
    for _ in range(9):
        let_pass(bench, hours=1)
        bench.wait(hours=23)
    assert len(bench.bedrock.creates) > 9
    assert statuses(bench, jobs) == ["Queued"] * 5
    takes_again(bench)
    let_pass(bench, minutes=31)
    assert statuses(bench, jobs).count("Submitted") == 2


@pytest.mark.parametrize(
    ("kind", "said"), [(QUOTA, 0), (THROTTLED, 0), (ACCESS, 1), (INVALID, 1), (NOT_FOUND, 1)]
)
def test_every_kind_that_is_not_part_of_every_day_is_noted_for_the_alarm(
    kind: str, said: int
) -> None:
    bench, _ = refusing(Refused(kind, "in Bedrock's words"))
    notes = [fields for name, fields in bench.notes if name == "ModelHeld"]
    assert [(note["model"], note["kind"], note["reason"]) for note in notes] == [
        (MODEL, kind, "in Bedrock's words")
    ] * said


def test_an_hour_of_refusals_for_the_accounts_reasons_costs_no_job_and_few_calls() -> None:  # P9
    bench, jobs = refusing(NOT_SUPPORTED, limit=3, count=500)
    start = bench.time
    let_pass(bench, hours=1)
    assert set(statuses(bench, jobs)) == {"Queued"}
    assert 6 <= len(bench.bedrock.creates) <= 15
    takes_again(bench)
    hold = bench.slots.refused
    assert hold
    assert hold.until - start <= timedelta(hours=2)
    while bench.slots.refused is not None:
        assert fire_next(bench, hold.until)
    assert len(bench.slots.holders) == 3
    assert set(statuses(bench, jobs)) == {"Queued", "Submitted"}


def test_whoever_wakes_it_once_bedrock_takes_jobs_again_all_slots_are_full_at_once() -> None:
    bench, jobs = refusing(NOT_SUPPORTED, limit=3, count=9)
    let_pass(bench, minutes=31)
    takes_again(bench)
    wake(bench, ask=True)
    assert len(bench.slots.holders) == 3
    assert bench.slots.refused is None
    assert statuses(bench, jobs).count("Submitted") == 3


# --- who may ask again, and when


def test_while_a_model_is_on_hold_newcomers_and_hints_ask_nothing() -> None:  # R36 R15
    bench, (job,) = refusing(limit=5)
    for number in range(20):
        started(bench, f"n{number}")
        see(bench, job)
        wake(bench)
    assert len(bench.bedrock.creates) == 1


def test_each_probe_is_later_and_its_timer_is_there_before_it() -> None:
    bench, _ = refusing()
    waits = []
    for _ in range(6):
        hold = bench.slots.refused
        assert hold
        assert hold.until in bench.timers.due(f"model-{MODEL}")
        waits.append(hold.until - bench.time)
        let_pass(bench, seconds=(hold.until - bench.time).total_seconds())
    assert len(bench.bedrock.creates) == 7
    assert waits[0] <= timedelta(minutes=2)
    assert waits[-1] > timedelta(minutes=10)


def test_the_timer_of_a_hold_is_armed_before_the_hold_is_written() -> None:  # R16
    bench = Bench()
    bench.bedrock.otherwise = FULL
    job, armed = bench.upload(), []

    def watching(writes: Sequence[Write]) -> None:
        if any(
            isinstance(write.row, EventRow) and write.row.name == "submission-refused"
            for write in writes
        ):
            armed.append(len(bench.timers.due(f"model-{MODEL}")))

    bench.tables.before_commit = watching
    see(bench, job)
    assert armed == [1]


def test_a_fill_that_stops_at_a_hold_makes_sure_of_its_timer() -> None:  # R40
    bench, (job,) = refusing()
    bench.timers.armed.clear()
    see(bench, job)
    hold = bench.slots.refused
    assert hold
    assert bench.timers.due(f"model-{MODEL}") == [hold.until]


@pytest.mark.parametrize("kind", WALKING)
def test_probes_walk_down_the_line_if_it_might_be_the_first_jobs_reason(kind: str) -> None:  # R44
    bench, jobs = refusing(Refused(kind, "no"), count=12)
    let_pass(bench, hours=6)
    assert asked(bench)[:13] == [*jobs[:10], *jobs[:3]]


@pytest.mark.parametrize("kind", [QUOTA, THROTTLED, ACCESS])
def test_probes_are_the_head_of_the_line_if_it_cannot_be_a_jobs_own_reason(kind: str) -> None:
    bench, jobs = refusing(Refused(kind, "no"), count=12)
    let_pass(bench, hours=3)
    assert asked(bench) == [jobs[0]] * len(asked(bench))
    assert len(asked(bench)) > 6


def test_two_bad_jobs_at_the_head_do_not_stop_their_model() -> None:  # R44 P7
    bench = Bench()
    bad = {bench.upload_id("b0"), bench.upload_id("b1")}
    refuse(bench, bad)
    for version in ("b0", "b1"):
        started(bench, version)
        bench.wait(seconds=1)
    good = started(bench, "good")
    let_pass(bench, minutes=10)
    assert bench.job(good).status == "Submitted"


def test_an_acceptance_lifts_the_hold_and_the_filling_goes_on() -> None:
    bench, jobs = refusing(limit=3, count=5)
    takes_again(bench)
    let_pass(bench, minutes=2)
    assert bench.slots.refused is None
    assert statuses(bench, jobs) == ["Submitted"] * 3 + ["Queued"] * 2
    assert bench.slots.taken == 3


@pytest.mark.parametrize(
    ("kind", "asks"), [(QUOTA, True), (THROTTLED, True), (ACCESS, False), (INVALID, False)]
)
def test_an_end_that_is_not_ours_is_a_reason_to_ask_only_if_there_was_no_room(
    kind: str, asks: bool
) -> None:
    bench, (job,) = refusing(Refused(kind, "no"))
    takes_again(bench)
    foreign_end(bench)
    assert bench.job(job).status == ("Submitted" if asks else "Queued")


def test_a_foreign_end_of_a_model_that_cannot_be_told_counts_too() -> None:
    bench, (job,) = refusing()
    takes_again(bench)
    foreign_end(
        bench, model_id="arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/zzz"
    )
    assert bench.job(job).status == "Submitted"


def test_an_end_of_the_model_opens_every_hold() -> None:
    bench = Bench(limit=2)
    first = started(bench, "v1")
    bench.bedrock.otherwise = NOT_SUPPORTED
    second = started(bench, "v2")
    takes_again(bench)
    ended(bench, first)
    assert bench.job(second).status == "Submitted"


def test_a_foreign_end_between_the_refusal_and_the_giving_up_is_seen() -> None:  # R17
    bench = Bench()
    job = bench.upload()
    bench.bedrock.script = [FULL]

    def meanwhile(_: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        foreign_end(bench)

    bench.bedrock.on_create = meanwhile
    see(bench, job)
    assert len(bench.bedrock.creates) == 2
    assert bench.job(job).status == "Submitted"


def test_ends_that_never_stop_coming_keep_no_fill_running() -> None:
    bench = Bench(limit=1, left=110)
    bench.bedrock.otherwise = FULL

    def again(_: Request) -> None:
        bench.left -= 10  # as long as Create takes
        bench.store.commit(p.reason_to_ask(MODEL))

    bench.bedrock.on_create = again
    job = started(bench)
    assert len(bench.bedrock.creates) < 11
    assert (bench.job(job).status, bench.slots.holders) == ("Queued", {})
    assert bench.outbox.sent == [("model", MODEL)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_who_wakes_it_has_bedrock_asked_and_another_hint_has_not(kind: str) -> None:
    bench, (job,) = refusing(Refused(kind, "no"))
    takes_again(bench)
    wake(bench)
    assert bench.job(job).status == "Queued"
    wake(bench, ask=True)
    assert bench.job(job).status == "Submitted"


def test_a_deployment_has_bedrock_asked() -> None:
    bench, (job,) = refusing(NOT_SUPPORTED)
    takes_again(bench)
    handler.act_on(bench.world(), {"wake": "all", "limits": {MODEL: 1}})
    assert bench.job(job).status == "Submitted"


def test_a_resume_takes_the_holds_away_also_of_a_model_that_is_not_paused() -> None:
    bench, jobs = refusing(NOT_SUPPORTED, count=3)
    assert bench.slots.refused
    between(bench, "slot-claimed", lambda: seen.append(bench.slots.holds))
    seen: list[object] = []
    operator_says(bench, e.ModelResumed(at=bench.time, by="ann", why=""))
    assert seen == [()]
    assert asked(bench) == [jobs[0], jobs[0]]  # from the head again, whatever the walk was at
    assert bench.slots.refused is not None
    assert bench.slots.refused.count == 1


def test_a_pause_is_no_reason_to_forget_a_hold_and_its_resume_is() -> None:  # R41
    bench, (job,) = refusing()
    operator_says(bench, e.ModelPaused(at=bench.time, by="ann", why="holiday"))
    let_pass(bench, days=8)
    assert len(bench.bedrock.creates) == 1
    assert bench.slots.refused is not None
    takes_again(bench)
    operator_says(bench, e.ModelResumed(at=bench.time, by="ann", why=""))
    assert bench.job(job).status == "Submitted"


def test_a_raised_limit_is_a_reason_to_ask() -> None:  # R41
    bench, (job,) = refusing(NOT_SUPPORTED)
    takes_again(bench)
    reconcile_model(bench.world(), MODEL, 2)
    assert bench.job(job).status == "Submitted"


# --- one probe at a time


def test_of_two_who_would_probe_at_once_one_does() -> None:
    bench, (job,) = refusing(NOT_SUPPORTED)
    bench.wait(hours=1)
    between(bench, "slot-claimed", lambda: newcomer(bench, priority=9))
    wake(bench)
    assert asked(bench)[1:] == [bench.upload_id("new")]
    assert bench.job(job).status == "Queued"


def newcomer(bench: Bench, *, priority: int) -> None:
    """Another invocation claims for a job of its own, so that no event of the job decides between
    the two.
    """
    bench.wait(seconds=1)
    see(bench, bench.upload("new", priority=priority))


def test_a_claim_that_read_no_hold_fails_beside_a_refusal() -> None:
    bench = Bench(limit=2)
    bench.bedrock.otherwise = NOT_SUPPORTED
    first = bench.upload("v1")
    between(bench, "slot-claimed", lambda: newcomer(bench, priority=0))
    see(bench, first)
    assert asked(bench) == [bench.upload_id("new")]
    assert bench.job(first).attempt == 0


def test_a_late_refusal_changes_the_words_of_the_hold_and_not_its_time() -> None:
    bench = Bench(limit=2)
    second = bench.upload_id("v2")

    def another(_: Request) -> None:
        bench.bedrock.on_create, bench.bedrock.script = (lambda _: None), [NOT_SUPPORTED]
        started(bench, "v2")
        bench.wait(seconds=20)
        bench.bedrock.script = [Refused(ACCESS, "the later word")]

    bench.bedrock.on_create = another
    started(bench, "v1")
    hold = bench.slots.refused
    assert hold
    assert (hold.kind, hold.message, hold.count) == (ACCESS, "the later word", 1)
    assert hold.since < bench.time
    assert bench.job(second).status == "Queued"


# --- the guard: a job that is at fault itself


def bad_among_good(good: int, answer: Refused = NOT_SUPPORTED) -> tuple[Bench, str]:
    """A job that Bedrock refuses, at the head of a line of others that it takes; when one ends, the
    next has its turn.
    """
    bench = Bench()
    bad = bench.upload_id("bad")
    refuse(bench, {bad}, answer)
    started(bench, "bad")
    for number in range(good):
        bench.wait(seconds=1)
        job = started(bench, f"g{number}")
        let_pass(bench, hours=1)
        assert bench.job(job).status == "Submitted"
        ended(bench, job)
        let_pass(bench, hours=1)
    return bench, bad


def test_a_job_refused_as_invalid_after_each_of_three_acceptances_fails() -> None:
    bench, bad = bad_among_good(3)
    assert bench.job(bad).status == "Failed"
    assert NOT_SUPPORTED.message in bench.job(bad).reason
    assert (bench.slots.holders, bench.store.line(MODEL, 9)) == ({}, [])


def test_after_two_acceptances_it_waits_still() -> None:
    bench, bad = bad_among_good(2)
    assert bench.job(bad).status == "Queued"


@pytest.mark.parametrize("kind", [QUOTA, THROTTLED, ACCESS, NOT_FOUND])
def test_a_kind_that_is_no_jobs_own_never_fails_one(kind: str) -> None:
    bench, bad = (
        bad_among_good(6, Refused(kind, "no")) if kind == NOT_FOUND else only_the_head(kind)
    )
    assert bench.job(bad).status == "Queued"


def only_the_head(kind: str) -> tuple[Bench, str]:
    """As `bad_among_good`, for kinds that do not walk: the others are of a higher priority."""
    bench = Bench()
    bad = bench.upload_id("bad")
    refuse(bench, {bad}, Refused(kind, "no"))
    started(bench, "bad")
    for number in range(6):
        job = started(bench, f"g{number}", priority=0)
        let_pass(bench, hours=1)
        ended(bench, job)
        let_pass(bench, hours=1)
    return bench, bad


def test_refusals_under_one_reading_of_the_others_count_once() -> None:  # R43
    bench, jobs = refusing(NOT_SUPPORTED, limit=2, count=2)
    let_pass(bench, days=1)
    assert min(asked(bench).count(job) for job in jobs) > 3
    takes_again(bench)
    let_pass(bench, hours=1)
    assert statuses(bench, jobs) == ["Submitted"] * 2


# --- cancels, lost answers, late writes


def test_a_cancel_during_a_refusal_is_seen_by_the_owner() -> None:  # R28
    bench, (job,) = refusing()

    def cancelling(_: Request) -> None:
        bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
        see(bench, job)  # meets a running lease and leaves

    bench.bedrock.on_create = cancelling
    let_pass(bench, hours=1)
    assert (bench.job(job).status, bench.slots.holders) == ("Cancelled", {})
    assert len(bench.bedrock.creates) == 2


def test_a_cancelled_job_that_was_refused_leaves_the_line_and_is_never_created() -> None:
    bench, (job,) = refusing()
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, job)
    let_pass(bench, hours=1)
    assert (bench.job(job).status, bench.store.line(MODEL, 9), len(bench.bedrock.creates)) == (
        "Cancelled",
        [],
        1,
    )


def test_a_refused_job_is_not_taken_when_the_limit_was_lowered() -> None:  # R27
    bench = Bench(limit=2)
    started(bench, "v1")
    bench.bedrock.script = [FULL]
    waits = started(bench, "v2")
    bench.set_limit(1)
    let_pass(bench, hours=1)
    foreign_end(bench)
    assert (bench.job(waits).status, len(bench.bedrock.creates)) == ("Queued", 2)


def test_a_give_up_that_was_done_but_looked_failed_is_not_done_again() -> None:  # R31
    bench = Bench()
    bench.bedrock.otherwise = FULL
    job, plain = bench.upload(), bench.tables.write

    def lossy(writes: Sequence[Write]) -> None:
        plain(writes)
        if any(
            isinstance(write.row, EventRow) and write.row.name == "submission-refused"
            for write in writes
        ):
            raise ConditionFailed("met itself")

    bench.tables.write = lossy  # type: ignore[method-assign] # the lost answer
    see(bench, job)
    assert len(bench.bedrock.creates) == 1
    assert bench.history(job) == ["job-queued", "slot-claimed", "submission-refused"]


def test_who_was_refused_does_not_touch_the_slot_of_a_later_claim_of_its_attempt() -> None:  # R31
    bench = Bench()
    job = bench.upload()
    bench.bedrock.otherwise = FULL
    theirs = Lease(owner="somebody else", until=bench.time + bench.config.lease)

    def taken_over(_: Request) -> None:
        whose = holder(job, 1)
        bench.store.commit(p.taken_over(MODEL, whose, bench.slots.holders[whose], theirs))

    bench.bedrock.on_create = taken_over
    see(bench, job)
    assert bench.slots.holders == {holder(job, 1): theirs}
    assert (bench.job(job).status, bench.slots.refused) == ("Claimed", None)


def test_a_hold_that_another_changed_between_reading_and_writing_is_read_again() -> None:
    bench = Bench(limit=2)
    job = bench.upload()
    bench.bedrock.otherwise = FULL
    other = refused(None, kind=ACCESS, message="theirs", ends=0, now=bench.time)
    between(
        bench,
        "submission-refused",
        lambda: bench.tables.write(
            [
                Put(
                    rows.slots_row(replace(bench.slots, refused=replace(other, count=4))),
                    SlotsRow.pk.exists(),
                )
            ]
        ),
    )
    see(bench, job)
    hold = bench.slots.refused
    assert hold
    assert (hold.kind, hold.count) == (QUOTA, 4)
    assert bench.history(job) == ["job-queued", "slot-claimed", "submission-refused"]


# R25
def test_an_event_that_comes_between_reading_and_recording_does_not_lose_the_answer() -> None:
    bench = Bench()
    job = bench.upload()
    between(
        bench,
        "job-submitted",
        lambda: bench.append(job, e.CancelRequested(at=bench.time, by="ann", why="")),
    )
    see(bench, job)
    assert bench.history(job)[2:4] == ["cancel-requested", "job-submitted"]


def test_a_refusal_leaves_its_attempts_timer_which_the_next_claim_may_count_on() -> None:  # R42
    bench, (job,) = refusing()
    assert len(bench.timers.due(f"{job}-1")) == 1
    assert not [
        call for call, whose, _ in bench.timers.log if call == "disarm" and whose == f"{job}-1"
    ]


def test_a_lease_is_armed_before_it_is_taken_or_taken_over() -> None:  # R11
    bench = Bench()
    bench.bedrock.script = [FULL, Unknown("x"), Unknown("x")]
    job = started(bench)
    for _ in range(2):
        bench.wait(hours=1)
        bench.timers.armed.clear()
        armed: list[int] = []

        def watching(_: object, armed: list[int] = armed) -> None:
            armed.append(len(bench.timers.due(f"{job}-1")))

        bench.tables.before_commit = watching
        see(bench, job, look=True)
        assert armed[0] == 1
        assert bench.job(job).status in {"Claimed", "Queued"}


def test_the_same_attempt_is_asked_for_until_bedrock_has_taken_it() -> None:
    bench, (job,) = refusing()
    let_pass(bench, hours=1)
    takes_again(bench)
    let_pass(bench, hours=1)
    assert {create.name for create in bench.bedrock.creates} == {attempt_name(DEPLOYMENT, job, 1)}
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 1)
