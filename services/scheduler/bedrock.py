"""Amazon Bedrock: the four batch calls, and what each answer of Create means.

SDK retries are off: inside one retried call the first try may run while the second is refused, and the answer would hide the
job that lives. A caller whose Get, List or Stop fails leaves it to its hint, which comes back later.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from shared.events import shortened

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

    from shared.models import Model

PAGE = 1000  # ListModelInvocationJobs' own maximum (Bedrock API reference)
MAX_MESSAGE = 500

# Answers that say for certain that no job was made, and that a later try may pass (Bedrock API reference, errors of
# CreateModelInvocationJob). Anything not listed here is unknown: it keeps the slot.
REFUSED = {
    "ServiceQuotaExceededException": "quota",
    "ThrottlingException": "throttle",
    "TooManyRequestsException": "throttle",
    "AccessDeniedException": "access",
    "UnrecognizedClientException": "access",
    "InvalidSignatureException": "access",
    "ExpiredTokenException": "access",
}
INVALID = {"ValidationException", "ResourceNotFoundException"}
NAME_IN_USE = "currently in use"  # which code carries it is not documented


@dataclass(frozen=True)
class Accepted:
    """Bedrock has the job."""

    arn: str


@dataclass(frozen=True)
class Refused:
    """Definitely not taken, for a reason that passes: "quota", "throttle" or "access"."""

    kind: str
    message: str


@dataclass(frozen=True)
class Invalid:
    """Definitely not taken, and never will be."""

    message: str


@dataclass(frozen=True)
class NameInUse:
    """A job of this name exists: maybe our own, from a call whose answer was lost."""

    message: str


@dataclass(frozen=True)
class Unknown:
    """The job may or may not have been made."""

    message: str


Answer = Accepted | Refused | Invalid | NameInUse | Unknown


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
    """A job at Bedrock as Get or List describes it."""

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
                inputDataConfig={"s3InputDataConfig": {"s3Uri": request.input_uri, "s3InputFormat": "JSONL"}},
                outputDataConfig={"s3OutputDataConfig": output},  # type: ignore[typeddict-item] # built above
                timeoutDurationInHours=request.model.timeout_hours,
                modelInvocationType=request.model.invocation_type,  # type: ignore[arg-type] # checked by parse_models
            )
        except ClientError as error:
            return meaning(error.response["Error"].get("Code", ""), error.response["Error"].get("Message", ""))
        except ParamValidationError as error:
            return Invalid(shortened(str(error), MAX_MESSAGE))
        except BotoCoreError as error:
            return Unknown(type(error).__name__)
        return Accepted(answer["jobArn"])

    def get(self, arn: str) -> Found | None:
        """One job, by ARN; None where Bedrock knows none (an event may be forged). Other errors rise."""
        try:
            return _found(self._client.get_model_invocation_job(jobIdentifier=arn))
        except ClientError as error:
            if error.response["Error"].get("Code") in INVALID:
                return None
            raise

    def find(self, name: str) -> list[Found]:
        """Every job of exactly this name, of whatever status, on all pages. Errors rise: an error is not "not found"."""
        pages = self._client.get_paginator("list_model_invocation_jobs").paginate(
            nameContains=name, PaginationConfig={"PageSize": PAGE}
        )
        return [_found(job) for page in pages for job in page.get("invocationJobSummaries", []) if job.get("jobName") == name]

    def stop(self, arn: str) -> bool:
        """Ask Bedrock to stop a job. False where it says that there is nothing to stop (which error is UNVERIFIED)."""
        try:
            self._client.stop_model_invocation_job(jobIdentifier=arn)
        except ClientError as error:
            if error.response["Error"].get("Code") in {"ConflictException", "ValidationException"}:
                return False
            raise
        return True


def meaning(code: str, message: str) -> Answer:
    """What an error of Create says about the job."""
    message = shortened(f"{code}: {message}", MAX_MESSAGE)
    if code in REFUSED:
        return Refused(REFUSED[code], message)
    if code == "ConflictException" or NAME_IN_USE in message:
        return NameInUse(message)
    if code in INVALID:
        return Invalid(message)
    return Unknown(message)


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
