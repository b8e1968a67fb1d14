"""R1-R50: the interleavings that broke earlier drafts of the design, each driven through the
production code step by step.

Every test here must fail when its mistake is put back: `make mutants ARGS=--races` shows it.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from bbq.shared.events import JobRequeued
from bbq.shared.tables import SlotsRow, Update
from tests.simulation.people import malformed, squat
from tests.simulation.stage import Stage


def unanswered(stage: Stage, name: str = "a") -> str:
    """A job that Bedrock has, while the answer of Create was lost."""
    job = stage.put(name)
    stage.strike("create-done-then-timeout")
    stage.see(job).end()
    assert stage.job(job).state == "claimed"
    return job


def refused(stage: Stage, name: str = "a") -> str:
    """A job that Bedrock has refused: back in line, and its model on hold."""
    job = stage.put(name)
    stage.see(job).end()
    assert (stage.job(job).state, stage.history(job)[-1]) == ("queued", "submission-refused")
    assert "refused" in stage.watch.slots["haiku"]
    return job


def failed(stage: Stage, job: str) -> None:
    """Bedrock's role lacks a right: the job that runs fails in Validating, and its event
    arrives.
    """
    stage.wait(60)
    stage.hint(stage.said(job, "Failed")).end()


def test_R1_while_one_creates_nobody_else_does() -> None:
    stage = Stage()
    job = stage.put("a")
    owner = stage.see(job).to("Create")
    stage.see(job).end()  # the stream record of slot-claimed
    stage.full()
    owner.through("Create").end()
    assert (stage.creates(job), stage.job(job).state) == (1, "queued")
    stage.hint(stage.others_end()).end()
    assert stage.job(job).state == "running"
    stage.settle()


def test_R2_a_cancel_during_create_is_left_to_the_owner() -> None:
    stage = Stage()
    first, second = stage.put("a"), stage.put("b")
    owner = stage.see(first).to("Create")
    stage.cancel(first)
    stage.see(first).end()
    stage.see(second).end()
    assert (stage.job(first).state, stage.job(second).state) == ("claimed", "queued")
    owner.end()
    assert stage.job(first).state == "running"
    stage.settle()
    assert stage.job(first).status == "Stopped"


def test_R3_a_refusal_is_recorded_by_the_only_creator() -> None:
    stage = Stage()
    job = stage.put("a")
    owner = stage.see(job).to("Create")
    stage.rules.faults = type(stage.rules.faults)(
        unsupported_models=("anthropic.claude-haiku-4-5-20251001-v1:0",)
    )
    owner.through("Create")
    stage.rules.faults = type(stage.rules.faults)()
    stage.see(job).end()
    assert stage.creates(job) == 1
    owner.end()
    assert (stage.job(job).state, stage.holders) == ("queued", {})
    stage.settle()
    assert stage.job(job).status == "Completed"


@pytest.mark.parametrize("fault", ["forget_tokens", "quota_before_token"])
def test_R4_R5_after_a_lost_answer_the_name_is_looked_up_before_anybody_creates(fault: str) -> None:
    stage = Stage()
    stage.rules.faults = type(stage.rules.faults)(**{fault: True})  # type: ignore[arg-type] # a switch
    stage.rules.set_quota("anthropic.claude-haiku-4-5-20251001-v1:0", 1)
    job = unanswered(stage)
    stage.wait(300)
    stage.timer(job).end()
    assert (stage.creates(job), stage.job(job).state) == (1, "running")
    stage.settle()


def test_R6_no_answer_keeps_the_slot() -> None:
    stage = Stage()
    first, second = unanswered(stage), stage.put("b")
    stage.see(second).end()
    assert list(stage.holders) == [f"{first}#1"]
    assert stage.job(second).state == "queued"
    stage.settle()


def expired_once(stage: Stage) -> str:
    """A job whose first attempt has expired at Bedrock; nobody has heard of it yet."""
    stage.rules.faults = type(stage.rules.faults)(job_expiry=1.0)
    job = stage.started("a")
    stage.rules.faults = type(stage.rules.faults)()
    stage.wait(4000)
    assert "Expired" in stage.bus.sent[-1]
    return job


def come_back(stage: Stage, job: str) -> None:
    """The timer of a job that has ended fires: Get's counts are sure."""
    stage.wait(240)
    stage.timer(job).end()


