"""How things are said: counts, sizes, statuses. Pure: text in, text out.

Whatever comes from outside (a file's name, Bedrock's message) passes `safe` before it meets a
terminal.
"""

from collections.abc import Mapping

from rich.text import Text

from bbq.shared.job import CLAIMED, QUEUED, REJECTED, UNREADABLE

STYLES: Mapping[str, str] = {
    QUEUED: "",
    CLAIMED: "blue",
    "Submitted": "blue",
    "Validating": "blue",
    "Scheduled": "blue",
    "InProgress": "cyan",
    "Stopping": "yellow",
    "Completed": "green",
    "CompletedWithErrors": "yellow",
    "NoRecordSucceeded": "red",
    "PartiallyCompleted": "yellow",
    "Failed": "red",
    "Stopped": "yellow",
    "Expired": "red",
    "Cancelled": "dim",
    REJECTED: "red",
    UNREADABLE: "red",
}


def safe(text: str) -> str:
    """Without what could move a cursor or colour a screen: names and messages are other
    people's.
    """
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def size(size_bytes: int) -> str:
    """38.1 KB, 1.1 GB."""
    number = float(size_bytes)
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:  # noqa: PLR2004 - as the units say
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def counted(number: int, what: str) -> str:
    """1 job, 1,200 jobs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def bar(held: int, limit: int, width: int = 20) -> Text:
    """Slots taken, of all: one square each as long as they fit, a part of the width otherwise."""
    most = max(held, limit)
    cells = min(most, width)
    full = held if most <= width else min(cells, -(-held * cells // most))
    return Text.assemble(
        ("■" * full, "green" if held <= limit else "yellow"), ("□" * (cells - full), "dim")
    )


def status(word: str) -> Text:
    """A status or an outcome in its colour."""
    return Text(word, style=STYLES.get(word, ""))
