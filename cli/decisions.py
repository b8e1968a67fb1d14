"""What an operator may ask of a job or a model, in the state that it is in: the event to append, or
a sentence that says why not.

Pure. `acts.py` loads, asks here and appends; when others were faster it loads and asks again. If
the same was asked for before, the answer says by whom, and the command ends well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bbq.cli.times import minute
from bbq.services.scheduler.hints import MAX_ATTEMPT
from bbq.shared import events as e
from bbq.shared.counts import to_be_tallied
from bbq.shared.job import (
    CANCELLED,
    ENDS,
    OVER,
    QUEUED,
    REJECTED,
    RUNNING,
    UNREADABLE,
    Job,
    comes_back,
    may_come_back,
    outcome,
)
from bbq.shared.slots import REBUILDING, fold_model

STOPPED = "Stopped"
GOOD_OUTCOME = "Completed"


@dataclass(frozen=True)
class Act:
    """Append this event; the sentence says what will come of it. `buys`: so many succeeded records
    will be bought again.
    """

    event: e.Event
    sentence: str
    buys: int = 0


@dataclass(frozen=True)
class Already:
    """Nothing to do: it is so, or was asked for."""

    sentence: str


@dataclass(frozen=True)
class Refused:
    """It makes no sense now, and what to do instead."""

    sentence: str


Decision = Act | Already | Refused


def cancel(job: Job, *, at: datetime, by: str, why: str) -> Decision:
    """Out of the line, or stopped at Bedrock."""
    asked = f"{job.cancel.by} asked for it at {minute(job.cancel.at)} UTC" if job.cancel else ""
    if job.status == CANCELLED or (job.status == STOPPED and job.cancel is not None):
        return Already(f"is {job.status} already" + (f": {asked}" if asked else ""))
    if job.status in OVER and not may_come_back(job):
        late = f"; {asked}, which was too late" if asked else ""
        return Refused(f"is over: {outcome(job)}{late}")
    if job.cancel is not None:
        return Already(f"is being cancelled already: {asked}")
    if job.status == QUEUED:
        meaning = "will leave the line"
    elif job.status == UNREADABLE:
        meaning = "will not be taken in"
    elif job.status in OVER:
        meaning = "will not be queued again"
    elif job.status in RUNNING:
        meaning = "will be stopped at Bedrock; what it has done until then is billed"
    else:
        meaning = "will not be sent to Bedrock, or be stopped there if it is on its way"
    return Act(e.CancelRequested(at=at, by=by, why=why), meaning)


def retry(job: Job, *, models: Sequence[str], at: datetime, by: str, why: str) -> Decision:
    """Another attempt for a job that has ended. `models` are the configured aliases."""
    if job.status == REJECTED:
        return Refused(
            "was Rejected and would be again: mend what `bbq show` lists and submit the file again"
        )
    if job.status == UNREADABLE:
        return Refused(
            "could not be read yet: grant the right that `bbq show` names, then `bbq wake`"
        )
    if job.status == CANCELLED:
        return Refused("was Cancelled before Bedrock had it: submit its file again")
    if job.status == QUEUED:
        again = job.latest == e.JobRequeued.NAME
        return (
            Already("waits in line for another attempt already")
            if again
            else Refused("waits in line: nothing to retry")
        )
    if job.status not in ENDS:
        return Refused(f"is {job.status}: wait for its end, or cancel it first")
    if job.model not in models:
        return Refused(
            f"its model {job.model} is not configured any more: configure it again first"
        )
    if job.attempt >= MAX_ATTEMPT:
        return Refused(
            f"has had {job.attempt} attempts, more than which have no name: submit its file again"
        )
    if to_be_tallied(job):
        return Refused(
            f"is {job.status} since a moment ago, and its counts are still being read: try again "
            "in a minute"
        )
    bought = (job.tally.succeeded_records if job.tally else None) or 0
    event = e.JobRequeued(at=at, attempt=job.attempt, by=by, why=why)
    return Act(event, f"will run again, as attempt {job.next_attempt}", bought)


def forget(job: Job, *, at: datetime, by: str, why: str) -> Decision:
    """A job that Bedrock does not know any more, although we hold its ARN: the scheduler asks once
    more, and ends it.
    """
    if job.status in OVER:
        return Refused(f"is over: {outcome(job)}")
    if job.status not in RUNNING:
        return Refused(f"is {job.status}, and Bedrock never had it: cancel it instead")
    if job.forget is not None:
        return Already(f"{job.forget.by} asked for it at {minute(job.forget.at)} UTC")
    return Act(
        e.ForgetRequested(at=at, by=by, why=why),
        "ends as Failed, and its slot is free, if Bedrock does not know it",
    )


def priority(job: Job, number: int, *, at: datetime, by: str, why: str) -> Decision:
    """Another place in line. Legal while the job has a slot too: it counts if the job ever comes
    back to the line.
    """
    if to_be_tallied(job) and may_come_back(job):
        return Refused(f"is {job.status} and comes back if nothing was done: try again in minutes")
    if job.status in OVER:
        return Refused(f"is over: {outcome(job)}")
    if job.status == UNREADABLE:
        return Refused("could not be read yet: it has a priority once it could")
    if job.priority == number:
        return Already(f"has priority {number} already")
    place = (
        "moves in line"
        if job.status == QUEUED
        else f"is {job.status}: it counts only if the job is queued again"
    )
    return Act(
        e.PriorityChanged(at=at, priority=number, by=by, why=why),
        f"priority {job.priority} becomes {number}; {place}",
    )


def pause(alias: str, history: Sequence[e.Event], *, at: datetime, by: str, why: str) -> Decision:
    """Nothing new starts on the model, also when a rebuild that has paused it is done."""
    paused = fold_model(alias, history).pause
    if paused is not None and paused.why != REBUILDING:
        because = f": {paused.why}" if paused.why else ""
        return Already(f"was paused already by {paused.by} at {minute(paused.at)} UTC{because}")
    return Act(e.ModelPaused(at=at, by=by, why=why), "starts nothing new; what runs goes on")


def resume(
    alias: str, history: Sequence[e.Event], *, on_hold: bool, at: datetime, by: str, why: str
) -> Decision:
    """The model starts jobs again, whether a person has paused it or it is `on_hold`."""
    if fold_model(alias, history).paused:
        return Act(e.ModelResumed(at=at, by=by, why=why), "starts jobs again")
    if on_hold:
        return Act(
            e.ModelResumed(at=at, by=by, why=why),
            "is on hold no more: it starts jobs again until Bedrock refuses or fails them",
        )
    last = next((event for event in reversed(history) if isinstance(event, e.ModelResumed)), None)
    return Already(
        f"is not paused: {last.by} resumed it at {minute(last.at)} UTC" if last else "is not paused"
    )


def settled(job: Job, max_attempts: int) -> bool:
    """Whether the job is over for good: counted where there is anything to count, and policy does
    not try it again.
    """
    if job.status not in OVER:
        return False
    return not to_be_tallied(job) and not comes_back(job, max_attempts)
