"""Inspection: whether a file can run as a Bedrock batch job, found out in one pass over its bytes.

Pure, and bounded whatever it is fed: memory by one block, one long line made small and the record
ids; time by the limits on lines and bytes. Verdicts do not depend on how the bytes were cut into
chunks. What a line may be, the one reader of inputs says (reader.py); here, ids are compared as
well: each is a string of its own, if there is one. What runs, but is probably not meant, is a
warning.
"""

import hashlib
import heapq
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bbq.shared.blocks import LONG_LINE_BYTES
from bbq.shared.events import Problem
from bbq.shared.findings import MAX_PROBLEMS, Findings, Limits
from bbq.shared.reader import Reader
from bbq.shared.usual import Run

__all__ = ["MAX_PROBLEMS", "Inspection", "Limits", "inspect"]

ID_BUCKETS = 256
# characters; below LONG_STRING / 6, so that a digest stands for the same ids however they are
# escaped
LONGEST_ID_KEPT = 40


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
    reader, ids = Reader(limits, long_line_bytes=long_line_bytes), _Ids()
    add = ids.add
    for item in reader.read(chunks):
        if isinstance(item, Run):
            text = item.text
            for line, (start, end) in enumerate(item.ids, item.first):
                if start != end:
                    add(text[start + 1 : end - 1], line)
        elif item.record_id is not None:
            add(item.record_id, item.number)
    return _result(reader.found, ids, reader.size_bytes)


def _result(found: Findings, ids: "_Ids", size_bytes: int) -> Inspection:
    """Problems of the file first, then those of its lines in their order."""
    repeated = [
        Problem(line=line, text=f"recordId is the same as on line {first}")
        for line, first in ids.first_repeats()
    ]
    of_bodies = found.problems_of_bodies()
    of_lines = heapq.merge(
        found.problems, repeated, of_bodies, key=lambda problem: problem.line or 0
    )
    return Inspection(
        record_count=found.records,
        size_bytes=size_bytes,
        problems=(*found.whole, *of_lines)[:MAX_PROBLEMS],
        problem_count=found.problem_count + ids.repeats + len(of_bodies),
        warnings=tuple(_warnings(found, ids.count)),
    )


def _warnings(found: Findings, id_count: int) -> Iterator[str]:
    if found.other_id_name is not None:
        yield (
            f'"{found.other_id_name}" means nothing to Bedrock: the name of a record\'s id is '
            '"recordId"'
        )
    if missing := found.records - id_count:
        yield (
            f"{missing:,} of {found.records:,} records have no recordId: Bedrock gives their "
            "answers ids of its own"
        )


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


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
