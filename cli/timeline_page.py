"""The page that `bbq timeline` writes: one HTML file around one SVG picture. It needs neither a
network nor a script.

Pure: panels in, text out. A model has one panel: a row for each lane, thin rows for held jobs below
them, and how many waited as an area. A bar is thin until Bedrock says InProgress; its `<title>` is
the box that a browser shows beside the mouse. Keys, reasons and names are other people's: each
passes `_text`. The stylesheet is in the picture in timeline.html, so that it can stand alone; a
bar's class is its outcome. Okabe and Ito's colours are told apart with every kind of colour
blindness.
"""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from math import ceil
from string import Template

from bbq.cli.timeline_bars import GOES_ON, HELD, REFUSED, SLOT, Bar, Gap, Panel, Times
from bbq.cli.times import DAY, HOUR, MINUTE, clock, exact, moment
from bbq.cli.wording import counted, safe
from bbq.shared.names import INPUT_PREFIX

# shorter ones are as they should be (a function may have to start first), and get no mark
NOTABLE_GAP_SECONDS = 5.0
LEGEND = {
    "Running": "Still on its slot",
    "Completed": "Completed",
    "CompletedWithErrors": "Completed with errors",
    "PartiallyCompleted": "Partially completed",
    "NoRecordSucceeded": "No record succeeded",
    "Failed": "Failed",
    "Expired": "Expired",
    "Stopped": "Stopped",
    "Cancelled": "Cancelled",
    REFUSED: "Refused by Bedrock",
    "Held": "Held, without a slot",
    "Gap": f"Slot free for over {NOTABLE_GAP_SECONDS:g} s, a job waited",
    "Line": "In line",
    "paused": "Model paused",
}
RAN = {"Completed", "CompletedWithErrors", "NoRecordSucceeded", "PartiallyCompleted"}
# Pixels: the left and right end of the times, the heights of a panel's parts, and of a label.
LEFT, RIGHT, HEADING, GAPS, AREA, AXIS, LABEL = 56, 1120, 36, 12, 64, 34, 14
LEGEND_COLUMN, LEGEND_COLUMNS = 270, 4
TICK_SECONDS = (
    1,
    5,
    15,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
)
MAX_TICKS = 10


def page(
    name: str, panels: Sequence[Panel], since: datetime, until: datetime, notes: Sequence[str]
) -> str:
    """The whole file. `notes`: sentences about what the picture lacks."""
    scale = _scale(panels, since, until)
    marks, bottom = _legend(panels)
    for panel in panels:
        more, bottom = _panel(panel, scale, bottom)
        marks += more
    return Template(files("bbq.cli").joinpath("timeline.html").read_text("utf-8")).substitute(
        title=_text(f"Slots of {name}, {moment(since)} to {moment(until)} UTC"),
        height=bottom,
        notes="".join(f'<p class="note">{_text(note, 400)}</p>' for note in notes),
        picture="\n".join(marks),
    )


def figures(panel: Panel) -> str:
    """The figures of a model, in a line."""
    limit = "" if panel.limit is None else f", limit {panel.limit:,}"
    refills = f"{counted(panel.refills.count, 'refill')}{_said(panel.refills)}"
    jobs, slots = counted(panel.jobs, "job"), counted(panel.lanes, "slot")
    return f"{jobs} · at most {slots} used at once{limit} · in line{_said(panel.waits)} · {refills}"


def _said(found: Times) -> str:
    figures = {
        "median": found.median_seconds,
        "p99": found.p99_seconds,
        "longest": found.largest_seconds,
    }
    said = [f"{name} {_lasted(each)}" for name, each in figures.items() if each is not None]
    return f": {', '.join(said)}" if said else ""


def _lasted(seconds: float) -> str:
    """With hundredths below a second: a refill takes less."""
    return exact(seconds, hundredths=True)


@dataclass(frozen=True)
class _Scale:
    """The times of the picture. `until`: where bars that go on end."""

    first: datetime
    last: datetime
    until: datetime

    def x(self, at: datetime) -> float:
        """Pixels from the left."""
        share = (at - self.first) / (self.last - self.first)
        return round(LEFT + (RIGHT - LEFT) * min(max(share, 0.0), 1.0), 1)

    def box(self, begin: datetime, end: datetime, y: float, height: float) -> str:
        """A rectangle as part of a path, half a pixel wide at least."""
        x = self.x(begin)
        width = round(max(self.x(end) - x, 0.5), 1)
        return f"M{x:g} {y:g}h{width:g}v{height:g}h-{width:g}z"


