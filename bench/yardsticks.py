"""What a schedule is measured by, and what ours is compared with: the ideal line, the least
possible time, and a poller.

A schedule is a list of spans (begin, end), in seconds since everything was uploaded at once; a job
occupies its slot from the moment Bedrock took it to the moment it ended there. All of this is
arithmetic: no production code, no chance.

The poller is written from the description of the AWS sample that people begin with ("Automate
Amazon Bedrock batch inference", AWS ML blog): every 15 minutes a function reads all active rows,
calls Get for each, works out how many slots of a fixed limit are free, and submits as many of those
that wait. It is given every advantage: its table costs no time, its runs never overlap, it never
fails.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from bench.table import percentile

Span = tuple[float, float]
# of one call; the middle of what the simulation draws (bench/simulated.py)
GET_SECONDS, CREATE_SECONDS = 0.1, 0.4


@dataclass(frozen=True)
class Poller:
    """Wakes at `first`, then every `period` seconds."""

    period: float
    first: float


def ideal(lengths: Sequence[float], slots: int) -> list[Span]:
    """First come, first served, with no delay at all: a slot that is free never stands beside
    somebody who waits.
    """
    free = [0.0] * min(slots, len(lengths))
    spans = []
    for length in lengths:
        begin = heapq.heappop(free)
        spans.append((begin, begin + length))
        heapq.heappush(free, begin + length)
    return spans


def lower_bound(lengths: Sequence[float], slots: int) -> float:
    """No schedule whatever ends sooner: the work must fit into the slots, and the longest job must
    run.
    """
    return max(sum(lengths) / slots, *lengths)


def polled(lengths: Sequence[float], slots: int, poller: Poller) -> list[Span]:
    """What the poller makes of it: one call after another, in the order of upload."""
    spans: list[Span] = []
    waiting, running = deque(lengths), list[float]()
    tick = poller.first
    while waiting:
        now, active = tick, []
        for end in running:
            now += GET_SECONDS
            if end > now:
                active.append(end)
        running = active
        while waiting and len(running) < slots:
            now += CREATE_SECONDS
            spans.append((now, now + waiting.popleft()))
            running.append(spans[-1][1])
        tick += poller.period
        while tick < now:  # the last run was still at it
            tick += poller.period
    return spans


def makespan(spans: Sequence[Span]) -> float:
    """From the upload to the last end."""
    return max(end for _, end in spans)


def refill_gaps(spans: Sequence[Span], slots: int) -> list[float]:
    """How long each slot that became free stood so, in the order they did, while somebody
    waited.
    """
    begins, ends = sorted(begin for begin, _ in spans), sorted(end for _, end in spans)
    return [begin - end for begin, end in zip(begins[slots:], ends, strict=False)]


def utilisation(spans: Sequence[Span], slots: int) -> float:
    """Which share of the slots was in use while jobs waited, from the upload to the last begin. 1
    if none waited.
    """
    until = max(begin for begin, _ in spans)
    return sum(min(end, until) - begin for begin, end in spans) / (slots * until) if until else 1.0


def measures(spans: Sequence[Span], lengths: Sequence[float], slots: int) -> dict[str, Any]:
    """All that is said of a schedule, in seconds and shares. What needs more jobs than slots is
    None where there are not.
    """
    begins = sorted(begin for begin, _ in spans)
    more = len(lengths) > slots
    gaps = refill_gaps(spans, slots)
    return {
        "makespan": makespan(spans),
        "makespan_to_ideal": makespan(spans) / makespan(ideal(lengths, slots)),
        "makespan_to_bound": makespan(spans) / lower_bound(lengths, slots),
        "utilisation": utilisation(spans, slots) if more else None,
        "mean_wait": sum(begins) / len(begins),
        "first_job": begins[0],
        "gap_mean": fmean(gaps) if more else None,
        "gap_p50": percentile(gaps, 50) if more else None,
        "gap_p99": percentile(gaps, 99) if more else None,
    }


def occupancy(spans: Sequence[Span]) -> list[tuple[float, int]]:
    """How many slots are in use, from each moment on at which that changes."""
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    steps, in_use = [(0.0, 0)], 0
    for (at, change), (following, _) in pairwise([*changes, (float("inf"), 0)]):
        in_use += change
        if following > at and in_use != steps[-1][1]:
            steps.append((at, in_use))
    return steps
