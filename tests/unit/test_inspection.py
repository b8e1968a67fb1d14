"""Inspection: what is fit, what is not and why, the same however the bytes are cut, in bounded
memory.
"""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bbq.shared.blocks import LONG_LINE_BYTES, LONG_STRING, MAX_STRUCTURE
from bbq.shared.bodies import Bodies
from bbq.shared.file_kinds import HEAD_BYTES, foreign
from bbq.shared.inspection import (
    LONGEST_ID_KEPT,
    MAX_PROBLEMS,
    Inspection,
    Limits,
    inspect,
)
from bbq.shared.json_text import MAX_NODES, is_plain
from bbq.shared.usual import MAX_SHAPES
from local.settings import ROOT

LIMITS = Limits(min_records=1, max_records=1000, max_bytes=10**9)
LONG = 64  # long_line_bytes of tests that want their lines to be long


BOM = "the file begins with a byte order mark: save it as UTF-8 without one"


def record(record_id: object = None, **model_input: object) -> bytes:
    members = {"recordId": record_id} if record_id is not None else {}
    return json.dumps({**members, "modelInput": model_input}, ensure_ascii=False).encode()


def of(*lines: bytes, limits: Limits = LIMITS, long: int = LONG_LINE_BYTES) -> Inspection:
    return inspect([b"\n".join(lines)], limits, long_line_bytes=long)


def said(found: Inspection) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.text) for problem in found.problems]


def only(text: bytes, long: int = LONG_LINE_BYTES) -> str:
    """The one problem of a line that stands second."""
    found = of(record("a"), text, long=long)
    assert [problem.line for problem in found.problems] == [2]
    return found.problems[0].text


# What is tolerated


@pytest.mark.parametrize(
    "data",
    [
        record("a") + b"\n" + record("b"),
        record("a") + b"\n" + record("b") + b"\n",
        record("a") + b"\r\n" + record("b") + b"\r\n",
        record("a") + b"\n" + record("b") + b"\n\n",
        record("a") + b"\r\n" + record("b") + b"\r\n \t\r\n",
        b' { "recordId" : "a" , "modelInput" : { } } \n\t' + record("b"),
        b'{"modelInput":{},"recordId":"a"}\n{"modelInput":{},"x":[1e999,-0.1,null],"recordId":"b"}',
        record("a") + b"\n" + record("", text="\u2028\u2029\x85 \x7f"),
    ],
    ids=[
        "no-last-newline",
        "lf",
        "crlf",
        "blank-end",
        "blank-crlf-end",
        "spaces",
        "order",
        "separators",
    ],
)
@pytest.mark.parametrize("long", [LONG_LINE_BYTES, 10])
def test_two_records_are_fit(data: bytes, long: int) -> None:
    assert inspect([data], LIMITS, long_line_bytes=long) == Inspection(
        record_count=2, size_bytes=len(data)
    )


def test_records_without_ids_are_fit() -> None:
    assert of(record(), record(), record("a")).record_count == 3


def test_ids_in_a_model_input_are_not_record_ids() -> None:
    assert not of(record("a", recordId="x"), record("b", recordId="x")).problems


def test_names_given_twice_inside_a_model_input_are_the_models_business() -> None:
    assert not of(b'{"modelInput": {"a": 1, "a": 2}}').problems


@pytest.mark.parametrize(
    "number", [b"9" * 100_000, b"-" + b"9" * 5000 + b".5e-77", b"1" + b"0" * 900_000]
)
def test_a_number_of_any_length_is_a_number_and_costs_no_time(number: bytes) -> None:
    assert not of(b'{"modelInput": {"n": ' + number + b"}}").problems


def test_megabytes_of_an_image_in_a_record_are_fit() -> None:
    image = "iVBORw0KGgo" * 300_000
    assert not of(record("a", image=image), record("b", image=image)).problems


