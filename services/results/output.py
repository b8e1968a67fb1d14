"""One JSON object on one line, read without changing a byte of it: the values of its members as
they stand, and as Python sees them. Pure.

Numbers, escapes and the order of keys must reach the result as Bedrock wrote them, so a value is
copied from the line and never written again by us.

Two ways. The usual one is json's C scanner, member by member. Lines of more than LONG_LINE_BYTES,
and whatever that scanner does not take (nested too deeply for Python's stack, an escape in a name,
a number of 5,000 digits), go the careful way, which alone decides what is not JSON. It builds only
a small picture of the value, so that 25 MB of `[[],[],…` need no 30 times as much memory.
"""

import codecs
import json
import re
from typing import Any, NoReturn

LONG_LINE_BYTES = 4 * 1024**2
_CHUNK_BYTES = 1024**2
# of the small picture: what settle looks at (statuses.py) is no deeper, and no list of choices
# longer
_MAX_DEPTH, _MAX_NEAR, _MAX_MEMBERS, _MAX_NODES, _MAX_TEXT_BYTES = 6, 2, 100, 20_000, 2000


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_OPEN = re.compile(r"[ \t\r]*\{[ \t\r]*")
_NAME = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\r]*:[ \t\r]*')
_NEXT = re.compile(r"[ \t\r]*(?:,[ \t\r]*|(\})[ \t\r]*\Z)")


class Record:
    """The members of the object on a line. Of a name that is there twice, the last one counts, as
    for all parsers of JSON.
    """

    __slots__ = ("_members", "_source")

    def __init__(
        self, source: str | bytes | memoryview, members: dict[str, tuple[Any, int, int]]
    ) -> None:
        self._source = source
        self._members = members

    def value(self, name: str) -> Any:
        """As Python sees it; None if it is not there, or null. From a long line, only a small
        picture: texts over 2,000 bytes are empty, and what lies deep or far back is left out.
        """
        member = self._members.get(name)
        return member[0] if member else None

    def raw(self, name: str) -> bytes:
        """As it stands. Raises KeyError if it is not there."""
        _, start, end = self._members[name]
        part = self._source[start:end]
        return part.encode() if isinstance(part, str) else bytes(part)


def read(line: bytes) -> Record | None:
    """The record; None if the line is not one JSON object, in UTF-8."""
    if len(line) <= LONG_LINE_BYTES:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return None
        members = _usual(text)
        if members is not None:
            return Record(text, members)
    return careful(line)


def _usual(text: str) -> dict[str, tuple[Any, int, int]] | None:
    """The members; None if the careful way has to decide."""
    members: dict[str, tuple[Any, int, int]] = {}
    found = _OPEN.match(text)
    if found is None:
        return None
    scan, name_at, next_at = _DECODER.raw_decode, _NAME.match, _NEXT.match
    while True:
        name = name_at(text, found.end())
        if name is None:
            return None
        start = name.end()
        try:
            value, end = scan(text, start)
        except (ValueError, RecursionError):
            return None
        members[name[1]] = value, start, end
        found = next_at(text, end)
        if found is None:
            return None
        if found[1]:
            return members


# The careful way. `*+` never steps back: memory and time are bounded whatever the text.
_TOKEN = re.compile(
    rb"[ \t\r]*+(?:"
    rb'("[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")'
    rb"|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+|true|false|null)"
    rb"|([][{},:]))"
)
_BLANK = re.compile(rb"[ \t\r]*+")
_MAX_NUMBER_BYTES = 30


class _Picture:
    """A value while its tokens pass: what is near its root."""

    def __init__(self) -> None:
        self.root: Any = None
        self.nodes = 0
        self._path: list[Any] = []  # the open containers; None: left out

    def put(self, name: str | None, value: Any) -> None:
        """A value in the innermost open container: under its name, or at a list's end."""
        self.nodes += 1
        if not self._path:
            self.root = value
            return
        into = self._path[-1]
        if into is not None and len(into) < _MAX_MEMBERS and self._has_room():
            if isinstance(into, dict):
                into[name] = value
            else:
                into.append(value)

    def open(self, name: str | None, bracket: bytes) -> None:
        """A container begins."""
        deep = len(self._path) >= _MAX_DEPTH or not self._has_room()
        value: Any = None if deep else {} if bracket == b"{" else []
        self.put(name, value)
        self._path.append(value)

    def close(self) -> None:
        """The innermost one ends."""
        self._path.pop()

    def _has_room(self) -> bool:
        # stop reasons and usage are near the root, and may stand behind a long answer
        return self.nodes <= _MAX_NODES or len(self._path) <= _MAX_NEAR


