"""JSON as an inspection reads it: decoders that convert nothing, faults in our words, and halves of
surrogate pairs. Pure.
"""

import json
import re
from collections.abc import Iterator
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
OBJECT: type[Iterator[tuple[str, Any]]] = type(iter([("", None)]))


def not_json(error: json.JSONDecodeError, before: int | None) -> str:
    """What is wrong. `before`: characters in front of what was parsed; None if the column means
    nothing.
    """
    column = "" if before is None else f" at column {before + error.pos + 1}"
    hint = f": {_HINTS[error.msg]}" if error.msg in _HINTS else ""
    return NOT_JSON + column + hint


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
