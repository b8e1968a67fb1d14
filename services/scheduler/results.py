"""Bedrock's results in S3: the manifest of an ended job, for its record and token counts. Never the
records themselves.
"""

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from bbq.shared.names import split_s3_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MANIFEST = "manifest.json.out"
MAX_MANIFEST_BYTES = 65_536
# of records or tokens: what every reader of JSON and every table can hold, and no job comes near
MAX_COUNT = 2**53


class Results:
    """IAM: s3:GetObject on `processed/*/manifest.json.out`."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def manifest(self, output_uri: str, arn: str) -> dict[str, int]:
        """The numbers of the manifest; empty where there is none that can be read.

        Its place, `<output>/<last 12 characters of the ARN>/manifest.json.out`, is what others'
        code reads; the Bedrock user guide names the file and not the folder. Without the right to
        list the bucket a missing object answers 403. Neither may hold up an ended job.
        """
        bucket, prefix = split_s3_uri(output_uri)
        try:
            answer = self._client.get_object(Bucket=bucket, Key=f"{prefix}{arn[-12:]}/{MANIFEST}")
        except ClientError as error:
            if error.response["Error"].get("Code") in {"NoSuchKey", "404", "AccessDenied", "403"}:
                return {}
            raise
        body = answer["Body"]
        text = body.read(MAX_MANIFEST_BYTES)
        # no manifest is so large; and only a read at the end raises if the connection broke before
        # it
        if body.read(1):
            return {}
        return _numbers(text)


def _numbers(text: bytes) -> dict[str, int]:
    try:
        manifest: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(manifest, dict):
        return {}
    return {name: value for name, value in manifest.items() if _is_count(value)}


def _is_count(value: object) -> bool:
    """What is none is left out, as if the manifest did not say: it would be added to the day's
    counts.
    """
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
