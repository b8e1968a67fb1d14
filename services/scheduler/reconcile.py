"""Reconcile: read a job's events, and do whatever its state still needs. Wake on an edge, act on the level.

Any hint leads here; how often, in what order, or from whom changes nothing: every step is decided on the state as it is now
and committed on condition that it still is. `reconcile` loops until nothing is left to do.

| state | what is left to do |
|---|---|
| Queued | a place in line, then `fill` |
| Claimed, Held | the lease runs: its timer. It is over: take over. Refused: wait for its time. Bedrock reports it: adopt it |
| at Bedrock | record what Bedrock says; carry out a cancel; keep the timer |
| ended | fill the slot, clear the timers, count what was done, queue it again if policy says so |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from services.scheduler.attempt import cancel_refused, record_submitted, take_over
from services.scheduler.fill import Claim, cancel_waiting, fill, hand_over
from services.scheduler.gauges import show
from services.scheduler.hints import Report, alias_of
from services.scheduler.world import World
from shared import events as e
from shared import projections
from shared.events import text_of
from shared.job import (
    APPENDED_BY_OTHERS,
    CANCELLED,
    ENDS,
    LEASED,
    QUEUED,
    REJECTED,
    RUNNING,
    SUBMITTED,
    UNREADABLE,
    Job,
    evolve,
    fold,
    may_retry,
    news,
)
from shared.models import MAX_ATTEMPTS
from shared.names import attempt_name, holder, job_stream, model_stream
from shared.slots import UNANSWERED, Lease, at_minute, check_in_due, fold_model, lease_due, minute_number
from shared.tables import ConditionFailed, Write

MAX_STEPS = 20  # of one reconcile; a job's whole life takes fewer
OVERDUE_MARGIN = timedelta(hours=1)  # beyond a job's own deadline, when a slot that is still held is worth an alarm


class Then(Enum):
    """What follows a step that does not itself know the job's next state."""

    REST = auto()  # nothing is left to do
    READ = auto()  # the state may have changed: read it again


Next = Then | Job  # a Job: as this very step has just committed it, so that nobody need read it


@dataclass
class Visit:
    """One look at a job, and what woke us. `look` asks Bedrock once where nobody reported, `timer` says that a timer told us to;
    `matched`: the report was about it; `counted`: that it was not has been said. `refilled` is the attempt whose slot this visit
    has given to the next. `kept`: whoever recorded what Bedrock said before has armed the attempt's timer.
    """

    report: Report | None = None
    look: bool = False
    timer: bool = False
    matched: bool = False
    refilled: int = 0
    counted: bool = False
    kept: bool = False


def reconcile(world: World, job_id: str, visit: Visit) -> None:
    """Do all that the job needs now. Errors rise: the hint must come back."""
    known: Job | None = None
    for _ in range(MAX_STEPS):
        job = known or _read(world, job_id)
        if job is None:
            visit.counted = True
            world.note("HintIgnored", reason="NoSuchJob", job=job_id)
            return
        after = _step(world, job, visit)
        if after is Then.REST:
            return
        known = after if isinstance(after, Job) else None
    raise RuntimeError(f"job {job_id} did not come to rest in {MAX_STEPS} steps")


def reconcile_report(world: World, report: Report) -> None:
    """A Bedrock event: news of a job of ours, or an end that made room at Bedrock."""
    visit = Visit(report=report)
    if report.job is not None:
        reconcile(world, report.job, visit)
        if not visit.matched and not visit.counted:  # late, or forged: of an attempt before, or of another job at Bedrock
            world.note("HintIgnored", reason="NotThisAttempt", job=report.job, attempt=report.attempt)
    if not visit.matched and report.status in ENDS:
        _foreign_end(world, report)


def reconcile_model(world: World, alias: str, limit: int | None = None) -> None:
    """Bring a model's slots up to its events, then fill. `limit` is what a deployment now says; None leaves it."""
    for tries in range(MAX_STEPS):
        events = [recorded.event for recorded in world.store.load(model_stream(alias))]
        state, slots = fold_model(alias, events), world.store.slots(alias)
        if slots is None and any(isinstance(event, e.LimitSet) for event in events):
            # Made anew it would be empty and open, whoever lives at Bedrock.
            raise RuntimeError(f"the slots of model {alias} are missing, but it had them: rebuild them (cli/repair.py)")
        writes: list[Write] = []
        if limit is not None and (not events or state.limit != limit):
            event = e.LimitSet(at=world.now(), limit=limit)
            state = fold_model(alias, [*events, event])
            writes.append(projections.append_to_model(alias, state.model_version, event))
        if state.model_version > (slots.model_version if slots else 0):
            writes.extend(projections.model_changed(slots, state))
        try:
            if writes:
                world.store.commit(writes)
            break
        except ConditionFailed:
            world.store.pause(tries)
    else:
        raise RuntimeError(f"the slots of model {alias} could not be brought up to date in {MAX_STEPS} tries")
    fill(world, alias, probe=True)


