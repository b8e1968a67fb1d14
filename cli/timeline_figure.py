"""Plotly's figure of `bbq timeline`, as plain data: a few traces and a layout, which is all that plotly's JavaScript wants.

Pure. A model has one panel: a row for each lane, thin rows for held jobs below them, and how many were in line as a curve. A bar
is thin until Bedrock says InProgress. There is one trace for each model and outcome, never one for each bar. Keys, reasons and
names are other people's: what cannot be printed is shown by its code (`visible`), and nothing in it is markup to plotly, which
takes a few tags in its texts for such (`_text`).
"""

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cli.lanes import HOLD, NOT_OVER, REFUSED, SLOT, Bar, Gap, Panel
from cli.times import clock, exact
from cli.wording import counted
from shared.names import INPUT_PREFIX

NOTABLE_GAP_SECONDS = 5.0  # shorter ones are as they should be (a function may have to start first), and get no mark
MAX_NAME = 72  # of a text in the box that a bar shows
MAX_REASON = 240
LINE_WIDTH = 72  # where a reason is broken

# Okabe and Ito's colours, told apart with every kind of colour blindness, and a pattern where two of them are near in lightness.
# By outcome: fill, outline, pattern.
STYLES = {
    "Running": ("#8fd3bd", "#00634a", "/"),
    "Completed": ("#0072b2", "#004a75", ""),
    "CompletedWithErrors": ("#7cc4ec", "#0b5a86", ""),
    "PartiallyCompleted": ("#f0e442", "#7a7200", ""),
    "NoRecordSucceeded": ("#e69f00", "#7f5800", ""),
    "Failed": ("#d55e00", "#7d3700", ""),
    "Expired": ("#cc79a7", "#7c3c5e", ""),
    "Stopped": ("#9a9a9a", "#4d4d4d", ""),
    "Cancelled": ("#cfcfcf", "#6d6d6d", "x"),
    REFUSED: ("#111111", "#111111", ""),
}
LABELS = {
    "CompletedWithErrors": "Completed with errors", "PartiallyCompleted": "Partially completed",
    "NoRecordSucceeded": "No record succeeded", "Running": "Still on its slot", REFUSED: "Refused by Bedrock",
}  # fmt: skip
HELD_STYLE = ("#ffffff", "#555555", "/")
GAP_COLOUR, LINE_COLOUR, TEXT, GRID = "#c00020", "#5b5b8c", "#1b1b1b", "#e4e4e8"

TALL, HELD_ROW, GAP_ROW = 0.8, 0.55, 0.8  # of a row: a bar's height, and the rows of held jobs and of gaps
CURVE_PIXELS, HEADING_PIXELS, BELOW_PIXELS, TOP_PIXELS, BOTTOM_PIXELS = 84, 26, 54, 70, 10
# Pixels of a lane, by how many there are at most.
LANE_PIXELS = ((4, 26), (12, 20), (30, 14), (60, 10), (100_000, 7))
LABELLED = ((12, 1), (60, 5), (100_000, 10))  # every so many of them has a label, which needs some 14 pixels
FEW = 4  # in line: each gets a label


def figure(panels: Sequence[Panel], since: datetime, until: datetime) -> tuple[dict[str, Any], int]:
    """Plotly's figure, and its height in pixels."""
    heights = [HEADING_PIXELS + _lanes_pixels(panel) + CURVE_PIXELS + BELOW_PIXELS for panel in panels]
    plot = max(sum(heights), 1)
    layout: dict[str, Any] = {
        "height": plot + TOP_PIXELS + BOTTOM_PIXELS, "barmode": "overlay", "bargap": 0, "dragmode": "zoom",
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "hovermode": "closest", "hoverdistance": 12,
        "font": {"family": "system-ui, 'DejaVu Sans', sans-serif", "size": 12, "color": TEXT},
        "margin": {"l": 64, "r": 24, "t": TOP_PIXELS, "b": BOTTOM_PIXELS},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left", "traceorder": "normal"},
        "hoverlabel": {"bgcolor": "#fffffb", "bordercolor": "#777777", "font": {"color": TEXT}, "align": "left"},
        "annotations": [], "shapes": [],
    }  # fmt: skip
    traces: list[dict[str, Any]] = []
    window = _window(panels, since, until)
    for number, panel in enumerate(panels):
        axes, above = _Axes(number), sum(heights[:number])
        layout[axes.x_name] = {
            "type": "date", "range": window, "anchor": axes.curve, "gridcolor": GRID, "zeroline": False, "ticks": "outside",
            "tickcolor": "#999999", "hoverformat": "%d %b %H:%M:%S", **({"matches": "x"} if number else {}),
        }  # fmt: skip
        layout |= _y_axes(panel, axes, above, plot)
        layout["annotations"].append(_heading(panel, 1 - (above + HEADING_PIXELS) / plot))
        layout["shapes"] += _shapes(panel, axes, until)
        traces += [*_bar_traces(panel, axes, until), *_gap_traces(panel, axes, until), _curve(panel, axes)]
    _name_once(traces)
    return {"data": traces, "layout": layout}, layout["height"]


