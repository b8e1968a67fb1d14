"""The same work under four hands: our queue, a poller every 15 minutes, a poller every minute, and the ideal line.

Everything is uploaded at once, so somebody waits until the last job begins. Lengths that are called constant lie within 3 % of
it: a length that is an exact multiple of a poller's period would show the poller much worse than it is, by chance. Ours is the
production code in simulation (`bench/simulated.py`); the others are arithmetic (`bench/yardsticks.py`), and are given the jobs
in the order of our line, because notifications of uploads come in any order. A poller's figures are the means of five runs
whose first tick comes at different times.

Left out, for time: 10,000 jobs but in the two cells named, several seeds of a cell, and files of more than one record.
"""

import math
import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean
from typing import Any

from rich.table import Table

from bench.samples import console, show_targets, target
from bench.simulated import Deployment
from bench.yardsticks import Poller, ideal, measures, occupancy, polled, refill_gaps

MINUTE, HOUR = 60.0, 3600.0
SPREAD = 0.03
LENGTHS = {"10 min": 10 * MINUTE, "30 min": 30 * MINUTE, "1 h": HOUR, "6 h": 6 * HOUR}
LOGNORMAL, MEDIAN_SECONDS, SIGMA = "lognormal", HOUR, 0.7
SHORTEST_SECONDS = 5 * MINUTE  # public code and threads know of no batch job that took less
PERIODS = {"poller_15_min": 15 * MINUTE, "poller_1_min": MINUTE}
PHASES = (0.1, 0.3, 0.5, 0.7, 0.9)

Cell = tuple[str, int, int]  # length, slots, jobs
FULL: tuple[Cell, ...] = (
    *((length, slots, jobs) for length in (*LENGTHS, LOGNORMAL) for slots in (10, 20, 100) for jobs in (100, 1000)),
    ("1 h", 20, 10_000),
    (LOGNORMAL, 100, 10_000),
)
QUICK: tuple[Cell, ...] = (("10 min", 4, 16), (LOGNORMAL, 4, 16))
SHOWN: Cell = ("1 h", 20, 100)  # slot by slot, in the chart
SHOWN_QUICK: Cell = QUICK[0]
UTILISATION_AT_LEAST, MAKESPAN_AT_MOST, GAPS_SHORTER_BY = 0.999, 1.001, 200.0


def run(*, quick: bool) -> dict[str, Any]:
    """All cells, on all cores."""
    cells = QUICK if quick else FULL
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(measured, sorted(cells, key=lambda cell: -cell[2])))  # the long ones first
    found = sorted(done, key=lambda one: cells.index((one["length"], one["slots"], one["jobs"])))
    shown = SHOWN_QUICK if quick else SHOWN
    kept = targets(found)
    show(found)
    show_targets(kept)
    return {"cells": found, "occupancy": shown_occupancy(shown), "targets": kept}


def measured(cell: Cell) -> dict[str, Any]:
    """One cell: what each of the four made of it. `gaps` are the raw refill gaps of ours, in seconds."""
    length, slots, jobs = cell
    seed = f"{length}/{slots}/{jobs}"
    deployment = Deployment(seed, slots)
    spans = deployment.run(lengths_of(cell))
    lengths = [lengths_of(cell)[number] for number in deployment.line()]
    return {
        "length": length, "slots": slots, "jobs": jobs, "seed": seed,
        "ours": measures(spans, lengths, slots),
        **{name: _mean([measures(polled(lengths, slots, one), lengths, slots) for one in _pollers(period)])
           for name, period in PERIODS.items()},
        "ideal": measures(ideal(lengths, slots), lengths, slots),
        "invocations_per_job": deployment.invocations / jobs,
        "seconds_per_job": {brought: seconds / jobs for brought, seconds in sorted(deployment.seconds.items())},
        "gaps": [round(gap, 3) for gap in refill_gaps(spans, slots)],
    }  # fmt: skip


