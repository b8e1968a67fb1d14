"""The page that `bbq timeline` writes: one HTML file with plotly's JavaScript in it, which opens without a network.

Pure: panels in, text out. The figure is JSON in a script element that no browser runs, with `<` as an escape; every text in the
HTML is escaped; and a Content-Security-Policy forbids every request, whatever a text could have made of itself.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.resources import files
from string import Template
from typing import Any

from cli.lanes import Gap, Panel, Times
from cli.timeline_figure import AFTER, NOTABLE_GAP_SECONDS, figure, lasted, visible
from cli.times import clock, minute
from cli.wording import counted

MARK = '<meta name="generator" content="bbq timeline">'  # by which a page of ours is known
MAX_GAP_ROWS = 20  # of the table of the longest gaps
MAX_NOTE = 400


def page(name: str, panels: Sequence[Panel], since: datetime, until: datetime, *, notes: Sequence[str], plotly: str) -> str:
    """The whole file. `notes`: sentences about what the picture lacks. `plotly`: its JavaScript."""
    drawn, height = figure(panels, since, until)
    return Template(files("cli").joinpath("timeline.html").read_text("utf-8")).substitute(
        mark=MARK, title=_html(f"Slots of {name}, {minute(since)} to {minute(until)} UTC"), height=height, plotly=plotly,
        figure=_in_script(drawn), notes="".join(f'<p class="note">{_html(note, MAX_NOTE)}</p>' for note in notes),
        summary="".join(map(_summary, panels)), gaps=_longest([gap for panel in panels for gap in panel.gaps]),
    )  # fmt: skip


def document(name: str, panels: Sequence[Panel], since: datetime, until: datetime, notes: Sequence[str]) -> dict[str, Any]:
    """What --json prints; docs/timeline.md says what the fields mean."""
    models = [
        {
            "model": panel.model, "limit": panel.limit, "slots_used": panel.lanes, "jobs": panel.jobs,
            "waits": panel.waits, "refills": panel.refills,
        }
        for panel in panels
    ]  # fmt: skip
    return {
        "deployment": name, "since": since, "until": until, "notes": list(notes), "models": models,
        "bars": [bar for panel in panels for bar in panel.bars],
        "gaps": [asdict(gap) | {"refill": gap.refill} for panel in panels for gap in panel.gaps],
    }  # fmt: skip


def _summary(panel: Panel) -> str:
    used = f"{panel.lanes:,}" if panel.limit is None else f"{panel.lanes:,} of {panel.limit:,}"
    return (
        f"<tr><th>{_html(panel.model)}</th><td>{panel.jobs:,}</td><td>{used}</td>{_cells(panel.waits)}"
        f"<td class=first>{panel.refills.count:,}</td>{_cells(panel.refills)}</tr>\n"
    )


def _cells(found: Times) -> str:
    seconds = (found.median_seconds, found.p99_seconds, found.largest_seconds)
    return "".join(f"<td>{'' if value is None else lasted(value)}</td>" for value in seconds)


def _longest(gaps: Sequence[Gap]) -> str:
    """The longest gaps that were ours, as a table, and how many were not."""
    notable = [gap for gap in gaps if gap.seconds > NOTABLE_GAP_SECONDS]
    longest = sorted((gap for gap in notable if not gap.held_back), key=lambda gap: -gap.seconds)
    others = len(notable) - len(longest)
    held = f"<p class=hint>{counted(others, 'more time')}, while Bedrock refused jobs of the model.</p>" if others else ""
    free = f"a slot was free for over {NOTABLE_GAP_SECONDS:g} s while somebody was in line"
    if not longest:
        return f"<p class=hint>Never {free}.</p>{held}"
    shown = longest[:MAX_GAP_ROWS]
    of_all = "" if len(shown) == len(longest) else f"; the {len(shown)} longest"
    head = "".join(f"<th>{title}</th>" for title in ("model", "from (UTC)", "for", "it began", "and ended with the start of"))
    return (
        f"<details><summary>{counted(len(longest), 'time')} {free}{of_all}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_gap_row, shown))}</tbody></table>{held}</details>"
    )


def _gap_row(gap: Gap) -> str:
    then = f"<code>{_html(gap.next_job)}</code>" if gap.next_job else "nobody" if gap.end else "is free still"
    return (
        f"<tr><th>{_html(gap.model)}</th><td>{clock(gap.begin)}</td><td>{lasted(gap.seconds)}</td>"
        f"<td class=left>{AFTER[gap.after]} <code>{_html(gap.after_job or '')}</code></td><td class=left>{then}</td></tr>\n"
    )


def _html(text: str, most: int = 200) -> str:
    return html.escape(visible(text, most))


def _in_script(value: object) -> str:
    """JSON that may stand in a script element: only ASCII, and no `<`."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
