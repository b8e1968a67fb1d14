"""Amazon Bedrock: the four batch calls, and what each answer of Create means.

SDK retries are off: inside one retried call the first try may run while the second is refused, and
the answer would hide the job that lives. A caller whose Get, List or Stop fails leaves it to its
hint, which comes back later.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from bbq.shared.hold import ACCESS, INVALID, NOT_FOUND, QUOTA, THROTTLED
from bbq.shared.plain import shortened

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

    from bbq.shared.models import Model

PAGE = 1000  # ListModelInvocationJobs' own maximum (Bedrock API reference)
MAX_MESSAGE = 500
LIST_MARGIN = timedelta(minutes=5)  # between a clock of ours and Bedrock's
# Get may not know a job at first: Terraform's provider asks for 5 minutes (2026-09)
KNOWN_WITHIN = timedelta(minutes=10)

# Answers that say for certain that no job was made (Bedrock API reference, errors of
# CreateModelInvocationJob). None of them was ever recorded to be about the job itself, so each is a
# reason to hold its model. What is not listed here is unknown: it keeps the slot.
REFUSED = {
    "ServiceQuotaExceededException": QUOTA,
    "ThrottlingException": THROTTLED,
    "TooManyRequestsException": THROTTLED,
    "AccessDeniedException": ACCESS,
    "UnrecognizedClientException": ACCESS,
    "InvalidSignatureException": ACCESS,
    "ExpiredTokenException": ACCESS,
    "ValidationException": INVALID,
    "ResourceNotFoundException": NOT_FOUND,
}
# of Get: no such job, or not an ARN of one
NOT_THERE = {"ResourceNotFoundException", "ValidationException"}
NAME_IN_USE = "currently in use"  # which code carries it is not documented


class NotYetKnown(Exception):
    """Get does not know a job yet that was made a moment ago: ask again later. Not an answer."""


@dataclass(frozen=True)
class Accepted:
    """Bedrock has the job."""

    arn: str


@dataclass(frozen=True)
class Refused:
    """Definitely not taken. `kind` is one of shared/hold.py."""

    kind: str
    message: str


@dataclass(frozen=True)
class NameInUse:
    """A job of this name exists: maybe our own, from a call whose answer was lost."""

    message: str


@dataclass(frozen=True)
class Unknown:
    """The job may or may not have been made."""

    message: str


Answer = Accepted | Refused | NameInUse | Unknown


@dataclass(frozen=True, kw_only=True)
class Request:
    """What Create is told. `name` is also the client request token."""

    name: str
    model: "Model"
    input_uri: str
    output_uri: str
    role_arn: str
    kms_key_arn: str | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """A job at Bedrock as Get describes it. Counts are None if the SDK does not know them."""

    arn: str
    name: str
    token: str
    status: str
    message: str
    total_records: int | None = None
    processed_records: int | None = None
    succeeded_records: int | None = None
    failed_records: int | None = None


class Bedrock:
    """The calls. `client` must have its retries off (`handler.py` makes it so)."""

    def __init__(self, client: "BedrockClient") -> None:
        self._client = client

    def create(self, request: Request) -> Answer:
        """Call Create once. Never raises: every failure is an answer."""
        output: dict[str, Any] = {"s3Uri": request.output_uri}
        if request.kms_key_arn:
            output["s3EncryptionKeyId"] = request.kms_key_arn
        try:
            answer = self._client.create_model_invocation_job(
                jobName=request.name,
                clientRequestToken=request.name,
                roleArn=request.role_arn,
                modelId=request.model.model_id,
                inputDataConfig={
                    "s3InputDataConfig": {"s3Uri": request.input_uri, "s3InputFormat": "JSONL"}
                },
                outputDataConfig={"s3OutputDataConfig": output},  # type: ignore[typeddict-item] # built above
                timeoutDurationInHours=request.model.timeout_hours,
                modelInvocationType=request.model.invocation_type,  # type: ignore[arg-type] # checked by parse_models
            )
        except ClientError as error:
            return meaning(
                error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
            )
        except ParamValidationError as error:
            # The SDK is older than what we ask for: the deployment's fault.
            return Refused(INVALID, shortened(str(error), MAX_MESSAGE))
        except BotoCoreError as error:
            return Unknown(type(error).__name__)
        return Accepted(answer["jobArn"])

    def get(self, arn: str) -> Found | None:
        """One job, by ARN; None where Bedrock knows none (an event may be forged). Other errors
        rise.
        """
        try:
            return _found(self._client.get_model_invocation_job(jobIdentifier=arn))
        except ClientError as error:
            if error.response["Error"].get("Code") in NOT_THERE:
                return None
            raise

    def named(self, name: str, since: datetime) -> list[Found]:
        """Every job of exactly this name submitted since then, of whatever status. List shows no
        token (recorded 2025-2026: none in 257 summaries), so Get is asked for each. Errors rise: an
        error is not "not found". Raises NotYetKnown.
        """
        pages = self._client.get_paginator("list_model_invocation_jobs").paginate(
            nameContains=name,
            submitTimeAfter=since - LIST_MARGIN,
            PaginationConfig={"PageSize": PAGE},
        )
        arns = [
            job["jobArn"]
            for page in pages
            for job in page.get("invocationJobSummaries", [])
            if job.get("jobName") == name
        ]
        return [self._listed(arn) for arn in arns]

    def _listed(self, arn: str) -> Found:
        found = self.get(arn)
        if found is None:
            raise NotYetKnown(f"List shows {arn}, Get does not know it yet")
        return found

    def stop(self, arn: str) -> bool:
        """Ask Bedrock to stop a job. False if it says that there is nothing to stop. Of a job that
        ended: ValidationException with "State was: Completed" (recorded 2024-2026), or Conflict
        (documented). Of one it does not know: NotFound (recorded).
        """
        try:
            self._client.stop_model_invocation_job(jobIdentifier=arn)
        except ClientError as error:
            if error.response["Error"].get("Code") in {"ConflictException", *NOT_THERE}:
                return False
            raise
        return True


def meaning(code: str, message: str) -> Answer:
    """What an error of Create says about the job."""
    message = shortened(f"{code}: {message}", MAX_MESSAGE)
    if code == "ConflictException" or NAME_IN_USE in message:
        return NameInUse(message)
    return Refused(REFUSED[code], message) if code in REFUSED else Unknown(message)


def _found(job: Any) -> Found:
    return Found(
        arn=job["jobArn"],
        name=job.get("jobName", ""),
        token=job.get("clientRequestToken", ""),
        status=job.get("status", ""),
        message=job.get("message", ""),
        total_records=job.get("totalRecordCount"),
        processed_records=job.get("processedRecordCount"),
        succeeded_records=job.get("successRecordCount"),
        failed_records=job.get("errorRecordCount"),
    )