def visible(text: str, most: int = MAX_NAME) -> str:
    """The text on one line, what cannot be printed by its code, its middle left out where it is longer than `most`."""
    shown = "".join(letter if letter.isprintable() else _code(letter) for letter in text[: 4 * most] + text[4 * most :][-most:])
    if len(shown) <= most:
        return shown
    return f"{shown[: most // 2]}…{shown[-(most - most // 2 - 1) :]}"


def lasted(seconds: float) -> str:
    """How long, with hundredths below a second."""
    return exact(seconds, hundredths=True)


Part = tuple[Bar, datetime, datetime, float]  # a piece of a bar: from, to, height of a row


class _Axes:
    """Plotly's names of a panel's axes."""

    def __init__(self, number: int) -> None:
        first, second = number * 2 + 1, number * 2 + 2
        self.x, self.x_name = _axis("x", number + 1)
        self.lanes, self.lanes_name = _axis("y", first)
        self.curve, self.curve_name = _axis("y", second)


def _axis(letter: str, number: int) -> tuple[str, str]:
    suffix = "" if number == 1 else str(number)
    return letter + suffix, f"{letter}axis{suffix}"


def _rows(panel: Panel) -> float:
    return GAP_ROW + max(panel.lanes, 1) + panel.held_lanes * HELD_ROW


def _row(panel: Panel, bar: Bar) -> float:
    """The middle of the bar's row: lanes are 1, 2, …, and the thin rows of held jobs follow."""
    if bar.kind == SLOT:
        return bar.lane
    return max(panel.lanes, 1) + 0.5 + (bar.lane - 0.5) * HELD_ROW


def _lane_pixels(panel: Panel) -> int:
    return next(pixels for most, pixels in LANE_PIXELS if panel.lanes + panel.held_lanes * HELD_ROW <= most)


def _lanes_pixels(panel: Panel) -> int:
    return round(_rows(panel) * _lane_pixels(panel))


def _y_axes(panel: Panel, axes: _Axes, above: int, plot: int) -> dict[str, Any]:
    """The rows, first slot on top, and the curve below them. `above`: pixels of the panels above, of `plot`."""
    top = above + HEADING_PIXELS
    bottom = top + _lanes_pixels(panel)
    most = max(count.waiting for count in panel.counts)
    lanes = {
        "domain": [1 - bottom / plot, 1 - top / plot], "anchor": axes.x, "range": [_rows(panel) + 0.5 - GAP_ROW, 0.5 - GAP_ROW],
        "fixedrange": True, "showgrid": False, "zeroline": False, **_ticks(panel),
    }  # fmt: skip
    curve = {
        "domain": [1 - (bottom + CURVE_PIXELS) / plot, 1 - (bottom + 8) / plot], "anchor": axes.x, "fixedrange": True,
        "range": [0, max(most, 1) * 1.08], "gridcolor": GRID, "zeroline": False, "tickformat": ",d",
        "title": {"text": "in line", "standoff": 4}, **({"dtick": 1} if most <= FEW else {"nticks": 3}),
    }  # fmt: skip
    return {axes.lanes_name: lanes, axes.curve_name: curve}


def _ticks(panel: Panel) -> dict[str, Any]:
    step = next(step for most, step in LABELLED if panel.lanes <= most)
    lanes = [lane for lane in range(1, panel.lanes + 1) if lane == 1 or lane % step == 0]
    held = [max(panel.lanes, 1) + 0.5 + panel.held_lanes * HELD_ROW / 2] if panel.held_lanes else []
    names = [f"slot {lane}" if lane == 1 else str(lane) for lane in lanes]
    return {"tickvals": [*lanes, *held], "ticktext": [*names, *("held" for _ in held)]}


def _heading(panel: Panel, y: float) -> dict[str, Any]:
    limit = "" if panel.limit is None else f" · limit {panel.limit:,}"
    return {
        "text": f"<b>{_text(panel.model)}</b>{limit}", "x": 0, "xref": "paper", "y": y, "yref": "paper", "xanchor": "left",
        "yanchor": "bottom", "showarrow": False, "font": {"size": 14},
    }  # fmt: skip


