"""The cut: what is written is the user's lines under our ids, the same however it is read and
wherever it is stopped; checked by a reader that has nothing in common with it.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bbq.services.intake import cut as module
from bbq.services.intake.cut import Cut, Order, cut
from bbq.services.intake.cut_state import Part, Position, State
from bbq.services.intake.plan import MAX_PARTS, Amount, PartLimits
from bbq.services.intake.staging import MAX_RANGES, Counts, Range, Stream
from bbq.shared.blocks import LONG_LINE_BYTES
from bbq.shared.bodies import Bodies
from bbq.shared.events import Problem
from bbq.shared.file_kinds import HEAD_BYTES, foreign
from bbq.shared.findings import MAX_PROBLEMS, Findings
from bbq.shared.inspection import Limits, inspect
from bbq.shared.record_ids import give_back, line_of
from local.settings import ROOT
from tests.unit.test_inspection import NO_VERSION, claude, files, lines, record

TAG = "tag0z9"
WIDE = PartLimits(min_records=1, max_records=1000, max_bytes=10**9)
FEW = PartLimits(min_records=2, max_records=4, max_bytes=10**9)
Parts = dict[int, dict[Stream, bytes]]


class Memory:
    """A Sink that keeps all."""

    def __init__(self) -> None:
        self.parts: Parts = {}
        self.ended: set[int] = set()
        self.discarded = 0
        self._now = 0

    def begin(self, part: int) -> None:
        assert self._now == 0 or self._now in self.ended or part <= self._now
        self.parts = {number: held for number, held in self.parts.items() if number < part}
        self.ended &= self.parts.keys()
        self.parts[part] = {}
        self._now = part

    def write(self, stream: Stream, data: bytes) -> None:
        assert not self.discarded
        assert self._now not in self.ended
        assert data
        held = self.parts[self._now]
        held[stream] = held.get(stream, b"") + data

    def end(self) -> None:
        self.ended.add(self._now)

    def discard(self) -> None:
        self.discarded += 1
        self.parts, self.ended = {}, set()


def chunked(data: bytes, size: int) -> Callable[[int], Iterator[bytes]]:
    def read(offset: int) -> Iterator[bytes]:
        return (data[at : at + size] for at in range(offset, len(data), size))

    return read


def done(
    data: bytes,
    limits: PartLimits = WIDE,
    *,
    skip: bool = False,
    bodies: Bodies | None = None,
    chunk: int = 2**20,
    long: int = LONG_LINE_BYTES,
    stops: Iterable[bool] = (),
) -> tuple[Cut, Parts, Memory]:
    """Cut, stopped as `stops` says, each time by way of JSON and with the same sink."""
    sink, state, asked = Memory(), None, iter(stops)
    order = Order(size_bytes=len(data), tag=TAG, limits=limits, skip_invalid=skip, bodies=bodies)
    while True:
        found = cut(
            chunked(data, chunk),
            order,
            sink,
            state,
            go_on=lambda: not next(asked, False),
            long_line_bytes=long,
        )
        if isinstance(found, Cut):
            return found, sink.parts, sink
        state = State.from_json(found.to_json())
        assert State.from_json(state.to_json()) == state


def texts(found: Cut) -> list[tuple[int | None, str]]:
    return [(one.line, one.text) for one in found.found.problems]


# An oracle that shares no code: the user's lines by a plain split, and json.loads


class Pairs(list[tuple[str, Any]]):
    """A JSON object, with its order and its double names."""


def parsed(line: bytes) -> Any:
    return json.loads(line, object_pairs_hook=Pairs, parse_int=str, parse_float=str)


def users_lines(data: bytes) -> list[bytes]:
    found = data.split(b"\n")
    if found[-1] == b"":
        found.pop()
    if found and not found[-1].strip(b" \t\r"):
        found.pop()
    return found


def split(stream: bytes) -> list[bytes]:
    if not stream:
        return []
    assert stream.endswith(b"\n")
    return stream[:-1].split(b"\n")


def skipped(held: dict[Stream, bytes]) -> dict[int, tuple[str, bytes]]:
    """Line -> why it was skipped, and its bytes."""
    ranges = [json.loads(one) for one in split(held.get(Stream.REASONS, b""))]
    numbers = [(n, reason) for first, last, reason in ranges for n in range(first, last + 1)]
    kept = split(held.get(Stream.INVALID, b""))
    assert len(numbers) == len(kept)
    return {number: (reason, line) for (number, reason), line in zip(numbers, kept, strict=True)}


def check(data: bytes, found: Cut, parts: Parts, limits: PartLimits) -> None:
    """Each line of the user is in one place, as it was."""
    theirs = users_lines(data)
    assert found.line_count == len(theirs)
    assert [part.first for part in found.parts] == [
        1,
        *(part.last + 1 for part in found.parts[:-1]),
    ]
    assert found.parts[-1].last == len(theirs)
    assert list(parts) == list(range(1, len(found.parts) + 1))
    for part, held in zip(found.parts, parts.values(), strict=True):
        ours, ids = split(held.get(Stream.RECORDS, b"")), split(held.get(Stream.IDS, b""))
        assert not ids or ids[-1]
        ids += [b""] * (len(ours) - len(ids))
        bad = skipped(held)
        numbers = [n for n in range(part.first, part.last + 1) if n not in bad]
        assert set(bad) <= set(range(part.first, part.last + 1))
        for number, (_, line) in bad.items():
            assert line == theirs[number - 1]
        for number, line, own in zip(numbers, ours, ids, strict=True):
            check_record(theirs[number - 1], line, own, number)
        assert part.records == len(ours)
        assert part.amount.written == len(held.get(Stream.RECORDS, b""))
        assert part.counts.ids == sum(map(bool, ids))
        assert part.counts.strings == sum(own.startswith(b'"') for own in ids)
        assert part.counts.invalid == len(bad)
        assert part.records <= limits.max_records
        assert len(held.get(Stream.RECORDS, b"")) <= limits.max_bytes
        assert part.records >= limits.min_records or len(found.parts) == 1


def check_record(theirs: bytes, ours: bytes, own: bytes, number: int) -> None:
    was, now = parsed(theirs), parsed(ours)
    assert [name for name, _ in now].count("recordId") == 1
    mine = dict(now)["recordId"]
    assert len(mine) == 11
    assert line_of(mine, TAG) == number
    assert [pair for pair in now if pair[0] != "recordId"] == [
        pair for pair in was if pair[0] != "recordId"
    ]
    had = dict(was)
    assert bool(own) == ("recordId" in had)
    if own:
        assert parsed(own) == had["recordId"]
        assert [name for name, _ in now] == [name for name, _ in was]
        # nothing but the value of the id has changed
        places = [at for at in range(len(ours)) if ours.startswith(f'"{mine}"'.encode(), at)]
        assert theirs in {ours[:at] + own + ours[at + 13 :] for at in places}
    assert give_back(ours, mine, own) == theirs


# On anything

ids = st.sampled_from(
    ['"a"', '""', '"\\u00e9\\n"', '"é\u2028"', '"😀"', '"\\ud83d\\ude00"', "7", "-0", "1e999", "null",
     "true", '["x", {"recordId": 1}]', '{ "a" :\t[1 ,2] }', '"' + "i" * 300 + '"', '"tag0z900001"']
)  # fmt: skip
bodies = st.sampled_from(
    ["{}", '{"x": "é\u2028 \\u2028 \\/ \\n"}', '{ "n":123456789012345678901234567890.10 }', '{"recordId": "tag0z900001"}',
     '{"x": "' + "z" * 300 + '"}', '{"a":{"recordId":"tag0z900001"},"b":[[],{}]}', '{"x":"😀' + "y" * 280 + '"}', '{"a": 1, "a": 2}']
)  # fmt: skip
space = st.sampled_from(["", "", " ", "\t", " \r"])


@st.composite
def fit_lines(draw: st.DrawFn) -> bytes:
    """A record in any of its forms."""
    members = [f'"modelInput"{draw(space)}:{draw(space)}{draw(bodies)}']
    if draw(st.booleans()):
        name = draw(st.sampled_from(['"recordId"', '"recordId"', '"record\\u0049d"']))
        members.append(f"{name}{draw(space)}:{draw(space)}{draw(ids)}")
    if draw(st.integers(0, 3)) == 0:
        members.append(f'"other": {draw(ids)}')
    inner = f"{draw(space)},{draw(space)}".join(draw(st.permutations(members)))
    return f"{draw(space)}{{{draw(space)}{inner}{draw(space)}}}{draw(space)}".encode()


fit_files = st.tuples(
    st.lists(fit_lines(), min_size=1, max_size=14), st.sampled_from([b"", b"\n", b"\n \r"])
).map(lambda parts: b"\n".join(parts[0]) + parts[1])
mixed_files = st.tuples(
    st.lists(
        st.one_of(fit_lines(), fit_lines(), fit_lines(), lines(), st.just(b"")),
        min_size=1,
        max_size=14,
    ),
    st.sampled_from([b"", b"\n", b"\n\n"]),
).map(lambda parts: b"\n".join(parts[0]) + parts[1])
part_limits = st.tuples(
    st.integers(1, 4), st.integers(0, 8), st.sampled_from([400, 1500, 10**6])
).map(
    lambda drawn: PartLimits(min_records=drawn[0], max_records=sum(drawn[:2]), max_bytes=drawn[2])
)
chunks = st.sampled_from([1, 7, 100, 1000, 2**20])
long_lines = st.sampled_from([20, 100, 400, LONG_LINE_BYTES])


@settings(max_examples=400, deadline=None)
@given(fit_files, part_limits, chunks, long_lines)
def test_every_record_is_the_users_under_an_id_of_ours(
    data: bytes, limits: PartLimits, chunk: int, long: int
) -> None:
    found, parts, sink = done(data, limits, chunk=chunk, long=long)
    if found.found.problems:
        assert only_of_division(found)
        assert (found.parts, sink.discarded) == ((), 1)
        return
    check(data, found, parts, limits)
    assert found.found.record_count == found.line_count
    assert sink.ended == set(parts)


def only_of_division(found: Cut) -> bool:
    return all("divided" in text or "is larger than" in text for _, text in texts(found))


@settings(max_examples=400, deadline=None)
@given(mixed_files, part_limits, chunks, long_lines)
def test_a_line_that_is_skipped_is_kept_with_what_is_wrong(
    data: bytes, limits: PartLimits, chunk: int, long: int
) -> None:
    if foreign(data[:HEAD_BYTES]):
        return
    found, parts, _ = done(data, limits, skip=True, chunk=chunk, long=long)
    if found.found.problems:
        assert only_of_division(found) or texts(found)[0][1].startswith(
            ("the file is empty", "the file holds 0")
        )
        assert (found.parts, parts) == ((), {})
        return
    check(data, found, parts, limits)
    bad = {n: why for held in parts.values() for n, (why, _) in skipped(held).items()}
    rejected, _, _ = done(data, WIDE, chunk=chunk, long=long)
    said: dict[int, list[str]] = {}
    for line, text in texts(rejected):
        said.setdefault(line or 0, []).append(text)
    assert bad == {line: "; ".join(why) for line, why in said.items()}
    told = [(n, r.reason) for r in found.invalid for n in range(r.first, r.last + 1)]
    assert told == sorted(bad.items())


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(fit_files, mixed_files, files),
    limits=part_limits,
    skip=st.booleans(),
    chunk=chunks,
    stops=st.lists(st.booleans(), max_size=20),
    long=long_lines,
)
@example(
    data=b"\xef\xbb\xbf" + record("a") + b"\n" + record("b"),
    limits=WIDE,
    skip=False,
    chunk=7,
    stops=[True] * 3,
    long=20,
)
def test_stopped_anywhere_it_writes_and_says_the_same(
    *, data: bytes, limits: PartLimits, skip: bool, chunk: int, stops: list[bool], long: int
) -> None:
    once, parts, sink = done(data, limits, skip=skip, long=long)
    found, again, other = done(data, limits, skip=skip, long=long, chunk=chunk, stops=stops)
    assert (again, other.ended) == (parts, sink.ended)
    assert found == replace(once, found=replace(once.found, size_bytes=found.found.size_bytes))


@settings(max_examples=300, deadline=None)
@given(st.one_of(files, mixed_files), chunks, long_lines)
def test_the_verdict_is_the_inspections_word_for_word_but_for_ids(
    data: bytes, chunk: int, long: int
) -> None:
    """Where all ids are strings of their own, the two say the same."""
    of_ids = ("recordId is not a string", "recordId is the same")
    limits = Limits(min_records=1, max_records=1000, max_bytes=10**9)
    plain = inspect([data], limits, long_line_bytes=long)
    found, _, _ = done(data, chunk=chunk, long=long)
    expected = [p for p in plain.problems if not p.text.startswith(of_ids)]
    assert list(found.found.problems) == expected
    assert found.found.problem_count == len(expected)
    assert found.found.record_count == plain.record_count


# Ids and notes


def test_ids_of_any_kind_are_no_problem_but_a_note() -> None:
    data = b"\n".join(
        [record("a"), record("a"), record(), b'{"recordId": 7, "modelInput": {}}', record("b")]
    )
    found, parts, _ = done(data)
    check(data, found, parts, WIDE)
    assert parts[1][Stream.IDS] == b'"a"\n"a"\n\n7\n"b"\n'
    assert found.found.warnings == (
        "1 of 5 records have no recordId: their lines of the result have none",
        "1 of 5 records have a recordId that is not a string: the result gives it back as it is",
    )


def test_a_file_without_ids_has_nothing_beside_it_and_one_without_the_last_little() -> None:
    _, parts, _ = done(b"\n".join([record()] * 50))
    assert list(parts[1]) == [Stream.RECORDS]
    _, parts, _ = done(b"\n".join([record(), record("a"), record(), record()]))
    assert parts[1][Stream.IDS] == b'\n"a"\n'
    # the last line is read the careful way: the empty lines before it are still owed
    _, parts, _ = done(
        b"\n".join([record("a"), record(), record(), b'{"recordId":[],"modelInput":{}}'])
    )
    assert parts[1][Stream.IDS] == b'"a"\n\n\n[]\n'


@pytest.mark.parametrize(
    "body", [b'{"modelInput": {"x": "\\ud800"}}', b'{"modelInput": {}, "recordId": "\\ud800"}']
)
@pytest.mark.parametrize("pad", [0, 5000])
def test_half_of_a_surrogate_pair_is_refused_in_ids_too(body: bytes, pad: int) -> None:
    found, _, _ = done(
        body.replace(
            b'"modelInput": {',
            b'"modelInput": {"p": "' + b"p" * pad + b'"' + (b"," if b'"x"' in body else b""),
        )
    )
    assert texts(found) == [(1, "holds half of a surrogate pair, which is not a character")]


# Rejected or skipped


def test_in_a_rejected_file_all_problems_are_told_and_nothing_is_wanted() -> None:
    found, parts, sink = done(b"\n".join([record("a"), b"x", *[record("b")] * 9, b"{}"]), FEW)
    assert texts(found) == [(2, "is not valid JSON at column 1"), (12, "has no modelInput")]
    assert (parts, found.parts, sink.discarded) == ({}, (), 1)


def test_bodies_that_no_model_answers_are_one_problem_or_skipped_one_by_one() -> None:
    data = b"\n".join([claude("a"), record("b", max_tokens=1), record("c", max_tokens=1), claude()])
    found, _, _ = done(data, bodies=Bodies(claude=True))
    assert texts(found) == [(2, NO_VERSION + "; 2 lines have this")]
    found, parts, _ = done(data, bodies=Bodies(claude=True), skip=True)
    check(data, found, parts, WIDE)
    assert found.invalid == (Range(2, 3, NO_VERSION),)


def test_a_file_of_which_no_line_is_fit_is_one_part_without_records() -> None:
    data = b"x\nx\n{}\n"
    found, parts, _ = done(data, skip=True)
    assert (found.found.problems, [part.records for part in found.parts]) == ((), [0])
    assert parts[1][Stream.INVALID] == data
    assert parts[1][Stream.REASONS] == (
        b'[1, 2, "is not valid JSON at column 1"]\n[3, 3, "has no modelInput"]\n'
    )


def test_only_the_first_ranges_are_told_and_all_are_written() -> None:
    found, parts, _ = done(b"\n".join([record(), b"x"] * 300), skip=True)
    assert [one.first for one in found.invalid] == list(range(2, 2 * MAX_RANGES + 1, 2))
    assert len(split(parts[1][Stream.REASONS])) == 300
    assert found.parts[0].counts.invalid == 300


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file holds 0 records, fewer than 1"),
        (b"\xef\xbb\xbf" + record(), "the file begins with a byte order mark: save it as UTF-8 without one"),
        (b"PAR1" * 100, "the file is a Parquet table: write each row as one line of JSON"),
    ],
)  # fmt: skip
def test_a_problem_of_the_file_rejects_it_always(skip: bool, data: bytes, problem: str) -> None:
    found, parts, sink = done(data, skip=skip)
    assert texts(found) == [(None, problem)]
    assert (parts, found.parts, sink.discarded) == ({}, (), 1)


# Limits


def test_above_the_limits_of_an_upload_it_is_rejected_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert module.MAX_LINES >= 10_000_000
    assert module.MAX_BYTES >= 50 * 1000**3
    order = Order(size_bytes=module.MAX_BYTES + 1, tag=TAG, limits=WIDE)
    found = cut(chunked(b"", 1), order, Memory())
    assert isinstance(found, Cut)
    assert texts(found) == [(None, "the file has 100,000,000,001 bytes, more than 100,000,000,000")]
    monkeypatch.setattr(module, "MAX_LINES", 3)
    found, parts, _ = done(b"\n".join([record()] * 4))
    assert texts(found) == [(None, "the file holds more than 3 lines; each record is one line")]
    assert parts == {}


def test_a_line_that_no_model_takes_ends_the_cut_even_if_lines_are_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    fit = record("a", x="y" * 900)
    found, _, _ = done(fit, long=500)
    assert found.found.problems == ()
    found, parts, _ = done(record() + b"\n" + record(x="y" * 1000), long=500, skip=True)
    assert texts(found) == [(2, "is longer than 1,000 bytes: no model takes such a record")]
    assert parts == {}


def test_more_parts_or_more_skipped_bytes_than_are_taken_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 3)
    ten = replace(WIDE, max_records=10)
    assert len(done(b"\n".join([record()] * 30), ten)[0].parts) == 3
    found, parts, _ = done(b"\n".join([record()] * 31), ten)
    assert texts(found) == [(None, "the file makes more than 3 jobs: upload it in several files")]
    monkeypatch.setattr(module, "MAX_INVALID_BYTES", 20)
    assert not done(record() + b"\nxxxx\nxxxx\nxxxx\nxxxx", skip=True)[0].found.problems
    found, parts, _ = done(record() + b"\nxxxx\nxxxx\nxxxx\nxxxx\nx", skip=True)
    assert texts(found) == [(None, "more than 20 bytes of the file are lines that are not fit")]
    assert parts == {}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(100, [100]), (1000, [1000]), (1001, [501, 500]), (2530, [844, 843, 843]), (3000, [1000] * 3)],
)
def test_parts_are_about_equal_and_without_a_crumb(count: int, expected: list[int]) -> None:
    data = b"".join(record(f"r{n:06}", text="t" * 50) + b"\n" for n in range(count))
    limits = PartLimits(min_records=100, max_records=1000, max_bytes=10**9)
    found, parts, _ = done(data, limits)
    check(data, found, parts, limits)
    assert [part.records for part in found.parts] == pytest.approx(expected, abs=2)


def test_a_crumb_behind_a_stop_still_makes_the_last_two_share() -> None:
    """Long records first: half of a part of them says that one part is enough."""
    heavy = [record(x="y" * 500)] * 20
    light = [record()] * 3
    data = b"\n".join([*heavy, *light, *heavy, *light])
    limits = PartLimits(min_records=10, max_records=45, max_bytes=11_500)
    once, parts, _ = done(data, limits)
    check(data, once, parts, limits)
    assert len(once.parts) == 2 + (len(once.parts) > 2)
    again, other, _ = done(data, limits, stops=[True] * 50)
    assert (again, other) == (once, parts)


def test_a_state_fits_into_a_message() -> None:
    """Of SQS, 256 KiB, whatever was found."""
    big, text = 10**11, "x" * 120
    problem = Problem(line=10**7, text=text)
    found = Findings(
        line=10**7, records=10**7, problems=[problem] * MAX_PROBLEMS, problem_count=10**7
    )
    here = Position(offset=big, findings=found)
    counts, amount = Counts(10**5, 10**5, 10**5, 10**9), Amount(10**5, 10**9, 10**9, 10**9)
    part = Part(first=10**7, last=10**7, amount=amount, counts=counts)
    ranges = (Range(10**7, 10**7, text),) * MAX_RANGES
    state = State(here=here, before=here, parts=(part,) * MAX_PARTS, invalid=ranges)
    assert len(state.to_json()) < 200 * 1024
    assert State.from_json(state.to_json()) == state


def test_what_was_skipped_is_told_once_though_the_last_two_share() -> None:
    data = b"\n".join([record(), b"x", *[record(x="y" * 90)] * 10, b"x", record(), record()])
    limits = PartLimits(min_records=4, max_records=11, max_bytes=10**6)
    found, parts, _ = done(data, limits, skip=True)
    check(data, found, parts, limits)
    assert [part.records for part in found.parts] == [7, 6]
    assert [one.first for one in found.invalid] == [2, 13]


# Memory, in a process of its own

MEASURE = """
import resource, sys
from bbq.services.intake.cut import Order, cut
from bbq.services.intake.plan import PartLimits
class Sink:
    size = 0
    def begin(self, part): pass
    def write(self, stream, data): Sink.size += len(data)
    def end(self): pass
    def discard(self): pass
