"""Interleavings with which a review broke a promise (2026-11-28), one test each."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bbq.cli import decisions
from bbq.cli.expected import rebuilt_slots, slots_from_events
from bbq.services.scheduler.bedrock import Refused, Request, Unknown
from bbq.shared import appends, rows
from bbq.shared import events as e
from bbq.shared.events import UnknownEvent
from bbq.shared.hold import FAILING, INVALID, Hold
from bbq.shared.models import Model
from bbq.shared.names import attempt_name, job_stream, model_stream
from bbq.shared.plain import text_of
from bbq.shared.slots import fold_model
from bbq.shared.tables import Delete, EventRow, LineRow, Put, SlotsRow, Write
from tests.simulation.stage import Stage
from tests.support.driving import (
    counts_are_sure,
    ended,
    fire_next,
    let_pass,
    operator_says,
    report,
    see,
    started,
    wake,
)
from tests.support.samples import MODEL, MODEL_ID, T0, id_of, queued
from tests.support.world import DEPLOYMENT, Bench, FakeBedrock, arn, config

NO_ACCESS = (
    "Could not validate GetObject permissions to access Amazon S3 bucket: x with file name: y. "
    "Please try again."
)
NOT_SUPPORTED = Refused(
    INVALID, "ValidationException: Batch inference is not supported for the requested model."
)


def fails(bench: Bench, job: str, message: str = NO_ACCESS) -> None:
    ended(bench, job, "Failed", message, processed=0, total=0)


def test_jobs_that_were_taken_before_the_role_broke_do_not_convict_an_innocent_one() -> None:
    bench = Bench(limit=4)
    # at Bedrock, validated: they run for hours and will end well
    old = [started(bench, f"old{n}") for n in range(3)]
    bench.wait(minutes=30)
    # now the role has lost s3:GetObject: everything new fails in Validating
    innocent = started(bench, "innocent")
    for n in range(3):
        for _ in range(3):
            if bench.job(innocent).status == "Submitted":
                fails(bench, innocent)
                counts_are_sure(bench, innocent)
        ended(bench, old[n], processed=100)
        let_pass(bench, minutes=61)
    if bench.job(innocent).status == "Submitted":
        fails(bench, innocent)
        counts_are_sure(bench, innocent)
    assert bench.job(innocent).status in {"Queued", "Submitted"}, bench.job(innocent)


def test_acceptances_from_before_a_fault_that_are_recorded_after_it_do_not_convict() -> None:
    bench = Bench(limit=4)

    def takes(request: Request) -> None:
        bench.bedrock.take(request.name)

    bench.bedrock.on_create = takes
    bench.bedrock.script = [Unknown("503")] * 3
    for n in range(3):  # Bedrock has them, and their answers were lost
        started(bench, f"u{n}")
        bench.wait(minutes=1)
    bench.bedrock.on_create = lambda _: None
    bench.bedrock.otherwise = NOT_SUPPORTED  # the account loses batch: no job is taken any more
    innocent = started(bench, "innocent")
    let_pass(bench, minutes=30)
    assert bench.job(innocent).status == "Queued", bench.job(innocent).reason


@pytest.mark.parametrize("what", ["list fails", "get is behind"])
def test_a_cancel_during_a_look_up_that_failed_does_not_free_the_slot_of_a_live_job(
    what: str,
) -> None:
    bench = Bench(bedrock=FakeBedrock(script=[Unknown("ReadTimeout")]))
    job = started(bench)
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, job, 1))
    bench.bedrock.unlisted = {made}  # List is behind
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)
    assert bench.job(job).status == "Queued"
    bench.wait(hours=1)
    bench.bedrock.unlisted = set()
    if what == "list fails":
        plain = bench.bedrock.named

        def broken(*_: object) -> list[object]:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "ListModelInvocationJobs")

        bench.bedrock.named = broken  # type: ignore[assignment,method-assign]
    else:
        bench.bedrock.unknown = {made}
    once = [True]

    def meanwhile(writes: Sequence[Write]) -> None:
        if once and any(
            isinstance(w.row, EventRow) and w.row.name == "submission-refused" for w in writes
        ):
            once.clear()
            bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))

    bench.tables.before_commit = meanwhile
    see(bench, job)
    bench.bedrock.unknown = set()
    if what == "list fails":
        bench.bedrock.named = plain  # type: ignore[method-assign]
    let_pass(bench, hours=2)
    alive = bench.bedrock.jobs[made].status not in {"Stopped", "Completed", "Failed", "Expired"}
    assert bench.job(job).status != "Cancelled" or not alive or bench.bedrock.stopped == [made]


def test_two_walking_holds_give_every_job_its_turn() -> None:
    bench = Bench(limit=0)
    jobs = []
    for n in range(2):
        jobs.append(started(bench, f"v{n}"))
        bench.wait(seconds=1)
    bench.bedrock.otherwise = NOT_SUPPORTED
    bench.set_limit(1)
    slots = bench.slots
    kind = {"since": bench.time, "until": bench.time, "ends": slots.ends, "message": ""}
    both = replaced(
        slots,
        refused=Hold(kind=INVALID, count=1, **kind),  # type: ignore[arg-type]
        failing=Hold(kind=FAILING, count=2, **kind),  # type: ignore[arg-type]
    )
    bench.store.commit([Put(rows.slots_row(both))])
    wake(bench)
    let_pass(bench, days=2)
    asked = [request.name.split("-")[1] for request in bench.bedrock.creates]
    assert len(asked) > 50
    assert set(asked) == set(jobs)


def test_ten_bad_uploads_of_one_person_do_not_stop_the_model() -> None:
    bench = Bench()
    bad = []
    for number in range(10):
        bad.append(started(bench, f"bad{number}", priority=0))
        bench.wait(seconds=1)
    good = started(bench, "good")  # of somebody else
    end = bench.time + timedelta(days=6)
    while bench.time < end and bench.job(good).status == "Queued":
        for whose in list(bench.slots.holders):
            bench.wait(seconds=100)  # recorded: 36-151 s
            fails(bench, whose.partition("#")[0], "what is in this file cannot be run")
        if not bench.slots.holders:
            fire_next(bench, bench.time + timedelta(hours=1))
    assert bench.job(good).status != "Queued", (len(bench.bedrock.creates), bench.time)


def test_counts_of_an_expired_job_that_come_late_keep_it_from_being_bought_again() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    ended(bench, job, "Expired", processed=0, total=100)  # Get's counts lag
    bench.bedrock.turn(arn(1), "Expired", processed=40, total=100)
    let_pass(bench, hours=1)
    assert len(bench.bedrock.creates) == 1


def test_a_person_can_cancel_a_job_that_is_about_to_come_back() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    ended(bench, job, "Failed", "later", processed=0, total=100)
    decision = decisions.cancel(bench.job(job), at=bench.time, by="ann", why="wrong file")
    if isinstance(decision, decisions.Act):
        bench.append(job, decision.event)
    let_pass(bench, minutes=10)
    assert len(bench.bedrock.creates) == 1, decision


def test_a_cancel_between_end_and_requeue_is_not_forgotten() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    ended(bench, job, "Failed", "later", processed=0, total=100)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why="wrong file"))
    let_pass(bench, minutes=10)
    assert len(bench.bedrock.creates) == 1


OF_A_TALLY = {"NoRecordSucceeded", "CompletedWithErrors", "Failed"}


def told(bench: Bench, job: str) -> list[tuple[str, str]]:
    rows = bench.tables.query(EventRow, job_stream(job))
    return [
        (row.name, row.outcome)
        for row in rows
        if row.name in {"job-ended", "job-tallied", "job-requeued", "cancel-requested"}
    ]


def by_the_documented_filter(bench: Bench, job: str) -> list[str]:
    """docs/events.md: every outcome from job-ended and a cancel, these from job-tallied."""
    return [
        o
        for n, o in told(bench, job)
        if o
        and (
            n in {"job-ended", "cancel-requested"}
            or o in {"NoRecordSucceeded", "CompletedWithErrors", "Failed"}
        )
    ]


@pytest.mark.parametrize("case", ["cancelled", "counts late"])
def test_every_job_that_ends_badly_is_told_to_who_subscribed_as_documented(case: str) -> None:
    bench = Bench()
    job = started(bench)
    if case == "cancelled":
        bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
        fails(bench, job)
    else:
        report(bench, job, "InProgress")
        ended(bench, job, "Failed", "later", processed=0, total=100)
        bench.bedrock.turn(arn(1), "Failed", "later", processed=3, total=100)
    let_pass(bench, hours=1)
    assert bench.job(job).status == "Failed"
    assert by_the_documented_filter(bench, job) == ["Failed"], told(bench, job)


def test_a_tally_of_a_job_that_comes_back_tells_no_end() -> None:
    bench = Bench()
    job = started(bench)
    report(bench, job, "InProgress")
    ended(bench, job, "Failed", "later", processed=0, total=100)
    let_pass(bench, minutes=10)
    assert bench.job(job).status == "Submitted"
    assert [o for _, o in told(bench, job) if o] == [], told(bench, job)


def test_failures_that_had_processed_records_after_all_hold_no_model() -> None:
    bench = Bench(limit=3)
    jobs = [started(bench, f"v{n}") for n in range(3)]
    waiting = started(bench, "next")
    bench.set_limit(3)
    for n, job in enumerate(jobs):
        report(bench, job, "InProgress", which=arn(n + 1))
    bench.set_limit(0)
    for n, job in enumerate(jobs):
        ended(bench, job, "Failed", "internal error", processed=0, total=100)  # counts lag
        bench.bedrock.turn(arn(n + 1), "Failed", "internal error", processed=90, total=100)
    let_pass(bench, minutes=10)
    assert [bench.job(job).tally.processed_records for job in jobs] == [90] * 3  # type: ignore[union-attr]
    assert (bench.slots.failing, bench.slots.failures) == (None, 0), waiting


def test_failures_for_the_roles_reason_use_up_no_attempt_of_an_expiry() -> None:
    bench = Bench()
    job = started(bench)
    for _ in range(3):
        while bench.job(job).status != "Submitted":
            assert fire_next(bench, bench.time + timedelta(hours=1))
        fails(bench, job)
    while bench.job(job).status != "Submitted":
        assert fire_next(bench, bench.time + timedelta(hours=1))
    ended(bench, job, "Expired", processed=0, total=0)  # its first
    counts_are_sure(bench, job)
    assert bench.job(job).status in {"Queued", "Submitted"}


def queue_more(bench: Bench, version: str, records: int) -> str:
    event = replaced(
        queued(version=version, seconds=(bench.time - T0).total_seconds()), record_count=records
    )
    bench.store.append(id_of(version=version), None, event)
    see(bench, id_of(version=version))
    return id_of(version=version)


def test_a_probe_that_does_not_fit_todays_ceiling_does_not_stop_the_head_which_does() -> None:
    model = Model(alias=MODEL, model_id=MODEL_ID, limit=1, max_records=450, max_records_per_day=450)
    bench = Bench(config=config(models={MODEL: model}))
    small = queue_more(bench, "small", 100)
    for _ in range(3):
        fails(bench, small)
        counts_are_sure(bench, small)
    queue_more(bench, "large", 300)
    # the hold is open: its probe is the second in line, and 300 + 300 > 450
    let_pass(bench, minutes=5)
    assert bench.job(small).status != "Queued" or bench.slots.failing is None, bench.timers.due(
        f"model-{MODEL}"
    )


def test_what_is_read_when_a_job_ends_does_not_grow_with_its_refusals() -> None:
    def read_at_end(refusals: int) -> int:
        bench = Bench()
        job = bench.upload()
        bench.bedrock.script = [Refused("access", "no")] * refusals
        see(bench, job)
        let_pass(bench, days=5)
        assert bench.job(job).status == "Submitted"
        counted = [0]
        plain = bench.tables.query

        def query(kind: Any, *args: Any, **kwargs: Any) -> Any:
            rows = plain(kind, *args, **kwargs)
            counted[0] += len(rows) if kind is EventRow else 0
            return rows

        bench.tables.query = query  # type: ignore[method-assign] # counts
        fails(bench, job)
        return counted[0]

    assert read_at_end(100) <= read_at_end(5) + 10


def test_an_inprogress_of_a_job_taken_before_the_failures_does_not_lift_their_hold() -> None:
    bench = Bench(limit=2)
    old = started(bench, "old")
    bench.wait(minutes=20)
    bad = started(bench, "bad")
    for _ in range(3):
        fails(bench, bad)
        counts_are_sure(bench, bad)
    assert bench.slots.failing is not None
    # it is late: it went InProgress before the role broke
    report(bench, old, "InProgress", which=bench.job(old).arn or "")
    assert bench.slots.failing is not None


def test_a_ghost_in_line_does_not_stop_its_model() -> None:
    bench = Bench(limit=1)
    done = started(bench, "done", priority=0)
    ended(bench, done, processed=100)
    job = bench.job(done)
    bench.store.commit(
        [Put(LineRow(pk=f"line#{MODEL}", sk=f"0#{text_of(job.line_at)}#{job.id}", job=job.id))]
    )
    second = bench.upload("second")
    with suppress(Exception):
        see(bench, second)
    assert bench.job(second).status == "Submitted"


def test_a_job_that_others_held_each_time_it_was_read_and_that_waits_again_is_no_ghost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(limit=1)
    wake(bench)
    job = bench.upload("a")
    # refused after either one
    others = [replaced(bench.job(job), status="Claimed", version=version) for version in (2, 4)]
    read = bench.store.job
    monkeypatch.setattr(
        bench.store, "job", lambda job_id: others.pop(0) if others else read(job_id)
    )
    see(bench, job)
    assert not others
    assert bench.job(job).status == "Submitted"


def test_a_view_that_is_behind_stops_its_own_job_only() -> None:
    bench = Bench(limit=1)
    first = bench.upload("first", priority=0)
    bench.bedrock.script = [Refused("access", "no")]
    see(bench, first)
    waits = bench.job(first)
    old = replaced(
        waits,
        version=1,
        queued_version=1,
        attempt=0,
        claimed_at=None,
        first_claimed_at=None,
        reason="",
    )
    bench.store.commit([Put(rows.view_row(old))])  # as it was at version 1
    second = bench.upload("second")
    bench.wait(minutes=2)
    for job in (first, second):
        with suppress(Exception):
            see(bench, job)
    let = [bench.job(job).status for job in (first, second)]
    assert "Submitted" in let, let


def test_a_fill_without_time_for_create_leaves_a_hint_for_the_others() -> None:
    bench = Bench(limit=0)
    for n in range(3):
        started(bench, f"v{n}")
    bench.set_limit(3)
    bench.left = 50.0

    def slow(writes: Sequence[Write]) -> None:
        if any(isinstance(w.row, EventRow) and w.row.name == "slot-claimed" for w in writes):
            bench.left = 30.0  # ten tries under contention

    bench.tables.before_commit = slow
    wake(bench)
    assert len(bench.slots.holders) == 1
    assert not bench.bedrock.creates
    assert ("model", MODEL) in bench.outbox.sent


def test_an_event_that_this_code_does_not_know_stops_its_job_also_behind_a_newer_view() -> None:
    """A newer deployment's `job-held`, then an event that both know, each with its view."""
    bench = Bench(limit=0)
    job = started(bench)
    held = EventRow(
        stream=job_stream(job),
        version=2,
        name="job-held",
        schema=1,
        at=text_of(bench.time),
        data={},
    )
    event = e.PriorityChanged(at=bench.time, priority=3, by="ann", why="")
    after = replaced(bench.job(job), version=3, priority=3, latest=event.NAME)
    view = rows.view_row(after)
    view.fold = {**view.fold, "held": True}  # a field that only the newer code knows
    bench.store.commit([Put(held)])
    bench.store.commit([appends.append(after, event), Put(view)])
    with pytest.raises(UnknownEvent):
        bench.store.job(job)


