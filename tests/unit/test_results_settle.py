"""Settle: one line's worth of rules at a time. That lines get their own answers is in
test_results_whole.py.
"""

import json
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from bbq.services.results import answers
from bbq.services.results import settle as module
from bbq.services.results.answers import Reader, Settled
from bbq.services.results.line_set import LineSet
from bbq.services.results.objects import Missing
from bbq.services.results.settle import Job, ScratchFull, Slice, is_output, settle
from bbq.services.results.statuses import Status, Tokens
from bbq.shared.record_ids import record_id
from tests.support.files import Files

TAG = "a0bz19"
ESCAPED = "\\u00e9\u2028"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def said(line: int, value: str, member: str = "modelOutput") -> bytes:
    return f'{{"modelInput":{{}},"{member}":{value},"recordId":"{record_id(TAG, line)}"}}'.encode()


def claude(text: str, stop: str = "end_turn", tokens: int = 0) -> str:
    return f'{{"content":"{text}","stop_reason":"{stop}","usage":{{"input_tokens":{tokens}}}}}'


def failed(code: str, message: str = '"m"') -> str:
    return f'{{"errorCode":{code},"errorMessage":{message}}}'


def settled(files: Files, lines: list[bytes], its: str = "1-3") -> Job:
    (files.root / "in.jsonl.out").write_bytes(b"\n".join(lines))
    one = Slice(tag=TAG, lines=LineSet.from_text(its), answers_key="answers", settled_key="settled")
    return settle(files, ["in.jsonl.out"], [one], files.root)


def rows(files: Files) -> list[str]:
    return (files.root / "answers").read_text().split("\n")[:-1]


def test_answers_stand_by_line_with_holes_as_bedrock_wrote_them(files: Files) -> None:
    job = settled(
        files,
        [
            said(7, claude(ESCAPED, "max_tokens")),
            said(4, failed("429", '"slow \\u0064own"'), "error"),
            said(2, claude("1.50", "refusal")),
            said(900, failed("4e2", "null"), "error"),
            said(6, '"odd"'),
        ],
        "2-8,900",
    )
    assert rows(files) == [
        f"2 w {claude('1.50', 'refusal')}",
        '4 r {"code": 429, "message": "slow \\u0064own"}',
        '6 s "odd"',
        f"7 t {claude(ESCAPED, 'max_tokens')}",
        '900 f {"code": 4e2, "message": "{\\"errorCode\\":4e2,\\"errorMessage\\":null}"}',
    ]
    (one,) = job.slices
    assert {status: str(lines) for status, lines in one.by_status.items()} == {
        "truncated": "7",
        "withheld": "2",
        "transient": "4",
        "missing": "3,5,8",
        "failed": "900",
    }
    assert sum(one.counts.values()) == 8
    assert (one.unknown_shapes, one.succeeded_bytes) == (1, 5)
    assert Settled.from_json((files.root / "settled").read_bytes()) == one


@pytest.mark.parametrize(
    ("error", "value"),
    [
        ('"it broke"', '{"code": "Unknown", "message": "it broke"}'),
        ("[1]", '{"code": "Unknown", "message": "[1]"}'),
        (
            '{"code":"ThrottlingException","message":"x"}',
            '{"code": "ThrottlingException", "message": "x"}',
        ),
        (
            '{"errorCode":400,"errorMessage":{"a":"b"}}',
            '{"code": 400, "message": "{\\"a\\":\\"b\\"}"}',
        ),
        ('{"errorCode":[1],"errorMessage":"m"}', '{"code": "Unknown", "message": "m"}'),
    ],
)
def test_an_error_of_another_shape_is_kept_as_well_as_can_be(
    files: Files, error: str, value: str
) -> None:
    settled(files, [said(1, error, "error")])
    assert rows(files)[0][4:] == value


