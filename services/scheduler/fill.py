"""Fill: give a model's free slots to whoever is next, until nobody waits, nothing is free, today's ceiling is reached, or Bedrock
says no.

Safe to run anywhere, any number of times, at the same time: capacity is decided by the condition of the claim alone. Next is
the job that was refused longest ago, then the head of the line. A job that is refused again and again may have a reason of its
own, so one more is tried beside it, whoever was refused least: if that is taken, the filling goes on.
"""

from dataclasses import dataclass
from datetime import datetime

from services.scheduler.attempt import Outcome, arm_for, cancel_refused, fail, new_lease, submit
from services.scheduler.ceiling import may_begin, park
from services.scheduler.config import CREATE_TIMEOUT
from services.scheduler.gauges import show
from services.scheduler.world import World
from shared import events as e
from shared import projections
from shared.events import UnknownEvent
from shared.job import LEASED, QUEUED, IllegalEvent, Job, evolve
from shared.names import attempt_name, holder, parse_holder
from shared.projections import Ending
from shared.slots import MAX_PASSED, SUSPECT_AFTER, Lease, Slots, grid_due, passed_by
from shared.tables import ConditionFailed, Contended
from shared.telemetry import said

ROUND_SECONDS = CREATE_TIMEOUT.total_seconds() + 10  # no round is begun with less time than this
MAX_LOST = 10  # races lost in a row before giving up
UNREADABLE_MINUTES = 60  # a job that cannot be read is looked at again, in case newer code was deployed
UNREADABLE = (UnknownEvent, IllegalEvent)


@dataclass(frozen=True)
class Claim:
    """The right to a slot for the next in line: made, or about to be. `slots` is as it was read before."""

    slots: Slots
    job: Job
    event: e.SlotClaimed
    whose: str
    lease: Lease


@dataclass
class _Filling:
    """What one fill has met so far."""

    skipped: set[str]  # holders, and jobs that cannot be read: not to be tried again by this fill
    lost: int = 0  # races in a row
    suspect: str | None = None  # refused again and again: beside it another is tried
    taking: bool = False  # Bedrock took one
    moved: bool = False  # somebody was served, whatever came of it
    unreadable: int = 0  # jobs that were passed


def hand_over(world: World, ended: Job, end: e.JobEnded) -> Claim | None:
    """Record an end and claim its slot for the head of the line, in one transaction: one write of the slots, and none of them
    stands free in between. None where that cannot be, and nothing was written: nobody waits, it is not simply the next one's
    turn, or somebody was faster. Whatever is wrong with the next one, or with a row that only its claim touches, the end is then
    recorded alone.
    """
    claim = None
    try:
        claim = _successor(world, ended)
        done = claim is not None and _claimed(world, claim, Ending(ended, end, holder(ended.id, ended.attempt)))
    except Exception as error:  # noqa: BLE001 - the fill after the end meets it again, and lets it rise
        world.note("HandOverFailed", job=ended.id, model=ended.model, error=said(error))
        done = claim is not None and _won(world, ended.model, claim.whose, claim.lease.owner)  # its answer may only be lost
    return claim if done else None


def fill(
    world: World, alias: str, *, probe: bool, skip: str | None = None, freed_at: datetime | None = None,
    claim: Claim | None = None,
) -> None:  # fmt: skip
    """Fill the slots of a model. `probe` asks Bedrock even while refused jobs wait for their time: after an end, the model's
    timer, a raised limit or a resume; not because one more job came. `skip` is a holder that is not to be tried this time.
    `freed_at` is when the slot became free that is to be filled, for the measure of it; `claim` is for whom it was handed over.
    """
    if alias not in world.config.models:
        world.note("ModelNotConfigured", model=alias)
        return
    filling = _Filling({skip} if skip is not None else set())
    slots = _fill(world, alias, filling, probe=probe, freed_at=freed_at, claim=claim)
    nobody_waits = slots is not None and slots.open and not slots.refused and not filling.skipped
    show(world, alias, slots, line_is_empty=nobody_waits)


def _fill(
    world: World, alias: str, filling: _Filling, *, probe: bool, freed_at: datetime | None, claim: Claim | None
) -> Slots | None:  # fmt: skip
    """The slots as they were last read, where nobody was left to be served; else None."""
    while True:
        if claim is not None:
            served: tuple[str, Outcome] | None = (claim.whose, _submitted(world, claim, claim.slots.ends + 1))  # with this end
            claim = None
        elif world.seconds_left() < ROUND_SECONDS:
            _out_of_time(world, alias, filling)
            return None
        else:
            slots = world.store.slots(alias)
            served = _serve_next(world, slots, filling, probe=probe) if slots is not None else None
        if served is None:
            return slots
        whose, outcome = served
        if outcome is Outcome.ACCEPTED:
            _measure_refill(world, alias, freed_at)
            freed_at = None
        if not _goes_on(world, alias, filling, whose, outcome):
            return None


