"""The same work under four hands: our queue, a poller every 15 minutes, a poller every minute, and
the ideal line.

Everything is uploaded at once, so somebody waits until the last job begins. Lengths that are called
constant lie within 3 % of it: a length that is an exact multiple of a poller's period would show
the poller much worse than it is, by chance. Ours is the production code in simulation
(`bench/simulated.py`); the others are arithmetic (`bench/yardsticks.py`), and are given the jobs in
the order of our line, because notifications of uploads come in any order. A poller's figures are
the means of five runs whose first tick comes at different times.

Left out, for time: 10,000 jobs but in the two cells named, several seeds of a cell, and files of
more than one record.
"""

import math
import os
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bench.simulated import Burst
from bench.table import Table, rounded, target
from bench.yardsticks import Poller, Span, ideal, measures, occupancy, polled, refill_gaps

if TYPE_CHECKING:  # a Python without Matplotlib can measure, too
    from matplotlib.figure import Figure

MINUTE, HOUR = 60.0, 3600.0
SPREAD = 0.03
LENGTHS = {"10 min": 10 * MINUTE, "30 min": 30 * MINUTE, "1 h": HOUR, "6 h": 6 * HOUR}
LOGNORMAL, MEDIAN_SECONDS, SIGMA = "lognormal", HOUR, 0.7
SHORTEST_SECONDS = 5 * MINUTE  # public code and threads know of no batch job that took less
PERIODS = {"poller_15_min": 15 * MINUTE, "poller_1_min": MINUTE}
PHASES = (0.1, 0.3, 0.5, 0.7, 0.9)

Cell = tuple[str, int, int]  # length, slots, jobs
FULL: tuple[Cell, ...] = (
    *(
        (length, slots, jobs)
        for length in (*LENGTHS, LOGNORMAL)
        for slots in (10, 20, 100)
        for jobs in (100, 1000)
    ),
    ("1 h", 20, 10_000),
    (LOGNORMAL, 100, 10_000),
)
QUICK: tuple[Cell, ...] = (("10 min", 4, 16), (LOGNORMAL, 4, 16))
SHOWN: Cell = ("1 h", 20, 100)  # slot by slot, in the chart
SHOWN_QUICK: Cell = QUICK[0]
UTILISATION_AT_LEAST, MAKESPAN_AT_MOST, GAPS_SHORTER_BY = 0.999, 1.001, 200.0

SHOWN_JOBS_AT_MOST = 1000  # every length has cells with so many
GREY, LEAST_PERCENT = "#555555", 0.001  # the least on an axis of powers of ten
LOOKS = {  # Okabe and Ito's colours
    "ours": ("this queue", "#0072B2", "o"),
    "poller_1_min": ("a poller, every minute", "#E69F00", "s"),
    "poller_15_min": ("a poller, every 15 minutes", "#D55E00", "^"),
}
HANDS = tuple(LOOKS)


def run(*, quick: bool) -> dict[str, Any]:
    """All cells, on all cores."""
    cells = QUICK if quick else FULL
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # the long ones first
        done = list(pool.map(measured, sorted(cells, key=lambda cell: -cell[2])))
    found = sorted(done, key=lambda one: cells.index((one["length"], one["slots"], one["jobs"])))
    return {
        "cells": found,
        "occupancy": shown_occupancy(SHOWN_QUICK if quick else SHOWN),
        "targets": targets(found),
    }


def measured(cell: Cell) -> dict[str, Any]:
    """One cell: what each of the four made of it. `gaps` are the raw refill gaps of ours, in
    seconds.
    """
    length, slots, jobs = cell
    spans, lengths, deployment = ours(cell)
    return {
        "length": length,
        "slots": slots,
        "jobs": jobs,
        "seed": _seed(cell),
        "ours": measures(spans, lengths, slots),
        **{
            name: _mean(
                [
                    measures(polled(lengths, slots, Poller(period, phase * period)), lengths, slots)
                    for phase in PHASES
                ]
            )
            for name, period in PERIODS.items()
        },
        "ideal": measures(ideal(lengths, slots), lengths, slots),
        "seconds_per_job": {
            brought: seconds / jobs for brought, seconds in sorted(deployment.seconds.items())
        },
        "gaps": [round(gap, 3) for gap in refill_gaps(spans, slots)],
    }


