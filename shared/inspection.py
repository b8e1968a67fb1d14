"""Inspection: whether an upload can run as a Bedrock batch job, found out in one pass over its
bytes.

Pure, and bounded whatever it is fed: memory by one block, one long line made small and the record
ids; time by the limits on lines and bytes. Verdicts do not depend on how the bytes were cut into
chunks.

The one reader of inputs: intake, `bbq submit` and the Bedrock simulator all use it, so that they
cannot disagree.

A record is one line with one JSON object: `modelInput` an object, `recordId` a string of its own if
there is one (Bedrock user guide, "Format and upload your batch data"). Tolerated, because JSON or
common tools allow it: CRLF, white space around a record, no newline at the end, one blank line at
the end. Refused although JSON's grammar allows it, because readers differ in what they make of it:
a byte order mark at the start, a name twice in the record object (which one would Bedrock take?),
and half of a surrogate pair, which cannot be written as UTF-8, so models refuse it. A name twice
further down is the model's business. Lines end at "\\n" only: text may hold U+2028 and the like.

What a file of another kind is, file_kinds.py says, as one problem of the file. What is wrong with a
body, bodies.py says; such a fault is usually in every record, so it is one problem, at its first
line, with the number of the others. What runs, but is probably not meant, is a warning.

A problem says where and which rule, never what: record content stays out of events and logs, and so
do ids.

The usual record is recognised by two patterns around one call of the C scanner, straight in the
block. The first line that looks different sends the rest of its block the careful way, line by
line, which alone decides what is wrong.
"""

import codecs
import hashlib
import heapq
import json
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from bbq.shared.blocks import LONG_LINE_BYTES, LongLine, blocks
from bbq.shared.bodies import CACHE_MARK, Bodies
from bbq.shared.events import Problem
from bbq.shared.file_kinds import HEAD_BYTES, foreign
from bbq.shared.json_text import (
    CAREFUL,
    FAST,
    NOT_JSON,
    OBJECT,
    SPACE,
    NotANumber,
    holds_lone_surrogate,
    may_hold_lone_surrogate,
    not_json,
)

MAX_PROBLEMS = 100
ID_BUCKETS = 256
MAX_SHAPES = 256  # sets of names of bodies that are remembered as good; a file usually has one
# characters; below LONG_STRING / 6, so that a digest stands for the same ids however they are
# escaped
LONGEST_ID_KEPT = 40


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a model takes in one job: records and bytes, both ends included, and bodies (None: of
    any shape).
    """

    min_records: int
    max_records: int
    max_bytes: int
    bodies: Bodies | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found. Counts stop where the inspection stopped, at the first limit passed. Fit
    means: no problem. A warning is a sentence about a file that is fit all the same.
    """

    record_count: int
    size_bytes: int
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    warnings: tuple[str, ...] = ()


def inspect(
    chunks: Iterable[bytes], limits: Limits, *, long_line_bytes: int = LONG_LINE_BYTES
) -> Inspection:
    """Read chunks of any size until their end or the first limit passed. Raises only what `chunks`
    raises.
    """
    inspector = _Inspector(limits)
    try:
        for block in blocks(inspector.opened(chunks), long_line_bytes):
            if isinstance(block, LongLine):
                inspector.long_line(block)
            else:
                inspector.block(block)
        inspector.end()
    except _LimitPassed:
        pass
    return inspector.result()


class _LimitPassed(Exception):
    """Nothing that follows can make the upload fit."""


