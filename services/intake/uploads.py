"""S3 notifications: which uploads they announce, and what the uploader asked for. Pure.

What S3 announces but is no input is ignored, with the reason. What S3 never sent raises, so that it
ends in the dead-letter queue where a person sees it: it may be an upload in a shape that we do not
know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from bbq.shared.job import PRIORITIES
from bbq.shared.models import Model
from bbq.shared.names import INPUT_PREFIX, INPUT_SUFFIX

TEST_EVENT = "s3:TestEvent"  # S3 sends it once, when notifications are set up (S3 user guide)
CREATED = "ObjectCreated:"
# the id of what is written while versioning is off or suspended; the next write replaces it
UNVERSIONED = "null"
MAX_KEY_BYTES = 1024
DEFAULT_PRIORITY = 5
ORDERS = ("model", "priority")  # what metadata can ask for
# what `bbq submit` writes into the metadata, to know the file again; every other word of it is a
# label
DIGEST = "bbq-sha256"
_INPUT_OF_OTHERS = re.compile(
    r"\.(?:jsonl|jsonlines|ndjson|json|csv|parquet)(?P<packed>\.(?:gz|zip|zst|xz|bz2))?\Z",
    re.ASCII | re.IGNORECASE,
)
SHORTEST_SLIP = 4  # letters; of a shorter alias, another letter is another word
_PRIORITIES = {str(number): number for number in PRIORITIES}


class NotANotification(Exception):
    """The message, or a record in it, is not what S3 sends."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One version of one object. Without a `version_id` the next write replaces it; ETag and
    sequencer tell it apart.
    """

    bucket: str
    key: str
    version_id: str
    etag: str
    sequencer: str
    size_bytes: int


@dataclass(frozen=True)
class Ignored:
    """Not an input, and why: a constant word."""

    reason: str


def announced(body: str, bucket: str) -> list[Upload | Ignored | NotANotification]:
    """What a message's body announces, one entry for each record. Raises NotANotification where it
    has no records at all.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotANotification("the message is not JSON") from error
    if isinstance(message, dict) and message.get("Event") == TEST_EVENT:
        return [Ignored("TestEvent")]
    records = message.get("Records") if isinstance(message, dict) else None
    if not isinstance(records, list) or not records:
        raise NotANotification("the message is not an S3 notification")
    return [_read(record, bucket) for record in records]


def choose_model(
    key: str, metadata: Mapping[str, str], models: Mapping[str, Model], default: str
) -> tuple[str | None, str | None]:
    """(alias, None) or (None, problem): what the metadata says, else the first folder if it is an
    alias, else the default. With several models, a first folder that is nearly an alias is a
    problem: the default would run, and be paid for.
    """
    said = metadata.get("model")
    if said is not None:
        if said in models:
            return said, None
        return (
            None,
            (
                'metadata "model" is not a configured model; choose one of '
                f"{', '.join(sorted(models))}"
            ),
        )
    folder, slash, _ = key.removeprefix(INPUT_PREFIX).partition("/")
    if not slash or len(models) == 1:
        return default, None
    if folder in models:
        return folder, None
    meant = next((alias for alias in sorted(models) if _nearly(folder, alias)), None)
    if meant is None:
        return default, None
    aliases = ", ".join(sorted(models))
    return None, (
        f"the first folder is nearly the alias of a model: name it {meant}/, or say the model in "
        'the metadata "model"; '
        f"the aliases are {aliases}"
    )


def choose_priority(metadata: Mapping[str, str]) -> tuple[int, str | None]:
    """(priority, None) or (default, problem): 0 is served first, 9 last."""
    said = metadata.get("priority")
    if said is None:
        return DEFAULT_PRIORITY, None
    if said in _PRIORITIES:
        return _PRIORITIES[said], None
    return DEFAULT_PRIORITY, 'metadata "priority" is not a digit from 0 (first) to 9 (last)'


def wrong_name(key: str) -> str | None:
    """What is wrong with the name of an input; None for one that Bedrock takes, which ends in
    .jsonl.
    """
    if key.endswith(INPUT_SUFFIX):
        return None
    packed = _INPUT_OF_OTHERS.search(key)
    do = (
        "unpack it, and upload it"
        if packed is not None and packed["packed"]
        else "upload one JSON object a line"
    )
    return f"the key does not end in {INPUT_SUFFIX}: {do} under a key that does, in small letters"


def _nearly(folder: str, alias: str) -> bool:
    """Whether the alias was meant: in other letters (`Haiku`), as `model=haiku`, or with one slip
    of the hand (`hiaku`).
    """
    said = folder.casefold().strip()
    return alias in {said, said.removeprefix("model=")} or (
        len(alias) >= SHORTEST_SLIP and _one_slip(said, alias)
    )


def _one_slip(one: str, other: str) -> bool:
    """Whether one letter is more, less or another one, or two neighbours changed places."""
    start = _alike(one, other)
    one, other = one[start:], other[start:]
    end = _alike(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])  # noqa: PLR2004 - two neighbours


def _alike(one: str, other: str) -> int:
    """How many letters at their beginning are the same."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _read(record: Any, bucket: str) -> Upload | Ignored | NotANotification:
    """The structure is documented in "Event message structure" of the S3 user guide."""
    try:
        if not record["eventName"].removeprefix("s3:").startswith(CREATED):
            return Ignored("OtherEvent")
        thing = record["s3"]["object"]
        upload = Upload(
            bucket=record["s3"]["bucket"]["name"],
            key=unquote_plus(thing["key"]),  # S3 encodes keys in notifications
            version_id="" if (version := _text(thing, "versionId")) == UNVERSIONED else version,
            etag=_text(thing, "eTag"),
            sequencer=_text(thing, "sequencer"),
            size_bytes=int(thing.get("size", 0)),
        )
        possible = 0 < len(upload.key.encode()) <= MAX_KEY_BYTES
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        possible = False
    if not possible:
        return NotANotification("a record of the message is not one of S3's")
    reason = _not_an_input(upload, bucket)
    return Ignored(reason) if reason else upload


def _text(thing: Mapping[str, Any], name: str) -> str:
    value = thing.get(name, "")
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _not_an_input(upload: Upload, bucket: str) -> str | None:
    if upload.bucket != bucket:
        return "OtherBucket"
    if not upload.key.startswith(INPUT_PREFIX):
        return "OtherPrefix"
    if upload.key.endswith("/"):
        return "FolderMarker"
    if upload.key.endswith(INPUT_SUFFIX) or _INPUT_OF_OTHERS.search(upload.key):
        return None  # what only looks like an input is rejected, with a reason (`wrong_name`)
    return "OtherSuffix"
