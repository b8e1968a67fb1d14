"""One attempt at Bedrock, from its claim to the record of what Create answered: to be read from top
to bottom.

He who claims, creates; nobody else does. Create is called once for each claim, with the lease in
hand, and its answer is recorded whatever happened meanwhile: the loser of an append does not decide
again, it appends again. If the answer is never recorded, the lease runs out, and whoever takes it
over looks the job up at Bedrock before the slot is given to another.

| Create answers | then |
|---|---|
| accepted | `job-submitted`; the model takes jobs, so its hold is lifted |
| refused, for whatever reason | `submission-refused`: back in line, the model on hold (hold.py) |
| the name is in use | look it up: if it is ours, as accepted; else as no answer |
| nothing, or anything else | nothing; the timer brings the take-over when the lease is over |
"""

from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto

from botocore.exceptions import BotoCoreError, ClientError

from bbq.services.scheduler import bedrock
from bbq.services.scheduler.adopt import MAX_APPENDS, look_up, record_submitted
from bbq.services.scheduler.cancel import cancel_claimed
from bbq.services.scheduler.config import CREATE_TIMEOUT
from bbq.services.scheduler.world import World
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.due import hold_due, lease_due
from bbq.shared.hold import (
    MAX_TAKEN_OTHERS,
    NAME_TAKEN,
    OWN,
    PASSING,
    UNANSWERED,
    Hold,
    is_its_own,
    probed,
    refused,
)
from bbq.shared.job import CLAIMED, Job, evolve
from bbq.shared.names import attempt_name, holder
from bbq.shared.slots import Lease, Slots
from bbq.shared.tables import ConditionFailed
from bbq.shared.telemetry import said

RECORD_SECONDS = 5.0  # kept for recording the answer
NOT_FOUND = (
    "Create gave no answer, and Bedrock has no job of this name: it is looked up again before the "
    "next try"
)


class Outcome(Enum):
    """What came of an attempt, for whoever fills slots."""

    ACCEPTED = auto()
    REFUSED = auto()  # it is back in line, and the model is on hold
    OVER = auto()  # it ended or was cancelled: the slot is free again
    LOST = auto()  # somebody else has it, or was faster
    UNKNOWN = auto()  # it keeps its slot; the timer brings the take-over
    PARKED = auto()  # today's ceiling is reached: nobody was tried


def claim_and_create(world: World, slots: Slots, job: Job) -> Outcome:
    """Give a slot to a waiting job and send it to Bedrock. `slots` as read before `job` was: if
    they are on hold, it probes.
    """
    claimed = _claim(world, slots, job)
    if claimed is None:
        return Outcome.LOST
    job, lease = claimed
    if job.unanswered and (found := _look_up_first(world, job, lease, slots)) is not None:
        return found
    if _too_late(world, lease):
        world.note(
            "SubmissionUnknown", job=job.id, model=job.model, reason="no time left to call Create"
        )
        world.outbox.wake_model(slots.model)  # for the others in line
        return Outcome.UNKNOWN
    match world.bedrock.create(_request(world, job)):
        case bedrock.Accepted(arn):
            record_submitted(world, job, arn, found=False)
            return Outcome.ACCEPTED
        case bedrock.Refused(kind, message):
            return give_up(world, job, lease, kind, message, slots)
        case bedrock.NameInUse(message):
            return _name_in_use(world, job, message)
        case bedrock.Unknown(message):
            world.note("SubmissionUnknown", job=job.id, model=job.model, reason=message)
            return Outcome.UNKNOWN


def _claim(world: World, slots: Slots, job: Job) -> tuple[Job, Lease] | None:
    """The job as claimed, and its lease. None if the slots, their hold, the line or the job have
    changed.
    """
    lease, attempt = _new_lease(world), job.next_attempt
    _arm(world, job.id, attempt, lease)
    event = e.SlotClaimed(
        at=world.now(),
        attempt=attempt,
        model_id=world.config.models[slots.model].model_id,
        job_name=attempt_name(world.config.deployment, job.id, attempt),
    )
    for hold in slots.holds:
        arm_hold(world, slots.model, probed(hold, slots.ends, event.at))
    holder_id = holder(job.id, attempt)
    try:
        world.store.commit(projections.claimed(job, event, holder_id, lease, slots))
    except ConditionFailed:
        if not _owns(world, slots.model, holder_id, lease):
            return None
    world.note("SlotClaimed", job=job.id, model=slots.model, attempt=attempt)
    world.measure(slots.model, WaitTime=max((event.at - job.queued_at).total_seconds(), 0))
    return evolve(job.id, job, event), lease


def _look_up_first(world: World, job: Job, lease: Lease, slots: Slots) -> Outcome | None:
    """Before a Create after one that was never answered: Bedrock may show the job by now, and
    forgets the token of one that has ended. None if it has no such job. A look-up that fails is no
    answer: then Create is not called.
    """
    try:
        ours, _ = look_up(world, job)
    except (ClientError, BotoCoreError, bedrock.NotYetKnown) as error:
        why = f"the job could not be looked up: {said(error)}"
        return give_up(world, job, lease, UNANSWERED, why, slots, looked_up=False)
    if ours is None:
        return None
    record_submitted(world, job, ours.arn, found=True)
    return Outcome.ACCEPTED


