"""Reconcile: load a job, and do whatever its state still needs. Wake on an edge, act on the level.

Any hint leads here; how often, in what order, or from whom changes nothing: every step is decided
on the state as it is now and committed on condition that it still is. `reconcile` loops until
nothing is left to do for the job; only then, or once its end is recorded, does it look at others in
line: nothing that is wrong with another job's rows may keep an end from being told.

| state | what is left to do |
|---|---|
| Queued | a cancel; a Bedrock event of an unanswered attempt: adopt it. Then `fill` |
| Claimed | a Bedrock event: adopt it. The lease runs: its timer. It is over: take over |
| at Bedrock | record what Bedrock says; carry out a cancel; keep the timer |
| ended | give the slot to the next; count what was done, or queue it again (`ending.py`) |
"""

from dataclasses import dataclass
from datetime import timedelta

from bbq.services.scheduler.adopt import record_submitted
from bbq.services.scheduler.attempt import take_over
from bbq.services.scheduler.bedrock import KNOWN_WITHIN, NotYetKnown
from bbq.services.scheduler.cancel import cancel_waiting
from bbq.services.scheduler.ending import asked, record_end, refill, settle
from bbq.services.scheduler.fill import fill
from bbq.services.scheduler.gauges import show
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.wake import foreign_end
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.due import check_in_due, lease_due
from bbq.shared.events import text_of
from bbq.shared.job import (
    APPENDED_BY_OTHERS,
    CANCELLED,
    CLAIMED,
    ENDS,
    QUEUED,
    RUNNING,
    SUBMITTED,
    UNREADABLE,
    Job,
    evolve,
    news,
)
from bbq.shared.names import attempt_name, holder
from bbq.shared.slots import Lease
from bbq.shared.tables import ConditionFailed

MAX_STEPS = 20  # of one reconcile; a job's whole life takes fewer
# beyond a job's own deadline, when a slot that is still held is worth an alarm
OVERDUE_MARGIN = timedelta(hours=1)


@dataclass
class Visit:
    """One look at a job, and what woke us. `look` asks Bedrock once if nobody reported, `timer`
    says that a timer told us to.

    What the visit has found: `matched`: the report was about this job; `counted`: that it was not
    has been said; `kept`: whoever recorded what Bedrock said before has armed the attempt's timer;
    `fill`: others in line are to be looked at, at the end; `ended`: the end was recorded by this
    visit; `refilled`: the attempt whose slot was given to the next.
    """

    report: Report | None = None
    look: bool = False
    timer: bool = False
    matched: bool = False
    counted: bool = False
    kept: bool = False
    fill: bool = False
    ended: bool = False
    refilled: int = 0


def reconcile(world: World, job_id: str, visit: Visit) -> None:
    """Do all that the job needs now. Errors rise: the hint must come back."""
    known: Job | None = None
    for _ in range(MAX_STEPS):
        job = known or _read(world, job_id)
        if job is None:
            visit.counted = True
            world.note("HintIgnored", reason="NoSuchJob", job=job_id)
            return
        known = _step(world, job, visit)
        if known is job:  # at rest
            if visit.fill:
                fill(world, job.model, hint=True)
            return
    raise RuntimeError(f"job {job_id} did not come to rest in {MAX_STEPS} steps")


def reconcile_report(world: World, report: Report) -> None:
    """A Bedrock event: news of a job of ours, or an end that made room at Bedrock."""
    visit = Visit(report=report)
    if report.job is not None:
        reconcile(world, report.job, visit)
        # late, or forged: of an attempt before, or of another job at Bedrock
        if not visit.matched and not visit.counted:
            world.note(
                "HintIgnored", reason="NotThisAttempt", job=report.job, attempt=report.attempt
            )
    if not visit.matched and report.status in ENDS:
        foreign_end(world, report)


def _read(world: World, job_id: str) -> Job | None:
    """The job, and projected: what others appended is in the view, the line and the counts before
    anybody looks for a slot, so that one of two sees the other. What counts is moved from where the
    view has it, so the view must still be as it was seen.
    """
    for tries in range(MAX_STEPS):
        loaded = world.store.load_job(job_id)
        job, seen = loaded.job, loaded.seen
        if job is None:
            return None
        due = job.version if job.latest in APPENDED_BY_OTHERS else job.queued_version
        if seen is not None and seen.version >= due:
            return job
        try:
            world.store.commit(projections.projected(seen, job))
        except ConditionFailed:
            world.store.pause(tries)
        else:
            return job
    raise RuntimeError(
        f"the view of job {job_id} could not be brought up to date in {MAX_STEPS} tries"
    )