def _goes_on(world: World, alias: str, filling: _Filling, whose: str, outcome: Outcome) -> bool:
    """What came of one try; whether there is reason for another. Two refusals in a row end the fill."""
    passed = outcome is Outcome.LOST and whose in filling.skipped
    filling.unreadable += passed
    filling.lost = filling.lost + 1 if outcome is Outcome.LOST and not passed else 0
    filling.moved = filling.moved or outcome is not Outcome.LOST
    filling.taking = filling.taking or outcome is Outcome.ACCEPTED
    if outcome is Outcome.LOST:
        _wait_or_give_up(world, alias, filling.lost)
    elif outcome is Outcome.ACCEPTED and filling.suspect is not None:  # it is the job, not the quota: go on with the others
        _passed(world, alias, filling.suspect)
        filling.suspect = None
    elif outcome is Outcome.REFUSED and filling.suspect is None and _refusals(world, alias, whose) >= SUSPECT_AFTER:
        filling.suspect = whose
        filling.skipped.add(whose)
    else:
        return outcome not in {Outcome.REFUSED, Outcome.UNKNOWN, Outcome.PARKED}
    return True


def _out_of_time(world: World, alias: str, filling: _Filling) -> None:
    """Giving up leaves a hint behind, which goes on at once. Where all the time went by on jobs that cannot be read, another
    fill would do no better: then the message that led here fails, and comes back later each time.
    """
    if filling.unreadable and not filling.moved:
        raise TimeoutError(f"no time left: {filling.unreadable} jobs at the head of model {alias} cannot be read")
    world.outbox.wake_model(alias)


def _measure_refill(world: World, alias: str, freed_at: datetime | None) -> None:
    if freed_at is not None:
        world.measure(alias, RefillTime=max((world.now() - freed_at).total_seconds(), 0) * 1000)


def cancel_waiting(world: World, job: Job) -> bool:
    """Cancel a job in line; False where it left the line meanwhile."""
    event = e.JobCancelled(at=world.now())
    try:
        world.store.commit(projections.left_line(job, event))
    except ConditionFailed:
        return False
    world.note("JobCancelled", job=job.id, model=job.model)
    return True


def _wait_or_give_up(world: World, alias: str, lost: int) -> None:
    """After a lost race. Giving up fails the message, which comes back later each time: a hint could come back for ever."""
    if lost > MAX_LOST:
        raise Contended(f"lost {lost} races in a row for the slots of model {alias}")
    world.store.pause(lost)


def _serve_next(world: World, slots: Slots, filling: _Filling, *, probe: bool) -> tuple[str, Outcome] | None:
    """Try whoever is next: (holder, outcome). None where nobody is, or nothing is free, or it is not yet time to ask again.

    Where Bedrock has just taken a job, a newcomer is tried whatever it has said to others. Beside a suspect, next is who is least
    likely to be another one.
    """
    skip, beside = filling.skipped, filling.suspect
    if not slots.open or (not probe and not filling.taking and slots.held_back(world.now())):
        return None
    tried = frozenset(skip) if probe else slots.not_due(world.now()) | skip
    whose = slots.oldest_refused(tried) if beside is None else slots.least_refused(tried)
    suspicious = beside is not None and whose is not None and slots.refused[whose].count >= slots.suspect_from
    job_id = _head(world, slots.model, skip) if whose is None or suspicious else None
    if job_id is not None:
        return _serve_waiting(world, slots, job_id, skip)
    return (whose, _serve_refused(world, slots, whose, skip)) if whose is not None else None


def _head(world: World, alias: str, skip: set[str]) -> str | None:
    """The first in line, except those to be skipped. Reads one entry where nobody is to be skipped."""
    return next((job_id for job_id in world.store.line(alias, 1 + len(skip)) if job_id not in skip), None)


def _serve_waiting(world: World, slots: Slots, job_id: str, skip: set[str]) -> tuple[str, Outcome]:
    job = _readable(world, job_id, job_id, skip)
    if job is None or job.status != QUEUED:
        return job_id, Outcome.LOST
    if job.cancel is not None:
        return job_id, Outcome.OVER if cancel_waiting(world, job) else Outcome.LOST
    if not may_begin(world, slots, job):
        park(world, slots, job)
        return job_id, Outcome.PARKED
    claim = _claim(world, slots, job)
    return claim.whose, _submitted(world, claim, slots.ends) if _claimed(world, claim) else Outcome.LOST


