"""A cancel, carried out. A job that Bedrock does not have becomes Cancelled: while it waits, by
whoever sees it; while it is claimed, only by the owner of its lease, because anybody else could
meet it in Create. One that was ever unanswered is looked up first. A job at Bedrock is stopped
(reconcile.py).
"""

from bbq.services.scheduler.adopt import MAX_APPENDS, look_up, record_submitted
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.job import CLAIMED, Job
from bbq.shared.names import holder
from bbq.shared.slots import Lease
from bbq.shared.tables import ConditionFailed


def cancel_waiting(world: World, job: Job) -> bool:
    """Cancel a job in line; False if it left the line meanwhile, or if Bedrock has it after all.
    Raises what a look-up raises.
    """
    if job.unanswered and (ours := look_up(world, job)[0]) is not None:
        record_submitted(world, job, ours.arn, found=True)
        return False
    try:
        world.store.commit(projections.left_line(job, e.JobCancelled(at=world.now())))
    except ConditionFailed:
        return False
    world.note("JobCancelled", job=job.id, model=job.model)
    return True


def cancel_claimed(world: World, job: Job, lease: Lease) -> bool:
    """The owner of the lease cancels an attempt that is certainly not at Bedrock. False if it lost
    the lease.
    """
    known: Job | None = job
    for tries in range(MAX_APPENDS):
        if known is None or known.attempt != job.attempt or known.status != CLAIMED:
            return False
        event = e.JobCancelled(at=world.now())
        try:
            world.store.commit(
                projections.over_without_bedrock(known, event, holder(job.id, job.attempt), lease)
            )
        except ConditionFailed:
            world.store.pause(tries)
            known = world.store.job(job.id)
            continue
        world.note("JobCancelled", job=job.id, model=job.model)
        return True
    return False
