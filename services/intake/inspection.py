"""Inspection of an upload: is it fit to run as a batch? One pass over the bytes, memory bounded whatever they hold.

What Bedrock checks in `Validating`, and what would only fail there or later (aws-facts 1.5, 3.1, 4.1): UTF-8, one JSON object
a line, `modelInput` an object, `recordId` a unique string where present, record count and size. All problems are found, not
just the first. A BOM, CRLF and a last line without newline are tolerated; an empty line is not JSON, also at the end.

No text of a problem ever holds a word of the content: a line, a column, and a constant sentence.

Lines are parsed in blocks of `LONG_LINE_BYTES`. A longer line is never held: it is *squeezed* while it streams by, its long
strings checked and replaced by their digests, and what is left is parsed. Megabytes of base64 in a record are therefore fine.
"""

import codecs
import hashlib
import heapq
import json
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.events import Problem

MAX_PROBLEMS = 100  # kept; all are counted
LONG_LINE_BYTES = 1024**2  # from here on a line is squeezed
LONG_STRING_BYTES = 1024  # in a squeezed line, a longer string is replaced by its digest
MAX_STRUCTURE_BYTES = 4 * 1024**2  # what a squeezed line may still hold
ID_BUCKETS = 256
BOM = b"\xef\xbb\xbf"

_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one job of a model: records, and bytes of the file."""

    min_records: int
    max_records: int
    max_bytes: int


@dataclass(kw_only=True)
class Inspection:
    """What was found, up to where reading stopped. `problem_count` counts all problems, `problems` holds the first ones."""

    record_count: int = 0
    size_bytes: int = 0
    problem_count: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def fit(self) -> bool:
        """Whether it may be queued."""
        return self.problem_count == 0

    def add(self, line: int | None, text: str) -> None:
        """One more problem."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line=line, text=text))


def inspect(chunks: Iterable[bytes], limits: Limits, *, long_line: int = LONG_LINE_BYTES) -> Inspection:
    """Read everything, or stop where a limit is passed. Errors of `chunks` rise."""
    reader = _Reader(limits)
    whole = all(reader.read(number, line) for number, line in _lines(chunks, reader, long_line))
    return reader.end(whole=whole)


def _lines(chunks: Iterable[bytes], reader: "_Reader", long_line: int) -> Iterator[tuple[int, "str | bytes | _Squeezer"]]:
    """(number from 1, line without its newline): as text; as bytes where it is not UTF-8; as a _Squeezer where it is long."""
    number, carry = 0, b""
    long: _Squeezer | None = None
    for piece in _pieces(chunks, reader, long_line):
        rest = piece
        if long is not None:
            head, newline, rest = piece.partition(b"\n")
            long.feed(head)
            if not newline:
                continue
            number += 1
            yield number, long
            long = None
        block, newline, carry = (carry + rest).rpartition(b"\n")
        if newline:
            for line in _texts(block):
                number += 1
                yield number, line
        if len(carry) > long_line:
            long = _Squeezer()
            long.feed(carry)
            carry = b""
    if long is not None:
        yield number + 1, long
    elif carry:
        yield from ((number + 1, line) for line in _texts(carry))


def _pieces(chunks: Iterable[bytes], reader: "_Reader", size: int) -> Iterator[bytes]:
    """The chunks in pieces of a bounded size, without the BOM, counted; none after too many bytes."""
    start = b""
    at_start = True
    for chunk in chunks:
        for offset in range(0, len(chunk), size):
            piece = chunk[offset : offset + size]
            if not reader.count(len(piece)):
                return
            if at_start:
                start += piece
                if len(start) < len(BOM) and BOM.startswith(start):
                    continue
                piece, at_start = start.removeprefix(BOM), False
            yield piece
    if at_start and start:
        yield start


def _texts(block: bytes) -> Iterator[str | bytes]:
    """The lines of a block: decoded all at once, or one by one where one of them is not UTF-8."""
    try:
        yield from block.decode().split("\n")
    except UnicodeDecodeError:
        for line in block.split(b"\n"):
            try:
                yield line.decode()
            except UnicodeDecodeError:
                yield line


