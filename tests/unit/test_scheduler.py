"""The scheduler's rules, one sentence a test, on the in-memory store. R1-R50: see
docs/simulation.md.

What Bedrock refuses: test_refusals.py; what fails: test_failing.py; what is looked up:
test_lookup.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from unittest.mock import Mock

import pytest

from bbq.services.scheduler.bedrock import Accepted, NotYetKnown, Request, Unknown
from bbq.services.scheduler.fill import fill
from bbq.services.scheduler.wake import reconcile_model, wake
from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.due import lease_due
from bbq.shared.models import Model
from bbq.shared.names import attempt_name, holder, job_stream, model_stream
from bbq.shared.tables import (
    ConditionFailed,
    Contended,
    CountRow,
    Delete,
    EventRow,
    LineRow,
    Put,
    Row,
    SlotsRow,
    ViewRow,
    Write,
)
from tests.support.driving import (
    counts_are_sure,
    ended,
    fire_next,
    foreign_end,
    let_pass,
    report,
    see,
    started,
)
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import DEPLOYMENT, Bench, FakeBedrock, arn, config

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
        "totalRecordCount": 100,
        "processedRecordCount": 100,
        "successRecordCount": 0,
        "errorRecordCount": 100,
        "inputTokenCount": 5,
        "outputTokenCount": 7,
    }
    report(bench, job, "Completed")
    tally = bench.job(job).tally
    assert tally is not None
    assert (tally.succeeded_records, tally.failed_records, tally.output_tokens) == (0, 100, 7)
    view = bench.tables.get(ViewRow, rows.view_pk(job), "view")
    assert view
    assert (view.status, view.outcome) == ("Completed", "NoRecordSucceeded")


def test_without_a_manifest_the_counts_come_from_get() -> None:
    bench = Bench()
    job = started(bench)
    bench.bedrock.jobs[arn(1)] = replace(
        bench.bedrock.jobs[arn(1)], total_records=9, processed_records=3
    )
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
    assert (bench.history(job), len(bench.bedrock.creates), len(bench.tables.log)) == (
        events,
        creates,
        log,
    )


def test_the_view_is_the_fold_after_every_step() -> None:
    bench = Bench()
    job = started(bench)
    for status in ("Validating", "InProgress", "Completed"):
        report(bench, job, status)
        stored = bench.tables.get(ViewRow, rows.view_pk(job), "view")
        assert stored
        assert stored.to_dynamodb_dict() == rows.view_row(bench.job(job)).to_dynamodb_dict()


def test_a_rejected_upload_becomes_a_view_a_person_can_read() -> None:
    bench = Bench()
    problem = e.Problem(line=3, text="not JSON")
    source = e.Source(bucket="b", key="k", version_id="1", etag="", sequencer="", size_bytes=3)
    event = e.JobRejected(
        at=bench.time,
        model=MODEL,
        sources=(source,),
        problems=(problem,),
        problem_count=1,
        size_bytes=3,
    )
    bench.store.append("x", None, event)
    see(bench, "x")
    view = bench.tables.get(ViewRow, rows.view_pk("x"), "view")
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
    assert [call.args[0] for call in load.call_args_list] == [job_stream(job)]
    report(bench, job, "Completed")
    # the last after the slot was filled
    assert [call.args[0] for call in load.call_args_list] == [job_stream(job)] * 3
    assert bench.job(job).tally is not None


def test_a_new_job_is_read_once_before_it_is_claimed_and_once_for_the_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    job = bench.upload()
    load = Mock(wraps=bench.store.load)
    monkeypatch.setattr(bench.store, "load", load)
    see(bench, job)
    # Create's answer is recorded without
    assert [call.args[0] for call in load.call_args_list] == [job_stream(job)] * 2
    assert bench.history(job) == ["job-queued", "slot-claimed", "job-submitted"]


# the stream brings no ends
def test_an_end_whose_fill_was_cut_off_is_filled_and_tallied_by_the_same_message() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    job = bench.job(first)
    end = e.JobEnded(at=bench.time, attempt=1, status="Completed", message="", arn=arn(1))
    bench.store.commit(p.ended(job, end, holder(first, 1), bench.slots))
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
        fill(bench.world(), MODEL)

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
    assert bench.history(job)[:4] == [
        "job-queued",
        "slot-claimed",
        "cancel-requested",
        "job-submitted",
    ]
    assert list(bench.slots.holders) == [holder(job, 1)]
    see(bench, job)
    assert bench.bedrock.stopped == [arn(1)]
    report(bench, job, "Stopped")
    assert (bench.job(job).status, bench.slots.holders) == ("Stopped", {})


# R31's sister: "failed" with me as owner
def test_a_claim_whose_answer_was_lost_is_won_by_its_owner() -> None:
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
    wake(bench.world(), MODEL)
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
    let_pass(bench, hours=2)
    bench.bedrock.turn(arn(1), "Completed")  # and its event is lost
    let_pass(bench, hours=2)
    assert bench.job(second).status == "Submitted"


def test_a_cancel_of_a_job_that_neither_stop_nor_get_knows_yet_comes_back() -> None:
    bench = Bench()
    job = started(bench)
    hidden = bench.bedrock.jobs.pop(arn(1))
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    with pytest.raises(NotYetKnown):  # the message comes back, later each time
        see(bench, job)
    bench.bedrock.jobs[arn(1)] = hidden
    see(bench, job)
    assert bench.job(job).status == "Stopping"


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
    while bench.job(good).status == "Queued":
        assert fire_next(bench, start + timedelta(hours=1))


def test_a_cancel_during_an_accepted_create_is_carried_out() -> None:
    bench = Bench()
    job = bench.upload()

    def cancelling(_: Request) -> None:
        bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
        see(bench, job)  # meets the lease and leaves

    bench.bedrock.on_create = cancelling
    see(bench, job)
    assert bench.outbox.sent == [("job", job)]


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


# P1: it would be empty, and its jobs alive
def test_a_slots_item_that_is_lost_is_never_made_anew_by_a_hint() -> None:
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
    fill(bench.world(), MODEL)
    names = [create.name for create in bench.bedrock.creates]
    assert names == [attempt_name(DEPLOYMENT, jobs[n], 1) for n in (2, 0, 3, 1)]


def test_a_head_that_cannot_be_read_is_skipped_and_gets_a_hint_of_its_own() -> None:  # R37
    bench = Bench(limit=0)
    bad, good = started(bench, "v1"), None
    bench.wait(seconds=1)
    good = started(bench, "v2")
    row = EventRow(
        stream=job_stream(bad), version=2, name="from-the-future", schema=1, at="x", data={}
    )
    bench.store.commit([Put(row)])
    bench.set_limit(1)
    fill(bench.world(), MODEL)
    assert bench.job(good).status == "Submitted"
    (due,) = bench.timers.due(f"{bad}-0")
    assert timedelta(minutes=1) <= due - bench.time <= timedelta(hours=1)


def unreadable(bench: Bench, job: str, version: int = 2) -> None:
    """An event of a newer deployment."""
    at = "2026-11-23T12:00:00.000000Z"
    bench.store.commit(
        [Put(EventRow(stream=job, version=version, name="job-annotated", schema=1, at=at, data={}))]
    )


def test_many_jobs_that_cannot_be_read_neither_stop_the_model_nor_multiply_hints() -> None:  # P6 P7
    bench = Bench(limit=0)
    for number in range(15):
        unreadable(bench, job_stream(started(bench, f"u{number}")))
        bench.wait(seconds=1)
    good = started(bench, "good")
    for _ in range(9):
        fill(bench.world(), MODEL)
    bench.set_limit(1)
    for _ in range(9):
        fill(bench.world(), MODEL)
    assert bench.job(good).status == "Submitted"
    assert bench.outbox.sent == []
    assert len([whose for whose, _ in bench.timers.armed if whose.endswith("-0")]) == 15


def test_one_model_that_fails_does_not_starve_the_others() -> None:  # P7
    models = {
        "aaa": Model(alias="aaa", model_id="x.a", limit=1),
        MODEL: Model(alias=MODEL, model_id=MODEL_ID, limit=1),
    }
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


# --- an end is recorded before anybody else is looked at


def no_timers(job: str, attempt: int, due: datetime) -> None:
    raise OSError(f"no timers for {job}-{attempt} at {due}")


def test_an_end_that_another_recorded_just_then_is_not_recorded_again() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    once = [True]

    def meanwhile(writes: Sequence[Write]) -> None:
        if once and any(
            isinstance(write.row, EventRow) and write.row.name == "job-ended" for write in writes
        ):
            once.clear()
            ended(bench, first)

    bench.tables.before_commit = meanwhile
    ended(bench, first)
    assert once == []
    assert bench.history(first).count("job-ended") == 1
    assert bench.slots.ends == 1
    assert [create.name.split("-")[1] for create in bench.bedrock.creates] == [first, second]


@pytest.mark.parametrize("row", [LineRow, CountRow])
@pytest.mark.parametrize(
    "error", [Contended("a burst meets itself"), RuntimeError("ValidationError")]
)
@pytest.mark.parametrize("how", ["event", "timer", "adopted", "taken over"])
def test_a_row_of_the_next_in_line_that_is_stuck_holds_up_no_end(
    how: str, row: type[Row], error: Exception
) -> None:
    """L1, P7: however the end is learned of. Of an adoption and a take-over found by simulation."""
    bench = Bench(bedrock=_silent() if how in {"adopted", "taken over"} else FakeBedrock())
    first, second = started(bench, "v1"), started(bench, "v2")
    made = (
        bench.bedrock.take(attempt_name(DEPLOYMENT, first, 1)) if not bench.bedrock.jobs else arn(1)
    )
    bench.bedrock.turn(made, "Completed")
    if how == "taken over":
        bench.wait(seconds=bench.config.lease.total_seconds() + 1)

    def broken(writes: Sequence[Write]) -> None:
        if any(isinstance(write.row, row) for write in writes):
            raise error

    bench.tables.before_commit = broken
    with pytest.raises(type(error)):
        report(bench, first, "Completed", which=made) if how in {"event", "adopted"} else see(
            bench, first, look=True
        )
    assert (bench.job(first).status, bench.job(second).status, list(bench.slots.holders)) == (
        "Completed",
        "Queued",
        [],
    )


def test_a_fill_that_fails_after_an_end_leaves_a_hint_of_its_own_once() -> None:
    """The message of the end may have failed often already, and come back in an hour only."""
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    works, bench.timers.arm_attempt = bench.timers.arm_attempt, no_timers  # type: ignore[method-assign] # for a while
    for _ in range(3):
        with pytest.raises(OSError, match="no timers"):
            ended(bench, first)
    assert (bench.job(first).status, bench.slots.holders) == ("Completed", {})
    assert bench.outbox.sent == [("model", MODEL)]
    bench.timers.arm_attempt = works  # type: ignore[method-assign] # again
    wake(bench.world(), MODEL)
    assert bench.job(second).status == "Submitted"


@pytest.mark.parametrize("change", ["limit", "pause"])
# R19 R27
def test_a_limit_lowered_or_a_pause_beside_an_end_keeps_the_next_in_line(change: str) -> None:
    bench = Bench(limit=2)
    first, _, third = (started(bench, version) for version in ("v1", "v2", "v3"))

    def meanwhile(writes: Sequence[Write]) -> None:
        if any(
            isinstance(write.row, EventRow) and write.row.name == "slot-claimed" for write in writes
        ):
            bench.tables.before_commit = lambda _: None
            now = replace(
                bench.slots,
                limit=1 if change == "limit" else 2,
                paused=change == "pause",
                model_version=2,
            )
            bench.store.commit(p.model_changed(bench.slots, now, resumed=False))

    bench.tables.before_commit = meanwhile
    ended(bench, first)
    assert (bench.job(first).status, bench.job(third).status, len(bench.slots.holders)) == (
        "Completed",
        "Queued",
        1,
    )


# --- attempts, cancels, strangers


def test_a_job_that_expired_unprocessed_is_queued_again_in_its_old_place() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.bedrock.turn(arn(1), "Expired", processed=0)
    report(bench, first, "Expired")
    assert bench.job(second).status == "Submitted"
    counts_are_sure(bench, first)
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
    bench.bedrock.turn(arn(1), "Expired", processed=0)
    report(bench, job, "Expired")
    counts_are_sure(bench, job)
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 2)
    report(bench, job, "Completed", attempt=1)
    report(bench, job, "Completed", attempt=2, which=arn(1))
    assert bench.job(job).status == "Submitted"
    assert list(bench.slots.holders) == [holder(job, 2)]


# R9, found by simulation
def test_an_end_that_was_about_attempt_one_is_not_taken_for_attempt_two_in_the_same_visit() -> None:
    bench = Bench()
    job = started(bench)
    bench.bedrock.turn(arn(1), "Expired", processed=0)
    faster = iter([True])

    def another_does_it_all(writes: Sequence[Write]) -> None:
        if any(isinstance(w.row, EventRow) and w.row.name == "job-requeued" for w in writes):
            for _ in faster:
                see(bench, job)  # requeue, claim and Create of attempt 2

    report(bench, job, "Expired")
    bench.tables.before_commit = another_does_it_all
    bench.wait(minutes=4)  # its counts are sure
    report(bench, job, "Expired")
    assert (bench.job(job).status, bench.job(job).attempt) == ("Submitted", 2)
    assert bench.slots.holders[holder(job, 2)].submitted


# found by simulation
def test_an_expired_job_whose_model_is_not_configured_waits_in_line_for_it() -> None:
    bench = Bench()
    job = started(bench)
    bench.bedrock.turn(arn(1), "Expired", processed=0)
    bench.config = config(models={})
    report(bench, job, "Expired")
    counts_are_sure(bench, job)
    assert bench.job(job).status == "Queued"
    bench.config = config()
    wake(bench.world(), MODEL)
    assert bench.job(job).status == "Submitted"


# seed 67005175
def test_who_began_before_a_model_came_back_and_frees_its_slot_leaves_a_hint() -> None:
    bench = Bench(limit=1)
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.bedrock.turn(arn(1), "Completed")
    bench.config = config(models={})
    report(bench, first, "Completed")
    bench.config = config()
    assert bench.job(second).status == "Queued"
    assert ("model", MODEL) in bench.outbox.sent
    wake(bench.world(), MODEL)
    assert bench.job(second).status == "Submitted"
    bench.outbox.sent.clear()
    bench.config = config(models={})
    wake(bench.world(), MODEL)  # that hint, if the model is gone for good, leaves no other
    assert not bench.outbox.sent


def test_a_waiting_job_is_cancelled_without_ever_reaching_bedrock() -> None:
    bench = Bench()
    first, second = started(bench, "v1"), started(bench, "v2")
    bench.append(second, e.CancelRequested(at=bench.time, by="ann", why="not needed"))
    see(bench, second)
    report(bench, first, "Completed")
    assert (bench.job(second).status, bench.job(second).reason) == (
        "Cancelled",
        "cancelled by ann: not needed",
    )
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
    fill(bench.world(), "unknown")
    assert bench.bedrock.creates == []


def test_two_fills_at_once_never_exceed_the_limit() -> None:
    bench = Bench(limit=2)
    for number in range(6):
        bench.upload(f"v{number}")
    bench.bedrock.on_create = lambda _: fill(bench.world(), MODEL)
    for number in range(6):
        see(bench, bench.upload_id(f"v{number}"))
    assert len(bench.slots.holders) == len(bench.bedrock.jobs) == 2


def test_a_cancel_that_another_event_overtook_is_carried_out_all_the_same() -> None:  # 84001489
    bench = Bench(limit=0)
    job = started(bench)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why="wrong file"))

    def another_is_faster(writes: Sequence[Write]) -> None:
        if "job-cancelled" in repr([getattr(write.row, "name", "") for write in writes]):
            bench.tables.before_commit = lambda _: None
            bench.append(job, e.PriorityChanged(at=bench.time, priority=0, by="bob", why=""))

    bench.tables.before_commit = another_is_faster
    see(bench, job)
    assert bench.job(job).status == "Cancelled"
    assert bench.store.line(MODEL, 9) == []
