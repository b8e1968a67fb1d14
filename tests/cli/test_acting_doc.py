"""The acting half of docs/commands.md says what the commands do: fields of --json, options,
examples.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bbq.cli.prices import read_prices
from bbq.shared import rows
from bbq.shared.tables import Delete, LineRow, ViewRow
from tests.cli.conftest import Deployed, Result
from tests.cli.test_commands_doc import TEXT, documented, names, section
from tests.support.samples import LINE

Bbq = Callable[..., Result]
ACTING = "## Acting" + TEXT.partition("## Acting")[2]
HEADINGS = {
    command: heading
    for heading in re.findall(r"^### .*", ACTING, re.MULTILINE)
    for command in re.findall(r"bbq (\w+)", heading)
}


def groups(bbq: Bbq) -> dict[str, list[str]]:
    """The commands of each group in `bbq --help`."""
    _, *parts = bbq("--help").out.split("╭─ ")
    found = {
        part.partition(" ──")[0]: re.findall(r"^│ (\w+) ", part, re.MULTILINE) for part in parts
    }
    return {title: commands for title, commands in found.items() if title != "Options"}


def test_every_command_that_acts_is_on_the_page(bbq: Bbq) -> None:
    looking = {"jobs", "show", "status", "watch", "timeline"}
    assert {command for commands in groups(bbq).values() for command in commands} - looking == set(
        HEADINGS
    )


def test_commands_are_listed_in_groups(bbq: Bbq) -> None:
    assert groups(bbq) == {
        "Look": ["status", "jobs", "show", "watch", "timeline", "cost"],
        "Submit and fetch": ["submit", "download"],
        "Act on jobs": ["cancel", "retry", "priority", "forget"],
        "Act on models": ["pause", "resume"],
        "Repair": ["wake", "verify", "rebuild", "redrive"],
    }


@pytest.mark.parametrize("command", sorted(HEADINGS))
def test_every_option_and_an_example_of_each_command_are_given(bbq: Bbq, command: str) -> None:
    text = bbq(command, "--help").out
    assert "Example: bbq" in text
    assert "Exit codes: 0" in " ".join(text.split())
    shared = {"--help", "--why", "--yes", "--rate"}
    own = set(re.findall(r"^│ \*? *(--[a-z-]+)", text, re.MULTILINE)) - shared
    assert own <= set(re.findall(r"--[a-z-]+", HEADINGS[command] + section(HEADINGS[command])))


@pytest.mark.parametrize(
    "line", sorted(set(re.findall(r"^\$ (?:.*\| )?(bbq .+)$", ACTING, re.MULTILINE)))
)
def test_the_examples_are_commands_that_exist(bbq: Bbq, line: str) -> None:
    _, command, *rest = line.split()
    text = bbq(command, "--help").out
    assert all(option in text for option in rest if option.startswith("--"))


def test_the_fields_of_submit_are_those_of_the_page(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(LINE.replace(b"recordId", b"id") * 100)
    bad.write_bytes(b"no")
    found = set(names(bbq("submit", str(bad), "--json").json))
    empty = {"problems": [{"line": 1, "text": ""}]}
    for arguments in (["--json"], ["--dry-run", "--json"]):
        document = bbq("submit", str(good), *arguments).json
        found |= set(names({**document, "files": [{**document["files"][0], **empty}]}))
    assert documented(section("### `bbq submit FILE…`")) == found


def test_the_fields_of_cost_are_those_of_the_page(deployed: Deployed, bbq: Bbq) -> None:
    deployed.complete(deployed.upload("haiku/a.jsonl"))
    found = {
        name
        for by in ("model", "prefix", "day")
        for name in names(bbq("cost", "--by", by, "--json").json)
    }
    assert documented(section("### `bbq cost`")) == found


def test_the_fields_of_verify_are_those_of_the_page(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    job = deployed.upload("haiku/a.jsonl")
    nothing = LineRow(pk=rows.line_pk("haiku"), sk="nothing")
    deployed.deployment.tables.write(
        [Delete(ViewRow(pk=rows.view_pk(job), sk="view")), Delete(nothing)]
    )
    document = bbq("verify", "--json").json
    # a whole row, here
    plain = [{**difference, "expected": None} for difference in document["differences"]]
    assert documented(section("### `bbq verify`")) == set(names({**document, "differences": plain}))


def test_the_price_table_of_the_page_can_be_read(tmp_path: Path) -> None:
    [table] = re.findall(r"^```toml\n(.*?)^```", ACTING, re.MULTILINE | re.DOTALL)
    path = tmp_path / "prices.toml"
    path.write_text(table)
    assert set(read_prices(path).models or {}) == {"haiku", "amazon.nova-lite-v1:0"}