def test_a_null_is_no_answer_and_no_error(files: Files) -> None:
    our_id = record_id(TAG, 1)
    both = [
        f'{{"modelOutput":null,"error":null,"recordId":"{our_id}"}}'.encode(),
        said(2, "null"),
        said(3, "null", "error"),
    ]
    job = settled(files, both)
    assert {row[2:] for row in rows(files)} == {
        'r {"code": "NoAnswer", "message": "Bedrock wrote neither an answer nor an error"}'
    }
    assert job.slices[0].counts == {"transient": 3}


DOUBLED = [
    said(1, claude("b", tokens=1)),
    said(1, claude("a", tokens=10)),
    said(1, claude("0", "max_tokens", tokens=100)),
    said(1, failed("400"), "error"),
    said(1, failed("503"), "error"),
    said(1, '{"odd":1}'),
    said(2, failed("503", '"a"'), "error"),
    said(2, failed("503", '"b"'), "error"),
    said(2, failed("400", '"z"'), "error"),
    said(3, claude("x", "max_tokens", tokens=1000)),
    said(3, claude("y", "refusal", tokens=1000)),
]


@pytest.mark.parametrize("seed", range(8))
def test_of_doubled_lines_the_better_counts_whatever_the_order(files: Files, seed: int) -> None:
    lines = [*DOUBLED]
    random.Random(seed).shuffle(lines)
    job = settled(files, lines)
    assert rows(files) == [
        f"1 s {claude('a', tokens=10)}",
        '2 f {"code": 400, "message": "z"}',
        f"3 t {claude('x', 'max_tokens', tokens=1000)}",
    ]
    one = job.slices[0]
    assert (job.lines, job.doubled, job.strange) == (11, 8, 0)
    assert (one.tokens, one.unknown_shapes) == (Tokens(1010), 0)
    assert one.errors == [("400", "z", 1)]


def test_the_same_lines_in_other_files_and_another_order_write_the_same_bytes(files: Files) -> None:
    written = set()
    for seed in range(5):
        chance = random.Random(seed)
        lines = [said(line, claude(str(line))) for line in range(1, 50)] + DOUBLED
        chance.shuffle(lines)
        cut = chance.randrange(len(lines))
        (files.root / "a.jsonl.out").write_bytes(b"\n".join(lines[:cut]) + b"\n")
        (files.root / "b.jsonl.out").write_bytes(b"\n".join(lines[cut:]))
        one = Slice(tag=TAG, lines=LineSet([(1, 60)]), answers_key="answers", settled_key="settled")
        settle(files, chance.sample(["a.jsonl.out", "b.jsonl.out"], 2), [one], files.root)
        written.add(((files.root / "answers").read_bytes(), (files.root / "settled").read_bytes()))
    assert len(written) == 1


def test_only_outputs_are_read(files: Files) -> None:
    assert is_output("outputs/a/in.jsonl.out")
    for name in (
        "manifest.json.out",
        ".write_access_check_file.tmp",
        "amazon-bedrock-permission-check",
        "in.jsonl",
    ):
        assert not is_output(f"outputs/a/{name}")
    one = Slice(tag=TAG, lines=LineSet([(1, 1)]), answers_key="answers", settled_key="settled")
    (files.root / "in.jsonl.out").write_bytes(said(1, claude("a")))
    job = settle(files, ["manifest.json.out", "in.jsonl.out", "in.jsonl.out"], [one], files.root)
    assert (job.lines, job.doubled) == (1, 0)
    assert [key for key, _ in files.opened] == ["in.jsonl.out"]


def test_a_job_without_output_leaves_both_objects(files: Files) -> None:
    one = Slice(tag=TAG, lines=LineSet([(5, 9)]), answers_key="answers", settled_key="settled")
    job = settle(files, [], [one], files.root)
    assert job.slices[0].counts == {"missing": 5}
    assert (files.root / "answers").read_bytes() == b""
    assert (files.root / "settled").exists()


def test_an_output_that_is_gone_is_no_empty_one(files: Files) -> None:
    one = Slice(tag=TAG, lines=LineSet([(5, 9)]), answers_key="answers", settled_key="settled")
    with pytest.raises(Missing):
        settle(files, ["in.jsonl.out"], [one], files.root)
    assert not (files.root / "settled").exists()