def test_three_jobs_that_run_since_before_the_role_broke_end_well_and_cost_an_upload() -> None:
    stage = Stage(limit=4)
    old = []
    for number in range(3):
        old.append(stage.started(f"old{number}"))
        stage.wait(600)
    for job in old:
        stage.hint(stage.said(job, "InProgress")).end()
    # the role has lost s3:GetObject: nothing new is validated; what runs runs on
    stage.fail_validating = True
    innocent = stage.started("innocent")

    def burn() -> None:
        while stage.job(innocent).state == "running":
            stage.wait(30)
            stage.hint(stage.said(innocent, "Failed")).end()
            if stage.job(innocent).state == "ended":
                stage.wait(300)
                stage.timer(innocent).end()  # its counts are sure

    burn()
    for job in old:
        while not stage.rules.jobs[(stage.job(job).arn or "")[-12:]].ended:
            stage.wait(60)
        stage.hint(stage.said(job, "Completed")).end()
        burn()
    stage.fail_validating = False  # mended
    assert stage.job(innocent).status != "Failed", (
        stage.job(innocent).status,
        stage.history(innocent)[-3:],
        stage.kernel.time,
    )


# seed 46000294
def test_a_refusal_that_is_recorded_after_a_later_acceptance_keeps_nobody_waiting() -> None:
    bench = Bench(limit=3)
    others: list[str] = []

    def meanwhile(request: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        bench.bedrock.script = []
        others.append(started(bench, "taken"))
        assert bench.job(others[0]).status == "Submitted"
        others.append(bench.upload("next"))
        bench.bedrock.script = [Refused(INVALID, "this job alone")]

    bench.bedrock.on_create = meanwhile
    started(bench, "refused")
    see(bench, others[1])
    assert bench.job(others[1]).status == "Submitted", bench.slots.holds


def test_a_job_that_was_found_ended_and_came_back_can_be_cancelled() -> None:  # seed 46000809
    bench = Bench(limit=1, bedrock=FakeBedrock(script=[Unknown("ReadTimeout")]))
    job = started(bench)
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)  # Bedrock has no such job: it is unanswered, and waits
    let_pass(bench, minutes=10)
    assert bench.job(job).status == "Submitted"
    bench.set_limit(0)
    fails(bench, job)
    counts_are_sure(bench, job)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, job)
    assert bench.job(job).status == "Cancelled"


