"""The `recordId` that we send to Bedrock: whose answer is it? Pure.

A record's id is 11 characters [0-9a-z]: the tag of what was cut (6), then the number of the line in
the upload in base 36 (5), so up to 60,466,175 lines. Bedrock's order is not the input's, and its
rules for `recordId` changed twice; users' own ids may be missing, doubled, numbers or unicode. So
ours is spliced into each line where the user's value stood (in front, if there was none), and the
user's is kept beside as it stood: `give_back` makes the user's line again, byte for byte.

Two tags of a hash are the same once in two thousand million times: among the 99 uploads of a pack,
once in 450,000 packs.
"""

import hashlib
import json

from bbq.shared.json_text import members

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
TAG_LENGTH, LINE_LENGTH = 6, 5
MAX_LINE = 36**LINE_LENGTH - 1
# in front of the first member of a record without an id; `{}` stands for the quoted id
MEMBER = '"recordId":{},'

_DIGIT_PAIRS = [a + b for a in DIGITS for b in DIGITS]
_PAIRS_QUOTED = [pair + '"' for pair in _DIGIT_PAIRS]
_PAIR = len(_DIGIT_PAIRS)


def tag_of(*words: str) -> str:
    """The tag of what these words name: TAG_LENGTH characters."""
    # JSON keeps the words apart, whatever they hold
    digest = hashlib.sha256(json.dumps(words).encode()).digest()
    return _base36(int.from_bytes(digest) % 36**TAG_LENGTH, TAG_LENGTH)


def record_id(tag: str, line: int) -> str:
    """The id of the record on this line (from 1). Raises ValueError for a line beyond MAX_LINE."""
    if not 0 < line <= MAX_LINE:
        raise ValueError(f"no record id for line {line}")
    return tag + _base36(line, LINE_LENGTH)


def line_of(record_id: str, tag: str) -> int | None:
    """The line of an id with this tag; None if it is not one."""
    number = record_id.removeprefix(tag)
    if len(record_id) != TAG_LENGTH + LINE_LENGTH or len(number) != LINE_LENGTH:
        return None
    if not set(number) <= set(DIGITS):
        return None
    return int(number, 36) or None


def quoted_ids(tag: str, first: int, count: int) -> list[str]:
    """The ids of consecutive lines in quotes, as they stand in JSON. `first + count` is at most
    MAX_LINE + 1. Some 40 ns each: the cut makes one for each record.
    """
    found: list[str] = []
    line, end = first, first + count
    while line < end:
        high, low = divmod(line, _PAIR)
        prefix = f'"{tag}{_base36(high, LINE_LENGTH - 2)}'
        until = min(_PAIR, low + end - line)
        found += [prefix + pair for pair in _PAIRS_QUOTED[low:until]]
        line += until - low
    return found


def give_back(line: bytes, record_id: str, own_id: bytes) -> bytes:
    """The user's line, of a line that was staged with `record_id` and the raw JSON text of the
    user's own id (empty if it had none). Raises ValueError if it was staged with another.
    """
    quoted = f'"{record_id}"'.encode()
    if not own_id:
        brace = line.index(b"{") + 1
        member = MEMBER.format(quoted.decode()).encode()
        if not line.startswith(member, brace):
            raise ValueError("the record was not staged with this id")
        return line[:brace] + line[brace + len(member) :]
    at = line.index(quoted)
    if line.find(quoted, at + 1) >= 0:  # the user's text holds the same: only a parser can tell
        text = line.decode()
        at = next(
            len(text[:start].encode())
            for name, value, start, _ in members(text)
            if name == "recordId" and value == record_id
        )
    return line[:at] + own_id + line[at + len(quoted) :]


def _base36(number: int, length: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return digits.rjust(length, "0")