def test_R7_a_late_clean_up_of_attempt_one_leaves_attempt_two_its_slot() -> None:
    stage = Stage()
    job = expired_once(stage)
    late = stage.hint(stage.said(job, "Expired")).to("write job-ended")
    stage.hint(stage.said(job, "Expired")).end()
    come_back(stage, job)
    assert (stage.job(job).attempt, stage.job(job).state) == (2, "running")
    late.end()
    assert list(stage.holders) == [f"{job}#2"]
    stage.settle()


def test_R8_removing_the_timers_of_attempt_one_leaves_those_of_attempt_two() -> None:
    stage = Stage()
    job = stage.started("a")
    stage.wait(40_000)
    late = stage.hint(stage.said(job, "Completed")).to("disarm")
    stage.hint(stage.said(job, "Completed")).end()
    stage.append(f"job#{job}", JobRequeued(at=stage.kernel.now, attempt=1, by="ops", why="again"))
    stage.see(job).end()
    assert stage.job(job).attempt == 2
    timers = stage.pending(f"{job}-2-")
    late.end()
    assert timers
    assert set(timers) <= set(stage.pending(f"{job}-2-"))
    stage.settle()


def test_R9_the_end_of_attempt_one_does_not_end_attempt_two() -> None:
    stage = Stage()
    job = expired_once(stage)
    end = stage.said(job, "Expired")
    stage.hint(end).end()
    come_back(stage, job)
    before = stage.history(job)
    stage.hint(end).end()
    assert stage.history(job) == before
    assert stage.job(job).state == "running"
    stage.settle()


def test_R10_a_timer_that_fired_is_armed_again_under_another_name() -> None:
    stage = Stage()
    job = stage.started("a")
    for _ in range(4):
        due = stage.schedules.armed[min(stage.pending(f"{job}-"))]
        stage.wait(max(0.0, (due - stage.kernel.now).total_seconds()))
        if stage.rules.jobs[(stage.job(job).arn or "")[-12:]].ended:
            break
        stage.timer(job).end()
        assert stage.pending(f"{job}-1-")
    stage.settle()


def test_R11_a_crash_after_the_claim_leaves_a_timer_behind() -> None:
    stage = Stage()
    job = stage.put("a")
    stage.see(job).through("write slot-claimed").crash()
    assert stage.pending(f"{job}-1-")
    stage.wait(300)
    stage.timer(job).end()
    stage.settle()
    assert stage.job(job).status == "Completed"


def test_R12_a_timer_outlives_an_outage() -> None:
    stage = Stage()
    job = stage.started("a")
    stage.rules.end_foreign(stage.kernel.now)
    stage.staged.spells = {"every-event-dropped"}
    stage.bedrock.down = True
    stage.kernel.after(6 * 3600, lambda: setattr(stage.bedrock, "down", False))
    stage.settle()
    assert stage.job(job).status == "Completed"


def test_R13_a_stream_record_that_fails_becomes_a_hint() -> None:
    stage = Stage()
    job = stage.put("a")
    stage.strike("read-error")
    stage.see(job).end()
    assert stage.hints.count(json.dumps({"job": job})) == 1
    # Lambda has used up its retries
    stage.stream._lanes[sum(f"job#{job}".encode()) % stage.stream.LANES].records.clear()
    stage.settle()
    assert stage.job(job).status == "Completed"


def test_R14_a_fill_that_meets_a_ghost_looks_again() -> None:
    stage = Stage(limit=2)
    stage.pause("haiku")
    stage.see_model().end()
    first, second = stage.put("a"), stage.put("b")
    for job in (first, second):
        stage.see(job).end()
    stage.resume("haiku")
    one = stage.see_model().to("write slot-claimed")
    other = stage.wake_up().to("write slot-claimed")
    one.through("write slot-claimed").crash()
    other.end()
    assert stage.job(second).state == "running"
    stage.settle()


def test_R15_the_stream_records_of_a_refusal_do_not_ask_again() -> None:
    stage = Stage()
    stage.full()
    job = refused(stage)
    for _ in range(5):  # slot-claimed, submission-refused, and every copy of them
        stage.see(job).end()
    assert stage.creates(job) == 1
    stage.hint(stage.others_end()).end()
    stage.settle()


