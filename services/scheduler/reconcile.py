"""Reconcile: load a job, and do whatever its state still needs. Wake on an edge, act on the level.

Any hint leads here; how often, in what order, or from whom changes nothing: what is known is
gathered, the next step is decided on it (decide.py, where the table of the states is), and applied
on condition that the state is still the same. So it goes on until the job is at rest; only then, or
once its end is recorded, are others in line looked at: nothing that is wrong with another job's
rows may keep an end from being told.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from bbq.services.scheduler.adopt import adopt
from bbq.services.scheduler.attempt import take_over
from bbq.services.scheduler.bedrock import KNOWN_WITHIN
from bbq.services.scheduler.cancel import cancel_unreadable, cancel_waiting, stop, stop_stray
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
    is_about,
)
from bbq.services.scheduler.ending import record_end, refill, requeue, tally
from bbq.services.scheduler.fill import fill
from bbq.services.scheduler.gauges import show
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.wake import foreign_end
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.job import (
    APPENDED_BY_OTHERS,
    CLAIMED,
    ENDS,
    RUNNING,
    SUBMITTED,
    UNREADABLE,
    Job,
    evolve,
    may_come_back,
    news,
)
from bbq.shared.names import holder
from bbq.shared.plain import text_of
from bbq.shared.slots import Lease
from bbq.shared.tables import ConditionFailed

MAX_STEPS = 20  # of one reconcile; a job's whole life takes fewer
# beyond a job's own deadline, when a slot that is still held is worth an alarm
OVERDUE_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What woke us to look at a job: a `report` of Bedrock's, or a hint. `look`: Bedrock is to be
    asked if nobody reported; `timer`: a timer of the attempt told us to.
    """

    report: Report | None = None
    look: bool = False
    timer: bool = False


def reconcile(world: World, job_id: str, visit: Visit) -> bool:
    """Do all that the job needs now. Whether the report that woke us was about it. Errors rise: the
    hint must come back.
    """
    job = first = _read(world, job_id)
    seen, heard = Seen(told=visit.report), False
    for _ in range(MAX_STEPS):
        if job is None:
            world.note("HintIgnored", reason="NoSuchJob", job=job_id)
            return False
        heard = heard or is_about(visit.report, job)
        seen = _gathered(world, job, visit, seen)
        step = decide(job, seen, world.config, world.now())
        if isinstance(step, Rest):
            if not _is_armed(visit, first or job, job):
                _arm(world, job, step.timer)
            if step.fill:
                fill(world, job.model, hint=True)
            if visit.report is not None and seen.told is not None and not heard:
                # late, or forged: of an attempt before, or of another job at Bedrock
                _not_this_attempt(world, job, visit.report)
            return heard
        after, seen = _apply(world, job, step, seen)
        job = after or _read(world, job_id)
    raise RuntimeError(f"job {job_id} did not come to rest in {MAX_STEPS} steps")


def reconcile_report(world: World, report: Report) -> None:
    """A Bedrock event: news of a job of ours, or an end that made room at Bedrock."""
    ours = report.job is not None and reconcile(world, report.job, Visit(report=report))
    if not ours and report.status in ENDS:
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


# Gather.


def _gathered(world: World, job: Job, visit: Visit, seen: Seen) -> Seen:
    """What the next decision needs beside the job's events."""
    if job.status == CLAIMED:
        return replace(seen, lease=_lease(world, job))
    asks = visit.look or job.forget is not None
    if job.status in RUNNING and asks and not seen.unknown and not is_about(seen.told, job):
        return _ask(world, job, visit, seen)
    return seen


def _lease(world: World, job: Job) -> Lease | None:
    slots = world.store.slots(job.model)
    if slots is None:
        raise RuntimeError(
            f"model {job.model} has no slots, but job {job.id} was claimed: rebuild them with `bbq "
            "rebuild`"
        )
    return slots.holders.get(holder(job.id, job.attempt))


def _ask(world: World, job: Job, visit: Visit, seen: Seen) -> Seen:
    """What Get says of a job at Bedrock, once in a visit."""
    found = world.bedrock.get(job.arn) if job.arn is not None else None
    if found is not None:
        seen = replace(seen, told=_told(job, found.arn, found.status, found.message))
    else:
        seen = replace(seen, unknown=True)
        if world.now() - (job.submitted_at or job.queued_at) > KNOWN_WITHIN:
            # a way out: `bbq forget`
            world.note("JobUnknown", job=job.id, model=job.model, arn=job.arn)
    if visit.timer:
        _check_in(world, job, missed=found is not None and news(job, found.status))
    mended = found is not None and bool(found.processed_records) and _goes_well(world, job)
    # of a timer: who adopted the job may have died before it looked at the others
    return replace(seen, fill=seen.fill or visit.timer or mended)


