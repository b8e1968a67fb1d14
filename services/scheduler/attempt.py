"""One attempt at Bedrock, by the one invocation that owns its lease: create, and record the answer.

He who claims, creates; nobody else does. Create is called with the lease in hand, once for each reading of `ends`, and its
answer is recorded whatever happened meanwhile: the loser of an append does not decide afresh, it appends again.
"""

from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto

from services.scheduler import bedrock
from services.scheduler.config import CREATE_TIMEOUT
from services.scheduler.world import World
from shared import events as e
from shared import projections
from shared.job import ENDS, LEASED, Job
from shared.names import attempt_name, holder, parse_holder
from shared.slots import MAX_HELD, UNANSWERED, Lease, Refusal, lease_due, leased, refusal_of
from shared.tables import ConditionFailed

MAX_CREATES = 5  # calls of Create under one lease, each after a definite refusal and an end elsewhere
MAX_APPENDS = 10  # tries to record an answer at the next free version
NOT_OUR_NAME = "the name belongs to another job"
RECORD_SECONDS = 5.0  # kept for recording the answer


class Outcome(Enum):
    """What came of an attempt, for whoever fills slots."""

    ACCEPTED = auto()
    REFUSED = auto()  # it waits, without a slot, to be tried again
    OVER = auto()  # it ended or was cancelled: the slot is free again
    LOST = auto()  # somebody else has it, or was faster
    UNKNOWN = auto()  # it keeps its slot; the timer brings the take-over
    PARKED = auto()  # today's ceiling is reached: nobody was tried


def new_lease(world: World, refusal: Refusal | None = None) -> Lease:
    """A lease of an owner that never was before: an owner is one acquisition by one invocation, not a container."""
    now = world.now()
    return leased(world.new_id(), now + world.config.lease, now, refusal)


def arm_for(world: World, job_id: str, attempt: int, lease: Lease) -> None:
    """The attempt's timer, due after the lease. Armed before the write that leaves work to do."""
    world.timers.arm_attempt(job_id, attempt, lease_due(lease.until, world.now()))


def submit(world: World, known: Job | None, whose: str, lease: Lease, ends: int) -> Outcome:
    """Create the attempt in `holder` `whose` and record the answer. `ends` is the counter as read before Create.

    `known` is the job as a claim has just committed it; None to load it, because a refused job may have been cancelled since.
    """
    job_id, attempt = parse_holder(whose)
    job = known
    for tries_left in reversed(range(MAX_CREATES)):
        job = job or world.store.job(job_id)
        if job is None or job.attempt != attempt or job.status not in LEASED:
            return Outcome.LOST
        if job.cancel is not None:
            return _cancel(world, job_id, attempt, lease)
        if _too_late(world, lease):
            world.note("SubmissionUnknown", job=job.id, model=job.model, reason="no time left to call Create")
            return Outcome.UNKNOWN
        answer = world.bedrock.create(_request(world, job))
        if not isinstance(answer, bedrock.Refused):
            return _record(world, job, lease, answer)
        world.note("SubmissionRefused", job=job.id, model=job.model, kind=answer.kind, reason=answer.message)
        if answer.kind == "access":
            world.note("AccessDenied", job=job.id, model=job.model)  # terraform/alarms.tf
        # The last time the ends do not count any more: the model's timer is armed, and a slot must not be held for a refusal.
        outcome = give_up(world, job, lease, answer.kind, answer.message, ends=ends if tries_left else None)
        if outcome is not None:
            return outcome
        # A failed write is not an answer: read again. Create again only while the lease is mine and an end gave new hope.
        slots = world.store.slots(job.model)
        if slots is None or whose in slots.refused:
            return Outcome.REFUSED
        if slots.holders.get(whose) != lease:
            return Outcome.LOST
        ends, job = slots.ends, None
    return Outcome.UNKNOWN


def give_up(world: World, job: Job, lease: Lease, kind: str, message: str, *, ends: int | None) -> Outcome | None:
    """After a definite refusal: out of the slot, to be tried again, or OVER for good. None where the write failed: read again."""
    refusal = refusal_of(lease, kind, world.now())
    if world.now() - refusal.since > MAX_HELD and _starved(world, job.model):
        over = fail(world, job.id, job.attempt, f"refused for {MAX_HELD.days} days: {message}", lease=lease)
        return Outcome.OVER if over else None
    world.timers.arm_model(job.model, refusal.retry_at)
    event = None
    if kind not in job.refusals:  # at most one event for each kind: probes must not make history
        event = e.SubmissionRefused(
            at=world.now(), attempt=job.attempt, kind=kind, message=message, retry_at=refusal.retry_at
        )  # fmt: skip
    whose = holder(job.id, job.attempt)
    try:
        world.store.commit(projections.given_up(job, event, holder=whose, lease=lease, refusal=refusal, ends=ends))
    except ConditionFailed:
        return None
    return Outcome.REFUSED


def _starved(world: World, model: str) -> bool:
    """Where Bedrock takes others, a refused job waits its turn, however long: what is wrong with itself shows in `passed`."""
    slots = world.store.slots(model)
    return slots is None or slots.starved(world.now())


def record_submitted(world: World, known: Job, arn: str, *, found: bool) -> bool:
    """Append `job-submitted` to the attempt that `known` is in, after its last version that was read or at whatever is next.
    False where it is recorded already, or over: ended is final.
    """
    job: Job | None = known
    for tries in range(MAX_APPENDS):
        if job is None or job.attempt != known.attempt or job.status not in LEASED:
            if tries and job is not None and job.cancel is not None:  # it may be recorded by this very call, unheard
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
        world.note("JobSubmitted", job=job.id, model=job.model, attempt=job.attempt, arn=arn, found=found)
        return True
    raise RuntimeError(f"job-submitted of {known.id} could not be appended in {MAX_APPENDS} tries; the timer finds it again")