def wake(world: World, alias: str | None = None, limits: Mapping[str, int] | None = None) -> list[str]:
    """Look at one model, or at all that are configured. `limits` come from a deployment."""
    aliases = [alias] if alias is not None else list(world.config.models)
    _each(aliases, lambda name: reconcile_model(world, name, (limits or {}).get(name)))
    return aliases


def _read(world: World, job_id: str) -> Job | None:
    """The job as its events tell it, and projected. None where there is none."""
    events = [recorded.event for recorded in world.store.load(job_stream(job_id))]
    job = fold(job_id, events)
    if job is not None and job.latest in APPENDED_BY_OTHERS:
        _project(world, job, events)
    return job


def _project(world: World, job: Job, events: Sequence[e.Event]) -> None:
    """Put what others appended into the view, the line and the counts, before anybody looks for a slot: then one of two sees the
    other. What counts is moved from where the view has it, so the view must still be as it was seen.
    """
    for tries in range(MAX_STEPS):
        seen = world.store.view_version(job.id)
        if seen >= job.version:
            return
        try:
            world.store.commit(projections.projected(fold(job.id, events[:seen]), job))
        except ConditionFailed:
            world.store.pause(tries)
        else:
            return
    raise RuntimeError(f"the view of job {job.id} could not be brought up to date in {MAX_STEPS} tries")


def _step(world: World, job: Job, visit: Visit) -> Next:
    """One step of what the job's state still needs."""
    visit.matched = visit.matched or _about(visit.report, job)
    if job.status == UNREADABLE:
        return _unreadable(world, job)
    if not job.model:
        return Then.REST  # rejected, or cancelled before it could be read: no model's line or slots are concerned
    if job.status == QUEUED:
        if job.cancel is not None:
            cancel_waiting(world, job)
            return Then.READ
        fill(world, job.model, probe=False)
        return Then.REST
    if job.status in LEASED:
        return _claimed(world, job, visit)
    if job.status in RUNNING:
        return _running(world, job, visit)
    if job.status in ENDS:
        return _ended(world, job, visit)
    if job.status == CANCELLED:
        fill(world, job.model, probe=False)
    elif job.status != REJECTED:
        raise RuntimeError(f"no rule for a job that is {job.status}")
    return Then.REST


def _unreadable(world: World, job: Job) -> Next:
    """Intake tries again to read it; here it can only be cancelled."""
    if job.cancel is None:
        return Then.REST
    after = _append(world, job, e.JobCancelled(at=world.now()))
    if isinstance(after, Job):
        world.note("JobCancelled", job=job.id)
    return after


def _claimed(world: World, job: Job, visit: Visit) -> Next:
    slots = world.store.slots(job.model)
    if slots is None:
        raise RuntimeError(f"model {job.model} has no slots, but job {job.id} was claimed")
    whose = holder(job.id, job.attempt)
    lease, refusal = slots.holders.get(whose), slots.refused.get(whose)
    if visit.report is not None and visit.report.attempt == job.attempt and _adopt(world, job, visit, visit.report):
        fill(world, job.model, probe=False)  # the fill that claimed it stopped at the unknown answer
        return Then.READ
    if lease is not None and not lease.submitted:
        return _leased(world, job, lease)
    if refusal is None:
        return Then.READ  # it moved on between the two reads
    if job.cancel is not None:
        cancel_refused(world, job)
        return Then.READ
    if refusal.retry_at > world.now():
        world.timers.arm_model(job.model, refusal.retry_at)
    fill(world, job.model, probe=False)
    return Then.REST


def _adopt(world: World, job: Job, visit: Visit, report: Report) -> bool:
    """An event for a job whose Create is not answered yet. Its name proves nothing; the token that Get shows does.

    True where the job is ours, also where another was faster to record it: what else the event says is still to be recorded.
    """
    name = attempt_name(world.config.deployment, job.id, job.attempt)
    found = world.bedrock.get(report.arn)
    if found is None or found.token != name or found.name != name:
        visit.counted = True
        world.note("ForeignJobWithOurName", job=job.id, model=job.model, arn=report.arn)
        return False
    record_submitted(world, job, report.arn, found=True)
    return True


