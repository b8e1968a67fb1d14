"""What Bedrock says when it refuses a call or fails a job: codes, HTTP statuses, texts, and where
each is known from.

"Recorded" texts were kept from real AWS; where a recording has only a part of a text, the rest is
ours and the comment says so. Codes that no recording names come from the service model's lists of
errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCESS, CONFLICT, VALIDATION = "AccessDeniedException", "ConflictException", "ValidationException"
INTERNAL, NOT_FOUND, QUOTA, THROTTLED = (
    "InternalServerException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ThrottlingException",
)

# HTTP status and default text of every error of the four calls, as in the service model.
ERRORS: Mapping[str, tuple[int, str]] = {
    ACCESS: (403, "The request is denied because of missing access permissions."),
    CONFLICT: (400, "Error occurred because of a conflict while performing an operation."),
    INTERNAL: (500, "An internal server error occurred. Retry your request."),
    NOT_FOUND: (404, "The specified resource Amazon Resource Name (ARN) was not found."),
    QUOTA: (400, "The number of requests exceeds the service quota. Resubmit your request later."),
    THROTTLED: (429, "The number of requests exceeds the limit. Resubmit your request later."),
    VALIDATION: (
        400,
        "Input validation failed. Check your request parameters and retry the request.",
    ),
}

# Get and Stop: recorded 2026-07 to 2026-09 (cequence-io/openai-scala-client; prowler-cloud/prowler
# PR #12801) and 2026-03 (cloud-custodian PR #10611).
INVALID_ARN = "The provided ARN is invalid"
JOB_NOT_FOUND = "The provided batch inference job was not found."
# Only "State was: <status>" is known (system test of apache/airflow,
# example_bedrock_batch_inference.py).
CANNOT_STOP = "The batch inference job cannot be stopped. State was: {status}"

# Create. Pasted by users, 2024 to 2026 (opensearch-project/data-prepper matches it); its first
# three words are ours.
QUOTA_FULL = "You have reached the quota for number of concurrent invoke-model jobs in progress."
# Pasted from a runbook of batch jobs; the same text in apache/airflow PR #38693 for a sister call.
NAME_IN_USE = "The provided job name is currently in use."
OTHER_PARAMETERS = "The client request token was used with other parameters."
NOT_SUPPORTED = "Batch inference is not supported for the requested model."  # recorded 2026-07-14

_LEGACY = (
    "Access denied. This Model is marked by provider as Legacy and you have not been actively "
    "using the model in the last "
    "30 days. Please upgrade to an active model on Amazon Bedrock"
)


def not_authorized(caller: str, action: str, resource: str) -> str:
    """The caller lacks a right. Recorded 2026-09-06 of iam:PassRole,
    METResearchGroup/mirrorView-task FINDINGS.md.
    """
    denied = f"User: {caller} is not authorized to perform: {action} on resource: {resource}"
    return f"{denied} because no identity-based policy allows the {action} action"


# Why every Create of an account, a Region, a role or a model may be refused
# (`Faults.refuse_create`): code and text.
REFUSALS: Mapping[str, tuple[str, str]] = {
    "pass-role": (ACCESS, not_authorized("{caller}", "iam:PassRole", "{role}")),
    # pasted by a user, 2026: the policy lacks the model in one Region of the profile; the words are
    # those of the row above
    "model-access": (
        ACCESS,
        not_authorized(
            "{caller}",
            "bedrock:CreateModelInvocationJob",
            "arn:aws:bedrock:{region}::foundation-model/{base}",
        ),
    ),
    "not-supported": (VALIDATION, NOT_SUPPORTED),
    # recorded 2026-08-27
    "not-supported-here": (
        VALIDATION,
        "Batch inference is not supported for model {model} in region {region}",
    ),
    # recorded 2026-09-13, prowler-cloud/prowler PR #12801: so far; more follows there
    "account": (
        VALIDATION,
        "Your account is not authorized to perform this action. Please create a support case",
    ),
    # pasted by a user, 2026: a profile of another group of Regions
    "other-region": (VALIDATION, "The provided ARN is invalid for the service region"),
    # The text is known from calls of the model, there with ResourceNotFoundException; which code
    # Create has is not recorded.
    "legacy": (VALIDATION, _LEGACY),
    "legacy-not-found": (NOT_FOUND, _LEGACY),
    # documented for Create; never recorded
    "not-found": (NOT_FOUND, ERRORS[NOT_FOUND][1]),
    "throttle": (THROTTLED, ERRORS[THROTTLED][1]),
}
# PassRole was recorded to be checked before anything else, even for a role that does not exist.
CHECKED_FIRST = frozenset({ACCESS, THROTTLED})

# A job's `message` when it fails.
# Recorded 2026-09-03 and in four more accounts.
TOO_FEW_RECORDS = (
    "Batch job {arn} contains less records ({records}) than the required minimum of: {minimum}"
)
# Why every job may fail in Validating (`Faults.fail_validating`). Pasted by users, 2026: how the
# texts begin.
VALIDATING_FAILURES: Mapping[str, str] = {
    "get-object": (
        "Could not validate GetObject permissions to access S3 bucket: {bucket} at key {key}."
    ),
    "list-bucket": "Could not validate ListBucket permissions for S3URI: {uri}",
}
# Why every job may fail at the end of InProgress (`Faults.fail_processing`). The first pasted by
# users, 2026-08-02; of the second it is only known that it speaks of the model's Marketplace
# subscription and names the batch role.
PROCESSING_FAILURES: Mapping[str, str] = {
    "invoke-model": "Customer doesn't have permissions to invokeModel",
    "marketplace": "The AWS Marketplace subscription of the model could not be used by {role}",
}


class BedrockError(Exception):
    """A refusal as Bedrock gives it: `code` is the exception's name in the API, `http_status` what
    it travels with.
    """

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        self.http_status, documented = ERRORS[code]
        self.message = message or documented
        super().__init__(f"{code}: {self.message}")