def lengths_of(cell: Cell) -> list[float]:
    """How long each job takes, in the order of upload; the same for everybody."""
    length, slots, jobs = cell
    chance = random.Random(f"{length}/{slots}/{jobs}/lengths")
    if length != LOGNORMAL:
        return [LENGTHS[length] * chance.uniform(1 - SPREAD, 1 + SPREAD) for _ in range(jobs)]
    return [max(SHORTEST_SECONDS, chance.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA)) for _ in range(jobs)]


def shown_occupancy(cell: Cell) -> dict[str, Any]:
    """How many slots are in use over time, as steps (seconds, slots)."""
    length, slots, jobs = cell
    deployment = Deployment(f"{length}/{slots}/{jobs}", slots)
    ours = deployment.run(lengths_of(cell))
    lengths = [lengths_of(cell)[number] for number in deployment.line()]
    theirs = polled(lengths, slots, Poller(PERIODS["poller_15_min"], PERIODS["poller_15_min"] / 2))
    steps = {"ours": occupancy(ours), "poller_15_min": occupancy(theirs)}
    return {
        "length": length, "slots": slots, "jobs": jobs,
        **{name: [[round(at, 1), held] for at, held in found] for name, found in steps.items()},
    }  # fmt: skip


def targets(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, by the worst cell of all; `kept` says how many cells keep it.

    A poller's gaps are of two kinds, short where a job ended just before a tick and nearly a period where just after, so that its
    median may be either: the means are compared too.
    """
    full = [cell for cell in cells if cell["ours"]["gap_p50"] is not None]
    shorter = {
        word: [cell["poller_15_min"][gap] / cell["ours"][gap] for cell in full]
        for word, gap in (("mean", "gap_mean"), ("median", "gap_p50"))
    }
    return [
        _worst("utilisation while somebody waits", [cell["ours"]["utilisation"] for cell in full], at_least=UTILISATION_AT_LEAST),
        _worst(
            "makespan to that of the ideal line", [cell["ours"]["makespan_to_ideal"] for cell in cells], at_most=MAKESPAN_AT_MOST
        ),
        *(
            _worst(f"{word} refill gap of the 15-minute poller to ours", ratios, at_least=GAPS_SHORTER_BY)
            for word, ratios in shorter.items()
        ),
    ]


def _worst(name: str, values: Sequence[float], *, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    worst = max(values) if at_least is None else min(values)
    said = target(f"{name}, {'most' if at_least is None else 'least'} of all cells", worst, at_least=at_least, at_most=at_most)
    kept = sum(target(name, value, at_least=at_least, at_most=at_most)["met"] for value in values)
    return {**said, "kept": f"{kept} of {len(values)} cells"}


def show(cells: Sequence[dict[str, Any]]) -> None:
    """The cells in short."""
    table = Table(box=None, padding=(0, 2), title="ours, and the poller every 15 minutes", title_justify="left")
    for title in (
        "length",
        "slots",
        "jobs",
        "utilisation",
        "poller",
        "makespan/ideal",
        "poller",
        "gap p50 (s)",
        "p99",
        "poller p50",
    ):
        table.add_column(title, justify="left" if title == "length" else "right")
    for cell in cells:
        ours, theirs = cell["ours"], cell["poller_15_min"]
        numbers = (
            (ours["utilisation"], 4), (theirs["utilisation"], 3), (ours["makespan_to_ideal"], 4),
            (theirs["makespan_to_ideal"], 3),
            (ours["gap_p50"], 2), (ours["gap_p99"], 2), (theirs["gap_p50"], 0),
        )  # fmt: skip
        said = ["" if number is None else f"{number:.{places}f}" for number, places in numbers]
        table.add_row(cell["length"], str(cell["slots"]), str(cell["jobs"]), *said)
    console.print(table)


def _pollers(period: float) -> list[Poller]:
    return [Poller(period, phase * period) for phase in PHASES]


def _mean(found: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    numbers = {name: [value for one in found if (value := one[name]) is not None] for name in found[0]}
    return {name: fmean(values) if values else None for name, values in numbers.items()}
