"""A job as its events tell it: the state, how each event changes it, and the rules that need nothing else.

Pure: no clock, no AWS. `fold(events)` is the state; whoever wants to act loads, folds, decides and appends (see store.py).

```mermaid
stateDiagram-v2
    [*] --> Queued: job-queued
    [*] --> Rejected: job-rejected
    Queued --> Claimed: slot-claimed
    Queued --> Cancelled: job-cancelled
    Claimed --> Held: submission-refused
    Claimed --> Submitted: job-submitted
    Held --> Submitted: job-submitted
    Held --> Cancelled: job-cancelled
    Claimed --> Cancelled: job-cancelled
    Submitted --> Running: job-progressed
    Running --> Ended: job-ended
    Submitted --> Ended: job-ended
    Claimed --> Ended: job-ended
    Held --> Ended: job-ended
    Ended --> Queued: job-requeued
```
Running is Validating, Scheduled, InProgress or Stopping; Ended is Completed, PartiallyCompleted, Failed, Stopped or Expired.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared import events as e

QUEUED, CLAIMED, HELD, SUBMITTED, CANCELLED, REJECTED = "Queued", "Claimed", "Held", "Submitted", "Cancelled", "Rejected"
# Bedrock's own words (ModelInvocationJobStatus in its API reference), by how far along they are. Observers may miss some: any
# forward jump is legal.
RANK = {SUBMITTED: 1, "Validating": 2, "Scheduled": 3, "InProgress": 4, "Stopping": 5}
ENDS = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
PRIORITIES = range(10)  # 0 is served first
LEASED = frozenset({CLAIMED, HELD})
RUNNING = frozenset(RANK)
OVER = ENDS | {CANCELLED, REJECTED}
# Appended by intake and operators, who project nothing themselves.
APPENDED_BY_OTHERS = frozenset(
    {e.JobQueued.NAME, e.JobRejected.NAME, e.CancelRequested.NAME, e.JobRequeued.NAME, e.PriorityChanged.NAME}
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The state of a job at `version` events. `attempt` is 0 until the first slot is claimed.

    `left_places` are the priorities at which it had a place in line before it was given another one, since it last waited.
    """

    id: str
    version: int
    status: str
    model: str
    priority: int
    left_places: frozenset[int] = frozenset()
    sources: tuple[e.Source, ...]
    queued_at: datetime
    line_at: datetime
    updated_at: datetime
    latest: str  # name of the newest event: only what others append may still wait to be projected
    input_uri: str = ""
    output_uri: str = ""
    record_count: int = 0
    size_bytes: int = 0
    labels: tuple[e.Label, ...] = ()
    problems: tuple[e.Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    queued_version: int = 1  # of the event since which it waits, or waited last
    attempt: int = 0
    model_id: str = ""
    arn: str | None = None
    claimed_at: datetime | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    refusals: frozenset[str] = frozenset()
    cancel: e.CancelRequested | None = None
    tally: e.JobTallied | None = None

    @property
    def owner(self) -> str:
        """Whom the uploader named as the owner; empty where nobody was."""
        return next((label.value for label in self.labels if label.name == "owner"), "")


class IllegalEvent(Exception):
    """An event that cannot follow the ones before it: the stream is damaged, and its job must be looked at by a person."""


def fold(job_id: str, events: Iterable[e.Event]) -> Job | None:
    """The state after all events, None for none. Raises IllegalEvent where a stream does not begin as one must."""
    job: Job | None = None
    for event in events:
        job = evolve(job_id, job, event)
    return job


def evolve(job_id: str, job: Job | None, event: e.Event) -> Job:
    """The state after one more event."""
    if job is None:
        return _begin(job_id, event)
    return replace(job, **_changes(job, event), version=job.version + 1, updated_at=event.at, latest=event.NAME)


def _begin(job_id: str, event: e.Event) -> Job:
    match event:
        case e.JobQueued():
            return Job(
                id=job_id, version=1, status=QUEUED, model=event.model, priority=event.priority, sources=event.sources,
                queued_at=event.at, updated_at=event.at, latest=event.NAME, input_uri=event.input_uri,
                output_uri=event.output_uri, record_count=event.record_count, size_bytes=event.size_bytes,
                labels=event.labels, line_at=event.line_at or event.at, warnings=event.warnings,
            )  # fmt: skip
        case e.JobRejected():
            first = event.problems[0].text if event.problems else "unknown"
            more = f" (and {event.problem_count - 1} more)" if event.problem_count > 1 else ""
            return Job(
                id=job_id, version=1, status=REJECTED, model=event.model or "", priority=0, sources=event.sources,
                queued_at=event.at, updated_at=event.at, latest=event.NAME, ended_at=event.at,
                problems=event.problems, reason=first + more, size_bytes=event.size_bytes, labels=event.labels,
                line_at=event.at,
            )  # fmt: skip
        case _:
            raise IllegalEvent(f"a job cannot begin with {event.NAME}")


def _changes(job: Job, event: e.Event) -> dict[str, Any]:  # noqa: C901 - a table: which event changes what, in which state
    """What an event changes. One that does not fit the state or the attempt it meets changes nothing: an end is final."""
    match event:
        case e.SlotClaimed() if job.status == QUEUED and event.attempt > job.attempt:
            return {
                "status": CLAIMED, "attempt": event.attempt, "model_id": event.model_id, "claimed_at": event.at, "reason": "",
                "left_places": frozenset(),
            }  # fmt: skip
        case e.SubmissionRefused() if job.status in LEASED and event.attempt == job.attempt:
            return {"status": HELD, "refusals": job.refusals | {event.kind}, "reason": event.message}
        case e.JobSubmitted() if job.status in LEASED and event.attempt == job.attempt:
            return {"status": SUBMITTED, "arn": event.arn, "submitted_at": event.at, "reason": ""}
        case e.JobProgressed() if _rises(job, event):
            started = event.at if event.status == "InProgress" else job.started_at
            return {"status": event.status, "started_at": started}
        case e.JobEnded() if job.status in LEASED | RUNNING and event.attempt == job.attempt:
            return {"status": event.status, "ended_at": event.at, "reason": event.message, "arn": event.arn or job.arn}
        case e.JobTallied() if job.status in ENDS and event.attempt == job.attempt:
            return {"tally": event}
        case e.JobRequeued() if job.status in ENDS:
            return {
                "status": QUEUED, "queued_version": job.version + 1, "arn": None, "claimed_at": None, "submitted_at": None,
                "started_at": None, "ended_at": None, "refusals": frozenset(), "tally": None, "cancel": None, "reason": event.why,
            }  # fmt: skip
        case e.PriorityChanged() if job.status not in OVER and event.priority in PRIORITIES:
            left = job.left_places | {job.priority} if job.status == QUEUED else job.left_places
            return {"priority": event.priority, "left_places": left - {event.priority}}
        case e.CancelRequested() if job.status not in OVER:
            return {"cancel": event}
        case e.JobCancelled() if job.status in LEASED | {QUEUED}:
            why = f": {job.cancel.why}" if job.cancel and job.cancel.why else ""
            by = f" by {job.cancel.by}" if job.cancel else ""
            return {"status": CANCELLED, "ended_at": event.at, "reason": f"cancelled{by}{why}"}
        case _:
            return {}


def _rises(job: Job, event: e.JobProgressed) -> bool:
    known, said = RANK.get(job.status, 0), RANK.get(event.status, 0)
    return job.status in RUNNING and event.attempt == job.attempt and said > known


def outcome(job: Job) -> str:
    """What became of an ended job, in a word. `Completed` may mean that every record failed: read the counts."""
    if job.status not in OVER:
        return ""
    tally = job.tally
    if job.status != "Completed" or tally is None or tally.succeeded_records is None:
        return job.status
    if tally.succeeded_records == 0:
        return "NoRecordSucceeded"
    return "CompletedWithErrors" if tally.failed_records else "Completed"


def may_retry(job: Job, max_attempts: int) -> bool:
    """Whether policy gives an ended attempt another one: only when it Expired and is known to have bought nothing."""
    bought_nothing = job.tally is not None and job.tally.processed_records == 0
    return job.status == "Expired" and bought_nothing and job.cancel is None and job.attempt < max_attempts


def news(job: Job, status: str) -> bool:
    """Whether a status of Bedrock's says more about a running job than we know."""
    return status in ENDS or RANK.get(status, 0) > RANK.get(job.status, 0)