class _Reader:
    """What has been seen so far."""

    def __init__(self, limits: Limits) -> None:
        self.found = Inspection()
        self._limits = limits
        # Hashes of recordIds (64 bits, keyed) and their lines: 16 bytes a record, compared bucket by bucket at the end.
        self._ids = [(array("q"), array("Q")) for _ in range(ID_BUCKETS)]
        self._repetitions = 0
        self._too_large = False

    def count(self, size: int) -> bool:
        """Count bytes; False where they are too many."""
        self.found.size_bytes += size
        if self.found.size_bytes > self._limits.max_bytes:
            if not self._too_large:
                self._too_large = True
                self.found.add(None, f"the file is larger than {self._limits.max_bytes:,} bytes")
            return False
        return True

    def read(self, number: int, line: "str | bytes | _Squeezer") -> bool:
        """One line; False where there is no sense in reading on."""
        self.found.record_count += 1
        if self.found.record_count > self._limits.max_records:
            self.found.add(None, f"the file has more than {self._limits.max_records:,} records")
            return False
        if self._too_large:
            return False
        problem = _not_text(line) if not isinstance(line, str) else None
        if problem is not None:
            self.found.add(number, problem)
            return True
        text = line.text() if isinstance(line, _Squeezer) else line
        assert isinstance(text, str)  # noqa: S101 - bytes were a problem above
        record, problem = _parse(text)
        if problem is None:
            problem = self._check(number, record)
        if problem is not None:
            self.found.add(number, problem)
        return True

    def end(self, *, whole: bool) -> Inspection:
        """What can only be said at the end. `whole` says that reading did not stop early."""
        found = self.found
        if whole and found.record_count < self._limits.min_records and not self._too_large:
            least = self._limits.min_records
            found.add(None, f"the file has {found.record_count:,} records, fewer than the {least:,} that a batch needs")
        repeated = list(heapq.nsmallest(MAX_PROBLEMS, self._repeated()))
        found.problem_count += self._repetitions
        found.problems += [Problem(line=line, text=f"recordId is the same as on line {first}") for line, first in repeated]
        found.problems = sorted(found.problems, key=lambda problem: problem.line or 0)[:MAX_PROBLEMS]
        return found

    def _repeated(self) -> Iterator[tuple[int, int]]:
        """(line, first line) of every recordId that was there before, counted in `_repetitions`."""
        for hashes, lines in self._ids:
            seen: dict[int, int] = {}
            for value, line in zip(hashes, lines, strict=True):
                first = seen.setdefault(value, line)
                if first != line:
                    self._repetitions += 1
                    yield line, first

    def _check(self, number: int, record: Any) -> str | None:
        if type(record) is not dict:
            return "the line is not a JSON object"
        model_input = record.get("modelInput", _MISSING)
        if type(model_input) is not dict:
            return "modelInput is missing" if model_input is _MISSING else "modelInput is not an object"
        record_id = record.get("recordId", _MISSING)
        if record_id is _MISSING:
            return None
        if type(record_id) is not str:
            return "recordId is not a string"
        value = hash(record_id)
        hashes, lines = self._ids[value % ID_BUCKETS]
        hashes.append(value)
        lines.append(number)
        return None


def _refuse_constant(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


# Numbers are not converted when they are too long for Python's own limit: they are JSON all the same.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_LENIENT = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=len, parse_float=len)
_scan = _DECODER.scan_once  # type: ignore[attr-defined] # json.decoder's own, in C


def _parse(line: str) -> tuple[Any, str | None]:
    """(value, None) or (None, problem). The first try is the fast one: a line that is one value and nothing else."""
    try:
        value, end = _scan(line, 0)
    except (StopIteration, ValueError, RecursionError):
        return _parse_slowly(line)
    return (value, None) if end == len(line) else _parse_slowly(line)


def _parse_slowly(line: str) -> tuple[Any, str | None]:
    if not line or line.isspace():
        return None, "the line is empty"
    try:
        return _LENIENT.decode(line), None
    except json.JSONDecodeError as error:
        return None, f"the line is not valid JSON from column {error.colno} on"
    except ValueError:
        return None, "the line is not valid JSON: NaN or Infinity"
    except RecursionError:
        return None, "the line is nested too deeply"


def _not_text(line: "bytes | _Squeezer") -> str | None:
    return "the line is not UTF-8" if isinstance(line, bytes) else line.problem()


_CONTENT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)  # of a string, up to its closing quote
_UNFINISHED = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_BAD_ESCAPE = re.compile(rb'\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})(?:.|\Z)|\\\\', re.DOTALL)
_CONTROLS = bytes(range(0x20))


