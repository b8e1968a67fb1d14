"""Which jobs a person means: by id, by file, or by ids on standard input.

IAM: s3:GetObject (HeadObject asks for that) on `to-process/*`, for jobs that are named by file.
"""

import sys
from collections.abc import Sequence

from botocore.exceptions import ClientError

from bbq.cli.deployment import Deployment, client
from bbq.cli.faults import Fault, NotFound
from bbq.cli.queries import at_once
from bbq.shared.names import (
    INPUT_PREFIX,
    INPUT_SUFFIX,
    JOB_ID_LENGTH,
    is_job_id,
    job_id,
    split_s3_uri,
)

MAX_JOBS = 10_000  # of one command


def check_id(text: str) -> None:
    """Raises NotFound for what cannot be the id of a job."""
    if not is_job_id(text):
        raise NotFound(
            f"{text!r} is not a job's id ({JOB_ID_LENGTH} small letters and digits): `bbq jobs` "
            "lists them"
        )


def by_object(deployment: Deployment, what: str) -> str:
    """The job id of what a person named: an id, a key of the bucket, with or without `to-process/`,
    or `s3://bucket/key`. Of a key the newest version counts. A file's name alone, or its path here,
    is looked for in the folder of each model, where `bbq submit` puts it: one HeadObject for each.
    Raises NotFound, Fault.
    """
    if is_job_id(what):
        return what
    unknown = NotFound(
        f"there is no job and no file {what!r}: `bbq jobs` lists both (an id has {JOB_ID_LENGTH} "
        "letters and digits; a file that "
        "was submitted with --as is found by the key that was said there)"
    )
    if "/" not in what and not what.endswith(INPUT_SUFFIX):
        raise unknown
    bucket, key = split_s3_uri(what) if what.startswith("s3://") else (deployment.bucket, what)
    if bucket != deployment.bucket:
        raise Fault(
            f"the bucket of deployment {deployment.name!r} is {deployment.bucket}, not {bucket}"
        )
    # nothing else is a job, or a viewer's to read
    key = key if key.startswith(INPUT_PREFIX) else INPUT_PREFIX + key
    version = _newest_version(bucket, key)
    if version is None and not what.startswith("s3://"):
        key, version = _submitted(deployment, what.rpartition("/")[2]) or (key, None)
    if version is None:
        raise unknown
    return job_id(bucket, key, version, "", "")


def _submitted(deployment: Deployment, name: str) -> tuple[str, str] | None:
    """Key and version of the file of that name where `bbq submit` puts it without --as. Raises
    Fault for several models'.
    """
    keys = [f"{INPUT_PREFIX}{alias}/{name}" for alias in deployment.models]
    versions = at_once(lambda key: _newest_version(deployment.bucket, key), keys)
    found = [
        (key, version) for key, version in zip(keys, versions, strict=True) if version is not None
    ]
    if len(found) > 1:
        raise Fault(
            f"{name!r} was submitted for several models: say {' or '.join(key for key, _ in found)}"
        )
    return found[0] if found else None


def _newest_version(bucket: str, key: str) -> str | None:
    try:
        answer = client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"].get("Code") in {"404", "NoSuchKey", "NotFound"}:
            return None
        raise
    found: str | None = answer.get("VersionId")
    return found


def ids_of(arguments: Sequence[str]) -> list[str]:
    """The ids, each once, from arguments or standard input. Raises NotFound for what cannot be one,
    before anything is done.
    """
    ids: dict[str, None] = {}
    for given in arguments:
        ids |= dict.fromkeys(sys.stdin.read().split() if given == "-" else [given])
    for text in ids:
        check_id(text)
    if len(ids) > MAX_JOBS:
        raise Fault(
            f"{len(ids):,} jobs are more than {MAX_JOBS:,}: do it in parts, nothing was done"
        )
    if not ids:
        raise Fault("no job was named: give ids, or - and ids on standard input")
    return list(ids)
