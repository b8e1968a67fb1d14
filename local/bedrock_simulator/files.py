"""A job's files in S3: what `Validating` looks at, and the output it leaves.

Everything is read line by line and written through a spooled temporary file, so memory stays
bounded for files of any size; a job of 1,000 records costs two reads and two writes. Lines are
split at "\n" only, as JSON lines are. The input is judged by the reader of intake
(shared/inspection.py), without its limits and its rules for bodies.
"""

from __future__ import annotations

import io
import json
import random
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bbq.shared import inspection
from local.bedrock_simulator.jobs import Inspection, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3
    from mypy_boto3_s3 import S3Client

MAX_LINE_BYTES = 64 * 1024**2
SHUFFLE_BYTES = 8 * 1024**2
CHUNK_BYTES = 1024**2
# those are in rules.py
NO_LIMITS = inspection.Limits(min_records=0, max_records=10**9, max_bytes=10**15)
_UNREADABLE = "Could not validate GetObject permissions to access S3 bucket"


@dataclass(frozen=True, kw_only=True)
class Work:
    """The part of a job that its files depend on. `records` is how many of `total_records` are
    processed; `record_error` is a rate of 0-1."""

    job_id: str
    input_uri: str
    output_uri: str
    model: str  # the id of the model itself
    converse: bool
    # a name in the output place that is written to try its permissions
    check_object: str | None = None
    total_records: int = 0
    records: int = 0
    record_error: float = 0.0
    seed: str = ""


def inspect(s3: S3Client, work: Work) -> Inspection:
    """Read all input once. Never raises for what S3 or the content does: that is the inspection's
    `problem`.
    """
    bucket, _ = _split(work.input_uri)
    if work.check_object and (problem := _try_to_write(s3, work.output_uri, work.check_object)):
        return Inspection(problem=problem)
    sizes: list[int] = []
    counts: list[int] = []
    try:
        for key, size in _input_keys(s3, work.input_uri):
            sizes.append(size)
            counts.append(_count(s3, bucket, key))
    except _BadLineError as error:
        return Inspection(problem=str(error))
    except (ClientError, BotoCoreError) as error:
        return Inspection(problem=f"{_UNREADABLE} {bucket}: {error}"[:2048])
    if not sizes:
        return Inspection(problem=f"No .jsonl file was found at {work.input_uri}.")
    return Inspection(
        records=sum(counts),
        largest_file_records=max(counts),
        largest_file_bytes=max(sizes),
        total_bytes=sum(sizes),
    )


def _try_to_write(s3: S3Client, output_uri: str, name: str) -> str:
    bucket, prefix = _split(output_uri)
    key = f"{prefix.rstrip('/')}/{name}".lstrip("/")
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    except (ClientError, BotoCoreError) as error:
        return (
            f"Could not validate PutObject permissions to access S3 bucket: {bucket} at key {key}: "
            f"{error}"
        )[:2048]
    return ""


def write(s3: S3Client, work: Work) -> Tally:
    """Write one `.out` file per input file and then the manifest under `<output>/<job id>/`. Never
    raises for S3.
    """
    output = _Output(s3, work)
    try:
        for key, _ in _input_keys(s3, work.input_uri):
            output.answer_file(key)
        output.put_manifest()
    except (ClientError, BotoCoreError, Boto3Error, _BadLineError) as error:
        return Tally(problem=f"Could not read the input or write the output: {error}"[:2048])
    return Tally(success=output.success, errors=output.errors)


class _Output:
    """A job's output while it is being written, with its running totals."""

    def __init__(self, s3: S3Client, work: Work) -> None:
        self._s3, self._work = s3, work
        self._bucket, key = _split(work.output_uri)
        self._prefix = f"{key.rstrip('/')}/{work.job_id}".lstrip("/")
        self._chance = random.Random(work.seed)  # noqa: S311 - repeatable on purpose
        self.success = self.errors = self._input_tokens = self._output_tokens = 0

    def answer_file(self, key: str) -> None:
        left = self._work.records - self.success - self.errors
        with tempfile.SpooledTemporaryFile(max_size=SHUFFLE_BYTES) as spool:
            records = _objects(self._s3, _split(self._work.input_uri)[0], key)
            for number, record in _shuffled(_first(records, left), self._chance):
                spool.write(self._answer(number, record))
            spool.seek(0)
            target = f"{self._prefix}/{key.rsplit('/', 1)[-1]}.out"
            # Threads of its own for each upload would cost more than these uploads take.
            self._s3.upload_fileobj(
                spool, self._bucket, target, Config=TransferConfig(use_threads=False)
            )

    def _answer(self, number: int, record: dict[str, Any]) -> bytes:
        """One line of output: `modelOutput`, or `error` in its place."""
        body, record_id = (
            record.get("modelInput"),
            str(record.get("recordId") or f"GEN{number:09d}"),
        )
        # The order of a line's members as recorded 2026-01, aquaticartists-video: input, answer or
        # error, id.
        line: dict[str, Any] = {"modelInput": body}
        if not isinstance(body, dict) or self._chance.random() < self._work.record_error:
            self.errors += 1
            line["error"] = {
                "errorCode": 400,
                "errorMessage": "bad request",
                "expired": False,
                "retryable": False,
            }
        else:
            text = f"Simulated answer to record {record_id}."
            tokens_in, tokens_out = max(1, len(json.dumps(body)) // 4), max(1, len(text) // 4)
            self.success += 1
            self._input_tokens += tokens_in
            self._output_tokens += tokens_out
            line["modelOutput"] = _model_output(text, tokens_in, tokens_out, self._work)
        line["recordId"] = record_id
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"

    def put_manifest(self) -> None:
        content = {
            "totalRecordCount": self._work.total_records,
            "processedRecordCount": self.success + self.errors,
            "successRecordCount": self.success,
            "errorRecordCount": self.errors,
            "inputTokenCount": self._input_tokens,
            "outputTokenCount": self._output_tokens,
        }
        key = f"{self._prefix}/manifest.json.out"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=json.dumps(content).encode())


