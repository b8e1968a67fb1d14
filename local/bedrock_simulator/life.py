"""What becomes of a job: how long it stays in a status, which one comes next, and why. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from local.bedrock_simulator.errors import (
    PROCESSING_FAILURES,
    TOO_FEW_RECORDS,
    VALIDATING_FAILURES,
)
from local.bedrock_simulator.jobs import (
    EXPIRED,
    FAILED,
    IN_PROGRESS,
    PARTIALLY_COMPLETED,
    SCHEDULED,
    STOPPED,
    STOPPING,
    SUBMITTED,
    VALIDATING,
    Inspection,
    Job,
    Plan,
    Settings,
)

if TYPE_CHECKING:
    import random
    from datetime import datetime

    from local.bedrock_simulator.faults import Faults


def plan(settings: Settings, faults: Faults, chance: random.Random) -> Plan:
    """How long a new job will stay in each status, and how it will end."""
    seconds = {
        status: chance.uniform(*settings.stage_seconds)
        for status in (SUBMITTED, VALIDATING, SCHEDULED)
    }
    seconds[IN_PROGRESS] = chance.uniform(*settings.job_seconds)
    seconds[STOPPING] = chance.uniform(*settings.stopping_seconds)
    for rate, outcome, share in (
        (faults.job_failure, FAILED, 0.5 if faults.failed_output == "part" else 0.0),
        (faults.job_partial, PARTIALLY_COMPLETED, 0.5),
        (faults.job_expiry, EXPIRED, 0.0),
    ):
        if chance.random() < rate:
            return Plan(seconds, outcome, share)
    return Plan(seconds)


def next_status(job: Job, settings: Settings, faults: Faults) -> tuple[str, str]:
    """The status after this one, and the message that goes with it."""
    match job.status:
        case "Submitted":
            return VALIDATING, ""
        case "Validating":
            problem = _permission_problem(job, faults) or _input_problem(job, settings)
            return (FAILED, problem) if problem else (SCHEDULED, "")
        case "Scheduled" if job.plan.outcome == EXPIRED or job.due >= job.expires_at:
            return EXPIRED, "The job timed out before it began."
        case "Scheduled":
            return IN_PROGRESS, ""
        case "Stopping":
            return STOPPED, ""
    return _end_of_processing(job, faults)


def leaves_output(job: Job, faults: Faults) -> bool:
    """Whether there is output to be written before the job leaves its status."""
    if job.tally is not None:
        return False
    if job.status == STOPPING:
        return job.stopped_records > 0 and faults.stopped_output == "part"
    return job.status == IN_PROGRESS and job.plan.share > 0 and not fails_processing(job, faults)


def processed(job: Job, faults: Faults, now: datetime) -> int:
    """How many records Bedrock has worked on by now."""
    return 0 if fails_processing(job, faults) else job.processed_by(now)


def fails_processing(job: Job, faults: Faults) -> bool:
    """Whether a fault lets it fail before any record is processed."""
    return faults.fail_processing is not None and job.tally is None and not job.foreign


def remembers_token(job: Job, faults: Faults, now: datetime) -> bool:
    """Whether Create, asked again with this job's token, answers with this job."""
    if faults.forget_tokens or (faults.token_ends_with_job and job.ended):
        return False
    memory = faults.token_memory_seconds
    return memory is None or now - job.submit_time <= timedelta(seconds=memory)


def _permission_problem(job: Job, faults: Faults) -> str:
    if faults.fail_validating is None or job.foreign:
        return ""
    bucket, _, key = job.input_uri.removeprefix("s3://").partition("/")
    return VALIDATING_FAILURES[faults.fail_validating].format(
        bucket=bucket, key=key, uri=job.input_uri
    )


def _input_problem(job: Job, settings: Settings) -> str:
    inspection = job.inspection or Inspection()
    if inspection.problem:
        return inspection.problem
    if inspection.records < settings.min_records:
        return TOO_FEW_RECORDS.format(
            arn=job.arn, records=inspection.records, minimum=settings.min_records
        )
    if max(inspection.records, inspection.largest_file_records) > settings.max_records:
        return f"The input has {inspection.records} records; the maximum is {settings.max_records}."
    if (
        inspection.largest_file_bytes > settings.max_file_bytes
        or inspection.total_bytes > settings.max_job_bytes
    ):
        return "The input is larger than the quota allows."
    return ""


def _end_of_processing(job: Job, faults: Faults) -> tuple[str, str]:
    if job.tally and job.tally.problem:
        return FAILED, job.tally.problem
    if fails_processing(job, faults):
        return FAILED, PROCESSING_FAILURES[faults.fail_processing or ""].format(role=job.role)
    messages = {
        FAILED: "The job failed because of an internal error.",
        PARTIALLY_COMPLETED: "Not all records could be processed in time.",
    }
    # A lot of Expired has had its chance in Scheduled; end_foreign may have replaced it
    # meanwhile.
    return job.plan.outcome, messages.get(job.plan.outcome, "")
