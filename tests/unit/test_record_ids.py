"""Our ids: 11 characters that say which line of what, and nothing else does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.shared.record_ids import (
    DIGITS,
    MAX_LINE,
    give_back,
    line_of,
    quoted_ids,
    record_id,
    tag_of,
)

tags = st.text(DIGITS, min_size=6, max_size=6)


@given(tags, st.integers(1, MAX_LINE))
def test_an_id_is_eleven_characters_and_gives_its_line_back(tag: str, line: int) -> None:
    made = record_id(tag, line)
    assert re.fullmatch(r"[0-9a-z]{11}", made)
    assert line_of(made, tag) == line == int(made[6:], 36)


def test_there_are_enough_for_every_line_of_an_upload() -> None:
    assert MAX_LINE == 60_466_175
    assert record_id("abcdef", MAX_LINE) == "abcdefzzzzz"
    for line in (0, MAX_LINE + 1):
        with pytest.raises(ValueError, match="no record id"):
            record_id("abcdef", line)


@pytest.mark.parametrize(
    "other",
    ["", "abcdef", "abcdef0001", "abcdef000001", "abcdeg00001", "abcdef00000", "abcdef0000A", "abcdef 0001", "abcdef+0001", "abcdef\u0660\u0660\u0660\u0660\u0661", "abcdef0_001", "abcdefabcdef00001"],
)  # fmt: skip
def test_what_is_no_id_of_this_tag_has_no_line(other: str) -> None:
    assert line_of(other, "abcdef") is None


@given(tags, st.integers(1, MAX_LINE - 4000), st.integers(0, 4000))
def test_ids_of_a_run_are_those_of_its_lines(tag: str, first: int, count: int) -> None:
    expected = [f'"{record_id(tag, line)}"' for line in range(first, first + count)]
    assert quoted_ids(tag, first, count) == expected


def test_a_tag_is_of_all_words_and_keeps_them_apart() -> None:
    made = {tag_of("upload", "plan"), tag_of("upload", "plan2"), tag_of("uploadp", "lan")}
    assert len(made) == 3
    assert all(re.fullmatch(r"[0-9a-z]{6}", tag) for tag in made)
    assert tag_of("upload", "plan") == tag_of("upload", "plan")


@pytest.mark.parametrize(
    ("staged", "own", "line"),
    [
        (b' {"recordId":"abcdef00001", "modelInput": {}}\r', b"", b' { "modelInput": {}}\r'),
        (b'{"recordId" : "abcdef00001","modelInput":{}}', b"null", b'{"recordId" : null,"modelInput":{}}'),
        (
            '{"modelInput":{"recordId":"abcdef00001"},"é":"\\"","recordId":"abcdef00001"}'.encode(),
            b"[1]",
            '{"modelInput":{"recordId":"abcdef00001"},"é":"\\"","recordId":[1]}'.encode(),
        ),
    ],
)  # fmt: skip
def test_a_line_is_given_back_byte_for_byte(staged: bytes, own: bytes, line: bytes) -> None:
    assert give_back(staged, "abcdef00001", own) == line
