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

The usual record is recognised by two patterns around one call of the C scanner, straight in the
block. The first line that looks different sends the rest of its block the careful way, line by
line, which alone decides what is wrong.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from bbq.shared.blocks import LONG_LINE_BYTES, LineTooLong, LongLine, blocks
from bbq.shared.bodies import Bodies
from bbq.shared.events import Problem
from bbq.shared.file_kinds import HEAD_BYTES, foreign
from bbq.shared.json_text import (
    CAREFUL,
    NOT_JSON,
    OBJECT,
    SCAN,
    SPACE,
    NotANumber,
    holds_lone_surrogate,
    is_plain,
    may_hold_lone_surrogate,
    members,
    not_json,
)

MAX_PROBLEMS = 100
LARGE_BYTES = 3000  # of a record
MAX_SHAPES = 256  # sets of names of bodies that are remembered as good; a file usually has one


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken: records and bytes, both ends included, and bodies (None: of any shape). Of a
    model's job, or, without bodies' ends, of a whole upload.
    """

    min_records: int
    max_records: int
    max_bytes: int
    bodies: Bodies | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Records of the usual form on consecutive lines, `text[:end]`, without the last newline. If
    the text is ASCII, `data` is the same, place by place.

    `ids` says where the value of each one's recordId stands in `text`; it is empty, behind the
    object's brace, for a record that has none.
    """

    text: str
    data: bytes
    end: int
    first: int
    ids: list[tuple[int, int]]

    @property
    def size(self) -> int:
        """Bytes, without the last newline."""
        return utf8_size(self.text, 0, self.end)


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


