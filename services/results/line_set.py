"""A set of line numbers, kept as ranges: what a slice holds, which lines failed, what runs again.
Pure.

24 bytes a range and none a line: all lines of a part are one range, and the few that failed are a
few. As text it is `1-99,102,105-107`.
"""

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator


class LineSet:
    """Frozen. Ranges ascend and do not touch; `len` counts lines."""

    __slots__ = ("_before", "_count", "_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """Of ranges (first, last) in ascending order of `first`; those that touch become one."""
        firsts, lasts, before = array("Q"), array("Q"), array("Q")
        count = 0
        for first, last in ranges:
            if lasts and first <= lasts[-1] + 1:
                if first < firsts[-1]:
                    raise ValueError("ranges do not ascend")
                count += max(0, last - lasts[-1])
                lasts[-1] = max(last, lasts[-1])
            elif first <= last:
                firsts.append(first)
                lasts.append(last)
                before.append(count)
                count += last - first + 1
        self._firsts, self._lasts, self._before, self._count = firsts, lasts, before, count

    @classmethod
    def of(cls, lines: Iterable[int]) -> "LineSet":
        """Of lines in ascending order."""
        return cls((line, line) for line in lines)

    @classmethod
    def union(cls, many: Iterable["LineSet"]) -> "LineSet":
        """All lines that are in any of them."""
        return cls(heapq.merge(*(each.ranges() for each in many)))

    @classmethod
    def from_text(cls, text: str) -> "LineSet":
        """What `str` wrote."""
        pairs = (part.partition("-") for part in text.split(",") if part)
        return cls((int(first), int(last or first)) for first, _, last in pairs)

    def __str__(self) -> str:
        return ",".join(
            str(first) if first == last else f"{first}-{last}" for first, last in self.ranges()
        )

    def __repr__(self) -> str:
        return f"LineSet.from_text({str(self)!r})"

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __contains__(self, line: int) -> bool:
        return self.position(line) is not None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LineSet)
            and self._firsts == other._firsts
            and self._lasts == other._lasts
        )

    def __hash__(self) -> int:
        return hash((self._firsts.tobytes(), self._lasts.tobytes()))

    def __or__(self, other: "LineSet") -> "LineSet":
        return self._combined(other, lambda mine, others: mine or others)

    def __and__(self, other: "LineSet") -> "LineSet":
        return self._combined(other, lambda mine, others: mine and others)

    def __sub__(self, other: "LineSet") -> "LineSet":
        return self._combined(other, lambda mine, others: mine and not others)

    @property
    def first(self) -> int:
        """The lowest line. Raises IndexError if there is none."""
        return self._firsts[0]

    @property
    def last(self) -> int:
        """The highest line. Raises IndexError if there is none."""
        return self._lasts[-1]

    def ranges(self) -> Iterator[tuple[int, int]]:
        """(first, last), both included."""
        return zip(self._firsts, self._lasts, strict=True)

    def position(self, line: int) -> int | None:
        """How many lines of the set stand before this one; None if it is not in the set."""
        at = bisect_right(self._firsts, line) - 1
        if at < 0 or line > self._lasts[at]:
            return None
        return self._before[at] + line - self._firsts[at]

    def _combined(self, other: "LineSet", keep: Callable[[bool, bool], bool]) -> "LineSet":
        return LineSet(_kept(self, other, keep))


def _kept(
    one: LineSet, other: LineSet, keep: Callable[[bool, bool], bool]
) -> Iterator[tuple[int, int]]:
    """Sweep over the places where either set begins or ends."""
    inside, since = [False, False], None
    for at, which in heapq.merge(_edges(one, 0), _edges(other, 1)):
        inside[which] = not inside[which]
        kept = keep(*inside)
        if kept and since is None:
            since = at
        elif not kept and since is not None:
            yield since, at - 1
            since = None


def _edges(lines: LineSet, which: int) -> Iterator[tuple[int, int]]:
    for first, last in lines.ranges():
        yield first, which
        yield last + 1, which
