"""What every part says in the same form: a table, a target, a percentile."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

NUMBER = re.compile(r"\**[\d.,]*\**")


@dataclass(frozen=True)
class Table:
    """Columns say their units. A cell is what `str` makes of it; an empty one means that there is
    no such number.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def printed(table: Table) -> str:
    """In Markdown, in columns of even width: for the pages and for the terminal. Numbers stand on
    the right.
    """
    lines = [[str(cell) for cell in line] for line in (table.columns, *table.rows)]
    right = [
        all(NUMBER.fullmatch(cell) for cell in column[1:]) for column in zip(*lines, strict=True)
    ]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    widths[-1] = widths[-1] if right[-1] else 0  # a sentence at the end needs no room behind it
    lines.insert(
        1,
        [
            "-" * (max(3, width) - 1) + (":" if flush else "-")
            for width, flush in zip(widths, right, strict=True)
        ],
    )
    padded = (
        [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ]
        for line in lines
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def rounded(value: float | None, places: int = 3) -> str:
    """As it stands in a table; nothing where there is none."""
    return "" if value is None else f"{value:,.{places}f}"


def percentile(samples: Sequence[float], percent: float) -> float:
    """By linear interpolation between the two nearest samples; not a number where there are
    none.
    """
    if not samples:
        return math.nan
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def ratio_of_medians(ours: Sequence[float], base: Sequence[float]) -> float:
    """Median by median, of samples that were taken in turn."""
    return round(median(ours) / median(base), 4)


def target(
    name: str, value: float, *, at_most: float | None = None, at_least: float | None = None
) -> dict[str, Any]:
    """One promise in numbers, and whether it was kept. What is not a number keeps nothing."""
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    return {"name": name, "value": value, "at_most": at_most, "at_least": at_least, "met": met}


def target_table(parts: Mapping[str, Any]) -> Table:
    """The targets of these parts, met or missed."""
    rows = [
        (
            name,
            one["name"],
            rounded(one["value"]),
            f"≤ {one['at_most']:g}" if one["at_most"] is not None else f"≥ {one['at_least']:g}",
            "met" if one["met"] else "**missed**",
            one.get("kept", ""),
        )
        for name, envelope in sorted(parts.items())
        for one in envelope["result"]["targets"]
    ]
    return Table("targets", ("part", "what", "measured", "target", "", "kept by"), rows)