def give_up(  # noqa: PLR0917
    world: World,
    job: Job,
    lease: Lease,
    kind: str,
    message: str,
    before: Slots,
    *,
    looked_up: bool = True,
) -> Outcome:
    """After a definite refusal: out of the slot and back in line, with the model on hold; OVER if
    the job itself is at fault, or cancelled. `before`: the slots as read before Create was called.
    Not `looked_up`: Bedrock may have it, so a cancel waits until it is back in line, where it is
    looked up again.
    """
    world.note("SubmissionRefused", job=job.id, model=job.model, kind=kind, reason=message)
    holder_id = holder(job.id, job.attempt)
    for tries in range(MAX_APPENDS):
        if job.cancel is not None and looked_up:
            return Outcome.OVER if cancel_claimed(world, job, lease) else Outcome.LOST
        slots = world.store.slots(job.model)
        if slots is None or slots.holders.get(holder_id) != lease:
            return Outcome.LOST  # taken over; or the write below was done, and its answer lost
        if kind in OWN and is_its_own(job.refused_under | {before.taken}):
            why = (
                f"refused each time, while {MAX_TAKEN_OTHERS} other jobs of the model were taken: "
                f"{message}"
            )
            end = e.JobEnded(
                at=world.now(), attempt=job.attempt, status="Failed", message=why, arn=None
            )
            writes, outcome = (
                projections.over_without_bedrock(job, end, holder_id, lease),
                Outcome.OVER,
            )
        else:
            # others were taken since: a probe may ask now
            ends = before.ends if slots.taken == before.taken else before.ends - 1
            hold = refused(slots.refused, kind=kind, message=message, ends=ends, now=world.now())
            arm_hold(world, job.model, hold)
            event = e.SubmissionRefused(
                at=world.now(), attempt=job.attempt, kind=kind, message=message, taken=before.taken
            )
            writes, outcome = (
                projections.given_up(job, event, holder_id, lease, slots, hold=hold),
                Outcome.REFUSED,
            )
        try:
            world.store.commit(writes)
        except ConditionFailed:  # not an answer: read again
            world.store.pause(tries)
            now = world.store.job(job.id)
            if now is None or now.attempt != job.attempt or now.status != CLAIMED:
                return Outcome.LOST
            job = now
            continue
        if outcome is Outcome.OVER:
            world.note("JobEnded", job=job.id, model=job.model, status="Failed", reason=message)
        elif kind not in PASSING:
            world.note("ModelHeld", model=job.model, kind=kind, reason=message, job=job.id)
        return outcome
    raise RuntimeError(
        f"the refusal of {job.id} could not be recorded in {MAX_APPENDS} tries; the timer takes "
        "its lease over"
    )


def take_over(world: World, job: Job, old: Lease) -> bedrock.Found | None:
    """The lease is over and no answer was recorded: look the job up. What Bedrock says of it if it
    has it; None if it was given up, or somebody else was faster.
    """
    lease, holder_id = _new_lease(world), holder(job.id, job.attempt)
    _arm(world, job.id, job.attempt, lease)
    try:
        world.store.commit(projections.taken_over(job.model, holder_id, old, lease))
    except ConditionFailed:
        return None  # another took it over, or its owner was late but alive
    world.note("LeaseTakenOver", job=job.id, model=job.model, attempt=job.attempt)
    before = world.store.slots(job.model)
    ours, strangers = look_up(world, job)
    if ours is not None:
        record_submitted(world, job, ours.arn, found=True)
        return ours
    if before is not None:
        kind, message = (NAME_TAKEN, _taken_by(strangers)) if strangers else (UNANSWERED, NOT_FOUND)
        give_up(world, job, lease, kind, message, before)
    return None


def _name_in_use(world: World, job: Job, message: str) -> Outcome:
    """Ours, from a call whose answer was lost. If not, List may not show ours yet: after the lease
    it shows everything.
    """
    try:
        ours, _ = look_up(world, job)
    except (ClientError, BotoCoreError, bedrock.NotYetKnown):
        ours = None
    if ours is not None:
        record_submitted(world, job, ours.arn, found=True)
        return Outcome.ACCEPTED
    world.note("SubmissionUnknown", job=job.id, model=job.model, reason=message)
    return Outcome.UNKNOWN


def _taken_by(strangers: list[bedrock.Found]) -> str:
    return f"the name belongs to another job, which is {strangers[0].status}: {strangers[0].arn}"


def arm_hold(world: World, alias: str, hold: Hold) -> None:
    """The timer of a model's hold, armed before the hold is written. One whose time is over is open
    to whoever comes.
    """
    if hold.until > world.now():
        world.timers.arm_model(alias, hold_due(hold.until, world.now()))


def _new_lease(world: World) -> Lease:
    """A lease of an owner that never was before: an owner is one acquisition by one invocation, not
    a container.
    """
    return Lease(owner=world.new_id(), until=world.now() + world.config.lease)


def _arm(world: World, job_id: str, attempt: int, lease: Lease) -> None:
    """The attempt's timer, due after the lease. Armed before the write that leaves work to do."""
    world.timers.arm_attempt(job_id, attempt, lease_due(lease.until, world.now()))


def _owns(world: World, alias: str, holder_id: str, lease: Lease) -> bool:
    """A write that "failed" with me as the owner was won: its answer was lost, and the repeat met
    the first try.
    """
    slots = world.store.slots(alias)
    return slots is not None and slots.holders.get(holder_id) == lease


def _too_late(world: World, lease: Lease) -> bool:
    """Whether a Create called now could still run when the lease is over, or when this invocation
    is.
    """
    needed = CREATE_TIMEOUT + timedelta(seconds=RECORD_SECONDS)
    return world.now() + needed > lease.until or world.seconds_left() < needed.total_seconds()


def _request(world: World, job: Job) -> bedrock.Request:
    return bedrock.Request(
        name=attempt_name(world.config.deployment, job.id, job.attempt),
        # as claimed: the token stands for these words
        model=replace(world.config.models[job.model], model_id=job.model_id),
        input_uri=job.input_uri,
        output_uri=job.output_uri,
        role_arn=world.config.bedrock_role_arn,
        kms_key_arn=world.config.kms_key_arn,
    )