def _told(job: Job, arn: str, status: str, message: str) -> Report:
    """What Bedrock said when it was asked, as its event would say it."""
    return Report(
        arn=arn,
        model_id=job.model_id,
        status=status,
        message=message,
        job=job.id,
        attempt=job.attempt,
    )


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


def _is_armed(visit: Visit, first: Job, job: Job) -> bool:
    """Whether the attempt is sure to have its timer. A report is done with when it is armed: so
    whoever recorded the first progress has armed it, or will.
    """
    had_progressed = first.status in RUNNING and first.status != SUBMITTED
    goes_on = job.status in RUNNING and job.version > first.version
    return visit.report is not None and had_progressed and goes_on


def _arm(world: World, job: Job, due: datetime | None) -> None:
    if due is not None:
        world.timers.arm_attempt(job.id, job.attempt, due)


# Apply.


def _apply(world: World, job: Job, step: Step, seen: Seen) -> tuple[Job | None, Seen]:  # noqa: C901, PLR0912 - a table: one row for each step
    """The job after the step, or None to read it; and what is known then."""
    match step:
        case Rest() | ReadAgain():
            return None, seen
        case Cancel():
            if job.status == UNREADABLE:
                cancel_unreadable(world, job)
                return None, seen
            done = cancel_waiting(world, job)
            # else who claimed it may have stopped at an unknown answer
            return None, replace(seen, fill=seen.fill or not done)
        case Stop():
            said = stop(world, job)
            told = seen.told if said is None else _told(job, job.arn or "", *said)
            return job, replace(seen, told=told, stopped=True)
        case StopStray(report):
            if not stop_stray(world, job, report.arn):
                _not_this_attempt(world, job, report)
            return job, replace(seen, told=None)
        case Adopt(report):
            if not adopt(world, job, report.arn):
                return None, replace(seen, told=None)
            # the fill that claimed it stopped at the unknown answer
            return None, replace(seen, fill=True)
        case TakeOver(lease):
            found = take_over(world, job, lease)
            if found is not None and seen.told is None:
                seen = replace(seen, told=_told(job, found.arn, found.status, found.message))
            return None, replace(seen, fill=True)  # as of Adopt
        case Progress(status):
            return _progress(world, job, status, seen)
        case End(status, message, forgotten):
            ended = record_end(world, job, status, message, forgotten=forgotten)
            if ended is None:  # whoever was to be forgotten may be known by now
                return None, replace(seen, unknown=False)
            return _refilled(world, ended, seen, hint=True)
        case Refill():
            return _refilled(world, job, seen, hint=False)
        case Requeue(why):
            return requeue(world, job, why), seen
        case Tally():
            return tally(world, job), seen
        case _:
            assert_never(step)


def _progress(world: World, job: Job, status: str, seen: Seen) -> tuple[Job | None, Seen]:
    event = e.JobProgressed(at=world.now(), attempt=job.attempt, status=status)
    slots = world.store.slots(job.model) if status == "InProgress" else None
    try:
        world.store.commit(
            projections.begun(job, event, slots)
            if slots is not None
            else projections.appended(job, event)
        )
    except ConditionFailed:
        return None, seen
    world.note("JobProgressed", job=job.id, model=job.model, status=status)
    mended = slots is not None and slots.failing is not None  # jobs get further than they did
    return evolve(job.id, job, event), replace(seen, fill=seen.fill or mended)


def _refilled(world: World, job: Job, seen: Seen, *, hint: bool) -> tuple[Job | None, Seen]:
    """The slot is given on. To be read again: as long as it took, another may have tallied it."""
    seen = replace(seen, refilled=True, fill=False)
    try:
        refill(world, job, hint=hint)
    except Exception:
        # whatever it is: it rises, and its message then fills again. What is wrong with others does
        # not keep this job from coming back meanwhile.
        if may_come_back(job):
            step = decide(job, seen, world.config, world.now())
            if isinstance(step, Rest):
                _arm(world, job, step.timer)  # it waits for its counts
            else:
                _apply(world, job, step, seen)
        raise
    return None, seen


def _not_this_attempt(world: World, job: Job, report: Report) -> None:
    world.note("HintIgnored", reason="NotThisAttempt", job=job.id, attempt=report.attempt)
