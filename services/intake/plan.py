"""Where one upload is cut into parts, decided while it streams by. Pure.

A part has the model's records and bytes at most, and its minimum of records at least. Parts are
about equal: full ones and a crumb take as many slots, and the full ones' time. What is known before
is the upload's size; how many records it has, and how much longer our ids make it, the stream
shows. So each part is first filled halfway; then what it held tells how many parts are left, and
the part gets its share of the bytes left. A record limit may end it earlier.

When the file ends, the last part may be a crumb. Then the last two share what they hold: the cut
goes back to the beginning of the part before (`share`), which is at most one part's bytes again.

Not every file can be divided: 60 records of 20 MB are too large for one job of 1 GB and too few for
two of 100 records. Such a file is refused, in words.
"""

from dataclasses import dataclass

MAX_PARTS = 1000
# A file that seems to need 1 % of a part more than a whole number of them gets that number: it is
# an estimate, and ids that grow with the line number alone make it too large by so much. Where it
# was right, the last two share.
TOLERANCE = 100


@dataclass(frozen=True, kw_only=True)
class PartLimits:
    """What a model takes in one job; bytes count newlines."""

    min_records: int
    max_records: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Amount:
    """Of an upload or a part: its records, the bytes of their lines, what these become with our
    ids, and the bytes of all lines, also of invalid ones.
    """

    records: int = 0
    read: int = 0
    written: int = 0
    passed: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.records + other.records,
            self.read + other.read,
            self.written + other.written,
            self.passed + other.passed,
        )

    @property
    def size(self) -> int:
        """What counts against a limit of bytes. Both do: what is read bounds the time and what is
        kept beside.
        """
        return max(self.read, self.written)


@dataclass(frozen=True)
class Split:
    """How the last two parts share: the first ends when it has `least` records and `written` bytes,
    or `most` records.
    """

    least: int
    most: int
    written: int


class Unplannable(Exception):
    """The upload cannot be divided into parts. The message says why, for the uploader."""


class Plan:
    """The part that is being filled. `left` is what the upload has, in bytes, from its beginning
    on; `last` says that it takes all that comes.
    """

    def __init__(
        self, limits: PartLimits, left: int, split: Split | None = None, *, last: bool = False
    ) -> None:
        self.amount = Amount()
        self._limits = limits
        self._left = left
        self._split = split
        self._last = last
        self._goal: int | None = None  # bytes passed

    def ends_before(self, record: Amount) -> bool:
        """Whether the part ends before this record. Raises Unplannable."""
        limits, held = self._limits, self.amount
        after = held + record
        if after.records > limits.max_records or after.size > limits.max_bytes:
            if held.records < limits.min_records or record.size > limits.max_bytes:
                raise Unplannable(self._refusal(record))
            return True
        if self._last:
            return False
        if split := self._split:
            return held.records >= split.most or (
                held.records >= split.least and held.written >= split.written
            )
        if self._goal is None and is_half_full(held, limits):
            self._goal = goal(held, self._left, limits)
        return (
            self._goal is not None
            and held.passed >= self._goal
            and held.records >= limits.min_records
        )

    def room(self) -> tuple[int, int]:
        """(records, bytes) that surely fit before anything has to be decided."""
        limits, held = self._limits, self.amount
        records, size = limits.max_records - held.records, limits.max_bytes - held.size
        if self._last:
            return records, size
        if split := self._split:
            return min(records, split.most - held.records), min(size, split.written - held.written)
        if self._goal is None:
            return (
                limits.max_records // 2 - held.records,
                limits.max_bytes // 2 - held.size,
            )
        return records, min(size, self._goal - held.passed)

    def _refusal(self, record: Amount) -> str:
        limits = self._limits
        if record.size > limits.max_bytes:
            return f"is larger than {limits.max_bytes:,} bytes"
        return (
            f"cannot be put into a job: a job takes {limits.min_records:,} to "
            f"{limits.max_records:,} records of {limits.max_bytes:,} bytes at most together, "
            "and the records around this line cannot be divided so"
        )


def is_half_full(held: Amount, limits: PartLimits) -> bool:
    """Whether a part is full enough to tell its share: a share is at least half of a limit."""
    return 2 * held.records >= limits.max_records or 2 * held.size >= limits.max_bytes


def goal(held: Amount, left: int, limits: PartLimits) -> int:
    """After how many bytes a part should end that is half full, of `left` bytes from its beginning
    on. Assumes that what follows is as what it holds.
    """
    scale = held.passed
    by_records = _ceil(
        TOLERANCE * held.records * left - scale * limits.max_records,
        TOLERANCE * scale * limits.max_records,
    )
    by_size = _ceil(held.size * left, scale * limits.max_bytes)
    return _ceil(left, max(by_records, by_size, 1))


def share(before: Amount, last: Amount, limits: PartLimits) -> Split | None:
    """How the last two parts should share what they hold, if they should. `most` is all if they fit
    into one.

    They must if the last is below the minimum. They should if it is less than half of the one
    before, and then only if that is sure to work. Raises Unplannable.
    """
    both = before + last
    crumb = last.records < limits.min_records
    small = 2 * last.records < before.records and 2 * last.size < before.size
    if not crumb and not (small and both.size <= limits.max_bytes):
        return None
    if both.records <= limits.max_records and both.size <= limits.max_bytes:
        return Split(both.records, both.records, both.written)
    least = max(limits.min_records, both.records - limits.max_records)
    most = min(limits.max_records, both.records - limits.min_records)
    if least > most:
        if not crumb:
            return None
        raise Unplannable(
            f"the last {both.records:,} records cannot be divided into jobs of "
            f"{limits.min_records:,} to {limits.max_records:,} records"
        )
    return Split(least, most, _ceil(both.written, 2))


def _ceil(number: int, by: int) -> int:
    return -(-number // by)
