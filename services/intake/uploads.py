"""S3 notifications: which uploads they speak of, and what the uploader asked for. Pure.

A message that is no notification at all raises, so that it ends in the dead-letter queue where a person sees it: it may be an
upload in a shape that we do not know. What is a notification, but not of an input, is simply not ours.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from shared.models import Model
from shared.names import INPUT_PREFIX, INPUT_SUFFIX

TEST_EVENT = "s3:TestEvent"  # S3 sends it once, when notifications are set up (aws-facts 7)
DEFAULT_PRIORITY = 5
PRIORITIES = {str(number): number for number in range(10)}


class NotANotification(Exception):
    """The message is not what S3 sends."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One version of one object. `version_id` is empty where the bucket is not versioned."""

    bucket: str
    key: str
    version_id: str
    etag: str
    sequencer: str
    size_bytes: int


def uploads_in(body: str, bucket: str) -> list[Upload]:
    """The inputs that a message's body speaks of. Raises NotANotification."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotANotification("the message is not JSON") from error
    if isinstance(message, dict) and message.get("Event") == TEST_EVENT:
        return []
    if not isinstance(message, dict) or not isinstance(message.get("Records"), list):
        raise NotANotification("the message is not an S3 notification")
    uploads = [_upload(record) for record in message["Records"]]
    return [upload for upload in uploads if upload is not None and upload.bucket == bucket and is_input(upload.key)]


def is_input(key: str) -> bool:
    """Whether a key is that of an input: under our prefix, with our suffix, and with a name between."""
    return key.startswith(INPUT_PREFIX) and key.endswith(INPUT_SUFFIX) and not key.endswith("/" + INPUT_SUFFIX)


def choose_model(
    key: str, metadata: Mapping[str, str], models: Mapping[str, Model], default: str
) -> tuple[str | None, str | None]:
    """(alias, None) or (None, problem): what the metadata says, else the first folder if it is an alias, else the default."""
    said = metadata.get("model")
    if said is not None:
        if said in models:
            return said, None
        return None, f'the metadata "model" is not a configured model: choose one of {", ".join(models)}'
    folder, slash, _ = key.removeprefix(INPUT_PREFIX).partition("/")
    return (folder if slash and folder in models else default), None


def choose_priority(metadata: Mapping[str, str]) -> tuple[int, str | None]:
    """(priority, None) or (default, problem): 0 is served first, 9 last."""
    said = metadata.get("priority")
    if said is None:
        return DEFAULT_PRIORITY, None
    if said in PRIORITIES:
        return PRIORITIES[said], None
    return DEFAULT_PRIORITY, 'the metadata "priority" is not a digit from 0 (first) to 9 (last)'


def _upload(record: Any) -> Upload | None:
    """One record of a notification; None where something else happened than an object's creation."""
    try:
        if not record["eventName"].removeprefix("s3:").startswith("ObjectCreated:"):
            return None
        thing = record["s3"]["object"]
        return Upload(
            bucket=record["s3"]["bucket"]["name"],
            key=unquote_plus(thing["key"]),  # S3 encodes keys in notifications
            version_id=thing.get("versionId") or "",
            etag=thing.get("eTag") or "",
            sequencer=thing.get("sequencer") or "",
            size_bytes=int(thing.get("size") or 0),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotANotification("a record of the message is not one of S3's") from error