def test_two_slices_of_a_tag_are_refused(files: Files) -> None:
    one = Slice(tag=TAG, lines=LineSet([(5, 9)]), answers_key="answers", settled_key="settled")
    with pytest.raises(ValueError, match="same tag"):
        settle(files, [], [one, one], files.root)


def test_errors_are_counted_and_bounded(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 3)
    lines = [said(line, failed("400", f'"m{min(line, 6)}"'), "error") for line in range(1, 10)]
    lines.append(said(10, failed("400", f'"{"x" * 600}"'), "error"))
    lines[1] = said(2, failed("400", '"m1"'), "error")
    job = settled(files, lines, "1-10")
    assert job.slices[0].errors == [("400", "m1", 2), ("400", "m3", 1), ("400", "m4", 1)]
    assert job.slices[0].errors_left_out == 6
    job = settled(files, lines[9:], "10")
    assert job.slices[0].errors == [("400", "x" * 499 + "…", 1)]


def test_a_line_over_the_limit_is_no_json(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 200)
    job = settled(files, [said(1, claude("a" * 200)), said(2, claude("a"))])
    assert (job.lines, job.not_json) == (2, 1)
    assert job.slices[0].counts == {"succeeded": 1, "missing": 2}


def test_scratch_has_a_limit(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SCRATCH_BYTES", 100)
    with pytest.raises(ScratchFull):
        settled(files, [said(line, claude("a" * 40)) for line in (1, 2)])


def test_a_reader_begins_at_a_mark(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INDEX_BYTES", 300)
    lines = [said(line, claude(f"a{line}")) for line in range(1, 100, 2)]
    (one,) = settled(files, lines, "1-100").slices
    assert len(one.marks) > 5
    for first in range(1, 101):
        files.opened.clear()
        with closing(Reader(files, one)) as reader:
            for line in range(first, 101):
                found = reader.at(line)
                assert found == (("s", claude(f"a{line}").encode()) if line % 2 else None)
        start = max([at for line, at in one.marks if line <= first], default=0)
        assert files.opened == [("answers", start)]


def test_a_reader_opens_nothing_outside_of_its_lines(files: Files) -> None:
    (one,) = settled(files, [said(5, claude("a"))], "5-7").slices
    files.opened.clear()
    with closing(Reader(files, one)) as reader:
        assert [reader.at(line) for line in (1, 4, 8, 9)] == [None] * 4
    assert files.opened == []


class Endless(Files):
    """An output that is made while it is read."""

    def __init__(self, root: Path, count: int) -> None:
        super().__init__(root)
        self.count = count

    def read(  # type: ignore[override] # wider than a generator's
        self, key: str, start: int = 0
    ) -> AbstractContextManager[Iterator[bytes]]:
        return nullcontext(self._chunks()) if key == "in.jsonl.out" else super().read(key, start)

    def _chunks(self) -> Iterator[bytes]:
        for line in range(1, self.count + 1):
            yield said(line, claude("x" * 900)) + b"\n"


def test_memory_is_bytes_a_record_and_not_the_file(tmp_path: Path) -> None:
    peaks = []
    for count in (2000, 12_000):
        one = Slice(
            tag=TAG, lines=LineSet([(1, count)]), answers_key="answers", settled_key="settled"
        )
        tracemalloc.start()
        job = settle(Endless(tmp_path, count), ["in.jsonl.out"], [one], tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert job.slices[0].counts == {Status.SUCCEEDED: count}
    assert (peaks[1] - peaks[0]) / 10_000 < 24


def test_each_letter_stands_for_one_meaning() -> None:
    assert len(set(answers.LETTERS.values())) == len(answers.LETTERS) <= 7
    assert json.dumps(sorted(answers.LETTERS)) == '["b", "f", "r", "s", "t", "w"]'