# What is not


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[]", "is not a JSON object"),
        (b'"modelInput"', "is not a JSON object"),
        (b"7", "is not a JSON object"),
        (b"{}", "has no modelInput"),
        (b'{"modelInput": []}', "modelInput is not an object"),
        (b'{"modelInput": null}', "modelInput is not an object"),
        (b'{"modelInput": {}, "recordId": 1}', "recordId is not a string"),
        (b'{"modelInput": {}, "recordId": null}', "recordId is not a string"),
        (record("a"), "recordId is the same as on line 1"),
        (b'{"recordId": "\\u0061", "modelInput": {}}', "recordId is the same as on line 1"),
        (b'{"modelInput": {}, "modelInput": {}}', "has the same name twice in the record object"),
        (
            b'{"recordId": "x", "modelInput": {}, "recordId": "y"}',
            "has the same name twice in the record object",
        ),
        (
            b'{"modelInput": {}, "\\u006dodelInput": {}}',
            "has the same name twice in the record object",
        ),
        (record() + record(), "holds more than one JSON value"),
        (record() + b",", "holds more than one JSON value"),
        (b'{"modelInput": {"x": NaN}}', "is not valid JSON: NaN and Infinity are not JSON"),
        (b'{"modelInput": {"x": -Infinity}}', "is not valid JSON: NaN and Infinity are not JSON"),
        (b'{"modelInput": {}', "is not valid JSON at column 18"),
        (b"  nope", "is not valid JSON at column 3"),
        (b"{'modelInput': {}}", "is not valid JSON at column 2"),
        (
            b'{"modelInput": {"x": "\x00"}}',
            "is not valid JSON at column 23: a control character in a string must be escaped",
        ),
        (b'{"modelInput": {"x": "', "is not valid JSON at column 22: a string does not end"),
        (
            b'{"modelInput": {"x": "\\x"}}',
            "is not valid JSON at column 23: an unknown escape in a string",
        ),
        (
            b'{"modelInput": {"x": "\\u12"}}',
            "is not valid JSON at column 24: an incomplete \\u escape in a string",
        ),
        (b"\x00" * 20, "is not valid JSON at column 1"),
        (b'{"modelInput": {"x": "ab\xff"}}', "is not UTF-8 at byte 25"),
        (b'{"modelInput": {"x": "\xed\xa0\x80"}}', "is not UTF-8 at byte 23"),
        (b'{"modelInput": {"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}", "nests too deeply"),
        (b'{"modelInput": ' + b'{"x":' * 20_000 + b"1" + b"}" * 20_000 + b"}", "nests too deeply"),
        ("\ufeff".encode() + record(), "is not valid JSON at column 1"),
    ],
)
def test_a_line_that_is_not_fit_is_named_with_the_reason(line: bytes, problem: str) -> None:
    assert only(line) == problem


@pytest.mark.parametrize(
    "half",
    [
        "\\ud800",
        "\\uDFFF",
        "\\ude00\\ud83d",
        "\\\\\\ud83d\\\\ude00",
        "\\\\ud83d\\ude00",
        "\\ud83dx\\ude00",
    ],
)
@pytest.mark.parametrize("long", [LONG_LINE_BYTES, LONG])
@pytest.mark.parametrize("pad", [0, LONG_STRING - 3, 2 * LONG_STRING])
def test_half_of_a_surrogate_pair_is_refused_wherever_it_is(half: str, long: int, pad: int) -> None:
    line = '{"modelInput": {"x": ["' + "z" * pad + half + '", 1, 2, 3, 4, 5, 6, 7, 8]}}'
    assert only(line.encode(), long) == "holds half of a surrogate pair, which is not a character"


@pytest.mark.parametrize(
    "text",
    ["\\ud83d\\ude00", "\\\\ud83d", "\\\\\\ud83d\\ude00", "\\\\ude00\\ud83d\\ude00", "\\u00d8d8"],
)
@pytest.mark.parametrize("long", [LONG_LINE_BYTES, LONG])
@pytest.mark.parametrize("pad", [0, LONG_STRING - 3, 2 * LONG_STRING])
def test_a_whole_surrogate_pair_is_a_character(text: str, long: int, pad: int) -> None:
    line = '{"modelInput": {"x": ["' + "z" * pad + text + '", 1, 2, 3, 4, 5, 6, 7, 8]}}'
    assert not of(line.encode(), long=long).problems


def test_everything_wrong_with_one_line_is_said() -> None:
    found = of(b'{"modelInput": 1, "recordId": 2, "x": "\\ud800"}')
    assert [problem.text for problem in found.problems] == [
        "holds half of a surrogate pair, which is not a character",
        "modelInput is not an object",
        "recordId is not a string",
    ]


def test_all_problems_are_reported_together_with_their_lines() -> None:
    found = of(record("a"), b"x", record("a"), b"\xff", b"", b"{}", record("b"))
    assert said(found) == [
        (2, "is not valid JSON at column 1"),
        (3, "recordId is the same as on line 1"),
        (4, "is not UTF-8 at byte 1"),
        (5, "is blank; only the last line may be"),
        (6, "has no modelInput"),
    ]
    assert (found.record_count, found.problem_count) == (6, 5)


