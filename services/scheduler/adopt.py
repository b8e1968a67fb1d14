"""A job of ours at Bedrock, found or heard of: which of those with its name is ours, and the record
that Bedrock has it.
"""

from bbq.services.scheduler import bedrock
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.job import Job
from bbq.shared.names import attempt_name, holder
from bbq.shared.tables import ConditionFailed

MAX_APPENDS = 10  # tries to record an answer at the next free version


def asked(world: World, job: Job) -> bedrock.Found | None:
    """What Get says of a job; None if Bedrock does not know it. Raises NotYetKnown if it is too
    young to be believed lost.
    """
    found = world.bedrock.get(job.arn) if job.arn else None
    if found is None and world.now() - (job.submitted_at or job.queued_at) < bedrock.KNOWN_WITHIN:
        raise bedrock.NotYetKnown(f"job {job.id} was submitted, Get does not know it yet")
    return found


def adopt(world: World, job: Job, arn: str) -> bool:
    """A Bedrock event tells of a job with our name: it is recorded, if it is ours; else False.
    Raises NotYetKnown.
    """
    found = world.bedrock.get(arn)
    since = job.claimed_at
    if found is None and since is not None and world.now() - since < bedrock.KNOWN_WITHIN:
        raise bedrock.NotYetKnown(f"an event tells of {arn}, Get does not know it yet")
    if found is None or not is_ours(world, job, found):
        world.note("ForeignJobWithOurName", job=job.id, model=job.model, arn=arn)
        return False
    record_submitted(world, job, arn, found=True)
    return True


def is_ours(world: World, job: Job, found: bedrock.Found) -> bool:
    """Whether this is the job's attempt. Its name proves nothing; the token that Get shows does."""
    name = attempt_name(world.config.deployment, job.id, job.attempt)
    return found.token == found.name == name


def look_up(world: World, job: Job) -> tuple[bedrock.Found | None, list[bedrock.Found]]:
    """(our job of this attempt's name, the jobs of others that have it). Ours is the one with our
    token.
    """
    name = attempt_name(world.config.deployment, job.id, job.attempt)
    found = world.bedrock.named(name, job.first_claimed_at or job.queued_at)
    ours = next((each for each in found if each.token == name), None)
    return ours, [each for each in found if each.token != name]


def record_submitted(world: World, known: Job, arn: str, *, found: bool) -> bool:
    """Append `job-submitted` to the attempt that `known` is in, after its last version that was
    read or at whatever is next. False if it is recorded already, or over: ended is final.
    """
    job: Job | None = known
    for tries in range(MAX_APPENDS):
        if job is None or job.attempt != known.attempt or not job.may_be_at_bedrock:
            # it may be recorded by this very call, unheard
            if tries and job is not None and job.cancel is not None:
                world.outbox.wake_job(job.id)
            return False
        event = e.JobSubmitted(at=world.now(), attempt=job.attempt, arn=arn, found=found)
        try:
            world.store.commit(projections.submitted(job, event, holder(job.id, job.attempt)))
        except ConditionFailed:
            world.store.pause(tries)
            job = world.store.job(known.id)
            continue
        if job.cancel is not None:  # its own hint met our lease and left
            world.outbox.wake_job(job.id)
        world.note(
            "JobSubmitted", job=job.id, model=job.model, attempt=job.attempt, arn=arn, found=found
        )
        return True
    raise RuntimeError(
        f"job-submitted of {known.id} could not be appended in {MAX_APPENDS} tries; the timer "
        "finds it again"
    )
