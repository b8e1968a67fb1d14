"""Lines of an output: split at newlines only, read without a change, in bounded memory."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bbq.services.results import output
from bbq.services.results.objects import lines

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["\u2028", "\x85", '"', "\\", '","recordId":"', "}]", "😀", "a\x00b"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**28), 10**28)  # a longer one is 0 in the picture of a careful reading
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SPACES = st.sampled_from(["", " ", "\t", " \r "])


@st.composite
def written(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str], bytes]:
    """Members, how each value is written, and the line."""
    members = draw(st.dictionaries(TEXT, VALUES, max_size=5))
    texts = {
        name: json.dumps(
            value,
            ensure_ascii=draw(st.booleans()),
            separators=draw(st.sampled_from([(",", ":"), (" ,", " :  ")])),
        )
        for name, value in members.items()
    }
    space = draw(SPACES)
    inside = ",".join(
        f"{space}{json.dumps(name, ensure_ascii=draw(st.booleans()))}{space}:{space}{text}{space}"
        for name, text in texts.items()
    )
    return members, texts, f"{space}{{{inside or space}}}{space}".encode()


@given(written())
def test_a_value_is_copied_as_it_stands(case: tuple[dict[str, Any], dict[str, str], bytes]) -> None:
    members, texts, line = case
    for read in (output.read, output.careful):
        record = read(line)
        assert record is not None
        for name, value in members.items():
            assert record.raw(name) == texts[name].encode()
            if name != "" or read is output.read:
                assert record.value(name) == value


def valid(line: bytes) -> bool:
    def refuse(_: str) -> None:
        raise ValueError

    try:
        return isinstance(json.loads(line.decode(), parse_constant=refuse), dict)
    except ValueError:
        return False


@settings(max_examples=400)
@given(written(), st.data())
def test_both_ways_say_the_same_of_a_broken_line(
    case: tuple[dict[str, Any], dict[str, str], bytes], data: st.DataObject
) -> None:
    line = case[2].replace(b"\n", b" ")
    at = data.draw(st.integers(0, len(line)))
    until = data.draw(st.integers(at, min(len(line), at + 3)))
    put = data.draw(
        st.sampled_from(
            [
                b"",
                b'"',
                b"{",
                b"}",
                b"]",
                b",",
                b":",
                b"\\",
                b"0",
                b"-",
                b"1e5",
                b"NaN",
                b"\xff",
                b"\x01",
                b" x",
            ]
        )
    )
    line = line[:at] + put + line[until:]
    assert (output.read(line) is not None) == valid(line)
    assert (output.careful(line) is not None) == valid(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'"a"',
        b"17",
        b"{} {}",
        b'{"a":1}}',
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":01}',
        b'{"a":1.}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b'{"a":"\\x"}',
        b'{"a" 1}',
        b'{,"a":1}',
        b'{"a":{]}',
        b'{"a":truefalse}',
        b"{a:1}",
        b'\xef\xbb\xbf{"a":1}',
    ],
)
def test_what_is_not_one_json_object_is_no_record(line: bytes) -> None:
    assert output.read(line) is None
    assert output.careful(line) is None


def test_of_a_name_that_is_there_twice_the_last_counts() -> None:
    for read in (output.read, output.careful):
        record = read(b'{"a": 1, "a": 2}')
        assert record is not None
        assert (record.value("a"), record.raw("a")) == (2, b"2")


def test_deep_nesting_and_long_numbers_are_json() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    record = output.read(b'{"a":%b,"b":%b,"recordId":"x"}' % (deep, b"9" * 5000))
    assert record is not None
    assert (record.raw("a"), record.value("recordId")) == (deep, "x")


@pytest.mark.parametrize("inside", [b"[],", b"{},", b'{"a":1},', b'"\xc3\xa9",', b"1,"])
def test_a_long_line_takes_a_few_times_its_bytes(
    inside: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LONG_LINE_BYTES", 100_000)
    line = b'{"modelOutput":{"x":[%b1],"stop_reason":"end_turn","n":{"n":5}},"recordId":"x"}' % (
        inside * (200_000 // len(inside))
    )
    tracemalloc.start()
    record = output.read(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert record is not None
    value = record.value("modelOutput")
    assert (value["stop_reason"], value["n"], record.value("recordId")) == (
        "end_turn",
        {"n": 5},
        "x",
    )
    assert peak < 4 * len(line)  # json.loads of the lists: 20 times


@given(
    st.lists(st.binary(max_size=10).map(lambda b: b.replace(b"\n", b"")), max_size=6),
    st.booleans(),
    st.integers(1, 5),
)
def test_lines_end_at_newlines_however_they_are_cut(
    whole: list[bytes], ended: bool, size: int
) -> None:
    data = b"\n".join(whole) + (b"\n" if ended and whole else b"")
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert list(lines(iter(chunks))) == expected
    assert list(lines(iter(chunks), 4)) == [line[:4] for line in expected]
    assert list(lines(iter(chunks), 1000)) == expected


def test_only_newlines_split() -> None:
    text = '{"a":"\u2028\u2029\x85\x0b\x0c\x1c"}\r'.encode()
    assert list(lines([text + b"\n" + text])) == [text, text]
