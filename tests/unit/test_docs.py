"""What docs/ says is what the code does: events, filter policies, metrics, alarms."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import typer.main

from bbq.cli.main import app
from bbq.services.scheduler.publish import PUBLISHED, message
from bbq.shared import events as e
from bbq.shared.appends import append
from bbq.shared.job import ENDS, Job, fold, outcome
from bbq.shared.tables import EventRow
from bbq.shared.telemetry import FURTHER
from bbq.shared.telemetry import METRICS as METRICS_WRITTEN
from local.readme import EVENTS_PAGE, with_tables
from local.settings import ROOT

EVENTS = EVENTS_PAGE.read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()
OPERATING = (ROOT / "docs" / "operating.md").read_text()
BAD = {
    "Failed",
    "Expired",
    "Stopped",
    "PartiallyCompleted",
    "Rejected",
    "NoRecordSucceeded",
    "CompletedWithErrors",
}
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_the_table_of_events_is_what_the_code_says() -> None:
    assert with_tables(EVENTS) == EVENTS, "run `python -m local.readme`"
    for name in e.EVENTS:
        assert f"| `{name}` |" in EVENTS


def test_a_message_has_the_fields_that_are_published() -> None:
    row = EventRow(name="job-ended", version=5, at="2026-11-24T09:30:00.000000Z", data={})
    fields = list(message(row))
    sample = json.loads(block("message", "json"))
    assert list(sample) == fields
    described = EVENTS.partition("## A message")[2].partition("<!-- message")[0]
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == fields
    assert all(isinstance(value, str) for value in sample.values())
    assert json.loads(sample["data"]).keys() == e.to_stored(ended("Failed", arn=None)).keys()


def test_the_page_names_the_events_that_are_published_and_its_filters_no_other() -> None:
    assert set(re.findall(r"`(job-\w+)`", EVENTS.partition("## All events")[0])) == PUBLISHED
    filters = block("mail", "bash") + block("queue", "bash")
    assert set(re.findall(r"\b(?:job|slot|submission)-\w+", filters)) <= PUBLISHED


def test_every_bad_end_is_told_in_one_mail_and_no_good_one_in_any() -> None:
    policy = json.loads(re.findall(r"<<'END'\n(.*?)\nEND", block("mail", "bash"), re.DOTALL)[0])
    told: dict[str, set[int]] = {}
    for history in histories():
        mails = sum(matches(policy, body) for body in bodies(history))
        told.setdefault(outcome(folded(history)), set()).add(mails)
    assert set(told) == BAD | {"Completed", "Cancelled", ""}
    assert {word: mails for word, mails in told.items() if mails != {int(word in BAD)}} == {}


def test_another_uploader_is_not_told() -> None:
    policy = json.loads(re.findall(r"<<'END'\n(.*?)\nEND", block("mail", "bash"), re.DOTALL)[0])
    history = [queued(), claimed(), ended("Failed", arn=None)]
    assert [matches(policy, body | {"owner": "bob@example.org"}) for body in bodies(history)] == [
        False
    ] * 2


def test_the_queue_hears_once_of_every_job_that_is_over() -> None:
    attributes = json.loads(
        re.findall(r"subscription.json <<'END'\n(.*?)\nEND", block("queue", "bash"), re.DOTALL)[0]
    )
    assert attributes["FilterPolicyScope"] == "MessageBody"
    for history in histories():
        heard = sum(
            matches(json.loads(attributes["FilterPolicy"]), body) for body in bodies(history)
        )
        assert heard == (outcome(folded(history)) != ""), [event.NAME for event in history]


def test_the_table_of_metrics_is_what_is_written() -> None:
    rows = re.findall(
        r"^\| (`[A-Z].*?) \| (\w+) \| (.*?) \|",
        METRICS.partition("AWS's own metrics")[0],
        re.MULTILINE,
    )
    found = [
        (name, unit, further)
        for names, unit, further in rows
        for name in re.findall(r"`(\w+)`", names)
    ]
    assert len(found) == len(METRICS_WRITTEN)
    assert {name: unit for name, unit, _ in found} == {
        name: unit.value for name, unit in METRICS_WRITTEN.items()
    }
    assert {
        name: re.findall(r"model and (\w+)", further)[0]
        for name, _, further in found
        if "model and" in further
    } == {name: dimension for name, (_, dimension) in FURTHER.items()}


def test_pages_and_headings_that_are_linked_exist() -> None:
    for page in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "terraform" / "README.md",
    ]:
        for link, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            linked = page.parent / link if link else page
            assert linked.exists(), f"{page.name}: {link}"
            assert not heading or heading in headings(linked.read_text()), (
                f"{page.name}: {link}#{heading}"
            )


def test_tests_that_are_named_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 40
    assert [
        (path, test)
        for path, test in sorted(named)
        if f"\ndef {test}(" not in (ROOT / path).read_text()
    ] == []


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_command_that_is_named_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "terraform" / "README.md"]
    named = {
        command for page in pages for command in re.findall(r"`bbq ([a-z]+)", page.read_text())
    }
    assert {"jobs", "redrive", "verify"} <= named <= typer.main.get_group(app).commands.keys()


def block(marker: str, language: str) -> str:
    """The block of docs/events.md behind `<!-- marker -->`."""
    found = re.search(rf"<!-- {marker} -->\s*```{language}\n(.*?)```", EVENTS, re.DOTALL)
    assert found, marker
    return found[1]


def matches(policy: Mapping[str, Any], body: Mapping[str, str]) -> bool:
    """A filter policy of exact strings and `$or`, as SNS reads it."""
    return all(
        any(matches(one, body) for one in wanted) if field == "$or" else body[field] in wanted
        for field, wanted in policy.items()
    )


def bodies(history: list[e.Event]) -> Iterator[dict[str, str]]:
    """What is published of a history: some events, and the outcome after each."""
    for count, event in enumerate(history, 1):
        job = folded(history[:count])
        if event.NAME not in PUBLISHED:
            continue
        row = append(job, event).row
        assert isinstance(row, EventRow)
        yield {
            "event": event.NAME,
            "outcome": row.outcome,
            "status": job.status,
            "owner": "ada@example.org",
        }


def folded(history: list[e.Event]) -> Job:
    job = fold("j", history)
    assert job is not None
    return job


def histories() -> Iterator[list[e.Event]]:
    """Every way for a job to be over, and one that is not: by Bedrock's word, by what was counted,
    whether Bedrock had it.
    """
    start = [queued(), claimed()]
    yield start
    yield [rejected()]
    yield [queued(), e.JobCancelled(at=NOW)]
    yield [*start, ended("Failed", arn=None)]
    for status, (succeeded, failed) in product(ENDS, [(None, None), (100, 0), (60, 40), (0, 100)]):
        tally = e.JobTallied(at=NOW, attempt=1, succeeded_records=succeeded, failed_records=failed)
        yield [*start, e.JobSubmitted(at=NOW, attempt=1, arn="a"), ended(status, arn="a"), tally]
    # and its counts came late
    seemed = replace(ended("Failed", arn="a"), processed_records=0, started=True)
    late = e.JobTallied(
        at=NOW, attempt=1, processed_records=3, succeeded_records=3, failed_records=0
    )
    yield [*start, e.JobSubmitted(at=NOW, attempt=1, arn="a"), seemed, late]


def queued() -> e.Event:
    return e.JobQueued(
        at=NOW,
        model="haiku",
        priority=5,
        sources=(),
        input_uri="",
        output_uri="",
        record_count=100,
        size_bytes=1,
    )


def rejected() -> e.Event:
    return e.JobRejected(
        at=NOW, model="haiku", sources=(), problems=(), problem_count=1, size_bytes=1
    )


def claimed() -> e.Event:
    return e.SlotClaimed(at=NOW, attempt=1, model_id="m", job_name="n")


def ended(status: str, arn: str | None) -> e.JobEnded:
    return e.JobEnded(at=NOW, attempt=1, status=status, message="", arn=arn)
