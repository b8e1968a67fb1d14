"""S3: read an upload at its version, and copy it at that version.

A right that is missing, or a KMS key that cannot be used, is a fault of the deployment and not of
the upload: `Unreadable`.

IAM: s3:GetObject, s3:GetObjectVersion and s3:ListBucketVersions on `to-process/*`, s3:PutObject on
`staged/*`, s3:ListBucket so that a missing object answers 404 and not 403. Tags and metadata are
not copied, which saves the right to read tags. One CopyObject takes up to 5 GB.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from bbq.services.intake.uploads import Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1024**2

_DELETED = "the object was deleted before it was taken in"
_REPLACED = "the object was replaced before it was taken in"
_LOST = {  # S3's code -> why no later try can read the upload
    "NoSuchKey": _DELETED,
    "NoSuchVersion": _DELETED,
    "404": _DELETED,
    "MethodNotAllowed": _DELETED,  # the version is a delete marker
    "PreconditionFailed": _REPLACED,
    "412": _REPLACED,
    "InvalidObjectState": "the object is archived: "
    "upload it in a storage class that can be read at once",
    "InvalidRequest": "the object cannot be read: do not encrypt it with a key of your own (SSE-C)",
}


# S3 passes on what KMS answers with "KMS." before the code (KMS.DisabledException,
# KMS.KMSInvalidStateException: RDS user guide, "Failure messages for Amazon S3 export tasks").
# These pass by themselves (KMS API reference, Decrypt); others need a person.
_KMS_PASSES = {
    "KMS.ThrottlingException",
    "KMS.LimitExceededException",
    "KMS.DependencyTimeoutException",
    "KMS.KMSInternalException",
    "KMS.KeyUnavailableException",
}
_DENIED = {"AccessDenied", "403", "AllAccessDisabled"}  # S3 API reference, "Error responses"
_KEY_IS = {
    "KMS.DisabledException": "is disabled",
    "KMS.NotFoundException": "does not exist",
    "KMS.KMSInvalidStateException": "cannot be used in its state (it may be pending deletion)",
}
# "User: … is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:… because no
# identity-based policy allows the kms:Decrypt action", or "with an explicit deny in a … policy" (S3
# user guide, "Troubleshoot access denied (403 Forbidden)").
_RIGHT = re.compile(r"not authorized to perform:? ([a-z0-9-]{1,30}:[A-Za-z*]{1,60})", re.ASCII)
_KEY = re.compile(
    r"arn:aws[a-z-]{0,20}:kms:[a-z0-9-]{1,30}:[0-9]{0,12}:(?:key|alias)/[A-Za-z0-9/_-]{1,256}",
    re.ASCII,
)
_BY_POLICY = re.compile(
    r"(?:because|with) ((?:no|an explicit deny in an?) [a-z -]{1,60}?(?:policy|boundary))", re.ASCII
)
_RIGHTS_OF = {
    "GetObject": "s3:GetObject and s3:GetObjectVersion on to-process/, "
    "or kms:Decrypt on the object's key",
    "CopyObject": "s3:PutObject on staged/, or kms:GenerateDataKey on the bucket's key",
}


class Unreadable(Exception):
    """The deployment may not read the upload, or not copy it, at this time. The message says which
    right on which key is missing. It holds names of AWS's alone, and is the same for the same
    fault.
    """


class Lost(Exception):
    """The upload cannot be read, now or later. The message says why, for the uploader."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An upload being read. `chunks` raises where the connection breaks or the object ends early
    (botocore checks both).
    """

    size_bytes: int
    etag: str
    encoding: str
    metadata: Mapping[str, str]
    chunks: Iterator[bytes]


class Objects:
    """The bucket. Errors other than Lost and Unreadable rise: they may pass, or an operator has to
    act.
    """

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    @contextmanager
    def open(self, upload: Upload) -> Iterator[Opened]:
        """Read the upload, or a part of it. Raises Lost, Unreadable."""
        try:
            answer = self._client.get_object(
                Bucket=upload.bucket, Key=upload.key, **_version(upload)
            )
        except ClientError as error:
            raise _meaning(error) from error
        with closing(answer["Body"]) as body:
            if not upload.version_id and answer["ETag"].strip('"') != upload.etag.strip('"'):
                raise Lost(_REPLACED)  # by an upload that has a notification of its own
            yield Opened(
                size_bytes=answer["ContentLength"],
                etag=answer["ETag"],
                encoding=answer.get("ContentEncoding", ""),
                metadata={name.lower(): value for name, value in answer["Metadata"].items()},
                chunks=body.iter_chunks(CHUNK_BYTES),
            )

    def version_before(self, upload: Upload, etag: str) -> str | None:
        """The version of the same key just before this one, if it has this ETag: the same bytes.
        None as well if S3 does not say, and if it encrypts with a KMS key: then the same bytes have
        another ETag each time (S3 API reference, "Object").
        """
        try:
            page = self._client.list_object_versions(
                Bucket=upload.bucket,
                Prefix=upload.key,
                KeyMarker=upload.key,
                VersionIdMarker=upload.version_id,
                MaxKeys=1,
            )
        except (BotoCoreError, ClientError):
            return None  # it is only for a warning, which holds up no upload
        for version in page.get("Versions", []):
            if (
                version["Key"] == upload.key
                and version["ETag"] == etag
                and version["VersionId"] != upload.version_id
            ):
                return version["VersionId"]
        return None

    def copy(self, upload: Upload, etag: str, key: str) -> None:
        """Copy the version that was read to `key`, if it still has this ETag. A second copy is the
        same. Raises Lost, Unreadable.
        """
        source: Any = {"Bucket": upload.bucket, "Key": upload.key, **_version(upload)}
        try:
            self._client.copy_object(
                Bucket=upload.bucket,
                Key=key,
                CopySource=source,
                CopySourceIfMatch=etag,
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
                ContentType="application/jsonl",
            )
        except ClientError as error:
            raise _meaning(error) from error


def _version(upload: Upload) -> Any:
    return {"VersionId": upload.version_id} if upload.version_id else {}


def _meaning(error: ClientError) -> Exception:
    code, message = (
        error.response["Error"].get("Code", ""),
        error.response["Error"].get("Message", ""),
    )
    if code in _DENIED or (code.startswith("KMS.") and code not in _KMS_PASSES):
        return Unreadable(what_is_missing(code, message, error.operation_name))
    reason = _LOST.get(code)
    return Lost(reason) if reason else error


def what_is_missing(code: str, message: str, operation: str) -> str:
    """A sentence about a refusal of S3's: the right and the key, if `message` names them, else the
    rights that may be missing.
    """
    right, key, policy = (pattern.search(message) for pattern in (_RIGHT, _KEY, _BY_POLICY))
    if code in _KEY_IS:
        what = f"the KMS key {key[0] if key else 'of the object'} {_KEY_IS[code]}"
    elif right or key:
        what = f"{right[1] if right else 'a right'} is missing" + (f" on {key[0]}" if key else "")
        what += f": {policy[1]}" if policy else ""
    else:
        what = f"a right is missing: {_RIGHTS_OF.get(operation, operation)}"
    return f"{what} (S3 answers {code} to {operation})"
