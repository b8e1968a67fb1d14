"""`bbq timeline`: which jobs, what it writes and where, what it says; and what no text of others can do to the page."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from cli import timeline
from cli.app import Fault
from cli.lanes import Panel, life, panel
from cli.queries import View, jobs_since
from cli.timeline_figure import visible
from cli.timeline_page import MARK, page
from shared import events
from shared.memory import MemoryTables
from shared.store import Store
from tests.cli.conftest import NOW, Deployed, Result
from tests.cli.lives import histories
from tests.support.samples import at

Run = Callable[..., Result]
AN_HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the command: an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def busy(deployed: Deployed) -> Deployed:
    """Two slots of haiku: a and b run, c waits and is next when a ends, d fails at once; half a minute between all of it."""
    first = deployed.upload("haiku/a.jsonl")
    deployed.upload("haiku/b.jsonl")
    third = deployed.upload("haiku/c.jsonl")
    deployed.wait(seconds=30)
    deployed.complete(first, succeeded=90, failed=10)
    deployed.wait(seconds=30)
    deployed.report(third, "Failed", message="<b>no</b>")
    deployed.wait(seconds=30)
    return deployed


def test_a_page_of_all_slots_is_written_here_and_the_figures_are_printed(busy: Deployed, bbq: Run, here: Path) -> None:
    result = bbq("timeline")

    text = (here / "bbq-timeline.html").read_text("utf-8")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "haiku: 3 jobs, at most 2 slots used at once; 1 refill of a freed slot: median 0.00s, p99 0.00s, longest 0.00s\n"
        "bbq-timeline.html\n"
    )
    assert MARK in text
    assert "haiku/a.jsonl" in text
    assert "<b>no</b>" not in text.replace(get_plotlyjs(), "")
    assert [path.name for path in here.iterdir()] == ["bbq-timeline.html"]


def test_json_gives_bars_and_gaps_by_name_and_writes_no_page(busy: Deployed, bbq: Run, here: Path) -> None:
    found = bbq("timeline", "--json", "--since", "2h").json

    assert found["since"] == "2026-11-24T10:01:30.000000Z"
    assert [(bar["file"].rpartition("/")[2], bar["lane"], bar["outcome"], bar["reason"]) for bar in found["bars"]] == [
        ("a.jsonl", 1, "CompletedWithErrors", ""), ("b.jsonl", 2, "", ""), ("c.jsonl", 1, "Failed", "<b>no</b>"),
    ]  # fmt: skip
    assert set(found["bars"][0]) == {
        "job", "file", "model", "attempt", "kind", "lane", "begin", "end", "started", "status", "outcome", "reason", "records",
        "waited_seconds",
    }  # fmt: skip
    assert set(found["gaps"][0]) == {
        "model", "begin", "end", "seconds", "after", "after_job", "next_job", "held_back", "refill",
    }  # fmt: skip
    (model,) = found["models"]
    assert (model["model"], model["limit"], model["slots_used"], model["jobs"]) == ("haiku", 2, 2, 3)
    assert model["refills"]["count"] == sum(gap["refill"] for gap in found["gaps"]) == 1
    assert list(here.iterdir()) == []


def test_json_with_out_writes_the_page_as_well(busy: Deployed, bbq: Run, here: Path) -> None:
    assert bbq("timeline", "--json", "--out", "slots.html").json["bars"]
    assert MARK in (here / "slots.html").read_text("utf-8")


def test_a_timeline_is_replaced_and_any_other_file_only_by_force(busy: Deployed, bbq: Run, here: Path) -> None:
    notes = here / "notes.html"
    notes.write_text("mine")

    refused = bbq("timeline", "--out", "notes.html")
    kept = notes.read_text()
    forced = bbq("timeline", "--out", "notes.html", "--force")
    again = bbq("timeline", "--out", "notes.html")

    assert (refused.code, refused.err) == (
        2, "bbq: notes.html is there already and is no timeline: say --force to write over it, or another --out\n",
    )  # fmt: skip
    assert kept == "mine"
    assert (forced.code, again.code) == (0, 0)
    assert MARK in notes.read_text("utf-8")


def test_a_folder_that_is_not_there_is_said_before_anything_is_read(busy: Deployed, bbq: Run, requests: list[str]) -> None:
    result = bbq("timeline", "--out", "nowhere/slots.html")

    assert (result.code, result.err) == (2, "bbq: there is no folder nowhere: make it, or say another --out\n")
    assert "Query" not in requests


def test_no_job_since_then_is_said_and_no_page_written(deployed: Deployed, bbq: Run, here: Path) -> None:
    result = bbq("timeline", "--since", "3h")

    assert (result.code, result.out) == (0, "")
    assert result.err == "no job was alive since 2026-11-24 09:00:00 UTC, and no page is written\n"
    assert list(here.iterdir()) == []


def test_only_the_models_that_were_named_are_shown(busy: Deployed, bbq: Run) -> None:
    busy.upload("nova/n.jsonl", "nova")

    assert [model["model"] for model in bbq("timeline", "--json", "--model", "nova").json["models"]] == ["nova"]
    assert [model["model"] for model in bbq("timeline", "--json").json["models"]] == ["haiku", "nova"]
    wrong = bbq("timeline", "--model", "opus")
    assert (wrong.code, wrong.err) == (3, "bbq: there is no model 'opus' and no job of it: the models are haiku, nova\n")


def test_a_moment_that_is_to_come_is_refused(deployed: Deployed, bbq: Run) -> None:
    result = bbq("timeline", "--since", "2030-01-01")

    assert (result.code, result.err) == (2, "bbq: --since '2030-01-01' is not in the past: say when the picture begins\n")


def test_beyond_the_limit_the_picture_begins_later_and_says_so(busy: Deployed, bbq: Run) -> None:
    result = bbq("timeline", "--json", "--limit", "2")

    assert result.json["since"] == "2026-11-24T12:00:30.000000Z"  # when a ended, which is left out
    assert [bar["file"].rpartition("/")[2] for bar in result.json["bars"]] == ["b.jsonl", "c.jsonl"]
    assert result.err == (
        "2 jobs are shown, 1 that ended earlier left out: the picture begins at 2026-11-24 12:00:30 UTC instead. "
        "Say a larger --limit, a later --since, or one --model.\n"
    )


def test_more_live_jobs_than_the_limit_are_an_error(busy: Deployed, bbq: Run) -> None:
    busy.upload("haiku/e.jsonl")

    result = bbq("timeline", "--limit", "1")

    assert (result.code, result.err) == (2, "bbq: more than 1 jobs are not over yet: say a larger --limit, or one --model\n")


def test_a_job_that_cannot_be_read_is_left_out_and_named(busy: Deployed, bbq: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    job = next(bar["job"] for bar in bbq("timeline", "--json").json["bars"] if bar["file"].endswith("b.jsonl"))
    busy.report(job, "InProgress")
    known = {name: kind for name, kind in events.EVENTS.items() if name != "job-progressed"}
    monkeypatch.setattr(events, "EVENTS", known)  # as if a newer deployment had written it

    result = bbq("timeline", "--json")

    assert [bar["file"].rpartition("/")[2] for bar in result.json["bars"]] == ["a.jsonl", "c.jsonl"]
    assert result.err == (
        "1 job cannot be read (written by a newer version, or damaged) and left out, so that slots may seem free which were not: "
        f"{job}\n"
    )
    assert result.json["notes"] == [result.err.rstrip()]


def test_every_job_is_one_read_and_each_model_one(busy: Deployed, bbq: Run, requests: list[str]) -> None:
    bbq("timeline", "--json")
    before = requests.count("Query")
    busy.upload("haiku/g.jsonl")
    requests.clear()

    bbq("timeline", "--json")

    assert requests.count("Query") == before + 1


def test_the_jobs_that_ended_last_are_kept_and_those_not_over_before_them(busy: Deployed) -> None:
    views = list(jobs_since(busy.deployment, NOW - AN_HOUR))

    chosen = timeline.choose(views, NOW - AN_HOUR, 10)

    assert [view.file for view in chosen.views] == ["haiku/b.jsonl", "haiku/c.jsonl", "haiku/a.jsonl"]
    assert (chosen.since, chosen.left_out) == (NOW - AN_HOUR, 0)


def test_reads_at_once_come_back_in_order(busy: Deployed) -> None:
    views = [replace(one, job=str(number)) for number, one in enumerate([some_view(busy)] * 100)]

    assert timeline.at_once(lambda view: view.job, views, 8) == [str(number) for number in range(100)]
    assert timeline.at_once(lambda view: view.job, [], 8) == []


def test_a_read_that_fails_ends_it(busy: Deployed) -> None:
    def fail(view: View) -> str:
        raise Fault("denied")

    with pytest.raises(Fault, match="denied"):
        timeline.at_once(fail, [some_view(busy)] * 3, 2)


def some_view(deployed: Deployed) -> View:
    return next(iter(jobs_since(deployed.deployment, NOW - AN_HOUR)))


def some_panel() -> Panel:
    found, configured = histories(3, limit=2)
    return panel("haiku", [one for job, happened in found.items() if (one := life(job, happened))], configured, at(0), at(86_400))


@given(st.text(min_size=1, max_size=300))
def test_whatever_a_text_holds_the_page_has_no_more_elements_than_without_it(text: str) -> None:
    plain, until = some_panel(), at(86_400)
    bars = tuple(replace(bar, file=text, reason=text, job=text) for bar in plain.bars)
    gaps = tuple(replace(gap, after_job=text, next_job=text, seconds=9.0) for gap in plain.gaps)
    hostile = replace(plain, bars=bars, gaps=gaps, model=text)
    mild = replace(plain, gaps=tuple(replace(gap, seconds=9.0) for gap in plain.gaps))

    written = page(text, [hostile], at(0), until, notes=[text], plotly="")
    expected = page("bbq", [mild], at(0), until, notes=["note"], plotly="")

    assert written.count("<") == expected.count("<")
    assert all(letter.isprintable() or letter == "\n" for letter in written)
    drawn = written.partition('id="figure">')[2].partition("</script>")[0]
    assert json.loads(drawn)["data"]
    assert "<" not in drawn


@given(st.text(), st.integers(3, 100))
def test_a_text_is_shown_on_one_line_and_no_longer_than_asked(text: str, most: int) -> None:
    shown = visible(text, most)

    assert shown.isprintable()
    assert len(shown) <= most
    assert shown == text or not text.isprintable() or len(text) > most


def test_a_stream_without_events_is_no_job(busy: Deployed) -> None:
    chosen = timeline.Chosen([some_view(busy)], datetime.min.replace(tzinfo=NOW.tzinfo), 0)

    panels, notes = timeline.draw(Store(MemoryTables(), sleep=lambda _: None), ["haiku"], chosen, NOW, readers=1)

    assert panels == []
    assert len(notes) == 2
