"""A batch job: its statuses, what was drawn for it, and what is known of it. Data only; `rules.py`
moves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SUBMITTED, VALIDATING, SCHEDULED, IN_PROGRESS = "Submitted", "Validating", "Scheduled", "InProgress"
STOPPING, STOPPED, COMPLETED, PARTIALLY_COMPLETED = (
    "Stopping",
    "Stopped",
    "Completed",
    "PartiallyCompleted",
)
FAILED, EXPIRED = "Failed", "Expired"
STATUSES = (
    SUBMITTED,
    VALIDATING,
    SCHEDULED,
    IN_PROGRESS,
    STOPPING,
    STOPPED,
    COMPLETED,
    PARTIALLY_COMPLETED,
    FAILED,
    EXPIRED,
)
TERMINAL = frozenset({STOPPED, COMPLETED, PARTIALLY_COMPLETED, FAILED, EXPIRED})
LEGAL_NEXT: Mapping[str, frozenset[str]] = {
    SUBMITTED: frozenset({VALIDATING, STOPPING}),
    VALIDATING: frozenset({SCHEDULED, FAILED, STOPPING}),
    SCHEDULED: frozenset({IN_PROGRESS, EXPIRED, STOPPING}),
    IN_PROGRESS: frozenset({COMPLETED, PARTIALLY_COMPLETED, FAILED, STOPPING}),
    STOPPING: frozenset({STOPPED}),
    **dict.fromkeys(TERMINAL, frozenset()),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`*_seconds` are ranges from which each job draws; `stage_seconds` holds for Submitted,
    Validating and Scheduled.
    """

    account: str = "000000000000"
    region: str = "us-east-1"
    seed: int = 0
    quota: int = 100
    model_quotas: Mapping[str, int] = field(default_factory=dict)
    stage_seconds: tuple[float, float] = (0.05, 0.2)
    job_seconds: tuple[float, float] = (1.0, 3.0)
    stopping_seconds: tuple[float, float] = (0.05, 0.2)
    min_records: int = 100
    max_records: int = 100_000
    max_file_bytes: int = 1024**3
    max_job_bytes: int = 5 * 1024**3
    # of a job that asks for none: recorded 2026-03, cloud-custodian PR #10611
    timeout_hours: int = 24


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `Validating` found in S3. `problem` is a sentence, and empty if every line of every file
    was readable.
    """

    records: int = 0
    largest_file_records: int = 0
    largest_file_bytes: int = 0
    total_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What was written to S3. With a `problem` (a sentence) the job fails."""

    success: int = 0
    errors: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """A job's lot, drawn when it is created: seconds in each status, how it will end if nothing
    else ends it, and which share of its records will be processed by then (0-1).
    """

    seconds: Mapping[str, float]
    outcome: str = COMPLETED
    share: float = 1.0


@dataclass(kw_only=True, eq=False)
class Job:
    id: str
    arn: str
    sequence: int
    request: Mapping[str, Any]
    plan: Plan
    submit_time: datetime
    expires_at: datetime
    due: datetime  # when it is to leave its status
    foreign: bool = False
    open_ended: bool = False  # a foreign job that stays InProgress until it is ended by name
    status: str = ""
    message: str = ""
    times: dict[str, datetime] = field(default_factory=dict)
    turn: int = 0  # raised by every change of status, so that what was scheduled before it is void
    waiting: bool = False  # for an Inspection, a Tally or the end of an open-ended job
    inspection: Inspection | None = None
    tally: Tally | None = None
    stopped_records: int = 0  # processed when Stop came

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def model(self) -> str:
        """As it was asked for: an id or an ARN."""
        return str(self.request["modelId"])

    @property
    def role(self) -> str:
        return str(self.request["roleArn"])

    @property
    def input_uri(self) -> str:
        return str(self.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])

    @property
    def output_uri(self) -> str:
        return str(self.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])

    @property
    def token(self) -> str | None:
        return self.request.get("clientRequestToken")

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def owner(self) -> str:
        """Whose it is, as alive jobs are counted."""
        return "foreign" if self.foreign else "ours"

    @property
    def records_to_process(self) -> int:
        """How many records the output will hold, unless it is stopped before."""
        if self.status in (STOPPING, STOPPED):
            return self.stopped_records
        return int(self.inspection.records * self.plan.share) if self.inspection else 0

    def processed_by(self, now: datetime) -> int:
        """How many records of a job InProgress are processed: in step with the time."""
        started = self.times.get(IN_PROGRESS)
        if started is None or self.open_ended:
            return 0
        seconds = self.plan.seconds.get(IN_PROGRESS, 0.0)
        share = min(1.0, (now - started).total_seconds() / seconds) if seconds else 1.0
        return int(self.records_to_process * share)

    def change(self, previous: str, at: datetime) -> StatusChange:
        """That it has left its previous status for this one."""
        return StatusChange(
            job_id=self.id,
            arn=self.arn,
            name=self.name,
            model=self.model,
            previous=previous,
            status=self.status,
            message=self.message,
            at=at,
            submit_time=self.submit_time,
            foreign=self.foreign,
        )


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    job_id: str
    arn: str
    name: str
    model: str
    previous: str
    status: str
    message: str
    at: datetime
    submit_time: datetime
    foreign: bool


def foreign_request(number: int, model: str, settings: Settings) -> dict[str, Any]:
    """What another user of the account sends to create a job."""
    return {
        "jobName": f"other-team-{number}",
        "clientRequestToken": f"other-team-{settings.seed}-{number}",
        "modelId": model,
        "roleArn": f"arn:aws:iam::{settings.account}:role/other-team",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://other-team/{number}.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://other-team/output/"}},
    }