@dataclass(kw_only=True)
class Findings:
    """What a reader has found so far: small, whatever it read."""

    line: int = 0
    records: int = 0  # lines that are not blank
    # problems of the file; never left out for those of its lines
    whole: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)  # the first ones of its lines
    problem_count: int = 0
    # fault of bodies -> its first line, and how many lines have it
    of_bodies: dict[str, tuple[int, int]] = field(default_factory=dict)
    other_id_name: str | None = None  # a name that was probably meant to be recordId

    def copy(self, *, line: int | None = None, records: int | None = None) -> "Findings":
        """As they are, or were some lines before, if nothing was wrong since."""
        return replace(
            self,
            line=self.line if line is None else line,
            records=self.records if records is None else records,
            whole=[*self.whole],
            problems=[*self.problems],
            of_bodies={**self.of_bodies},
        )

    def problems_of_bodies(self) -> list[Problem]:
        """One for each fault, in the order of their first lines."""
        found = (
            Problem(line=first, text=text + (f"; {count:,} lines have this" if count > 1 else ""))
            for text, (first, count) in self.of_bodies.items()
        )
        return sorted(found, key=lambda problem: problem.line or 0)


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
        self._head = _HEAD_OF_ANY_ID if keep else _HEAD
        self._tail = _TAIL_OF_ANY_ID if keep else _TAIL
        self._long_line_bytes = long_line_bytes
        self._max_line_bytes = max_line_bytes
        # the line just read, if it is blank: a problem only if another line follows
        self._blank: Line | None = None
        self._good_shapes: set[tuple[str, ...]] = set()  # names of bodies without a fault

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
            self._problem_of_file(
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
            self._problem_of_file(
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
            run = self._usual_records(text, data)
            if run.ids:
                start = run.end + 1
                yield run
        if start <= len(text):
            for part in text[start:].split("\n"):
                yield from self._text_line(part)

    def _usual_records(self, text: str, data: bytes) -> Run:
        """Take records of the usual form from the start of a block.

        One scan may run on over the end of a line (newlines are white space to JSON); that ends the
        usual way for this block, so a block is never read more than twice.
        """
        start, size, ids = 0, len(text), list[tuple[int, int]]()
        head_at, tail_at, take = self._head.match, self._tail.match, ids.append
        bodies, good_shapes = self._limits.bodies, self._good_shapes
        mark = bodies.cache_mark if bodies is not None else ""
        first, most = self.found.line + 1, self._limits.max_records - self.found.line
        searched = marked = False
        while start <= size and len(ids) < most:
            head = head_at(text, start)
            if head is None:
                break
            try:
                body, end = SCAN(text, head.end())
            except (ValueError, StopIteration, RecursionError):
                break
            # is it free of cache points and halves of surrogate pairs? Seen by a walk through a
            # large body, and for small ones in the block, which costs less
            plain = end - start >= LARGE_BYTES and is_plain(body, mark)
            if not plain and not searched:
                if may_hold_lone_surrogate(text):
                    break
                searched, marked = True, mark != "" and mark in text
            id_at = head.span(1)
            if text.startswith("}\n", end):
                stop = end + 1
            else:
                tail = tail_at(text, end)
                if tail is None or (tail.start(1) >= 0 and id_at[0] >= 0):
                    break
                stop = tail.end()
                if id_at[0] < 0:
                    id_at = tail.span(1)
            if text.find("\n", start, end) >= 0:
                break
            if bodies is not None:
                cache = marked and not plain and text.find(mark, start, end) >= 0
                if (cache or tuple(body) not in good_shapes) and self._faults(
                    bodies, body, cache=cache
                ):
                    break
            if id_at[0] < 0:
                brace = text.index("{", start) + 1
                id_at = (brace, brace)
            take(id_at)
            start = stop + 1
        self.found.line += len(ids)
        self.found.records += len(ids)
        return Run(text, data, start - 1, first, ids)

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
            self._problem(*self._blank.problems)
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
        self._problem(*judged.problems)
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
        bodies, body = self._limits.bodies, None
        brace = text.index("{") + 1
        judged.id_at = (brace, brace)
        if bodies is None and not self._keep:
            return
        for name, value, start, end in members(text):
            if name == "recordId":
                judged.id_at = (start, end)
            elif name == "modelInput":
                body = value
        if bodies is not None and isinstance(body, dict):
            judged.faults = self._faults(bodies, body, cache=bodies.cache_mark in text)

    def _faults(self, bodies: Bodies, body: dict[str, Any], *, cache: bool) -> list[str]:
        faults = bodies.faults(body)
        if not faults and len(self._good_shapes) < MAX_SHAPES:
            self._good_shapes.add(tuple(body))
        if cache and (fault := bodies.cache_fault(body)):
            faults.append(fault)
        return faults

    def _end(self) -> None:
        if self.found.records < self._limits.min_records:
            few = (
                f"the file holds {self.found.records:,} records, fewer than "
                f"{self._limits.min_records:,}"
            )
            self._problem_of_file(few if self.size_bytes else "the file is empty")

    def _problem(self, *texts: str) -> None:
        found = self.found
        found.problem_count += len(texts)
        if texts and len(found.problems) < MAX_PROBLEMS:
            new = [Problem(line=found.line, text=text) for text in texts]
            found.problems += new[: MAX_PROBLEMS - len(found.problems)]

    def _problem_of_file(self, text: str, line: int | None = None) -> None:
        self.found.problem_count += 1
        self.found.whole.append(Problem(line=line, text=text))

    def _stop(self, text: str) -> NoReturn:
        self._problem_of_file(text)
        raise _LimitPassed


@dataclass(slots=True)
class _Judged:
    """What one line is. `faults` are those of its body; `id_at` counts characters."""

    problems: list[str]
    faults: list[str] = field(default_factory=list)
    id_at: tuple[int, int] = (0, 0)
    record_id: str | None = None


# The usual record: `{"recordId": "...", "modelInput": ` and, behind the object, `}`; or the id
# behind it. Only spaces and tabs in between, never a newline.
def _patterns(value: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    member = rf'"recordId"[ \t]*:[ \t]*({value})[ \t]*'
    return (
        re.compile(rf'[ \t]*\{{[ \t]*(?:{member},[ \t]*)?"modelInput"[ \t]*:[ \t]*(?=\{{)'),
        re.compile(rf"[ \t]*(?:,[ \t]*{member})?\}}[ \t\r]*(?=\n|\Z)"),
    )


# Ids with escapes are left to the careful way, because they are compared. Where they only have to
# be found, that is also done for what json.dumps makes of unicode (but for surrogates), and for
# numbers.
_HEAD, _TAIL = _patterns(r'"[^"\\\x00-\x1f]*"')
_HEAD_OF_ANY_ID, _TAIL_OF_ANY_ID = _patterns(
    r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
    r"|-?(?:0|[1-9][0-9]*)|null"
)

_OTHER_ID_NAME = re.compile(r"(?:record|custom)?[ _-]?id", re.ASCII | re.IGNORECASE)


def utf8_size(text: str, start: int, end: int) -> int:
    """Bytes of `text[start:end]` as UTF-8."""
    return end - start if text.isascii() else len(text[start:end].encode())
