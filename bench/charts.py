"""The charts of docs/benchmarks.md, drawn from bench/results.json: SVG, small, in colours that colour-blind readers can tell
apart.

Each file says in its description of which numbers it was drawn (`digest`), so that a test can tell when they are not the
results' any more.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from local.settings import ROOT

FOLDER = ROOT / "docs"
# Okabe and Ito's colours.
OURS, FIFTEEN, ONE, IDEAL = "#0072B2", "#D55E00", "#E69F00", "#555555"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bedrock-batch-queue",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
}
MAX_POINTS = 400  # of a line
LEAST_SHOWN = 0.001  # percent, on an axis of powers of ten

Parts = Mapping[str, Any]
Chart = tuple[Callable[[Parts], Any], Callable[[Figure, Any], None]]


def write(parts: Parts, folder: Path = FOLDER) -> list[Path]:
    """Every chart whose part was measured."""
    drawn = []
    for name, (pick, paint) in CHARTS.items():
        numbers = pick(parts)
        if numbers is None:
            continue
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(8, 3.6), layout="constrained")
            paint(figure, numbers)
            path = folder / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None, "Description": digest(numbers)})
        drawn.append(path)
    return drawn


def digest(numbers: Any) -> str:
    """Of the numbers a chart shows."""
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def _occupancy(parts: Parts) -> Any:
    return parts["scheduling"]["result"]["occupancy"] if "scheduling" in parts else None


def _draw_occupancy(figure: Figure, numbers: dict[str, Any]) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, name, colour, label in (
        (above, "ours", OURS, "this queue"), (below, "poller_15_min", FIFTEEN, "a poller, every 15 minutes"),
    ):  # fmt: skip
        hours = [at / 3600 for at, _ in numbers[name]]
        held = [slots for _, slots in numbers[name]]
        axes.fill_between(hours, held, step="post", color=colour, alpha=0.85, linewidth=0)
        axes.set_ylim(0, numbers["slots"] * 1.08)
        axes.axhline(numbers["slots"], color=IDEAL, linewidth=0.8, linestyle=":")
        axes.set_title(label, loc="left", fontsize=10, color=colour)
        _plain(axes)
    below.set_xlabel(f"hours since the upload of {numbers['jobs']} jobs of {numbers['length']}")
    figure.supylabel("slots in use", fontsize=10)


def _makespans(parts: Parts) -> Any:
    if "scheduling" not in parts:
        return None
    names = ("ours", "poller_1_min", "poller_15_min")
    most = max(cell["jobs"] for cell in parts["scheduling"]["result"]["cells"] if cell["jobs"] <= 1000)  # noqa: PLR2004 - all have it
    return [
        [cell["length"], cell["slots"], *(cell[name]["makespan_to_ideal"] for name in names)]
        for cell in parts["scheduling"]["result"]["cells"] if cell["jobs"] == most
    ]  # fmt: skip


def _draw_makespans(figure: Figure, numbers: Sequence[Sequence[Any]]) -> None:
    axes = figure.subplots()
    looks = (("this queue", OURS, "o"), ("a poller, every minute", ONE, "s"), ("a poller, every 15 minutes", FIFTEEN, "^"))
    for index, (label, colour, marker) in enumerate(looks, start=2):
        lost = [max(100 * (row[index] - 1), LEAST_SHOWN) for row in numbers]
        axes.plot(range(len(numbers)), lost, marker, color=colour, label=label, markersize=7)
    axes.set_yscale("log")
    axes.set_yticks([LEAST_SHOWN, 0.01, 0.1, 1, 10, 100], ["or less", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
    axes.axhline(0.1, color=IDEAL, linewidth=0.8, linestyle=":")
    axes.annotate("target", (1, 0.1), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=IDEAL)
    lengths = [row[0] for row in numbers]
    middles = {(lengths.index(length) + len(lengths) - 1 - lengths[::-1].index(length)) // 2: length for length in lengths}
    labels = [f"{row[1]}\n{middles.get(place, '')}" for place, row in enumerate(numbers)]
    axes.set_xticks(range(len(numbers)), labels, fontsize=9)
    axes.set_xlabel("slots, and length of the jobs", fontsize=9)
    axes.set_ylabel("longer than the ideal line")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False)
    _plain(axes)


def _times(parts: Parts) -> Any:
    if "scale" not in parts:
        return None
    result = parts["scale"]["result"]
    return {"block": result["block"], "milliseconds": result["milliseconds_per_job"]}


def _draw_times(figure: Figure, numbers: dict[str, Any]) -> None:
    axes = figure.subplots()
    every = max(1, len(numbers["milliseconds"]) // MAX_POINTS)
    shown = numbers["milliseconds"][::every]
    jobs = [(number * every + 1) * numbers["block"] / 1000 for number in range(len(shown))]
    axes.plot(jobs, shown, "o-", color=OURS, linewidth=1.2, markersize=4)
    axes.set_ylim(0, max(shown) * 1.25)
    axes.set_xlabel("thousand jobs done")
    axes.set_ylabel("processor ms of a job")
    axes.grid(axis="y", linewidth=0.3)
    _plain(axes)


def _work(parts: Parts) -> Any:
    if "work" not in parts:
        return None
    by_history = parts["work"]["result"]["by_history"]
    return [
        [int(history), by_history[history]["per_job"]["read_units"], by_history[history]["poller"]["read_units"]]
        for history in sorted(by_history, key=int)
    ]  # fmt: skip


def _draw_work(figure: Figure, numbers: Sequence[Sequence[float]]) -> None:
    axes = figure.subplots()
    histories = [row[0] for row in numbers]
    for place, (label, colour, marker) in enumerate((("this queue", OURS, "o"), ("a poller, every 15 minutes", FIFTEEN, "^")), 1):
        axes.plot(histories, [row[place] for row in numbers], f"{marker}-", color=colour, label=label, markersize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("jobs of the past")
    axes.set_ylabel("read units of one job")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(loc="upper left", frameon=False)
    _plain(axes)


def _gaps(parts: Parts) -> Any:
    if "refill" not in parts:
        return None
    samples = parts["refill"]["result"]["samples"]
    return {phase: {who: sorted(samples[who][phase]) for who in ("refill", "bare")} for phase in ("quiet", "load")}


def _draw_gaps(figure: Figure, numbers: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    for axes, (phase, both) in zip(figure.subplots(1, 2, sharey=True), numbers.items(), strict=True):
        for who, colour, label in (("refill", OURS, "this queue"), ("bare", IDEAL, "a function that only calls Create")):
            gaps = both[who]
            axes.step(
                gaps, [100 * (place + 1) / len(gaps) for place in range(len(gaps))], where="post", color=colour, label=label
            )
        axes.set_xscale("log")
        axes.set_title({"quiet": "one slot, little else", "load": "ten slots, jobs of 1 to 3 s"}[phase], loc="left", fontsize=10)
        axes.set_xlabel("ms from an end to the next Create")
        axes.grid(linewidth=0.3)
        _plain(axes)
    figure.axes[0].set_ylabel("% of all gaps that are shorter")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False, fontsize=9)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


CHARTS: dict[str, Chart] = {
    "slots-in-use": (_occupancy, _draw_occupancy),
    "makespans": (_makespans, _draw_makespans),
    "time-per-job": (_times, _draw_times),
    "work-over-history": (_work, _draw_work),
    "refill-gaps": (_gaps, _draw_gaps),
}