def _end_of_string(data: bytes, start: int) -> int:
    """Where the string's closing quote is, or the end of the data. `find` is many times faster than the pattern."""
    quote = data.find(b'"', start)
    end = quote if quote >= 0 else len(data)
    if data.find(b"\\", start, end) < 0:
        return end
    found = _CONTENT.match(data, start)
    return found.end() if found else start


def _is_bad(content: bytes) -> bool:
    """Whether a string's content holds a raw control character or an escape that JSON does not know."""
    if len(content.translate(None, _CONTROLS)) != len(content):
        return True
    return b"\\" in content and any(found[0] != b"\\\\" for found in _BAD_ESCAPE.finditer(content))


class _Squeezer:
    """A line too long to hold. Its long strings are checked as they pass and replaced by their digests."""

    def __init__(self) -> None:
        self._kept = bytearray()  # structure and short strings
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._in_string = False
        self._string = bytearray()  # the beginning of the string we are in
        self._digest: Any = None  # of the string, once it is long
        self._unfinished = b""  # an escape cut by the border of a piece
        self._problem: str | None = None

    def feed(self, data: bytes) -> None:
        """More of the line."""
        if self._problem is not None:
            return
        try:
            self._text.decode(data)
        except UnicodeDecodeError:
            self._problem = "the line is not UTF-8"
            return
        self._squeeze(self._unfinished + data)
        if len(self._kept) > MAX_STRUCTURE_BYTES:
            self._problem = f"the line holds more than {MAX_STRUCTURE_BYTES // 1024**2} MiB beside its long strings"
            self._kept.clear()

    def problem(self) -> str | None:
        """What is wrong with the line, as far as it could be seen without parsing it."""
        if self._problem is None and (self._in_string or self._unfinished):
            return "the line ends within a string"
        try:
            self._text.decode(b"", final=True)
        except UnicodeDecodeError:
            return "the line is not UTF-8"
        return self._problem

    def text(self) -> str:
        """The squeezed line."""
        return self._kept.decode()

    def _squeeze(self, data: bytes) -> None:
        self._unfinished = b""
        position = 0
        while position < len(data) and self._problem is None and len(self._kept) <= MAX_STRUCTURE_BYTES:
            if not self._in_string:
                quote = data.find(b'"', position)
                end = len(data) if quote < 0 else quote + 1
                self._kept += data[position:end]
                self._in_string = quote >= 0
                position = end
                continue
            end = _end_of_string(data, position)
            closed = end < len(data) and data[end : end + 1] == b'"'
            content = data[position:end] if closed else data[position:]
            if not closed:
                cut = _UNFINISHED.search(content)
                if cut and (len(content) - len(content[: cut.start()].rstrip(b"\\")) - len(cut[0])) % 2 == 0:
                    content, self._unfinished = content[: cut.start()], content[cut.start() :]
            self._hold(content)
            position = len(data)
            if closed:
                self._close()
                position = end + 1

    def _hold(self, content: bytes) -> None:
        """Content of the string we are in. Escapes are never cut between two calls."""
        if _is_bad(content):
            self._problem = "the line is not valid JSON: a string holds a control character or a wrong escape"
            return
        if self._digest is None and len(self._string) + len(content) <= LONG_STRING_BYTES:
            self._string += content
            return
        if self._digest is None:
            self._digest = hashlib.sha256(self._string)
            self._string.clear()
        self._digest.update(content)

    def _close(self) -> None:
        self._kept += self._string if self._digest is None else self._digest.hexdigest().encode()
        self._kept += b'"'
        self._string.clear()
        self._digest, self._in_string = None, False
