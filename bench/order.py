"""First come, first served, against `order = "largest-first"`: how much sooner a finite batch is
done, and what the bound is worth.

A batch is what somebody uploads at once and waits for as a whole. Its jobs have lognormal lengths
(median 1 h, sigma 0.7); how much the number of records says of the length is the correlation of the
two logarithms. The queue knows the records only. Makespans are compared with the lower bound, which
no order can beat. Ours is the production code in simulation, one run a cell; beside it stand many
seeds of the same order without any delay, for what is chance.

The rule has a bound: nobody is overtaken by a job that was uploaded later than 24 h after his
(`shared/models.py`). The second part shows it: more large jobs than the slots can do, for days, and
one small one among them.
"""

import math
import os
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bbq.shared.models import FIFO, LARGEST_FIRST, LARGEST_FIRST_WINDOW
from bench.scheduling import HOUR, MEDIAN_SECONDS, SHORTEST_SECONDS, SIGMA
from bench.simulated import MAX_RECORDS, Burst
from bench.table import Table, percentile, rounded, target
from bench.yardsticks import ideal, lower_bound, makespan

CORRELATIONS = (1.0, 0.8, 0.5)
MEDIAN_RECORDS, RECORDS_SIGMA = 30.0, 1.0
BATCHES = ((10, 100), (20, 300), (20, 1000), (100, 1000))  # slots, jobs
BATCHES_QUICK = ((3, 12),)
SEEDS, SEEDS_QUICK = 200, 20
MAKESPAN_AT_MOST = 1.02
ENOUGH = 10  # jobs for each slot, from which on the target is meant
# 1.25 times as many as the slots can do
STREAM_SLOTS, STREAM_JOB_SECONDS, STREAM_EVERY_SECONDS = 2, HOUR, 0.4 * HOUR
STREAM_HOURS, SMALL_AT_HOURS = 72, 10

Batch = tuple[list[float], list[int]]  # lengths in seconds, numbers of records


