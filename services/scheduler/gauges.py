"""How full a model's slots are and how long its line is, measured when somebody looks at them
anyway: nothing is periodic here.

What a fill has just read costs nothing. The length of the line and the age of its oldest place cost
a few reads, so they are read at most once in a while (`World.gauges_due`), and at every check-in of
a running job.
"""

from bbq.services.scheduler.ceiling import may_begin
from bbq.services.scheduler.world import World
from bbq.shared.events import UnknownEvent
from bbq.shared.job import IllegalEvent
from bbq.shared.slots import UNBOUNDED, Slots


def show(
    world: World, alias: str, slots: Slots | None = None, *, line_is_empty: bool = False
) -> None:
    """Measure a model. `slots` as a fill has just read them; None to read them, where that is
    due.
    """
    due = not line_is_empty and world.gauges_due(alias)
    slots = slots or (world.store.slots(alias) if due else None)
    if slots is None:
        return
    world.measure(
        alias, SlotsHeld=len(slots.holders), SlotLimit=slots.limit, OnHold=int(bool(slots.holds))
    )
    if line_is_empty:
        world.measure(alias, JobsWaiting=0, OldestWait=0, FreeSlotsWhileWaiting=0)
    elif due:
        waiting, oldest = world.store.waiting(alias).get("jobs", 0), world.store.oldest_place(alias)
        idle = waiting and slots.has_room and not slots.holds and not _is_parked(world, slots)
        free = slots.limit - len(slots.holders) if idle else 0
        age = (world.now() - oldest).total_seconds() if oldest is not None else 0
        world.measure(
            alias, JobsWaiting=waiting, OldestWait=max(age, 0), FreeSlotsWhileWaiting=free
        )


def _is_parked(world: World, slots: Slots) -> bool:
    """Whether today's ceiling is why nobody has the free slot. Reads who is next only where there
    is a ceiling.
    """
    if slots.ceiling == UNBOUNDED:
        return False
    head = next(iter(world.store.line(slots.model, 1)), None)
    try:
        job = world.store.job(head) if head is not None else None
    except (UnknownEvent, IllegalEvent):
        # a fill passes it with a hint of its own; no measure may fail what has been done
        return False
    return job is not None and not may_begin(world, slots, job)