def _model_output(text: str, tokens_in: int, tokens_out: int, work: Work) -> dict[str, Any]:
    """As Converse answers, and Amazon's own models; else as Claude does (both recorded 2025-01)."""
    if work.converse or work.model.startswith("amazon."):
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": tokens_in,
                "outputTokens": tokens_out,
                "totalTokens": tokens_in + tokens_out,
            },
        }
    return {
        "id": "msg_bdrk_simulated",
        "type": "message",
        "role": "assistant",
        "model": work.model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
    }


class S3Clients:
    """The S3 client for a job's role: one for all, or with `assume_role` each under its own role's
    permissions.

    With roles, an emulator that enforces IAM refuses what the real service role would be refused. A
    role's credentials are asked for again after 15 minutes; they last an hour.
    """

    def __init__(self, session: boto3.Session, *, assume_role: bool) -> None:
        self._session, self._assume_role = session, assume_role
        self._lock = threading.Lock()
        self._clients: dict[str, tuple[float, S3Client]] = {}

    def __call__(self, role_arn: str) -> S3Client:
        role = role_arn if self._assume_role else ""
        with self._lock:
            made_at, client = self._clients.get(role, (0.0, None))
            if client is None or (role and time.monotonic() - made_at > 900):  # noqa: PLR2004 - said above
                client = self._new(role)
                self._clients[role] = (time.monotonic(), client)
            return client

    def _new(self, role: str) -> S3Client:
        credentials = {}
        if role:
            answer = self._session.client("sts").assume_role(
                RoleArn=role, RoleSessionName="bedrock-simulator"
            )
            credentials = {
                "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
                "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
                "aws_session_token": answer["Credentials"]["SessionToken"],
            }
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=32)
        return self._session.client("s3", config=config, **credentials)


class _BadLineError(Exception):
    """Says which line of which file is no JSON object, without a word of its content."""


def _count(s3: S3Client, bucket: str, key: str) -> int:
    """How many records a file holds. Raises _BadLineError for its first problem."""
    with closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        found = inspection.inspect(body.iter_chunks(CHUNK_BYTES), NO_LIMITS)
    for problem in found.problems:
        name = key.rsplit("/", 1)[-1]
        raise _BadLineError(
            f"Line {problem.line} of {name} {problem.text}."
            if problem.line
            else f"{name}: {problem.text}."
        )
    return found.record_count


def _objects(s3: S3Client, bucket: str, key: str) -> Iterator[dict[str, Any]]:
    with closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        # StreamingBody is a raw stream in all but its declared type.
        reader = io.BufferedReader(body, 256 * 1024)  # type: ignore[type-var]
        for number, line in enumerate(iter(lambda: reader.readline(MAX_LINE_BYTES), b""), start=1):
            if not line.strip():
                return  # only the last line may be blank
            yield _parsed(line, f"Line {number} of {key.rsplit('/', 1)[-1]}")


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BadLineError(f"{where} is not valid JSON.") from error
    if not isinstance(record, dict):
        raise _BadLineError(f"{where} is not a JSON object.")
    return record


def _first(records: Iterator[dict[str, Any]], limit: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, record in enumerate(records, start=1):
        if number > limit:
            return
        yield number, record


def _shuffled(
    records: Iterator[tuple[int, dict[str, Any]]], chance: random.Random
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The order of output is not promised. Small files are shuffled throughout, large ones within a
    window of 1,000.
    """
    window: list[tuple[int, dict[str, Any]]] = []
    for record in records:
        window.append(record)
        if len(window) > 1000:  # noqa: PLR2004 - said in the docstring
            yield window.pop(chance.randrange(len(window)))
    chance.shuffle(window)
    yield from window


def _input_keys(s3: S3Client, uri: str) -> Iterator[tuple[str, int]]:
    """Key and size of the one file, or of each `.jsonl` file at that place and under it."""
    bucket, key = _split(uri)
    if key.endswith(".jsonl"):
        yield key, s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        return
    prefix = f"{key.rstrip('/')}/".lstrip("/")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if found["Key"].endswith(".jsonl"):
                yield found["Key"], found["Size"]


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
