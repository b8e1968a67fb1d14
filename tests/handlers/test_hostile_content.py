"""Hostile content through the whole of intake, beside a good file in the same batch: each has a
clear end, the good one runs.

Whether a line is fit is the subject of tests/unit/test_inspection.py; here it is what becomes of
the upload, of its neighbours, and of the event, which holds no word of it.
"""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError

from bbq.services.intake.objects import CHUNK_BYTES, Objects, Opened
from bbq.services.intake.uploads import Upload
from bbq.shared import events as e
from bbq.shared.models import Model
from bbq.shared.names import job_stream
from tests.handlers.test_intake_handler import (
    BUCKET,
    GOOD,
    Bench,
    bench,
    job_of,
    reading,
    reasons,
    upload_of,
)

__all__ = ["bench"]  # the fixture

WORD = "xylophone"  # in each of these; in no event
LINE = f'{{"modelInput": {{"{WORD}": 1}}}}\n'.encode()
MIB = 2**20
SECONDS = 20.0  # of the processor, for one batch; each takes a fraction of one


def line(model_input: bytes) -> bytes:
    return b'{"modelInput": ' + model_input + b"}\n"


UNFIT: dict[str, tuple[bytes, str]] = {
    "deep nesting": (
        LINE + line(b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "nests too deeply",
    ),
    "deep objects": (LINE + line(b'{"x":' * 100_000 + b"1" + b"}" * 100_000), "nests too deeply"),
    "a line of structure": (
        LINE + line(b'{"x": [' + b"[]," * 2 * MIB + b"1]}"),
        "characters without its long strings",
    ),
    "a line without an end": (LINE + line(b'{"x": "' + WORD.encode() * MIB), "is not valid JSON"),
    "a name twice": (
        LINE + b'{"modelInput": {}, "modelInput": {"xylophone": 1}}\n',
        "the same name twice",
    ),
    "NUL": (LINE + b"\0" * 1000 + b"\n", "is not valid JSON"),
    "NUL in a string": (LINE + line(b'{"x": "xylophone\0"}'), "control character"),
    "UTF-8 cut in the middle": (
        LINE + line(b'{"x": "xylophone\xc3"}') + LINE,
        "is not UTF-8 at byte",
    ),
    "UTF-8 too long for its letter": (LINE + line(b'{"x": "\xc0\xaf"}'), "is not UTF-8"),
    "a surrogate in UTF-8": (LINE + line(b'{"x": "\xed\xa0\x80"}'), "is not UTF-8"),
    "half of a pair": (LINE + line(b'{"x": "\\ud83dxylophone"}'), "half of a surrogate pair"),
    "a number that is none": (LINE + line(b'{"x": -Infinity}'), "NaN and Infinity"),
    "a million tiny lines": (b"1\n" * 1_000_000, "more than 100,000 lines"),
    "a million empty lines": (b"\n" * 1_000_000, "more than 100,000 lines"),
    "carriage returns for lines": (LINE.replace(b"\n", b"\r") * 2, "more than one JSON value"),
    "an array of records": (b"[" + LINE.strip() + b"," + LINE.strip() + b"]\n", "JSON array"),
    "gzip": (gzip.compress(LINE * 2), "compressed with gzip"),
    "gzip in the middle": (LINE + gzip.compress(LINE) + b"\n", "is not UTF-8"),
    "UTF-16": ((LINE * 2).decode().encode("utf-16"), "UTF-16"),
    "UTF-32": ((LINE * 2).decode().encode("utf-32"), "UTF-32"),
    "a script": (b"<html><script>xylophone</script>\n" * 2, "is not valid JSON"),
}
FIT: dict[str, bytes] = {
    "a huge number": LINE + line(b'{"x": ' + b"9" * 500_000 + b"}"),
    "a huge exponent": LINE + line(b'{"x": 1e999999999999}'),
    "a name twice in the model's own": LINE + line(b'{"x": 1, "x": 2}'),
    "what JavaScript obeys": LINE
    + line(b'{"__proto__": {"x": 1}, "constructor": "\\u2028</script>"}'),
    "a bomb of entities": LINE + line(b'{"x": "&a;&a;<!ENTITY a>"}'),
    "a megabyte in one string": LINE + line(b'{"x": "' + b"A" * (2 * MIB) + b'"}'),
}


@pytest.fixture
def wide(bench: Bench) -> Bench:
    """Room for everything here, so that what is wrong is what is said."""
    model = Model(alias="haiku", model_id="haiku", limit=1, min_records=2, max_bytes=64 * MIB)
    bench.world = replace(bench.world, config=replace(bench.world.config, models={"haiku": model}))
    return bench


@pytest.mark.parametrize("what", UNFIT)
def test_what_is_unfit_is_rejected_with_the_reason_and_delays_nobody(
    wide: Bench, what: str
) -> None:
    data, reason = UNFIT[what]
    bad, good = wide.put("to-process/bad.jsonl", data), wide.put("to-process/good.jsonl")
    began = time.process_time()
    assert wide.run(bad, good) == []
    assert time.process_time() - began < SECONDS
    event = wide.event(bad)
    assert reason in " ".join(reasons(event))
    assert isinstance(wide.event(good), e.JobQueued)
    assert WORD not in repr((event, wide.notes))
    assert len(repr(event)) < 30_000
    assert [key for key in wide.keys("staged/") if "bad" in key] == []


@pytest.mark.parametrize("what", FIT)
def test_what_is_only_strange_runs(wide: Bench, what: str) -> None:
    message = wide.put("to-process/odd.jsonl", FIT[what])
    began = time.process_time()
    assert wide.run(message) == []
    assert time.process_time() - began < SECONDS
    assert isinstance(wide.event(message), e.JobQueued)


@pytest.mark.parametrize(
    "encoding", ["gzip", "br", "deflate", "zstd", "GZIP", "gzip, identity", "x\u00e9"]
)
def test_an_object_that_says_it_is_encoded_is_rejected_unread(wide: Bench, encoding: str) -> None:
    message = wide.put("to-process/a.jsonl")

    def said(_: Upload, opened: Opened) -> Opened:
        return replace(opened, encoding=encoding, chunks=unreadable())

    reading(wide, said)
    assert wide.run(message) == []
    [reason] = reasons(wide.event(message))
    assert (
        reason
        == "the object has a Content-Encoding: upload the file uncompressed, and without that "
        "header"
    )


def test_a_multipart_object_is_read_whole(wide: Bench) -> None:
    """Its ETag is no digest of its bytes, and it comes in parts of any size."""
    s3, key = wide.s3, "to-process/parts.jsonl"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    whole = line(b'{"x": "' + b"A" * (6 * MIB) + b'"}') + LINE
    parts = []
    for number, part in enumerate((whole[: 5 * MIB], whole[5 * MIB :]), 1):
        etag = s3.upload_part(
            Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=part
        )["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    done = s3.complete_multipart_upload(
        Bucket=BUCKET,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item] # as made above
    )
    message = wide.put("to-process/other.jsonl").replace("other", "parts")
    version = upload_of(message).version_id
    event = wide.event_of(message.replace(version, done["VersionId"]))
    assert isinstance(event, e.JobQueued)
    assert (event.record_count, event.size_bytes) == (2, len(whole))


