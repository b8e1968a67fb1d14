"""What Get and List tell of a job: which fields, in the recorded order, and with which values.

Recorded 2026-03-04 and 2026-03-13, cloud-custodian PR #10611 (59 jobs), and 2025-01,
amazon-bedrock-samples' notebook on batch inference (30 jobs). A summary of List never has the
token, the message, the VPC or the counts, which Get has. Both fill in what was not sent: the
model's full ARN, the buckets' owner, time-out, expiry and type.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.jobs import (
    EXPIRED,
    IN_PROGRESS,
    SCHEDULED,
    STOPPED,
    STOPPING,
    Job,
    Settings,
)
from local.bedrock_simulator.models import model_arn

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long before `lastModifiedTime` a job's `endTime` is: recorded were 28 ms to 0.9 s (Failed),
# 0.4 to 1.3 s (Completed).
END_BEFORE_MODIFIED = timedelta(milliseconds=500)


def summary(job: Job, settings: Settings) -> dict[str, Any]:
    """The job as ListModelInvocationJobs shows it. Timestamps are `datetime`s of whole
    milliseconds.
    """
    end = _end_time(job)
    return {
        "jobArn": job.arn,
        "jobName": job.name,
        "modelId": model_arn(job.model, settings.region, settings.account),
        "roleArn": job.role,
        "status": job.status,
        "submitTime": job.submit_time,
        "lastModifiedTime": milliseconds(job.times[job.status]),
        **({"endTime": end} if end else {}),
        "inputDataConfig": _with_owner(job.request["inputDataConfig"], settings),
        "outputDataConfig": _with_owner(job.request["outputDataConfig"], settings),
        "timeoutDurationInHours": job.request.get("timeoutDurationInHours")
        or settings.timeout_hours,
        "jobExpirationTime": job.expires_at,
        "modelInvocationType": job.request.get("modelInvocationType") or "InvokeModel",
    }


def details(job: Job, settings: Settings, *, processed: int, with_counts: bool) -> dict[str, Any]:
    """The job as GetModelInvocationJob shows it. `processed` are its records, so far, if it is
    InProgress. `with_counts`: they came into the API in April 2026.
    """
    answer: dict[str, Any] = {}
    for name, value in summary(job, settings).items():
        answer[name] = value
        if name == "modelId" and job.token:
            answer["clientRequestToken"] = job.token
        if name == "status" and job.message:
            answer["message"] = job.message
        if name == "outputDataConfig" and job.request.get("vpcConfig"):
            answer["vpcConfig"] = job.request["vpcConfig"]
    return {**answer, **(_counts(job, processed) if with_counts else {})}


def milliseconds(moment: datetime) -> datetime:
    """The API's timestamps have this precision; a submit time that a caller read is the one that
    filters compare.
    """
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _end_time(job: Job) -> datetime | None:
    """Failed and Completed: just before the status changed. Stopped: none. Expired: when it was
    queued, minutes after submit, although the status changed a day later.
    """
    if not job.ended or job.status == STOPPED:
        return None
    if job.status == EXPIRED:
        return milliseconds(job.times[SCHEDULED])
    changed = job.times[job.status]
    earlier = [moment for status, moment in job.times.items() if status != job.status]
    return milliseconds(max(changed - END_BEFORE_MODIFIED, *earlier))


def _with_owner(config: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """An input or output configuration as it was sent, with the buckets' owner, which is
    filled in.
    """
    return {
        kind: {
            **{name: value for name, value in sent.items() if value is not None},
            "s3BucketOwner": sent.get("s3BucketOwner") or settings.account,
        }
        for kind, sent in config.items()
        if sent is not None
    }


def _counts(job: Job, processed: int) -> dict[str, int]:
    """0 of 0 before processing, also on a job that failed in validation; then in step with the
    time; then what was processed.
    """
    started, tally = IN_PROGRESS in job.times, job.tally
    success = errors = 0
    if job.status == IN_PROGRESS:
        success = processed
    elif started and tally and not tally.problem:
        success, errors = tally.success, tally.errors
    elif job.status in (STOPPING, STOPPED):
        success = job.stopped_records
    return {
        "totalRecordCount": job.inspection.records if started and job.inspection else 0,
        "processedRecordCount": success + errors,
        "successRecordCount": success,
        "errorRecordCount": errors,
    }
