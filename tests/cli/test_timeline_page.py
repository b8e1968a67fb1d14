"""The page in a real browser: opened from disk it asks nobody for anything, complains of nothing, and shows what it should."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from cli.lanes import SLOT, Bar, Gap, Panel, Setting, life, panel
from cli.timeline_figure import TALL, figure
from cli.timeline_page import page
from tests.cli.lives import HOUR, histories
from tests.support import browser
from tests.support.samples import at

DRAWN = "document.body?.dataset.drawn === 'yes'"
HOSTILE = (
    "to-process/haiku/<b>bold</b><a href='https://example.com/x'>link</a><img src=x onerror=document.title='gone'>.jsonl",
    "to-process/haiku/</script><script>document.title='gone'</script>.jsonl",
    "to-process/haiku/&lt;i&gt;&#60;u&#62;&amp;.jsonl",
    "to-process/haiku/\u202egnp.exe\u2028\u2029\u0000\u0007\u009b31m\n\r\t.jsonl",
    "to-process/haiku/%{x}%{customdata[1]}$\\frac{1}{2}$${figure}{title}.jsonl",
    "to-process/haiku/" + "long" * 300 + ".jsonl",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Page]:
    """A browser for all tests here. Missing, it is a reason to skip, but not in CI, where `.ci/run` installs it."""
    if browser.found() is None and not os.environ.get("CI"):
        pytest.skip("no Chromium is installed: the page was not opened")
    with browser.browser() as opened:
        yield opened


@pytest.fixture
def shown(chromium: browser.Page) -> browser.Page:
    """The browser, with nothing heard yet."""
    chromium.requests.clear()
    chromium.complaints.clear()
    return chromium


def of(jobs: int, *, limit: int = 4, model: str = "haiku", hours: float = 24) -> Panel:
    """Made-up lives of so many jobs."""
    found, configured = histories(jobs, limit=limit, model=model, hours=hours)
    lives = [one for job, events in found.items() if (one := life(job, events))]
    return panel(model, lives, configured, at(0), at(hours * HOUR))


def opened(shown: browser.Page, folder: Path, panels: list[Panel], hours: float = 24) -> Path:
    """Write the page, and open it."""
    file = folder / "page.html"
    file.write_text(page("bbq", panels, at(0), at(hours * HOUR), notes=["<b>a note</b>"], plotly=get_plotlyjs()), "utf-8")
    shown.open(file, DRAWN)
    return file


def drawn_bars(shown: browser.Page) -> int:
    found: int = shown.ask("document.querySelectorAll('.barlayer .point path').length")
    return found


def expected_bars(panels: list[Panel]) -> int:
    """Rectangles: one for each element of each bar trace."""
    return sum(len(trace["x"]) for trace in figure(panels, at(0), at(24 * HOUR))[0]["data"] if trace["type"] == "bar")


@pytest.mark.parametrize("jobs", [1, 60, 1500])
def test_the_page_draws_every_bar_and_needs_no_network(shown: browser.Page, tmp_path: Path, jobs: int) -> None:
    panels = [of(jobs, limit=20 if jobs > 100 else 4), of(jobs // 3 + 1, limit=3, model="nova")]

    file = opened(shown, tmp_path, panels)

    assert drawn_bars(shown) == expected_bars(panels) >= sum(bar.kind == SLOT for one in panels for bar in one.bars)
    assert [address for address in shown.requests if not address.startswith("data:")] == [file.as_uri()]
    assert shown.complaints == []
    assert file.stat().st_size < 7_000_000  # plotly itself is 4.8 MB


def test_the_page_has_few_traces_however_many_bars() -> None:
    data = figure([of(1500, limit=20)], at(0), at(24 * HOUR))[0]["data"]

    assert len(data) <= 14
    assert sum(len(trace["x"]) for trace in data if trace["type"] == "bar") > 1500


def test_plotly_knows_every_name_in_the_figure() -> None:
    drawn, _ = figure([of(60), of(9, model="nova", limit=1)], at(0), at(24 * HOUR))

    assert len(Figure(drawn).data) == len(drawn["data"])  # it raises for what it does not know


def test_the_page_may_ask_nobody_for_anything(shown: browser.Page, tmp_path: Path) -> None:
    opened(shown, tmp_path, [of(1)])

    assert shown.ask("fetch('http://127.0.0.1:9/').then(() => 'answered', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in shown.complaints)


def test_a_bar_is_thin_until_bedrock_starts_it_and_where_it_never_did() -> None:
    whole = of(1, hours=1)
    bar = replace(whole.bars[0], begin=at(0), end=at(100), started=at(30), outcome="Failed")

    def drawn(bar: Bar) -> list[tuple[float, bool]]:
        (trace,) = (t for t in figure([replace(whole, bars=(bar,))], at(0), at(HOUR))[0]["data"] if t["type"] == "bar")
        return [(length / 1000, height < TALL) for length, height in zip(trace["x"], trace["width"], strict=True)]

    assert drawn(bar) == [(30.0, True), (70.0, False)]
    assert drawn(replace(bar, started=None)) == [(100.0, True)]
    assert drawn(replace(bar, started=None, outcome="Completed")) == [(100.0, False)]  # nobody told when it started
    assert drawn(replace(bar, end=None)) == [(30.0, True), (HOUR - 30, False)]


def test_a_pause_is_a_band_and_a_limit_a_line_below_its_last_lane() -> None:
    changes = (Setting(at=at(0), limit=1, paused=False), Setting(at=at(600), limit=1, paused=True))

    shapes = figure([replace(of(1, hours=1), settings=changes)], at(0), at(HOUR))[0]["layout"]["shapes"]

    assert [(shape["type"], shape["x1"] - shape["x0"], shape["y0"]) for shape in shapes] == [
        ("line", 600_000, 1.5), ("rect", 3_000_000, 0), ("line", 3_000_000, 1.5),
    ]  # fmt: skip


def test_only_long_gaps_that_were_ours_are_marked() -> None:
    whole = of(1, hours=1)
    gap = Gap(model="haiku", begin=at(0), end=at(9), seconds=9.0, after="end", after_job="a", next_job="b", held_back=False)
    gaps = (gap, replace(gap, begin=at(20), held_back=True), replace(gap, begin=at(40), seconds=0.3), replace(gap, begin=at(60)))

    (marks,) = (t for t in figure([replace(whole, gaps=gaps)], at(0), at(HOUR))[0]["data"] if t.get("meta") == "gaps")

    assert [moment / 1000 - at(0).timestamp() for moment in marks["x"]] == [0, 60]
    assert "a free slot for 9.0s" in marks["customdata"][0][0]


def test_held_jobs_have_rows_below_the_slots_and_every_row_is_in_sight() -> None:
    panels = [of(60)]
    drawn, _ = figure(panels, at(0), at(24 * HOUR))

    low, high = drawn["layout"]["yaxis"]["range"]
    rows = {trace["meta"]: trace["y"] for trace in drawn["data"] if trace.get("meta") in {"bars", "held"}}
    assert min(rows["held"]) > panels[0].lanes + 0.5
    assert high < 1 <= min(rows["bars"]) <= max(rows["held"]) < low


def test_nothing_in_a_key_a_reason_or_a_name_is_markup(shown: browser.Page, tmp_path: Path) -> None:
    whole = of(len(HOSTILE), limit=len(HOSTILE), hours=1)
    bars = [bar for bar in whole.bars if bar.kind == SLOT][: len(HOSTILE)]
    named = [
        replace(
            bar, file=key, reason=key, job=key[-40:], lane=lane, begin=at(100), end=at(3000), started=None, outcome="Completed"
        )
        for lane, (bar, key) in enumerate(zip(bars, HOSTILE, strict=True), 1)
    ]
    hostile = replace(whole, model="<i>m</i></script>", bars=tuple(named), gaps=())

    file = opened(shown, tmp_path, [hostile], hours=1)

    texts = [hovered(shown, number) for number in range(len(named))]
    assert texts[0].startswith("haiku/<b>bold</b><a href='https://ex…")
    assert "</script><script>document.title='gone'</script>.jsonl" in texts[1]
    assert "&lt;i&gt;&#60;u&#62;&amp;" in texts[2]
    assert "\\u202egnp.exe\\u2028\\u2029\\x00\\x07\\x9b31m\\x0a\\x0d\\x09" in texts[3]
    assert "%{x}%{customdata[1]}$\\frac{1}{2}$${figure}{title}" in texts[4]
    assert len(texts[5]) < 700
    # `<a`, `<i` and the like would be elements of the drawing; the only bold text is the first line of each box.
    assert shown.ask("document.querySelectorAll('svg a, svg image, #picture img').length") == 0
    assert shown.ask("document.title").startswith("Slots of bbq")
    assert shown.ask("document.querySelector('.note').textContent") == "<b>a note</b>"
    assert shown.ask("document.querySelector('tbody th').textContent") == "<i>m</i></script>"
    assert shown.ask("document.querySelector('.annotation-text').textContent").startswith("<i>m</i></script>")
    assert shown.complaints == []
    assert [address for address in shown.requests if not address.startswith("data:")] == [file.as_uri()]
    for letter in ("\u202e", "\x07", "\x9b"):
        assert letter not in file.read_text("utf-8").replace(get_plotlyjs(), "")


def hovered(shown: browser.Page, number: int) -> str:
    """The text of the box that bar `number` shows; a click writes the same below the picture."""
    place = shown.ask(
        f"(() => {{ const path = document.querySelectorAll('.barlayer .point path')[{number}]; path.scrollIntoView();"
        " const box = path.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    shown.point(1, 1)
    shown.point(*place, click=True)
    shown.ask("new Promise((done) => setTimeout(done, 150))")
    text: str = shown.ask("document.querySelector('.hoverlayer .hovertext')?.textContent ?? ''")
    picked: str = shown.ask("document.getElementById('picked').textContent")
    assert text
    assert picked.split("\n", maxsplit=1)[0] in text
    return text


def test_a_zoom_into_one_panel_zooms_all_of_them(shown: browser.Page, tmp_path: Path) -> None:
    opened(shown, tmp_path, [of(60), of(20, model="nova", limit=2)])
    ranges = "[picture.layout.xaxis.range, picture.layout.xaxis2.range].map((range) => range.map((at) => +new Date(at)))"
    before = shown.ask(ranges)

    shown.ask(f"Plotly.relayout(picture, {{'xaxis.range': [{before[0][0]} + 36e5, {before[0][0]} + 72e5]}})" + ".then(() => 1)")

    first, second = shown.ask(ranges)
    assert first == second != before[0]
    assert round(first[1] - first[0]) == timedelta(hours=1) / timedelta(milliseconds=1)
