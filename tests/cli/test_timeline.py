"""`bbq timeline`: which jobs, what it writes and where, and what it says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bbq.cli import timeline
from bbq.shared import events
from tests.cli.conftest import Deployed, Result

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the command: an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def busy(deployed: Deployed) -> Deployed:
    """Two slots of haiku: a and b run, c waits, starts when a ends, and fails; half a minute
    between all of it.
    """
    first = deployed.upload("haiku/a.jsonl")
    deployed.upload("haiku/b.jsonl")
    third = deployed.upload("haiku/c.jsonl")
    deployed.wait(seconds=30)
    deployed.complete(first, succeeded=90, failed=10)
    deployed.wait(seconds=30)
    deployed.report(third, "Failed", message="<b>no</b>")
    deployed.wait(seconds=30)
    return deployed


def test_a_page_of_all_slots_is_written_here_and_the_figures_are_printed(
    busy: Deployed, bbq: Run, here: Path
) -> None:
    result = bbq("timeline")

    text = (here / "bbq-timeline.html").read_text("utf-8")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "haiku: 3 jobs · at most 2 slots used at once, limit 2 · in line: median 0.00s, p99 30s, "
        "longest 30s · "
        "1 refill: median 0.00s, p99 0.00s, longest 0.00s\n"
        "bbq-timeline.html\n"
    )
    assert "haiku/a.jsonl" in text
    assert "<b>no</b>" not in text
    assert [path.name for path in here.iterdir()] == ["bbq-timeline.html"]


def test_json_gives_bars_and_gaps_by_name_and_writes_no_page(
    busy: Deployed, bbq: Run, here: Path
) -> None:
    found = bbq("timeline", "--json", "--since", "2h").json

    assert found["since"] == "2026-11-24T10:01:30.000000Z"
    assert [
        (bar["file"].rpartition("/")[2], bar["lane"], bar["outcome"], bar["reason"])
        for bar in found["bars"]
    ] == [
        ("a.jsonl", 1, "CompletedWithErrors", ""),
        ("b.jsonl", 2, "", ""),
        ("c.jsonl", 1, "Failed", "<b>no</b>"),
    ]
    assert set(found["bars"][0]) == {
        "job",
        "file",
        "model",
        "attempt",
        "source",
        "kind",
        "lane",
        "begin",
        "end",
        "started",
        "status",
        "outcome",
        "reason",
        "records",
        "waited_seconds",
    }
    assert set(found["gaps"][0]) == {
        "model",
        "begin",
        "end",
        "seconds",
        "ended_job",
        "next_job",
        "held_back",
        "refill",
    }
    (model,) = found["models"]
    assert (model["model"], model["limit"], model["slots_used"], model["jobs"]) == (
        "haiku",
        2,
        2,
        3,
    )
    assert model["refills"]["count"] == sum(gap["refill"] for gap in found["gaps"]) == 1
    assert list(here.iterdir()) == []
    assert bbq("timeline", "--json", "--out", "slots.html").json["bars"]
    assert [path.name for path in here.iterdir()] == ["slots.html"]


def test_a_folder_that_is_not_there_is_said_before_anything_is_read(
    busy: Deployed, bbq: Run, requests: list[str]
) -> None:
    result = bbq("timeline", "--out", "nowhere/slots.html")

    assert (result.code, result.err) == (
        2,
        "bbq: there is no folder nowhere: make it, or say another --out\n",
    )
    assert "Query" not in requests


def test_that_no_job_lived_is_said_and_no_page_is_written(
    deployed: Deployed, bbq: Run, here: Path
) -> None:
    result = bbq("timeline", "--since", "3h")

    assert (result.code, result.out) == (0, "")
    assert result.err == "no job was alive since 2026-11-24 09:00:00 UTC, and no page is written\n"
    assert list(here.iterdir()) == []


def test_only_the_models_that_were_named_are_shown(busy: Deployed, bbq: Run) -> None:
    busy.upload("nova/n.jsonl", "nova")

    assert [
        model["model"] for model in bbq("timeline", "--json", "--model", "nova").json["models"]
    ] == ["nova"]
    assert [model["model"] for model in bbq("timeline", "--json").json["models"]] == [
        "haiku",
        "nova",
    ]
    wrong = bbq("timeline", "--model", "opus")
    assert (wrong.code, wrong.err) == (
        3,
        "bbq: there is no model 'opus': the models are haiku, nova\n",
    )


def test_a_part_of_the_time_is_drawn_as_it_was_at_its_end(busy: Deployed, bbq: Run) -> None:
    # c runs
    found = bbq("timeline", "--json", "--since", "2h", "--until", "2026-11-24T12:00:45").json

    assert found["until"] == "2026-11-24T12:00:45.000000Z"
    assert [
        (bar["file"].rpartition("/")[2], bar["end"] is None, bar["outcome"])
        for bar in found["bars"]
    ] == [
        ("a.jsonl", False, "CompletedWithErrors"),
        ("b.jsonl", True, ""),
        ("c.jsonl", True, ""),
    ]
    none = bbq("timeline", "--since", "2h", "--until", "2026-11-24T11:00")
    assert none.err == "no job was alive since 2026-11-24 10:01:30 UTC, and no page is written\n"


def test_a_time_without_length_is_refused(deployed: Deployed, bbq: Run) -> None:
    future, backwards = (
        bbq("timeline", "--since", "2030-01-01"),
        bbq("timeline", "--until", "2020-01-01"),
    )

    assert (future.code, future.err) == (
        2,
        "bbq: --since '2030-01-01' is not in the past: say when the picture begins\n",
    )
    assert (backwards.code, backwards.err) == (
        2,
        "bbq: --since '24h' is not before --until '2020-01-01': say when the picture begins\n",
    )
    assert "--until 'soon' is not a time" in bbq("timeline", "--until", "soon").err


def test_more_jobs_than_a_picture_shows_are_an_error(
    busy: Deployed, bbq: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MAX_JOBS", 2)

    result = bbq("timeline")

    assert (result.code, result.err) == (
        2,
        "bbq: 3 jobs lived then, and a picture shows 2: say a later --since, or one --model\n",
    )


def test_a_job_that_cannot_be_read_is_left_out_and_named(
    busy: Deployed, bbq: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = next(
        bar["job"]
        for bar in bbq("timeline", "--json").json["bars"]
        if bar["file"].endswith("b.jsonl")
    )
    busy.report(job, "InProgress")
    known = {name: kind for name, kind in events.EVENTS.items() if name != "job-progressed"}
    monkeypatch.setattr(events, "EVENTS", known)  # as if a newer deployment had written it

    result = bbq("timeline", "--json")

    assert [bar["file"].rpartition("/")[2] for bar in result.json["bars"]] == ["a.jsonl", "c.jsonl"]
    assert result.err == (
        "1 job cannot be read (written by a newer version, or damaged) and left out, so that slots "
        "may seem free which were not: "
        f"{job}\n"
    )
    assert result.json["notes"] == [result.err.rstrip()]


def test_every_job_is_one_read_and_each_model_one(
    busy: Deployed, bbq: Run, requests: list[str]
) -> None:
    bbq("timeline", "--json")
    before = requests.count("Query")
    busy.upload("haiku/g.jsonl")
    requests.clear()

    bbq("timeline", "--json")

    assert requests.count("Query") == before + 1