def test_R16_a_crash_right_after_a_refusal_leaves_the_models_timer_behind() -> None:
    stage = Stage()
    stage.full()
    job = stage.put("a")
    owner = stage.see(job).to("write submission-refused")
    assert stage.pending("model-haiku-")
    owner.through("write submission-refused").crash()
    stage.others_end()  # and nobody tells
    stage.model_timer().end()  # early: the hold runs
    assert stage.job(job).state == "queued"
    stage.wait(120)
    stage.model_timer().end()
    assert stage.job(job).state == "running"
    stage.settle()


def test_R17_an_end_between_the_refusal_and_the_giving_up_is_seen() -> None:
    stage = Stage()
    stage.full()
    job = stage.put("a")
    owner = stage.see(job).through("Create")
    stage.hint(stage.others_end()).end()
    owner.end()
    assert (stage.job(job).state, stage.creates(job)) == ("running", 2)
    stage.settle()


def test_R18_an_invocation_of_the_old_configuration_neither_sets_nor_uses_the_old_limit() -> None:
    stage = Stage(limit=2)
    stage.started("a")
    second = stage.put("b")
    old = stage.see(second).to("write slot-claimed")
    older = stage.wake_up().to("query model#haiku")
    stage.deployed(1)
    old.end()
    older.end()
    assert stage.watch.slots["haiku"]["limit"]["N"] == "1"
    assert stage.job(second).state == "queued"
    stage.settle()


def test_R19_a_pause_between_reading_and_claiming_holds() -> None:
    stage = Stage()
    job = stage.put("a")
    owner = stage.see(job).to("write slot-claimed")
    stage.pause("haiku")
    stage.see_model().end()
    owner.end()
    assert stage.job(job).state == "queued"
    stage.resume("haiku")
    stage.see_model().end()
    assert stage.job(job).state == "running"
    stage.settle()


def damage(stage: Stage, which: str, holder: str) -> None:
    """A part of the slots item is gone."""
    stage.watch.damaged.add("haiku")
    path = getattr(SlotsRow, which)[holder]
    stage.tables.write(
        [Update(SlotsRow(pk="slots#haiku", sk="slots"), [path.remove()], SlotsRow.pk.exists())]
    )
    stage.watch.slots["haiku"] = stage.tables.peek("projections", "slots#haiku", "slots") or {}


def test_R20_a_rebuild_never_overwrites_a_claim_beside_it() -> None:
    from bbq.cli.repair import rebuild  # noqa: PLC0415 - the operator's

    stage = Stage(limit=2)
    first = stage.started("a")
    second = stage.put("b")
    stage.pause("haiku")
    stage.see_model().end()
    damage(stage, "holders", f"{first}#1")
    stage.kernel.start("operator", lambda: rebuild(stage.repair_context()), 1e9)
    operator = stage.last().to("write put slots#haiku")
    stage.resume("haiku")
    stage.see_model().end()
    stage.see(second).end()
    operator.end()
    # not overwritten; the damage is still there, because the model is not paused any more
    assert f"{second}#1" in stage.holders
    stage.pause("haiku")
    stage.see_model().end()
    stage.wait(600)
    stage.kernel.start("operator", lambda: rebuild(stage.repair_context()), 1e9)
    stage.last().end()
    assert set(stage.holders) == {f"{first}#1", f"{second}#1"}
    stage.resume("haiku")
    stage.settle()


def test_R21_after_the_last_holder_left_the_next_is_let_in() -> None:
    stage = Stage()
    first = stage.started("a")
    stage.wait(40_000)
    stage.hint(stage.said(first, "Completed")).end()
    assert stage.watch.slots["haiku"]["holders"] == {"M": {}}
    second = stage.started("b")
    stage.settle()
    assert stage.job(second).status == "Completed"


def test_R22_a_refused_job_is_back_at_its_old_place() -> None:
    stage = Stage()
    stage.full()
    owner = stage.see(first := stage.put("a")).to("Create")
    stage.see(second := stage.put("b")).end()
    owner.end()
    assert [place.rpartition("#")[2] for place in stage.watch.orders["haiku"]] == [first, second]
    stage.hint(stage.others_end()).end()
    assert stage.job(first).state == "running"
    stage.settle()


