"""Inspection finds every problem, holds no content, and is bounded whatever the bytes are."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.settings import ROOT
from services.intake.inspection import LONG_STRING_BYTES, MAX_PROBLEMS, Inspection, Limits, inspect

ANY = Limits(min_records=1, max_records=1000, max_bytes=10**9)
GOOD = b'{"recordId": "a", "modelInput": {"x": 1}}'


def look(data: bytes, limits: Limits = ANY, *, chunk: int = 1 << 20, long_line: int = 1 << 20) -> Inspection:
    chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    return inspect(chunks, limits, long_line=long_line)


def lines(found: Inspection) -> list[int | None]:
    return [problem.line for problem in found.problems]


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD + b"\n",
        b"\xef\xbb\xbf" + GOOD + b"\n",
        GOOD + b"\r\n" + b'{"modelInput": {}}\r\n',
        b'  {"modelInput": {}}  \n',
        b'{"modelInput": {}, "recordId": "\\ud800"}\n',
        b'{"modelInput": {"n": 1' + b"0" * 5000 + b"}}\n",
        b'{"modelInput": {"n": 1e400}}\n',
        '{"modelInput": {"t": "\u2028 \u0085 ünï"}}\n'.encode(),
        b'{"modelInput": {}}\n{"modelInput": {}}\n',
    ],
)
def test_a_fit_file_has_no_problem(data: bytes) -> None:
    assert look(data).problems == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"not json", "not valid JSON"),
        (b"{", "not valid JSON"),
        (GOOD + b" {}", "not valid JSON"),
        (b"", "empty"),
        (b"   ", "empty"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"{}", "modelInput is missing"),
        (b'{"modelInput": []}', "modelInput is not an object"),
        (b'{"modelInput": null}', "modelInput is not an object"),
        (b'{"modelInput": {}, "recordId": 7}', "recordId is not a string"),
        (b'{"modelInput": {}, "recordId": null}', "recordId is not a string"),
        (b'{"modelInput": {"x": NaN}}', "NaN"),
        (b'{"modelInput": {"x": "\x00"}}', "not valid JSON"),
        (b'{"modelInput": {"x": "\\q"}}', "not valid JSON"),
        (b'{"modelInput": {"x": "\xff"}}', "not UTF-8"),
        (b'{"modelInput": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"recordId": "a", "modelInput": {}}', "the same as on line 1"),
    ],
)
@pytest.mark.parametrize("long_line", [1 << 20, 8])
def test_a_bad_line_is_named_by_its_number(line: bytes, text: str, long_line: int) -> None:
    found = look(GOOD + b"\n" + line + b"\n" + GOOD.replace(b'"a"', b'"b"') + b"\n", long_line=long_line)
    assert lines(found) == [2]
    assert text in found.problems[0].text or "within a string" in found.problems[0].text or "valid JSON" in found.problems[0].text


def test_all_problems_are_found_the_first_hundred_are_kept_and_all_are_counted() -> None:
    found = look(b"x\n" * 250)
    assert (len(found.problems), found.problem_count) == (MAX_PROBLEMS, 250)
    assert lines(found) == list(range(1, MAX_PROBLEMS + 1))


@pytest.mark.parametrize(("count", "fit"), [(0, False), (2, False), (3, True), (5, True), (6, False)])
def test_the_number_of_records_is_within_the_limits(count: int, fit: bool) -> None:
    found = look(b'{"modelInput": {}}\n' * count, Limits(min_records=3, max_records=5, max_bytes=10**6))
    assert found.fit is fit


@pytest.mark.parametrize(("size", "fit"), [(19, True), (18, False)])
def test_the_size_is_within_the_limit(size: int, fit: bool) -> None:
    found = look(b'{"modelInput": {}}\n', Limits(min_records=1, max_records=5, max_bytes=size))
    assert found.fit is fit
    assert fit or "larger than" in found.problems[0].text


def test_reading_stops_where_a_limit_is_passed() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b'{"modelInput": {}}\n' * 100

    assert inspect(endless(), Limits(min_records=1, max_records=1000, max_bytes=10**9)).problem_count == 1
    assert inspect(endless(), Limits(min_records=1, max_records=10**9, max_bytes=10**5)).problem_count == 1


def test_no_problem_ever_holds_a_word_of_the_content() -> None:
    canary = "xylophone"
    template = """C
{"C": 1}
{"modelInput": "C"}
{"modelInput": {}, "recordId": "C"}
{"modelInput": {}, "recordId": "C"}
{"modelInput": {"C" "x"}}
{"modelInput": "C\\q"}
{"modelInput": NaNC}
C\x00
{"modelInput": {}} C"""
    bad = template.replace("C", canary)
    for long_line in (8, 1 << 20):
        found = look(bad.encode(), long_line=long_line)
        assert found.problem_count >= 8
        assert canary not in repr(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORD = st.fixed_dictionaries(
    {"modelInput": st.dictionaries(st.text(max_size=5), JSON)}, optional={"recordId": st.text(max_size=4)}
)
LINE = (
    st.builds(lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only), RECORD | JSON, st.booleans())
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
    .map(lambda line: line.replace(b"\n", b" "))
) | st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" "))


def reference(data: bytes) -> set[int]:
    """The lines with a problem, as a plain loop over json.loads finds them."""
    bad, ids = set(), set()
    body = data.removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(body.removesuffix(b"\n").split(b"\n") if body else [], start=1):
        try:
            record = json.loads(line.decode(), parse_constant=lambda _: 1 / 0)
            model_input = isinstance(record, dict) and isinstance(record.get("modelInput"), dict)
        except (ValueError, ZeroDivisionError, RecursionError):
            model_input = False
        if not model_input:
            bad.add(number)
            continue
        if "recordId" in record:
            if not isinstance(record["recordId"], str) or record["recordId"] in ids:
                bad.add(number)
            else:
                ids.add(record["recordId"])
    return bad


@given(st.lists(LINE, max_size=8), st.booleans(), st.booleans(), st.integers(1, 64), st.sampled_from([4, 16, 1 << 20]))
def test_it_says_what_a_plain_loop_says_however_the_bytes_arrive(
    body: list[bytes], bom: bool, newline: bool, chunk: int, long_line: int
) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + b"\n".join(body) + (b"\n" if newline and body and body[-1] else b"")
    found = look(data, Limits(min_records=1, max_records=10**6, max_bytes=10**9), chunk=chunk, long_line=long_line)
    expected = reference(data)
    assert {line for line in lines(found) if line is not None} == expected


LONG = "é\\n" + "x" * LONG_STRING_BYTES


@given(st.integers(1, 2000), st.sampled_from(["", "\\", "\\u12", "\\u00e9", "\x01", "\\q", "é", '\\"', "\\\\", "\\\\\\"]))
def test_a_long_string_is_checked_as_a_short_one_is(chunk: int, tail: str) -> None:
    data = f'{{"modelInput": {{"t": "{LONG}{tail}"}}}}\n'.encode()
    assert look(data, chunk=chunk, long_line=64).fit is (reference(data) == set())


def test_long_record_ids_are_still_told_apart() -> None:
    first, second = f"{LONG}a", f"{LONG}b"
    data = "".join(f'{{"recordId": "{name}", "modelInput": {{}}}}\n' for name in (first, second, first)).encode()
    found = look(data, long_line=64)
    assert lines(found) == [3]


MEMORY = """
import re, sys
sys.path.insert(0, ".")
from services.intake.inspection import Limits, inspect
def one_line():
    yield b'{"modelInput": {"t": "'
    for _ in range(%d): yield b"a" * 2**20
    yield b'"}}\\n'
def structure():
    yield b'{"modelInput": ['
    for _ in range(%d): yield b'{"a":1},' * 2**17
def tiny():
    for _ in range(%d): yield b'{"modelInput":{}}\\n' * 2**15
def broken():
    for _ in range(%d): yield b'x\\n' * 2**19
limits = Limits(min_records=1, max_records=100_000_000, max_bytes=2**40)
found = inspect(%s(), limits)
print(found.record_count, found.problem_count, int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc: getrusage counts the parent's memory too")
@pytest.mark.parametrize(("shape", "records", "fit"), [("one_line", 1, True), ("structure", 1, False), ("tiny", None, True)])
def test_memory_stays_far_below_128_megabytes(shape: str, records: int | None, fit: bool) -> None:
    size = 256 if shape != "tiny" else 64
    program = MEMORY % (size, size, size, 1, shape)
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    count, problems, megabytes = map(int, shown.split())
    assert records is None or count == records
    assert (problems == 0) is fit
    assert megabytes < 100
