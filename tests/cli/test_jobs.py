"""`bbq jobs`: what is listed, how it looks, and what it says to a program."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bbq.cli import queries
from bbq.cli.faults import Exit
from bbq.cli.views import View
from bbq.shared import events as e
from tests.cli.conftest import NOW, Deployed, Result

Bbq = Callable[..., Result]


@pytest.fixture
def busy(deployed: Deployed) -> dict[str, str]:
    """A job of every kind, by a name for it."""
    made = {}
    deployed.time = NOW - timedelta(hours=3)
    made["failed"] = deployed.upload("haiku/failed.jsonl")
    deployed.wait(minutes=5)
    deployed.report(made["failed"], "Failed", message="the model said [no]")
    made["partly"] = deployed.upload("haiku/partly.jsonl")
    deployed.wait(minutes=20)
    deployed.complete(made["partly"], succeeded=60, failed=40)
    made["rejected"] = deployed.reject(
        "haiku/broken.jsonl", e.Problem(line=17, text="not JSON"), e.Problem(line=18, text="no")
    )
    made["nobody's"] = deployed.reject(
        "other/x.jsonl", e.Problem(line=None, text="no model other"), model=None
    )
    deployed.time = NOW - timedelta(minutes=10)
    made["running"] = deployed.upload("haiku/running.jsonl", records=12_345, owner="ada")
    made["second"] = deployed.upload("haiku/second.jsonl")
    deployed.wait(minutes=1)
    made["waiting"] = deployed.upload("haiku/waiting.jsonl")
    deployed.wait(minutes=1)
    deployed.refuse_next()
    made["held"] = deployed.upload("nova/held.jsonl", "nova")
    deployed.report(made["running"], "InProgress")
    deployed.time = NOW
    return made


def listed(result: Result) -> list[str]:
    assert result.code == 0, result.err
    return [job["job"] for job in result.json]


def test_everything_live_comes_first_and_then_what_ended_last(
    busy: dict[str, str], bbq: Bbq
) -> None:
    by_id = {job: name for name, job in busy.items()}
    found = [by_id[job] for job in listed(bbq("jobs", "--json"))]
    assert found[:4] == ["running", "second", "waiting", "held"]
    assert sorted(found[4:]) == ["failed", "nobody's", "partly", "rejected"]
    assert found[-1] == "failed"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--status", "queued"], ["held", "waiting"]),
        (["--status", "Failed", "--status", "Rejected"], ["failed", "nobody's", "rejected"]),
        (["--status", "CompletedWithErrors"], ["partly"]),
        (["--status", "Completed"], []),
        (["--status", "live", "--model", "nova"], ["held"]),
        (["--status", "over", "--since", "30m"], []),
        (
            ["--status", "over", "--since", "1d", "--model", "haiku"],
            ["failed", "partly", "rejected"],
        ),
        (["--limit", "1"], ["running"]),
        (["--limit", "4", "--since", "2026-11-24"], ["held", "running", "second", "waiting"]),
    ],
)
def test_options_choose(
    busy: dict[str, str], bbq: Bbq, options: list[str], expected: list[str]
) -> None:
    assert sorted(listed(bbq("jobs", "--json", *options))) == sorted(
        busy[name] for name in expected
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_shows_every_job_with_its_reason(
    busy: dict[str, str], bbq: Bbq, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = bbq("jobs")
    rows = result.out.splitlines()
    assert all(len(row) <= width for row in rows)
    assert all(job in result.out for job in busy.values())
    for words in (
        "InProgress",
        "CompletedWithErrors",
        "60/100",
        "12,345",
        "the quota is full",
        "the model said [no]",
        "not JSON (and 1 more)",
    ):
        assert words in result.out
    assert "\x1b" not in result.out  # not a terminal
    heads = [row.index(busy["running"]) for row in rows if busy["running"] in row]
    assert heads == [0]


def test_at_120_columns_the_times_are_there(busy: dict[str, str], bbq: Bbq) -> None:
    table = bbq("jobs").out.splitlines()
    assert table[0].split() == ["job", "file", "status", "records", "queued", "waited", "ran"]
    (partly,) = [row for row in table if busy["partly"] in row]
    assert partly.split()[-4:] == ["60/100", "2h55m", "0s", "20m00s"]


def test_one_document_a_line(busy: dict[str, str], bbq: Bbq) -> None:
    documents = [json.loads(line) for line in bbq("jobs", "--jsonl").out.splitlines()]
    assert documents == bbq("jobs", "--json").json
    (running,) = [job for job in documents if job["job"] == busy["running"]]
    assert running["labels"] == {"owner": "ada"}
    assert running["ran_seconds"] == 600
    assert running["queued_at"] == "2026-11-24T11:50:00.000000Z"


def test_more_than_the_limit_is_said_and_nothing_at_all_too(busy: dict[str, str], bbq: Bbq) -> None:
    assert "more than these 2" in bbq("jobs", "--limit", "2").err
    assert "more than" not in bbq("jobs", "--limit", "8").err
    none = bbq("jobs", "--status", "Expired")
    assert (none.code, none.out) == (0, "")
    assert "no such job" in none.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--status", "Done"], Exit.USAGE, "CompletedWithErrors"),
        (["--since", "yesterday"], Exit.USAGE, "2026-11-23"),
        (["--since", "2020-01-01"], Exit.USAGE, "later --since"),
        (["--model", "opus"], Exit.NOT_FOUND, "haiku, nova"),
        (["--limit", "0"], Exit.USAGE, "limit"),
    ],
)
def test_bad_options_are_said_in_a_sentence(
    deployed: Deployed, bbq: Bbq, arguments: list[str], code: int, words: str
) -> None:
    result = bbq("jobs", *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err


def test_a_model_that_is_not_configured_any_more_keeps_its_jobs(
    deployed: Deployed, bbq: Bbq
) -> None:
    job = deployed.reject("old/x.jsonl", e.Problem(line=1, text="no"), model="old")
    assert listed(bbq("jobs", "--model", "old", "--json")) == [job]


def test_a_job_that_ends_while_the_list_is_read_is_listed_once_as_over(
    busy: dict[str, str], deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = queries.live_views

    def and_then_it_ends(*arguments: Any) -> list[View]:
        found = live(*arguments)
        deployed.complete(busy["running"])
        return found

    monkeypatch.setattr(queries, "live_views", and_then_it_ends)
    documents = [job for job in bbq("jobs", "--json").json if job["job"] == busy["running"]]
    assert [job["status"] for job in documents] == ["Completed"]


def test_a_rejected_file_has_no_count_of_records(busy: dict[str, str], bbq: Bbq) -> None:
    (row,) = [row for row in bbq("jobs").out.splitlines() if busy["rejected"] in row]
    assert row.split()[2:] == ["Rejected", "2h35m"]