def broken(error: Exception) -> Callable[[Upload, Opened], Opened]:
    """The connection ends after the first half of a record."""

    def cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)[:25]
        raise error

    return lambda upload, opened: (
        replace(opened, chunks=cut(opened.chunks)) if "bad" in upload.key else opened
    )


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="x"),
        IncompleteReadError(actual_bytes=1, expected_bytes=9),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_a_transfer_that_breaks_off_comes_back_and_delays_nobody(
    wide: Bench, error: Exception
) -> None:
    bad, good = wide.put("to-process/bad.jsonl", LINE * 9), wide.put("to-process/good.jsonl")
    reading(wide, broken(error))
    assert len(wide.run(bad, good)) == 1
    assert isinstance(wide.event(good), e.JobQueued)
    assert not wide.store.exists(job_stream(job_of(upload_of(bad))))
    wide.world = replace(wide.world, objects=Objects(wide.s3))
    assert isinstance(wide.event_of(bad), e.JobQueued)


Then = Callable[[Bench, Upload], Any]
DELETED = "the object was deleted before it was taken in"
# what happens meanwhile; the reason, or none where the upload still runs as it was
THEN: dict[str, tuple[Then, str]] = {
    "its version is deleted": (
        lambda b, u: b.s3.delete_object(Bucket=BUCKET, Key=u.key, VersionId=u.version_id),
        DELETED,
    ),
    "a delete marker is put on it": (lambda b, u: b.s3.delete_object(Bucket=BUCKET, Key=u.key), ""),
    "it is overwritten": (
        lambda b, u: b.s3.put_object(Bucket=BUCKET, Key=u.key, Body=b"not json"),
        "",
    ),
}


@pytest.mark.parametrize("when", ["before it is read", "before it is copied"])
@pytest.mark.parametrize("what", THEN)
def test_what_happens_to_an_object_meanwhile(wide: Bench, what: str, when: str) -> None:
    message = wide.put("to-process/a.jsonl", GOOD)
    upload = upload_of(message)
    happen, reason = THEN[what]

    class Meanwhile(Objects):
        @contextmanager
        def open(self, upload: Upload) -> Iterator[Opened]:
            if when == "before it is read":
                happen(wide, upload)
            with super().open(upload) as opened:
                yield opened
            if when == "before it is copied":
                happen(wide, upload)

    wide.world = replace(wide.world, objects=Meanwhile(wide.s3))
    event = wide.event_of(message)
    if reason:
        assert reasons(event) == [reason]
        assert wide.keys("staged/") == []
        return
    assert isinstance(event, e.JobQueued)
    (staged,) = wide.keys("staged/")
    # the version that was announced
    assert wide.s3.get_object(Bucket=BUCKET, Key=staged)["Body"].read() == GOOD
    assert upload.key == "to-process/a.jsonl"


def test_an_upload_is_read_in_pieces() -> None:
    assert CHUNK_BYTES <= MIB


def unreadable() -> Iterator[bytes]:
    raise AssertionError("this must not be read")
    yield b""
