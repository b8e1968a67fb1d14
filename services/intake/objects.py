"""S3: read an upload at its version, and copy it at that version. IAM: s3:GetObject, s3:GetObjectVersion on `to-process/*`,
s3:PutObject on `staged/*`. Tags and metadata are not copied, so that no right to read tags is needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from services.intake.uploads import Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1024**2
GONE = {"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"}  # the last: the version is a delete marker
CHANGED = {"PreconditionFailed", "412"}


class Gone(Exception):
    """The upload is not there any more, or is not what was announced. Nothing will bring it back."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An upload being read. `chunks` raises where the connection breaks."""

    size_bytes: int
    etag: str
    encoding: str
    metadata: Mapping[str, str]
    chunks: Iterator[bytes]


class Objects:
    """The bucket."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def open(self, upload: Upload) -> Opened:
        """Begin to read. Raises Gone; other errors rise and may pass."""
        try:
            answer = self._client.get_object(Bucket=upload.bucket, Key=upload.key, **_version(upload))
        except ClientError as error:
            raise _meaning(error) from error
        return Opened(
            size_bytes=answer["ContentLength"],
            etag=answer["ETag"],
            encoding=answer.get("ContentEncoding", ""),
            metadata=answer["Metadata"],
            chunks=answer["Body"].iter_chunks(CHUNK_BYTES),
        )

    def copy(self, upload: Upload, etag: str, key: str) -> None:
        """Copy the version that was read to `key`, if it still has this ETag. Raises Gone."""
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


def _version(upload: Upload) -> dict[str, Any]:
    return {"VersionId": upload.version_id} if upload.version_id else {}


def _meaning(error: ClientError) -> Exception:
    code = error.response["Error"].get("Code", "")
    if code in GONE:
        return Gone("the object was deleted before it could be read")
    if code in CHANGED:
        return Gone("the object was overwritten while it was read")
    return error
