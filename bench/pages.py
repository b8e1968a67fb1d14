"""The generated parts of docs/benchmarks.md and docs/scale.md, from bench/results.json: `python -m
bench.pages` (tests/bench/test_pages.py checks that they are what the results say).
"""

import re
from collections.abc import Mapping
from typing import Any

from bench import charts, limits, results
from bench.table import Table, printed, target_table
from local.settings import ROOT

PAGES = (ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scale.md")
Parts = Mapping[str, Any]


def write(parts: Parts) -> None:
    """Write the generated parts and the charts again."""
    said = generated(parts)
    for page in PAGES:
        page.write_text(with_generated(page.read_text(), said))
    charts.write(drawn(parts))


def generated(parts: Parts) -> dict[str, str]:
    """What stands between the marks of a page, by their name."""
    said: dict[str, Table | str] = {
        "parts": _measures(),
        "targets": target_table(parts),
        "measured": _measured(parts),
    }
    for name, envelope in parts.items():
        said |= results.part(name).report(envelope["result"])
    said |= limits.report(parts)
    return {name: each if isinstance(each, str) else printed(each) for name, each in said.items()}


def with_generated(text: str, said: Mapping[str, str]) -> str:
    """A page whose generated parts say so. Raises KeyError for a mark of which nothing is known."""
    marks = r"<!-- ([a-z-]+) -->.*?<!-- /\1 -->"
    return re.sub(
        marks,
        lambda mark: f"<!-- {mark[1]} -->\n{said[mark[1]]}\n<!-- /{mark[1]} -->",
        text,
        flags=re.DOTALL,
    )


def drawn(parts: Parts) -> dict[str, charts.Chart]:
    """The charts of all parts, by name."""
    have = ((results.part(name), envelope["result"]) for name, envelope in parts.items())
    return {
        name: chart
        for part, result in have
        if hasattr(part, "charts")
        for name, chart in part.charts(result).items()
    }


def _measures() -> Table:
    first = {
        name: (results.part(name).__doc__ or "").partition("\n\n")[0] for name in results.PARTS
    }
    rows = [
        (f"[{name}](../bench/{name}.py)", " ".join(text.split())) for name, text in first.items()
    ]
    return Table("parts", ("part", "measures"), rows)


def _measured(parts: Parts) -> Table:
    rows = [
        (
            f"`{one['command']}`",
            f"`{one['commit'][:12]}`" + (" and changes" if one["changed"] else ""),
            one["taken_at"],
            f"{one['seconds']:.0f}",
            f"{one['machine']['cores']} {one['machine']['processor'] or 'cores'}",
            f"{one['machine']['load']:.1f}",
            f"Python {one['versions']['python']}",
        )
        for _, one in sorted(parts.items())
    ]
    return Table(
        "measured", ("command", "commit", "at (UTC)", "took (s)", "machine", "load", "with"), rows
    )


if __name__ == "__main__":
    write(results.read()["parts"])
