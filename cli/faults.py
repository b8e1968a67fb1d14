"""Exit codes, and how whatever goes wrong is said: in one sentence that says what to do."""

from enum import IntEnum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from pynamodb.exceptions import PynamoDBException

from bbq.shared.events import UnknownEvent
from bbq.shared.tables import Contended


class Exit(IntEnum):
    """The exit codes, which scripts may rely on."""

    OK = 0
    FAILED = 1  # the job failed, or the check found something
    USAGE = 2  # usage, or bad input
    NOT_FOUND = 3
    NO_ACCESS = 4  # AWS denied it, knows no credentials, or could not be reached
    PENDING = 8  # still under way


class Fault(Exception):
    """Something to tell the user: one sentence with the next step. Ends the command with `code`."""

    code = Exit.USAGE


class NotFound(Fault):
    """What was named does not exist."""

    code = Exit.NOT_FOUND


class Failed(Fault):
    """The job or the check failed."""

    code = Exit.FAILED


def explain(error: Exception) -> tuple[int, str]:  # noqa: C901 - a table of what can go wrong
    """(exit code, one sentence with the next step) of anything that went wrong."""
    if isinstance(error, PynamoDBException) and isinstance(error.cause, Exception):
        error = error.cause
    code: int = Exit.FAILED
    sentence = f"{type(error).__name__}: {error} (BBQ_DEBUG=1 shows where)"
    match error:
        case Fault():
            code, sentence = error.code, str(error)
        case NoCredentialsError():
            sign_in = "sign in (aws configure, aws sso login) or name a --profile"
            code, sentence = Exit.NO_ACCESS, f"AWS knows no credentials here: {sign_in}"
        case NoRegionError():
            code, sentence = Exit.USAGE, "no AWS Region is set: say --region, or set AWS_REGION"
        case ProfileNotFound():
            code, sentence = Exit.USAGE, f"{error}: say another --profile, or set AWS_PROFILE"
        case EndpointConnectionError():
            code = Exit.NO_ACCESS
            sentence = f"{error} Check --endpoint-url or AWS_ENDPOINT_URL, and the network"
        case ClientError():
            code, sentence = _of_aws(error)
        case BotoCoreError():
            code, sentence = Exit.NO_ACCESS, f"AWS could not be asked: {error}"
        case Contended():
            sentence = "others write to the same rows at this moment: try again in a minute"
        case UnknownEvent():
            sentence = str(error)
        case OSError() if error.strerror:
            sentence = f"{error.filename or 'a file'}: {error.strerror}"
        case _ if hasattr(error, "format_message"):
            # click's own; empty for bare `bbq`, which has printed its help
            code, sentence = int(getattr(error, "exit_code", code)), error.format_message()
    return code, sentence


_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "403",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
}


def _of_aws(error: ClientError) -> tuple[int, str]:
    code = error.response.get("Error", {}).get("Code", "")
    said = error.response.get("Error", {}).get("Message", "")
    if code in _DENIED:
        return Exit.NO_ACCESS, (
            f"AWS denied {error.operation_name} ({code}: {said}). docs/operating.md lists the "
            "rights; the policies <name>-<region>-operator and -viewer hold them"
        )
    return Exit.FAILED, f"AWS answered {error.operation_name} with {code}: {said}"
