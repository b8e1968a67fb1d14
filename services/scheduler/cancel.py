"""A cancel, carried out. A job that Bedrock does not have becomes Cancelled: while it waits, by
whoever sees it; while it is claimed, only by the owner of its lease, because anybody else could
meet it in Create. One that was ever unanswered is looked up first. A job at Bedrock is stopped: its
own events then tell the rest.
"""

from bbq.services.scheduler.adopt import MAX_APPENDS, asked, is_ours, look_up, record_submitted
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.job import CLAIMED, Job
from bbq.shared.names import holder
from bbq.shared.slots import Lease
from bbq.shared.tables import ConditionFailed


def cancel_unreadable(world: World, job: Job) -> bool:
    """Cancel an upload that intake cannot read; False if it was read, or cancelled, meanwhile."""
    try:
        world.store.commit(projections.appended(job, e.JobCancelled(at=world.now())))
    except ConditionFailed:
        return False
    world.note("JobCancelled", job=job.id)
    return True


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


def stop(world: World, job: Job) -> tuple[str, str] | None:
    """Stop a job at Bedrock: its status and message then; None if nothing is known that is new.
    Raises NotYetKnown: the cancel comes back soon.
    """
    if job.arn is None:
        raise RuntimeError(f"job {job.id} runs without an ARN")
    if world.bedrock.stop(job.arn):
        return "Stopping", ""
    # nothing to stop: it has ended, or is about to be seen so, or neither Stop nor Get knows it yet
    found = asked(world, job)
    return (found.status, found.message) if found is not None else None


def stop_stray(world: World, job: Job, arn: str) -> bool:
    """Stop what Bedrock has of a job that was cancelled in line. It has no slot any more. False if
    it is not ours.
    """
    found = world.bedrock.get(arn)
    if found is None or not is_ours(world, job, found):
        return False
    world.bedrock.stop(arn)
    world.note("StrayStopped", job=job.id, model=job.model, arn=arn)
    return True