def test_only_the_first_hundred_problems_are_kept_but_all_are_counted() -> None:
    found = of(*[b"x"] * 250)
    assert len(found.problems) == MAX_PROBLEMS == 100
    assert found.problem_count == 250


def test_repeated_ids_take_their_place_among_the_first_hundred_problems() -> None:
    found = of(*[record("a")] * 60, *[b"x"] * 60, limits=replace(LIMITS, max_records=110))
    expected = [None, *range(2, 61), *range(61, 101)]
    assert [problem.line for problem in found.problems] == expected
    assert found.problem_count == 1 + 59 + 50


def test_two_blank_lines_at_the_end_are_one_too_many() -> None:
    assert said(inspect([record() + b"\n\n\n"], LIMITS)) == [
        (2, "is blank; only the last line may be")
    ]


def test_long_ids_are_compared_whole() -> None:
    stem = "x" * 5000
    assert not of(record(stem + "1"), record(stem + "2")).problems


@pytest.mark.parametrize(
    "size", [LONGEST_ID_KEPT, LONGEST_ID_KEPT + 1, LONG_STRING, LONG_STRING + 1, 5 * LONG_STRING]
)
def test_an_id_is_the_same_in_a_long_line_and_a_short_one_however_it_is_escaped(size: int) -> None:
    name = "é" * size
    plain = record(name)
    escaped = b'{"recordId": "' + b"\\u00e9" * size + b'", "modelInput": {}}'
    for first in (plain, escaped):
        for second in (plain, escaped):
            found = of(
                first,
                second,
                second.replace(b'"modelInput"', b" " * 4000 + b'"modelInput"'),
                long=3000,
            )
            assert said(found) == [(line, "recordId is the same as on line 1") for line in (2, 3)]


# Limits


def test_a_file_without_a_byte_is_empty() -> None:
    assert (
        said(inspect([], LIMITS))
        == said(inspect([b"", b""], LIMITS))
        == [(None, "the file is empty")]
    )


@pytest.mark.parametrize("data", [b"\n", b"\r\n", b" "])
def test_a_file_without_a_record_has_too_few(data: bytes) -> None:
    assert said(inspect([data], LIMITS)) == [(None, "the file holds 0 records, fewer than 1")]


def test_the_limits_themselves_are_fit() -> None:
    data = b"\n".join([record()] * 5) + b"\n\n"
    assert not inspect([data], Limits(min_records=5, max_records=5, max_bytes=len(data))).problems


def test_fewer_records_than_the_least_are_a_problem_of_the_file() -> None:
    found = of(
        record(), record(), limits=Limits(min_records=100, max_records=1000, max_bytes=10**6)
    )
    assert said(found) == [(None, "the file holds 2 records, fewer than 100")]


@pytest.mark.parametrize("last", [record(), b"x", b"\xff", b"\n"])
def test_reading_stops_at_the_first_line_too_many(last: bytes) -> None:
    limits = Limits(min_records=1, max_records=3, max_bytes=10**6)
    found = inspect(endless(b"\n".join([record()] * 3 + [last]) + b"\n"), limits)
    assert said(found)[0] == (None, "the file holds more than 3 lines; each record is one line")
    assert found.record_count == 3


def test_reading_stops_at_the_first_byte_too_many() -> None:
    found = inspect(endless(b"x" * 700), Limits(min_records=1, max_records=3, max_bytes=1000))
    assert said(found) == [(None, "the file is larger than 1,000 bytes")]
    assert found.size_bytes == 1400


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            gzip.compress(record()),
            "the file is compressed with gzip: unpack it, and upload the .jsonl file in it",
        ),
        (record().decode().encode("utf-16"), "the file is UTF-16: save it as UTF-8"),
        (b"\xef\xbb\xbf" + record(), BOM),
        (b"[" + record() + b"]", "the file is a JSON array: "),
    ],
)
def test_a_file_of_another_kind_is_named_once(data: bytes, problem: str, chunk: int) -> None:
    [(line, text)] = said(inspect(cut(data, chunk), LIMITS))
    assert (line, text.startswith(problem)) == (None, True)


