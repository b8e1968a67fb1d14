"""Fill: give a model's free slots to the head of its line, until nobody waits, nothing is free,
today's ceiling is reached, or the model is on hold.

Safe to run anywhere, any number of times, at the same time: capacity, and who may probe a model on
hold, is decided by the condition of the claim alone (`projections.claimed`). A fill that stops at a
hold has made sure of its timer.
"""

from dataclasses import dataclass, field
from datetime import datetime

from bbq.services.scheduler.attempt import Outcome, arm_hold, claim_and_create
from bbq.services.scheduler.cancel import cancel_waiting
from bbq.services.scheduler.ceiling import may_begin, park
from bbq.services.scheduler.config import CREATE_TIMEOUT
from bbq.services.scheduler.gauges import show
from bbq.services.scheduler.world import World
from bbq.shared.due import grid_due
from bbq.shared.events import UnknownEvent
from bbq.shared.job import QUEUED, IllegalEvent, Job
from bbq.shared.slots import Slots
from bbq.shared.tables import Contended

ROUND_SECONDS = CREATE_TIMEOUT.total_seconds() + 10  # no round is begun with less time than this
MAX_LOST = 10  # races lost in a row before giving up
# a job that cannot be read is looked at again, in case newer code was deployed
UNREADABLE_MINUTES = 60
UNREADABLE = (UnknownEvent, IllegalEvent)


@dataclass
class _Filling:
    """What one fill has met so far."""

    freed_at: datetime | None  # when the slot became free that is not filled yet
    passed: set[str] = field(default_factory=set)  # jobs that nothing can be done for here
    # jobs that were in line and did not wait, and their version then
    left: dict[str, int] = field(default_factory=dict)
    lost: int = 0  # races in a row
    served: bool = False  # somebody was, whatever came of it


def fill(world: World, alias: str, *, freed_at: datetime | None = None, hint: bool = False) -> None:
    """Fill the slots of a model. `freed_at` is when the slot became free that is to be filled, for
    the measure of it. `hint`: leave one behind if the model is not configured, because a deployment
    may have brought it back since this invocation began.
    """
    if alias not in world.config.models:
        world.note("ModelNotConfigured", model=alias)
        if hint:
            world.outbox.wake_model(alias)
        return
    _fill(world, alias, _Filling(freed_at=freed_at))


def _fill(world: World, alias: str, filling: _Filling) -> None:
    while True:
        if world.seconds_left() < ROUND_SECONDS:
            _out_of_time(world, alias, filling)
            return show(world, alias)
        slots = world.store.slots(alias)
        if slots is None:
            return None
        if not slots.is_open(world.now()):
            _stop_at_hold(world, slots)
            return show(world, alias, slots)
        line = _line(world, slots, filling.passed)
        if not line:
            return show(world, alias, slots, line_is_empty=not filling.passed)
        outcome = _serve(world, slots, line, filling)
        if outcome is not None:
            _note(world, alias, filling, outcome)
        if outcome in {Outcome.UNKNOWN, Outcome.PARKED}:
            return show(world, alias)


def _note(world: World, alias: str, filling: _Filling, outcome: Outcome) -> None:
    """What came of one try. Too many lost races in a row fail the message, which comes back later
    each time: a hint could come back for ever.
    """
    if outcome is Outcome.LOST:
        filling.lost += 1
        if filling.lost > MAX_LOST:
            raise Contended(f"lost {filling.lost} races in a row for the slots of model {alias}")
        return world.store.pause(filling.lost)
    if outcome is Outcome.ACCEPTED and filling.freed_at is not None:
        world.measure(
            alias, RefillTime=max((world.now() - filling.freed_at).total_seconds(), 0) * 1000
        )
        filling.freed_at = None
    filling.lost, filling.served = 0, True
    return None


def _stop_at_hold(world: World, slots: Slots) -> None:
    """If there is room, but nobody may ask now, the hold's timer will. Who set the hold may have
    lost its timer since (R40).
    """
    if slots.has_room:
        for hold in slots.holds:
            arm_hold(world, slots.model, hold)


def _line(world: World, slots: Slots, passed: set[str]) -> list[str]:
    """The line from its head, as far as this fill looks: the head, or on hold everybody whose turn
    it may be to ask.
    """
    reach = max((hold.reach for hold in slots.holds if hold.place(hold.reach)), default=1)
    return [job for job in world.store.line(slots.model, reach + len(passed)) if job not in passed][
        :reach
    ]


def _serve(world: World, slots: Slots, line: list[str], filling: _Filling) -> Outcome | None:
    """What came of one try; None if the job was passed."""
    # two that walk take the same steps
    walking = next((hold for hold in slots.holds if hold.reach > 1), None)
    job_id = line[walking.place(len(line))] if walking is not None else line[0]
    job = _readable(world, job_id, filling)
    if job is None:
        return None
    if job.status != QUEUED:
        # it did not wait when the line was read: a ghost, for a rebuild to remove
        if filling.left.get(job_id) == job.version:
            filling.passed.add(job_id)
        filling.left[job_id] = job.version
        return Outcome.LOST
    if job.cancel is not None and job.unanswered:  # its own hint looks it up
        filling.passed.add(job_id)
        return None
    if job.cancel is not None:
        return Outcome.OVER if cancel_waiting(world, job) else Outcome.LOST
    if not may_begin(world, slots, job):
        # the head may: on hold, a turn that is for another day is given to it
        if job_id != line[0]:
            return _serve(world, slots, line[:1], filling)
        park(world, slots, job)
        return Outcome.PARKED
    return claim_and_create(world, slots, job)


def _readable(world: World, job_id: str, filling: _Filling) -> Job | None:
    """The job; None, passed and with a hint of its own, if its events cannot be read: it must not
    block the others.
    """
    try:
        job = world.store.job(job_id)
    except UNREADABLE:
        world.note("JobUnreadable", job=job_id)
        # At most one hint an hour, however many fills pass it: many arm the same timer. Attempt 0
        # is nobody's.
        world.timers.arm_attempt(job_id, 0, grid_due(world.now(), UNREADABLE_MINUTES))
        job = None
    if job is None:  # also a place of nobody, which a rebuild removes
        filling.passed.add(job_id)
    return job


def _out_of_time(world: World, alias: str, filling: _Filling) -> None:
    """Giving up leaves a hint behind, which goes on at once. If all the time went by on jobs that
    cannot be read, another fill would do no better: then the message that led here fails, and comes
    back later each time.
    """
    if filling.passed and not filling.served:
        raise TimeoutError(
            f"no time left: {len(filling.passed)} jobs at the head of model {alias} cannot be read"
        )
    world.outbox.wake_model(alias)
