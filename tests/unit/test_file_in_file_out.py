"""The cut, the settlement and the result, one after another: what intake stages is what results
reads, and line i of the result answers line i of the file.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from bbq.services.intake.cut import Cut, Order, cut
from bbq.services.intake.plan import PartLimits
from bbq.services.intake.staging import Stream
from bbq.services.results.assemble import Leftover, Work, assemble
from bbq.services.results.line_set import LineSet
from bbq.services.results.mend import after_round
from bbq.services.results.settle import Slice, settle
from bbq.services.results.staged import Part, pick
from bbq.shared.record_ids import tag_of
from tests.support.files import Files

LIMITS = PartLimits(min_records=10, max_records=40, max_bytes=10**6)
ROUNDS = 2
IDS = ['"a"', '"a"', "7", "null", '{"k":1}', '"\u00fc\u2028"', '"\\u00fc"', ""]


def line_of(number: int, chance: random.Random) -> str:
    own_id = chance.choice(IDS)
    body = f'"modelInput": {{"n":{number}, "x" : 1.50, "text":"\u2028 \\u00e9 {chance.random()}"}}'
    if chance.random() < 0.05:
        return chance.choice(["{", "[]", '{"recordId":"no body"}'])
    if not own_id:
        return f"{{{body}}}"
    members = [body, f'"recordId" : {own_id}']
    chance.shuffle(members)
    return f"{{{', '.join(members)} }}"


class Staged:
    """See staging.Sink: streams as files."""

    def __init__(self, root: Path) -> None:
        self.root, self.part = root, 0

    def key(self, part: int, stream: str) -> str:
        return f"staged/{part}/{stream}"

    def begin(self, part: int) -> None:
        self.part = part
        for later in self.root.glob("staged/*/*"):
            if int(later.parent.name) >= part:
                later.unlink()

    def write(self, stream: Stream, data: bytes) -> None:
        path = self.root / self.key(self.part, stream)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)

    def end(self) -> None:
        pass

    def discard(self) -> None:
        raise AssertionError("the file is fit")

    def of(self, number: int, tag: str, first: int, last: int) -> Part:
        keys = {}
        for stream in Stream:
            key = self.key(number, stream)
            keys[f"{stream}_key"] = key if (self.root / key).exists() else None
        return Part(first=first, last=last, tag=tag, **keys)


def bedrock(sent: bytes, chance: random.Random) -> bytes:
    """Shuffled answers, each made from its own line: some fail for now, some for good, some are
    missing.
    """
    out = []
    for line in sent.split(b"\n")[:-1]:
        record = json.loads(line)
        answered: dict[str, Any] = {"recordId": record["recordId"]}
        fate = chance.random()
        if fate < 0.1:
            continue
        if fate < 0.2:
            answered["error"] = {"errorCode": 429, "errorMessage": "slow down", "retryable": True}
        elif record["modelInput"]["n"] % 17 == 0:
            answered["error"] = {"errorCode": 400, "errorMessage": "never"}
        else:
            answered["modelOutput"] = {"of": record["modelInput"]["n"]}
        out.append(json.dumps(answered).encode() + b"\n")
    chance.shuffle(out)
    return b"".join(out)


@pytest.mark.parametrize("seed", range(6))
def test_line_i_of_the_result_answers_line_i_of_the_file(seed: int, tmp_path: Path) -> None:
    chance, files = random.Random(seed), Files(tmp_path)
    users = [line_of(number, chance) for number in range(1, 60 + 50 * seed)]
    data, tag, sink = "\n".join(users).encode(), tag_of("upload", str(seed)), Staged(tmp_path)
    order = Order(size_bytes=len(data), tag=tag, limits=LIMITS, skip_invalid=True)
    made = cut(lambda offset: [data[offset:]], order, sink)
    assert isinstance(made, Cut)
    assert made.found.problems == ()
    assert all(LIMITS.min_records <= part.records <= LIMITS.max_records for part in made.parts)
    parts = [
        sink.of(number, tag, part.first, part.last) for number, part in enumerate(made.parts, 1)
    ]
    fit = {n for n, text in enumerate(users, 1) if "modelInput" in text}
    wanted = [LineSet.of(n for n in range(p.first, p.last + 1) if n in fit) for p in parts]
    rounds = []
    for number in range(ROUNDS + 1):
        done: list[Any] = []
        for lines in wanted:
            pieces: list[bytes] = []
            pick(files, parts, lines, pieces.append)
            name = f"outputs/{number}-{len(done)}.jsonl.out"
            with files.write(name) as write:
                write(bedrock(b"".join(pieces), chance))
            one = Slice(
                tag=tag,
                lines=lines,
                answers_key=f"answers/{number}-{len(done)}",
                settled_key=f"settled/{number}-{len(done)}",
            )
            done += settle(files, [name], [one], tmp_path).slices
        rounds.append(done)
        then = after_round(
            done, mends_spent=number, mend_rounds=ROUNDS, min_records=1, cancelled=False
        )
        if isinstance(then, Leftover):
            break
        wanted = [then.lines]
    assert isinstance(then, Leftover)
    result: list[bytes] = []
    failures: list[bytes] = []
    slices = [one for done in rounds for one in done]
    work = Work(first=1, last=len(users), parts=parts, slices=slices, leftover=then)
    counts = assemble(files, work, result.append, failures.append)
    rows = [json.loads(row) for row in b"".join(result).split(b"\n")[:-1]]
    assert [row["line"] for row in rows] == [*range(1, len(users) + 1)]
    assert sum(counts.values()) == len(users)
    bad = []
    for row, text in zip(rows, users, strict=True):
        if row["line"] not in fit:
            assert row["status"] == "invalid"
        elif row["status"] == "succeeded":
            assert row["modelOutput"] == {"of": json.loads(text)["modelInput"]["n"]}
        else:
            assert row["status"] == "failed"
            assert row["error"]["code"] in {400, 429, "NoAnswer"}
        if row["line"] in fit:
            assert row.get("recordId", "none") == json.loads(text).get("recordId", "none")
        bad += [] if row["status"] == "succeeded" else [text]
    assert b"".join(failures).decode() == "".join(f"{text}\n" for text in bad)