def test_a_cancelled_job_that_bedrock_has_after_all_is_stopped_when_it_is_heard_of() -> None:
    bench = Bench(bedrock=FakeBedrock(script=[Unknown("ReadTimeout")]))
    job = started(bench)
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, job, 1))
    bench.bedrock.unlisted = {made}  # List is behind
    bench.wait(seconds=bench.config.lease.total_seconds() + 1)
    see(bench, job, look=True)
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, job)
    assert bench.job(job).status == "Cancelled"
    bench.bedrock.unlisted = set()
    report(bench, job, "Validating", which=made)  # its own event; List and Get show it now
    let_pass(bench, hours=3)
    second = started(bench, "second")
    assert bench.bedrock.stopped == [made], bench.job(second).status


def three_in_line_and_the_first_unanswered() -> tuple[Bench, list[str], str]:
    bench = Bench(limit=0, bedrock=FakeBedrock(script=[Unknown("ReadTimeout")]))
    jobs = []
    for n in range(3):
        jobs.append(started(bench, f"v{n}"))
        bench.wait(seconds=1)
    bench.set_limit(3)  # or a resume
    wake(bench)
    assert [bench.job(job).status for job in jobs] == ["Claimed", "Queued", "Queued"]
    return bench, jobs, bench.bedrock.take(attempt_name(DEPLOYMENT, jobs[0], 1))