def _successor(world: World, ended: Job) -> Claim | None:
    """Who gets the slot of a job that ends, where it is simply the head of the line. Refused jobs, and whatever is odd, are for
    `fill`.
    """
    if ended.model not in world.config.models or world.seconds_left() < ROUND_SECONDS:
        return None
    slots = world.store.slots(ended.model)
    if slots is None or not slots.passes_on:
        return None
    job_id = _head(world, slots.model, set())
    if job_id is None or job_id == ended.id:  # another has recorded the end, and queued it again
        return None
    job = world.store.job(job_id)
    if job is None or job.status != QUEUED or job.cancel is not None or not may_begin(world, slots, job):
        return None
    return _claim(world, slots, job)


def _claim(world: World, slots: Slots, job: Job) -> Claim:
    """The claim that is to be made for a waiting job. Its timer is armed."""
    lease, attempt = new_lease(world), job.attempt + 1
    arm_for(world, job.id, attempt, lease)
    event = e.SlotClaimed(
        at=world.now(), attempt=attempt, model_id=world.config.models[slots.model].model_id,
        job_name=attempt_name(world.config.deployment, job.id, attempt),
    )  # fmt: skip
    return Claim(slots=slots, job=job, event=event, whose=holder(job.id, attempt), lease=lease)


def _claimed(world: World, claim: Claim, ending: Ending | None = None) -> bool:
    """Make the claim; with it, record the end that makes room for it. False where the slots, the line or a job have changed."""
    slots, job, event = claim.slots, claim.job, claim.event
    ceiling = world.config.models[slots.model].ceiling
    try:
        writes = projections.claimed(job, event, claim.whose, claim.lease, seen=slots.day, ceiling=ceiling, ending=ending)
        world.store.commit(writes)
    except ConditionFailed:
        if not _won(world, slots.model, claim.whose, claim.lease.owner):
            return False
    world.note("SlotClaimed", job=job.id, model=slots.model, attempt=event.attempt)
    world.measure(slots.model, WaitTime=max((event.at - job.queued_at).total_seconds(), 0))
    return True


def _submitted(world: World, claim: Claim, ends: int) -> Outcome:
    """Create it. `ends` is the counter as it was before."""
    return submit(world, evolve(claim.job.id, claim.job, claim.event), claim.whose, claim.lease, ends)


def _serve_refused(world: World, slots: Slots, whose: str, skip: set[str]) -> Outcome:
    job_id, attempt = parse_holder(whose)
    job = _readable(world, job_id, whose, skip)
    if job is None or job.attempt != attempt or job.status not in LEASED:
        return Outcome.LOST
    if job.cancel is not None:
        return Outcome.OVER if cancel_refused(world, job) else Outcome.LOST
    lease = new_lease(world, slots.refused[whose])
    arm_for(world, job_id, attempt, lease)
    try:
        world.store.commit(projections.taken(slots.model, whose, lease))
    except ConditionFailed:
        if not _won(world, slots.model, whose, lease.owner):
            return Outcome.LOST
    return submit(world, None, whose, lease, slots.ends)


def _readable(world: World, job_id: str, name: str, skip: set[str]) -> Job | None:
    """The job; None, skipped and with a hint of its own, where its events cannot be read: it must not block the others."""
    try:
        return world.store.job(job_id)
    except UNREADABLE:
        world.note("JobUnreadable", job=job_id)
        # At most one hint an hour, however many fills pass it: many arm the same timer. Attempt 0 is nobody's.
        world.timers.arm_attempt(job_id, 0, grid_due(world.now(), UNREADABLE_MINUTES, offset=0))
        skip.add(name)
        return None


def _won(world: World, alias: str, whose: str, owner: str) -> bool:
    """A write that "failed" with me as the owner was won: its answer was lost, and the repeat met the first try."""
    slots = world.store.slots(alias)
    lease = slots.holders.get(whose) if slots else None
    return lease is not None and lease.owner == owner


def _refusals(world: World, alias: str, whose: str) -> int:
    slots = world.store.slots(alias)
    refusal = slots.refused.get(whose) if slots else None
    return refusal.count if refusal else 0


def _passed(world: World, alias: str, whose: str) -> None:
    """It was refused and another was taken. After MAX_PASSED times the reason is its own, and it ends with it."""
    slots = world.store.slots(alias)
    seen = slots.refused.get(whose) if slots else None
    if seen is None or seen.kind == "throttle":  # a rate is the account's, never the job's own
        return
    now = passed_by(seen)
    if now.passed >= MAX_PASSED:
        job_id, attempt = parse_holder(whose)
        job = world.store.job(job_id)
        why = job.reason if job else seen.kind
        fail(world, job_id, attempt, f"refused {now.count} times while other jobs were taken: {why}", lease=None)
        return
    try:
        world.store.commit(projections.passed(alias, whose, seen, now))
    except ConditionFailed:
        return  # it was taken or counted by another: either is newer than what we know
