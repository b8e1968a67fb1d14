"""The tools of last resort as a person uses them: they say what is wrong, and a killed one goes on where it was."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli import mend, reader, redrive, repair, walk
from cli.main import run
from cli.sqs import SqsQueue
from shared.projections import SLOTS_KEY, VIEW_KEY, line_pk, slots_pk, view_pk
from shared.tables import Delete, LineRow, SlotsRow, Update, ViewRow
from tests.cli.conftest import Deployed, Result

Bbq = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def jobs(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nine jobs, and pages of a few rows."""
    monkeypatch.setattr("cli.mend.DynamoReader", lambda names, region: reader.DynamoReader(names, region, page_items=4))
    return [deployed.upload(f"haiku/{number}.jsonl", version=f"v{number}") for number in range(9)]


def lose_view(deployed: Deployed, job: str) -> None:
    """As nothing of ours would do it."""
    nothing = LineRow(pk=line_pk("haiku"), sk="nothing")  # one write alone is never a delete
    deployed.deployment.tables.write([Delete(ViewRow(pk=view_pk(job), sk=VIEW_KEY)), Delete(nothing)])


def hints(deployed: Deployed) -> list[str]:
    sqs, url = boto3.client("sqs"), deployed.deployment.hints_queue_url
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [message["Body"] for message in messages]
    return found


class Killed(BaseException):
    """As a signal ends a process: nothing may catch it for good."""


def die_after(monkeypatch: pytest.MonkeyPatch, pages: int) -> Callable[[], None]:
    """The process dies when its cursor has been noted so many times. Answers what brings it to life again."""
    real, notes = mend._Walk.note, list[walk.Cursor]()

    def note(self: mend._Walk, cursor: walk.Cursor) -> None:
        real(self, cursor)
        notes.append(cursor)
        if len(notes) == pages:
            raise Killed

    monkeypatch.setattr(mend._Walk, "note", note)
    return lambda: monkeypatch.setattr(mend._Walk, "note", real)


def test_all_is_well(deployed: Deployed, bbq: Bbq, jobs: list[str]) -> None:
    result = bbq("verify")
    assert (result.code, result.out) == (0, "")
    assert "11 streams of events looked at: no difference" in result.err
    assert bbq("verify", "--json").json == {"complete": True, "streams": 11, "differences": []}


def test_each_difference_is_a_line(deployed: Deployed, bbq: Bbq, jobs: list[str]) -> None:
    lose_view(deployed, jobs[0])
    result = bbq("verify")
    assert result.code == 1
    assert f"job#{jobs[0]} / view" in result.out
    assert any(f"job#{jobs[0]}" in difference["pk"] for difference in bbq("verify", "--json").json["differences"])


def test_a_rebuild_asks_and_repairs_and_wakes(deployed: Deployed, bbq: Bbq, jobs: list[str]) -> None:
    lose_view(deployed, jobs[0])
    asked = bbq("rebuild")
    assert asked.code == 2
    assert "Rebuild the projections of deployment bbq from its events? Say --yes" in asked.err
    assert bbq("verify").code == 1
    result = bbq("rebuild", "--yes")
    assert result.code == 0
    assert f"repaired job#{jobs[0]} / view" in result.out
    assert f'{{"job": "{jobs[0]}"}}' in hints(deployed)
    assert bbq("verify").code == 0


def test_what_needs_a_pause_says_so(deployed: Deployed, bbq: Bbq, jobs: list[str]) -> None:
    row = SlotsRow(pk=slots_pk("haiku"), sk=SLOTS_KEY)
    deployed.deployment.tables.write([Update(row, [SlotsRow.limit.set(7)], SlotsRow.pk.exists())])
    result = bbq("rebuild", "--yes")
    assert result.code == 1
    assert "left slots#haiku / slots" in result.out
    assert "bbq pause haiku" in result.out
    assert bbq("pause", "haiku").code == 0
    deployed.wake_model("haiku")
    assert bbq("rebuild", "--yes").code == 0
    assert bbq("verify").code == 0