def once_failing(bench: Bench, after: str) -> None:
    plain = bench.timers.arm_attempt
    failed: list[str] = []

    def arm(job: str, attempt: int, due: datetime) -> None:
        if not failed and bench.job(job).status == after:
            failed.append(job)
            raise TimeoutError("Scheduler did not answer")  # or the invocation is killed here
        plain(job, attempt, due)

    bench.timers.arm_attempt = arm  # type: ignore[method-assign] # for once


@pytest.mark.parametrize("how", ["by its event", "by the take-over"])
def test_who_adopts_and_fails_then_leaves_the_others_a_hint(how: str) -> None:
    bench, jobs, made = three_in_line_and_the_first_unanswered()
    if how == "by its event":
        once_failing(bench, "Validating")
        with pytest.raises(TimeoutError):
            report(bench, jobs[0], "Validating", which=made)
        report(bench, jobs[0], "Validating", which=made)  # the message comes back
    else:
        once_failing(bench, "Submitted")
        bench.wait(seconds=bench.config.lease.total_seconds() + 60)
        with pytest.raises(TimeoutError):
            see(bench, jobs[0], look=True, timer=True)
        see(bench, jobs[0], look=True, timer=True)
    for job in jobs:
        see(bench, job) if job == jobs[0] else None  # the record of job-submitted
    let_pass(bench, hours=20)  # every timer that is armed fires
    assert [bench.job(job).status for job in jobs][1:] == ["Submitted", "Submitted"], (
        bench.slots.holds,
        len(bench.slots.holders),
    )


