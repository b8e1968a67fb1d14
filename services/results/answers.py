"""The answers of a slice, as settle leaves them in S3 and assemble reads them.

One line each, in the order of the upload's lines, with holes:

    17 s {"id":"msg_1","content":…}

the line's number, a letter (LETTERS), and the value as Bedrock wrote it: `modelOutput`, or
`{"code": …, "message": …}` with both as they stood in its `error`. Beside it lies `Settled`, as
JSON.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from bbq.services.results.line_set import LineSet
from bbq.services.results.objects import Objects, lines
from bbq.services.results.statuses import Status, Tokens

# Of an answers file: letter -> status, and the member of the result that holds the value.
LETTERS: Mapping[str, tuple[Status, str]] = {
    "s": (Status.SUCCEEDED, "modelOutput"),
    "t": (Status.TRUNCATED, "modelOutput"),
    "w": (Status.WITHHELD, "modelOutput"),
    "b": (Status.WITHHELD, "error"),  # blocked: there is no answer
    "f": (Status.FAILED, "error"),
    "r": (Status.TRANSIENT, "error"),  # to be run again
}


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of a slice. `by_status`: the lines of each status, `missing` too, without those
    that succeeded; `errors`: (code, message, count), the most frequent first; `marks`: (line, byte
    of the answers file where it begins), ascending.
    """

    lines: LineSet
    by_status: Mapping[Status, LineSet]
    tokens: Tokens
    errors: Sequence[tuple[str, str, int]]
    errors_left_out: int  # records whose error is not among these
    unknown_shapes: int
    answers_key: str
    marks: Sequence[tuple[int, int]]
    succeeded_bytes: int  # of the values; what is surely in a result

    @property
    def counts(self) -> dict[Status, int]:
        """By status; they add up to the lines. Without zeros."""
        found = {status: len(its) for status, its in self.by_status.items() if its}
        succeeded = len(self.lines) - sum(found.values())
        return {Status.SUCCEEDED: succeeded, **found} if succeeded else found

    def to_json(self) -> bytes:
        """The same bytes for the same content."""
        content = {
            "lines": str(self.lines),
            "by_status": {status: str(its) for status, its in sorted(self.by_status.items())},
            "tokens": [
                self.tokens.input,
                self.tokens.output,
                self.tokens.cache_read,
                self.tokens.cache_write,
            ],
            "errors": self.errors,
            "errors_left_out": self.errors_left_out,
            "unknown_shapes": self.unknown_shapes,
            "answers_key": self.answers_key,
            "marks": self.marks,
            "succeeded_bytes": self.succeeded_bytes,
        }
        return json.dumps(content).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Settled":
        """What `to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        return cls(
            lines=LineSet.from_text(raw["lines"]),
            by_status={
                Status(status): LineSet.from_text(its) for status, its in raw["by_status"].items()
            },
            tokens=Tokens(*raw["tokens"]),
            errors=[(code, message, count) for code, message, count in raw["errors"]],
            errors_left_out=raw["errors_left_out"],
            unknown_shapes=raw["unknown_shapes"],
            answers_key=raw["answers_key"],
            marks=[(line, at) for line, at in raw["marks"]],
            succeeded_bytes=raw["succeeded_bytes"],
        )


class Reader:
    """The answers of one slice for lines that ascend. Opened when the first of its lines is asked
    for, where that line may be, and closed behind its last.
    """

    def __init__(self, objects: Objects, settled: Settled) -> None:
        self._objects, self._settled = objects, settled
        its = settled.lines
        self._first, self._last = (its.first, its.last) if its else (1, 0)
        self._stack = ExitStack()
        self._rows: Iterator[bytes] | None = None
        self._line, self._letter, self._value = 0, "", b""  # of the row that was read last

    def close(self) -> None:
        """Close what it has opened."""
        self._stack.close()

    def at(self, line: int) -> tuple[str, bytes] | None:
        """(letter, value) of this line; None if the slice has none for it. Raises Missing."""
        if not self._first <= line <= self._last:
            if line > self._last:
                self._stack.close()
            return None
        if self._rows is None:
            self._rows = self._open(line)
        while self._line < line:
            row = next(self._rows, None)
            if row is None:
                self._last = 0
                self._stack.close()
                return None
            number, letter, self._value = row.split(b" ", 2)
            self._line, self._letter = int(number), letter.decode()
        return (self._letter, self._value) if self._line == line else None

    def _open(self, line: int) -> Iterator[bytes]:
        marks = self._settled.marks
        at = bisect_right(marks, line, key=itemgetter(0))
        start = marks[at - 1][1] if at else 0
        key = self._settled.answers_key
        return lines(self._stack.enter_context(self._objects.read(key, start)))
