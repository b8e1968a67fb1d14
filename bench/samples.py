"""Raw samples in, a few numbers out: what every part of the measurement says in the same words."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 130

console = Console(width=None if Console().is_terminal else WIDTH)


def percentile(samples: Sequence[float], percent: float) -> float:
    """By linear interpolation between the two nearest samples; not a number where there are none."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(samples: Sequence[float]) -> dict[str, float]:
    """How many, the median and both ends. Milliseconds stay milliseconds."""
    shares = {f"p{percent}": round(percentile(samples, percent), 4) for percent in (50, 90, 99)}
    return {"count": len(samples), **shares, "most": round(max(samples, default=math.nan), 4)}


def ratio_of_medians(ours: Sequence[float], base: Sequence[float]) -> float:
    """Median by median, of samples that were taken in turn."""
    return round(median(ours) / median(base), 4)


def target(name: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """One promise in numbers, and whether it was kept. What is not a number keeps nothing."""
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    return {"name": name, "value": value, "at_most": at_most, "at_least": at_least, "met": met}


def show_targets(targets: Sequence[dict[str, Any]]) -> None:
    """As a table: value, bound, kept or not."""
    table = Table(box=None, padding=(0, 2), title="targets", title_justify="left")
    for title in ("what", "measured", "bound", ""):
        table.add_column(title, justify="left" if title in {"what", ""} else "right")
    for one in targets:
        bound = f"≤ {one['at_most']:g}" if one["at_most"] is not None else f"≥ {one['at_least']:g}"
        kept = "[green]met[/green]" if one["met"] else "[red]missed[/red]"
        table.add_row(str(one["name"]), f"{one['value']:.3f}", bound, kept)
    console.print(table)


def show_summaries(title: str, unit: str, rows: dict[str, Sequence[float]]) -> None:
    """One line for each set of samples."""
    table = Table(box=None, padding=(0, 2), title=f"{title} ({unit})", title_justify="left")
    for name in ("", "samples", "p50", "p90", "p99", "most"):
        table.add_column(name, justify="left" if not name else "right")
    for name, samples in rows.items():
        said = summary(samples)
        table.add_row(name, str(said["count"]), *(f"{said[key]:.2f}" for key in ("p50", "p90", "p99", "most")))
    console.print(table)
