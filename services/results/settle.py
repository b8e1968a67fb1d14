"""Settle: what became of each record of an ended job. Pure but for its scratch file; S3 is behind
`Objects`.

Each `.out` is read once, as a stream, in any order of files and lines. Ids of nobody (pads too) and
lines that are not JSON are counted and passed over; what no line answers is `missing`. The lines
are the truth: a manifest may lack or lie, and is not read here.

If several lines answer one record, the better status counts (statuses.RANK), and of equal ones the
value whose bytes sort first: so the same set of lines gives the same answers in whatever order they
stand, and who settles twice writes the same bytes.

Of each slice two objects are written, also if nothing was answered: its answers (answers.py), and
last what `Settled.to_json` says of them.

Memory: 12 bytes a record, 20 while an answers file is written, and thrice the longest line. Values
wait for their turn in a scratch file of at most MAX_SCRATCH_BYTES.
"""

import json
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bbq.services.results import output, statuses
from bbq.services.results.answers import LETTERS, Settled
from bbq.services.results.line_set import LineSet
from bbq.services.results.objects import Objects, lines
from bbq.services.results.statuses import RANK, Status, Tokens
from bbq.shared.record_ids import LINE_LENGTH, TAG_LENGTH, line_of

# A line holds the input beside the answer. The largest body is 25 MB (InvokeModel, Bedrock API
# reference). What is cut there is no JSON, so its record is missing.
MAX_LINE_BYTES = 64 * 1024**2
# Lambda's /tmp has 10,240 MB at most (Lambda developer guide, "Configure ephemeral storage"); some
# are left for what assembles beside it.
MAX_SCRATCH_BYTES = 8 * 1024**3
MAX_MESSAGES = 100  # different errors of a slice that are told
MAX_MESSAGE_LENGTH = 500  # characters
INDEX_BYTES = 8 * 1024**2  # between two places of an answers file that are known
_WRITE_BYTES = 1024**2

_LETTER_OF = {meaning: letter for letter, meaning in LETTERS.items()}
_CODES = "".join(LETTERS)  # a letter's place + 1, in three bits; 0: a hole
_NO_ANSWER = b'{"code": "NoAnswer", "message": "Bedrock wrote neither an answer nor an error"}'


class ScratchFull(Exception):
    """The answers of one job do not fit on the disk: MAX_SCRATCH_BYTES."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Records of one upload that ran in this job: the tag of their ids, their lines in the upload,
    and where what became of them is written.
    """

    tag: str
    lines: LineSet
    answers_key: str
    settled_key: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """What was found in the output of a job; slices in the order in which they were given. `lines`
    that were read, without blank ones; of them `not_json`, `strange` (ids of nobody, also of pads)
    and `doubled` (of a record that had a line already).
    """

    slices: Sequence[Settled]
    lines: int
    not_json: int
    strange: int
    doubled: int


def is_output(key: str) -> bool:
    """Whether an object of a job's output folder holds answers. Beside them lie the manifest
    (recorded) and perhaps objects with which permissions were tried.
    """
    return key.endswith(".jsonl.out")


def settle(objects: Objects, keys: Iterable[str], slices: Sequence[Slice], scratch: Path) -> Job:
    """Settle a job: `keys` are all objects of its output folder, `scratch` a folder on disk.
    Raises Missing if one is gone, ScratchFull.
    """
    by_tag = {one.tag: one for one in slices}
    if len(by_tag) != len(slices):
        raise ValueError("two slices of a job have the same tag")
    with closing(_Scratch(scratch)) as values:
        answers = {tag: _Answers(one.lines, values) for tag, one in by_tag.items()}
        read = not_json = strange = 0
        for line in _all_lines(objects, keys):
            read += 1
            record = output.read(line)
            if record is None:
                not_json += 1
                continue
            record_id = record.value("recordId")
            its = answers.get(record_id[:TAG_LENGTH]) if _may_be_ours(record_id) else None
            if its is None or not its.take(line_of(record_id, record_id[:TAG_LENGTH]), record):
                strange += 1
        settled = [_write(objects, one, answers[one.tag]) for one in slices]
        doubled = sum(each.doubled for each in answers.values())
    return Job(slices=settled, lines=read, not_json=not_json, strange=strange, doubled=doubled)


def _all_lines(objects: Objects, keys: Iterable[str]) -> Iterator[bytes]:
    for key in sorted({key for key in keys if is_output(key)}):
        with objects.read(key) as chunks:
            yield from (line for line in lines(chunks, MAX_LINE_BYTES) if line.strip())


def _may_be_ours(record_id: Any) -> bool:
    return isinstance(record_id, str) and len(record_id) == TAG_LENGTH + LINE_LENGTH


class _Scratch:
    """Values, one after another, in a file without a name: it is gone however the process ends."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=_WRITE_BYTES)  # noqa: SIM115 - closed by close()
        self._size = self._flushed = 0

    def close(self) -> None:
        """Close what it has opened."""
        self._file.close()

    def add(self, value: bytes) -> int:
        """Where it begins."""
        start = self._size
        if start + len(value) > MAX_SCRATCH_BYTES:
            raise ScratchFull(f"the answers have more than {MAX_SCRATCH_BYTES:,} bytes")
        self._file.write(value)
        self._size += len(value)
        return start

    def read(self, start: int, length: int) -> bytes:
        """A value that was added."""
        if start + length > self._flushed:
            self._file.flush()
            self._flushed = self._size
        parts: list[bytes] = []
        while length:
            part = os.pread(self._file.fileno(), length, start)
            if not part:
                raise OSError("the scratch file is shorter than what was written")
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one line of output says of a record."""

    letter: str
    value: bytes
    tokens: Tokens
    known: bool


