"""Whatever a key holds, no command moves a cursor, colours the screen, turns text around or writes
outside of its directory.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from bbq.cli.wording import safe
from bbq.shared import events as e
from bbq.shared.names import job_id, split_s3_uri
from tests.cli.conftest import BUCKET, Deployed, Result

Bbq = Callable[..., Result]

JOB = "abcdefghijklmnopqrstuvwxyz"
KEYS = [
    "haiku/with space + %2B %25 %00.jsonl",
    "haiku/\x1b[2J\x1b]0;owned\x07.jsonl",
    "haiku/\x9b31m\x7f\x85.jsonl",
    "haiku/\u202egnp.jsonl",
    "haiku/caf\u00e9.jsonl",
    "haiku/cafe\u0301.jsonl",
    "../../etc/passwd.jsonl",
    "haiku//../x.jsonl",
    "haiku/a\r\nb\tc.jsonl",
    "staged/x.jsonl",
    "processed/x.jsonl",
    f"haiku/{JOB}.jsonl",
    f"haiku/bbq-{JOB}-1.jsonl",
    "haiku/x.jsonl.out.jsonl",
    "haiku/[bold red]x[/] :boom: </script>.jsonl",
    "haiku/\u2028\u2029\u200b\ufeff\U000e0001.jsonl",
    "haiku/-rf --help.jsonl",
    "haiku/" + "l" * 1000 + ".jsonl",
]


def shown(text: str) -> None:
    """Nothing but letters that are seen where they stand, and ends of lines."""
    hidden = {letter for letter in text if not letter.isprintable() and letter != "\n"}
    assert not hidden, hidden


@pytest.fixture
def jobs(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A job of every key; some in each state."""
    monkeypatch.chdir(tmp_path)  # `timeline` leaves a page where it is run
    deployed.set_limit("haiku", 5)
    made = {}
    for number, key in enumerate(KEYS):
        deployed.wait(minutes=1)
        if number % 4 == 1:
            made[key] = deployed.reject(key, e.Problem(line=1, text="is not valid JSON"))
            continue
        made[key] = deployed.upload(key, owner=f"{key}\x1b[1m", team="\u202ex\x00")
        if number % 4 == 2 and deployed.job(made[key]).arn:
            deployed.report(made[key], "Failed", message=f"Bedrock says \x1b[31m{key}\r\n")
        elif number % 4 == 3 and deployed.job(made[key]).arn:
            deployed.complete(made[key])
    return made


def test_no_command_shows_what_a_terminal_would_obey(jobs: dict[str, str], bbq: Bbq) -> None:
    commands = [["status"], ["jobs", "--limit", "100"], ["timeline"], ["cost"], ["verify"]]
    commands += [["show", job] for job in jobs.values()]
    commands += [["show", key] for key in KEYS]
    for command in commands:
        for more in ([], ["--json"]):
            result = bbq(*command, *more)
            shown(result.out)
            shown(result.err)
            assert "Traceback" not in result.err
            if more and result.code == 0 and command[0] != "verify":
                json.loads(result.out)


def test_json_says_the_key_exactly_as_it_is(jobs: dict[str, str], bbq: Bbq) -> None:
    documents = bbq("jobs", "--json", "--limit", "100").json
    assert {job["job"]: job["sources"][0]["key"] for job in documents} == {
        job: f"to-process/{key}" for key, job in jobs.items()
    }
    for key, job in jobs.items():
        assert bbq("show", job, "--json").json["sources"][0]["key"] == f"to-process/{key}"


def test_acting_on_a_job_says_nothing_that_a_terminal_would_obey(
    jobs: dict[str, str], bbq: Bbq
) -> None:
    for key, job in jobs.items():
        for command in (
            ["cancel", job],
            ["retry", job],
            ["priority", job, "1"],
            ["wake", job],
            ["cancel", key],
            ["priority", key, "1"],
        ):
            result = (
                bbq(*command, "--why", f"\x1b[1m{key}")
                if command[0] in {"cancel", "retry"}
                else bbq(*command)
            )
            shown(result.out)
            shown(result.err)
            assert "Traceback" not in result.err


def test_a_label_may_have_any_name(deployed: Deployed, bbq: Bbq) -> None:
    """`self` once ended `verify` and `rebuild` for the whole deployment."""
    names = [
        "self",
        "cls",
        "pk",
        "sk",
        "null",
        "attr_name",
        "_user_instantiated",
        "attribute_values",
        "__class__",
        "__init__",
        "{0}",
        "{self.x}",
        "%s",
        "%(x)d",
        "[red]",
        ":boom:",
        "\x1b[2J",
        "a.b",
        "#",
        " ",
        "n" * 1500,
    ]
    job = job_id(BUCKET, "to-process/haiku/a.jsonl", "v1", "", "")
    event = e.JobQueued(
        at=deployed.time,
        model="haiku",
        priority=5,
        input_uri="s3://b/staged/a.jsonl",
        output_uri="s3://b/processed/a/",
        sources=(deployed._source("to-process/haiku/a.jsonl", "v1"),),
        record_count=100,
        size_bytes=1,
        labels=tuple(e.Label(name=name, value=f"{name}!") for name in names),
    )
    deployed.append(job, event)
    deployed.wake(job)
    assert bbq("show", job, "--json").json["labels"] == {name: f"{name}!" for name in names}
    assert bbq("jobs", "--json").json[0]["labels"] == {name: f"{name}!" for name in names}
    for command in (
        ["show", job],
        ["jobs"],
        ["status"],
        ["verify"],
        ["rebuild", "--yes"],
        ["wake", "--all"],
    ):
        result = bbq(*command)
        shown(result.out + result.err)
        assert result.code == 0, result


def test_outputs_stay_inside_of_the_directory(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    s3 = boto3.client("s3")
    for key in KEYS:
        job = deployed.upload(key)
        made = deployed.job(job)
        if made.arn is None:
            continue
        _, prefix = split_s3_uri(made.output_uri)
        for name in (
            "ok/a.jsonl.out",
            "../../../outside",
            "x/../../outside",
            "\x1b[2J",
            "a\\..\\b",
            "/abs",
        ):
            s3.put_object(Bucket=BUCKET, Key=prefix + name, Body=b"x")
        deployed.complete(job)
        result = bbq("download", job, str(inside / job))
        shown(result.out)
        shown(result.err)
        assert [path.name for path in (inside / job).rglob("*") if path.is_file()] == [
            "a.jsonl.out"
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


def test_safe_leaves_every_letter_that_is_seen_and_no_other() -> None:
    for number in range(sys.maxunicode + 1):
        letter = chr(number)
        assert safe(letter) == (letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}")