def _leased(world: World, job: Job, lease: Lease) -> Next:
    """He who claims, creates: while the lease runs there is nothing to do but to make sure of the timer."""
    if lease.until > world.now():
        world.timers.arm_attempt(job.id, job.attempt, lease_due(lease.until, world.now()))
        return Then.REST
    found = take_over(world, job, lease)
    # Either way somebody may be waiting: the fill that claimed this one stopped at the unknown answer. A job that was unanswered
    # before is not the first to be tried again, or it would stop its model.
    again = UNANSWERED in job.refusals and not found
    fill(world, job.model, probe=True, skip=holder(job.id, job.attempt) if again else None)
    return Then.READ if found else Then.REST


def _running(world: World, job: Job, visit: Visit) -> Next:
    said = _said(world, job, visit)
    if visit.timer:
        _check_in(world, job, missed=said is not None and news(job, said[0]))
        visit.timer = False
    if said is not None and news(job, said[0]):
        return _record(world, job, visit, *said)
    if job.cancel is not None and job.status != "Stopping" and (after := _stop(world, job, visit)) is not Then.REST:
        return after
    if not visit.kept:
        anchor = job.claimed_at or job.queued_at
        due = check_in_due(anchor, world.config.check_in_minutes, world.now())
        world.timers.arm_attempt(job.id, job.attempt, due)
    return Then.REST


def _check_in(world: World, job: Job, *, missed: bool) -> None:
    """What only a timer notices: that an event had not come, and that a slot is held longer than Bedrock should let it be."""
    show(world, job.model)
    if missed:
        world.note("EventMissed", job=job.id, model=job.model)
    model = world.config.models.get(job.model)
    since = job.submitted_at or job.claimed_at or job.queued_at
    if not missed and model is not None and world.now() - since > timedelta(hours=model.timeout_hours) + OVERDUE_MARGIN:
        world.note("SlotOverdue", job=job.id, model=job.model, since=text_of(since))


def _said(world: World, job: Job, visit: Visit) -> tuple[str, str] | None:
    """(status, message) by the event, which must name this attempt and this ARN; or, on a timer, by asking Bedrock once."""
    if visit.report is not None and _about(visit.report, job):
        return visit.report.status, visit.report.message
    if visit.look and job.arn is not None:
        visit.look = False
        found = world.bedrock.get(job.arn)
        return (found.status, found.message) if found else None
    return None


def _about(report: Report | None, job: Job) -> bool:
    """Whether an event is about the attempt as it is now: this very visit may have brought the job to its next one."""
    return report is not None and report.attempt == job.attempt and report.arn == job.arn


def _record(world: World, job: Job, visit: Visit, status: str, message: str) -> Next:
    """Record what Bedrock says. An end gives the slot to the next at once."""
    now = world.now()
    if status in ENDS:
        return _end(world, job, visit, e.JobEnded(at=now, attempt=job.attempt, status=status, message=message, arn=job.arn))
    after = _append(world, job, e.JobProgressed(at=now, attempt=job.attempt, status=status))
    if isinstance(after, Job):
        world.note("JobProgressed", job=job.id, model=job.model, status=status)
        # A report is done with when its timer is armed: so whoever recorded the first progress has armed it, or will.
        visit.kept = visit.report is not None and job.status != SUBMITTED
    return after


def _end(world: World, job: Job, visit: Visit, event: e.JobEnded) -> Next:
    """Record an end, with the claim of whoever is next in the same transaction where that can be."""
    claim = hand_over(world, job, event)
    if claim is None:
        try:
            world.store.commit(projections.released(job, event, holder(job.id, job.attempt)))
        except ConditionFailed:
            return Then.READ  # somebody recorded something first
    world.note("JobEnded", job=job.id, model=job.model, status=event.status)
    if job.claimed_at is not None:
        world.measure(job.model, SlotTime=max((world.now() - job.claimed_at).total_seconds(), 0))
    sharers = _others_of_the_model(world, job)
    try:
        _refill(world, job, visit, event.at, claim)
        _tell(world, sharers)
    except Exception:  # whatever it is: it rises, and our own message, if it has failed often, comes back in an hour only
        for alias in (job.model, *sharers):
            world.outbox.wake_model(alias)
        raise
    return evolve(job.id, job, event)


def _refill(world: World, job: Job, visit: Visit, ended_at: datetime, claim: Claim | None = None) -> None:
    fill(world, job.model, probe=True, freed_at=ended_at, claim=claim)
    visit.refilled = job.attempt


def _stop(world: World, job: Job, visit: Visit) -> Next:
    """Carry out a cancel at Bedrock. Its own events then tell the rest."""
    if job.arn is None:
        raise RuntimeError(f"job {job.id} runs without an ARN")
    if world.bedrock.stop(job.arn):
        return _record(world, job, visit, "Stopping", "")
    found = world.bedrock.get(job.arn)  # nothing to stop: it has ended, or is about to be seen so
    if found is not None and news(job, found.status):
        return _record(world, job, visit, found.status, found.message)
    return Then.REST