def _window(panels: Sequence[Panel], since: datetime, until: datetime) -> list[int]:
    """What is shown at first: from the first thing that happened since `since` to the last one, with a margin."""
    firsts = [max(bar.begin, since) for panel in panels for bar in panel.bars]
    firsts += [count.at for panel in panels for count in panel.counts if count.waiting or count.held]
    lasts = [until if bar.end is None else bar.end for panel in panels for bar in panel.bars]
    lasts += [until for panel in panels if panel.counts[-1].waiting or panel.counts[-1].held]
    first, last = min(firsts, default=since), max(lasts, default=until)
    margin = max((last - first) * 0.015, timedelta(seconds=1))
    return [_ms(first - margin), _ms(last + margin)]


def _bar_traces(panel: Panel, axes: _Axes, until: datetime) -> list[dict[str, Any]]:
    found = []
    for name, style in STYLES.items():
        bars = [bar for bar in panel.bars if bar.kind == SLOT and _style(bar) == name]
        if bars:
            parts = [part for bar in bars for part in _parts(bar, until)]
            found.append(_bars(panel, axes, parts, until) | _look(LABELS.get(name, name), style) | {"meta": "bars"})
    held = [(bar, bar.begin, bar.end or until, HELD_ROW * 0.8) for bar in panel.bars if bar.kind == HOLD]
    if held:
        found.append(_bars(panel, axes, held, until) | _look("Held, without a slot", HELD_STYLE) | {"meta": "held"})
    return found


def _look(name: str, style: tuple[str, str, str]) -> dict[str, Any]:
    fill, outline, pattern = style
    marker: dict[str, Any] = {"color": fill, "line": {"color": outline, "width": 0.6}}
    if pattern:
        marker["pattern"] = {"shape": pattern, "fgcolor": outline, "bgcolor": fill, "size": 5, "solidity": 0.2}
    return {"name": name, "legendgroup": name, "marker": marker}


def _style(bar: Bar) -> str:
    if bar.outcome == NOT_OVER:
        return "Running"
    return bar.outcome if bar.outcome in STYLES else "Stopped"


def _parts(bar: Bar, until: datetime) -> list[Part]:
    """Thin until Bedrock started it, where it is known that it had to wait there."""
    end = bar.end or until
    thin = TALL * 0.38
    ran = bar.outcome in {"Completed", "CompletedWithErrors", "NoRecordSucceeded", "PartiallyCompleted"}
    if bar.outcome == REFUSED:
        return [(bar, bar.begin, end, TALL)]
    if bar.started is None:
        return [(bar, bar.begin, end, TALL if ran else thin)]
    started = min(max(bar.started, bar.begin), end)
    return [(bar, bar.begin, started, thin), (bar, started, end, TALL)] if started > bar.begin else [(bar, bar.begin, end, TALL)]


def _bars(panel: Panel, axes: _Axes, parts: Sequence[Part], until: datetime) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "xaxis": axes.x, "yaxis": axes.lanes, "textposition": "none",
        "base": [_ms(begin) for _, begin, _, _ in parts], "x": [_ms(end) - _ms(begin) for _, begin, end, _ in parts],
        "y": [_row(panel, bar) for bar, _, _, _ in parts], "width": [height for _, _, _, height in parts],
        "customdata": [_told(bar, until) for bar, _, _, _ in parts], "hovertemplate": _HOVER,
    }  # fmt: skip


_HOVER = "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]}<br>%{customdata[3]}<br>%{customdata[4]}<extra></extra>"


def _told(bar: Bar, until: datetime) -> list[str]:
    """What the box of a bar says, a line each; the fourth is more lines where there is a reason."""
    word = bar.outcome or (bar.status if bar.end is None else "")
    if bar.kind == HOLD:
        word = "Held" if bar.end is None else f"Held, then {bar.outcome or 'taken again'}"
    began = f"{clock(bar.begin)} to {clock(bar.end) if bar.end else 'now'}"
    took = lasted(((bar.end or until) - bar.begin).total_seconds())
    started = "" if bar.started is None else f", started by Bedrock {clock(bar.started)}"
    reason = "".join(f"<br>{_text(line, LINE_WIDTH)}" for line in textwrap.wrap(visible(bar.reason, MAX_REASON), LINE_WIDTH))
    return [
        _text(bar.file.removeprefix(INPUT_PREFIX)),
        f"{_text(LABELS.get(word, word or 'On a slot'))}, attempt {bar.attempt}, {counted(bar.records, 'record')}",
        f"{began} ({took}){started}",
        f"{lasted(bar.waited_seconds)} in line before{reason}",
        f"job {_text(bar.job)}",
    ]


