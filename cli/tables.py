"""Lines that fit the screen: tables whose columns go before they wrap, and paragraphs. Pure: text
in, text out.

rich's own table cuts every column at its end or wraps it. Here a file's name is cut in its middle,
columns that can be spared go first, and a sentence may stand below its row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from bbq.cli.wording import safe

GAP = 2  # between columns
# columns of a file's name: before another column goes, and when none can go any more
GOOD_FILE, MIN_FILE = 22, 14


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `spare`: the lower, the sooner it goes if there is no room (0: it stays). A
    `file` is cut in its middle.
    """

    title: str
    right: bool = False
    spare: int = 0
    file: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line, one cell for each column. Below it `under`, cut at the edge, or on as many lines as
    it needs, if `whole`.
    """

    cells: Sequence[str | Text]
    under: str = ""
    whole: bool = False


def show_lines(console: Console, lines: Iterable[Text]) -> None:
    """Print what was made for the width of this console."""
    for line in lines:
        console.print(line, no_wrap=True, crop=False)


def table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Text]:
    """A heading and one line a row, none wider than `width`: a column without any text is left out,
    then those that can be spared, then the file's name is cut, and then whatever is behind the
    edge. No lines without rows.
    """
    if not rows:
        return []
    texts = [
        [cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row.cells] for row in rows
    ]
    kept = [
        number for number, _ in enumerate(columns) if any(cells[number].plain for cells in texts)
    ]
    widths = [
        max(cell_len(column.title), *(cells[n].cell_len for cells in texts))
        for n, column in enumerate(columns)
    ]

    def needed() -> int:
        return sum(
            min(widths[n], GOOD_FILE) if columns[n].file else widths[n] for n in kept
        ) + GAP * (len(kept) - 1)

    def line(cells: Sequence[Text]) -> Text:
        shown = []
        for n in kept:
            cell = cells[n]
            if cell.cell_len > widths[n]:
                cell = Text(cut(cell.plain, widths[n], middle=columns[n].file), style=cell.style)
            shown.append(cell.copy())
            shown[-1].align("right" if columns[n].right else "left", widths[n])
        made = Text(" " * GAP).join(shown)
        made.rstrip()
        made.truncate(width, overflow="ellipsis")
        return made

    while needed() > width and (spare := [n for n in kept if columns[n].spare]):
        kept.remove(min(spare, key=lambda n: columns[n].spare))
    over = sum(widths[n] for n in kept) + GAP * (len(kept) - 1) - width
    for n in kept:
        if columns[n].file and over > 0:
            widths[n], over = max(widths[n] - over, min(widths[n], MIN_FILE)), 0
    made = [line([Text(column.title, style="bold") for column in columns])]
    for row, cells in zip(rows, texts, strict=True):
        under = safe(row.under)
        below = (
            wrap(under, width - GAP) if row.whole else [cut(under, width - GAP)] if under else []
        )
        made += [line(cells), *(Text(" " * GAP + part.rstrip(), style="dim") for part in below)]
    return made


def cut(text: str, width: int, *, middle: bool = False) -> str:
    """At most so many columns, with … for what is left out: the end, or what is behind the first
    third.
    """
    if cell_len(text) <= width:
        return text
    head = chop_cells(text, (width - 1) // 3 if middle else width - 1)[0]
    tail = chop_cells(text[::-1], width - 1 - cell_len(head))[0][::-1] if middle else ""
    return f"{head}…{tail}"


def paragraph(
    items: Iterable[str | Text], width: int, *, indent: int, between: str = ", "
) -> list[Text]:
    """Items one behind the other, on as many lines as they need, all indented. An item that fits on
    a line is not broken.
    """
    made: list[Text] = []
    for item in items:
        text = item if isinstance(item, Text) else Text(safe(item))
        if made and made[-1].cell_len + len(between) + text.cell_len <= width:
            made[-1].append(between).append_text(text)
            continue
        if made:
            made[-1].append(between.rstrip())
        broken = wrap(text.plain, width - indent) if text.cell_len > width - indent else []
        made += [
            Text(" " * indent).append_text(line)
            for line in ([Text(part, style=text.style) for part in broken] or [text])
        ]
    return made
