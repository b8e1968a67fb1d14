"""How things are said: nothing that comes from outside moves a cursor."""

import pytest

from bbq.cli.wording import bar, safe, size


def test_sizes_are_said_in_the_unit_that_fits() -> None:
    assert [size(n) for n in (0, 999, 1000, 50_000_000, 1024**3)] == [
        "0 bytes",
        "999 bytes",
        "1.0 KB",
        "50.0 MB",
        "1.1 GB",
    ]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "a\nb", "\u202egpj", "\x07", "\x9b31m"])
def test_what_could_move_a_cursor_is_replaced(text: str) -> None:
    assert safe(text).isprintable()
    assert safe("Übersicht 日本.jsonl") == "Übersicht 日本.jsonl"


def test_a_bar_is_as_long_as_the_slots_until_there_are_too_many() -> None:
    assert bar(2, 3).plain == "■■□"
    assert bar(0, 0).plain == ""
    assert bar(5, 2).plain == "■■■■■"  # a lowered limit
    assert bar(1, 100).plain == "■" + "□" * 19  # never nothing where there is something
    assert bar(100, 100).plain == "■" * 20
