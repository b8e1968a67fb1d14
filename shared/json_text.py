"""JSON as the reader of inputs reads it: decoders that convert nothing, where the members of an
object stand, faults in our words, and halves of surrogate pairs. Pure.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

NOT_JSON = "is not valid JSON"
_HINTS = {  # by json's own message; in our words, because nobody promises that its never quote
    "Invalid control character at": "a control character in a string must be escaped",
    "Unterminated string starting at": "a string does not end",
    "Invalid \\escape": "an unknown escape in a string",
    "Invalid \\uXXXX escape": "an incomplete \\u escape in a string",
}
SPACE = " \t\r"  # JSON's white space, but for the newline


class NotANumber(ValueError):
    """NaN or Infinity, which Python's parser lets pass."""


def _refuse(_: str) -> NoReturn:
    raise NotANumber


# Numbers are recognised but not converted: a million digits would take quadratic time. In the
# careful way an object becomes an iterator over its members: that keeps double names, tells objects
# from arrays, and costs no call of Python code.
FAST = json.JSONDecoder(parse_int=bool, parse_float=bool, parse_constant=_refuse)
CAREFUL = json.JSONDecoder(
    parse_int=bool, parse_float=bool, parse_constant=_refuse, object_pairs_hook=iter
)
# (value, end) of the value at a place; StopIteration if there is none. `raw_decode` calls it, and
# costs as much again as a small value; no stub has it.
SCAN: Callable[[str, int], tuple[Any, int]] = FAST.scan_once  # type: ignore[attr-defined]
OBJECT: type[Iterator[tuple[str, Any]]] = type(iter([("", None)]))


def not_json(error: json.JSONDecodeError, before: int | None) -> str:
    """What is wrong. `before`: characters in front of what was parsed; None if the column means
    nothing.
    """
    column = "" if before is None else f" at column {before + error.pos + 1}"
    hint = f": {_HINTS[error.msg]}" if error.msg in _HINTS else ""
    return NOT_JSON + column + hint


_SKIP = re.compile(rf"[{SPACE}]*")


def members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """(name, value, start, end) of each member of a valid JSON object on one line: text[start:end]
    is the value as it stands. Numbers are not converted.
    """
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = FAST.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)  # behind the colon
        value, end = FAST.raw_decode(text, start)
        yield name, value, start, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SKIP.match(text, at)
    return found.end() if found else at


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE = re.compile(
    r"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"  # a high one without a low one behind it
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"  # a low one without a high one before it
)
# a pair, or any other; group 1: lone
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])?.)")


def may_hold_lone_surrogate(text: str) -> bool:
    """Quick, and never wrongly no. An escaped backslash before a "u" is what the patterns may
    misread.
    """
    return _SURROGATE.search(text) is not None and (
        _LONE.search(text) is not None or r"\\u" in text
    )


def holds_lone_surrogate(text: str) -> bool:
    """Whether an escape is half of a surrogate pair, which cannot be written as UTF-8."""
    return may_hold_lone_surrogate(text) and any(escape[1] for escape in _ESCAPE.finditer(text))


MAX_NODES = 1000


def is_plain(body: dict[str, Any], mark: str) -> bool:
    """Whether all strings of a parsed object are ASCII, so without surrogates, and none of its
    objects has the name that `mark` quotes. Quick, and never wrongly yes: no more than MAX_NODES
    values are looked at.
    """
    name = mark.strip('"')
    values: list[Any] = [body]
    for value in values:
        kind = type(value)
        if kind is str:
            if not value.isascii():
                return False
        elif kind is dict:
            if name in value or len(values) > MAX_NODES:
                return False
            values += value
            values += value.values()
        elif kind is list:
            if len(values) + len(value) > MAX_NODES:
                return False
            values += value
    return True
