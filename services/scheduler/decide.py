"""What a job needs next: one step, decided on the state as it is now. Pure.

| state | the step |
|---|---|
| Unreadable | intake tries again; here it can only be cancelled |
| Queued | a cancel; a Bedrock event of an unanswered attempt: adopt it. Else the line goes on |
| Claimed | a Bedrock event: adopt it. The lease runs: its timer. It is over: take over |
| at Bedrock | record what Bedrock says; forget what it does not know; stop what is cancelled |
| ended | give the slot to the next; queue it again, or count what was done |
| Cancelled | stop what Bedrock has all the same |

reconcile.py gathers what is known, asks for the step and applies it, until `Rest`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bbq.services.scheduler.config import Config
from bbq.services.scheduler.hints import Report
from bbq.shared.due import at_minute, check_in_due, grid_due, lease_due, minute_number
from bbq.shared.job import (
    CANCELLED,
    CLAIMED,
    ENDS,
    QUEUED,
    RUNNING,
    UNREADABLE,
    Job,
    comes_back,
    may_come_back,
    news,
)
from bbq.shared.models import MAX_ATTEMPTS
from bbq.shared.slots import Lease

# Get's counts may lag a minute (Bedrock user guide, "Monitor batch inference jobs")
COUNTS_LAG = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known beside the job's events.

    `told`: what Bedrock said, by an event or by Get; `unknown`: Get does not know the job; `lease`:
    of a claimed job's holder, None if it has none; `stopped`: Stop found nothing to stop;
    `refilled`: the slot of the ended job was given to the next; `fill`: others in line may have
    been waiting for this job.
    """

    told: Report | None = None
    unknown: bool = False
    lease: Lease | None = None
    stopped: bool = False
    refilled: bool = False
    fill: bool = False


@dataclass(frozen=True)
class Rest:
    """Nothing is left to do now. `timer`: when the attempt is looked at again; `fill`: the line is
    to be looked at.
    """

    timer: datetime | None = None
    fill: bool = False


@dataclass(frozen=True)
class ReadAgain:
    """The job moved on between two reads."""


@dataclass(frozen=True)
class Cancel:
    """It is not at Bedrock: it becomes Cancelled."""


@dataclass(frozen=True)
class Stop:
    """A cancel of a job at Bedrock."""


@dataclass(frozen=True)
class StopStray:
    """Bedrock has an attempt that was cancelled in line, although a look-up did not find it."""

    report: Report


@dataclass(frozen=True)
class Adopt:
    """An event for an attempt whose Create is not answered yet, or was given up as unanswered."""

    report: Report


@dataclass(frozen=True)
class TakeOver:
    """The lease is over, and no answer was recorded."""

    lease: Lease


@dataclass(frozen=True)
class Progress:
    """Bedrock's status has risen."""

    status: str


@dataclass(frozen=True)
class End:
    """The attempt is over. `forgotten`: an operator gives up a job that Bedrock does not know."""

    status: str
    message: str
    forgotten: bool = False


@dataclass(frozen=True)
class Refill:
    """The slot first: somebody may be waiting for it."""


@dataclass(frozen=True)
class Requeue:
    """Another attempt, at its old place in line."""

    why: str


@dataclass(frozen=True)
class Tally:
    """Count what was done. It comes last: a tallied job has nothing left to do."""


Step = (
    Rest
    | ReadAgain
    | Cancel
    | Stop
    | StopStray
    | Adopt
    | TakeOver
    | Progress
    | End
    | Refill
    | Requeue
    | Tally
)


def decide(job: Job, seen: Seen, config: Config, now: datetime) -> Step:
    """The next step of what the job's state still needs."""
    told = seen.told
    if job.status == UNREADABLE:
        return Rest() if job.cancel is None else Cancel()
    if not job.model:
        # rejected, or cancelled before it could be read: no model's line or slots are concerned
        return Rest()
    if told is not None and job.may_be_at_bedrock and told.attempt == job.attempt:
        return Adopt(told)
    if job.status == QUEUED:
        return Rest(fill=True) if job.cancel is None else Cancel()
    if job.status == CLAIMED:
        return _claimed(seen, now)
    if job.status in RUNNING:
        return _at_bedrock(job, seen, config, now)
    if job.status in ENDS:
        return _ended(job, seen, config, now)
    if job.status == CANCELLED:
        return StopStray(told) if told is not None and _is_stray(job, told) else Rest(fill=True)
    return Rest()


def is_about(report: Report | None, job: Job) -> bool:
    """Whether a report is about the attempt as it is now: the job may have gone on to its next one
    since.
    """
    return report is not None and report.attempt == job.attempt and report.arn == job.arn


def _claimed(seen: Seen, now: datetime) -> Step:
    """He who claims, creates: while the lease runs there is nothing to do but to make sure of the
    timer.
    """
    lease = seen.lease
    if lease is None or lease.submitted:
        return ReadAgain()
    return Rest(timer=lease_due(lease.until, now)) if lease.until > now else TakeOver(lease)


def _at_bedrock(job: Job, seen: Seen, config: Config, now: datetime) -> Step:
    told = seen.told
    if told is not None and is_about(told, job) and news(job, told.status):
        if told.status in ENDS:
            return End(told.status, told.message)
        return Progress(told.status)
    if job.forget is not None and seen.unknown:
        why = f": {job.forget.why}" if job.forget.why else ""
        by = f"forgotten by {job.forget.by}"
        return End("Failed", f"Bedrock does not know it; {by}{why}", forgotten=True)
    if job.cancel is not None and job.status != "Stopping" and not seen.stopped:
        return Stop()
    since = job.claimed_at or job.queued_at
    return Rest(check_in_due(since, config.check_in_minutes, now), fill=seen.fill)


def _ended(job: Job, seen: Seen, config: Config, now: datetime) -> Step:
    if job.tally is None and not seen.refilled:
        return Refill()
    model = config.models.get(job.model)
    # Also while its model is not configured: it waits in line for the model to come back, and
    # nobody would look again.
    if comes_back(job, model.max_attempts if model is not None else MAX_ATTEMPTS):
        return Requeue(_why(job))
    if job.tally is not None or job.arn is None:
        return Rest(fill=seen.fill)
    if may_come_back(job) and (counted := _counts_due(job)) > now:
        return Rest(max(counted, grid_due(now, 1)), fill=seen.fill)
    return Tally()


def _counts_due(job: Job) -> datetime:
    ended_at = job.ended_at or job.updated_at
    return at_minute(minute_number(ended_at + COUNTS_LAG) + 1)


def _why(job: Job) -> str:
    if not job.reason:
        return f"{job.status} before it began"
    return f"{job.status} before a record was processed: {job.reason}"


def _is_stray(job: Job, told: Report) -> bool:
    """Whether Bedrock runs an attempt that has no slot any more."""
    going = told.status not in {"Stopping", *ENDS}
    return going and told.attempt == job.attempt and not job.at_bedrock