def careful(line: bytes) -> Record | None:
    """As `read`, in memory of a few times the line's, however it is made. A microsecond a token or
    more: half a minute for the worst 25 MB.
    """
    return _Careful(line).record() if _is_utf8(line) else None


class _Careful:
    """JSON's grammar, token by token. `_want` says what may come: "value", "value or ]", "name",
    "name or }", "colon", "comma" (or the end of a container), "end".
    """

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._members: dict[str, tuple[Any, int, int]] = {}
        self._brackets = bytearray()  # of the open containers
        self._want = "value"
        self._picture = _Picture()
        self._name: str | None = None  # of the next value
        self._member, self._member_at = "", 0  # the last one of the outermost object

    def record(self) -> Record | None:
        at, line, token_at = 0, self._line, _TOKEN.match
        while self._want != "end":
            token = token_at(line, at)
            if token is None:
                return None
            at = token.end()
            text, scalar, mark = token.groups()
            if mark is None:
                fits = self._text(text) if text is not None else self._scalar(scalar)
            elif mark in b":,":
                fits = self._colon(at) if mark == b":" else self._comma()
            else:
                fits = self._open(mark) if mark in b"{[" else self._close(mark)
            if not fits:
                return None
            if len(self._brackets) == 1 and self._want == "comma":
                start = _BLANK.match(line, self._member_at)
                self._members[self._member] = self._picture.root, start.end() if start else at, at
        blank = _BLANK.match(line, at)
        whole = blank is not None and blank.end() == len(line)
        return Record(memoryview(line), self._members) if whole else None

    def _text(self, quoted: bytes) -> bool:
        if self._want not in {"name", "name or }"}:
            return self._scalar(quoted)
        self._name = _text(quoted)
        if len(self._brackets) == 1:
            self._member = json.loads(quoted)
        self._want = "colon"
        return True

    def _scalar(self, word: bytes) -> bool:
        if self._want not in {"value", "value or ]"} or not self._brackets:
            return False
        self._picture.put(self._name, _text(word) if word[:1] == b'"' else _number(word))
        self._want = "comma"
        return True

    def _colon(self, at: int) -> bool:
        if len(self._brackets) == 1:
            self._picture, self._name, self._member_at = _Picture(), None, at
        fits, self._want = self._want == "colon", "value"
        return fits

    def _comma(self) -> bool:
        fits = self._want == "comma"
        self._want = "name" if self._brackets[-1:] == b"{" else "value"
        return fits

    def _open(self, bracket: bytes) -> bool:
        if self._want not in {"value", "value or ]"} or not (self._brackets or bracket == b"{"):
            return False  # the line itself is an object
        if self._brackets:
            self._picture.open(self._name, bracket)
        self._brackets += bracket
        self._name = None
        self._want = "name or }" if bracket == b"{" else "value or ]"
        return True

    def _close(self, bracket: bytes) -> bool:
        opened, empty = (b"{", "name or }") if bracket == b"}" else (b"[", "value or ]")
        if self._brackets[-1:] != opened or self._want not in {"comma", empty}:
            return False
        self._brackets.pop()
        if self._brackets:
            self._picture.close()
        self._want = "comma" if self._brackets else "end"
        return True


def _text(quoted: bytes) -> str:
    return json.loads(quoted) if len(quoted) <= _MAX_TEXT_BYTES else ""


def _number(word: bytes) -> Any:
    return json.loads(word) if len(word) <= _MAX_NUMBER_BYTES else 0


def _is_utf8(line: bytes) -> bool:
    """Without a text of the whole line: one character may make it four times as large."""
    decode, view = codecs.getincrementaldecoder("utf-8")().decode, memoryview(line)
    try:
        for start in range(0, len(line), _CHUNK_BYTES):
            decode(view[start : start + _CHUNK_BYTES], start + _CHUNK_BYTES >= len(line))
    except UnicodeDecodeError:
        return False
    return True