@pytest.mark.parametrize("bad_ones", [1, 2, 3])
def test_R23_R29_R44_jobs_refused_for_their_own_reason_do_not_stop_their_model(
    bad_ones: int,
) -> None:
    stage = Stage()
    bad = [stage.put(f"bad{number}") for number in range(bad_ones)]
    stage.bedrock.cursed.update(bad)
    stage.touched.update(bad)
    for job in bad:
        stage.see(job).end()
    good = [stage.put(f"good{number}") for number in range(12)]
    for job in good:
        stage.see(job).end()
    stage.settle()
    assert [stage.job(job).status for job in good] == ["Completed"] * 12
    assert {stage.job(job).status for job in bad} == {"Failed"}


def test_R24_R48_a_load_reads_no_more_events_after_many_probes_than_after_one() -> None:
    stage = Stage()
    stage.full()
    job = refused(stage)
    read: list[int] = []
    query = stage.tables.query

    def counting(kind: Any, hash_key: str, **options: Any) -> Any:
        rows = query(kind, hash_key, **options)
        if hash_key == f"job#{job}":
            read.append(len(rows))
        return rows

    stage.tables.query = counting  # type: ignore[method-assign] # counts what is read
    for _ in range(20):
        stage.wait(3600)
        stage.model_timer().end()
    stage.tables.query = query  # type: ignore[method-assign] # as above
    assert (stage.creates(job), len(stage.history(job))) == (21, 43)
    assert max(read) <= 2
    stage.hint(stage.others_end()).end()
    stage.settle()


def test_R24_a_model_that_refuses_is_asked_less_and_less_often() -> None:
    stage = Stage()
    stage.full()
    job = refused(stage)
    until = stage.kernel.now + timedelta(hours=6)
    while (due := stage.schedules.armed[min(stage.pending("model-haiku-"))]) < until:
        stage.wait(max(0.0, (due - stage.kernel.now).total_seconds()))
        stage.model_timer().end()
        # at first, after 1, 2, 5 and 10 minutes, then each half hour
        assert stage.creates(job) <= 17
    stage.hint(stage.others_end()).end()
    stage.settle()


def test_R25_the_loser_of_an_append_records_the_answer_all_the_same() -> None:
    stage = Stage()
    job = stage.put("a")
    owner = stage.see(job).to("write job-submitted")
    stage.cancel(job)
    owner.end()
    assert stage.job(job).state == "running"
    assert stage.history(job)[-2:] == ["cancel-requested", "job-submitted"]
    stage.settle()
    assert stage.job(job).status == "Stopped"


def test_R26_a_fill_under_contention_does_not_give_up() -> None:
    stage = Stage(limit=20)
    stage.pause("haiku")
    stage.see_model().end()
    jobs = [stage.put(f"v{number}") for number in range(20)]
    for job in jobs:
        stage.see(job).end()
    stage.resume("haiku")
    stage.see_model().through("write update slots").crash()  # projected, and nobody has filled yet
    only = stage.wake_up().to("write slot-claimed")
    stage.strike(*["write-contended"] * 5)
    only.end()
    assert len(stage.holders) == 20
    stage.settle()


def test_R27_a_refused_job_is_not_taken_above_a_lowered_limit() -> None:
    stage = Stage(limit=2)
    stage.rules.set_quota("anthropic.claude-haiku-4-5-20251001-v1:0", 1)
    stage.started("a")
    second = refused(stage, "b")
    stage.wait(120)
    owner = stage.wake_up().to("write slot-claimed")
    stage.deployed(1)
    owner.end()
    stage.rules.set_quota("anthropic.claude-haiku-4-5-20251001-v1:0", 9)
    stage.wake_up().end()
    assert stage.job(second).state == "queued"
    stage.settle()


def test_R28_a_cancel_during_a_second_refusal_is_seen_by_the_owner() -> None:
    stage = Stage()
    stage.full()
    job = refused(stage)
    stage.wait(120)
    owner = stage.wake_up().through("Create")
    stage.cancel(job)
    stage.see(job).end()  # meets the lease, and leaves
    owner.end()
    assert stage.job(job).state == "cancelled"
    stage.settle()


def test_R30_a_submitted_attempt_is_never_taken_for_given_up() -> None:
    stage = Stage()
    stage.rules.faults = type(stage.rules.faults)(forget_tokens=True)
    job = stage.started("a")
    assert stage.holders[f"{job}#1"]["M"]["submitted"] == {"BOOL": True}
    stage.wait(300)
    stage.timer(job).end()
    stage.wake_up().end()
    assert stage.creates(job) == 1
    stage.settle()