def _found(record: output.Record) -> _Found:
    error = record.value("error")
    if error is not None:
        meaning = statuses.error(error)
        letter = _LETTER_OF[meaning.status, "error"]
        return _Found(
            letter, _error_value(record.raw("error"), error, meaning), Tokens(), known=True
        )
    answered = record.value("modelOutput")
    if answered is None:
        return _Found(_LETTER_OF[Status.TRANSIENT, "error"], _NO_ANSWER, Tokens(), known=True)
    answer = statuses.answer(answered)
    letter = _LETTER_OF[answer.status, "modelOutput"]
    return _Found(letter, record.raw("modelOutput"), answer.tokens, answer.known)


def _error_value(raw: bytes, error: Any, meaning: statuses.Error) -> bytes:
    """`{"code", "message"}`, both as they stand. An error without them is its own message."""
    members = output.read(raw) if isinstance(error, dict) else None
    code, message = b'"Unknown"', raw if isinstance(error, str) else _quoted(raw)
    if members and meaning.code_name:
        code = members.raw(meaning.code_name)
    if members and meaning.message_name:
        text = members.raw(meaning.message_name)
        message = text if text.startswith(b'"') else _quoted(text)
    return b'{"code": %b, "message": %b}' % (code, message)


def _quoted(raw: bytes) -> bytes:
    return json.dumps(raw.decode(), ensure_ascii=False).encode()


class _Answers:
    """The best answer of each record of a slice: where its value is, and 3 bits of what it is."""

    def __init__(self, its_lines: LineSet, values: _Scratch) -> None:
        self._lines = its_lines
        self._values = values
        self._starts = array("Q", bytes(8 * len(its_lines)))
        self._words = array("I", bytes(4 * len(its_lines)))  # length * 8 + code
        self.tokens = Tokens()
        self.unknown_shapes = self.doubled = 0

    def take(self, line: int | None, record: output.Record) -> bool:
        """One line of the output. Says whether it is of this slice."""
        place = self._lines.position(line) if line is not None else None
        if place is None:
            return False
        found = _found(record)
        if self._words[place]:
            self.doubled += 1
            before = self._at(place)
            if _order(before) <= _order((found.letter, found.value)):
                return True
            self._take_back(*before)
        self._starts[place] = self._values.add(found.value)
        self._words[place] = len(found.value) << 3 | (_CODES.index(found.letter) + 1)
        self.tokens += found.tokens
        self.unknown_shapes += not found.known
        return True

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        """(line, letter, value), by line; no letter for a hole."""
        for place, line in enumerate(self._lines):
            yield line, *(self._at(place) if self._words[place] else ("", b""))

    def _at(self, place: int) -> tuple[str, bytes]:
        word = self._words[place]
        return _CODES[(word & 7) - 1], self._values.read(self._starts[place], word >> 3)

    def _take_back(self, letter: str, value: bytes) -> None:
        """What was counted for an answer that a better one replaces."""
        if LETTERS[letter][1] == "modelOutput":
            record = output.read(b'{"modelOutput":%b}' % value)
            if record is None:
                raise ValueError("an answer in the scratch file is not what was written")
            answer = statuses.answer(record.value("modelOutput"))
            self.tokens -= answer.tokens
            self.unknown_shapes -= not answer.known


def _order(found: tuple[str, bytes]) -> tuple[int, int, bytes]:
    """Which of two answers to one record counts: the smaller."""
    letter, value = found
    return RANK[LETTERS[letter][0]], _CODES.index(letter), value


def _write(objects: Objects, one: Slice, answers: _Answers) -> Settled:
    """Write both objects of a slice. Twice writes the same."""
    numbers: dict[Status, array[int]] = {
        status: array("Q") for status in RANK if status is not Status.SUCCEEDED
    }
    errors: Counter[tuple[str, str]] = Counter()
    marks: list[tuple[int, int]] = []
    left_out = succeeded_bytes = size = 0
    held: list[bytes] = []
    held_bytes = 0
    with objects.write(one.answers_key) as write:
        for line, letter, value in answers:
            status, member = LETTERS[letter] if letter else (Status.MISSING, "")
            if status is Status.SUCCEEDED:
                succeeded_bytes += len(value)
            else:
                numbers[status].append(line)
            if member == "error":
                told = _told(value)
                if told in errors or len(errors) < MAX_MESSAGES:
                    errors[told] += 1
                else:
                    left_out += 1
            if not letter:
                continue
            if not marks or size >= marks[-1][1] + INDEX_BYTES:
                marks.append((line, size))
            row = b"%d %b %b\n" % (line, letter.encode(), value)
            held.append(row)
            held_bytes += len(row)
            size += len(row)
            if held_bytes >= _WRITE_BYTES:
                write(b"".join(held))
                held, held_bytes = [], 0
        if held:
            write(b"".join(held))
    settled = Settled(
        lines=one.lines,
        by_status={status: its for status in numbers if (its := LineSet.of(numbers[status]))},
        tokens=answers.tokens,
        errors=[
            (code, message, count)
            for (code, message), count in sorted(
                errors.items(), key=lambda item: (-item[1], item[0])
            )
        ],
        errors_left_out=left_out,
        unknown_shapes=answers.unknown_shapes,
        answers_key=one.answers_key,
        marks=marks,
        succeeded_bytes=succeeded_bytes,
    )
    with objects.write(one.settled_key) as write:
        write(settled.to_json())
    return settled


def _told(value: bytes) -> tuple[str, str]:
    """An error as people read it: (code, message). A long one is cut, with a sign."""
    record = output.read(value)
    if record is None:
        raise ValueError("an error in the scratch file is not what was written")
    return _short(str(record.value("code"))), _short(record.value("message") or "…")


def _short(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_LENGTH else text[: MAX_MESSAGE_LENGTH - 1] + "…"