def run(*, quick: bool) -> dict[str, Any]:
    """Batches under both orders, then the endless stream."""
    batches, seeds = (BATCHES_QUICK, SEEDS_QUICK) if quick else (BATCHES, SEEDS)
    tasks = [
        (slots, jobs, order, correlation)
        for slots, jobs in batches
        for order, correlation in _orders()
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        waited = pool.submit(starved)
        ratios = dict(zip(tasks, pool.map(measured, tasks), strict=True))
        stream = waited.result()
    found = [
        {
            "slots": slots,
            "jobs": jobs,
            "order": order,
            "correlation": correlation,
            "makespan_to_bound": ratios[slots, jobs, order, correlation],
            "without_delay": without_delay(slots, jobs, order, correlation, seeds),
        }
        for slots, jobs, order, correlation in tasks
    ]
    return {"seeds": seeds, "batches": found, "stream": stream, "targets": targets(found, stream)}


def measured(task: tuple[int, int, str, float | None]) -> float:
    """Ours: the makespan of one batch to its lower bound."""
    slots, jobs, order, correlation = task
    lengths, records = batch(jobs, correlation, 0)
    spans = Burst(f"{slots}/{jobs}/{order}/{correlation}", slots, order).run(lengths, records)
    return makespan(spans) / lower_bound(lengths, slots)


def without_delay(
    slots: int, jobs: int, order: str, correlation: float | None, seeds: int
) -> dict[str, float]:
    """The same order, served by the ideal line: median and 99th percentile over many batches."""
    ratios = []
    for seed in range(seeds):
        lengths, records = batch(jobs, correlation, seed)
        line = (
            sorted(range(jobs), key=lambda number: -records[number])
            if order == LARGEST_FIRST
            else range(jobs)
        )
        ratios.append(
            makespan(ideal([lengths[number] for number in line], slots))
            / lower_bound(lengths, slots)
        )
    return {f"p{percent}": percentile(ratios, percent) for percent in (50, 99)}


def batch(jobs: int, correlation: float | None, seed: int) -> Batch:
    """The lengths are the same for every correlation; None where the records do not matter."""
    chance = random.Random(f"{jobs}/{seed}")
    along = [chance.gauss(0, 1) for _ in range(jobs)]
    lengths = [max(SHORTEST_SECONDS, MEDIAN_SECONDS * math.exp(SIGMA * one)) for one in along]
    share = 1.0 if correlation is None else correlation
    drawn = [share * one + math.sqrt(1 - share**2) * chance.gauss(0, 1) for one in along]
    records = [
        min(MAX_RECORDS, max(1, round(MEDIAN_RECORDS * math.exp(RECORDS_SIGMA * one))))
        for one in drawn
    ]
    return lengths, records


def starved() -> dict[str, float]:
    """One small job among large ones without end: how long it waits, and by whom it is
    overtaken.
    """
    deployment = Burst("stream", STREAM_SLOTS, LARGEST_FIRST)
    deployment.began = deployment.kernel.time
    large = int(STREAM_HOURS * HOUR / STREAM_EVERY_SECONDS)
    uploaded = [number * STREAM_EVERY_SECONDS for number in range(large)]
    for number, at in enumerate(uploaded):
        deployment.put(number, STREAM_JOB_SECONDS, MAX_RECORDS, after=at)
    small_at = SMALL_AT_HOURS * HOUR + 1
    deployment.put(large, STREAM_JOB_SECONDS, 1, after=small_at)
    spans = deployment.finish()
    names = [upload.key for upload in deployment.uploads]
    begins = {
        int(name.rpartition("/")[2].partition(".")[0]): begin
        for name, (begin, _) in zip(names, spans, strict=True)
    }
    overtaking = [
        at - small_at
        for number, at in enumerate(uploaded)
        if at > small_at and begins[number] < begins[large]
    ]
    return {
        "slots": STREAM_SLOTS,
        "large_jobs_to_capacity": STREAM_JOB_SECONDS / STREAM_EVERY_SECONDS / STREAM_SLOTS,
        "hours": STREAM_HOURS,
        "bound_hours": LARGEST_FIRST_WINDOW.total_seconds() / HOUR,
        "small_job_waited_hours": (begins[large] - small_at) / HOUR,
        "overtaken_by": len(overtaking),
        "latest_upload_that_overtook_hours": max(overtaking) / HOUR,
        "large_jobs_that_came_after_it": sum(at > small_at for at in uploaded),
    }


def targets(found: Sequence[dict[str, Any]], stream: dict[str, float]) -> list[dict[str, Any]]:
    """Of the batches with enough jobs, the worst; and the bound."""
    sized = [
        one for one in found if one["correlation"] == 1.0 and one["jobs"] >= ENOUGH * one["slots"]
    ]
    worst = max((one["makespan_to_bound"] for one in sized), default=math.nan)
    return [
        target(
            f"makespan to the lower bound, largest first, correlation 1, {ENOUGH} or more jobs a "
            "slot",
            worst,
            at_most=MAKESPAN_AT_MOST,
        ),
        target(
            "hours after the small job in which a job was uploaded that overtook it",
            stream["latest_upload_that_overtook_hours"],
            at_most=stream["bound_hours"],
        ),
    ]


def report(result: Mapping[str, Any]) -> dict[str, Table | str]:
    """Makespans of batches under both orders; and the small job among large ones without end."""
    rows = [
        (
            one["slots"],
            one["jobs"],
            one["order"],
            rounded(one["correlation"], 1),
            rounded(one["makespan_to_bound"], 4),
            *(rounded(one["without_delay"][p], 4) for p in ("p50", "p99")),
        )
        for one in result["batches"]
    ]
    columns = (
        "slots",
        "jobs",
        "order",
        "correlation",
        "ours",
        f"without delay, {result['seeds']} batches: p50",
        "p99",
    )
    stream = result["stream"]
    starvation = (
        f"For {stream['hours']} hours, {rounded(stream['large_jobs_to_capacity'], 2)} times as "
        "many large jobs came as "
        f"{stream['slots']} slots can do. The small one waited "
        f"{rounded(stream['small_job_waited_hours'], 1)} h. Of the "
        f"{stream['large_jobs_that_came_after_it']} that came after it, {stream['overtaken_by']} "
        "overtook it, the last of them "
        f"uploaded {rounded(stream['latest_upload_that_overtook_hours'], 2)} h after it."
    )
    return {"order": Table("makespan to the lower bound", columns, rows), "starvation": starvation}


def _orders() -> list[tuple[str, float | None]]:
    return [(FIFO, None), *((LARGEST_FIRST, correlation) for correlation in CORRELATIONS)]
