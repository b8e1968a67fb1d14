"""Words of other people are shown as they are: `[red]` is no colour and `:100:` no emoji, on any
terminal and in any command.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.progress import TextColumn

from bbq.cli import output
from bbq.shared import events as e
from local.settings import ROOT
from tests.cli.conftest import Deployed, Result

Bbq = Callable[..., Result]

# a colour, an emoji, an end, and markup that does not end: rich would raise
WORDS = "[red]:100:[/] [bold"
EMOJI = "\N{HUNDRED POINTS SYMBOL}"
KEY = f"haiku/{WORDS}.jsonl"


def intact(result: Result, *, shown: bool = True) -> None:
    """All of it, or what a table had room for, and nothing that was made of it."""
    text = " ".join((result.out + result.err).split())
    assert EMOJI not in text
    assert "Traceback" not in text
    if shown:
        assert "[red]:100:[/]" in text, text


@pytest.fixture
def jobs(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A job in each state whose words are these."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no name is cut
    monkeypatch.setenv("BBQ_USER", WORDS)
    deployed.set_limit("haiku", 2)
    made = {"rejected": deployed.reject(KEY, e.Problem(line=1, text=WORDS))}
    for number, state in enumerate(("failed", "done", "running", "second", "waiting")):
        made[state] = deployed.upload(f"haiku/{WORDS}{number}.jsonl", owner=WORDS, team=WORDS)
        if state == "failed":
            deployed.report(made[state], "Failed", message=WORDS)
        if state == "done":
            deployed.complete(made[state])
    return made


def test_every_command_shows_words_as_they_are(
    jobs: dict[str, str], deployed: Deployed, bbq: Bbq
) -> None:
    for command in (["jobs"], ["show", KEY], *(["show", job] for job in jobs.values())):
        intact(bbq(*command))
        intact(bbq(*command, "--json"))
    for command in (["timeline"], ["cost", "--by", "prefix"]):
        intact(bbq(*command), shown=False)
    intact(bbq("download", jobs["done"]), shown=False)
    intact(bbq("cancel", jobs["waiting"], "--why", WORDS), shown=False)
    intact(bbq("show", jobs["waiting"]))
    intact(bbq("pause", "haiku", "--why", WORDS), shown=False)
    deployed.wake_model("haiku")
    for command in (["status"], ["jobs"], ["show", jobs["second"]], ["verify"]):
        intact(bbq(*command), shown=command[0] != "verify")


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["cancel"],
        ["retry"],
        ["download"],
        ["pause"],
        ["resume"],
        ["wake"],
        ["jobs", "--model"],
        ["jobs", "--status"],
        ["jobs", "--since"],
        ["watch", "--model"],
        ["timeline", "--model"],
        ["cost", "--since"],
        ["submit"],
        ["submit", "--meta"],
        ["status", "--deployment"],
        ["no-such-command"],
        ["jobs", "--no-such-option"],
    ],
)
def test_what_a_person_says_is_said_back_as_it_is(
    deployed: Deployed, bbq: Bbq, command: list[str]
) -> None:
    result = bbq(*command, WORDS)
    assert result.code != 0
    intact(result, shown=False)
    assert "[red]" in result.err or WORDS not in result.err


def test_a_problem_on_line_100_is_no_emoji(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    good = (
        b'{"recordId": "%d", "modelInput": {"anthropic_version": "bedrock-2023-05-31", '
        b'"max_tokens": 9}}\n'
    )
    lines = [good % number for number in range(99)]
    path = tmp_path / f"{WORDS.replace('/', '')}.jsonl"
    path.write_bytes(b"".join(lines) + b'{"modelInput": 7}\n')
    result = bbq("submit", str(path), "--as", "haiku/a.jsonl")
    assert f"{path}:100: modelInput is not an object" in result.err
    intact(result, shown=False)
    path.write_bytes(b"".join(lines) + good % 100)
    for more in ("--dry-run", "--yes"):
        result = bbq("submit", str(path), "--as", "haiku/a.jsonl", more)
        assert result.code == 0
        intact(result, shown=False)
        # in a table, a path is cut in its middle
        assert "100:[] [bold.jsonl" in result.out + result.err


def test_a_bar_is_named_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with output.bars() as progress:
        progress.add_task(WORDS, total=1)
        [column] = [column for column in progress.columns if isinstance(column, TextColumn)]
        assert column.render(progress.tasks[0]).plain == WORDS
    assert EMOJI not in capsys.readouterr().err


def test_there_is_one_way_to_a_terminal() -> None:
    made = re.compile(r"\b(?:Console|TextColumn)\(")
    assert [
        path.name for path in sorted((ROOT / "cli").glob("*.py")) if made.search(path.read_text())
    ] == ["output.py"]