def test_R31_a_giving_up_that_was_done_but_looked_failed_does_not_create_again() -> None:
    stage = Stage()
    stage.full()
    job = stage.put("a")
    owner = stage.see(job).to("write submission-refused")
    stage.strike("write-done-but-failed")
    owner.end()
    assert (stage.creates(job), stage.job(job).state) == (1, "queued")
    stage.hint(stage.others_end()).end()
    stage.settle()


def test_R32_a_rebuilt_claimed_holder_is_looked_up_before_anybody_creates() -> None:
    from bbq.cli.repair import rebuild  # noqa: PLC0415 - the operator's

    stage = Stage()
    job = unanswered(stage)
    stage.pause("haiku")
    stage.see_model().end()
    damage(stage, "holders", f"{job}#1")
    stage.wait(300)
    stage.kernel.start("operator", lambda: rebuild(stage.repair_context()), 1e9)
    stage.last().end()
    assert list(stage.holders) == [f"{job}#1"]
    stage.resume("haiku")
    stage.see_model().end()
    stage.settle()
    assert (stage.creates(job), stage.job(job).status) == (1, "Completed")


def test_R33_what_bedrock_says_of_a_claimed_job_is_recorded_by_whoever_hears_it() -> None:
    stage = Stage()
    job = stage.put("a")
    owner = stage.see(job).through("Create")
    one = stage.hint(stage.said(job, "Submitted")).to("write job-submitted")
    other = stage.hint(stage.said(job, "Submitted")).to("write job-submitted")
    one.end()
    other.end()
    assert stage.job(job).state == "running"
    owner.end()
    assert stage.history(job).count("job-submitted") == 1
    stage.settle()


def test_R33_an_end_before_the_answer_of_create_is_final() -> None:
    stage = Stage()
    job = stage.put("a")
    stage.strike("create-done-then-timeout")
    owner = stage.see(job).to("Create without")
    made = next(iter(stage.rules.jobs.values()))
    stage.rules.stop(made.arn, stage.kernel.now)
    stage.wait(31)
    first = stage.hint(stage.said(job, "Stopped")).to("write job-submitted")
    stage.hint(stage.said(job, "Submitted")).end()  # faster
    first.end()
    assert stage.job(job).status == "Stopped"
    owner.end()
    stage.touched.add(job)
    stage.settle()


def test_R34_an_older_reading_of_the_models_events_changes_nothing() -> None:
    stage = Stage()
    stage.pause("haiku")
    late = stage.see_model().to("write update slots#haiku")
    stage.resume("haiku")
    stage.see_model().end()
    late.end()
    assert stage.watch.slots["haiku"]["paused"] == {"BOOL": False}
    stage.started("a")
    stage.settle()


def test_R35_timers_that_fire_early_never_break_the_chain() -> None:
    stage = Stage()
    job = unanswered(stage)
    for _ in range(5):
        assert stage.pending(f"{job}-1-")
        stage.timer(job).end()
    assert stage.pending(f"{job}-1-")
    stage.settle()


def test_R36_newcomers_do_not_ask_a_full_bedrock() -> None:
    stage = Stage(limit=9)
    stage.full()
    refused(stage)
    for number in range(8):
        stage.see(stage.put(f"new{number}")).end()
    assert sum(stage.watch.creates.values()) == 1
    stage.hint(stage.others_end()).end()
    stage.settle()


def test_R37_a_head_that_cannot_be_read_is_passed() -> None:
    from tests.simulation.people import _future  # noqa: PLC0415 - the only such event

    stage = Stage()
    stage.pause("haiku")
    stage.see_model().end()
    bad, good = stage.put("bad"), stage.put("good")
    for job in (bad, good):
        stage.see(job).end()
    stage.append(f"job#{bad}", _future(stage))
    stage.resume("haiku")
    stage.see_model().end()
    assert stage.job(good).state == "running"
    stage.hint(malformed(stage)).end()
    stage.settle()
    assert json.loads(stage.said(good, "Completed"))["detail"]["status"] == "Completed"