def test_what_is_wrong_behind_a_byte_order_mark_is_said_with_it() -> None:
    assert said(of(b"\xef\xbb\xbf" + record("a"), b"x")) == [
        (None, BOM),
        (2, "is not valid JSON at column 1"),
    ]


# Bodies and warnings

CLAUDE = replace(LIMITS, bodies=Bodies(claude=True))
NO_VERSION = (
    'modelInput has no anthropic_version: Claude needs "anthropic_version": "bedrock-2023-05-31"'
)
NO_CACHE = (
    "modelInput holds cache_control: leave it out, batch inference does not allow prompt caching"
)


def claude(record_id: object = None, **more: object) -> bytes:
    return record(record_id, anthropic_version="bedrock-2023-05-31", max_tokens=1, **more)


@pytest.mark.parametrize("long", [LONG_LINE_BYTES, 10])
def test_a_fault_of_bodies_is_one_problem_with_its_first_line_and_how_many_have_it(
    long: int,
) -> None:
    lines = [
        claude("a"),
        record("b", max_tokens=1),
        b"x",
        record("c", max_tokens=1),
        claude("d"),
        record("e", max_tokens=1),
    ]
    found = of(*lines, limits=CLAUDE, long=long)
    assert [(line, text.split(" at ")[0]) for line, text in said(found)] == [
        (2, NO_VERSION + "; 3 lines have this"),
        (3, "is not valid JSON"),
    ]
    assert found.problem_count == 2


@pytest.mark.parametrize("long", [LONG_LINE_BYTES, 10])
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_a_body_is_judged_alike_in_every_way_of_reading(long: int, order: slice) -> None:
    usual = record("a", max_tokens=1)
    careful = b'{"other": 1, ' + record("b", max_tokens=1)[1:]
    for lines in ([usual], [careful], [usual, careful][order]):
        text = NO_VERSION + ("; 2 lines have this" if len(lines) > 1 else "")
        assert said(of(*lines, limits=CLAUDE, long=long)) == [(1, text)]


def test_a_cache_point_is_found_behind_records_of_the_same_names() -> None:
    block = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [block]}]
    plain = [{"role": "user", "content": 'say "cache_control"'}]
    lines = [
        claude("a", messages=plain),
        claude("b", messages=messages),
        claude("c", messages=plain),
    ]
    assert said(of(*lines, limits=CLAUDE)) == [(2, NO_CACHE)]


def test_a_cache_point_is_found_in_a_large_body_too() -> None:
    block = {"type": "text", "text": "w" * 5000, "cache_control": {"type": "ephemeral"}}
    lines = [
        claude(messages=[{"role": "user", "content": content}])
        for content in ([{"type": "text", "text": "w" * 5000}], [block])
    ]
    assert said(of(*lines, limits=CLAUDE)) == [(2, NO_CACHE)]


def test_a_walk_through_a_body_is_bounded_and_never_wrongly_says_plain() -> None:
    assert is_plain({"x": ["a"] * (MAX_NODES - 10)}, '"cachePoint"')
    assert not is_plain({"x": ["a"] * MAX_NODES}, '"cachePoint"')
    assert not is_plain({f"n{n}": {"a": {}} for n in range(MAX_NODES)}, '"cachePoint"')
    assert not is_plain({"x": [{"y": [{"cachePoint": {}}]}]}, '"cachePoint"')
    assert not is_plain({"x": [{"\ud800": 1}]}, "")


def test_without_rules_a_body_may_be_any_object() -> None:
    assert not of(record("a", modelId="x", stream=True)).problems


class Counted(Bodies):
    """Counts how often a body is judged."""

    calls = 0

    def faults(self, body: Mapping[str, Any]) -> list[str]:
        Counted.calls += 1
        return super().faults(body)


def test_of_ever_new_names_of_bodies_only_so_many_are_remembered() -> None:
    Counted.calls = 0
    lines = [claude(f"r{n}", **{f"name{n % (2 * MAX_SHAPES)}": n}) for n in range(4 * MAX_SHAPES)]
    found = of(
        *lines,
        record("x", max_tokens=1),
        limits=replace(LIMITS, max_records=5000, bodies=Counted(claude=True)),
    )
    assert said(found) == [(len(lines) + 1, NO_VERSION)]
    # those that are remembered were judged once, the others each time, and the last one again in the
    # careful way
    assert Counted.calls == 3 * MAX_SHAPES + 2


