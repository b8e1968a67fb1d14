"""An upload whose every answer follows from its own line, Bedrock that answers it badly, and the
result that must come out: an oracle for settle, mend and assemble, with no code of theirs.

A line's prompt holds its fate: what becomes of it in its first job, its second, and so on (the last
one goes on). The answer's text is a digest of the prompt.
"""

import base64
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

FATES = {  # letter -> the status of the record in the result, if no other job follows
    "s": "succeeded",
    "t": "truncated",
    "w": "withheld",
    "f": "failed",
    "e": "failed",  # an error that may pass
    "-": "failed",  # no line
}
BETTER = "stw"  # what an answer may be replaced by: itself, or one before it
IDS = ("", '"a"', '"a"', "17", "1.50", "null", '{"k": [1, 2]}', '"ü\u2028😀"', '"\\u00fc\\n"')
NO_LINE = {"code": "NoAnswer", "message": "Bedrock wrote no line for this record"}


def digits(number: int) -> str:
    """Base 36, by another way than the product's."""
    letters = ""
    for power in range(4, -1, -1):
        letters += "0123456789abcdefghijklmnopqrstuvwxyz"[number // 36**power % 36]
    return letters


def answer_of(prompt: str) -> str:
    """What the model says to it."""
    return hashlib.sha256(prompt.encode()).hexdigest()


@dataclass
class Line:
    """A line of the upload as its user wrote it; with our id in place of the user's."""

    number: int
    users: bytes
    own_id: str = ""
    staged: bytes = b""
    prompt: str = ""
    body: str = ""
    problem: str = ""

    def fate(self, job: int) -> str:
        """What becomes of it in its job-th job, from 0."""
        fates = self.prompt.split()[0]
        return fates[min(job, len(fates) - 1)]


@dataclass
class Upload:
    """Lines from 1 on, with ids that begin with the tag."""

    tag: str
    lines: list[Line] = field(default_factory=list)
    jobs: Counter[int] = field(default_factory=Counter)  # how often each line ran

    @classmethod
    def made(
        cls, tag: str, count: int, seed: int, fates: Iterable[str], problems: float
    ) -> "Upload":
        """Of any kind of line."""
        chance, upload, choices = random.Random(f"{tag} {seed}"), cls(tag), [*fates]
        for number in range(1, count + 1):
            if chance.random() < problems:
                text = chance.choice(["{", "[]", "", "nonsense\r"])
                problem = chance.choice(["is blank", "is not valid JSON"])
                upload.lines.append(Line(number, text.encode(), problem=problem))
                continue
            prompt = f"{chance.choice(choices)} {number} {chance.random()} é\u2028{'x' * chance.randrange(40)}"
            if chance.random() < 0.1:
                prompt += f' "{tag}{digits(number)}" '  # our own id, in the user's text
            body = json.dumps({"p": prompt, "n": 1}, ensure_ascii=chance.random() < 0.5)
            own_id, space = chance.choice(IDS), chance.choice(["", " "])
            ours = f'"{tag}{digits(number)}"'
            rest = f'"modelInput":{space}{body}{space}'
            end = chance.choice(["}", "}\r", "} "])
            if not own_id:
                users, staged = f"{{{rest}{end}", f'{{"recordId":{ours},{rest}{end}'
            elif chance.random() < 0.5:
                users, staged = (f'{{"recordId":{space}{one},{rest}{end}' for one in (own_id, ours))
            else:
                users, staged = (f'{{{rest},"recordId" : {one}{end}' for one in (own_id, ours))
            upload.lines.append(Line(number, users.encode(), own_id, staged.encode(), prompt, body))
        return upload

    def records(self, first: int, last: int) -> list[Line]:
        """The fit lines of a range."""
        return [one for one in self.lines[first - 1 : last] if not one.problem]

    def staged(self, first: int, last: int) -> dict[str, bytes]:
        """What intake leaves of a part: stream -> content."""
        part = self.lines[first - 1 : last]
        ids = "".join(f"{one.own_id}\n" for one in part if not one.problem).encode().rstrip(b"\n")
        reasons: list[list[Any]] = []
        for one in part:
            if one.problem and reasons and reasons[-1][1:] == [one.number - 1, one.problem]:
                reasons[-1][1] = one.number
            elif one.problem:
                reasons.append([one.number, one.number, one.problem])
        found = {
            "records": b"".join(one.staged + b"\n" for one in part if not one.problem),
            "ids": ids and ids + b"\n",
            "invalid": b"".join(one.users + b"\n" for one in part if one.problem),
            "reasons": "".join(f"{json.dumps(one)}\n" for one in reasons).encode(),
        }
        return {name: content for name, content in found.items() if content}

    def expected(
        self, leftover: str = "failed", note: str = ""
    ) -> list[tuple[dict[str, Any], str]]:
        """Of each line: the line of the result, and the text in it that must stand as Bedrock wrote
        it.
        """
        return [self._expected(one, leftover, note) for one in self.lines]

    def _expected(self, line: Line, leftover: str, note: str) -> tuple[dict[str, Any], str]:
        found: dict[str, Any] = {"line": line.number}
        if line.problem:
            error = {"code": "Invalid", "message": line.problem}
            return {**found, "status": "invalid", "error": error}, ""
        if line.own_id:
            found["recordId"] = json.loads(line.own_id)
        last, job = "-", 0
        for number in range(self.jobs[line.number]):
            fate = line.fate(number)
            if fate in BETTER:
                kept = last in BETTER and BETTER.index(last) < BETTER.index(fate)
            else:
                kept = last in BETTER or fate == "-"
            if not kept:
                last, job = fate, number
        status = leftover if last in "e-" else FATES[last]
        noted = f"; {note}" if note else ""
        if last == "-":
            error = {**NO_LINE, "message": NO_LINE["message"] + noted}
            return {**found, "status": status, "error": error}, ""
        value = written(line.prompt, last, job)
        if last in BETTER:
            return {**found, "status": status, "modelOutput": json.loads(value)}, value
        error = json.loads(value)
        message = error["errorMessage"] + (noted if last == "e" else "")
        error = {"code": error["errorCode"], "message": message}
        return {**found, "status": status, "error": error}, ""


def written(prompt: str, fate: str, job: int) -> str:
    """What Bedrock writes for a record: `modelOutput` or `error`, with numbers and escapes that
    would not survive being written again.
    """
    text = answer_of(prompt)
    if fate in BETTER:
        stop = {"s": "end_turn", "t": "max_tokens", "w": "refusal"}[fate]
        return (
            f'{{"content": [{{"type":"text", "text":"{text}\\u00e9\u2028\\/"}}],  "x":1.50,"y":1E2,'
            f'"job":{job},"stop_reason":"{stop}","stop_sequence":null,'
            f'"usage":{{"input_tokens":{len(prompt)},"output_tokens":{len(text)}}}}}'
        )
    code = {"f": 400, "e": (429, 500, 503, 408, 424)[len(prompt) % 5]}[fate]
    return (
        f'{{"errorCode":{code},"errorMessage":"no \\"{text[:2]}\\"\\u00e9","expired":false,'
        '"retryable":false}'
    )


def output_of(
    uploads: Iterable[Upload], sent: bytes, seed: int, *, chaos: bool = True
) -> tuple[list[bytes], int]:
    """The `.out` files that Bedrock makes of an input file, and how many of their lines are no
    JSON: shuffled, doubled, with junk and ids of nobody, some of them in another file. Counts that
    each record ran.
    """
    chance, lines, junk = random.Random(f"output {seed}"), [], 0
    by_tag = {one.tag: one for one in uploads}
    for raw in sent.split(b"\n")[:-1]:
        record = json.loads(raw)
        our_id = record["recordId"]
        upload = by_tag[our_id[:6]]
        line = upload.lines[int(our_id[6:], 36) - 1]
        assert json.loads(line.body) == record["modelInput"], "Bedrock got another line's input"
        job = upload.jobs[line.number]
        upload.jobs[line.number] += 1
        fate = line.fate(job)
        if fate == "-":
            continue
        name = "modelOutput" if fate in BETTER else "error"
        members = [
            f'"modelInput":{line.body}',
            f'"{name}":{written(line.prompt, fate, job)}',
            f'"recordId":"{our_id}"',
        ]
        if chaos and chance.random() < 0.3:
            members.append('"error":null' if name == "modelOutput" else '"modelOutput":null')
        if chaos:
            chance.shuffle(members)
        text = f"{{{','.join(members)}}}"
        lines.append(text.encode())
        if chaos and chance.random() < 0.2:
            lines.append(text.encode())
        if chaos and fate in "stwf" and chance.random() < 0.2:
            worse = {"errorCode": 503, "errorMessage": "slow down"}
            lines.append(json.dumps({"recordId": our_id, "error": worse}).encode())
    if chaos:
        noise = base64.b64encode(chance.randbytes(9))
        bad = [b'{"recordId": "', b"\xff\xfe", noise, b"[]", b"null", b'{"a":NaN}', b"{}}"]
        strange = [b"{}", b'{"recordId":17}', b'{"recordId":"zzzz0000001","modelOutput":{}}']
        strange += [
            b'{"recordId":"%b%b","modelOutput":{"content":[]}}' % (one.encode(), end)
            for one in by_tag
            for end in (b"0000000", b"zzzzzzz", b"000000-", b"00000001", b"0009zzz")
        ]
        junk = len(bad)
        lines += bad + strange + [b"", b" \r"]
        chance.shuffle(lines)
    cut = chance.randrange(len(lines) + 1) if chaos else len(lines)
    ends = [chance.choice([b"", b"\n"]) if chaos else b"\n" for _ in range(2)]
    files = [b"\n".join(lines[:cut]) + ends[0], b"\n".join(lines[cut:]) + ends[1]]
    return files, junk