def _step(world: World, job: Job, visit: Visit) -> Job | None:
    """One step of what the job's state still needs: the job after it, `job` itself if nothing is
    left to do, None to read it.
    """
    visit.matched = visit.matched or _about(visit.report, job)
    if job.status == UNREADABLE:
        return _unreadable(world, job)
    if not job.model:
        # rejected, or cancelled before it could be read: no model's line or slots are concerned
        return job
    if (
        job.may_be_at_bedrock
        and visit.report is not None
        and visit.report.attempt == job.attempt
        and not visit.counted
    ):
        return _adopt(world, job, visit, visit.report)
    if job.status == QUEUED:
        if job.cancel is not None:
            # the fill that claimed it stopped at the unknown answer
            visit.fill = not cancel_waiting(world, job)
            return None
        visit.fill = True
    elif job.status == CLAIMED:
        return _claimed(world, job, visit)
    elif job.status in RUNNING:
        return _running(world, job, visit)
    elif job.status in ENDS:
        return _ended(world, job, visit)
    elif job.status == CANCELLED:
        _stop_stray(world, job, visit)
        visit.fill = True
    return job


def _unreadable(world: World, job: Job) -> Job | None:
    """Intake tries again to read it; here it can only be cancelled."""
    if job.cancel is None:
        return job
    event = e.JobCancelled(at=world.now())
    try:
        world.store.commit(projections.appended(job, event))
    except ConditionFailed:
        return None
    world.note("JobCancelled", job=job.id)
    return evolve(job.id, job, event)


def _adopt(world: World, job: Job, visit: Visit, report: Report) -> Job | None:
    """An event for an attempt whose Create is not answered yet, or was given up as unanswered. Its
    name proves nothing; the token that Get shows does. What else the event says is recorded next.
    Raises NotYetKnown.
    """
    name = attempt_name(world.config.deployment, job.id, job.attempt)
    found = world.bedrock.get(report.arn)
    if found is None and job.claimed_at is not None and world.now() - job.claimed_at < KNOWN_WITHIN:
        raise NotYetKnown(f"an event tells of {report.arn}, Get does not know it yet")
    if found is None or found.token != name or found.name != name:
        visit.counted = True
        world.note("ForeignJobWithOurName", job=job.id, model=job.model, arn=report.arn)
        return None
    record_submitted(world, job, report.arn, found=True)
    visit.fill = True  # the fill that claimed it stopped at the unknown answer
    return None


def _stop_stray(world: World, job: Job, visit: Visit) -> None:
    """Bedrock has an attempt that was cancelled in line, although a look-up did not find it: stop
    it. It has no slot any more.
    """
    report = visit.report
    if (
        report is None
        or job.at_bedrock
        or report.attempt != job.attempt
        or report.status in {"Stopping", *ENDS}
    ):
        return
    name = attempt_name(world.config.deployment, job.id, job.attempt)
    found = world.bedrock.get(report.arn)
    if found is not None and found.token == found.name == name:
        world.bedrock.stop(report.arn)
        visit.counted = True
        world.note("StrayStopped", job=job.id, model=job.model, arn=report.arn)


def _claimed(world: World, job: Job, visit: Visit) -> Job | None:
    """He who claims, creates: while the lease runs there is nothing to do but to make sure of the
    timer.
    """
    slots = world.store.slots(job.model)
    if slots is None:
        raise RuntimeError(
            f"model {job.model} has no slots, but job {job.id} was claimed: rebuild them with `bbq "
            "rebuild`"
        )
    lease = slots.holders.get(holder(job.id, job.attempt))
    if lease is None or lease.submitted:
        return None  # it moved on between the two reads
    if lease.until > world.now():
        world.timers.arm_attempt(job.id, job.attempt, lease_due(lease.until, world.now()))
        return job
    return _taken_over(world, job, visit, lease)


def _taken_over(world: World, job: Job, visit: Visit, lease: Lease) -> Job | None:
    visit.fill = True  # as in _adopt
    found = take_over(world, job, lease)
    if found is not None and visit.report is None:
        visit.report = Report(
            arn=found.arn,
            model_id=job.model_id,
            status=found.status,
            message=found.message,
            job=job.id,
            attempt=job.attempt,
        )
    return None


def _running(world: World, job: Job, visit: Visit) -> Job | None:
    said = _said(world, job, visit)
    if visit.timer:
        _check_in(world, job, missed=said is not None and news(job, said[0]))
        # who adopted it may have died before it looked at the others
        visit.timer, visit.fill = False, True
    if said is not None and news(job, said[0]):
        return _record(world, job, visit, *said)
    if (
        job.forget is not None
        and said is None
        and job.arn is not None
        and world.bedrock.get(job.arn) is None
    ):
        why = f": {job.forget.why}" if job.forget.why else ""
        return _end(
            world,
            job,
            visit,
            "Failed",
            f"Bedrock does not know it; forgotten by {job.forget.by}{why}",
            forgotten=True,
        )
    if (
        job.cancel is not None
        and job.status != "Stopping"
        and (after := _stop(world, job, visit)) is not job
    ):
        return after
    if not visit.kept:
        due = check_in_due(
            job.claimed_at or job.queued_at, world.config.check_in_minutes, world.now()
        )
        world.timers.arm_attempt(job.id, job.attempt, due)
    return job


