"""Assemble: the result of an upload, line by line in the order of its input. Pure; S3 is behind
`Objects`.

A line of `result.jsonl`:

    {"line": 17, "recordId": …, "status": "succeeded", "modelOutput": …}
    {"line": 18, "status": "failed", "error": {"code": 400, "message": "…"}, "modelInput": …}

`recordId` is the user's own, any JSON value, if there was one; `modelInput` is there if `echo` was
set. These values are copied as they stood. A line of `failures.jsonl` is the line of the input, as
the user wrote it, of a record whose status is not `succeeded`.

One call makes the lines a..b of both, in one pass, and holds none of them longer than it must: a
result of many parts is one S3 multipart upload, whose parts are made side by side (`ranges`). What
is written depends on nothing but the arguments and the objects named in them, so that a second
delivery writes the same bytes.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bbq.services.results import answers, output, staged
from bbq.services.results.answers import LETTERS, Settled
from bbq.services.results.objects import Objects, Write
from bbq.services.results.statuses import Status, replaces

# S3 user guide, "Amazon S3 multipart upload limits": but for the last one.
MIN_UPLOAD_PART_BYTES = 5 * 1024**2
_MIN_LINE_BYTES = len(b'{"line": 1, "status": "failed", "error": {}}\n')
_WRITE_BYTES = 1024**2


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """What becomes of a record that is transient or missing when nothing runs again: `failed` or
    `not_run`. `note` is added to its error: why it does not.
    """

    status: Status
    note: str = ""


FAILED = Leftover(status=Status.FAILED)
TOO_FEW = Leftover(status=Status.FAILED, note="fewer than the minimum; bbq retry")
CANCELLED = Leftover(status=Status.NOT_RUN, note="the upload was cancelled")
_WITHOUT_ANSWER = "Bedrock wrote no line for this record"


@dataclass(frozen=True, kw_only=True)
class Work:
    """Lines `first` to `last` of an upload, both included. `parts` cover them and ascend; `slices`
    are all that ran, in the order in which they were bought: the parts, then mends and retries.
    """

    first: int
    last: int
    parts: Sequence[staged.Part]
    slices: Sequence[Settled]
    leftover: Leftover = FAILED
    echo: bool = False


def assemble(objects: Objects, work: Work, result: Write, failures: Write) -> Mapping[Status, int]:
    """Write these lines of both files. Returns the counts by status, which add up to the lines.
    Raises Missing and StagedEnds (see there), ValueError if the parts do not cover the lines.
    """
    counts: Counter[Status] = Counter()
    line = work.first  # the next one
    with ExitStack() as stack, _Held(result) as to_result, _Held(failures) as to_failures:
        slices = [
            (one, stack.enter_context(closing(answers.Reader(objects, one))))
            for one in work.slices
            if one.lines
        ]
        for part in work.parts:
            if part.first <= line <= part.last and line <= work.last:
                last = min(part.last, work.last)
                its = [
                    reader
                    for one, reader in slices
                    if one.lines.first <= last and one.lines.last >= line
                ]
                with closing(staged.Reader(objects, part)) as reader:
                    for number in range(line, last + 1):
                        status, row = _row(number, reader, its, work)
                        counts[status] += 1
                        to_result.add(row)
                        if status is not Status.SUCCEEDED:
                            to_failures.add(reader.users_line(number))
                line = last + 1
    if line != work.last + 1:
        raise ValueError(f"line {line} is in no part")
    return dict(counts)


def _row(
    line: int, reader: staged.Reader, slices: Iterable[answers.Reader], work: Work
) -> tuple[Status, bytes]:
    reason = reader.reason(line)
    own_id = b"" if reason is not None else reader.own_id(line)
    if reason is not None:
        status, member, value = Status.INVALID, "error", _error("Invalid", reason)
    else:
        status, member, value = _outcome(line, slices, work.leftover)
    echoed = b""
    if work.echo and reason is None:
        record = output.read(reader.record(line))
        if record is None:
            raise ValueError(f"line {line} was staged, and is not JSON")
        echoed = b', "modelInput": ' + record.raw("modelInput")
    own_id = b'"recordId": %b, ' % own_id if own_id else b""
    start = b'{"line": %d, %b"status": "%b", "%b": ' % (
        line,
        own_id,
        status.encode(),
        member.encode(),
    )
    return status, b"".join((start, value, echoed, b"}"))


def _outcome(
    line: int, slices: Iterable[answers.Reader], leftover: Leftover
) -> tuple[Status, str, bytes]:
    """Of a record: its status, and under which name of the result its value stands."""
    status, member, value = Status.MISSING, "error", b""
    for one in slices:
        found = one.at(line)
        if found is not None:
            later, its = LETTERS[found[0]]
            if replaces(later, status):
                status, member, value = later, its, found[1]
    if status is Status.MISSING:
        note = f"; {leftover.note}" if leftover.note else ""
        return leftover.status, "error", _error("NoAnswer", _WITHOUT_ANSWER + note)
    if status is Status.TRANSIENT:
        return leftover.status, "error", _noted(value, leftover.note)
    return status, member, value


def _error(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}, ensure_ascii=False).encode()


def _noted(error: bytes, note: str) -> bytes:
    """The error with a note behind its message, which is the last thing in it."""
    if not note:
        return error
    return error.removesuffix(b'"}') + b"; %b" % json.dumps(note)[1:].encode() + b"}"


class _Held:
    """Lines on their way to a file, in pieces of about a megabyte."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._rows: list[bytes] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._rows:
            self._write(b"".join(self._rows))

    def add(self, row: bytes) -> None:
        """A line, without its newline."""
        self._rows += (row, b"\n")
        self._size += len(row) + 1
        if self._size >= _WRITE_BYTES:
            rows, self._rows, self._size = self._rows, [], 0
            self._write(b"".join(rows))


def ranges(parts: Sequence[staged.Part], slices: Sequence[Settled]) -> list[tuple[int, int]]:
    """How a result is shared among calls: (first, last) of neighbouring parts, so that each makes
    at least what S3 takes as a part of a multipart upload, whatever mends add; the last one may
    make less. `slices`: the parts' own, in their order.
    """
    found: list[tuple[int, int]] = []
    first, size = None, 0
    for part, settled in zip(parts, slices, strict=True):
        first = part.first if first is None else first
        # what succeeded stays in the result, whatever is bought later
        size += (part.last - part.first + 1) * _MIN_LINE_BYTES + settled.succeeded_bytes
        if size >= MIN_UPLOAD_PART_BYTES:
            found.append((first, part.last))
            first, size = None, 0
    if first is not None:
        found.append((first, parts[-1].last))
    return found