def test_R38_a_probe_that_ends_before_its_answer_is_recorded_leaves_no_hold_behind() -> None:
    stage = Stage()
    stage.full()
    first, second = refused(stage), stage.put("b")
    stage.see(second).end()
    owner = stage.hint(stage.others_end()).through("Create")
    stage.rules.stop(
        next(job.arn for job in stage.rules.jobs.values() if first in job.name), stage.kernel.now
    )
    stage.wait(31)
    stage.hint(stage.said(first, "Stopped")).end()
    assert (stage.job(first).status, stage.job(second).state) == ("Stopped", "running")
    owner.end()
    stage.touched.add(first)
    stage.settle()


def test_R39_a_newcomer_asks_if_quota_became_free_while_the_line_was_empty() -> None:
    stage = Stage()
    stage.full()
    first = refused(stage)
    fill = stage.hint(stage.others_end()).to("query line#haiku")
    stage.cancel(first)
    stage.see(first).end()
    fill.end()
    second = stage.put("b")
    stage.see(second).end()
    assert (stage.job(first).state, stage.job(second).state) == ("cancelled", "running")
    stage.settle()


def test_R40_a_timer_that_fires_before_the_hold_is_written_is_followed_by_another() -> None:
    stage = Stage()
    stage.full()
    job = stage.put("a")
    stage.wait((58 - stage.kernel.now.second) % 60)  # its hold ends in a minute
    owner = stage.see(job).to("write submission-refused")
    stage.model_timer().end()  # early, and used up
    owner.end()
    stage.others_end()  # and nobody tells
    assert stage.pending("model-haiku-")
    stage.wait(120)
    stage.model_timer().end()
    assert stage.job(job).state == "running"
    stage.settle()


def test_R41_a_resume_is_a_reason_to_ask() -> None:
    stage = Stage()
    stage.full()
    job = refused(stage)
    stage.pause("haiku")
    stage.see_model().end()
    stage.model_timer().end()  # early, and used up
    stage.others_end()  # and nobody tells
    stage.resume("haiku")
    stage.see_model().end()
    assert stage.job(job).state == "running"
    stage.settle()


def test_R42_giving_up_removes_no_timer_that_the_next_claim_counts_on() -> None:
    stage = Stage()
    stage.full()
    job = stage.put("a")
    late = stage.see(job).through("write submission-refused")
    stage.hint(stage.others_end()).through("write slot-claimed").crash()
    late.end()
    assert stage.pending(f"{job}-1-")
    stage.settle()
    assert stage.job(job).status == "Completed"


def test_R43_a_fault_of_the_account_fails_no_job_whichever_is_asked_for_first() -> None:
    stage = Stage()
    stage.bedrock.refusal = (
        "ValidationException",
        "Batch inference is not supported for the requested model.",
    )
    jobs = [stage.put(name) for name in ("a", "b")]
    for job in jobs:
        stage.see(job).end()
    for _ in range(7):
        stage.wait(3600)
        stage.model_timer().end()
    assert {stage.creates(job) for job in jobs} == {4}
    stage.bedrock.refusal = None
    stage.settle()
    assert [stage.job(job).status for job in jobs] == ["Completed", "Completed"]


def test_R45_a_job_that_is_never_answered_does_not_stop_its_model() -> None:
    stage = Stage()
    first, second = stage.put("a"), stage.put("b")
    stage.strike("create-timeout")
    stage.see(first).end()
    stage.see(second).end()
    stage.wait(300)
    stage.timer(first).end()  # looked up, not found: back in line
    stage.wait(120)
    stage.model_timer().end()
    assert (stage.job(first).state, stage.job(second).state) == ("queued", "running")
    stage.settle()


def blind(stage: Stage) -> str:
    """A job that Bedrock has, which was given up because the look-up after its lease did not show
    it.
    """
    job = unanswered(stage)
    shown, stage.rules.list = stage.rules.list, lambda *_: {"invocationJobSummaries": []}  # type: ignore[method-assign] # once
    stage.wait(300)
    stage.timer(job).end()
    stage.rules.list = shown  # type: ignore[method-assign] # as it was
    assert stage.job(job).state == "queued"
    return job


def test_R46_an_unanswered_attempt_keeps_its_name_and_is_looked_up_before_it_is_created_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    # List was blind for longer than a lease
    monkeypatch.setattr(stage.watch, "check", unless(stage, "S1", "S15"))
    job = blind(stage)
    stage.rules.faults = type(stage.rules.faults)(forget_tokens=True)
    stage.wait(120)
    stage.model_timer().end()
    assert (stage.creates(job), stage.job(job).state, stage.job(job).attempt) == (1, "running", 1)
    stage.settle()


