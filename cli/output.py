"""What a command prints: its result to standard output, everything else to standard error. Text and
JSON hold words of other people: none of it is markup, or moves a cursor.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from bbq.cli.faults import Exit, Fault
from bbq.shared.plain import text_of

PLAIN_WIDTH = 120  # of tables where there is no terminal to ask


def console(**options: Any) -> Console:
    """The only way to a terminal. What is printed holds words of other people: no text is markup,
    `:100:` is no emoji, and nothing is coloured but by a style of ours.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)


def out() -> Console:
    """Where results go. No colour and no redraw where this is not a terminal, or with NO_COLOR
    (rich knows both).
    """
    return console(
        width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", PLAIN_WIDTH))
    )


def err() -> Console:
    """Where everything else goes: progress, questions, hints about what to do next."""
    return console(stderr=True)


def bars() -> Progress:
    """Bars for what takes long, on standard error. None where that is not a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err(), transient=True, disable=not err().is_terminal)


def answer(text: str) -> None:
    """One line of the result, as it is: nothing in it is markup, and no line is broken."""
    out().print(text, soft_wrap=True)


def say(text: str) -> None:
    """One line about the result, to standard error, as it is."""
    err().print(text, soft_wrap=True)


def nobody_reads() -> None:
    """Standard output is closed at its other end: what is still in its buffer goes nowhere, without
    a word.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before acting on much; without a terminal `--yes` must have been said. Raises Fault."""
    if yes:
        return
    if not interactive():
        raise Fault(f"{question} Say --yes to do it without being asked.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.USAGE)


def print_json(document: object) -> None:
    """One JSON document, as --json promises: stable names, times as ISO 8601 in UTC."""
    sys.stdout.write(_json(document, indent=2) + "\n")


def print_jsonl(documents: Sequence[object]) -> None:
    """One JSON document a line."""
    for document in documents:
        sys.stdout.write(_json(document) + "\n")
    sys.stdout.flush()


def _json(document: object, indent: int | None = None) -> str:
    """JSON that a terminal may show: names are other people's, and JSON leaves DEL, C1 and what
    turns text around as they are.
    """
    text = json.dumps(plain(document), indent=indent, ensure_ascii=False)
    return "".join(
        letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1]
        for letter in text
    )


def plain(value: object) -> Any:
    """What JSON can hold: dataclasses as objects, times and money as text, sets and tuples as
    lists.
    """
    if isinstance(value, datetime):
        return text_of(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value
