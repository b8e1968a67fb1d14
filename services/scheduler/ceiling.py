"""The ceiling of a day: how much of a model may begin between two midnights (UTC), whatever is
uploaded.

Whether a job may begin is the condition of its claim (`projections.claimed`); what is asked here is
only asked so as not to try in vain. A line that has reached its ceiling is *parked*: its model's
timer wakes it on the next day, and a deployment that raises the ceiling at once: the ceiling stands
in the slots, so an invocation with the configuration before it reads the new one. Nobody is passed
meanwhile: a smaller job behind one that does not fit waits, too.
"""

from bbq.services.scheduler.world import World
from bbq.shared.due import next_day_due
from bbq.shared.job import Job
from bbq.shared.slots import Slots


def may_begin(world: World, slots: Slots, job: Job) -> bool:
    """Whether today's ceiling lets the job begin, as far as was read."""
    return slots.ceiling.allows(slots.day.at(world.now()), job.record_count)


def park(world: World, slots: Slots, job: Job) -> None:
    """The line waits for the next day. Armed before it is said: whoever is parked has a hint to
    come.
    """
    day, ceiling = slots.day.at(world.now()), slots.ceiling
    world.timers.arm_model(slots.model, next_day_due(day.date, world.now()))
    world.note(
        "CeilingReached",
        model=slots.model,
        day=day.date,
        jobs=day.jobs,
        records=day.records,
        max_jobs=ceiling.jobs,
        max_records=ceiling.records,
        next_job=job.id,
        next_records=job.record_count,
    )