@pytest.mark.parametrize("command", [["verify"], ["rebuild", "--yes"], ["wake", "--all"]])
def test_a_killed_walk_goes_on_where_it_was(
    deployed: Deployed, bbq: Bbq, jobs: list[str], tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    pages: list[Any] = []
    real = reader.DynamoReader.page

    def page(self: reader.DynamoReader, table: str, start: reader.Key | None) -> reader.Page:
        pages.append((table, start))
        return real(self, table, start)

    monkeypatch.setattr(reader.DynamoReader, "page", page)
    assert bbq(*command).code == 0
    whole, cursor = list(pages), tmp_path / "cursor"
    pages.clear()
    alive = die_after(monkeypatch, 3)
    monkeypatch.setattr(sys, "argv", ["bbq", *command, "--cursor", str(cursor)])
    with pytest.raises(Killed):
        run()
    assert (pages, len(whole) > 3) == (whole[:3], True)
    alive()
    pages.clear()
    result = bbq(*command, "--cursor", str(cursor))
    assert (result.code, pages) == (0, whole[3:])
    assert "after 3 pages" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_rebuild_that_was_killed_in_a_repair_still_wakes_what_it_touched(
    deployed: Deployed, bbq: Bbq, jobs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in jobs:
        lose_view(deployed, job)
    cursor = tmp_path / "cursor"
    real, calls = repair._repair, list[Any]()

    def dying(desk: walk.Desk, target: walk.Target) -> Any:
        calls.append(target)
        if len(calls) == 5:
            raise Killed
        return real(desk, target)

    monkeypatch.setattr(repair, "_repair", dying)
    monkeypatch.setattr(sys, "argv", ["bbq", "rebuild", "--yes", "--cursor", str(cursor)])
    with pytest.raises(Killed):
        run()
    monkeypatch.setattr(repair, "_repair", real)
    assert bbq("rebuild", "--yes", "--cursor", str(cursor)).code == 0
    assert not cursor.exists()
    assert {f'{{"job": "{job}"}}' for job in jobs} <= set(hints(deployed))
    assert bbq("rebuild", "--yes").code == 0  # the counts, which changed during the first one
    assert bbq("verify").code == 0


def test_what_was_broken_off_by_hand_says_how_to_go_on(
    deployed: Deployed, bbq: Bbq, jobs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mend._Walk.note

    def note(self: mend._Walk, cursor: walk.Cursor) -> None:
        real(self, cursor)
        raise KeyboardInterrupt

    monkeypatch.setattr(mend._Walk, "note", note)
    result = bbq("verify", "--cursor", str(tmp_path / "cursor"))
    assert result.code == 130
    assert f"--cursor {tmp_path / 'cursor'} goes on" in result.err


def test_a_cursor_is_of_one_command_and_deployment(
    deployed: Deployed, bbq: Bbq, jobs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = tmp_path / "cursor"
    die_after(monkeypatch, 1)
    monkeypatch.setattr(sys, "argv", ["bbq", "verify", "--cursor", str(cursor)])
    with pytest.raises(Killed):
        run()
    before = cursor.read_text()
    result = bbq("rebuild", "--yes", "--cursor", str(cursor))
    assert result.code == 2
    assert "is the cursor of `bbq verify` on bbq" in result.err
    cursor.write_text(before.replace('"bbq"', '"other"'))
    assert bbq("verify", "--cursor", str(cursor)).code == 2
    for nonsense in ("", "[]", "{}", '{"cursor": 3}'):
        cursor.write_text(nonsense)
        result = bbq("verify", "--cursor", str(cursor))
        assert result.code == 2
        assert "is not a cursor of bbq" in result.err
        assert cursor.read_text() == nonsense


def test_a_cursor_that_cannot_be_written_is_said_at_once(deployed: Deployed, bbq: Bbq, jobs: list[str], tmp_path: Path) -> None:
    result = bbq("verify", "--cursor", str(tmp_path / "nowhere" / "cursor"))
    assert result.code == 1
    assert "No such file or directory" in result.err


# --- wake


def test_waking_sends_a_hint_for_one_model_or_for_all(deployed: Deployed, bbq: Bbq) -> None:
    assert bbq("wake").out == "every model will be looked at\n"
    assert hints(deployed) == ['{"wake": "all", "ask": true}']
    assert bbq("wake", "nova").out == "nova will be looked at\n"
    assert hints(deployed) == ['{"wake": "nova", "ask": true}']


def test_a_job_is_looked_at_again(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    job = deployed.upload("haiku/a.jsonl")
    assert bbq("wake", job).out == f"{job} and every model will be looked at\n"
    assert sorted(hints(deployed)) == [f'{{"job": "{job}"}}', '{"wake": "all", "ask": true}']
    unknown = bbq("wake", "opus")
    assert (unknown.code, unknown.err) == (3, "bbq: there is no job and no model 'opus': the models are haiku, nova\n")
    assert bbq("wake", job, "--all").code == 2
    assert bbq("wake", "--cursor", str(tmp_path / "cursor")).code == 2
    assert hints(deployed) == []


def test_every_unfinished_job_is_looked_at_again(deployed: Deployed, bbq: Bbq) -> None:
    done, running = deployed.upload("haiku/a.jsonl"), deployed.upload("haiku/b.jsonl")
    deployed.complete(done)
    result = bbq("wake", "--all")
    assert (result.code, result.out) == (0, "1 job and every model will be looked at\n")
    assert sorted(hints(deployed)) == [f'{{"job": "{running}"}}', '{"wake": "all", "ask": true}']


# --- redrive


def send(deployed: Deployed, queue: str, *bodies: str) -> None:
    url = deployed.deployment.dead_letter_queue_urls[queue]
    for body in bodies:
        boto3.client("sqs").send_message(QueueUrl=url, MessageBody=body)


def depth(url: str) -> int:
    return SqsQueue(boto3.client("sqs"), url).depth()


def test_nothing_dead_is_nothing_to_do(deployed: Deployed, bbq: Bbq) -> None:
    result = bbq("redrive")
    assert result.code == 0
    assert "uploads: 0 dead letters" in result.err
    assert "nothing to redrive" in result.err


def test_dead_letters_are_shown_and_asked_for_and_then_go_back(deployed: Deployed, bbq: Bbq) -> None:
    send(deployed, "uploads", "u1", "u2", "u3")
    send(deployed, "hints", "h1")
    asked = bbq("redrive")
    assert asked.code == 2
    assert "uploads: 3 dead letters" in asked.err
    assert "Redrive 3 of uploads, 1 of hints?" in asked.err
    here = deployed.deployment
    assert (depth(here.uploads_queue_url), depth(here.hints_queue_url)) == (0, 0)
    result = bbq("redrive", "uploads", "--most", "2", "--yes")
    assert (result.code, result.out) == (0, "uploads: 2 letters redriven\n")
    assert (depth(here.uploads_queue_url), depth(here.dead_letter_queue_urls["uploads"])) == (2, 1)
    assert depth(here.dead_letter_queue_urls["hints"]) == 1
    assert bbq("redrive", "--yes").out == "uploads: 1 letter redriven\nhints: 1 letter redriven\n"
    assert hints(deployed) == ["h1"]


def test_stream_failures_wake_every_unfinished_job(deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch) -> None:
    job = deployed.upload("haiku/a.jsonl")
    send(deployed, "stream", "a range of the stream")
    monkeypatch.setattr(redrive, "CLOCK_MARGIN", timedelta(minutes=-1))  # the message was sent a moment ago
    result = bbq("redrive", "stream", "--yes")
    assert (result.code, result.out) == (0, "stream: 1 letter redriven\n")
    assert sorted(hints(deployed)) == [f'{{"job": "{job}"}}', '{"wake": "all"}']
    assert depth(deployed.deployment.dead_letter_queue_urls["stream"]) == 0


def test_letters_of_the_stream_that_came_meanwhile_stay(deployed: Deployed, bbq: Bbq) -> None:
    send(deployed, "stream", "a range of the stream")
    result = bbq("redrive", "stream", "--yes")
    assert (result.code, result.out) == (0, "stream: 0 letters redriven\n")
    assert "1 came too late for this: run it again in a minute" in result.err