def fail(world: World, job_id: str, attempt: int, message: str, *, lease: Lease | None) -> bool:
    """End an attempt that Bedrock definitely does not have: with its lease in hand, or (None) while it waits refused."""
    for tries in range(MAX_APPENDS):
        job = world.store.job(job_id)
        if job is None or job.attempt != attempt or job.status not in LEASED:
            return False
        event = e.JobEnded(at=world.now(), attempt=attempt, status="Failed", message=message, arn=None)
        if _release(world, job, event, lease):
            world.note("JobEnded", job=job_id, model=job.model, status=event.status, reason=message)
            return True
        world.store.pause(tries)
    return False


def cancel_refused(world: World, job: Job) -> bool:
    """Cancel a job that waits refused; False where it was taken meanwhile: then the taker sees the cancel."""
    return _release(world, job, e.JobCancelled(at=world.now()), None)


def take_over(world: World, job: Job, old: Lease) -> bool:
    """The lease is over and nobody recorded an answer: look the name up. True where Bedrock has the job."""
    lease = replace(new_lease(world), since=old.since, count=old.count, passed=old.passed)
    whose = holder(job.id, job.attempt)
    arm_for(world, job.id, job.attempt, lease)
    try:
        world.store.commit(projections.taken_over(job.model, whose, old, lease))
    except ConditionFailed:
        return False  # another took it over, or its owner was late but alive
    world.note("LeaseTakenOver", job=job.id, model=job.model, attempt=job.attempt)
    ours, strangers = _look_up(world, attempt_name(world.config.deployment, job.id, job.attempt))
    if ours is not None:
        return record_submitted(world, job, ours, found=True)
    if strangers:
        fail(world, job.id, job.attempt, NOT_OUR_NAME, lease=lease)
        return False
    for _ in range(MAX_APPENDS):
        current = world.store.job(job.id)
        if current is None or current.attempt != job.attempt or current.status not in LEASED:
            return False
        if current.cancel is not None:
            _cancel(world, job.id, job.attempt, lease)
            return False
        if give_up(world, current, lease, UNANSWERED, "Create gave no answer and Bedrock has no such job", ends=None):
            return False
    return False


def _record(world: World, job: Job, lease: Lease, answer: bedrock.Answer) -> Outcome:
    match answer:
        case bedrock.Accepted(arn):
            record_submitted(world, job, arn, found=False)
            return Outcome.ACCEPTED
        case bedrock.Invalid(message):
            fail(world, job.id, job.attempt, message, lease=lease)
            return Outcome.OVER
        case bedrock.NameInUse(message):
            return _name_in_use(world, job, lease, message)
        case _:
            world.note("SubmissionUnknown", job=job.id, model=job.model, reason=answer.message)
            return Outcome.UNKNOWN


def _name_in_use(world: World, job: Job, lease: Lease, message: str) -> Outcome:
    """Ours, from a call whose answer was lost; or a stranger's, and then this attempt can never be made."""
    ours, strangers = _look_up(world, attempt_name(world.config.deployment, job.id, job.attempt))
    if ours is not None:
        record_submitted(world, job, ours, found=True)
        return Outcome.ACCEPTED
    if any(job.status not in ENDS for job in strangers):  # no two live jobs have one name
        fail(world, job.id, job.attempt, f"{message} ({NOT_OUR_NAME})", lease=lease)
        return Outcome.OVER
    # List may not show ours yet: one that ended may have had the name before it. After the lease it shows everything.
    world.note("SubmissionUnknown", job=job.id, model=job.model, reason=message)
    return Outcome.UNKNOWN


def _look_up(world: World, name: str) -> tuple[str | None, list[bedrock.Found]]:
    """(ARN of our job of this name, the jobs of others that have it). Ours is the one with our token."""
    found = world.bedrock.find(name)
    ours = next((job.arn for job in found if job.token == name), None)
    return ours, [job for job in found if job.token != name]


def _cancel(world: World, job_id: str, attempt: int, lease: Lease) -> Outcome:
    """The owner of the lease sees a cancel, before Create or after a refusal: the job is certainly not at Bedrock."""
    for tries in range(MAX_APPENDS):
        job = world.store.job(job_id)
        if job is None or job.attempt != attempt or job.status not in LEASED:
            return Outcome.LOST
        if _release(world, job, e.JobCancelled(at=world.now()), lease):
            return Outcome.OVER
        world.store.pause(tries)
    return Outcome.LOST


def _release(world: World, job: Job, event: e.Event, lease: Lease | None) -> bool:
    whose = holder(job.id, job.attempt)
    try:
        world.store.commit(projections.released(job, event, whose, lease=lease, refused=lease is None))
    except ConditionFailed:
        return False
    if isinstance(event, e.JobCancelled):
        world.note("JobCancelled", job=job.id, model=job.model)
    return True


def _too_late(world: World, lease: Lease) -> bool:
    """Whether a Create called now could still run when the lease is over, or when this invocation is."""
    needed = CREATE_TIMEOUT + timedelta(seconds=RECORD_SECONDS)
    return world.now() + needed > lease.until or world.seconds_left() < needed.total_seconds()


def _request(world: World, job: Job) -> bedrock.Request:
    return bedrock.Request(
        name=attempt_name(world.config.deployment, job.id, job.attempt),
        model=replace(world.config.models[job.model], model_id=job.model_id),  # as claimed: the token stands for these words
        input_uri=job.input_uri,
        output_uri=job.output_uri,
        role_arn=world.config.bedrock_role_arn,
        kms_key_arn=world.config.kms_key_arn,
    )
