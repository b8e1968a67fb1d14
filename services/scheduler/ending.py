"""The end of an attempt: recorded first, before any other job is looked at; then its slot goes to
the next in line; then it is counted, or queued again.

A job that failed before a record was processed comes back by itself (`job.comes_back`): the reason
is most likely the account's, the role's or the model's, and costs no upload (P9). Get is asked how
far it came *before* its end is recorded, because the end also counts how many failed so in a row,
and holds the model at the third (shared/hold.py); and asked again when its counts no longer lag,
before the job is queued again: what was processed is not bought twice (P2).
"""

from bbq.services.scheduler.adopt import asked
from bbq.services.scheduler.attempt import arm_hold
from bbq.services.scheduler.bedrock import NotYetKnown
from bbq.services.scheduler.fill import fill
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.due import at_minute, check_in_due, minute_number
from bbq.shared.hold import FAILING, failed
from bbq.shared.job import ENDS, POLICY, Job, evolve, may_come_back
from bbq.shared.names import holder
from bbq.shared.tables import ConditionFailed


def record_end(
    world: World, job: Job, status: str, message: str, *, forgotten: bool = False
) -> Job | None:
    """The job after its end; None if somebody recorded something first: read again. So also if it
    is `forgotten`, and Get knows it all the same.
    """
    slots = world.store.slots(job.model)
    if slots is None:
        raise RuntimeError(
            f"model {job.model} has no slots, but job {job.id} runs: rebuild them with `bbq "
            "rebuild`"
        )
    found = asked(world, job) if status in {"Failed", "Expired"} else None
    if forgotten and found is not None:
        return None
    event = e.JobEnded(
        at=world.now(),
        attempt=job.attempt,
        status=status,
        message=message,
        arn=job.arn,
        good_ends=slots.good_ends,
        processed_records=found.processed_records if found else None,
        started=job.started_at is not None or bool(found and found.total_records),
    )
    after = evolve(job.id, job, event)
    hold = None
    if projections.failed_at_once(after):
        hold = failed(
            slots.failing,
            failures=slots.failures + 1,
            message=message,
            ends=slots.ends + 1,
            now=event.at,
        )
    if hold is not None:
        arm_hold(world, job.model, hold)
    try:
        world.store.commit(projections.ended(job, event, holder(job.id, job.attempt), slots))
    except ConditionFailed:
        return None
    world.note("JobEnded", job=job.id, model=job.model, status=status)
    if hold is not None:
        world.note("ModelHeld", model=job.model, kind=FAILING, reason=message, job=job.id)
    if job.claimed_at is not None:
        world.measure(job.model, SlotTime=max((world.now() - job.claimed_at).total_seconds(), 0))
    return after


def refill(world: World, job: Job, *, hint: bool) -> None:
    """Give the slot of an ended job to the next in line. If that fails, `hint` leaves one behind:
    once for each end, or every try of its message would leave another.
    """
    try:
        fill(world, job.model, freed_at=job.ended_at, hint=hint)
    except Exception:
        # whatever it is: it rises, and our own message, if it has failed often, comes back in an
        # hour only
        if hint:
            world.outbox.wake_model(job.model)
        raise


def requeue(world: World, job: Job, why: str) -> Job | None:
    """The job back in line, for another attempt; None if somebody was faster."""
    event = e.JobRequeued(at=world.now(), attempt=job.attempt, by=POLICY, why=why)
    return _append(world, job, event)


def tally(world: World, job: Job) -> Job | None:
    """The job with what it did counted; None if somebody was faster."""
    _disarm(world, job)
    counted = _tally(world, job)
    after = _append(world, job, counted)
    if after is None:
        return None
    _measure(world, job, counted)
    if counted.processed_records and projections.failed_at_once(job):
        _was_none(world, job)
    return after


def _was_none(world: World, job: Job) -> None:
    """A failure that was counted as one before a record was processed, and was not: Get's counts
    had lagged. It is taken back; if the job was claimed since the others failed, they are mended.
    """
    slots = world.store.slots(job.model)
    if slots is None or not slots.failures:
        return
    mended = projections.after_the_failures(job, slots)
    if not mended and slots.failed_since and (job.ended_at or job.updated_at) < slots.failed_since:
        return  # it was counted in a row that is over
    try:
        world.store.commit((projections.gone_well if mended else projections.taken_back)(slots))
    except ConditionFailed:
        return
    try:
        fill(world, job.model)  # maybe the hold is gone
    except Exception:
        # whatever it is: it rises, and the job, which is tallied, will not lead here again
        world.outbox.wake_model(job.model)
        raise


def _append(world: World, job: Job, event: e.Event) -> Job | None:
    try:
        world.store.commit(projections.appended(job, event))
    except ConditionFailed:
        return None
    return evolve(job.id, job, event)


def _measure(world: World, job: Job, tally: e.JobTallied) -> None:
    values = {
        "InputTokens": tally.input_tokens,
        "OutputTokens": tally.output_tokens,
        "RecordsSucceeded": tally.succeeded_records,
        "RecordsFailed": tally.failed_records,
    }
    world.measure(job.model, **{name: value for name, value in values.items() if value is not None})


def _disarm(world: World, job: Job) -> None:
    """Remove the timers this attempt may still have. One that is missed fires, and finds nothing to
    do.
    """
    if job.claimed_at is None:
        return
    now = world.now()
    after_lease = at_minute(minute_number(job.claimed_at + world.config.lease) + 1)
    for due in (after_lease, check_in_due(job.claimed_at, world.config.check_in_minutes, now)):
        if due > now:
            world.timers.disarm_attempt(job.id, job.attempt, due)


def _tally(world: World, job: Job) -> e.JobTallied:
    """Counts from the manifest, which alone knows the tokens; else from Get; else nobody could say.
    Of a job that may come back Get is asked in any case: the larger number counts (P2).
    """
    manifest = world.results.manifest(job.output_uri, job.arn or "")
    found = asked(world, job) if may_come_back(job) or "totalRecordCount" not in manifest else None
    if may_come_back(job) and found is not None and found.status not in ENDS:
        raise NotYetKnown(f"job {job.id} has ended, Get does not know it yet")
    if "totalRecordCount" in manifest:
        processed = manifest.get("processedRecordCount")
        if found is not None:
            processed = max(processed or 0, found.processed_records or 0)
        return e.JobTallied(
            at=world.now(),
            attempt=job.attempt,
            total_records=manifest.get("totalRecordCount"),
            processed_records=processed,
            succeeded_records=manifest.get("successRecordCount"),
            failed_records=manifest.get("errorRecordCount"),
            input_tokens=manifest.get("inputTokenCount"),
            output_tokens=manifest.get("outputTokenCount"),
        )
    if found is None:
        return e.JobTallied(at=world.now(), attempt=job.attempt)
    return e.JobTallied(
        at=world.now(),
        attempt=job.attempt,
        total_records=found.total_records,
        processed_records=found.processed_records,
        succeeded_records=found.succeeded_records,
        failed_records=found.failed_records,
    )
