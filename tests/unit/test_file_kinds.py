"""Files that people's tools write and that hold no records: one problem for the file, which says
what to do.
"""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest

from bbq.shared.file_kinds import HEAD_BYTES, foreign
from bbq.shared.inspection import Limits, inspect

RECORDS = [
    {
        "recordId": f"r{n:03}",
        "modelInput": {"max_tokens": 9, "messages": [{"role": "user", "content": f"Say {n}"}]},
    }
    for n in range(100)
]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)
OPENAI = "".join(
    json.dumps({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": {}})
    + "\n"
    for n in range(100)
)
ANTHROPIC = "".join(
    json.dumps({"custom_id": f"r{n}", "params": {"max_tokens": 9}}) + "\n" for n in range(100)
)
PICTURE = "A" * 2 * HEAD_BYTES
LIMITS = Limits(min_records=100, max_records=50_000, max_bytes=10**9)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jsonl", LINES)
    return file.getvalue()


KINDS = {
    "gzip": (gzip.compress(LINES.encode()), "gzip"),
    "bzip2": (bz2.compress(LINES.encode()), "bzip2"),
    "xz": (lzma.compress(LINES.encode()), "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
    "zip": (zipped(), "zip archive"),
    "Parquet": (b"PAR1\x15\x04\x15\x10" + b"\0" * 100 + b"PAR1", "Parquet"),
    "UTF-16": (LINES.encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (LINES.encode("utf-16-le"), "UTF-16"),
    "UTF-16 of the other end": (LINES.encode("utf-16-be"), "UTF-16"),
    "UTF-32": (LINES.encode("utf-32"), "UTF-32"),
    "UTF-32 without a mark": (LINES.encode("utf-32-le"), "UTF-32"),
    "UTF-32 of the other end": (LINES.encode("utf-32-be"), "UTF-32"),
    "a JSON array": (json.dumps(RECORDS).encode(), "JSON array"),
    "a printed JSON array": (json.dumps(RECORDS, indent=2).encode(), "JSON array"),
    "a JSON array behind blank lines": (b"\n\n " + json.dumps(RECORDS).encode(), "JSON array"),
    "records in brackets": (b"[\n" + LINES.replace("\n", ",\n").encode() + b"]", "JSON array"),
    "printed records": (
        "\n".join(json.dumps(record, indent=1) for record in RECORDS).encode(),
        "goes over several lines",
    ),
    "one printed record": (json.dumps(RECORDS[0], indent=4).encode(), "goes over several lines"),
    "printed records with CRLF": (
        json.dumps(RECORDS[0], indent=4).replace("\n", "\r\n").encode(),
        "goes over several lines",
    ),
    "a printed record of a picture": (
        json.dumps({"modelInput": {"x": PICTURE}}, indent=1).encode(),
        "goes over several lines",
    ),
    "an OpenAI batch file": (OPENAI.encode(), "OpenAI batch file"),
    "an OpenAI batch file with a picture": (
        json.dumps({"custom_id": "a", "body": {"x": PICTURE}}).encode(),
        "OpenAI batch file",
    ),
    "an OpenAI batch file in another order": (
        b'{"body": {}, "custom_id": "a"}\n' * 100,
        "OpenAI batch file",
    ),
    "an Anthropic batch file": (ANTHROPIC.encode(), "Anthropic batch file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_has_one_problem_however_it_arrives(kind: str) -> None:
    data, name = KINDS[kind]
    for size in (1, 7, 4096, len(data)):
        found = inspect((data[start : start + size] for start in range(0, len(data), size)), LIMITS)
        [problem] = found.problems
        assert (problem.line, found.problem_count) == (None, 1)
        assert name in problem.text
        assert ": " in problem.text  # what it is: what to do


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode(),
        b"",
        b"\n",
        b"not json\n",
        b'{"modelInput": {\n{"modelInput": {}}\n',  # a record that was cut off: it has a line
        b'{"modelInput": {"x": "y\n"}}\n',
        b'{"custom_id": "a", "modelInput": {}}\n',
        b'{"modelInput": {"custom_id": "a", "body": {}}}\n',
        json.dumps({"custom_id": "a", "modelInput": {"x": PICTURE}}).encode(),
        b'{"a": ' + b"[" * 50_000,
        b'{"a": ' + b"9" * 50_000,
    ],
)
def test_what_is_one_record_a_line_or_broken_is_of_no_other_kind(data: bytes) -> None:
    assert foreign(data[:HEAD_BYTES]) is None