def ours(cell: Cell) -> tuple[list[Span], list[float], Burst]:
    """What the production code makes of a cell; the lengths in the order of its line, which is what
    the others are given.
    """
    deployment, lengths = Burst(_seed(cell), cell[1]), lengths_of(cell)
    spans = deployment.run(lengths)
    return spans, [lengths[number] for number in deployment.line()], deployment


def _seed(cell: Cell) -> str:
    return "/".join(map(str, cell))


def lengths_of(cell: Cell) -> list[float]:
    """How long each job takes, in the order of upload; the same for everybody."""
    length, _, jobs = cell
    chance = random.Random(f"{_seed(cell)}/lengths")
    if length != LOGNORMAL:
        return [LENGTHS[length] * chance.uniform(1 - SPREAD, 1 + SPREAD) for _ in range(jobs)]
    return [
        max(SHORTEST_SECONDS, chance.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA))
        for _ in range(jobs)
    ]


def shown_occupancy(cell: Cell) -> dict[str, Any]:
    """How many slots are in use over time, as steps (seconds, slots)."""
    length, slots, jobs = cell
    spans, lengths, _ = ours(cell)
    theirs = polled(lengths, slots, Poller(PERIODS["poller_15_min"], PERIODS["poller_15_min"] / 2))
    steps = {"ours": occupancy(spans), "poller_15_min": occupancy(theirs)}
    return {
        "length": length,
        "slots": slots,
        "jobs": jobs,
        **{name: [[round(at, 1), held] for at, held in found] for name, found in steps.items()},
    }


