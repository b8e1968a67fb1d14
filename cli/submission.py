"""One file to submit: its key and labels, the check that intake makes too, and the upload.

S3 makes a version only when a multipart upload is completed, so even small files are uploaded that
way: a call repeated after a lost answer, or a command that was killed, cannot leave two versions,
which would be two jobs. The file's digest is in the object's metadata, so that the same file is
noticed when it is submitted again.

IAM: s3:PutObject and s3:AbortMultipartUpload on `to-process/*`.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from bbq.cli import deployment as deployments
from bbq.cli.deployment import Deployment
from bbq.cli.faults import Failed, Fault
from bbq.cli.prices import most_output_tokens
from bbq.services.intake.intake import limits_for
from bbq.services.intake.uploads import (
    DIGEST,
    MAX_KEY_BYTES,
    ORDERS,
    UNVERSIONED,
    choose_model,
    choose_priority,
)
from bbq.shared.events import Problem
from bbq.shared.inspection import Inspection, inspect
from bbq.shared.names import INPUT_PREFIX, INPUT_SUFFIX, job_id

READ_BYTES = 1024**2
PART_BYTES = 8 * 1024**2
PARALLEL_PARTS = 4
MAX_FILES = 1_000
MAX_METADATA_BYTES = 2048  # S3's own limit of all names and values of an object's metadata
MAX_VALUE = 256

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_VALUE = re.compile(r"[ -~]+")
DIGEST_BYTES = len(DIGEST) + 64  # in hexadecimal digits
_IDENTITY = "after-call.s3.CompleteMultipartUpload"

Step = Callable[[int], None]  # is told how many bytes more were read or sent


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One file, where it goes, and what its uploader asks for. `metadata` is what the object will
    carry.
    """

    path: Path
    key: str
    model: str
    priority: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file as it was read: `digest` of all its bytes. Problems mean that it is not fit."""

    submission: Submission
    found: Inspection
    digest: bytes = b""
    output_tokens_at_most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """An upload that S3 has taken."""

    job: str
    version_id: str


def labels_of(given: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as S3 metadata. Raises Fault."""
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise Fault(
                f"--meta {text!r}: say name=value, the name of small letters, digits and hyphens, "
                "at most 64"
            )
        if name == DIGEST:
            raise Fault(f"--meta {name}: bbq itself writes it, choose another name")
        if name in ORDERS:
            raise Fault(f"--meta {name}: say --{name} instead")
        if name in labels:
            raise Fault(f"--meta {name} was given twice")
        if len(value) > MAX_VALUE or not _VALUE.fullmatch(value) or value != value.strip():
            raise Fault(
                f"--meta {name}: a value has 1 to {MAX_VALUE} printable ASCII characters, and no "
                "space at its ends"
            )
        labels[name] = value
    return labels


def submissions_of(
    here: Deployment,
    files: Sequence[Path],
    *,
    model: str | None,
    priority: int | None,
    labels: Mapping[str, str],
    key: str | None,
) -> list[Submission]:
    """Where each file goes, with intake's own choice of model and priority. Raises Fault."""
    if len(files) > MAX_FILES:
        raise Fault(f"{len(files):,} files are more than {MAX_FILES:,}: submit them in parts")
    if key is not None and len(files) > 1:
        raise Fault("--as names the key of one file: submit the others on their own")
    if model is not None and model not in here.models:
        raise Fault(
            f"deployment {here.name} has no model {model!r}: choose one of "
            f"{', '.join(sorted(here.models))}"
        )
    seen: set[Path] = set()
    for path in files:
        if (real := path.resolve()) in seen:
            raise Fault(f"{path} was given twice: each upload is a job of its own")
        seen.add(real)
    asked = dict(labels) | ({"priority": str(priority)} if priority is not None else {})
    keys = [key or f"{model or here.default_model}/{path.name}" for path in files]
    return [
        _submission(here, path, INPUT_PREFIX + name.removeprefix(INPUT_PREFIX), model, asked)
        for path, name in zip(files, keys, strict=True)
    ]