line, count = eval(sys.argv[1]), int(sys.argv[2])
def read(offset):
    assert offset == 0
    for _ in range(count):
        for at in range(0, len(line), 2**20):
            yield line[at : at + 2**20]
limits = PartLimits(min_records=1, max_records=50_000, max_bytes=10**9)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = cut(read, Order(size_bytes=len(line) * count, tag="tag0z9", limits=limits, skip_invalid=True), Sink())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, len(found.parts), found.line_count, Sink.size)
"""


@pytest.mark.parametrize(
    ("line", "count", "lines", "mib"),
    [
        ('b\'{"recordId":"a","modelInput":{}}\\n\' * 20_000', 20, 400_000, 64),
        ('b\'{"recordId":"a","modelInput":{"x":"\' + b"lorem ipsum " * 340 + b\'"}}\\n\'', 50_000, 50_000, 64),
        ('b\'{"modelInput":{"x":"\' + b"lorem ipsum " * 2**21 + b\'"},"recordId":7}\\n\'', 8, 8, 128),
        ('b\'{"modelInput":{"x":"\' + b"lorem ipsum " * 2**21 + b\'"}\\n\'', 8, 8, 128),
        ('b"x\\n" * 2**19', 2, 2**20, 64),
    ],
    ids=["tiny", "4 KB", "25 MB", "25 MB, not fit", "not fit"],
)  # fmt: skip
def test_memory_does_not_grow_with_the_file(line: str, count: int, lines: int, mib: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, line, str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    peak, _, read, written = map(int, run.stdout.split())
    assert read == lines
    assert written > 0
    assert peak < mib
