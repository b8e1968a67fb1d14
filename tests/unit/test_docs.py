"""What docs/ says is what the code does: events, filter policies, metrics, alarms."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any

from local.readme import EVENTS_PAGE, with_tables
from local.settings import ROOT
from shared import events as e
from shared.job import ENDS, Job, fold, outcome

EVENTS = EVENTS_PAGE.read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()
OPERATING = (ROOT / "docs" / "operating.md").read_text()
BAD = {"Failed", "Expired", "Stopped", "PartiallyCompleted", "Rejected", "NoRecordSucceeded", "CompletedWithErrors"}
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_the_table_of_events_is_what_the_code_says() -> None:
    assert with_tables(EVENTS) == EVENTS, "run `python -m local.readme`"
    for name in e.EVENTS:
        assert f"| `{name}` |" in EVENTS


def test_a_message_has_the_fields_of_the_pipes_template() -> None:
    terraform = (ROOT / "terraform" / "notifications.tf").read_text()
    template = re.findall(r'^    (\w+) +?= "<\$\.dynamodb', terraform, re.MULTILINE)
    assert len(template) == 10
    sample = json.loads(block("message", "json"))
    assert list(sample) == template
    described = EVENTS.partition("## A message")[2].partition("<!-- message")[0]
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == template
    assert all(isinstance(value, str) for value in sample.values())
    assert json.loads(sample["data"]).keys() == e.to_stored(ended("Failed", arn=None)).keys()


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
    assert [matches(policy, body | {"owner": "bob@example.org"}) for body in bodies(history)] == [False] * 3


def test_the_queue_hears_once_of_every_job_that_is_over() -> None:
    attributes = json.loads(re.findall(r"subscription.json <<'END'\n(.*?)\nEND", block("queue", "bash"), re.DOTALL)[0])
    assert attributes["FilterPolicyScope"] == "MessageBody"
    for history in histories():
        heard = sum(matches(json.loads(attributes["FilterPolicy"]), body) for body in bodies(history))
        assert heard == (outcome(folded(history)) != ""), [event.NAME for event in history]


def test_every_metric_that_is_counted_is_in_the_table() -> None:
    assert set(counted()) <= set(documented())
    assert len(documented()) == len(set(documented()))


def test_every_metric_of_the_table_is_a_word_of_the_code() -> None:
    words = {node.value for tree in services() for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(documented()) - words == set()


def test_pages_that_are_linked_exist() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def block(marker: str, language: str) -> str:
    """The block of docs/events.md behind `<!-- marker -->`."""
    found = re.search(rf"<!-- {marker} -->\s*```{language}\n(.*?)```", EVENTS, re.DOTALL)
    assert found, marker
    return found[1]


def documented() -> list[str]:
    """The names in the first column of the table of metrics."""
    table = METRICS.partition("AWS's own metrics")[0]
    return [name for row in re.findall(r"^\| (`[A-Z].*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]


def services() -> Iterator[ast.Module]:
    for file in (ROOT / "services").rglob("*.py"):
        yield ast.parse(file.read_text())


def counted() -> Iterator[str]:
    """The constant words of `note(...)`."""
    for tree in services():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"note", "_note"}:
                yield from (str(word.value) for word in ast.walk(node.args[0]) if isinstance(word, ast.Constant))


def matches(policy: Mapping[str, Any], body: Mapping[str, str]) -> bool:
    """A filter policy of exact strings and `$or`, as SNS reads it."""
    return all(
        any(matches(one, body) for one in wanted) if field == "$or" else body[field] in wanted for field, wanted in policy.items()
    )


def bodies(history: list[e.Event]) -> Iterator[dict[str, str]]:
    """What is published of a history: each event, and the outcome after it."""
    for count, event in enumerate(history, 1):
        job = folded(history[:count])
        yield {"event": event.NAME, "outcome": outcome(job), "status": job.status, "owner": "ada@example.org"}


def folded(history: list[e.Event]) -> Job:
    job = fold("j", history)
    assert job is not None
    return job


def histories() -> Iterator[list[e.Event]]:
    """Every way for a job to be over, and one that is not: by Bedrock's word, by what was counted, whether Bedrock had it."""
    start = [queued(), claimed()]
    yield start
    yield [rejected()]
    yield [queued(), e.JobCancelled(at=NOW)]
    yield [*start, ended("Failed", arn=None)]
    for status, (succeeded, failed) in product(ENDS, [(None, None), (100, 0), (60, 40), (0, 100)]):
        tally = e.JobTallied(at=NOW, attempt=1, succeeded_records=succeeded, failed_records=failed)
        yield [*start, e.JobSubmitted(at=NOW, attempt=1, arn="a"), ended(status, arn="a"), tally]


def queued() -> e.Event:
    return e.JobQueued(
        at=NOW, model="haiku", priority=5, sources=(), input_uri="", output_uri="", record_count=100, size_bytes=1
    )  # fmt: skip


def rejected() -> e.Event:
    return e.JobRejected(at=NOW, model="haiku", sources=(), problems=(), problem_count=1, size_bytes=1)


def claimed() -> e.Event:
    return e.SlotClaimed(at=NOW, attempt=1, model_id="m", job_name="n")


def ended(status: str, arn: str | None) -> e.Event:
    return e.JobEnded(at=NOW, attempt=1, status=status, message="", arn=arn)
