"""The cut: one upload of any size becomes parts for Bedrock jobs, in one streaming pass. Pure: it
reads chunks and writes to a Sink.

Each line is inspected by the one reader (shared/reader.py), gets our own id and goes into a part
(staging.py says what a part holds, plan.py where it ends). Users' ids may be missing, doubled or
any JSON value. Memory does not grow with the file: a block, a long line (MAX_LINE_BYTES at most),
and what is found so far.

`on_invalid = "reject"`: the first line that is not fit ends the writing; the rest is only read, so
that all problems are told. "skip": such lines are kept beside, and only a problem of the file as a
whole rejects it.

An invocation has 15 minutes, and an upload may take more. So before each part the caller may stop
the cut, and gets a State, small enough for a message (some 100 bytes a part), from which another
invocation goes on and writes byte for byte the same. Inside a part there is no stop: the streams of
an S3 multipart upload could not be handed over without their last megabytes. A part is a job's
bytes and MAX_INVALID_BYTES at most, a minute at 30 MB a second; an invocation that dies inside one
begins that part again.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bbq.services.intake.cut_state import Part, Position, State
from bbq.services.intake.plan import MAX_PARTS, Amount, PartLimits, Plan, Split, Unplannable, share
from bbq.services.intake.staging import PartWriter, Range, Sink
from bbq.shared.blocks import LONG_LINE_BYTES
from bbq.shared.bodies import Bodies
from bbq.shared.events import Problem
from bbq.shared.findings import MAX_PROBLEMS, Findings, Limits
from bbq.shared.inspection import Inspection
from bbq.shared.reader import Line, Reader
from bbq.shared.record_ids import LINE_LENGTH, MEMBER, TAG_LENGTH
from bbq.shared.usual import Run, utf8_size

# Of one upload. Above: rejected in words.
MAX_LINES = 20_000_000
MAX_BYTES = 100 * 1000**3
# A line is in memory as a whole, twice for a moment; the largest body of a model is 25 MB
# (InvokeModel, Bedrock API reference).
MAX_LINE_BYTES = 64 * 1024**2
MAX_INVALID_BYTES = 1024**3  # of lines that are skipped, because they lie between two stops

_ID_BYTES = TAG_LENGTH + LINE_LENGTH + 2  # with its quotes
_MEMBER_BYTES = len(MEMBER) - 2 + _ID_BYTES


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for. `tag`: of our ids (record_ids.tag_of). `size_bytes` is the object's."""

    size_bytes: int
    tag: str
    limits: PartLimits
    bodies: Bodies | None = None
    skip_invalid: bool = False


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What became of the upload. Without a problem in `found` it is cut into `parts`, whose records
    `found` counts; else nothing of it is wanted. `invalid` holds the first MAX_RANGES ranges of the
    lines that are skipped.
    """

    found: Inspection
    line_count: int
    parts: tuple[Part, ...] = ()
    invalid: tuple[Range, ...] = ()


def cut(
    read: Callable[[int], Iterable[bytes]],
    order: Order,
    sink: Sink,
    state: State | None = None,
    *,
    go_on: Callable[[], bool] = lambda: True,
    long_line_bytes: int = LONG_LINE_BYTES,
) -> State | Cut:
    """Cut the object whose bytes from an offset on `read` gives, in chunks of any size; it is read
    again from another offset at most once. `go_on` is asked before each part but the first of this
    call: if it says no, a State is returned. Raises only what `read` and the sink raise.
    """
    if order.size_bytes > MAX_BYTES:
        text = f"the file has {order.size_bytes:,} bytes, more than {MAX_BYTES:,}"
        return Cut(
            found=Inspection(
                record_count=0,
                size_bytes=order.size_bytes,
                problems=(Problem(line=None, text=text),),
                problem_count=1,
            ),
            line_count=0,
        )
    cutter = _Cutter(order, sink, state or State(here=Position()), go_on, long_line_bytes)
    while True:
        reader = cutter.reader()
        if (stopped := cutter.cut(reader, read(cutter.here.offset))) is not None:
            return stopped
        if not cutter.goes_back(reader):
            return cutter.result(reader)


class _Cutter:
    """The state of a cut: the parts that are made, and the one that is being written."""

    def __init__(
        self,
        order: Order,
        sink: Sink,
        state: State,
        go_on: Callable[[], bool],
        long_line_bytes: int,
    ) -> None:
        self.here, self._before, self._last = state.here, state.before, state.last
        self._order, self._sink, self._go_on = order, sink, go_on
        self._long_line_bytes = long_line_bytes
        self._parts, self._invalid = [*state.parts], [*state.invalid]
        self._skipped = sum(part.counts.invalid_bytes for part in self._parts)
        self._offset = self.here.offset  # of the next item
        self._split: Split | None = None  # of the part that begins next
        self._fit = self._is_fit(self.here.findings)

    def reader(self) -> Reader:
        """That goes on from here."""
        bodies = self._order.bodies
        return Reader(
            Limits(min_records=1, max_records=MAX_LINES, max_bytes=MAX_BYTES, bodies=bodies),
            self.here.findings.copy(),
            keep=True,
            offset=self.here.offset,
            long_line_bytes=self._long_line_bytes,
            max_line_bytes=MAX_LINE_BYTES,
        )

    def cut(self, reader: Reader, chunks: Iterable[bytes]) -> State | None:
        """Cut until the end. Returns a State if it was stopped."""
        self._offset = self.here.offset
        if self._fit:
            self._begin()
        for item in reader.read(chunks):
            self._look(reader)
            if not self._fit and self._offset == 0:
                self._offset = reader.mark_bytes
            after = self._offset + item.size + 1
            if not self._fit:
                self._offset = after
                if not self._go_on():
                    self.here = Position(offset=after, findings=reader.found)
                    return self._state()
                continue
            try:
                stopped = (
                    self._run(reader.found, item)
                    if isinstance(item, Run)
                    else self._line(reader.found, item)
                )
            except Unplannable as error:
                self._refuse(reader, *error.args)
                self._offset = after
                continue
            if stopped:
                return self._state()
        return None

    def goes_back(self, reader: Reader) -> bool:
        """The file is over. Says whether the last two parts have to share: then it is at the
        beginning of the first of them again.
        """
        self._look(reader)
        if not self._fit:
            return False
        self._end_part(reader.lines)
        if self._last or self._before is None:
            return False
        before, last = self._parts[-2:]
        try:
            self._split = share(before.amount, last.amount, self._order.limits)
        except Unplannable as error:
            self._refuse(reader, *error.args)
        if self._split is not None:
            del self._parts[-2:]
            self._invalid = [one for one in self._invalid if one.first < before.first]
            self._skipped -= before.counts.invalid_bytes + last.counts.invalid_bytes
            self.here, self._before, self._last = self._before, None, True
        return self._split is not None

    def result(self, reader: Reader) -> Cut:
        """What became of it."""
        found = reader.found
        problems, count = found.whole, len(found.whole)
        if not self._order.skip_invalid:
            of_bodies = found.problems_of_bodies()
            count = found.problem_count + len(of_bodies)
            of_lines = heapq.merge(found.problems, of_bodies, key=lambda one: one.line or 0)
            problems = [*problems, *of_lines]
        records = sum(part.records for part in self._parts)
        return Cut(
            found=Inspection(
                record_count=records if self._fit else found.records,
                size_bytes=reader.size_bytes,
                problems=tuple(problems[:MAX_PROBLEMS]),
                problem_count=count,
                warnings=tuple(self._warnings(found)) if self._fit else (),
            ),
            line_count=reader.lines,
            parts=tuple(self._parts) if self._fit else (),
            invalid=tuple(self._invalid) if self._fit else (),
        )

    # What comes from the reader.

    def _run(self, found: Findings, run: Run) -> bool:
        """Put records into parts. Says whether to stop."""
        count, size = len(run.ids), run.size + 1
        records, room = self._plan.room()
        if count <= records and size + count * _MEMBER_BYTES <= room:
            # all of it, without a look at each
            written = self._writer.records(run, slice(0, count), 0, run.end)
            self._plan.amount += Amount(count, size, written, size)
            self._offset += size
            return False
        first = first_at = start = 0  # of the records to be written together
        for index, (id_start, id_end) in enumerate(run.ids):
            end = run.text.find("\n", start, run.end)
            end = end if end >= 0 else run.end
            record = _record(utf8_size(run.text, start, end), utf8_size(run.text, id_start, id_end))
            if self._is_full(record, run.first + index):
                self._write(run, slice(first, index), first_at, start - 1)
                left = count - index
                before = found.copy(line=found.line - left, records=found.records - left)
                if self._next_part(before):
                    return True
                first, first_at = index, start
            self._plan.amount += record
            self._offset += record.read
            start = end + 1
        self._write(run, slice(first, count), first_at, run.end)
        return False

    def _write(self, run: Run, index: slice, start: int, end: int) -> None:
        if index.start < index.stop:
            self._writer.records(run, index, start, end)

    def _line(self, found: Findings, line: Line) -> bool:
        """Put a line into a part, or keep it beside. Says whether to stop."""
        size = line.size + 1
        if line.problems:
            self._skipped += size
            if self._skipped > MAX_INVALID_BYTES:
                raise Unplannable(
                    f"more than {MAX_INVALID_BYTES:,} bytes of the file are lines that are not fit"
                )
            self._writer.not_fit(line)
            self._plan.amount += Amount(passed=size)
        else:
            start, end = line.id_at
            record = _record(line.size, end - start)
            if self._is_full(record, line.number) and self._next_part(
                found.copy(line=found.line - 1, records=found.records - 1)
            ):
                return True
            self._writer.record(line)
            self._plan.amount += record
        self._offset += size
        return False

    def _is_full(self, record: Amount, line: int) -> bool:
        try:
            return self._plan.ends_before(record)
        except Unplannable as error:
            raise Unplannable(*error.args, line) from None

    # Parts.

    def _begin(self) -> None:
        limits, left = self._order.limits, self._order.size_bytes - self.here.offset
        self._plan = Plan(limits, left, self._split, last=self._last and self._split is None)
        self._split = None
        self._writer = PartWriter(self._sink, self._order.tag, len(self._parts) + 1, self._invalid)

    def _end_part(self, last: int) -> None:
        self._writer.end()
        first = self._parts[-1].last + 1 if self._parts else 1
        self._parts.append(
            Part(first=first, last=last, amount=self._plan.amount, counts=self._writer.counts)
        )

    def _next_part(self, found: Findings) -> bool:
        """End the part, and begin the next, unless it is time to stop."""
        if len(self._parts) + 1 == MAX_PARTS:
            raise Unplannable(
                f"the file makes more than {MAX_PARTS:,} jobs: upload it in several files"
            )
        self._end_part(found.line)
        self._before, self.here = self.here, Position(offset=self._offset, findings=found)
        if not self._go_on():
            return True
        self._begin()
        return False

    def _state(self) -> State:
        return State(
            here=self.here,
            before=self._before,
            last=self._last,
            parts=tuple(self._parts),
            invalid=tuple(self._invalid),
        )

    # Fitness.

    def _is_fit(self, found: Findings) -> bool:
        return not found.whole and (
            self._order.skip_invalid or not (found.problem_count or found.of_bodies)
        )

    def _look(self, reader: Reader) -> None:
        if self._fit and not self._is_fit(reader.found):
            self._fit = False
            self._sink.discard()

    def _refuse(self, reader: Reader, text: str, line: int | None = None) -> None:
        reader.found.add_of_file(text, line)
        self._look(reader)

    def _warnings(self, found: Findings) -> Iterator[str]:
        records = sum(part.records for part in self._parts)
        ids = sum(part.counts.ids for part in self._parts)
        strings = sum(part.counts.strings for part in self._parts)
        if found.other_id_name is not None:
            yield (
                f'"{found.other_id_name}" means nothing to Bedrock: the name of a record\'s id is '
                '"recordId"'
            )
        if ids < records:
            yield (
                f"{records - ids:,} of {records:,} records have no recordId: their lines of the "
                "result have none"
            )
        if strings < ids:
            yield (
                f"{ids - strings:,} of {records:,} records have a recordId that is not a string: "
                "the result gives it back as it is"
            )


def _record(size: int, own_id: int) -> Amount:
    """A record whose line has `size` bytes, `own_id` of them the value of its recordId."""
    return Amount(
        1, size + 1, size + 1 + (_ID_BYTES - own_id if own_id else _MEMBER_BYTES), size + 1
    )
