"""docs/commands.md says what the commands do: fields of --json, exit codes, variables, and every
option it names.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bbq.cli.faults import Exit
from bbq.cli.status import Began
from bbq.shared import events as e
from tests.cli.conftest import Deployed, Result

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "commands.md").read_text()
PROSE = re.sub(r"^```.*?^```\n", "", TEXT, flags=re.MULTILINE | re.DOTALL)
# their names are data
MAPS = {"labels", "dead_letters", "ended_today", "ended_without_model", "data"}


def section(heading: str) -> str:
    """What stands under a heading, up to the next of its level or above, without the examples."""
    level = heading.partition(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)",
        PROSE,
        re.MULTILINE | re.DOTALL,
    )
    assert found, heading
    return found[1]


def documented(text: str) -> set[str]:
    """The names in the first column of the tables headed `field`."""
    rows = re.findall(r"^\| field \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    assert rows
    return {
        name
        for table in rows
        for row in table.splitlines()
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }


def names(value: object, path: str = "") -> Iterator[str]:
    """The paths of everything in a document: `models[].paused.by`. A list or an object of ours
    stands for what is in it.
    """
    if isinstance(value, list):
        assert value, f"{path} is empty: there is nothing to compare"
        for item in value:
            yield from names(item, f"{path}[]" if path else "")
    elif isinstance(value, dict) and path.rpartition(".")[2] not in MAPS:
        for name, item in value.items():
            yield from names(item, f"{path}.{name}" if path else name)
    else:
        yield path


@pytest.fixture
def jobs(deployed: Deployed) -> Deployed:
    """Something of everything that --json can hold."""
    deployed.complete(deployed.upload("haiku/done.jsonl", owner="ada"))
    deployed.reject("haiku/broken.jsonl", e.Problem(line=1, text="no"))
    deployed.refuse_next()
    deployed.upload("nova/held.jsonl", "nova")
    deployed.pause("nova", why="why")
    deployed.unreadable("haiku/secret.jsonl")
    return deployed


def test_the_fields_of_status_are_those_of_the_page(
    jobs: Deployed, bbq: Callable[..., Result]
) -> None:
    document = bbq("status", "--json").json
    (haiku, nova) = document["models"]
    # null, where nobody paused it
    found = set(names({**document, "models": [nova]})) | {"models[].paused"}
    assert haiku["paused"] is haiku["began_today"] is None
    # where the model has a ceiling of the day
    found |= {f"models[].began_today.{field.name}" for field in fields(Began)}
    assert documented(section("### `bbq status`")) == found


def test_the_fields_of_jobs_are_those_of_the_page(
    jobs: Deployed, bbq: Callable[..., Result]
) -> None:
    documents = bbq("jobs", "--json").json
    (broken,) = [job for job in documents if job["problems"]]
    assert documented(section("### `bbq jobs`")) == set(
        names({**broken, "warnings": ["of a file that runs"]})
    )
    for job in documents:
        assert set(job) == set(broken)


def test_the_fields_of_show_are_those_of_the_page(
    jobs: Deployed, bbq: Callable[..., Result]
) -> None:
    for job in bbq("jobs", "--json").json:
        document = bbq("show", job["job"], "--json").json
        assert set(job) < set(document)
        added = {name: document[name] for name in set(document) - set(job)}
        assert documented(section("### `bbq show JOB`")) == set(names(added))


def test_the_exit_codes_are_those_of_the_page() -> None:
    said = {
        int(code)
        for code in re.findall(
            r"^\| (\d+) \|", section("## What every command shares"), re.MULTILINE
        )
    }
    assert said == {int(code) for code in Exit} | {130}


def test_every_variable_of_ours_is_on_the_page() -> None:
    read = {
        name
        for path in (ROOT / "cli").glob("*.py")
        for name in re.findall(r"\"(BBQ_[A-Z]+)\"", path.read_text())
    }
    assert read == set(re.findall(r"`(BBQ_[A-Z]+)`", TEXT))


@pytest.mark.parametrize(
    "line", sorted(set(re.findall(r"^\$ bbq (.+)$", TEXT.partition("## Acting")[0], re.MULTILINE)))
)
def test_the_examples_are_commands_that_exist(bbq: Callable[..., Result], line: str) -> None:
    command, *rest = line.split()
    text = bbq(command, "--help").out
    assert "Example" in text
    assert all(option in text for option in rest if option.startswith("--"))


def test_every_option_of_these_commands_is_on_the_page(bbq: Callable[..., Result]) -> None:
    for command in ("jobs", "show", "status", "watch"):
        heading = "### `bbq show JOB`" if command == "show" else f"### `bbq {command}`"
        options = set(re.findall(r"--[a-z]+", bbq(command, "--help").out)) - {"--help", "--name"}
        assert options <= set(re.findall(r"--[a-z]+", section(heading))), command