def test_R47_an_event_of_a_job_that_waits_again_is_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(stage.watch, "check", unless(stage, "S1", "S15"))  # as above
    job = blind(stage)
    stage.hint(stage.said(job, "InProgress")).end()
    assert (stage.creates(job), stage.job(job).status) == (1, "InProgress")
    stage.settle()


def test_a_cancel_of_an_unanswered_job_that_bedrock_has_stops_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    monkeypatch.setattr(stage.watch, "check", unless(stage, "S1", "S15"))  # as above
    job = blind(stage)
    stage.cancel(job)
    stage.see(job).end()
    assert (stage.job(job).state, stage.job(job).status) == ("running", "Stopping")
    stage.settle()
    assert stage.job(job).status == "Stopped"


def unless(stage: Stage, *invariants: str) -> Any:
    """The watch's check, but for invariants that this very test breaks at Bedrock's end."""
    check = stage.watch.check
    return lambda invariant, holds, text: (
        None if invariant in invariants else check(invariant, holds, text)
    )


def test_R49_R50_three_failures_in_a_row_hold_the_model_and_are_no_reason_to_try_on() -> None:
    stage = Stage()
    stage.fail_validating = True
    jobs = [stage.put(f"v{number}") for number in range(5)]
    for job in jobs:
        stage.see(job).end()
    for _ in range(3):
        (holder,) = stage.holders
        failed(stage, holder.partition("#")[0])
    assert stage.holders == {}
    assert "failing" in stage.watch.slots["haiku"]
    assert not stage.watch.slots["haiku"]["paused"]["BOOL"]
    head = stage.watch.orders["haiku"][0].rpartition("#")[2]
    stage.wait(120)
    stage.model_timer().end()
    (probe,) = stage.holders
    assert probe.partition("#")[0] != head
    stage.fail_validating = False
    stage.settle()
    assert {stage.job(job).status for job in jobs} == {"Completed"}


def test_an_adopted_end_is_recorded_before_the_line_is_read() -> None:
    stage = Stage(limit=2)
    first, second = unanswered(stage), stage.put("b")
    stage.see(second).to("query line#haiku").crash()  # in line, beside a free slot
    stage.rules.stop(next(iter(stage.rules.jobs.values())).arn, stage.kernel.now)
    stage.wait(31)
    visit = stage.hint(stage.said(first, "Stopped")).to("query line#haiku")
    assert stage.history(first)[-1] == "job-ended"
    stage.strike("read-error")
    visit.end()
    stage.touched.add(first)
    stage.settle()


def test_a_taken_over_end_is_recorded_before_the_line_is_read() -> None:
    stage = Stage(limit=2)
    first, second = unanswered(stage), stage.put("b")
    stage.see(second).to("query line#haiku").crash()  # in line, beside a free slot
    stage.wait(40_000)
    visit = stage.timer(first).to("query line#haiku")
    assert stage.history(first)[-1] == "job-ended"
    stage.strike("read-error")
    visit.end()
    stage.settle()


def test_a_strangers_job_that_runs_under_our_name_fails_nothing_while_list_is_behind() -> None:
    stage = Stage()
    stage.deployed(0)
    job = stage.put("a")
    stage.see(job).end()
    (upload,) = stage.uploads
    squat(stage, upload)  # and ends at once, so that its name is free again
    stage.wait(3600)
    stage.deploy({"haiku": 1})
    stage.strike("create-done-then-conflict", "list-behind")
    stage.last().end()
    assert stage.job(job).state == "claimed"
    stage.wait(300)
    stage.timer(job).end()
    assert (stage.creates(job), stage.job(job).state) == (1, "running")
    stage.settle()


def test_get_that_does_not_know_a_job_yet_is_asked_again() -> None:
    stage = Stage()
    job = unanswered(stage)
    stage.strike("get-behind")
    stage.hint(stage.said(job, "Submitted")).end()
    assert stage.job(job).state == "claimed"
    stage.hint(stage.said(job, "Submitted")).end()
    assert stage.job(job).state == "running"
    stage.settle()


