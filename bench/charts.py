"""Draws the charts of docs/benchmarks.md from the numbers of the parts: SVG, small, in colours that
colour-blind readers can tell apart. What a chart shows is the part's own matter (`charts` of
bench/scheduling.py and bench/scale.py).

Each file says in its description of which numbers it was drawn (`digest`), so that a test can tell
when they are not the results' any more.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from local.settings import ROOT

FOLDER = ROOT / "docs"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bedrock-batch-queue",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

Chart = tuple[Any, Callable[[Figure, Any], None]]  # the numbers, and what draws them


def write(charts: Mapping[str, Chart], folder: Path = FOLDER) -> None:
    """Each as `<name>.svg`."""
    for name, (numbers, draw) in charts.items():
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(8, 3.6), layout="constrained")
            draw(figure, numbers)
            metadata = {"Date": None, "Creator": None, "Description": digest(numbers)}
            figure.savefig(folder / f"{name}.svg", format="svg", metadata=metadata)


def digest(numbers: Any) -> str:
    """Of the numbers a chart shows."""
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()
