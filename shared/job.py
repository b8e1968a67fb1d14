"""A job as its events tell it: the state, how each event changes it, and the rules that need
nothing else.

Pure: no clock, no AWS. `fold(events)` is the state; whoever wants to act loads, folds, decides and
appends (see store.py).

```mermaid
stateDiagram-v2
    [*] --> Queued: job-queued
    [*] --> Rejected: job-rejected
    [*] --> Unreadable: upload-unreadable
    Unreadable --> Queued: job-queued
    Unreadable --> Rejected: job-rejected
    Unreadable --> Cancelled: job-cancelled
    Queued --> Claimed: slot-claimed
    Queued --> Cancelled: job-cancelled
    Queued --> Submitted: job-submitted (found after all)
    Claimed --> Queued: submission-refused
    Claimed --> Submitted: job-submitted
    Claimed --> Cancelled: job-cancelled
    Claimed --> Ended: job-ended
    Submitted --> Running: job-progressed
    Running --> Ended: job-ended
    Submitted --> Ended: job-ended
    Ended --> Queued: job-requeued
```
Running is Validating, Scheduled, InProgress or Stopping; Ended is Completed, PartiallyCompleted,
Failed, Stopped or Expired.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bbq.shared import events as e
from bbq.shared.hold import (
    MAX_FAILING,
    MAX_FAILURES,
    NAME_TAKEN,
    OWN,
    TOO_FEW_RECORDS,
    UNANSWERED,
    is_its_own,
)

QUEUED, CLAIMED, SUBMITTED, CANCELLED, REJECTED = (
    "Queued",
    "Claimed",
    "Submitted",
    "Cancelled",
    "Rejected",
)
UNREADABLE = "Unreadable"  # intake may not read the upload yet; its model is not known, and empty
# Bedrock's own words (ModelInvocationJobStatus in its API reference), by how far along they are.
# Observers may miss some: any forward jump is legal.
RANK = {SUBMITTED: 1, "Validating": 2, "Scheduled": 3, "InProgress": 4, "Stopping": 5}
ENDS = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
PRIORITIES = range(10)  # 0 is served first
POLICY = "policy"  # who asks for another attempt where nobody did
RUNNING = frozenset(RANK)
OVER = ENDS | {CANCELLED, REJECTED}
# Appended by intake and operators, who project nothing themselves.
APPENDED_BY_OTHERS = frozenset(
    event.NAME
    for event in (
        e.JobQueued,
        e.JobRejected,
        e.UploadUnreadable,
        e.CancelRequested,
        e.ForgetRequested,
        e.JobRequeued,
        e.PriorityChanged,
    )
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The state of a job at `version` events. `attempt` is 0 until the first slot is claimed.

    An attempt keeps its number, and so its name and token, until Bedrock has taken it
    (`at_bedrock`). It was first claimed at `first_claimed_at`, and last at `claimed_at`;
    `unanswered`: it may be at Bedrock although a look-up did not find it. `refused_under` and
    `failed_under`: how many others had been taken, or had ended well, each time it was refused for
    what may be its own reason, and each time it failed before a record was processed (`failures`
    times in all). `left_places` are the priorities at which it had a place in line before it was
    given another one, since it last waited.
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
    at_bedrock: bool = False
    unanswered: bool = False
    model_id: str = ""
    arn: str | None = None
    first_claimed_at: datetime | None = None
    claimed_at: datetime | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    refused_under: frozenset[int] = frozenset()
    failed_under: frozenset[int] = frozenset()
    failures: int = 0
    first_failed_at: datetime | None = None
    processed_records: int | None = None  # what Get said at its end
    cancel: e.CancelRequested | None = None
    forget: e.ForgetRequested | None = None
    tally: e.JobTallied | None = None

    @property
    def next_attempt(self) -> int:
        """The number of the attempt that its next claim is for: the same one until Bedrock has
        taken it.
        """
        return self.attempt + 1 if self.at_bedrock or not self.attempt else self.attempt

    @property
    def may_be_at_bedrock(self) -> bool:
        """Whether Bedrock may have its attempt although nothing here says so."""
        return self.attempt > 0 and not self.at_bedrock and self.status in {QUEUED, CLAIMED}

    @property
    def owner(self) -> str:
        """Whom the uploader named as the owner; empty where nobody was."""
        return next((label.value for label in self.labels if label.name == "owner"), "")


class IllegalEvent(Exception):
    """An event that cannot follow the ones before it: the stream is damaged, and its job must be
    looked at by a person.
    """


def fold(job_id: str, events: Iterable[e.Event], job: Job | None = None) -> Job | None:
    """The state after all events, from `job` on; None for none. Raises IllegalEvent if a stream
    does not begin as one must.
    """
    for event in events:
        job = evolve(job_id, job, event)
    return job


def evolve(job_id: str, job: Job | None, event: e.Event) -> Job:
    """The state after one more event."""
    if job is None:
        return _begin(job_id, event)
    if job.status == UNREADABLE and isinstance(event, (e.JobQueued, e.JobRejected)):
        version = job.version + 1
        return replace(
            _begin(job_id, event), version=version, queued_version=version, cancel=job.cancel
        )
    return replace(
        job, **_changes(job, event), version=job.version + 1, updated_at=event.at, latest=event.NAME
    )


def _begin(job_id: str, event: e.Event) -> Job:
    match event:
        case e.JobQueued():
            return Job(
                id=job_id,
                version=1,
                status=QUEUED,
                model=event.model,
                priority=event.priority,
                sources=event.sources,
                queued_at=event.at,
                updated_at=event.at,
                latest=event.NAME,
                input_uri=event.input_uri,
                output_uri=event.output_uri,
                record_count=event.record_count,
                size_bytes=event.size_bytes,
                labels=event.labels,
                line_at=event.line_at or event.at,
                warnings=event.warnings,
            )
        case e.JobRejected():
            first = event.problems[0].text if event.problems else "unknown"
            more = f" (and {event.problem_count - 1} more)" if event.problem_count > 1 else ""
            return Job(
                id=job_id,
                version=1,
                status=REJECTED,
                model=event.model or "",
                priority=0,
                sources=event.sources,
                queued_at=event.at,
                updated_at=event.at,
                latest=event.NAME,
                ended_at=event.at,
                problems=event.problems,
                reason=first + more,
                size_bytes=event.size_bytes,
                labels=event.labels,
                line_at=event.at,
            )
        case e.UploadUnreadable():
            return Job(
                id=job_id,
                version=1,
                status=UNREADABLE,
                model="",
                priority=0,
                sources=event.sources,
                queued_at=event.at,
                updated_at=event.at,
                latest=event.NAME,
                reason=event.reason,
                line_at=event.at,
                size_bytes=sum(source.size_bytes for source in event.sources),
            )
        case _:
            raise IllegalEvent(f"a job cannot begin with {event.NAME}")


def _changes(job: Job, event: e.Event) -> dict[str, Any]:  # noqa: C901, PLR0912 - a table: which event changes what, in which state
    """What an event changes. One that does not fit the state or the attempt it meets changes
    nothing: an end is final.
    """
    match event:
        case e.SlotClaimed() if job.status == QUEUED and event.attempt == job.next_attempt:
            new = event.attempt > job.attempt
            return {
                "status": CLAIMED,
                "attempt": event.attempt,
                "model_id": event.model_id,
                "claimed_at": event.at,
                "reason": "",
                "left_places": frozenset(),
                "at_bedrock": False,
                "first_claimed_at": event.at if new else job.first_claimed_at,
                "unanswered": job.unanswered and not new,
                "refused_under": frozenset() if new else job.refused_under,
            }
        case e.SubmissionRefused() if job.status == CLAIMED and event.attempt == job.attempt:
            return {
                "status": QUEUED,
                "queued_version": job.version + 1,
                "reason": event.message,
                "unanswered": job.unanswered or event.kind in {UNANSWERED, NAME_TAKEN},
                "refused_under": job.refused_under | {event.taken}
                if event.kind in OWN
                else job.refused_under,
            }
        case e.JobSubmitted() if job.may_be_at_bedrock and event.attempt == job.attempt:
            return {
                "status": SUBMITTED,
                "at_bedrock": True,
                "unanswered": False,
                "arn": event.arn,
                "submitted_at": event.at,
                "reason": "",
                "left_places": frozenset(),
            }
        case e.JobProgressed() if _rises(job, event):
            started = event.at if event.status == "InProgress" else job.started_at
            return {"status": event.status, "started_at": started}
        case e.JobEnded() if job.status in {CLAIMED} | RUNNING and event.attempt == job.attempt:
            failed = event.status == "Failed" and event.processed_records == 0
            return {
                "status": event.status,
                "ended_at": event.at,
                "reason": event.message,
                "arn": event.arn or job.arn,
                "processed_records": event.processed_records,
                "failures": job.failures + failed,
                "first_failed_at": job.first_failed_at or (event.at if failed else None),
                "failed_under": job.failed_under | {event.good_ends}
                if failed
                else job.failed_under,
            }
        case e.JobTallied() if job.status in ENDS and event.attempt == job.attempt:
            return {"tally": event}
        case e.JobRequeued() if job.status in ENDS:
            return {
                "status": QUEUED,
                "queued_version": job.version + 1,
                "arn": None,
                "claimed_at": None,
                "submitted_at": None,
                "started_at": None,
                "ended_at": None,
                "processed_records": None,
                "tally": None,
                "cancel": None,
                "forget": None,
                "refused_under": frozenset(),
                "reason": event.why,
                **(
                    {}
                    if event.by == POLICY
                    else {"failures": 0, "first_failed_at": None, "failed_under": frozenset()}
                ),
            }
        case e.PriorityChanged() if (
            job.status not in OVER | {UNREADABLE} and event.priority in PRIORITIES
        ):
            left = job.left_places | {job.priority} if job.status == QUEUED else job.left_places
            return {"priority": event.priority, "left_places": left - {event.priority}}
        case e.CancelRequested() if job.status not in OVER or may_come_back(job):
            return {"cancel": event}
        case e.ForgetRequested() if job.status in RUNNING:
            return {"forget": event}
        case e.UploadUnreadable() if job.status == UNREADABLE:
            return {"reason": event.reason}
        case e.JobCancelled() if job.status in {QUEUED, CLAIMED, UNREADABLE}:
            why = f": {job.cancel.why}" if job.cancel and job.cancel.why else ""
            by = f" by {job.cancel.by}" if job.cancel else ""
            return {"status": CANCELLED, "ended_at": event.at, "reason": f"cancelled{by}{why}"}
        case _:
            return {}


def _rises(job: Job, event: e.JobProgressed) -> bool:
    known, said = RANK.get(job.status, 0), RANK.get(event.status, 0)
    return job.status in RUNNING and event.attempt == job.attempt and said > known


def outcome(job: Job) -> str:
    """What became of an ended job, in a word. `Completed` may mean that every record failed: read
    the counts.
    """
    if job.status not in OVER:
        return ""
    tally = job.tally
    if job.status != "Completed" or tally is None or tally.succeeded_records is None:
        return job.status
    if tally.succeeded_records == 0:
        return "NoRecordSucceeded"
    return "CompletedWithErrors" if tally.failed_records else "Completed"


def comes_back(job: Job, max_attempts: int) -> bool:
    """Whether an ended job is queued again by itself, at its old place: only if Get said that no
    record was processed, at its end and again once it was tallied, because Get's counts lag.

    Expired: it never had its turn at Bedrock; `max_attempts` times, failures not counted. Failed:
    most likely for a reason of the account, the role or the model, which costs no upload.
    """
    if job.tally is None or not may_come_back(job):
        return False
    return job.status == "Failed" or job.attempt - job.failures < max_attempts


def may_come_back(job: Job) -> bool:
    """Whether an ended job may be queued again by itself: as far as is known no record was
    processed, and nobody has cancelled it. Of what has expired, policy decides (`comes_back`).
    """
    if (
        job.status not in {"Failed", "Expired"}
        or job.cancel is not None
        or job.arn is None
        or job.processed_records != 0
    ):
        return False
    if job.tally is not None and job.tally.processed_records != 0:
        return False
    return job.status == "Expired" or not fails_for_its_own_reason(job)


def fails_for_its_own_reason(job: Job) -> bool:
    """Whether a job that failed before a record was processed is at fault itself: Bedrock says so,
    or it failed each time that others did well, or too often, for so long that no fault of a
    deployment lasts.
    """
    ended_at = job.ended_at or job.updated_at
    too_often = (
        job.failures >= MAX_FAILURES and ended_at - (job.first_failed_at or ended_at) >= MAX_FAILING
    )
    return TOO_FEW_RECORDS in job.reason or too_often or is_its_own(job.failed_under)


def news(job: Job, status: str) -> bool:
    """Whether a status of Bedrock's says more about a running job than we know."""
    return status in ENDS or RANK.get(status, 0) > RANK.get(job.status, 0)
