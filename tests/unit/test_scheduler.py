"""The scheduler's rules, one sentence a test, on the in-memory store. R1-R37: see DECISIONS.md."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest

from services.scheduler.attempt import MAX_CREATES
from services.scheduler.bedrock import Accepted, Invalid, NameInUse, Refused, Request, Unknown
from services.scheduler.fill import fill
from services.scheduler.hints import Report
from services.scheduler.reconcile import Visit, reconcile, reconcile_model, reconcile_report, wake
from shared import events as e
from shared import projections as p
from shared.models import Model
from shared.names import attempt_name, holder, job_stream, model_stream
from shared.slots import MAX_PASSED, Refusal, lease_due, leased
from shared.tables import ConditionFailed, Contended, Delete, EventRow, Put, SlotsRow, ViewRow, Write
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import DEPLOYMENT, Bench, FakeBedrock, arn, config

QUOTA = Refused("quota", "full")
ACCEPT = Accepted("")


def see(bench: Bench, job: str, **visit: object) -> None:
    reconcile(bench.world(), job, Visit(**visit))  # type: ignore[arg-type] # Visit's own fields


def report(bench: Bench, job: str, status: str, *, attempt: int = 1, which: str = arn(1), message: str = "") -> None:
    told = Report(arn=which, model_id=MODEL_ID, status=status, message=message, job=job, attempt=attempt)
    reconcile_report(bench.world(), told)


def foreign_end(bench: Bench, model_id: str = MODEL_ID) -> None:
    told = Report(arn=arn(999), model_id=model_id, status="Completed", message="", job=None, attempt=None)
    reconcile_report(bench.world(), told)


def started(bench: Bench, version: str = "v1") -> str:
    job = bench.upload(version)
    see(bench, job)
    return job


def model_timer(bench: Bench) -> None:
    wake(bench.world(), MODEL)


# --- the happy path


def test_an_upload_with_a_free_slot_goes_to_bedrock_at_once() -> None:
    bench = Bench()
    job = started(bench)
    assert bench.history(job) == ["job-queued", "slot-claimed", "job-submitted"]
    (create,) = bench.bedrock.creates
    assert create.name == attempt_name(DEPLOYMENT, job, 1)
    assert (create.input_uri, create.model.model_id) == (bench.job(job).input_uri, MODEL_ID)
    assert bench.slots.holders[holder(job, 1)].submitted
    assert bench.store.line(MODEL, 9) == []


def test_a_second_upload_waits_in_line_and_is_served_by_the_first_ones_end() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    assert (bench.job(second).status, bench.store.line(MODEL, 9)) == ("Queued", [second])
    report(bench, first, "Completed")
    assert (bench.job(first).status, bench.job(second).status) == ("Completed", "Submitted")
    assert list(bench.slots.holders) == [holder(second, 1)]


def test_the_slot_is_refilled_before_anything_else_is_done_about_the_end() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    seen: list[list[str]] = []
    bench.bedrock.on_create = lambda _: seen.append(bench.history(first))
    report(bench, first, "Completed")
    assert bench.job(second).status == "Submitted"
    assert seen == [["job-queued", "slot-claimed", "job-submitted", "job-ended"]]


def test_an_end_is_tallied_from_the_manifest() -> None:
    bench = Bench()
    job = started(bench)
    bench.results.manifests[arn(1)] = {
        "totalRecordCount": 100, "processedRecordCount": 100, "successRecordCount": 0, "errorRecordCount": 100,
        "inputTokenCount": 5, "outputTokenCount": 7,
    }  # fmt: skip
    report(bench, job, "Completed")
    tally = bench.job(job).tally
    assert tally is not None
    assert (tally.succeeded_records, tally.failed_records, tally.output_tokens) == (0, 100, 7)
    view = bench.tables.get(ViewRow, p.view_pk(job), "view")
    assert view
    assert (view.status, view.outcome) == ("Completed", "NoRecordSucceeded")


def test_without_a_manifest_the_counts_come_from_get() -> None:
    bench = Bench()
    job = started(bench)
    bench.bedrock.jobs[arn(1)] = replace(bench.bedrock.jobs[arn(1)], total_records=9, processed_records=3)
    report(bench, job, "Failed", message="no")
    tally = bench.job(job).tally
    assert tally is not None
    assert (tally.total_records, tally.processed_records, tally.input_tokens) == (9, 3, None)


def test_statuses_are_recorded_as_they_rise_and_never_fall_back() -> None:
    bench = Bench()
    job = started(bench)
    for status in ("InProgress", "Validating", "Scheduled", "InProgress"):
        report(bench, job, status)
    assert bench.job(job).status == "InProgress"
    assert bench.history(job).count("job-progressed") == 1
    report(bench, job, "Completed")
    report(bench, job, "InProgress")
    assert bench.job(job).status == "Completed"


@pytest.mark.parametrize("times", [2, 5])
def test_any_hint_delivered_again_changes_nothing_and_calls_nothing(times: int) -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "Completed")
    events, creates, log = bench.history(job), len(bench.bedrock.creates), len(bench.tables.log)
    for _ in range(times):
        see(bench, job)
        see(bench, job, look=True)
        report(bench, job, "Completed")
        report(bench, job, "Validating")
    assert (bench.history(job), len(bench.bedrock.creates), len(bench.tables.log)) == (events, creates, log)


def test_the_view_is_the_fold_after_every_step() -> None:
    bench = Bench()
    job = started(bench)
    for status in ("Validating", "InProgress", "Completed"):
        report(bench, job, status)
        stored = bench.tables.get(ViewRow, p.view_pk(job), "view")
        assert stored
        assert stored.to_dynamodb_dict() == p.view_row(bench.job(job)).to_dynamodb_dict()


def test_a_rejected_upload_becomes_a_view_a_person_can_read() -> None:
    bench = Bench()
    problem = e.Problem(line=3, text="not JSON")
    source = e.Source(bucket="b", key="k", version_id="1", etag="", sequencer="", size_bytes=3)
    event = e.JobRejected(at=bench.time, model=MODEL, sources=(source,), problems=(problem,), problem_count=1, size_bytes=3)
    bench.store.append("x", None, event)
    see(bench, "x")
    view = bench.tables.get(ViewRow, p.view_pk("x"), "view")
    assert view
    assert (view.status, view.reason) == ("Rejected", "not JSON")
    assert bench.bedrock.creates == []


# --- timers


def test_the_timer_is_armed_before_the_claim_and_due_after_the_lease() -> None:
    bench = Bench()
    job = bench.upload()
    seen: list[int] = []

    def claiming(writes: object) -> None:
        seen.append(len(bench.timers.due(f"{job}-1")))

    bench.tables.before_commit = claiming
    see(bench, job)
    assert seen[0] == 0  # the projection of job-queued
    assert seen[1] == 1  # the claim
    (due,) = bench.timers.due(f"{job}-1")
    assert due > bench.time + bench.config.lease


def test_a_claim_whose_early_timer_is_gone_gets_another_from_any_hint() -> None:  # R11
    bench = Bench(bedrock=_silent())
    job = started(bench)
    bench.timers.armed.clear()
    see(bench, job)
    assert len(bench.timers.due(f"{job}-1")) == 1


def test_a_running_attempt_always_has_a_timer_at_least_a_full_minute_ahead() -> None:
    bench = Bench()
    job = started(bench)
    for minutes in (1, 59, 60, 61, 119, 120):
        bench.timers.armed.clear()
        bench.wait(minutes=minutes)
        see(bench, job, look=True)
        (due,) = bench.timers.due(f"{job}-1")
        assert bench.time + timedelta(minutes=1) <= due <= bench.time + timedelta(minutes=62)


def test_the_first_progress_arms_the_timer_and_the_next_one_need_not() -> None:
    bench = Bench()
    job = started(bench)
    bench.timers.log.clear()
    report(bench, job, "Validating")
    report(bench, job, "Scheduled")
    assert [call for call, *_ in bench.timers.log] == ["arm"]
    report(bench, job, "Scheduled")  # again, as after a first time that was cut off before it armed
    assert [call for call, *_ in bench.timers.log] == ["arm", "arm"]


def test_a_timer_that_learns_of_progress_arms_the_next_one() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "Validating")
    bench.timers.log.clear()
    bench.bedrock.turn(arn(1), "InProgress")
    see(bench, job, look=True)
    assert [call for call, *_ in bench.timers.log] == ["arm"]
    assert bench.job(job).status == "InProgress"


def test_what_a_step_has_just_written_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    job = started(bench)
    load = Mock(wraps=bench.store.load)
    monkeypatch.setattr(bench.store, "load", load)
    report(bench, job, "Validating")
    report(bench, job, "Completed")
    assert [call.args for call in load.call_args_list] == [(job_stream(job),)] * 2
    assert bench.job(job).tally is not None


def test_a_new_job_is_read_once_before_it_is_claimed_and_once_for_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    job = bench.upload()
    load = Mock(wraps=bench.store.load)
    monkeypatch.setattr(bench.store, "load", load)
    see(bench, job)
    assert [call.args for call in load.call_args_list] == [(job_stream(job),)] * 2  # Create's answer is recorded without
    assert bench.history(job) == ["job-queued", "slot-claimed", "job-submitted"]


def test_an_end_whose_fill_was_cut_off_is_filled_and_tallied_by_the_same_message() -> None:  # the stream brings no ends
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    job = bench.job(first)
    end = e.JobEnded(at=bench.time, attempt=1, status="Completed", message="", arn=arn(1))
    bench.store.commit(p.released(job, end, holder(first, 1)))
    assert bench.job(second).status == "Queued"
    report(bench, first, "Completed")
    assert bench.job(second).status == "Submitted"
    assert bench.job(first).tally is not None


def test_a_lost_event_is_made_good_by_the_timer() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.bedrock.turn(arn(1), "Completed")
    see(bench, first, look=True)
    assert (bench.job(first).status, bench.job(second).status) == ("Completed", "Submitted")


def test_an_ended_attempts_timers_are_removed_and_no_other_attempts() -> None:  # R8
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    other = lease_due(bench.time, bench.time)
    bench.timers.armed[f"{job}-2", other] = True
    report(bench, job, "Completed")
    assert bench.timers.due(f"{job}-1") == []
    assert bench.timers.due(f"{job}-2") == [other]


# --- one creator


def _silent() -> FakeBedrock:
    return FakeBedrock(script=[Unknown("ReadTimeout")])


def test_while_a_lease_runs_nobody_else_calls_create() -> None:  # R1 R2 R3
    bench = Bench()
    job = bench.upload()

    def another(_: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        see(bench, job)
        fill(bench.world(), MODEL, probe=True)

    bench.bedrock.on_create = another
    see(bench, job)
    assert len(bench.bedrock.creates) == 1
    assert bench.job(job).status == "Submitted"


def test_an_unknown_answer_keeps_the_slot() -> None:  # R6
    bench = Bench(bedrock=_silent())
    job, other = started(bench, "v1"), started(bench, "v2")
    assert list(bench.slots.holders) == [holder(job, 1)]
    assert bench.job(other).status == "Queued"
    assert len(bench.bedrock.creates) == 1


def test_after_the_lease_a_job_that_bedrock_has_is_adopted() -> None:  # R4 R5
    bench = Bench(bedrock=_silent())
    job = started(bench)
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, job, 1))
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)
    assert (bench.job(job).status, bench.job(job).arn) == ("Submitted", made)
    assert len(bench.bedrock.creates) == 1


def test_after_the_lease_a_job_that_bedrock_does_not_have_is_created_with_the_same_token() -> None:
    bench = Bench(bedrock=_silent())
    job = started(bench)
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)
    assert [create.name for create in bench.bedrock.creates] == [attempt_name(DEPLOYMENT, job, 1)] * 2
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 1)


def test_a_stranger_with_our_name_is_never_adopted() -> None:
    bench = Bench(bedrock=_silent())
    job = started(bench)
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, job, 1), token="theirs")
    report(bench, job, "Completed", which=made)
    assert bench.job(job).status == "Claimed"
    bench.bedrock.script = [NameInUse("in use")]
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)
    assert bench.job(job).status == "Failed"
    assert "another job" in bench.job(job).reason
    assert bench.slots.holders == {}


def test_a_name_in_use_by_our_own_lost_call_is_adopted() -> None:
    bench = Bench()
    job = bench.upload()
    bench.bedrock.script = [NameInUse("in use")]

    def lost_call(request: Request) -> None:
        bench.bedrock.take(request.name)

    bench.bedrock.on_create = lost_call
    see(bench, job)
    assert bench.job(job).status == "Submitted"


def test_an_event_that_beats_the_answer_of_create_is_adopted_after_get_confirms_it() -> None:  # R33
    bench = Bench(bedrock=_silent())
    job, other = started(bench, "v1"), started(bench, "v2")
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, job, 1))
    report(bench, job, "Completed", which=made)
    assert bench.history(job)[2:] == ["job-submitted", "job-ended", "job-tallied"]
    assert bench.job(other).status == "Submitted"


def test_an_end_during_create_is_final_and_the_late_answer_changes_nothing() -> None:
    bench = Bench()
    job = bench.upload()

    def fast(request: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        made = bench.bedrock.take(request.name)
        report(bench, job, "Completed", which=made)
        bench.bedrock.script = [Accepted(made)]

    bench.bedrock.on_create = fast
    see(bench, job)
    assert bench.job(job).status == "Completed"
    assert bench.history(job).count("job-submitted") == 1
    assert bench.slots.holders == {}


def test_the_loser_of_an_append_records_the_answer_all_the_same() -> None:  # R25
    bench = Bench()
    job = bench.upload()

    def cancelling(_: Request) -> None:
        bench.append(job, e.CancelRequested(at=bench.time, by="ann", why="wrong file"))

    bench.bedrock.on_create = cancelling
    see(bench, job)
    assert bench.history(job)[:4] == ["job-queued", "slot-claimed", "cancel-requested", "job-submitted"]
    assert list(bench.slots.holders) == [holder(job, 1)]
    see(bench, job)
    assert bench.bedrock.stopped == [arn(1)]
    report(bench, job, "Stopped")
    assert (bench.job(job).status, bench.slots.holders) == ("Stopped", {})


def test_a_claim_whose_answer_was_lost_is_won_by_its_owner() -> None:  # R31's sister: "failed" with me as owner
    bench = Bench()
    job = bench.upload()
    plain, first = bench.tables.write, [True]

    def lossy(writes: list[Write]) -> None:
        plain(writes)
        if len(writes) == 4 and first.pop():  # the claim was done; its SDK retry meets itself
            raise ConditionFailed("met itself")

    bench.tables.write = lossy  # type: ignore[method-assign,assignment] # the lost answer
    see(bench, job)
    assert bench.job(job).status == "Submitted"


def fire_all(bench: Bench, rounds: int = 10) -> None:
    """Every armed timer fires, and what it arms, and so on."""
    for _ in range(rounds):
        for whose, due in sorted(bench.timers.armed, key=lambda timer: timer[1]):
            bench.time = max(bench.time, due)
            bench.timers.armed.pop((whose, due))
            if whose.startswith("model-"):
                model_timer(bench)
            else:
                see(bench, whose.rsplit("-", 1)[0], look=True)


@pytest.mark.parametrize("how", ["timer", "event"])
def test_an_unknown_answer_that_is_found_later_lets_the_line_go_on(how: str) -> None:  # P4
    bench = Bench(limit=0)
    jobs = [started(bench, version) for version in ("v1", "v2", "v3")]
    name = attempt_name(DEPLOYMENT, jobs[0], 1)

    def lost_answer(request: Request) -> None:
        if request.name == name:
            bench.bedrock.take(name)
            bench.bedrock.script.insert(0, Unknown("ReadTimeout"))

    bench.bedrock.on_create = lost_answer
    bench.set_limit(3)
    model_timer(bench)
    if how == "timer":
        (due,) = bench.timers.due(f"{jobs[0]}-1")
        bench.time = due
        see(bench, jobs[0], look=True)
    else:
        report(bench, jobs[0], "Validating")
    assert {bench.job(job).status for job in jobs} <= {"Submitted", "Validating"}
    assert len(bench.bedrock.jobs) == 3


def test_a_stop_that_bedrock_does_not_accept_keeps_the_timer() -> None:  # P4
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.bedrock.stop = lambda arn: False  # type: ignore[method-assign] # "nothing to stop", and Get has no news
    bench.append(first, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, first)
    fire_all(bench, 2)
    bench.bedrock.turn(arn(1), "Completed")  # and its event is lost
    fire_all(bench, 3)
    assert bench.job(second).status == "Submitted"


def test_one_job_whose_create_never_answers_does_not_stop_its_model() -> None:  # P4 P7
    bench = Bench()
    bad = bench.upload("bad")
    name = attempt_name(DEPLOYMENT, bad, 1)

    def never(request: Request) -> None:
        if request.name == name:
            bench.bedrock.script.insert(0, Unknown("InternalServerException"))

    bench.bedrock.on_create = never
    see(bench, bad)
    bench.wait(seconds=1)
    good, start = started(bench, "good"), bench.time
    while bench.job(good).status == "Queued" and bench.time - start < timedelta(days=1):
        fire_all(bench, 1)
    assert bench.time - start < timedelta(hours=1)


def test_a_cancel_during_an_accepted_create_is_carried_out() -> None:
    bench = Bench()
    job = bench.upload()

    def cancelling(_: Request) -> None:
        bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
        see(bench, job)  # meets the lease and leaves

    bench.bedrock.on_create = cancelling
    see(bench, job)
    assert bench.outbox.sent == [("job", job)]


# --- refusals


def test_a_refused_job_leaves_its_slot_and_waits_with_a_reason() -> None:
    bench = Bench()
    bench.bedrock.script = [QUOTA]
    job = started(bench)
    assert (bench.job(job).status, bench.slots.holders, list(bench.slots.refused)) == ("Held", {}, [holder(job, 1)])
    assert bench.store.line(MODEL, 9) == []
    (due,) = bench.timers.due(f"model-{MODEL}")
    assert due == bench.slots.refused[holder(job, 1)].retry_at >= bench.time + timedelta(minutes=1)


def test_newcomers_do_not_probe_while_the_quota_is_known_to_be_full() -> None:  # R36 R15
    bench = Bench(limit=5)
    bench.bedrock.script = [QUOTA]
    job = started(bench)
    for number in range(20):
        started(bench, f"n{number}")
        see(bench, job)
    assert len(bench.bedrock.creates) == 1
    assert len(bench.store.line(MODEL, 99)) == 20


def test_a_job_that_another_passed_holds_no_newcomer_back_and_is_not_asked_for_again() -> None:  # found by simulation
    bench = Bench(limit=5)
    refused = started(bench, "v0")
    whose = holder(refused, 1)
    refusal = Refusal(kind="quota", since=bench.time, retry_at=bench.time + timedelta(minutes=30), count=2, passed=1)
    bench.tables.write([Put(p.slots_row(replace(bench.slots, holders={}, refused={whose: refusal})))])
    newcomer = started(bench, "v1")
    assert bench.job(newcomer).status == "Submitted"
    assert bench.slots.refused == {whose: refusal}


def test_an_acceptance_lets_newcomers_in_beside_a_job_that_was_refused_meanwhile() -> None:  # found by simulation
    bench = Bench(limit=0)
    refusal = Refusal(kind="quota", since=bench.time, retry_at=bench.time + timedelta(minutes=2), count=1, passed=0)
    refused, newcomers = holder("b" * 26, 1), [started(bench, f"n{number}") for number in range(3)]
    bench.tables.write([Put(p.slots_row(replace(bench.slots, limit=5)))])

    def meanwhile(_: Request) -> None:  # another fill's Create is refused while ours is under way
        bench.bedrock.on_create = lambda _: None
        bench.tables.write([Put(p.slots_row(replace(bench.slots, refused={refused: refusal})))])

    bench.bedrock.on_create = meanwhile
    see(bench, newcomers[0])
    assert [bench.job(newcomer).status for newcomer in newcomers] == ["Submitted"] * 3
    assert bench.slots.refused == {refused: refusal}  # whose own time is still to come


def test_the_models_timer_tries_again_even_when_it_fires_early() -> None:  # R16
    bench = Bench()
    bench.bedrock.script = [QUOTA]
    job = started(bench)
    bench.wait(seconds=1)
    model_timer(bench)
    assert bench.job(job).status == "Submitted"
    assert bench.bedrock.creates[0].name == bench.bedrock.creates[1].name


def test_every_refusal_arms_the_models_timer_later_each_time() -> None:
    bench = Bench()
    bench.bedrock.script = [QUOTA] * 6
    job = started(bench)
    waits = []
    for _ in range(5):
        retry_at = bench.slots.refused[holder(job, 1)].retry_at
        assert retry_at in bench.timers.due(f"model-{MODEL}")
        waits.append(retry_at - bench.time)
        bench.time = retry_at
        model_timer(bench)
    assert waits[0] <= timedelta(minutes=2)
    assert waits[-1] > timedelta(minutes=10)


def test_one_kind_of_refusal_is_one_event_however_often_it_happens() -> None:  # R24
    bench = Bench()
    bench.bedrock.script = [QUOTA, QUOTA, Refused("access", "no"), QUOTA, Refused("access", "no")]
    job = started(bench)
    for _ in range(4):
        bench.wait(hours=1)
        model_timer(bench)
    assert bench.history(job).count("submission-refused") == 2
    assert len(bench.bedrock.creates) == 5
    assert [name for name, _ in bench.notes].count("AccessDenied") == 2  # terraform/alarms.tf watches it


def test_a_foreign_end_lets_the_refused_try_at_once() -> None:
    bench = Bench()
    bench.bedrock.script = [QUOTA]
    job = started(bench)
    foreign_end(bench)
    assert bench.job(job).status == "Submitted"


def test_a_foreign_end_of_a_model_that_cannot_be_told_counts_too() -> None:
    bench = Bench()
    bench.bedrock.script = [QUOTA]
    job = started(bench)
    foreign_end(bench, model_id="arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/zzz")
    assert bench.job(job).status == "Submitted"


def test_a_foreign_end_between_the_refusal_and_the_giving_up_is_seen() -> None:  # R17
    bench = Bench()
    job = bench.upload()
    bench.bedrock.script = [QUOTA]

    def meanwhile(_: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        foreign_end(bench)

    bench.bedrock.on_create = meanwhile
    see(bench, job)
    assert len(bench.bedrock.creates) == 2
    assert bench.job(job).status == "Submitted"


def test_a_cancel_during_a_refusal_is_seen_by_the_owner() -> None:  # R28
    bench = Bench()
    bench.bedrock.script = [QUOTA, QUOTA]
    job = started(bench)

    def cancelling(_: Request) -> None:
        bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
        see(bench, job)  # meets a running lease and leaves

    bench.bedrock.on_create = cancelling
    bench.wait(hours=1)
    model_timer(bench)
    assert bench.job(job).status == "Cancelled"
    assert (bench.slots.holders, bench.slots.refused) == ({}, {})


def test_a_refused_job_is_not_taken_when_the_limit_was_lowered() -> None:  # R27
    bench = Bench(limit=2)
    started(bench, "v1")
    bench.bedrock.script = [QUOTA]
    refused = started(bench, "v2")
    bench.set_limit(1)
    model_timer(bench)
    foreign_end(bench)
    assert bench.job(refused).status == "Held"
    assert len(bench.bedrock.jobs) == 1


def test_a_cancelled_refused_job_leaves_and_is_never_created() -> None:
    bench = Bench()
    bench.bedrock.script = [QUOTA]
    job = started(bench)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, job)
    assert (bench.job(job).status, bench.slots.refused) == ("Cancelled", {})


def test_one_bad_job_does_not_stop_its_model() -> None:  # R23 R29
    bench = Bench(limit=1)

    def picky(request: Request) -> None:
        bad_name = attempt_name(DEPLOYMENT, bad, 1)
        bench.bedrock.script = [QUOTA if request.name == bad_name else ACCEPT]

    bad = bench.upload("bad")
    bench.bedrock.on_create = picky
    see(bench, bad)
    good = [started(bench, f"g{n}") for n in range(MAX_PASSED + 2)]
    for _ in range(12):
        bench.wait(hours=1)
        model_timer(bench)
        for which, job in list(bench.bedrock.jobs.items()):
            if job.status == "Submitted":
                bench.bedrock.turn(which, "Completed")
                name = job.name.split("-")
                report(bench, name[1], "Completed", attempt=int(name[2]), which=which)
    assert [bench.job(job).status for job in good] == ["Completed"] * len(good)
    assert bench.job(bad).status == "Failed"
    assert "while other jobs were taken" in bench.job(bad).reason


def test_however_many_bad_jobs_each_job_has_its_turn_beside_them() -> None:  # R29, found by simulation
    bench = Bench(limit=1)
    bad = {bench.upload(f"bad{n}", priority=0) for n in range(3)}

    def picky(request: Request) -> None:
        bench.bedrock.script = [QUOTA if request.name.split("-")[1] in bad else ACCEPT]

    bench.bedrock.on_create = picky
    for job in bad:
        see(bench, job)
    good = started(bench, "good")
    for _ in range(4 * len(bad)):
        bench.wait(hours=1)
        model_timer(bench)
    assert bench.job(good).status == "Submitted"


def test_a_job_that_is_taken_beside_a_refused_one_lets_the_filling_go_on() -> None:  # P4, found by simulation
    bench = Bench(limit=4)
    bad = bench.upload("bad")

    def picky(request: Request) -> None:
        bench.bedrock.script = [QUOTA if request.name == attempt_name(DEPLOYMENT, bad, 1) else ACCEPT]

    bench.bedrock.on_create = picky
    see(bench, bad)
    good = [started(bench, f"g{n}") for n in range(5)]
    for _ in range(2):
        bench.wait(hours=1)
        model_timer(bench)
    assert [bench.job(job).status for job in good].count("Submitted") == 4
    assert bench.slots.refused[holder(bad, 1)].passed == 1


def test_the_second_probe_ends_the_fill() -> None:  # R29: going back to fill would be a hot loop
    bench = Bench(limit=3)
    bench.bedrock.script = [QUOTA] * 99
    for number in range(5):
        started(bench, f"v{number}")
    for _ in range(3):
        bench.wait(hours=1)
        before = len(bench.bedrock.creates)
        model_timer(bench)
        assert len(bench.bedrock.creates) - before <= 2


def test_a_job_refused_for_a_week_ends_with_the_reason() -> None:
    bench = Bench()
    bench.bedrock.script = [QUOTA] * 99
    job = started(bench)
    for _ in range(8):
        bench.wait(days=1)
        model_timer(bench)
    assert bench.job(job).status == "Failed"
    assert "7 days" in bench.job(job).reason
    assert bench.slots.refused == {}


def test_a_permanent_refusal_ends_the_job_and_the_next_is_served() -> None:
    bench = Bench()
    bench.bedrock.script = [Invalid("ValidationException: no such model")]
    first, second = bench.upload("v1"), bench.upload("v2")
    bench.wait(seconds=1)
    see(bench, first)
    see(bench, second)
    assert (bench.job(first).status, bench.job(second).status) == ("Failed", "Submitted")
    assert bench.job(first).reason.startswith("ValidationException")


def test_a_give_up_that_was_done_but_looked_failed_does_not_create_again() -> None:  # R31
    bench = Bench()
    bench.bedrock.script = [QUOTA]
    job = bench.upload()
    plain = bench.tables.write

    def lossy(writes: list[Write]) -> None:
        plain(writes)
        if bench.slots.refused:  # the giving up was done; its answer is lost, and another invocation takes the holder
            bench.tables.write = plain  # type: ignore[method-assign] # once
            lease = replace(bench.slots.refused[holder(job, 1)], kind="quota")
            theirs = leased("somebody else", bench.time + bench.config.lease, bench.time, lease)
            bench.store.commit(p.taken(MODEL, holder(job, 1), theirs))
            raise ConditionFailed("met itself")

    bench.tables.write = lossy  # type: ignore[method-assign,assignment] # the lost answer
    see(bench, job)
    assert len(bench.bedrock.creates) == 1
    assert bench.slots.holders[holder(job, 1)].owner == "somebody else"


def test_an_event_that_comes_between_reading_and_recording_does_not_lose_the_answer() -> None:  # R25
    bench = Bench()
    job = bench.upload()
    plain, once = bench.tables.before_commit, [True]

    def recording(writes: object) -> None:
        if bench.bedrock.creates and once.pop() if once else False:
            bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))

    bench.tables.before_commit = recording
    see(bench, job)
    bench.tables.before_commit = plain
    assert bench.history(job)[2:4] == ["cancel-requested", "job-submitted"]


def test_a_lease_is_armed_before_it_is_taken_or_taken_over() -> None:  # R11
    bench = Bench()
    bench.bedrock.script = [QUOTA, Unknown("x"), Unknown("x")]
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
        assert bench.timers.due(f"{job}-1")[0] > bench.slots.holders[holder(job, 1)].until


def test_an_unknown_answer_ends_the_fill() -> None:  # R6
    bench = Bench(limit=0)
    bench.bedrock.script = [Unknown("ReadTimeout")]
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.set_limit(3)
    see(bench, first)
    assert len(bench.bedrock.creates) == 1
    see(bench, second)
    assert bench.job(second).status == "Submitted"


# --- capacity, limits, pauses


def test_a_raised_limit_is_used_without_an_outside_event() -> None:
    bench = Bench(limit=1)
    jobs = [started(bench, f"v{n}") for n in range(3)]
    wake(bench.world(), limits={MODEL: 3})
    assert [bench.job(job).status for job in jobs] == ["Submitted"] * 3


def test_the_same_limit_said_again_is_no_event() -> None:
    bench = Bench(limit=-1)
    for _ in range(3):
        wake(bench.world(), limits={MODEL: 2})
    assert len(bench.store.load(model_stream(MODEL))) == 1
    assert bench.slots.limit == 2


def test_a_limit_of_zero_is_set_like_any_other() -> None:
    bench = Bench(limit=-1)
    wake(bench.world(), limits={MODEL: 0})
    assert (bench.slots.limit, len(bench.store.load(model_stream(MODEL)))) == (0, 1)


def test_a_stale_reading_of_the_models_events_never_overwrites_a_newer() -> None:  # R34
    bench = Bench(limit=1)
    bench.store.append_to_model(MODEL, 2, e.LimitSet(at=bench.time, limit=5))

    def meanwhile(_: object) -> None:
        bench.tables.before_commit = lambda _: None
        bench.store.append_to_model(MODEL, 3, e.LimitSet(at=bench.time, limit=1))
        reconcile_model(bench.world(), MODEL)

    bench.tables.before_commit = meanwhile
    reconcile_model(bench.world(), MODEL)
    assert (bench.slots.limit, bench.slots.model_version) == (1, 3)


def test_a_slots_item_that_is_lost_is_never_made_anew_by_a_hint() -> None:  # P1: it would be empty, and its jobs alive
    bench = Bench()
    job = started(bench)
    bench.tables.write([Delete(SlotsRow(pk=f"slots#{MODEL}", sk="slots"))])
    started(bench, "v2")
    with pytest.raises(ExceptionGroup):
        wake(bench.world(), MODEL)
    with pytest.raises(ExceptionGroup):
        wake(bench.world(), MODEL, {MODEL: 5})
    assert bench.store.slots(MODEL) is None
    assert [create.name for create in bench.bedrock.creates] == [attempt_name(DEPLOYMENT, job, 1)]


def test_a_paused_model_starts_nothing_and_a_resume_starts_at_once() -> None:  # R19
    bench = Bench()
    bench.store.append_to_model(MODEL, 2, e.ModelPaused(at=bench.time, by="ann", why=""))
    reconcile_model(bench.world(), MODEL)
    job = started(bench)
    assert bench.job(job).status == "Queued"
    bench.store.append_to_model(MODEL, 3, e.ModelResumed(at=bench.time, by="ann", why=""))
    reconcile_model(bench.world(), MODEL)
    assert bench.job(job).status == "Submitted"


def test_a_job_that_comes_before_the_first_limit_waits_for_it() -> None:
    bench = Bench(limit=-1)
    job = started(bench)
    assert bench.job(job).status == "Queued"
    wake(bench.world(), limits={MODEL: 1})
    assert bench.job(job).status == "Submitted"


def test_fill_takes_them_in_order_of_priority_then_time() -> None:
    bench = Bench(limit=0)
    jobs = []
    for version, priority in [("a", 5), ("b", 9), ("c", 0), ("d", 5)]:
        jobs.append(bench.upload(version, priority=priority))
        see(bench, jobs[-1])
        bench.wait(seconds=1)
    bench.set_limit(4)
    fill(bench.world(), MODEL, probe=True)
    names = [create.name for create in bench.bedrock.creates]
    assert names == [attempt_name(DEPLOYMENT, jobs[n], 1) for n in (2, 0, 3, 1)]


def test_a_head_that_cannot_be_read_is_skipped_and_gets_a_hint_of_its_own() -> None:  # R37
    bench = Bench(limit=0)
    bad, good = started(bench, "v1"), None
    bench.wait(seconds=1)
    good = started(bench, "v2")
    row = EventRow(stream=job_stream(bad), version=2, name="from-the-future", schema=1, at="x", data={})
    bench.store.commit([Put(row)])
    bench.set_limit(1)
    fill(bench.world(), MODEL, probe=True)
    assert bench.job(good).status == "Submitted"
    (due,) = bench.timers.due(f"{bad}-0")
    assert timedelta(minutes=1) <= due - bench.time <= timedelta(hours=1)


def unreadable(bench: Bench, job: str, version: int = 2) -> None:
    """An event of a newer deployment."""
    at = "2026-11-23T12:00:00.000000Z"
    bench.store.commit([Put(EventRow(stream=job, version=version, name="job-annotated", schema=1, at=at, data={}))])


def test_many_jobs_that_cannot_be_read_neither_stop_the_model_nor_multiply_hints() -> None:  # P6 P7
    bench = Bench(limit=0)
    for number in range(15):
        unreadable(bench, job_stream(started(bench, f"u{number}")))
        bench.wait(seconds=1)
    good = started(bench, "good")
    for _ in range(9):
        fill(bench.world(), MODEL, probe=True)
    bench.set_limit(1)
    for _ in range(9):
        fill(bench.world(), MODEL, probe=True)
    assert bench.job(good).status == "Submitted"
    assert bench.outbox.sent == []
    assert len([whose for whose, _ in bench.timers.armed if whose.endswith("-0")]) == 15


def test_one_model_that_fails_does_not_starve_the_others() -> None:  # P7
    models = {"aaa": Model(alias="aaa", model_id="x.a", limit=1), MODEL: Model(alias=MODEL, model_id=MODEL_ID, limit=1)}
    bench = Bench(limit=0, config=config(models=models))
    unreadable(bench, model_stream("aaa"), version=1)
    job = started(bench)
    with pytest.raises(ExceptionGroup):
        wake(bench.world(), limits={"aaa": 1, MODEL: 1})
    assert bench.job(job).status == "Submitted"


def test_a_fill_without_time_leaves_a_hint_behind() -> None:
    bench = Bench()
    job = bench.upload()
    bench.left = 20
    see(bench, job)
    assert bench.bedrock.creates == []
    assert bench.outbox.sent == [("model", MODEL)]
    assert bench.store.line(MODEL, 9) == [job]


def test_a_fill_that_always_loses_fails_its_message_so_that_it_comes_back() -> None:  # R26
    bench = Bench()
    job = bench.upload()

    def taken(writes: list[Write]) -> None:
        if any(isinstance(write.row, SlotsRow) for write in writes):
            raise ConditionFailed("somebody was faster")

    bench.tables.before_commit = taken  # type: ignore[assignment] # a list is a sequence
    with pytest.raises(Contended):
        see(bench, job)
    assert bench.store.line(MODEL, 9) == [job]


def test_ends_that_never_stop_coming_do_not_keep_a_refused_job_in_its_slot() -> None:
    bench = Bench()
    job = bench.upload()
    bench.bedrock.script = [QUOTA] * 99
    bench.bedrock.on_create = lambda _: bench.store.commit(p.foreign_end(MODEL))
    see(bench, job)
    assert (bench.job(job).status, bench.slots.holders) == ("Held", {})
    assert len(bench.bedrock.creates) == MAX_CREATES


# --- attempts, cancels, strangers


def test_a_job_that_expired_unprocessed_is_queued_again_in_its_old_place() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.bedrock.jobs[arn(1)] = replace(bench.bedrock.jobs[arn(1)], processed_records=0)
    report(bench, first, "Expired")
    assert bench.job(second).status == "Submitted"
    assert (bench.job(first).status, bench.store.line(MODEL, 9)) == ("Queued", [first])
    report(bench, second, "Completed", which=arn(2))
    assert (bench.job(first).status, bench.job(first).attempt) == ("Submitted", 2)
    assert bench.bedrock.creates[-1].name == attempt_name(DEPLOYMENT, first, 2)


def test_a_job_that_expired_after_buying_something_is_not_bought_again() -> None:
    bench = Bench()
    job = started(bench)
    bench.bedrock.jobs[arn(1)] = replace(bench.bedrock.jobs[arn(1)], processed_records=3)
    report(bench, job, "Expired")
    assert bench.job(job).status == "Expired"


def test_a_late_end_of_attempt_one_does_not_touch_attempt_two() -> None:  # R7 R9
    bench = Bench()
    job = started(bench)
    bench.bedrock.jobs[arn(1)] = replace(bench.bedrock.jobs[arn(1)], processed_records=0)
    report(bench, job, "Expired")
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 2)
    report(bench, job, "Completed", attempt=1)
    report(bench, job, "Completed", attempt=2, which=arn(1))
    assert bench.job(job).status == "Submitted"
    assert list(bench.slots.holders) == [holder(job, 2)]


def test_an_end_that_was_about_attempt_one_is_not_taken_for_attempt_two_in_the_same_visit() -> None:  # R9, found by simulation
    bench = Bench()
    job = started(bench)
    bench.results.manifests[arn(1)] = {"totalRecordCount": 100, "processedRecordCount": 0}
    faster = iter([True])

    def another_does_it_all(writes: Sequence[Write]) -> None:
        if any(isinstance(w.row, EventRow) and w.row.name == "job-tallied" for w in writes):
            for _ in faster:
                see(bench, job)  # tally, requeue, claim and Create of attempt 2

    bench.tables.before_commit = another_does_it_all
    report(bench, job, "Expired")
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 2)
    assert bench.slots.holders[holder(job, 2)].submitted


def test_an_expired_job_whose_model_is_not_configured_waits_in_line_for_it() -> None:  # found by simulation
    bench = Bench()
    job = started(bench)
    bench.results.manifests[arn(1)] = {"totalRecordCount": 100, "processedRecordCount": 0}
    bench.config = config(models={})
    report(bench, job, "Expired")
    assert bench.job(job).status == "Queued"
    bench.config = config()
    wake(bench.world(), MODEL)
    assert bench.job(job).status == "Submitted"


def test_a_waiting_job_is_cancelled_without_ever_reaching_bedrock() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.append(second, e.CancelRequested(at=bench.time, by="ann", why="not needed"))
    see(bench, second)
    report(bench, first, "Completed")
    assert (bench.job(second).status, bench.job(second).reason) == ("Cancelled", "cancelled by ann: not needed")
    assert len(bench.bedrock.creates) == 1


def test_a_cancel_of_a_job_that_has_just_ended_records_the_end() -> None:
    bench = Bench()
    job = started(bench)
    bench.bedrock.turn(arn(1), "Completed")
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, job)
    assert bench.job(job).status == "Completed"


def test_forged_and_foreign_reports_change_nothing() -> None:
    bench = Bench()
    job = started(bench)
    before = len(bench.tables.log)
    report(bench, job, "Completed", which=arn(77))
    report(bench, job, "Completed", attempt=7)
    report(bench, "a" * 26, "Completed")
    foreign_end(bench)
    assert (bench.job(job).status, len(bench.tables.log)) == ("Submitted", before)


def test_hints_for_unknown_jobs_and_models_change_nothing() -> None:
    bench = Bench()
    see(bench, "a" * 26, look=True)
    fill(bench.world(), "unknown", probe=True)
    assert bench.bedrock.creates == []


def test_two_fills_at_once_never_exceed_the_limit() -> None:
    bench = Bench(limit=2)
    for number in range(6):
        bench.upload(f"v{number}")
    bench.bedrock.on_create = lambda _: fill(bench.world(), MODEL, probe=True)
    for number in range(6):
        see(bench, bench.upload_id(f"v{number}"))
    assert len(bench.slots.holders) == len(bench.bedrock.jobs) == 2