def _gap_traces(panel: Panel, axes: _Axes, until: datetime) -> list[dict[str, Any]]:
    """Long gaps above the first lane: a mark at the beginning of each, and its length."""
    gaps = [gap for gap in panel.gaps if gap.seconds > NOTABLE_GAP_SECONDS and not gap.held_back]
    if not gaps:
        return []
    name = f"Slot free for over {NOTABLE_GAP_SECONDS:g} s, somebody in line"
    begins, row = [_ms(gap.begin) for gap in gaps], [0.5 - GAP_ROW / 2] * len(gaps)
    shared: dict[str, Any] = {
        "xaxis": axes.x, "yaxis": axes.lanes, "name": name, "legendgroup": name, "y": row,
        "customdata": [[_of_gap(gap, until)] for gap in gaps], "hovertemplate": "%{customdata[0]}<extra></extra>",
    }  # fmt: skip
    lengths: dict[str, Any] = {
        "type": "bar", "orientation": "h", "base": begins, "x": [round(gap.seconds * 1000) for gap in gaps],
        "width": GAP_ROW * 0.3, "marker": {"color": GAP_COLOUR}, "showlegend": False, "textposition": "none",
    }  # fmt: skip
    marks: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "x": begins, "meta": "gaps",
        "marker": {"symbol": "triangle-down", "size": 9, "color": GAP_COLOUR, "line": {"color": "#ffffff", "width": 0.5}},
    }  # fmt: skip
    return [shared | lengths, shared | marks]


def _of_gap(gap: Gap, until: datetime) -> str:
    then = "until nobody waited" if gap.end and gap.next_job is None else f"then {_text(gap.next_job or '')}"
    after = f"{AFTER[gap.after]} {_text(gap.after_job or '')}".rstrip()
    still = f"still, at {clock(until)}" if gap.end is None else then
    return f"<b>a free slot for {lasted(gap.seconds)}</b><br>{clock(gap.begin)}, {after}<br>{still}"


AFTER = {
    "end": "after the end of", "arrival": "after the arrival of", "refusal": "after the refusal of",
    "configured": "after the model was changed", "before": "since before the picture begins",
}  # fmt: skip


def _curve(panel: Panel, axes: _Axes) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "xaxis": axes.x, "yaxis": axes.curve, "name": "In line", "legendgroup": "In line",
        "x": [_ms(count.at) for count in panel.counts], "y": [count.waiting for count in panel.counts], "fill": "tozeroy",
        "line": {"shape": "hv", "width": 1.4, "color": LINE_COLOUR}, "fillcolor": "rgba(91,91,140,0.22)",
        "hovertemplate": "%{y:,} in line<br>%{x|%d %b %H:%M:%S}<extra></extra>", "meta": "line",
    }  # fmt: skip


def _shapes(panel: Panel, axes: _Axes, until: datetime) -> list[dict[str, Any]]:
    """Pauses as bands, limits as lines below the last lane that they allow."""
    found: list[dict[str, Any]] = []
    ends = [*(setting.at for setting in panel.settings[1:]), until]
    for setting, end in zip(panel.settings, ends, strict=True):
        span = {"xref": axes.x, "x0": _ms(setting.at), "x1": _ms(end)}
        if setting.paused:
            label = {"text": "paused", "textposition": "top left", "font": {"size": 11, "color": "#6b4d00"}}
            height = {"yref": f"{axes.lanes} domain", "y0": 0, "y1": 1}
            look = {"type": "rect", "fillcolor": "#f3e6c8", "line": {"width": 0}, "layer": "below", "label": label}
            found.append(span | height | look)
        if setting.limit is not None and setting.limit <= panel.lanes:
            y = setting.limit + 0.5
            line = {"type": "line", "yref": axes.lanes, "y0": y, "y1": y, "line": {"color": "#333333", "width": 1, "dash": "dot"}}
            found.append(span | line)
    return found


def _name_once(traces: Sequence[dict[str, Any]]) -> None:
    """One entry in the legend for each name, which hides and shows it in every panel."""
    named: set[str] = set()
    for trace in traces:
        trace.setdefault("showlegend", trace["name"] not in named)
        if trace["showlegend"]:
            named.add(trace["name"])


def _text(text: str, most: int = MAX_NAME) -> str:
    """For plotly: nothing in it is a tag or an entity."""
    return visible(text, most).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - as Python writes them


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
