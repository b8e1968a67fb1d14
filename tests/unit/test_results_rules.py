"""Sets of lines, our ids, what is staged, ranges of a result, mends and the report."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.services.results.answers import Settled
from bbq.services.results.assemble import CANCELLED, FAILED, TOO_FEW, Work, assemble, ranges
from bbq.services.results.line_set import LineSet
from bbq.services.results.mend import Again, after_round, outstanding
from bbq.services.results.objects import Missing
from bbq.services.results.report import Bought, Facts, JobFacts, bought_again, error_counts, report
from bbq.services.results.staged import Part, Reader, StagedEnds, pick
from bbq.services.results.statuses import Status, Tokens
from bbq.shared.record_ids import MAX_LINE, give_back, line_of, record_id
from tests.support.files import Files

NUMBERS = st.sets(st.integers(1, 60))


def lines_of(numbers: set[int]) -> LineSet:
    return LineSet.of(sorted(numbers))


@given(NUMBERS, NUMBERS)
def test_sets_of_lines_are_sets(one: set[int], other: set[int]) -> None:
    mine, others = lines_of(one), lines_of(other)
    assert [*mine] == sorted(one)
    assert len(mine) == len(one)
    assert [*(mine | others)] == sorted(one | other)
    assert [*(mine & others)] == sorted(one & other)
    assert [*(mine - others)] == sorted(one - other)
    assert LineSet.union([mine, others, mine]) == (mine | others)
    assert (mine == others) == (one == other)
    assert LineSet.from_text(str(mine)) == mine
    assert hash(LineSet.from_text(str(mine))) == hash(mine)
    for line in range(62):
        assert (line in mine) == (line in one)
        assert mine.position(line) == (sorted(one).index(line) if line in one else None)


def test_ranges_that_touch_are_one() -> None:
    lines = LineSet([(1, 5), (6, 9), (7, 8), (11, 11), (20, 10)])
    assert [*lines.ranges()] == [(1, 9), (11, 11)]
    assert (str(lines), len(lines), lines.first, lines.last) == ("1-9,11", 10, 1, 11)
    with pytest.raises(ValueError, match="ascend"):
        LineSet([(5, 6), (1, 2)])


@given(
    st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=6, max_size=6),
    st.integers(1, MAX_LINE),
)
def test_our_id_names_its_line(tag: str, line: int) -> None:
    our_id = record_id(tag, line)
    assert len(our_id) == 11
    assert line_of(our_id, tag) == line
    assert line_of(our_id, "ABCD") is None


@pytest.mark.parametrize(
    "wrong",
    [
        "abcd0000000",
        "abcd000001",
        "abcd00000001",
        "abcd000000A",
        "abcd00000-1",
        "abce0000001",
        "abcd 000001",
        "abcd00000٣1",
    ],
)
def test_an_id_that_is_not_ours_is_no_line(wrong: str) -> None:
    assert line_of(wrong, "abcdef") is None


def test_no_id_is_made_beyond_the_last_line() -> None:
    for line in (0, -1, MAX_LINE + 1):
        with pytest.raises(ValueError, match="no record id"):
            record_id("abcdef", line)


OURS = record_id("abcdef", 7)


@pytest.mark.parametrize(
    ("users", "own_id"),
    [
        (b'{"modelInput":{}}', b""),
        (b' {\t"modelInput":{"a":"@"}}\r', b""),
        (b'{"recordId":"x","modelInput":{"recordId":"@"}}', b'"x"'),
        (b'{"modelInput":{"recordId":"@","a":["@"]}, "recordId" : 1.50 }', b"1.50"),
        ('{"modelInput":{"é\u2028":"@"},"b":"@","recordId":"ü"}'.encode(), '"ü"'.encode()),
    ],
)
def test_the_users_line_comes_back_byte_for_byte(users: bytes, own_id: bytes) -> None:
    quoted = b'"%b"' % OURS.encode()
    users = users.replace(b'"@"', quoted)
    if own_id:
        front, found, back = users.rpartition(own_id)
        assert found
        if front.endswith(b'"recordId":') and users.startswith(b'{"recordId"'):
            front, _, back = users.partition(own_id)
        staged = front + quoted + back
    else:
        staged = users.replace(b"{", b'{"recordId":' + quoted + b",", 1)
    assert give_back(staged, OURS, own_id) == users


def test_a_line_that_was_staged_under_another_id_is_no_guess() -> None:
    staged = b'{"recordId":"%b","modelInput":{}}' % record_id("abcdef", 8).encode()
    for own_id in (b"", b'"x"'):
        with pytest.raises(ValueError, match=r"staged|subsection"):
            give_back(staged, OURS, own_id)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def put(files: Files, key: str, *rows: bytes) -> str:
    with files.write(key) as write:
        write(b"".join(row + b"\n" for row in rows))
    return key


def staged_line(line: int) -> bytes:
    return b'{"recordId":"%b","modelInput":{"n":%d}}' % (record_id("abcdef", line).encode(), line)


def slice_of(
    files: Files, lines: str, answered: dict[int, str], number: int = 0, **by_status: str
) -> Settled:
    rows = [f"{line} {said}".encode() for line, said in answered.items()]
    return Settled(
        lines=LineSet.from_text(lines),
        by_status={Status(status): LineSet.from_text(its) for status, its in by_status.items()},
        tokens=Tokens(1, 2, 3, 4),
        errors=[("400", "bad", 2), ("429", "slow", 1)],
        errors_left_out=1,
        unknown_shapes=0,
        answers_key=put(files, f"answers{number}", *rows),
        marks=[(next(iter(answered)), 0)] if answered else [],
        succeeded_bytes=sum(len(said) for said in answered.values()),
    )


def assembled(
    files: Files, part: Part, slices: list[Settled], **options: Any
) -> tuple[list[bytes], list[bytes], dict[str, int]]:
    result: list[bytes] = []
    failures: list[bytes] = []
    work = Work(first=part.first, last=part.last, parts=[part], slices=slices, **options)
    counts = assemble(files, work, result.append, failures.append)
    return (
        b"".join(result).split(b"\n"),
        b"".join(failures).split(b"\n"),
        {str(status): count for status, count in counts.items()},
    )


def test_lines_of_a_result_are_as_documented(files: Files) -> None:
    part = Part(
        first=5,
        last=10,
        tag="abcdef",
        records_key=put(files, "records", *(staged_line(line) for line in (5, 6, 9, 10))),
        ids_key=put(files, "ids", b"", b'{"k":1.50}'),
        invalid_key=put(files, "invalid", b"nonsense\r", b""),
        reasons_key=put(files, "reasons", b'[7, 8, "is \\"odd\\""]'),
    )
    first = slice_of(
        files,
        "5-6,9-10",
        {5: 's {"a":1.50}', 6: 't {"b":"\\u00e9"}', 9: 'r {"code": 429, "message": "a\\"b"}'},
    )
    result, failures, counts = assembled(files, part, [first], leftover=TOO_FEW)
    note = b"fewer than the minimum; bbq retry"
    assert result == [
        b'{"line": 5, "status": "succeeded", "modelOutput": {"a":1.50}}',
        b'{"line": 6, "recordId": {"k":1.50}, "status": "truncated", "modelOutput": {"b":"\\u00e9"}}',
        b'{"line": 7, "status": "invalid", "error": {"code": "Invalid", "message": "is \\"odd\\""}}',
        b'{"line": 8, "status": "invalid", "error": {"code": "Invalid", "message": "is \\"odd\\""}}',
        b'{"line": 9, "status": "failed", "error": {"code": 429, "message": "a\\"b; %b"}}' % note,
        b'{"line": 10, "status": "failed", "error": {"code": "NoAnswer", '
        b'"message": "Bedrock wrote no line for this record; %b"}}' % note,
        b"",
    ]
    assert failures == [
        b'{"recordId":{"k":1.50},"modelInput":{"n":6}}',
        b"nonsense\r",
        b"",
        b'{"modelInput":{"n":9}}',
        b'{"modelInput":{"n":10}}',
        b"",
    ]
    assert counts == {"succeeded": 1, "truncated": 1, "invalid": 2, "failed": 2}
    blocked = slice_of(files, "9", {9: 'b {"code": 400, "message": "m"}'}, 1)
    result, _, counts = assembled(files, part, [first, blocked], leftover=CANCELLED, echo=True)
    assert (
        result[4]
        == b'{"line": 9, "status": "withheld", "error": {"code": 400, "message": "m"}, "modelInput": {"n":9}}'
    )
    assert counts["not_run"] == 1


def test_records_are_only_read_for_lines_that_need_them(files: Files) -> None:
    part = Part(first=1, last=2, tag="abcdef", records_key="not there")
    good = slice_of(files, "1-2", {1: "s 1", 2: "s 2"})
    assert assembled(files, part, [good])[2] == {"succeeded": 2}
    with pytest.raises(Missing):
        assembled(files, part, [good], echo=True)
    with pytest.raises(Missing):
        assembled(files, part, [slice_of(files, "1-2", {1: "s 1"})])


def test_what_is_missing_is_never_taken_for_empty(files: Files) -> None:
    part = Part(first=1, last=2, tag="abcdef", records_key=put(files, "records", staged_line(1)))
    good = slice_of(files, "1-2", {1: "s 1", 2: "s 2"})
    (files.root / "answers0").unlink()
    with pytest.raises(Missing):
        assembled(files, part, [good])
    with pytest.raises(StagedEnds):
        assembled(files, part, [])
    lacking = Part(
        first=1,
        last=1,
        tag="abcdef",
        records_key=None,
        reasons_key=put(files, "reasons", b'[1, 1, "a"]'),
    )
    with pytest.raises(StagedEnds):
        assembled(files, lacking, [])


def test_parts_have_to_cover_the_lines(files: Files) -> None:
    part = Part(
        first=3,
        last=4,
        tag="abcdef",
        records_key=put(files, "records", staged_line(3), staged_line(4)),
    )
    for first, last in ((2, 4), (3, 5), (5, 6)):
        with pytest.raises(ValueError, match="is in no part"):
            assemble(files, Work(first=first, last=last, parts=[part], slices=[]), id, id)


def test_a_staged_part_is_read_forwards(files: Files) -> None:
    rows = [staged_line(line) for line in range(1, 6)]
    part = Part(first=1, last=5, tag="abcdef", records_key=put(files, "records", *rows))
    with closing(Reader(files, part)) as reader:
        assert reader.record(4) == reader.record(4) == rows[3]
        with pytest.raises(ValueError, match="forwards"):
            reader.record(3)


def test_records_that_run_again_are_sent_as_they_were(files: Files) -> None:
    parts = [
        Part(
            first=1,
            last=3,
            tag="abcdef",
            records_key=put(files, "r1", staged_line(1), staged_line(3)),
            reasons_key=put(files, "reasons", b'[2, 2, "a"]'),
        ),
        Part(first=4, last=4, tag="abcdef", records_key=None),
        Part(
            first=5,
            last=6,
            tag="abcdef",
            records_key=put(files, "r3", staged_line(5), staged_line(6)),
        ),
    ]
    written: list[bytes] = []
    assert pick(files, parts, LineSet.from_text("3,5-6"), written.append) == len(b"".join(written))
    assert b"".join(written) == b"".join(staged_line(line) + b"\n" for line in (3, 5, 6))
    assert pick(files, parts, LineSet(), written.append) == 0
    for line in ("2", "7"):
        with pytest.raises(ValueError, match=r"no record|in no part"):
            pick(files, parts, LineSet.from_text(line), written.append)
    with pytest.raises(ValueError, match="in no part"):
        pick(files, parts[2:], LineSet.from_text("1"), written.append)


def test_ranges_of_a_result_are_large_enough_for_s3(files: Files) -> None:
    parts = [
        Part(first=1 + 10 * n, last=10 + 10 * n, tag="abcdef", records_key=None) for n in range(7)
    ]
    sizes = [6_000_000, 5_242_880 - 450, 3_000_000, 1_000_000, 1_300_000, 10, 10]
    slices = [
        Settled(
            lines=LineSet(),
            by_status={},
            tokens=Tokens(),
            errors=[],
            errors_left_out=0,
            unknown_shapes=0,
            answers_key="",
            marks=[],
            succeeded_bytes=size,
        )
        for size in sizes
    ]
    assert ranges(parts, slices) == [(1, 10), (11, 20), (21, 50), (51, 70)]
    assert ranges(parts[:1], slices[-1:]) == [(1, 10)]
    with pytest.raises(ValueError, match="zip"):
        ranges(parts, slices[1:])


def settled(**by_status: str) -> Settled:
    its = {Status(status): LineSet.from_text(text) for status, text in by_status.items()}
    return Settled(
        lines=LineSet([(1, 500)]),
        by_status=its,
        tokens=Tokens(),
        errors=[],
        errors_left_out=0,
        unknown_shapes=0,
        answers_key="",
        marks=[],
        succeeded_bytes=0,
    )


LAST = [
    settled(transient="1-60", failed="61", truncated="62", withheld="63"),
    settled(missing="70-109"),
]


@pytest.mark.parametrize(
    ("spent", "rounds", "least", "cancelled", "then"),
    [
        (0, 2, 100, False, Again(lines=LineSet.from_text("1-60,70-109"))),
        (1, 2, 100, False, Again(lines=LineSet.from_text("1-60,70-109"))),
        (2, 2, 100, False, FAILED),
        (0, 0, 100, False, FAILED),
        (0, 2, 101, False, TOO_FEW),
        (2, 2, 101, False, FAILED),
        (0, 2, 100, True, CANCELLED),
    ],
)
def test_what_follows_a_round(
    spent: int, rounds: int, least: int, cancelled: bool, then: object
) -> None:
    rule: dict[str, Any] = {"mend_rounds": rounds, "min_records": least, "cancelled": cancelled}
    assert after_round(LAST, mends_spent=spent, **rule) == then


def test_nothing_runs_again_if_nothing_is_outstanding() -> None:
    last = [settled(failed="1", truncated="2", withheld="3")]
    assert outstanding(last) == LineSet()
    rule: dict[str, Any] = {"mend_rounds": 2, "min_records": 0, "cancelled": False}
    assert after_round(last, mends_spent=0, **rule) == FAILED


def facts(files: Files, **others: Any) -> Facts:
    given: dict[str, Any] = {
        "upload": "u1",
        "key": "to-process/a.jsonl",
        "version_id": "v1",
        "lines": 10,
        "bytes": 1000,
        "counts": {Status.SUCCEEDED: 8, Status.INVALID: 2},
        "jobs": [JobFacts(job="j1", arn="arn", status="Completed", records=8, pads=92)],
        "bought": [
            Bought(lines=LineSet.from_text("1-8")),
            Bought(lines=LineSet.from_text("2-3"), why="transient"),
        ],
        "slices": [slice_of(files, "1-8", {1: "s 1"}), slice_of(files, "2-3", {2: "s 1"}, 1)],
        "cost": 0.25,
        "currency": "USD",
        "input_etag": "e",
        "input_checksum": None,
        "result_checksum": "c",
        "uploaded": "a",
        "first_job": "b",
        "last_job": "c",
        "finished": "d",
    }
    return Facts(**{**given, **others})


def test_a_report_says_what_became_of_an_upload(files: Files) -> None:
    text = report(facts(files))
    assert text == report(facts(files))
    assert json.loads(text) == {
        "upload": "u1",
        "key": "to-process/a.jsonl",
        "version_id": "v1",
        "lines": 10,
        "bytes": 1000,
        "counts": {
            "succeeded": 8,
            "truncated": 0,
            "withheld": 0,
            "failed": 0,
            "not_run": 0,
            "invalid": 2,
        },
        "errors": [
            {"code": "400", "message": "bad", "count": 4},
            {"code": "429", "message": "slow", "count": 2},
        ],
        "errors_left_out": 2,
        "jobs": [{"job": "j1", "arn": "arn", "status": "Completed", "records": 8, "pads": 92}],
        "bought_again": [{"lines": [[2, 3]], "times": 2, "why": ["transient"]}],
        "tokens": {"input": 2, "output": 4, "cache_read": 6, "cache_write": 8},
        "cost": 0.25,
        "currency": "USD",
        "input": {"etag": "e", "checksum": None},
        "result": {"checksum": "c"},
        "times": {"uploaded": "a", "first_job": "b", "last_job": "c", "finished": "d"},
    }


def test_counts_that_do_not_add_up_are_no_report(files: Files) -> None:
    with pytest.raises(ValueError, match="counts"):
        report(facts(files, lines=11))


def test_errors_of_a_report_are_bounded(files: Files) -> None:
    many = [
        settled_with([("400", f"m{job}-{number}", 1) for number in range(40)]) for job in range(3)
    ]
    errors, left_out = error_counts(many)
    assert (len(errors), left_out) == (100, 20)


def settled_with(errors: list[tuple[str, str, int]]) -> Settled:
    return Settled(
        lines=LineSet(),
        by_status={},
        tokens=Tokens(),
        errors=errors,
        errors_left_out=0,
        unknown_shapes=0,
        answers_key="",
        marks=[],
        succeeded_bytes=0,
    )


@given(st.lists(st.tuples(NUMBERS, st.sampled_from(["transient", "missing", "retry"])), max_size=5))
def test_lines_that_were_bought_again_are_named(bought: list[tuple[set[int], str]]) -> None:
    jobs = [
        Bought(lines=lines_of(lines), why=why if number else "")
        for number, (lines, why) in enumerate(bought)
    ]
    found: dict[int, tuple[int, list[str]]] = {}
    for entry in bought_again(jobs):
        for first, last in entry["lines"]:
            for line in range(first, last + 1):
                assert line not in found
                found[line] = entry["times"], entry["why"]
    for line in range(1, 61):
        its = [why if number else "" for number, (lines, why) in enumerate(bought) if line in lines]
        if len(its) < 2:
            assert line not in found
        else:
            assert found[line] == (len(its), [*dict.fromkeys(why for why in its if why)])
