"""The `recordId` that we send to Bedrock: which line of which slice an answer belongs to. Pure.

Bedrock's order is not the input's, and users' own ids may be missing, doubled, numbers or unicode.
So each staged line has an id of ours where the user's stood (in front, if there was none): 11
characters [0-9a-z], the tag of the slice, then the number of the line in the upload in base 36.
"""

import json
import re

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
TAG_LENGTH, LINE_LENGTH = 4, 7
MAX_LINE = 36**LINE_LENGTH - 1
# in front of the first member of a record without an id; `{}` stands for the quoted id
MEMBER = '"recordId":{},'


def record_id(tag: str, line: int) -> str:
    """The id of the record on this line (from 1). Raises ValueError for a line beyond MAX_LINE."""
    if not 0 < line <= MAX_LINE:
        raise ValueError(f"no record id for line {line}")
    digits = ""
    while line:
        line, digit = divmod(line, 36)
        digits = DIGITS[digit] + digits
    return tag + digits.rjust(LINE_LENGTH, "0")


def line_of(record_id: str, tag: str) -> int | None:
    """The line of an id with this tag; None if it is not one."""
    number = record_id.removeprefix(tag)
    if len(record_id) != TAG_LENGTH + LINE_LENGTH or len(number) != LINE_LENGTH:
        return None
    if not set(number) <= set(DIGITS):
        return None
    return int(number, 36) or None


def give_back(line: bytes, record_id: str, own_id: bytes) -> bytes:
    """The user's line, of a line that was staged with `record_id` and the raw JSON text of the
    user's own id (empty if it had none). Raises ValueError if it was not.
    """
    quoted = f'"{record_id}"'.encode()
    if not own_id:
        start = line.index(b"{") + 1
        member = MEMBER.format(quoted.decode()).encode()
        if not line.startswith(member, start):
            raise ValueError("the record was not staged with this id")
        return line[:start] + line[start + len(member) :]
    at = line.index(quoted)
    if line.find(quoted, at + 1) >= 0:  # the user's text holds the same: only a parser can tell
        at = _value_at(line.decode(), "recordId", record_id)
    return line[:at] + own_id + line[at + len(quoted) :]


_SPACE = re.compile(r"[ \t\r]*")


def _value_at(text: str, name: str, value: str) -> int:
    """The byte where this value of a member of the object begins."""
    scan, at = json.JSONDecoder(parse_int=bool, parse_float=bool).raw_decode, text.index("{") + 1
    while True:
        found, at = scan(text, _behind_space(text, at))
        start = _behind_space(text, _behind_space(text, at) + 1)
        held, end = scan(text, start)
        if (found, held) == (name, value):
            return len(text[:start].encode())
        at = _behind_space(text, end)
        if text[at] != ",":
            raise ValueError("the record was not staged with this id")
        at += 1


def _behind_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
