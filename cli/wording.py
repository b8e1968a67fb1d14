"""How things are said: durations, times, numbers, and lines of columns that never wrap. Pure: text in, text out.

Whatever comes from outside (a file's name, Bedrock's message) passes `safe` before it meets a terminal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

from cli.queries import View
from shared.job import CLAIMED, QUEUED, REJECTED, UNREADABLE

GAP = 2  # between columns
GOOD_FILE, MIN_FILE = 22, 14  # columns of a file's name: before another column goes, and when none can go any more
MINUTE, HOUR, DAY = 60, 3600, 86_400

STYLES: Mapping[str, str] = {
    QUEUED: "", CLAIMED: "blue", "Submitted": "blue", "Validating": "blue", "Scheduled": "blue",
    "InProgress": "cyan", "Stopping": "yellow", "Completed": "green", "CompletedWithErrors": "yellow",
    "NoRecordSucceeded": "red", "PartiallyCompleted": "yellow", "Failed": "red", "Stopped": "yellow", "Expired": "red",
    "Cancelled": "dim", REJECTED: "red", UNREADABLE: "red",
}  # fmt: skip


def safe(text: str) -> str:
    """Without what could move a cursor or colour a screen: names and messages are other people's."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def duration(time: timedelta) -> str:
    """At most six letters: 45s, 5m12s, 2h05m, 3d04h, 250d. Never negative: clocks differ."""
    seconds = max(0, int(time.total_seconds()))
    if seconds < MINUTE:
        return f"{seconds}s"
    if seconds < HOUR:
        return f"{seconds // MINUTE}m{seconds % MINUTE:02}s"
    if seconds < DAY:
        return f"{seconds // HOUR}h{seconds % HOUR // MINUTE:02}m"
    if seconds < 100 * DAY:
        return f"{seconds // DAY}d{seconds % DAY // HOUR:02}h"
    return f"{seconds // DAY}d"


def rough(time: timedelta) -> str:
    """A guess, no more exact than it is: 'about 3h', 'about 40m', 'less than a minute'."""
    seconds = time.total_seconds()
    if seconds < MINUTE:
        return "less than a minute"
    if seconds < 100 * MINUTE:
        return f"about {round(seconds / MINUTE)}m"
    if seconds < 2 * DAY:
        return f"about {round(seconds / HOUR)}h"
    return f"about {round(seconds / DAY)}d"


def moment(at: datetime) -> str:
    """In UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def size(size_bytes: int) -> str:
    """Of a file."""
    number = float(size_bytes)
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:  # noqa: PLR2004 - as the units say
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def counted(number: int, what: str) -> str:
    """1 job, 1,200 jobs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def records(view: View, processed: int | None = None) -> str:
    """Those that succeeded, once that is known, or `processed` ones, of all."""
    if view.status in {REJECTED, UNREADABLE}:
        return ""
    done = view.succeeded_records if view.over else processed
    return f"{view.records:,}" if done is None else f"{done:,}/{view.records:,}"


def bar(held: int, limit: int, width: int = 20) -> Text:
    """Slots taken, of all: one square each as long as they fit, a part of the width otherwise."""
    most = max(held, limit)
    cells = min(most, width)
    full = held if most <= width else min(cells, -(-held * cells // most))
    return Text.assemble(("■" * full, "green" if held <= limit else "yellow"), ("□" * (cells - full), "dim"))


def status(word: str) -> Text:
    """A status or an outcome in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def cut(text: str, width: int, *, middle: bool = False) -> str:
    """At most so many columns, with … for what is left out: the end, or what is behind the first third."""
    if cell_len(text) <= width:
        return text
    head = _fitting(text, (width - 1) // 3 if middle else width - 1)
    tail = _fitting(text[::-1], width - 1 - cell_len(head))[::-1] if middle else ""
    return f"{head}…{tail}"


def _fitting(text: str, width: int) -> str:
    """As much of its beginning as fits; a letter may be two columns wide."""
    kept = ""
    for letter in text:
        if cell_len(kept + letter) > width:
            break
        kept += letter
    return kept


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `spare`: the lower, the sooner it goes when there is no room (0: it stays). A `file` is cut in its middle."""

    title: str
    right: bool = False
    spare: int = 0
    file: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line, one cell for each column. Below it `under`, cut at the edge, or on as many lines as it needs, if `whole`."""

    cells: Sequence[str | Text]
    under: str = ""
    whole: bool = False


def lines(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Text]:
    """A heading and one line a row, none wider than `width`: a column without any text is left out, then those that can be
    spared, then the file's name is cut, and then whatever is behind the edge.
    """
    texts = [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row.cells] for row in rows]
    kept = [number for number, _ in enumerate(columns) if any(cells[number].plain for cells in texts)]
    widths = [max((cells[n].cell_len for cells in texts), default=0) for n, _ in enumerate(columns)]
    widths = [max(wide, cell_len(column.title)) for wide, column in zip(widths, columns, strict=True)]

    def needed() -> int:
        least = sum(min(widths[n], GOOD_FILE) if columns[n].file else widths[n] for n in kept)
        return least + GAP * (len(kept) - 1)

    while needed() > width and (spare := [n for n in kept if columns[n].spare]):
        kept.remove(min(spare, key=lambda n: columns[n].spare))
    over = sum(widths[n] for n in kept) + GAP * (len(kept) - 1) - width
    for n in kept:
        if columns[n].file and over > 0:
            widths[n], over = max(widths[n] - over, min(widths[n], MIN_FILE)), 0
    made = [_line([Text(columns[n].title, style="bold") for n in kept], kept, columns, widths, width)]
    for row, cells in zip(rows, texts, strict=True):
        made.append(_line([cells[n] for n in kept], kept, columns, widths, width))
        under = safe(row.under)
        below = wrap(under, width - GAP) if row.whole else [cut(under, width - GAP)] if under else []
        made += [Text(" " * GAP + line.rstrip(), style="dim") for line in below]
    return made


def paragraph(items: Iterable[str | Text], width: int, *, indent: int, between: str = ", ") -> list[Text]:
    """Items one behind the other, on as many lines as they need, all indented. An item that fits on a line is not broken."""
    made: list[Text] = []
    for item in items:
        text = item if isinstance(item, Text) else Text(safe(item))
        if made and made[-1].cell_len + len(between) + text.cell_len <= width:
            made[-1].append(between).append_text(text)
            continue
        if made:
            made[-1].append(between.rstrip())
        broken = wrap(text.plain, width - indent) if text.cell_len > width - indent else []
        made += [Text(" " * indent).append_text(line) for line in ([Text(part, style=text.style) for part in broken] or [text])]
    return made


def _line(cells: Sequence[Text], kept: Sequence[int], columns: Sequence[Column], widths: Sequence[int], width: int) -> Text:
    line = Text()
    for number, (cell, n) in enumerate(zip(cells, kept, strict=True)):
        shown = cell if cell.cell_len <= widths[n] else Text(cut(cell.plain, widths[n], middle=columns[n].file), style=cell.style)
        pad = " " * (widths[n] - shown.cell_len)
        last = number == len(kept) - 1
        if columns[n].right:
            line.append(pad).append_text(shown)
        else:
            line.append_text(shown).append("" if last else pad)
        line.append("" if last else " " * GAP)
    return _ended(line, width)


def _ended(line: Text, width: int) -> Text:
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    return line
