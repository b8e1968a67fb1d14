"""What intake staged of a part, read beside its answers: the records with our ids, the users' own
ids, and the lines that are not fit. Pure; S3 is behind `Objects`.

Of each part up to four objects of lines, each named by a key, None if there is none (it would be
empty):

- records: the fit lines as they were, but for the value of their recordId, which is ours
  (shared/record_ids.py).
- ids: line k is the raw JSON text of the user's own id of record k, empty if it had none; empty
  lines at the end are left out.
- invalid: the lines that are not fit, as they were.
- reasons: `[first, last, "what is wrong"]`, in JSON, for ranges of these, ascending.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice

from bbq.services.results.line_set import LineSet
from bbq.services.results.objects import Objects, Write, lines
from bbq.shared.record_ids import give_back, record_id

_WRITE_BYTES = 1024**2


@dataclass(frozen=True, kw_only=True)
class Part:
    """A range of an upload's lines, both ends included, and what was staged of it. `tag`: of the
    ids of its records.
    """

    first: int
    last: int
    tag: str
    records_key: str | None
    ids_key: str | None = None
    invalid_key: str | None = None
    reasons_key: str | None = None


class StagedEnds(Exception):
    """A staged object has fewer lines than its part says."""


class Reader:
    """A part, for lines that ascend. Nothing is opened before it is needed. Raises Missing,
    StagedEnds.
    """

    def __init__(self, objects: Objects, part: Part) -> None:
        self.part = part
        self._stack = ExitStack()
        self._records = _Stream(objects, part.records_key, self._stack)
        self._ids = _Stream(objects, part.ids_key, self._stack)
        self._invalid = _Stream(objects, part.invalid_key, self._stack)
        self._reasons = _Stream(objects, part.reasons_key, self._stack)
        self._invalid_before = 0  # lines of ranges that are over
        self._first, self._last, self._reason = self._next_range()

    def close(self) -> None:
        """Close what it has opened."""
        self._stack.close()

    def reason(self, line: int) -> str | None:
        """Why this line is not fit; None if it is."""
        while line > self._last:
            self._invalid_before += self._last - self._first + 1
            self._first, self._last, self._reason = self._next_range()
        return self._reason if line >= self._first else None

    def own_id(self, line: int) -> bytes:
        """The raw JSON text of the user's id of a fit line; empty if it had none."""
        return self._ids.at(self._record(line)) or b""

    def record(self, line: int) -> bytes:
        """A fit line as it was staged."""
        found = self._records.at(self._record(line))
        if found is None:
            raise StagedEnds(f"the records of the part end before line {line}")
        return found

    def users_line(self, line: int) -> bytes:
        """Any line, as the user wrote it."""
        if self.reason(line) is None:
            staged = self.record(line)
            return give_back(staged, record_id(self.part.tag, line), self.own_id(line))
        found = self._invalid.at(self._invalid_before + line - self._first)
        if found is None:
            raise StagedEnds(f"the invalid lines of the part end before line {line}")
        return found

    def _record(self, line: int) -> int:
        """Which record of the part a fit line is, from 0."""
        if self.reason(line) is not None:
            raise ValueError(f"line {line} is no record")
        return line - self.part.first - self._invalid_before

    def _next_range(self) -> tuple[int, int, str]:
        row = self._reasons.next()
        if row is None:
            behind = self.part.last + 1
            return behind, behind, ""
        first, last, reason = json.loads(row)
        return first, last, reason


class _Stream:
    """The lines of one object, by their place from 0, ascending; the same one again is no step
    back.
    """

    def __init__(self, objects: Objects, key: str | None, stack: ExitStack) -> None:
        self._objects, self._key, self._stack = objects, key, stack
        self._lines: Iterator[bytes] | None = None
        self._place = -1  # of what was read last
        self._line: bytes | None = None

    def next(self) -> bytes | None:
        """The next line; None at the end."""
        return self.at(self._place + 1)

    def at(self, place: int) -> bytes | None:
        """This line; None behind the end."""
        if place < self._place:
            raise ValueError("a stream is only read forwards")
        if self._key is None:
            return None
        if self._lines is None:
            self._lines = lines(self._stack.enter_context(self._objects.read(self._key)))
        if place > self._place:
            self._line = next(islice(self._lines, place - self._place - 1, None), None)
            self._place = place
        return self._line


def pick(objects: Objects, parts: Sequence[Part], chosen: LineSet, write: Write) -> int:
    """Write the staged records of these lines, ascending: the input of a slice that runs again,
    with the ids that they had. Returns its bytes. Raises ValueError if a line is no record of a
    part.
    """
    wanted = iter(chosen)
    line = next(wanted, None)
    held: list[bytes] = []
    held_bytes = size = 0
    for part in parts:
        if line is None or line > part.last:
            continue
        with closing(Reader(objects, part)) as reader:
            while line is not None and line <= part.last:
                if line < part.first:
                    raise ValueError(f"line {line} is in no part")
                row = reader.record(line) + b"\n"
                held.append(row)
                held_bytes += len(row)
                size += len(row)
                if held_bytes >= _WRITE_BYTES:
                    write(b"".join(held))
                    held, held_bytes = [], 0
                line = next(wanted, None)
    if line is not None:
        raise ValueError(f"line {line} is in no part")
    if held:
        write(b"".join(held))
    return size
