"""The one reader of inputs: which lines of an upload are records, what is wrong with the others,
and where each record's `recordId` stands. Pure, in bounded memory.

Intake's cut, `bbq submit` and the Bedrock simulator (by `inspection.inspect`) all read with it, so
that they cannot disagree. Verdicts do not depend on how the bytes were cut into chunks.

A record is one line with one JSON object: `modelInput` an object, `recordId` a string if there is
one (Bedrock user guide, "Format and upload your batch data"). Tolerated, because JSON or common
tools allow it: CRLF, white space around a record, no newline at the end, one blank line at the end.
Refused although JSON's grammar allows it, because readers differ in what they make of it: a byte
order mark at the start, a name twice in the record object (which one would Bedrock take?), and half
of a surrogate pair, which cannot be written as UTF-8, so models refuse it. A name twice further
down is the model's business. Lines end at "\\n" only: text may hold U+2028 and the like.

What a file of another kind is, file_kinds.py says, as one problem of the file. What is wrong with a
body, bodies.py says; such a fault is usually in every record, so it is one problem, at its first
line, with the number of the others.

A problem says where and which rule, never what: record content stays out of events and logs, and so
do ids.

The usual records are taken straight from the block (usual.py). The first line that looks different
sends the rest of its block the careful way, line by line, which alone decides what is wrong.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from bbq.shared.blocks import LONG_LINE_BYTES, LineTooLong, LongLine, blocks
from bbq.shared.file_kinds import HEAD_BYTES, foreign
from bbq.shared.findings import Findings, Limits
from bbq.shared.json_text import (
    CAREFUL,
    NOT_JSON,
    OBJECT,
    SPACE,
    NotANumber,
    holds_lone_surrogate,
    members,
    not_json,
)
from bbq.shared.usual import BodyRules, Run, Usual, utf8_size


@dataclass(frozen=True, slots=True)
class Line:
    """Any other line. Fit if there are no problems; then `id_at` is as in a Run, but in bytes of
    `data`. `record_id` is the id, if it is a string, or a digest of a long one. Without `keep`,
    there is no data and no place.
    """

    number: int
    size: int
    data: bytes = b""
    problems: tuple[str, ...] = ()
    id_at: tuple[int, int] = (0, 0)
    record_id: str | None = None


class _LimitPassed(Exception):
    """Nothing that follows can make the upload fit."""


class Reader:
    """One pass, from the beginning or from where `found` ends.

    With `keep`, lines come with their bytes, and any JSON value or none is a recordId. Without, it
    must be a string. Only lines of the same file are one pass: `read` is called once.
    """

    def __init__(
        self,
        limits: Limits,
        found: Findings | None = None,
        *,
        keep: bool = False,
        offset: int = 0,
        long_line_bytes: int = LONG_LINE_BYTES,
        max_line_bytes: int | None = None,
    ) -> None:
        self.found = found or Findings()
        self.size_bytes = offset  # read so far
        self.mark_bytes = 0  # of a byte order mark, which is in no line
        self._at_start = offset == 0
        self._limits = limits
        self._keep = keep
        self._rules = BodyRules(limits.bodies)
        self._usual = Usual(self._rules, any_id=keep)
        self._long_line_bytes = long_line_bytes
        self._max_line_bytes = max_line_bytes
        # the line just read, if it is blank: a problem only if another line follows
        self._blank: Line | None = None

    @property
    def lines(self) -> int:
        """How many lines there were, but for a blank one at the end."""
        return self.found.line - (self._blank is not None)

    def read(self, chunks: Iterable[bytes]) -> Iterator[Run | Line]:
        """Chunks of any size until their end or the first limit passed. Raises only what `chunks`
        raises. `found` is about the lines until the one that was given last.
        """
        try:
            for block in blocks(
                self._opened(chunks),
                self._long_line_bytes,
                keep=self._keep,
                max_line_bytes=self._max_line_bytes,
            ):
                if isinstance(block, LongLine):
                    yield from self._long_line(block)
                else:
                    yield from self._block(block)
            self._end()
        except LineTooLong:
            self.found.add_of_file(
                f"is longer than {self._max_line_bytes:,} bytes: no model takes such a record",
                line=self.found.line + 1,
            )
        except _LimitPassed:
            pass

    def _opened(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, counted, without the byte order mark; first of all the head, whole, however
        it arrived.
        """
        head: bytes | None = b"" if self._at_start else None
        for chunk in chunks:
            self.size_bytes += len(chunk)
            if self.size_bytes > self._limits.max_bytes:
                self._stop(f"the file is larger than {self._limits.max_bytes:,} bytes")
            if head is None:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD_BYTES:
                yield self._opening(head)
                head = None
        if head:
            yield self._opening(head)

    def _opening(self, head: bytes) -> bytes:
        if kind := foreign(head[:HEAD_BYTES]):
            self._stop(kind)
        if head.startswith(codecs.BOM_UTF8):
            self.mark_bytes = len(codecs.BOM_UTF8)
            self.found.add_of_file(
                "the file begins with a byte order mark: save it as UTF-8 without one"
            )
        return head.removeprefix(codecs.BOM_UTF8)

    def _block(self, data: bytes) -> Iterator[Run | Line]:
        """Whole lines, without the last newline."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            for line in data.split(b"\n"):
                yield from self._bytes_line(line)
            return
        start = 0
        if self._blank is None:
            left = self._limits.max_records - self.found.line
            run = self._usual.records(text, data, self.found.line + 1, left)
            if run.ids:
                self.found.line += len(run.ids)
                self.found.records += len(run.ids)
                start = run.end + 1
                yield run
        if start <= len(text):
            for part in text[start:].split("\n"):
                yield from self._text_line(part)

    def _bytes_line(self, data: bytes) -> Iterator[Line]:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            yield from self._next_line()
            yield self._line(data, _Judged([f"is not UTF-8 at byte {error.start + 1}"]))
        else:
            yield from self._text_line(text)

    def _text_line(self, line: str) -> Iterator[Line]:
        text, data = line.strip(SPACE), line.encode()
        if not text:
            yield from self._next_line(blank=data)
            return
        yield from self._next_line()
        before = len(line) - len(line.lstrip(SPACE))
        judged = self._judge(text, before, lone_surrogate=holds_lone_surrogate(text))
        start, end = judged.id_at
        at = (utf8_size(line, 0, before + start), utf8_size(line, 0, before + end))
        yield self._line(data, judged, at)

    def _long_line(self, line: LongLine) -> Iterator[Line]:
        """A line that was made small."""
        text = line.text.strip(SPACE)
        data = b"".join(line.whole)
        line.whole.clear()
        if not text and not line.problem:
            yield from self._next_line(blank=data, size=line.size)
            return
        yield from self._next_line()
        judged = _Judged([line.problem] if line.problem else [])
        at = (0, 0)
        if not line.problem:
            lone = line.lone_surrogate or holds_lone_surrogate(text)
            judged = self._judge(text, None, lone_surrogate=lone)
            before = len(line.text) - len(line.text.lstrip(SPACE))
            start, end = judged.id_at
            at = (line.byte_at(before + start), line.byte_at(before + end))
        yield self._line(data, judged, at, size=line.size)

    def _next_line(self, *, blank: bytes | None = None, size: int | None = None) -> Iterator[Line]:
        """Step to the next line. Gives the one before, if that is blank and so a problem now."""
        found = self.found
        if self._blank is not None:
            # it is still the current one
            self.found.add(*self._blank.problems)
            yield self._blank
            self._blank = None
        found.line += 1
        if blank is not None:
            self._blank = Line(
                found.line,
                len(blank) if size is None else size,
                blank,
                ("is blank; only the last line may be",),
            )
        if found.line > self._limits.max_records + (blank is not None):
            self._stop(
                f"the file holds more than {self._limits.max_records:,} lines; each record is one "
                "line"
            )
        found.records += blank is None

    def _line(
        self,
        data: bytes,
        judged: "_Judged",
        id_at: tuple[int, int] = (0, 0),
        *,
        size: int | None = None,
    ) -> Line:
        """The current line, whose problems are counted now."""
        self.found.add(*judged.problems)
        number, of_bodies = self.found.line, self.found.of_bodies
        for fault in judged.faults:
            first, count = of_bodies.get(fault, (number, 0))
            of_bodies[fault] = (first, count + 1)
        return Line(
            number,
            len(data) if size is None else size,
            data if self._keep else b"",
            (*judged.problems, *judged.faults),
            id_at,
            judged.record_id,
        )

    def _judge(self, text: str, before: int | None, *, lone_surrogate: bool) -> "_Judged":
        """Find all that is wrong with one line. `before` counts the characters before `text`; None:
        columns mean nothing.
        """
        try:
            record, end = CAREFUL.raw_decode(text)
        except json.JSONDecodeError as error:
            return _Judged([not_json(error, before)])
        except NotANumber:
            return _Judged([f"{NOT_JSON}: NaN and Infinity are not JSON"])
        except RecursionError:
            return _Judged(["nests too deeply"])
        if end != len(text):
            return _Judged(["holds more than one JSON value"])
        if not isinstance(record, OBJECT):
            return _Judged(["is not a JSON object"])
        judged = _Judged([])
        if lone_surrogate:
            judged.problems.append("holds half of a surrogate pair, which is not a character")
        self._judge_record(list(record), judged)
        try:
            self._look_closer(text, judged)
        except RecursionError:
            return _Judged(["nests too deeply"])
        return judged

    def _judge_record(self, found: list[tuple[str, Any]], judged: "_Judged") -> None:
        record = dict(found)
        if len(record) != len(found):
            judged.problems.append("has the same name twice in the record object")
        if not isinstance(record.get("modelInput"), OBJECT):
            judged.problems.append(
                "modelInput is not an object" if "modelInput" in record else "has no modelInput"
            )
        record_id = record.get("recordId")
        if isinstance(record_id, str):
            judged.record_id = record_id
        elif "recordId" in record:
            if not self._keep:
                judged.problems.append("recordId is not a string")
        elif self.found.other_id_name is None:
            self.found.other_id_name = next(
                (name for name in record if _OTHER_ID_NAME.fullmatch(name)), None
            )

    def _look_closer(self, text: str, judged: "_Judged") -> None:
        """The faults of the body, and where the id stands. `text` is a JSON object."""
        rules, body = self._rules, None
        brace = text.index("{") + 1
        judged.id_at = (brace, brace)
        if not rules.mark and not self._keep:
            return
        for name, value, start, end in members(text):
            if name == "recordId":
                judged.id_at = (start, end)
            elif name == "modelInput":
                body = value
        if rules.mark and isinstance(body, dict):
            judged.faults = rules.faults(body, cache=rules.mark in text)

    def _end(self) -> None:
        if self.found.records < self._limits.min_records:
            few = (
                f"the file holds {self.found.records:,} records, fewer than "
                f"{self._limits.min_records:,}"
            )
            self.found.add_of_file(few if self.size_bytes else "the file is empty")

    def _stop(self, text: str) -> NoReturn:
        self.found.add_of_file(text)
        raise _LimitPassed


@dataclass(slots=True)
class _Judged:
    """What one line is. `faults` are those of its body; `id_at` counts characters."""

    problems: list[str]
    faults: list[str] = field(default_factory=list)
    id_at: tuple[int, int] = (0, 0)
    record_id: str | None = None


_OTHER_ID_NAME = re.compile(r"(?:record|custom)?[ _-]?id", re.ASCII | re.IGNORECASE)