def _ended(world: World, job: Job, visit: Visit) -> Next:
    """The slot first: somebody may be waiting for it. The tally comes last, so that a tallied job has nothing left to do."""
    if job.tally is None and visit.refilled != job.attempt:
        _refill(world, job, visit, job.ended_at or world.now())
        return Then.READ  # as long as it took, another may have tallied it
    if job.tally is None:
        _disarm(world, job)
        if job.arn is not None:
            tally = _tally(world, job)
            after = _append(world, job, tally)
            if isinstance(after, Job):
                _measure(world, job, tally)
            return after
    # Also while its model is not configured: it waits in line for the model to come back, and nobody would look again.
    model = world.config.models.get(job.model)
    if may_retry(job, model.max_attempts if model is not None else MAX_ATTEMPTS):
        again = e.JobRequeued(at=world.now(), attempt=job.attempt, by="policy", why="expired before it began")
        return _append(world, job, again)
    return Then.REST


def _append(world: World, job: Job, event: e.Event) -> Next:
    """Append it. Where somebody was faster, read again."""
    try:
        world.store.commit(projections.appended(job, event))
    except ConditionFailed:
        return Then.READ
    return evolve(job.id, job, event)


def _measure(world: World, job: Job, tally: e.JobTallied) -> None:
    values = {
        "InputTokens": tally.input_tokens, "OutputTokens": tally.output_tokens,
        "RecordsSucceeded": tally.succeeded_records, "RecordsFailed": tally.failed_records,
    }  # fmt: skip
    world.measure(job.model, **{name: value for name, value in values.items() if value is not None})


def _disarm(world: World, job: Job) -> None:
    """Remove the timers this attempt may still have. One that is missed fires, and finds nothing to do."""
    if job.claimed_at is None:
        return
    now = world.now()
    after_lease = at_minute(minute_number(job.claimed_at + world.config.lease) + 1)
    for due in (after_lease, check_in_due(job.claimed_at, world.config.check_in_minutes, now)):
        if due > now:
            world.timers.disarm_attempt(job.id, job.attempt, due)


def _tally(world: World, job: Job) -> e.JobTallied:
    """Counts from the manifest, which alone knows the tokens; else from Get; else nobody could say."""
    manifest = world.results.manifest(job.output_uri, job.arn or "")
    if "totalRecordCount" in manifest:
        return e.JobTallied(
            at=world.now(), attempt=job.attempt, total_records=manifest.get("totalRecordCount"),
            processed_records=manifest.get("processedRecordCount"), succeeded_records=manifest.get("successRecordCount"),
            failed_records=manifest.get("errorRecordCount"), input_tokens=manifest.get("inputTokenCount"),
            output_tokens=manifest.get("outputTokenCount"),
        )  # fmt: skip
    found = world.bedrock.get(job.arn) if job.arn else None
    if found is None:
        return e.JobTallied(at=world.now(), attempt=job.attempt)
    return e.JobTallied(
        at=world.now(), attempt=job.attempt, total_records=found.total_records, processed_records=found.processed_records,
        succeeded_records=found.succeeded_records, failed_records=found.failed_records,
    )  # fmt: skip


def _foreign_end(world: World, report: Report) -> None:
    """Others share the quota: their end is a reason to ask again."""
    ids = {alias: model.model_id for alias, model in world.config.models.items()}
    _tell(world, alias_of(report.model_id, ids) or list(ids))  # a model that cannot be told may be any


def _others_of_the_model(world: World, job: Job) -> list[str]:
    """Further aliases of the model that the job runs on: they share its quota."""
    return alias_of(job.model_id, {alias: model.model_id for alias, model in world.config.models.items() if alias != job.model})


def _tell(world: World, aliases: Iterable[str]) -> None:
    """A job ended that was not theirs: whoever was refused, or is being refused right now, has a reason to ask again."""

    def tell(alias: str) -> None:
        slots = world.store.slots(alias)
        if slots is not None and slots.someone_hopes:
            world.store.commit(projections.foreign_end(alias))
            fill(world, alias, probe=True)

    _each(aliases, tell)


def _each(aliases: Iterable[str], act: Callable[[str], None]) -> None:
    """Do it for every model, whatever becomes of the others; then raise what went wrong."""
    errors: list[Exception] = []
    for alias in aliases:
        try:
            act(alias)
        except Exception as error:  # noqa: BLE001 - raised below, all together
            error.add_note(f"model {alias}")
            errors.append(error)
    if errors:
        raise ExceptionGroup("some models could not be looked after", errors)