def _scale(panels: Sequence[Panel], since: datetime, until: datetime) -> _Scale:
    """From the first thing that happened since `since` to the last one."""
    busy = [at for panel in panels for at, waiting in panel.line.items() if waiting]
    first = min(
        [*busy, *(max(bar.begin, since) for panel in panels for bar in panel.bars)], default=since
    )
    last = max(
        [*busy, *(bar.end or until for panel in panels for bar in panel.bars)], default=until
    )
    return _Scale(first, max(last, first + timedelta(seconds=1)), until)


def _panel(panel: Panel, scale: _Scale, top: int) -> tuple[list[str], int]:
    """What is drawn of a model, and where it ends."""
    row = max(7, min(24, 480 // max(panel.lanes, 1)))
    thin = max(5, row // 2)
    slots = top + HEADING + GAPS
    held = slots + max(panel.lanes, 1) * row + 2
    area = held + panel.held_lanes * thin + 12
    base = area + AREA
    every = ceil(LABEL / row)  # so many lanes have room for one number
    marks = [
        (
            f'<text y="{top + HEADING - 8}" x="{LEFT}"><tspan '
            f'class="name">{_text(panel.model)}</tspan> · {figures(panel)}</text>'
        ),
        *_pauses(panel, scale, slots - GAPS, held - slots + GAPS),
        *_axis(scale, slots, base),
        *(
            _lane_name(f"slot {lane}" if lane == 1 else f"{lane}", slots + (lane - 0.5) * row)
            for lane in range(1, panel.lanes + 1)
            if lane == 1 or lane % every == 0
        ),
    ]
    if panel.held_lanes:
        marks.append(_lane_name("held", held + panel.held_lanes * thin / 2))
    for bar in panel.bars:
        if bar.kind == SLOT:
            shape = _slot_bar(bar, scale, slots + (bar.lane - 1) * row, row)
        else:
            shape = scale.box(
                bar.begin, bar.end or scale.until, held + (bar.lane - 1) * thin, thin - 1
            )
        marks.append(
            f'<path class="{_class(bar)}" '
            f'd="{shape}"><title>{_about(bar, scale.until)}</title></path>'
        )
    for gap in _notable(panel):
        shape = f"M{scale.x(gap.begin):g} {slots - 2}l-4 -8h8z" + scale.box(
            gap.begin, gap.end or scale.until, slots - 6, 2
        )
        marks.append(f'<path class="Gap" d="{shape}"><title>{_about_gap(gap)}</title></path>')
    return [
        *marks,
        *_limits(panel, scale, slots, row),
        *_line(panel, scale, area, base),
    ], base + AXIS


def _pauses(panel: Panel, scale: _Scale, top: int, height: int) -> Iterator[str]:
    for begin, end, _, paused in _spans(panel, scale.until):
        if paused:
            shape = scale.box(begin, end, top, height)
            title = f"<title>paused from {clock(begin)}</title>"
            yield f'<path class="paused" d="{shape}">{title}</path>'


def _limits(panel: Panel, scale: _Scale, top: int, row: int) -> Iterator[str]:
    """A line below the last lane that a limit allows, if so many were used."""
    for begin, end, limit, _ in _spans(panel, scale.until):
        if limit is not None and limit <= panel.lanes:
            shape = f"M{scale.x(begin):g} {top + limit * row}H{scale.x(end):g}"
            yield (
                f'<path class="limit" d="{shape}"><title>limit {limit} from '
                f"{clock(begin)}</title></path>"
            )


def _spans(panel: Panel, until: datetime) -> Iterator[tuple[datetime, datetime, int | None, bool]]:
    """From when to when the model had which limit, and was paused or not."""
    ends = [*list(panel.settings)[1:], until]
    for (begin, (limit, paused)), end in zip(panel.settings.items(), ends, strict=True):
        yield begin, end, limit, paused


def _axis(scale: _Scale, top: int, base: int) -> Iterator[str]:
    span = (scale.last - scale.first).total_seconds()
    step = next(
        (step for step in TICK_SECONDS if span / step <= MAX_TICKS),
        ceil(span / MAX_TICKS / DAY) * DAY,
    )
    tick = ceil(scale.first.timestamp() / step) * step
    while tick <= scale.last.timestamp():
        at = datetime.fromtimestamp(tick, UTC)
        yield f'<path class="grid" d="M{scale.x(at):g} {top}V{base + 4}"/>'
        yield (
            f'<text class="middle" x="{scale.x(at):g}" '
            f'y="{base + 18}">{clock(at) if step < MINUTE else clock(at)[:-3]}</text>'
        )
        tick += step


def _lane_name(name: str, middle: float) -> str:
    return f'<text class="end" x="{LEFT - 6}" y="{middle + 4:g}">{name}</text>'


def _slot_bar(bar: Bar, scale: _Scale, top: int, row: int) -> str:
    """Thin until Bedrock started the job, as far as that is known."""
    end = bar.end or scale.until
    tall = round(row * 0.8, 1)
    thin, middle = round(row * 0.3, 1), round(top + row * 0.25, 1)
    if bar.outcome == REFUSED or (bar.started is None and bar.outcome in RAN):
        return scale.box(bar.begin, end, top, tall)
    if bar.started is None:
        return scale.box(bar.begin, end, middle, thin)
    return scale.box(bar.begin, bar.started, middle, thin) + scale.box(bar.started, end, top, tall)


def _line(panel: Panel, scale: _Scale, top: int, base: int) -> Iterator[str]:
    """How many waited, as an area of steps."""
    most = max(panel.line.values())
    heights = {
        scale.x(at): round(base - (base - top) * waiting / max(most, 1), 1)
        for at, waiting in panel.line.items()
    }
    steps = "".join(f"H{x:g}V{y:g}" for x, y in heights.items())
    yield f'<path class="grid" d="M{LEFT} {base}H{RIGHT}"/>'
    yield (
        f'<path class="Line" d="M{LEFT} {base}{steps}V{base}z"><title>in line, at most {most:,} at '
        "once</title></path>"
    )
    yield (
        _lane_name(f"{most:,}", top)
        + _lane_name("in line", (top + base) / 2)
        + _lane_name("0", base)
    )


def _legend(panels: Sequence[Panel]) -> tuple[list[str], int]:
    used = {
        "Line",
        *(_class(bar) for panel in panels for bar in panel.bars),
        *("Gap" for panel in panels if _notable(panel)),
    }
    used |= {"paused" for panel in panels for _, paused in panel.settings.values() if paused}
    marks = []
    for number, name in enumerate(name for name in LEGEND if name in used):
        x, y = LEFT + number % LEGEND_COLUMNS * LEGEND_COLUMN, number // LEGEND_COLUMNS * 18 + 4
        marks.append(
            f'<path class="{name}" d="M{x} {y}h14v11h-14z"/><text x="{x + 20}" '
            f'y="{y + 10}">{LEGEND[name]}</text>'
        )
    return marks, ceil(len(marks) / LEGEND_COLUMNS) * 18 + 4


def _class(bar: Bar) -> str:
    return "Held" if bar.kind == HELD else bar.outcome if bar.outcome != GOES_ON else "Running"


def _notable(panel: Panel) -> list[Gap]:
    return [gap for gap in panel.gaps if gap.seconds > NOTABLE_GAP_SECONDS and not gap.held_back]


def _about(bar: Bar, until: datetime) -> str:
    """What a browser shows beside the mouse."""
    word = LEGEND.get(bar.outcome) or bar.status
    if bar.kind == HELD:
        word = (
            f"Held, then {word.lower() if bar.outcome else 'claimed again'}" if bar.end else "Held"
        )
    started = f", started by Bedrock {clock(bar.started)}" if bar.started else ""
    took = _lasted(((bar.end or until) - bar.begin).total_seconds())
    return "\n".join(
        [
            _text(bar.file.removeprefix(INPUT_PREFIX)),
            f"{_text(word)}, attempt {bar.attempt}, {counted(bar.records, 'record')}",
            f"{clock(bar.begin)} to {clock(bar.end) if bar.end else 'now'} ({took}){started}",
            f"{_lasted(bar.waited_seconds)} in line before",
            *([_text(bar.reason, 240)] if bar.reason else []),
            f"job {_text(bar.job)}",
        ]
    )


def _about_gap(gap: Gap) -> str:
    began = "after an arrival, a refusal or a new limit"
    if gap.ended_job:
        began = f"after the end of {_text(gap.ended_job)}"
    then = "until no job waited" if gap.end else "free still"
    if gap.next_job:
        then = f"until the start of {_text(gap.next_job)}"
    return f"a free slot for {_lasted(gap.seconds)} from {clock(gap.begin)}\n{began}\n{then}"


def _text(text: str, most: int = 200) -> str:
    """HTML of a text of others: on one line, its middle left out if it is longer than `most`."""
    shown = text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2) :]}"
    return html.escape(safe(shown))
