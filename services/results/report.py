"""`report.json`: one upload in numbers. Pure: the same facts make the same bytes.

Written last; no word of a prompt or an answer is in it, only Bedrock's messages of errors.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bbq.services.results.answers import Settled
from bbq.services.results.line_set import LineSet
from bbq.services.results.statuses import Status, Tokens

MAX_ERRORS = 100  # different ones that are told
_STATUSES = tuple(status for status in Status if status not in {Status.TRANSIENT, Status.MISSING})


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """A job of the upload; of a pack, the records that are the upload's. `pads`: records that were
    added to reach the minimum. `arn`: None if Bedrock never had it.
    """

    job: str
    arn: str | None
    status: str
    records: int
    pads: int


@dataclass(frozen=True, kw_only=True)
class Bought:
    """Lines that ran in one job; `why` they ran again, empty the first time. Of a job that
    processed nothing: no lines.
    """

    lines: LineSet
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a report says. Checksums and ETags are S3's own; times are texts in UTC, None if
    there was none; `cost` is None if a price is unknown.
    """

    upload: str
    key: str
    version_id: str | None
    lines: int
    bytes: int
    counts: Mapping[Status, int]
    jobs: Sequence[JobFacts]
    bought: Sequence[Bought]
    slices: Sequence[Settled]  # of all rounds, for tokens and errors
    cost: float | None
    currency: str | None
    input_etag: str
    input_checksum: str | None
    result_checksum: str | None
    uploaded: str
    first_job: str | None
    last_job: str | None
    finished: str


def report(facts: Facts) -> bytes:
    """The file. Raises ValueError if the counts do not add up to the lines."""
    if sum(facts.counts.values()) != facts.lines:
        raise ValueError(f"the counts are not those of {facts.lines} lines: {facts.counts}")
    errors, left_out = error_counts(facts.slices)
    content: dict[str, Any] = {
        "upload": facts.upload,
        "key": facts.key,
        "version_id": facts.version_id,
        "lines": facts.lines,
        "bytes": facts.bytes,
        "counts": {status: facts.counts.get(status, 0) for status in _STATUSES},
        "errors": [
            {"code": code, "message": message, "count": count} for code, message, count in errors
        ],
        "errors_left_out": left_out,
        "jobs": [asdict(one) for one in facts.jobs],
        "bought_again": bought_again(facts.bought),
        "tokens": asdict(sum((one.tokens for one in facts.slices), Tokens())),
        "cost": facts.cost,
        "currency": facts.currency,
        "input": {"etag": facts.input_etag, "checksum": facts.input_checksum},
        "result": {"checksum": facts.result_checksum},
        "times": {
            "uploaded": facts.uploaded,
            "first_job": facts.first_job,
            "last_job": facts.last_job,
            "finished": facts.finished,
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="replace") + b"\n"


def error_counts(slices: Sequence[Settled]) -> tuple[list[tuple[str, str, int]], int]:
    """(code, message, count) of the errors of all jobs, also of records that ran again and then
    succeeded; the most frequent first. And how many are not among them.
    """
    counts: dict[tuple[str, str], int] = {}
    for one in slices:
        for code, message, count in one.errors:
            counts[code, message] = counts.get((code, message), 0) + count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    left_out = sum(one.errors_left_out for one in slices)
    left_out += sum(count for _, count in ordered[MAX_ERRORS:])
    return [(code, message, count) for (code, message), count in ordered[:MAX_ERRORS]], left_out


def bought_again(bought: Sequence[Bought]) -> list[dict[str, Any]]:
    """Lines that were bought more than once: `{lines: [[first, last], …], times, why: […]}`, by how
    often and why. `bought` stands in the order of buying.
    """
    found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    edges = heapq.merge(*(_edges(one.lines, index) for index, one in enumerate(bought)))
    running: set[int] = set()
    since = 0
    for at, index in edges:
        if len(running) > 1 and at > since:
            found.setdefault(tuple(sorted(running)), []).append((since, at - 1))
        running ^= {index}
        since = at
    by_reason: dict[tuple[int, tuple[str, ...]], list[LineSet]] = {}
    for indices, its in found.items():
        why = tuple(dict.fromkeys(bought[index].why for index in indices if bought[index].why))
        by_reason.setdefault((len(indices), why), []).append(LineSet(its))
    return [
        {"lines": [[*one] for one in LineSet.union(its).ranges()], "times": times, "why": [*why]}
        for (times, why), its in sorted(by_reason.items())
    ]


def _edges(lines: LineSet, index: int) -> Iterator[tuple[int, int]]:
    for first, last in lines.ranges():
        yield first, index
        yield last + 1, index
