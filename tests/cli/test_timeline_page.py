"""The page of `bbq timeline`: each mark is where it should be, and no text of others is more than
text.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from bbq.cli.timeline_bars import HELD, SLOT, Bar, Gap, Panel, panel
from bbq.cli.timeline_page import AREA, LEFT, LEGEND, RIGHT, page
from bbq.cli.wording import safe
from bbq.shared import events as e
from bbq.shared.job import ENDS
from local.settings import ROOT
from tests.cli.timeline_picture import FILE, made_up, picture
from tests.support.samples import at

Box = tuple[float, float, float, float]  # x, y, width, height
SECOND = (RIGHT - LEFT) / 100  # in pixels: the pictures here are of a hundred seconds
GAP = Gap(begin=at(40), end=at(60), seconds=20.0, ended_job="a", next_job="b", held_back=False)


def bar(
    begin: float, end: float | None, lane: int = 1, *, kind: str = SLOT, outcome: str = "Completed"
) -> Bar:
    return Bar(
        job="job",
        file="to-process/haiku/a.jsonl",
        model="haiku",
        attempt=1,
        source="waiting",
        kind=kind,
        lane=lane,
        begin=at(begin),
        end=None if end is None else at(end),
        outcome=outcome,
    )


def of(bars: Sequence[Bar], gaps: Sequence[Gap] = (), *changes: e.Event) -> Panel:
    """A panel of a hundred seconds, with as many lanes as the bars say; a bar of the whole time is
    on a slot of its own.
    """
    lanes = {
        kind: max((bar.lane for bar in bars if bar.kind == kind), default=0)
        for kind in (SLOT, HELD)
    }
    whole = bar(0, 100, lanes[SLOT] + 1, outcome="Failed")
    empty = panel("haiku", [], [e.LimitSet(at=at(0), limit=2), *changes], at(0), at(100))
    return replace(
        empty,
        bars=[*bars, whole],
        gaps=gaps,
        lanes=lanes[SLOT] + 1,
        held_lanes=lanes[HELD],
        jobs=len(bars) + 1,
    )


def drawn(found: Panel) -> dict[str, list[ET.Element]]:
    """The paths of the picture by their class, without those of the legend."""
    text = page("bbq", [found], at(0), at(100), notes=[])
    paths: dict[str, list[ET.Element]] = {}
    for path in ET.fromstring(text[text.index("<svg") : text.index("</svg>")] + "</svg>").findall(
        "{*}path"
    ):
        if path.get("class") and "h14v11" not in path.get("d", ""):
            paths.setdefault(path.get("class", ""), []).append(path)
    return paths


def boxes(path: ET.Element) -> list[Box]:
    found = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)", path.get("d", ""))
    return [(float(x), float(y), float(width), float(height)) for x, y, width, height in found]


def seconds(box: Box) -> tuple[int, int]:
    """From when to when a box reaches."""
    return round((box[0] - LEFT) / SECOND), round((box[0] + box[2] - LEFT) / SECOND)


def test_a_bar_is_where_its_time_and_its_lane_are() -> None:
    first, second, third = [
        boxes(path)[0] for path in drawn(of([bar(0, 30), bar(20, 45, 2), bar(30, 90)]))["Completed"]
    ]
    (running,) = drawn(of([bar(70, None, outcome="")]))["Running"]

    assert [seconds(box) for box in (first, second, third)] == [(0, 30), (20, 45), (30, 90)]
    assert first[1] == third[1]
    assert second[1] >= first[1] + first[3]  # a row below, and none is covered
    assert seconds(boxes(running)[0]) == (70, 100)


def test_a_bar_is_thin_until_bedrock_starts_it_and_if_it_never_did() -> None:
    def heights(found: Bar) -> list[tuple[tuple[int, int], float]]:
        (path,) = drawn(of([found]))[found.outcome]
        return [(seconds(box), box[3]) for box in boxes(path)]

    begun = replace(bar(10, 50, outcome="Expired"), started=at(20))
    (thin_time, thin), (tall_time, tall) = heights(begun)
    assert (thin_time, tall_time) == ((10, 20), (20, 50))
    assert thin < tall
    assert heights(replace(begun, started=None)) == [((10, 50), thin)]
    # no event said when it started
    assert heights(replace(begun, started=None, outcome="Completed")) == [((10, 50), tall)]


def test_held_jobs_have_rows_between_the_slots_and_the_area_of_the_line() -> None:
    paths = drawn(
        of([bar(0, 30), bar(30, 60, kind=HELD, outcome=""), bar(40, 60, 2, kind=HELD, outcome="")])
    )

    first, second = [boxes(path)[0] for path in paths["Held"]]
    slots = [boxes(path)[0] for path in (*paths["Completed"], *paths["Failed"])]
    assert max(box[1] + box[3] for box in slots) <= first[1]
    assert first[1] + first[3] <= second[1]
    base = float(re.findall(r"M\d+ ([\d.]+)", paths["Line"][0].get("d", ""))[0])
    assert second[1] + second[3] < base - AREA


def test_only_long_gaps_that_were_the_queues_own_are_marked() -> None:
    gaps = [
        GAP,
        replace(GAP, begin=at(10), held_back=True),
        replace(GAP, seconds=0.3),
        replace(GAP, begin=at(90), end=None),
    ]

    marks = drawn(of([], gaps))["Gap"]

    assert [seconds(boxes(mark)[0]) for mark in marks] == [(40, 60), (90, 100)]
    assert "a free slot for 20s" in (marks[0].findtext("{*}title") or "")


def test_a_pause_is_a_band_and_a_limit_a_line_below_the_last_lane_that_it_allows() -> None:
    paused, lower = e.ModelPaused(at=at(20), by="ada", why=""), e.LimitSet(at=at(60), limit=1)

    paths = drawn(
        of(
            [bar(0, 30), bar(20, 45, 2)],
            [],
            paused,
            e.ModelResumed(at=at(50), by="ada", why=""),
            lower,
        )
    )

    assert [seconds(boxes(band)[0]) for band in paths["paused"]] == [(20, 50)]
    first, second, third = [boxes(path)[0] for path in (*paths["Completed"], *paths["Failed"])]
    *two, one = [float(line.get("d", "").split()[1].split("H")[0]) for line in paths["limit"]]
    assert all(second[1] + second[3] <= y <= third[1] for y in two)
    assert first[1] + first[3] <= one <= second[1]


def test_how_many_waited_is_an_area_of_steps() -> None:
    (area,) = drawn(replace(of([]), line={at(0): 0, at(50): 4, at(75): 2, at(100): 2}))["Line"]

    steps = [(float(x), float(y)) for x, y in re.findall(r"H([\d.]+)V([\d.]+)", area.get("d", ""))]
    base = steps[0][1]
    assert [(round((x - LEFT) / SECOND), base - y) for x, y in steps] == [
        (0, 0),
        (50, AREA),
        (75, AREA / 2),
        (100, AREA / 2),
    ]


def test_every_class_has_a_colour_and_every_outcome_a_label() -> None:
    style = (ROOT / "cli" / "timeline.html").read_text("utf-8")

    assert {
        *ENDS,
        "Cancelled",
        "CompletedWithErrors",
        "NoRecordSucceeded",
        "Refused",
        "Running",
        "Held",
    } < set(LEGEND)
    assert [name for name in LEGEND if f".{name} {{" not in style] == []


@given(st.text(min_size=1, max_size=300))
@example("</title></svg><script>'\"&lt;&amp;$title\u202e\x00\ud800")
def test_whatever_a_text_holds_it_is_text(text: str) -> None:
    hostile = replace(bar(0, 30), file=text, reason=text, job=text)

    def written(name: str, bar: Bar, gap: Gap) -> str:
        return page(name, [replace(of([bar], [gap]), model=name)], at(0), at(100), notes=[name])

    html = written(text, hostile, replace(GAP, ended_job=text, next_job=text))

    assert html.count("<") == written("bbq", replace(bar(0, 30), reason="why"), GAP).count("<")
    assert all(letter.isprintable() or letter == "\n" for letter in html)
    svg = ET.fromstring(html[html.index("<svg") : html.index("</svg>")] + "</svg>")
    assert len(text) > 200 or safe(text) in (svg.findtext("{*}text/{*}tspan") or "")


def test_the_page_needs_no_network_and_a_thousand_jobs_are_small() -> None:
    html = page("bbq", [made_up("haiku", 1_000, 20)], at(0), at(86_400), notes=[])

    assert "default-src 'none'" in html
    assert (
        re.findall(r"<script|<link|<img|@import|src=|href=|(?<!xmlns=\")https?:|url\((?!#)", html)
        == []
    )
    assert html.count("<title>") > 1_000
    assert len(html) < 500_000


def test_the_picture_of_the_docs_is_what_is_drawn_now() -> None:
    assert FILE.read_text("utf-8") == picture(), "run `python -m tests.cli.timeline_picture`"
