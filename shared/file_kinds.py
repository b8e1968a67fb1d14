"""Which kind of file an upload is, told by its beginning, where it is not one record a line. Pure.

People upload what their tools write: an archive, a table, a JSON array, another service's batch
file. Read line by line such a file has a problem on each line, and none of them says what to do. So
it gets one problem, for the file.

Only the first HEAD_BYTES count, so the answer does not depend on how the file arrives.
"""

import codecs
import json
import re

HEAD_BYTES = 64 * 1024

_UNPACK = "unpack it, and upload the .jsonl file in it"
_UTF_8 = "save it as UTF-8"

# What the file begins with -> the problem. UTF-32 comes before UTF-16, whose mark is the beginning
# of its own.
_MARKS = {
    b"\x1f\x8b": f"the file is compressed with gzip: {_UNPACK}",
    b"PK\x03\x04": f"the file is a zip archive (as an Excel workbook is): {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"the file is compressed with zstd: {_UNPACK}",
    b"\xfd7zXZ\x00": f"the file is compressed with xz: {_UNPACK}",
    b"BZh": f"the file is compressed with bzip2: {_UNPACK}",
    b"PAR1": "the file is a Parquet table: write each row as one line of JSON",
    codecs.BOM_UTF32_LE: f"the file is UTF-32: {_UTF_8}",
    codecs.BOM_UTF32_BE: f"the file is UTF-32: {_UTF_8}",
    b"{\0\0\0": f"the file is UTF-32: {_UTF_8}",
    b"\0\0\0{": f"the file is UTF-32: {_UTF_8}",
    codecs.BOM_UTF16_LE: f"the file is UTF-16: {_UTF_8}",
    codecs.BOM_UTF16_BE: f"the file is UTF-16: {_UTF_8}",
    b"{\0": f"the file is UTF-16: {_UTF_8}",
    b"\0{": f"the file is UTF-16: {_UTF_8}",
}

_ARRAY = (
    "the file is a JSON array: write each of its objects on one line, without brackets and commas "
    "around (jq -c '.[]' does it)"
)
_SPREAD = "an object goes over several lines: write each record on one line (jq -c . does it)"
_BEDROCK_LINE = (
    'a line for Bedrock is {"recordId": "...", "modelInput": {...}}, where modelInput is the body '
    "that the model takes"
)
_OPENAI = f"the file is an OpenAI batch file (custom_id, body): {_BEDROCK_LINE}"
_ANTHROPIC = f"the file is an Anthropic batch file (custom_id, params): {_BEDROCK_LINE}"

_CUSTOM_ID_FIRST = re.compile(r'\{[ \t]*"custom_id"[ \t]*:')
# numbers are not converted: a long one takes quadratic time
_DECODER = json.JSONDecoder(parse_int=bool, parse_float=bool)


def foreign(head: bytes) -> str | None:
    """The problem of a file that begins with `head` (HEAD_BYTES of it, or all); None if it may hold
    one record a line.
    """
    for mark, problem in _MARKS.items():
        if head.startswith(mark):
            return problem
    text = head.removeprefix(codecs.BOM_UTF8).decode(errors="replace").lstrip(" \t\r\n")
    if text.startswith("["):
        return _ARRAY
    line, _, rest = text.partition("\n")
    line = line.rstrip(" \t\r")
    try:
        record = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        if _unfinished(line, error) and rest.lstrip(" \t\r\n").startswith('"'):
            return _SPREAD
        record = (
            {"custom_id": ""}
            if _CUSTOM_ID_FIRST.match(line) and '"modelInput"' not in line
            else None
        )
    except RecursionError:
        record = None
    if isinstance(record, dict) and "custom_id" in record and "modelInput" not in record:
        return _ANTHROPIC if '"params"' in line and "body" not in record else _OPENAI
    return None


def _unfinished(line: str, error: json.JSONDecodeError) -> bool:
    """Whether the line is right so far, but its object does not end on it. The next line of a
    printed one begins with a name.
    """
    return line.startswith("{") and error.pos == len(line)
