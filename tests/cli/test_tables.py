"""What is shown fits the screen: nothing wraps, and columns go in their order."""

import pytest
from rich.cells import cell_len
from rich.text import Text

from bbq.cli.tables import Column, Row, cut, paragraph, table


def test_a_name_is_cut_where_it_says_least() -> None:
    assert cut("haiku/reviews-01.jsonl", 12) == "haiku/revie…"
    assert cut("haiku/2026/reviews-01.jsonl", 22, middle=True) == "haiku/2…views-01.jsonl"
    assert cut("short", 12) == "short"
    assert cut("日本日本日本", 6) == "日本…"
    assert cell_len(cut("日本日本日本日本日本", 14, middle=True)) <= 14


COLUMNS = (
    Column(title="job"),
    Column(title="file", file=True),
    Column(title="never used", spare=9),
    Column(title="spare first", spare=1),
    Column(title="spare second", right=True, spare=2),
)
ROWS = [
    Row(cells=("a" * 26, f"haiku/{'x' * n}.jsonl", "", "first", "second"), under="because " * 30)
    for n in (3, 30, 300)
]


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100, 120, 400])
def test_no_line_is_wider_than_the_screen_and_none_ends_in_blanks(width: int) -> None:
    made = table(COLUMNS, ROWS, width)
    assert len(made) == 1 + 2 * len(ROWS)
    for line in made:
        assert line.cell_len <= width
        assert line.plain == line.plain.rstrip()


def test_columns_go_in_their_order_and_an_empty_one_is_never_there() -> None:
    headings = {width: table(COLUMNS, ROWS, width)[0].plain.split("  ") for width in (120, 75, 60)}
    kept = {
        width: [title.strip() for title in titles if title.strip()]
        for width, titles in headings.items()
    }
    assert kept == {
        120: ["job", "file", "spare first", "spare second"],
        75: ["job", "file", "spare second"],
        60: ["job", "file"],
    }


def test_numbers_end_in_one_column() -> None:
    made = table(
        (Column(title="file", file=True), Column(title="records", right=True)),
        [Row(cells=("a", "1")), Row(cells=("bb", "12,345"))],
        40,
    )
    assert [line.plain for line in made] == ["file  records", "a           1", "bb     12,345"]


def test_what_is_whole_is_never_cut() -> None:
    row = Row(cells=("x",), under="word " * 40, whole=True)
    made = table((Column(title="job"),), [row], 30)
    assert " ".join(line.plain.strip() for line in made[2:]) == ("word " * 40).strip()
    assert all(line.cell_len <= 30 for line in made)


@pytest.mark.parametrize("width", [30, 80, 120])
def test_a_paragraph_breaks_between_its_items(width: int) -> None:
    items: list[str | Text] = [
        "1 Completed",
        "12 CompletedWithErrors",
        Text("3 Failed"),
        "a reason that is much longer than the line it is on",
    ]
    made = paragraph(items, width, indent=7)
    assert all(line.cell_len <= width and line.plain.startswith(" " * 7) for line in made)
    assert (
        " ".join(line.plain.strip() for line in made).replace(", ", " ").split()
        == " ".join(str(i) for i in items).split()
    )