def test_whoever_gave_up_without_knowing_it_cancels_nothing_under_the_next_ones_lease() -> None:
    stage = Stage()
    job = stage.put("a")
    stage.strike("create-timeout")
    stage.see(job).end()
    stage.wait(300)
    late = stage.timer(job).to("write submission-refused")
    stage.strike("write-done-but-failed")
    late.through("write submission-refused")
    stage.wait(120)
    owner = stage.wake_up().to("Create")
    stage.cancel(job)
    late.end()
    assert stage.job(job).state == "claimed"
    assert job in str(stage.holders)
    owner.end()
    assert stage.job(job).state == "running"
    stage.settle()
    assert stage.job(job).status == "Stopped"


def test_a_probe_that_dies_in_create_leaves_the_models_timer_behind() -> None:
    stage = Stage(limit=2)
    stage.full()
    first, second = refused(stage), stage.put("b")
    stage.see(second).end()
    stage.wait(120)
    stage.model_timer().to("Create").crash()
    stage.others_end()  # and nobody tells
    stage.wait(120)
    stage.model_timer().end()
    assert (stage.job(first).state, stage.job(second).state) == ("claimed", "running")
    stage.settle()


def test_a_refusal_between_a_probes_look_and_its_claim_says_whose_turn_it_is() -> None:
    stage = Stage(limit=2)
    first, second = stage.put("a"), stage.put("b")
    late = stage.see(first).to("Create")
    stage.bedrock.refusal = ("ValidationException", "not supported")
    stage.see(second).end()
    stage.wait(120)
    probe = stage.model_timer().to("write slot-claimed")
    stage.bedrock.refusal = ("AccessDeniedException", "not authorized")
    late.through("write submission-refused").crash()
    probe.through("Create").crash()
    assert (stage.creates(first), stage.creates(second)) == (2, 1)
    assert stage.watch.slots["haiku"]["refused"]["M"]["kind"] == {"S": "access"}
    stage.bedrock.refusal = None
    stage.settle()


def test_whoever_lost_its_lease_gives_nothing_up() -> None:
    stage = Stage()
    stage.full()
    job = stage.put("a")
    late = stage.see(job).to("write submission-refused")
    stage.wait(300)
    heir = stage.timer(job).to("List")
    owner = stage.holders[f"{job}#1"]
    late.end()
    assert stage.holders == {f"{job}#1": owner}
    heir.end()
    assert (stage.job(job).state, stage.holders) == ("queued", {})
    stage.hint(stage.others_end()).end()
    stage.settle()


def test_the_end_of_a_job_that_was_at_fault_itself_lets_a_newcomer_ask_at_once() -> None:
    stage = Stage()
    bad = stage.put("bad")
    stage.bedrock.cursed.add(bad)
    stage.touched.add(bad)
    stage.see(bad).end()
    # three others are taken, and the bad one is refused after each but the last
    for number in range(3):
        good = stage.put(f"good{number}")
        stage.see(good).end()
        while stage.job(good).state == "queued":
            stage.wait(3600)
            stage.model_timer().end()
        stage.wait(40_000)
        if number == 2:
            # which holds the model once more
            stage.bedrock.refusal = ("ServiceQuotaExceededException", "full")
        stage.hint(stage.said(good, "Completed")).end()
    stage.bedrock.refusal = None
    stage.wait(120)
    stage.model_timer().end()
    assert (stage.job(bad).status, "refused" in stage.watch.slots["haiku"]) == ("Failed", True)
    newcomer = stage.put("newcomer")
    stage.see(newcomer).end()
    assert stage.job(newcomer).state == "running"
    stage.settle()


def test_a_name_that_an_ended_stranger_had_says_nothing_while_list_is_behind() -> None:
    stage = Stage()
    stage.deployed(0)
    job = stage.put("a")
    stage.see(job).end()
    (upload,) = stage.uploads
    squat(stage, upload)
    stage.wait(3600)
    stage.deploy({"haiku": 1})
    stage.strike("create-done-then-conflict", "list-behind")
    stage.last().end()
    assert stage.job(job).state == "claimed"
    stage.settle()
    assert stage.job(job).status == "Completed"


def test_a_cancel_is_heeded_where_the_answer_to_job_submitted_was_lost() -> None:
    stage = Stage()
    job = stage.put("a")
    owner = stage.see(job).to("Create")
    stage.cancel(job)
    stage.see(job).end()
    owner.to("write job-submitted")
    stage.strike("write-done-but-failed")
    owner.end()
    assert stage.hints.count(json.dumps({"job": job})) == 1
    stage.settle()
    assert stage.job(job).status == "Stopped"