class _Inspector:
    """The state of one pass: where we are, which ids were seen, what was found."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._line = 0
        self._blank = False  # whether the line just read is: a problem only if another line follows
        self._ids = _Ids()
        self.records = 0
        self.size_bytes = 0
        # problems of the file; never left out for those of its lines
        self.whole: list[Problem] = []
        self.problems: list[Problem] = []  # the first ones of its lines, but for repeated ids
        self.problem_count = 0
        self._good_shapes: set[tuple[str, ...]] = set()  # names of bodies without a fault
        # fault -> its first line, and how many lines have it
        self._of_bodies: dict[str, list[int]] = {}
        self._other_id_name: str | None = None  # a name that was probably meant to be recordId

    def opened(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, counted, without the byte order mark; first of all the head, whole, however
        it arrived.
        """
        head: bytes | None = b""
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
            self._problem_of_file(
                "the file begins with a byte order mark: save it as UTF-8 without one"
            )
        return head.removeprefix(codecs.BOM_UTF8)

    def block(self, data: bytes) -> None:
        """Whole lines, without the last newline."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            for line in data.split(b"\n"):
                self._bytes_line(line)
            return
        start = 0 if self._blank or may_hold_lone_surrogate(text) else self._usual_records(text)
        if start <= len(text):
            for part in text[start:].split("\n"):
                self._careful_line(part)

    def long_line(self, line: "LongLine") -> None:
        """A line that was made small."""
        text = line.text.strip(SPACE)
        self._next_line(blank=not text and not line.problem)
        if line.problem:
            self._problem(line.problem)
        elif text:
            self._judge(
                text, before=None, lone_surrogate=line.lone_surrogate or holds_lone_surrogate(text)
            )

    def end(self) -> None:
        if self.records < self._limits.min_records:
            few = (
                f"the file holds {self.records:,} records, fewer than {self._limits.min_records:,}"
            )
            self._problem_of_file(few if self.size_bytes else "the file is empty")

    def result(self) -> Inspection:
        """What was found, problems of the file first, then those of its lines in their order."""
        repeated = [
            Problem(line=line, text=f"recordId is the same as on line {first}")
            for line, first in self._ids.first_repeats()
        ]
        of_bodies = sorted(
            (
                Problem(
                    line=first, text=text + (f"; {count:,} lines have this" if count > 1 else "")
                )
                for text, (first, count) in self._of_bodies.items()
            ),
            key=lambda problem: problem.line or 0,
        )
        of_lines = heapq.merge(
            self.problems, repeated, of_bodies, key=lambda problem: problem.line or 0
        )
        return Inspection(
            record_count=self.records,
            size_bytes=self.size_bytes,
            problems=(*self.whole, *of_lines)[:MAX_PROBLEMS],
            problem_count=self.problem_count + self._ids.repeats + len(of_bodies),
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[str]:
        if self._other_id_name is not None:
            yield (
                f'"{self._other_id_name}" means nothing to Bedrock: the name of a record\'s id is '
                '"recordId"'
            )
        if missing := self.records - self._ids.count:
            yield (
                f"{missing:,} of {self.records:,} records have no recordId: Bedrock gives their "
                "answers ids of its own"
            )

    def _usual_records(self, text: str) -> int:
        """Take records of the usual form from the start of a block. Returns where the first other
        line begins.

        One scan may run on over the end of a line (newlines are white space to JSON); that ends the
        usual way for this block, so a block is never read more than twice.
        """
        start, size, most, add_id = 0, len(text), self._limits.max_records, self._ids.add
        head_at, tail_at, scan = _HEAD.match, _TAIL.match, FAST.raw_decode
        line, records, bodies, good_shapes = (
            self._line,
            self.records,
            self._limits.bodies,
            self._good_shapes,
        )
        cache = bodies is not None and CACHE_MARK in text
        while start <= size and line < most:
            head = head_at(text, start)
            if head is None:
                break
            try:
                body, end = scan(text, head.end())
            except (ValueError, RecursionError):
                break
            tail = tail_at(text, end)
            if tail is None or text.find("\n", start, end) >= 0:
                break
            record_id = head[1]
            if record_id is None:
                record_id = tail[1]
            elif tail[1] is not None:
                break
            line += 1
            if record_id is not None:
                add_id(record_id, line)
            if bodies is not None and (cache or tuple(body) not in good_shapes):
                self._judge_body(
                    bodies, body, line, cache=cache and text.find(CACHE_MARK, start, end) >= 0
                )
            records += 1
            start = tail.end() + 1
        self._line, self.records = line, records
        return start

    def _bytes_line(self, data: bytes) -> None:
        try:
            self._careful_line(data.decode())
        except UnicodeDecodeError as error:
            self._next_line(blank=False)
            self._problem(f"is not UTF-8 at byte {error.start + 1}")

    def _careful_line(self, line: str) -> None:
        text = line.strip(SPACE)
        self._next_line(blank=not text)
        if text:
            before = len(line) - len(line.lstrip(SPACE))
            self._judge(text, before=before, lone_surrogate=holds_lone_surrogate(text))

    def _next_line(self, *, blank: bool) -> None:
        if self._blank:
            # the line before, which is still the current one
            self._problem("is blank; only the last line may be")
        self._line += 1
        self._blank = blank
        if self._line > self._limits.max_records + blank:
            self._stop(
                f"the file holds more than {self._limits.max_records:,} lines; each record is one "
                "line"
            )
        self.records += not blank

    def _judge(self, text: str, *, before: int | None, lone_surrogate: bool) -> None:
        """Find all that is wrong with one line. `before` counts the characters before `text`; None:
        columns mean nothing.
        """
        try:
            record, end = CAREFUL.raw_decode(text)
        except json.JSONDecodeError as error:
            return self._problem(not_json(error, before))
        except NotANumber:
            return self._problem(f"{NOT_JSON}: NaN and Infinity are not JSON")
        except RecursionError:
            return self._problem("nests too deeply")
        if end != len(text):
            return self._problem("holds more than one JSON value")
        if not isinstance(record, OBJECT):
            return self._problem("is not a JSON object")
        if lone_surrogate:
            self._problem("holds half of a surrogate pair, which is not a character")
        self._judge_record(list(record))
        bodies = self._limits.bodies
        if bodies is not None and isinstance(body := FAST.decode(text).get("modelInput"), dict):
            self._judge_body(bodies, body, self._line, cache=CACHE_MARK in text)
        return None

    def _judge_body(self, bodies: Bodies, body: dict[str, Any], line: int, *, cache: bool) -> None:
        faults = bodies.faults(body)
        if not faults and len(self._good_shapes) < MAX_SHAPES:
            self._good_shapes.add(tuple(body))
        if cache and (fault := bodies.cache_fault(body)):
            faults.append(fault)
        for fault in faults:
            self._of_bodies.setdefault(fault, [line, 0])[1] += 1

    def _judge_record(self, members: list[tuple[str, Any]]) -> None:
        record = dict(members)
        if len(record) != len(members):
            self._problem("has the same name twice in the record object")
        if not isinstance(record.get("modelInput"), OBJECT):
            self._problem(
                "modelInput is not an object" if "modelInput" in record else "has no modelInput"
            )
        record_id = record.get("recordId")
        if isinstance(record_id, str):
            self._ids.add(record_id, self._line)
        elif "recordId" in record:
            self._problem("recordId is not a string")
        elif self._other_id_name is None:
            self._other_id_name = next(
                (name for name in record if _OTHER_ID_NAME.fullmatch(name)), None
            )

    def _problem(self, text: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line=self._line, text=text))

    def _problem_of_file(self, text: str) -> None:
        self.problem_count += 1
        self.whole.append(Problem(line=None, text=text))

    def _stop(self, text: str) -> NoReturn:
        self._problem_of_file(text)
        raise _LimitPassed


class _Ids:
    """The recordIds by a keyed hash of 64 bits, with their lines: 16 bytes each, compared at the
    end, bucket by bucket.
    """

    def __init__(self) -> None:
        self._buckets = [(array("q"), array("Q")) for _ in range(ID_BUCKETS)]
        self.count = self.repeats = 0

    def add(self, record_id: str, line: int) -> None:
        value = hash(record_id if len(record_id) <= LONGEST_ID_KEPT else _digest(record_id))
        hashes, lines = self._buckets[value % ID_BUCKETS]
        hashes.append(value)
        lines.append(line)
        self.count += 1

    def first_repeats(self) -> list[tuple[int, int]]:
        """(line, first line) of the first ids that were there before. `repeats` then counts them
        all.
        """
        return heapq.nsmallest(MAX_PROBLEMS, self._all_repeats())

    def _all_repeats(self) -> Iterator[tuple[int, int]]:
        for hashes, lines in self._buckets:
            seen: dict[int, int] = {}
            for value, line in zip(hashes, lines, strict=True):
                first = seen.setdefault(value, line)
                if first != line:
                    self.repeats += 1
                    yield line, first


# The usual record: `{"recordId": "...", "modelInput": ` and, behind the object, `}`; or the id
# behind it. Ids with escapes are left to the careful way. Only spaces and tabs in between, never a
# newline.
_ID = r'"recordId"[ \t]*:[ \t]*"([^"\\\x00-\x1f]*)"[ \t]*'
_HEAD = re.compile(rf'[ \t]*\{{[ \t]*(?:{_ID},[ \t]*)?"modelInput"[ \t]*:[ \t]*(?=\{{)')
_TAIL = re.compile(rf"[ \t]*(?:,[ \t]*{_ID})?\}}[ \t\r]*(?=\n|\Z)")

_OTHER_ID_NAME = re.compile(r"(?:record|custom)?[ _-]?id", re.ASCII | re.IGNORECASE)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
