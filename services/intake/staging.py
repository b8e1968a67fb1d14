"""What is staged of an upload: the parts' records with our ids, and beside them all that a result
needs when the user's object is gone. Pure: it writes to a Sink.

A part has up to four streams, each of lines that end with "\\n"; one without content is never
written to.

- RECORDS: the input of a Bedrock job. Each fit line as it was, but for the value of its recordId,
  which is ours (shared/record_ids.py).
- IDS: line k is the raw JSON text of the user's own recordId of record k, empty if it had none.
  Empty lines at the end are left out, so a part without ids has no such stream.
- INVALID: the lines that are not fit, as they were, in their order (`on_invalid = "skip"`).
- REASONS: line by line `[first, last, "what is wrong"]`, in JSON, for each range of lines that are
  not fit for the same reason. The lines of these ranges, one after another, are those of INVALID.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bbq.shared.reader import Line
from bbq.shared.record_ids import MEMBER, quoted_ids
from bbq.shared.usual import Run

_MEMBER = MEMBER.format
MAX_RANGES = 100  # that are told without reading REASONS


class Stream(StrEnum):
    """What a part is made of."""

    RECORDS = "records"
    IDS = "ids"
    INVALID = "invalid"
    REASONS = "reasons"


class Sink(Protocol):
    """Where parts are written, one after another. In S3 each stream is a multipart upload, of
    pieces of 5 MB or more but for the last (S3 user guide, "Multipart upload limits"), begun by its
    first write. Nothing may be visible before the whole upload is found fit, and the caller then
    completes it. What is raised here rises.
    """

    def begin(self, part: int) -> None:
        """What was written of this part (from 1) and of later ones, if anything, is void."""

    def write(self, stream: Stream, data: bytes) -> None:
        """More of a stream of the part that was begun last: up to a block, or a long line."""

    def end(self) -> None:
        """The part is complete."""

    def discard(self) -> None:
        """The upload is not fit: nothing that was written is wanted, and no more is."""


@dataclass(frozen=True, slots=True)
class Range:
    """Lines that are not fit for the same reason, both ends included."""

    first: int
    last: int
    reason: str


@dataclass(slots=True)
class Counts:
    """Of the records of a part: how many had an id, and one that is a string; and of its lines that
    are not fit.
    """

    ids: int = 0
    strings: int = 0
    invalid: int = 0
    invalid_bytes: int = 0


@dataclass
class PartWriter:
    """Writes one part. `invalid` holds the first ranges of the upload, and is added to."""

    sink: Sink
    tag: str
    number: int
    invalid: list[Range]
    counts: Counts = field(default_factory=Counts)
    _owed: int = 0  # empty lines of IDS, written when an id follows
    _range: Range | None = None

    def __post_init__(self) -> None:
        self.sink.begin(self.number)

    def records(self, run: Run, index: slice, start: int, end: int) -> int:
        """Write records `run.ids[index]`, which stand in `run.text[start:end]`; how many bytes."""
        ids, done = run.ids[index], start
        ours = quoted_ids(self.tag, run.first + index.start, len(ids))
        if run.text.isascii():
            # a slice of a view copies nothing; what is joined is copied once
            view, parts = memoryview(run.data), list[bytes | memoryview]()
            for (begin, stop), mine in zip(ids, ours, strict=True):
                parts += (
                    view[done:begin],
                    (mine if begin < stop else _MEMBER(mine)).encode(),
                )
                done = stop
            parts += (view[done:end], b"\n")
            data = b"".join(parts)
        else:
            texts = list[str]()
            for (begin, stop), mine in zip(ids, ours, strict=True):
                texts += (run.text[done:begin], mine if begin < stop else _MEMBER(mine))
                done = stop
            texts += (run.text[done:end], "\n")
            data = "".join(texts).encode()
        self.sink.write(Stream.RECORDS, data)
        self._keep_ids([run.text[begin:stop] for begin, stop in ids])
        return len(data)

    def record(self, line: Line) -> int:
        """Write a record that was read the careful way; how many bytes."""
        (mine,) = quoted_ids(self.tag, line.number, 1)
        start, end = line.id_at
        view = memoryview(line.data)
        new = mine if start < end else _MEMBER(mine)
        data = b"".join((view[:start], new.encode(), view[end:], b"\n"))
        self.sink.write(Stream.RECORDS, data)
        self._keep_ids([line.data[start:end].decode()])
        return len(data)

    def not_fit(self, line: Line) -> None:
        """Keep a line that is not fit."""
        self.sink.write(Stream.INVALID, line.data + b"\n")
        self.counts.invalid += 1
        self.counts.invalid_bytes += line.size + 1
        reason, before = "; ".join(line.problems), self._range
        if before and before.last == line.number - 1 and before.reason == reason:
            self._range = Range(before.first, line.number, reason)
        else:
            self._end_range()
            self._range = Range(line.number, line.number, reason)

    def end(self) -> None:
        """The part is complete."""
        self._end_range()
        self.sink.end()

    def _end_range(self) -> None:
        if found := self._range:
            text = json.dumps([found.first, found.last, found.reason], ensure_ascii=False)
            self.sink.write(Stream.REASONS, f"{text}\n".encode())
            if len(self.invalid) < MAX_RANGES:
                self.invalid.append(found)
        self._range = None

    def _keep_ids(self, ids: Sequence[str]) -> None:
        joined = "\n".join(ids)  # no JSON value holds a newline that stands on one line
        kept = joined.rstrip("\n")
        if not kept:
            self._owed += len(ids)
            return
        self.sink.write(Stream.IDS, ("\n" * self._owed + kept + "\n").encode())
        self._owed = len(joined) - len(kept)
        self.counts.ids += len(ids) - ids.count("")
        self.counts.strings += joined.startswith('"') + joined.count('\n"')