def test_records_without_ids_are_a_warning() -> None:
    found = of(record("a"), record(), record("b"), record())
    assert (found.problems, found.warnings) == (
        (),
        ("2 of 4 records have no recordId: Bedrock gives their answers ids of its own",),
    )
    assert of(record("a"), record("b")).warnings == ()


@pytest.mark.parametrize("name", ["recordID", "record_id", "RecordId", "id", "custom_id"])
def test_a_name_that_was_meant_to_be_the_ids_is_a_warning(name: str) -> None:
    found = of(f'{{"{name}": "a", "modelInput": {{}}}}'.encode())
    assert found.warnings == (
        f'"{name}" means nothing to Bedrock: the name of a record\'s id is "recordId"',
        "1 of 1 records have no recordId: Bedrock gives their answers ids of its own",
    )
    assert of(f'{{"{name}": "a", "recordId": "b", "modelInput": {{}}}}'.encode()).warnings == ()


# Long lines


def test_nine_thousand_short_turns_are_fit() -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "w" * 230}]}
    data = claude("a", messages=[turn] * 9000)
    assert len(data) > 2.4e6
    assert not of(data, limits=CLAUDE).problems


def test_a_string_cut_anywhere_is_still_one_string() -> None:
    text = '\\\\\\"\\n\\u00e9\\ud83d\\ude00é😀\\\\' * 60
    line = ('{"modelInput": {"' + text + '": "' + text + '"}, "recordId": "' + text + '"}').encode()
    for size in (*range(1, 40), 1000):
        found = inspect(cut(line + b"\n" + line, size), LIMITS, long_line_bytes=size)
        assert said(found) == [(2, "recordId is the same as on line 1")], size


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"modelInput": {"x": "' + b"a" * 500, "is not valid JSON: a string does not end"),
        (
            b'{"modelInput": {"x": "' + b"a" * 500 + b"\\",
            "is not valid JSON: a string does not end",
        ),
        (
            b'{"modelInput": {"x": "' + b"a" * 500 + b'\\q"}}',
            "is not valid JSON: an unknown escape in a string",
        ),
        (
            b'{"modelInput": {"x": "' + b"a" * 500 + b'\\u12"}}',
            "is not valid JSON: an incomplete \\u escape in a string",
        ),
        (
            b'{"modelInput": {"x": "' + b"a" * 500 + b'\t"}}',
            "is not valid JSON: a control character in a string must be escaped",
        ),
        (b'{"modelInput": {"x": "' + b"a" * 500 + b'\xff"}}', "is not UTF-8"),
        (b'{"modelInput": {"x": "' + b"a" * 500 + b"\xc3", "is not UTF-8"),
        (b'{"modelInput": {"x": "' + b"a" * 500 + b'"}', "is not valid JSON"),
        (b'{"modelInput": {"x": \\"' + b"a" * 500 + b'\\"}}', "is not valid JSON"),
        (record() * 50, "holds more than one JSON value"),
        (
            b'{"modelInput": {"' + b"a" * 500 + b'": NaN}}',
            "is not valid JSON: NaN and Infinity are not JSON",
        ),
        (
            b'{"modelInput": {}, "' + b"a" * 500 + b'": 1, "' + b"a" * 500 + b'": 2}',
            "has the same name twice in the record object",
        ),
    ],
)
def test_a_long_line_that_is_not_fit_is_named_with_the_reason(line: bytes, problem: str) -> None:
    assert only(line, LONG) == problem


@pytest.mark.parametrize("chunk", [1, 2, 7, 300, 10**6])
def test_of_a_long_line_the_first_fault_is_told_however_it_is_cut(chunk: int) -> None:
    escape, not_utf8 = b"\\x", b"\xff"
    for first, second, problem in (
        (escape, not_utf8, "is not valid JSON: an unknown escape in a string"),
        (not_utf8, escape, "is not UTF-8"),
    ):
        line = b'{"modelInput": {"x": "' + b"z" * 300 + first + b"zz" + second + b'"}}'
        found = inspect(cut(line, chunk), LIMITS, long_line_bytes=LONG)
        assert said(found) == [(1, problem)]