def _submission(
    here: Deployment, path: Path, key: str, model: str | None, asked: Mapping[str, str]
) -> Submission:
    _must_be_taken_in(key)
    metadata = dict(asked)
    alias, wrong_model = choose_model(key, metadata, here.models, here.default_model)
    if model is not None and alias != model:  # the folder says another one
        metadata["model"] = model
        alias, wrong_model = choose_model(key, metadata, here.models, here.default_model)
    most = MAX_METADATA_BYTES - DIGEST_BYTES
    letters = sum(len(word) for pair in metadata.items() for word in pair)
    if letters > most:
        raise Fault(
            f"the labels have {letters:,} bytes, more than the {most:,} that S3 has room for: "
            "leave some out"
        )
    chosen, wrong_priority = choose_priority(metadata)
    if alias is None or wrong_priority:
        raise Fault(str(wrong_model or wrong_priority))
    return Submission(path=path, key=key, model=alias, priority=chosen, metadata=metadata)


def _must_be_taken_in(key: str) -> None:
    """Raises Fault for a key that intake would not look at."""
    name = key.rpartition("/")[2]
    too_long = len(key.encode(errors="replace")) > MAX_KEY_BYTES
    if not key.isprintable() or too_long or name == INPUT_SUFFIX:
        raise Fault(
            f"{key!r} cannot be the object's key: say --as with a plain name of at most "
            f"{MAX_KEY_BYTES} bytes"
        )
    if not key.endswith(INPUT_SUFFIX):
        packed = name.endswith((".gz", ".zip", ".zst", ".bz2", ".xz"))
        raise Fault(
            f"only keys that end in {INPUT_SUFFIX} are taken in: rename {name!r}, or say "
            f"--as{', and unpack it first' if packed else ''}"
        )


def check(
    here: Deployment, submission: Submission, step: Step, *, count_output: bool = False
) -> Checked:
    """Read the file once, as intake reads the object. Raises Fault where it cannot be read."""
    limits = limits_for(here.models, submission.model)
    digest = hashlib.sha256()
    with opened(submission.path) as file:
        whole = os.fstat(file.fileno()).st_size
        if whole > limits.max_bytes:
            text = f"the file has {whole:,} bytes, more than {limits.max_bytes:,}"
            found = Inspection(
                record_count=0,
                size_bytes=whole,
                problems=(Problem(line=None, text=text),),
                problem_count=1,
            )
            return Checked(submission=submission, found=found)

        def chunks() -> Iterator[bytes]:
            while data := file.read(READ_BYTES):
                digest.update(data)
                step(len(data))
                yield data

        found = inspect(chunks(), limits)
        most = None
        if count_output and not found.problem_count:
            file.seek(0)
            most = most_output_tokens(file)
    return Checked(
        submission=submission, found=found, digest=digest.digest(), output_tokens_at_most=most
    )


def upload(here: Deployment, checked: Checked, step: Step) -> Submitted:
    """The file to its key. Raises Fault, Failed; what S3 refuses rises as it is."""
    submission, answers = checked.submission, list[Mapping[str, Any]]()
    s3 = deployments.client("s3")

    def remember(parsed: Mapping[str, Any], **_: object) -> None:
        answers.append(parsed)

    s3.meta.events.register(_IDENTITY, remember, unique_id=_IDENTITY)
    try:
        with opened(submission.path) as file:
            s3.upload_fileobj(
                file,
                here.bucket,
                submission.key,
                Callback=step,
                ExtraArgs={
                    "Metadata": {**submission.metadata, DIGEST: checked.digest.hex()},
                    "ContentType": "application/jsonl",
                },
                Config=TransferConfig(
                    multipart_threshold=1,
                    multipart_chunksize=PART_BYTES,
                    max_concurrency=PARALLEL_PARTS,
                ),
            )
    except ClientError as error:
        if (
            error.operation_name == "CompleteMultipartUpload"
            and error.response["Error"].get("Code") == "NoSuchUpload"
        ):
            raise Failed(
                f"S3 may have taken {submission.path} already: look at `bbq jobs` before you "
                "submit it again"
            ) from None
        raise
    finally:
        s3.meta.events.unregister(_IDENTITY, unique_id=_IDENTITY)
    version = answers[-1].get("VersionId", "") if answers else ""
    if version in {"", UNVERSIONED}:
        raise Failed(
            f"{submission.path} was uploaded, but the bucket keeps no versions, so its job is "
            "unknown: turn them on"
        )
    return Submitted(job=job_id(here.bucket, submission.key, version, "", ""), version_id=version)


def opened(path: Path) -> BinaryIO:
    """To be read. Raises Fault if it cannot be."""
    try:
        if not path.is_file():
            there = "is not a file" if path.exists() else "does not exist"
            raise Fault(f"{path} {there}")
        return path.open("rb")
    except OSError as error:
        raise Fault(f"{path} cannot be read: {error.strerror}") from None