def test_a_fill_that_fails_keeps_no_job_from_coming_back() -> None:
    bench = Bench(limit=1)
    job = started(bench, "job")
    plain = bench.tables.query

    def query(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if kind is LineRow:
            raise TimeoutError("the line did not answer")
        return plain(kind, *args, **kwargs)

    bench.tables.query = query  # type: ignore[method-assign] # fails
    with pytest.raises(TimeoutError):
        fails(bench, job)
    with pytest.raises(TimeoutError):
        counts_are_sure(bench, job)
    with pytest.raises(TimeoutError):
        see(bench, job)  # the message comes back
    assert (bench.job(job).status, bench.history(job)[-2:]) == (
        "Queued",
        ["job-tallied", "job-requeued"],
    )


def test_a_job_that_processes_records_lifts_a_hold_of_late_failures() -> None:
    bench = Bench(limit=30)
    bad = started(bench, "bad")
    for _ in range(3):  # recorded: model access is missing, seen at the end of InProgress
        while bench.job(bad).status != "Submitted":
            assert fire_next(bench, bench.time + timedelta(hours=1))
        state = bench.job(bad)
        report(bench, bad, "InProgress", attempt=state.attempt, which=state.arn or "")
        ended(
            bench,
            bad,
            "Failed",
            "Customer doesn't have permissions to invokeModel",
            processed=0,
            total=100,
        )
        let_pass(bench, minutes=4)
    for number in range(40):
        started(bench, f"v{number}")
    # mended: all that is taken now goes InProgress and processes records, for five hours
    start = bench.time
    while bench.time < start + timedelta(hours=3):
        let_pass(bench, minutes=5)
        for which, found in list(bench.bedrock.jobs.items()):
            if found.status == "Submitted":
                bench.bedrock.turn(which, "InProgress", total=100, processed=50)
                _, job, attempt = found.name.rsplit("-", 2)
                report(bench, job, "InProgress", attempt=int(attempt), which=which)
    assert len(bench.slots.holders) == 30, (len(bench.slots.holders), bench.slots.failing)


def test_slots_that_were_made_anew_can_be_resumed_as_their_rebuild_says() -> None:
    bench = Bench(limit=1)
    events = [r.event for r in bench.store.load(model_stream(MODEL))]
    bench.store.commit(
        [
            Delete(SlotsRow(pk=rows.slots_pk(MODEL), sk="slots")),
            Put(rows.view_row(bench.job(started(bench, "x")))),
        ]
    )
    assert bench.store.slots(MODEL) is None
    made = slots_from_events(
        fold_model(MODEL, events), [], None, longest_lease=timedelta(minutes=4)
    )
    bench.store.commit(rebuilt_slots(None, made))
    # `bbq resume haiku`, as cli/acts.py decides it
    slots = bench.store.slots(MODEL)
    decision = decisions.resume(
        MODEL,
        events,
        on_hold=bool(slots and (slots.paused or slots.holds)),
        at=bench.time,
        by="ann",
        why="",
    )
    if isinstance(decision, decisions.Act):
        operator_says(bench, decision.event)
    else:
        wake(bench)
    assert not bench.slots.paused, decision
