"""Names: ids, streams, keys and URIs, each derived so that the same thing always has the same name.

No name is ever made from raw key text: an S3 key may hold anything, while Bedrock's `s3Uri`
pattern, job names and table keys may not (Bedrock API reference: `s3Uri` allows
`[-!_*'().a-z0-9A-Z]` in segments, at most 1,024 characters).
"""

import base64
import hashlib
import json
import re

INPUT_PREFIX = "to-process/"
STAGED_PREFIX = "staged/"
OUTPUT_PREFIX = "processed/"
INPUT_SUFFIX = ".jsonl"

JOB_ID_LENGTH = 26  # base32 of 130 bits: two uploads never share an id
MAX_FILE_NAME = 80
MAX_SEGMENT = 60
MAX_SEGMENTS = 10

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_JOB_ID = re.compile(rf"[a-z2-7]{{{JOB_ID_LENGTH}}}")


def job_id(bucket: str, key: str, version_id: str, sequencer: str, etag: str) -> str:
    """The id of the job of one upload. The same upload always has the same id, which is what makes
    a duplicate harmless.

    `sequencer` and `etag` stand in for the version where the bucket is not versioned.
    """
    upload = [bucket, key, version_id] if version_id else [bucket, key, "", sequencer, etag]
    # JSON keeps the parts apart, whatever they hold
    digest = hashlib.sha256(json.dumps(upload).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:JOB_ID_LENGTH]


def is_job_id(text: str) -> bool:
    """Whether this could be an id of ours."""
    return _JOB_ID.fullmatch(text) is not None


def job_stream(job: str) -> str:
    """The event stream of a job."""
    return f"job#{job}"


def model_stream(alias: str) -> str:
    """The event stream of a model."""
    return f"model#{alias}"


def attempt_name(deployment: str, job: str, attempt: int) -> str:
    """`jobName` and `clientRequestToken` of an attempt: at most 24 + 1 + 26 + 1 + 3 = 55 of
    Bedrock's 63 characters.
    """
    return f"{deployment}-{job}-{attempt}"


def parse_attempt_name(deployment: str, name: str) -> tuple[str, int] | None:
    """(job id, attempt) of a job name of ours; None for every other name."""
    match = re.fullmatch(
        rf"{re.escape(deployment)}-([a-z2-7]{{{JOB_ID_LENGTH}}})-([1-9][0-9]{{0,2}})",
        name,
        re.ASCII,
    )
    return (match[1], int(match[2])) if match else None


def holder(job: str, attempt: int) -> str:
    """The attempt that holds a slot. By attempt, never by job: a late clean-up of attempt 1 must
    not free attempt 2.
    """
    return f"{job}#{attempt}"


def parse_holder(name: str) -> tuple[str, int]:
    """(job id, attempt) of a holder."""
    job, _, attempt = name.partition("#")
    return job, int(attempt)


def staged_key(job: str, key: str) -> str:
    """Where intake copies the inspected version to, under a name Bedrock accepts."""
    name = key.removesuffix(INPUT_SUFFIX).rpartition("/")[2]
    return f"{STAGED_PREFIX}{job}/{_safe(name, MAX_FILE_NAME)}{INPUT_SUFFIX}"


def output_prefix(job: str, key: str) -> str:
    """Where Bedrock writes: the upload's path made safe, then the job id, which keeps look-alike
    paths apart.
    """
    path = key.removeprefix(INPUT_PREFIX).removesuffix(INPUT_SUFFIX)
    segments = [_safe(part, MAX_SEGMENT) for part in path.split("/") if part][:MAX_SEGMENTS]
    return OUTPUT_PREFIX + "/".join([*segments, job]) + "/"


def s3_uri(bucket: str, key: str) -> str:
    """The `s3://` form."""
    return f"s3://{bucket}/{key}"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an `s3://` URI of ours."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _safe(text: str, longest: int) -> str:
    """Only letters, digits, dot, underscore and hyphen; never empty and never only dots."""
    safe = _UNSAFE.sub("-", text)[:longest].strip(".-")
    return safe or "file"