def test_a_long_line_may_not_hold_too_much_that_is_no_long_string() -> None:
    fit = (
        b'{"modelInput": {"x": ['
        + b"1," * (MAX_STRUCTURE // 2 - 50)
        + b'"'
        + b"a" * 10**6
        + b'"]}}'
    )
    assert not of(fit).problems
    unfit = b'{"modelInput": {"x": [' + b"1," * (MAX_STRUCTURE // 2) + b'"' + b"a" * 10**6 + b'"]}}'
    found = of(unfit, record("a"), b"x")
    assert said(found) == [
        (
            1,
            (
                "holds more than 4,194,304 characters without its long strings: make several records "
                "of it"
            ),
        ),
        (3, "is not valid JSON at column 1"),
    ]


# The same as the plain way of doing it, on anything

# of a long line, the first fault is told
SYNTAX = ("is not valid JSON", "holds more than one JSON value", "is not UTF-8")


def reference(data: bytes) -> tuple[int, list[tuple[int, str]]]:
    """(records, problems): everything in memory, line by line, with json.loads."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if lines and not lines[-1].strip(b" \t\r"):
        lines.pop()
    ids: dict[str, int] = {}
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        problems += [(number, problem) for problem in judged(line, number, ids)]
    return sum(1 for line in lines if line.strip(b" \t\r")), problems


class Members(list[tuple[str, Any]]):
    """A JSON object."""


def refuse(_: str) -> None:
    raise ArithmeticError


def judged(line: bytes, number: int, ids: dict[str, int]) -> Iterator[str]:
    if not line.strip(b" \t\r"):
        yield "is blank; only the last line may be"
        return
    try:
        value = json.loads(
            line.decode(), object_pairs_hook=Members, parse_int=len, parse_constant=refuse
        )
    except (UnicodeDecodeError, json.JSONDecodeError, ArithmeticError):
        yield "is no JSON"
        return
    if not isinstance(value, Members):
        yield "is not a JSON object"
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        yield "holds half of a surrogate pair, which is not a character"
    yield from judged_record(value, dict(value), number, ids)


def judged_record(
    members: Members, record: dict[str, Any], number: int, ids: dict[str, int]
) -> Iterator[str]:
    if len(record) != len(members):
        yield "has the same name twice in the record object"
    if "modelInput" not in record:
        yield "has no modelInput"
    elif not isinstance(record["modelInput"], Members):
        yield "modelInput is not an object"
    if "recordId" in record and not isinstance(record["recordId"], str):
        yield "recordId is not a string"
    elif "recordId" in record and (first := ids.setdefault(record["recordId"], number)) != number:
        yield f"recordId is the same as on line {first}"


def normal(text: str) -> str:
    return "is no JSON" if text.startswith(SYNTAX) else text


escapes = st.sampled_from(
    [
        "\\n",
        '\\"',
        "\\\\",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00",
        "\\u0061",
        "\\x",
        "\\u12",
        "\t",
        "é",
        "😀",
        "a",
        "\x00",
        "ud8",
    ]
)
contents = st.one_of(
    st.lists(escapes, max_size=6).map("".join),
    st.tuples(
        st.lists(escapes, max_size=4).map("".join),
        st.integers(240, 300),
        st.lists(escapes, max_size=6).map("".join),
    ).map(lambda parts: parts[0] + "z" * parts[1] + parts[2]),
)
strings = contents.map(lambda content: f'"{content}"')
values = st.recursive(
    st.one_of(
        strings,
        st.sampled_from(["1", "-0.5e3", "true", "null", "NaN", "01", "{}", "[]", "[1,]", ""]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.lists(st.tuples(strings, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{k}: {v}" for k, v in items) + "}"
        ),
    ),
    max_leaves=6,
)
names = st.one_of(
    st.sampled_from(['"recordId"', '"modelInput"', '"modelInput"', '"record\\u0049d"']), strings
)
objects = st.lists(st.tuples(names, values), max_size=4).map(
    lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items) + "}"
)
usual = st.tuples(strings, st.one_of(values, st.just("{}"))).map(
    lambda parts: f'{{"recordId":{parts[0]},"modelInput":{parts[1]}}}'
)
other_order = st.tuples(strings, st.just("{}")).map(
    lambda parts: f'{{"modelInput": {parts[1]}, "recordId": {parts[0]}}}'
)
spaced = st.tuples(
    st.sampled_from(["", " ", "\t\r"]),
    st.one_of(usual, usual, other_order, objects, values),
    st.sampled_from(["", " ", "\r", ","]),
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    line = "".join(draw(spaced)).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(line)))
        line = (
            line[:at]
            + draw(
                st.sampled_from(
                    [b"", b'"', b"\\", b"\x00", b"\xff", b"\xc3", b"{", b"}", b"\n", b" ", b"\\u"]
                )
            )
            + line[at + 1 :]
        )
    return line


files = st.tuples(
    st.sampled_from([b"", b"", b"\xef\xbb\xbf"]),
    st.lists(st.one_of(lines(), lines(), lines(), st.just(b""), st.binary(max_size=8)), max_size=6),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]),
).map(lambda parts: parts[0] + parts[2].join(parts[1]) + parts[3])


@settings(max_examples=400)
@given(
    files,
    st.lists(st.integers(1, 400), max_size=8),
    st.sampled_from([3, 17, 100, 300, 1000, LONG_LINE_BYTES]),
)
@example(b'{"modelInput": {"a": [\n{"modelInput": {"a": [\n{"modelInput": {}}', [], LONG_LINE_BYTES)
@example(b'{"modelInput": {\n}}\n{}\n', [], LONG_LINE_BYTES)
@example(b'\n{"modelInput": {}}\n', [1], LONG_LINE_BYTES)
@example(b'{"recordId": 1}', [], 3)
@example(b'{"recordId": "a", "modelInput": {}, "recordId": "b"}', [], LONG_LINE_BYTES)
def test_the_verdict_is_that_of_a_plain_reader_however_the_file_is_cut(
    data: bytes, sizes: list[int], long: int
) -> None:
    if foreign(data[:HEAD_BYTES]):
        return
    records, problems = reference(data)
    found = inspect(cut(data, *sizes), LIMITS, long_line_bytes=long)
    assert [(line, normal(text)) for line, text in said(found) if line] == problems
    assert (found.record_count, found.size_bytes) == (records, len(data))
    whole = [text for line, text in said(found) if line is None]
    few = (
        ["the file is empty"]
        if not data
        else []
        if records
        else ["the file holds 0 records, fewer than 1"]
    )
    assert whole == [BOM] * data.startswith(b"\xef\xbb\xbf") + few


@settings(max_examples=300)
@given(
    st.lists(st.one_of(lines(), st.binary(max_size=60)), max_size=5).map(b"\n".join),
    st.sampled_from([5, 100, LONG_LINE_BYTES]),
)
def test_whatever_the_file_holds_nothing_is_raised_and_problems_are_constant_sentences(
    data: bytes, long: int
) -> None:
    known = {"".join(c for c in text if not c.isdigit()) for text in SENTENCES}
    if foreign(data):
        return
    for problem in inspect([data], LIMITS, long_line_bytes=long).problems:
        assert "".join(c for c in problem.text if not c.isdigit()) in known


SENTENCES = [
    "has no modelInput",
    "has the same name twice in the record object",
    "holds half of a surrogate pair, which is not a character",
    "holds more than one JSON value",
    "is blank; only the last line may be",
    "is not UTF-8",
    "is not UTF-8 at byte 1",
    "is not a JSON object",
    "modelInput is not an object",
    "recordId is not a string",
    "recordId is the same as on line 1",
    "the file holds 0 records, fewer than 1",
    BOM,
    "the file is empty",
    *(
        f"is not valid JSON{column}{hint}"
        for column in ("", " at column 1")
        for hint in (
            "",
            ": NaN and Infinity are not JSON",
            ": a control character in a string must be escaped",
            ": a string does not end",
            ": an unknown escape in a string",
            ": an incomplete \\u escape in a string",
        )
    ),
]


# Bounded memory and time, in a process of its own

MEASURE = """
import resource, sys
from bbq.shared.inspection import Limits, inspect

MIB = 2**20

def chunks(head, body, tail):
    yield head
    body = (body * (MIB // len(body) + 1))
    for _ in range(int(sys.argv[2]) * MIB // len(body)):
        yield body
    yield tail

before = resource.getrusage(resource.RUSAGE_SELF)
most = int(sys.argv[3])
found = inspect(chunks(*eval(sys.argv[1])), Limits(min_records=1, max_records=most, max_bytes=10**10))
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime)
print(found.record_count, found.problem_count, found.problems[0].text if found.problems else "fit")
"""
PLAIN_MIB, MAX_MIB = 300, 128
# 1024 for the largest line that a default model takes
SIZE_MIB = int(os.environ.get("BBQ_HOSTILE_MIB", str(PLAIN_MIB)))
TOO_MANY = "the file holds more than 100,000 lines; each record is one line"
STRUCTURE = (
    "1 1 holds more than 4,194,304 characters without its long strings: make several records of it"
)


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        (
            '(b"", b\'{"modelInput":{"x":"\' + b"lorem ipsum " * 340 + b\'"}}\\n\', b"")',
            "76544 0 fit",
        ),
        ('(b\'{"modelInput":{"x":"\', b"iVBORw0KGgo", b\'"}}\')', "1 0 fit"),
        ('(b\'{"modelInput":{"x":"\', b\'\\\\"\', b\'"}}\')', "1 0 fit"),
        ('(b\'{"modelInput":{"x":"\', b"\\\\ud83d\\\\ude00\\\\u00e9", b\'"}}\')', "1 0 fit"),
        ('(b\'{"modelInput":{"x":"\', "é😀".encode(), b\'"}}\')', "1 0 fit"),
        ('(b\'{"modelInput":{"x":[\', b"[],", b"1]}}")', STRUCTURE),
        ('(b\'{"modelInput":{"x":\', b"[", b"")', STRUCTURE),
        ('(b\'{"modelInput":{"x":\', b"9", b"}}")', STRUCTURE),
        ('(b\'{"modelInput":{"x":["\', b\'","\', b\'"]}}\')', STRUCTURE),
        (
            (
                '(b\'{"modelInput":{\' + b\'"a":[],\' * 290_000 + b\'"x":"\', b"iVBORw0KGgo", '
                "b'\"}}')"
            ),
            "1 0 fit",
        ),
        ('(b"", b"\\0", b"")', STRUCTURE),
        ('(b"", b"\\xff", b"")', "1 1 is not UTF-8"),
        ('(b"", b"{}\\n", b"")', "100000 100001 " + TOO_MANY),
        ('(b"", b"\\n", b"")', "0 100002 " + TOO_MANY),
        ('(b"", b\'{"modelInput":{"x":[\\n\', b"")', "100000 100001 " + TOO_MANY),
    ],
    ids=[
        "records",
        "image",
        "quotes",
        "surrogates",
        "wide",
        "lists",
        "nested",
        "digits",
        "strings",
        "mixed",
        "nul",
        "invalid",
        "tiny",
        "blank",
        "open",
    ],
)
def test_hundreds_of_megabytes_of_anything_take_little_memory_and_time(
    source: str, verdict: str
) -> None:
    cost, found = measured(source, SIZE_MIB, 100_000)
    assert found == verdict or SIZE_MIB != PLAIN_MIB  # the counts are those of the plain size
    assert cost.mib < MAX_MIB
    # MiB / (MiB/s); half of what is promised for records, because machines differ
    assert cost.seconds < SIZE_MIB / 30


@pytest.mark.parametrize(
    ("body", "lines", "verdict"),
    [
        (b'{"modelInput":{}}\n', 2_000_000, "1980000 0 fit"),
        (b'{"recordId":"same","modelInput":{}}\n', 2_000_000, None),
        (b"1\n", 20_000_000, None),
    ],
    ids=["fit", "one id", "unfit"],
)
def test_millions_of_tiny_lines_take_little_memory_and_time(
    body: bytes, lines: int, verdict: str | None
) -> None:
    mib = 32
    cost, found = measured(f'(b"", {body!r}, b"")', mib, 20_000_000)
    records = int(found.split()[0])
    assert records * len(body) >= (mib - 1) * 2**20
    assert ("fit" in found) == (verdict is not None)
    assert cost.mib < MAX_MIB + 16 * records / 2**20  # 16 bytes are kept of each id
    assert cost.seconds < records / 30_000
    assert records <= lines


class Cost(NamedTuple):
    """Peak of memory beyond the interpreter's own, and processor time."""

    mib: float
    seconds: float


def measured(source: str, mib: int, most: int) -> tuple[Cost, str]:
    """What an inspection costs, and its verdict, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, source, str(mib), str(most)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    cost, found = run.stdout.splitlines()
    peak_kib, seconds = cost.split()
    return Cost(int(peak_kib) / 1024, float(seconds)), found


def cut(data: bytes, *sizes: int) -> Iterator[bytes]:
    """The data in chunks of these sizes, over and over; whole without sizes."""
    start = 0
    while sizes and start < len(data):
        for size in sizes:
            yield data[start : start + size]
            start += size
    if not sizes:
        yield data


def endless(chunk: bytes) -> Iterator[bytes]:
    while True:
        yield chunk