def _check_in(world: World, job: Job, *, missed: bool) -> None:
    """What only a timer notices: that an event had not come, and that a slot is held longer than
    Bedrock should let it be.
    """
    show(world, job.model)
    if missed:
        world.note("EventMissed", job=job.id, model=job.model)
    model = world.config.models.get(job.model)
    since = job.submitted_at or job.claimed_at or job.queued_at
    if (
        not missed
        and model is not None
        and world.now() - since > timedelta(hours=model.timeout_hours) + OVERDUE_MARGIN
    ):
        world.note("SlotOverdue", job=job.id, model=job.model, since=text_of(since))


def _said(world: World, job: Job, visit: Visit) -> tuple[str, str] | None:
    """(status, message) by the event, which must name this attempt and this ARN; or, on a timer, by
    asking Bedrock once.
    """
    if visit.report is not None and _about(visit.report, job):
        return visit.report.status, visit.report.message
    if visit.look and job.arn is not None:
        visit.look = False
        found = world.bedrock.get(job.arn)
        if found is not None:
            if found.processed_records and _goes_well(world, job):
                visit.fill = True  # the hold is gone
            return found.status, found.message
        if world.now() - (job.submitted_at or job.queued_at) > KNOWN_WITHIN:
            # a way out: `bbq forget`
            world.note("JobUnknown", job=job.id, model=job.model, arn=job.arn)
    return None


def _goes_well(world: World, job: Job) -> bool:
    """Records are processed: what made jobs fail in a row is mended, if this one was claimed since.
    Whether it was.
    """
    slots = world.store.slots(job.model)
    if slots is None or not slots.failures or not projections.after_the_failures(job, slots):
        return False
    try:
        world.store.commit(projections.gone_well(slots))
    except ConditionFailed:
        return False
    return True


def _about(report: Report | None, job: Job) -> bool:
    """Whether an event is about the attempt as it is now: this very visit may have brought the job
    to its next one.
    """
    return report is not None and report.attempt == job.attempt and report.arn == job.arn


def _record(world: World, job: Job, visit: Visit, status: str, message: str) -> Job | None:
    """Record what Bedrock says."""
    if status in ENDS:
        return _end(world, job, visit, status, message)
    event = e.JobProgressed(at=world.now(), attempt=job.attempt, status=status)
    slots = world.store.slots(job.model) if status == "InProgress" else None
    try:
        world.store.commit(
            projections.begun(job, event, slots)
            if slots is not None
            else projections.appended(job, event)
        )
    except ConditionFailed:
        return None
    world.note("JobProgressed", job=job.id, model=job.model, status=status)
    if slots is not None and slots.failing is not None:
        visit.fill = True  # jobs get further than they did: the hold is gone
    # A report is done with when its timer is armed: so whoever recorded the first progress has
    # armed it, or will.
    visit.kept = visit.report is not None and job.status != SUBMITTED
    return evolve(job.id, job, event)


def _end(
    world: World, job: Job, visit: Visit, status: str, message: str, *, forgotten: bool = False
) -> Job | None:
    after = record_end(world, job, status, message, forgotten=forgotten)
    visit.ended = after is not None
    return after


def _stop(world: World, job: Job, visit: Visit) -> Job | None:
    """Carry out a cancel at Bedrock. Its own events then tell the rest. Raises NotYetKnown: the
    cancel comes back soon.
    """
    if job.arn is None:
        raise RuntimeError(f"job {job.id} runs without an ARN")
    if world.bedrock.stop(job.arn):
        return _record(world, job, visit, "Stopping", "")
    # nothing to stop: it has ended, or is about to be seen so, or neither Stop nor Get knows it yet
    found = asked(world, job)
    if found is not None and news(job, found.status):
        return _record(world, job, visit, found.status, found.message)
    return job


def _ended(world: World, job: Job, visit: Visit) -> Job | None:
    """The slot first: somebody may be waiting for it. The tally comes last, so that a tallied job
    has nothing left to do.
    """
    if job.tally is None and visit.refilled != job.attempt:
        visit.fill, visit.refilled = False, job.attempt
        refill(world, job, hint=visit.ended)
        return None  # as long as it took, another may have tallied it
    return settle(world, job)