def targets(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, by the worst cell of all; `kept` says how many cells keep it.

    A poller's gaps are of two kinds, short where a job ended just before a tick and nearly a period
    where just after, so that its median may be either: the means are compared too.
    """
    full = [cell for cell in cells if cell["ours"]["gap_p50"] is not None]
    shorter = {
        word: [cell["poller_15_min"][gap] / cell["ours"][gap] for cell in full]
        for word, gap in (("mean", "gap_mean"), ("median", "gap_p50"))
    }
    return [
        _worst(
            "utilisation while somebody waits",
            [cell["ours"]["utilisation"] for cell in full],
            at_least=UTILISATION_AT_LEAST,
        ),
        _worst(
            "makespan to that of the ideal line",
            [cell["ours"]["makespan_to_ideal"] for cell in cells],
            at_most=MAKESPAN_AT_MOST,
        ),
        *(
            _worst(
                f"{word} refill gap of the 15-minute poller to ours",
                ratios,
                at_least=GAPS_SHORTER_BY,
            )
            for word, ratios in shorter.items()
        ),
    ]


def _worst(
    name: str,
    values: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> dict[str, Any]:
    worst = max(values) if at_least is None else min(values)
    said = target(
        f"{name}, {'most' if at_least is None else 'least'} of all cells",
        worst,
        at_least=at_least,
        at_most=at_most,
    )
    kept = sum(target(name, value, at_least=at_least, at_most=at_most)["met"] for value in values)
    return {**said, "kept": f"{kept} of {len(values)} cells"}


def report(result: Mapping[str, Any]) -> dict[str, Table]:
    """How full the slots were and how long all of it took; how long slots stood free, and how long
    jobs waited.
    """
    cells = [
        ((cell["length"], f"{cell['slots']:,}", f"{cell['jobs']:,}"), cell)
        for cell in result["cells"]
    ]
    makespans = [
        (
            *name,
            *(
                rounded(cell[hand][what], 5 if hand == "ours" else 3)
                for what in ("utilisation", "makespan_to_ideal")
                for hand in HANDS
            ),
            *(rounded(cell[hand]["makespan_to_bound"], 3) for hand in ("ours", "ideal")),
        )
        for name, cell in cells
    ]
    waits = [
        (
            *name,
            *(rounded(cell["ours"][gap], 2) for gap in ("gap_mean", "gap_p50", "gap_p99")),
            *(rounded(cell[hand][gap], 0) for hand in HANDS[1:] for gap in ("gap_mean", "gap_p50")),
            *(rounded(cell[hand]["first_job"], 1 if hand == "ours" else 0) for hand in HANDS),
            *(rounded(cell[hand]["mean_wait"] / HOUR, 2) for hand in (*HANDS, "ideal")),
        )
        for name, cell in cells
    ]
    return {
        "makespans": Table(
            "how full the slots were, and how long all of it took",
            (
                "jobs of",
                "slots",
                "jobs",
                "utilisation: ours",
                "1 min",
                "15 min",
                "makespan / ideal: ours",
                "1 min",
                "15 min",
                "/ lower bound: ours",
                "ideal",
            ),
            makespans,
        ),
        "waits": Table(
            "how long slots stood free, and how long jobs waited",
            (
                "jobs of",
                "slots",
                "jobs",
                "gap: ours, mean (s)",
                "p50",
                "p99",
                "1 min, mean",
                "p50",
                "15 min, mean",
                "p50",
                "first job: ours (s)",
                "1 min",
                "15 min",
                "mean wait: ours (h)",
                "1 min",
                "15 min",
                "ideal",
            ),
            waits,
        ),
    }


def charts(result: Mapping[str, Any]) -> dict[str, Any]:
    """Slots in use over time; and by how much the ideal line is missed, of all cells with so many
    jobs as every length has.
    """
    most = max(cell["jobs"] for cell in result["cells"] if cell["jobs"] <= SHOWN_JOBS_AT_MOST)
    missed = [
        [cell["length"], cell["slots"], *(cell[hand]["makespan_to_ideal"] for hand in HANDS)]
        for cell in result["cells"]
        if cell["jobs"] == most
    ]
    return {
        "slots-in-use": (result["occupancy"], _draw_occupancy),
        "makespans": (missed, _draw_makespans),
    }


def _draw_occupancy(figure: "Figure", numbers: Mapping[str, Any]) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, hand in ((above, "ours"), (below, "poller_15_min")):
        label, colour, _ = LOOKS[hand]
        hours = [at / HOUR for at, _ in numbers[hand]]
        axes.fill_between(
            hours,
            [held for _, held in numbers[hand]],
            step="post",
            color=colour,
            alpha=0.85,
            linewidth=0,
        )
        axes.set_ylim(0, numbers["slots"] * 1.08)
        axes.axhline(numbers["slots"], color=GREY, linewidth=0.8, linestyle=":")
        axes.set_title(label, loc="left", fontsize=10, color=colour)
    below.set_xlabel(f"hours since the upload of {numbers['jobs']} jobs of {numbers['length']}")
    figure.supylabel("slots in use", fontsize=10)


def _draw_makespans(figure: "Figure", numbers: Sequence[Sequence[Any]]) -> None:
    axes = figure.subplots()
    for index, (label, colour, marker) in enumerate(LOOKS.values(), start=2):
        lost = [max(100 * (row[index] - 1), LEAST_PERCENT) for row in numbers]
        axes.plot(range(len(numbers)), lost, marker, color=colour, label=label, markersize=7)
    axes.set_yscale("log")
    axes.set_yticks(
        [LEAST_PERCENT, 0.01, 0.1, 1, 10, 100],
        ["or less", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"],
    )
    axes.axhline(0.1, color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate(
        "target",
        (1, 0.1),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=8,
        color=GREY,
    )
    lengths = [row[0] for row in numbers]
    middles = {
        (lengths.index(length) + len(lengths) - 1 - lengths[::-1].index(length)) // 2: length
        for length in lengths
    }
    labels = [f"{row[1]}\n{middles.get(place, '')}" for place, row in enumerate(numbers)]
    axes.set_xticks(range(len(numbers)), labels, fontsize=9)
    axes.set_xlabel("slots, and length of the jobs", fontsize=9)
    axes.set_ylabel("longer than the ideal line")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False)


def _mean(found: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    numbers = {
        name: [value for one in found if (value := one[name]) is not None] for name in found[0]
    }
    return {name: fmean(values) if values else None for name, values in numbers.items()}
