"""The tools of last resort as a person uses them: they say what is wrong, what they wait for, and
what is left.
"""

import time
from collections.abc import Callable
from datetime import timedelta

import boto3
import pytest

from bbq.cli import redrive, repair, scan
from bbq.cli.sqs import SqsQueue
from bbq.shared.rows import SLOTS_KEY, VIEW_KEY, line_pk, slots_pk, view_pk
from bbq.shared.tables import Delete, LineRow, SlotsRow, Update, ViewRow
from tests.cli.conftest import Deployed, Result

Bbq = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def jobs(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nine jobs, and pages of a few rows."""
    reader = lambda names, region: scan.DynamoReader(names, region, page_items=4)  # noqa: E731 - as the class is called
    monkeypatch.setattr("bbq.cli.repair_commands.DynamoReader", reader)
    return [deployed.upload(f"haiku/{number}.jsonl", version=f"v{number}") for number in range(9)]


def lose_view(deployed: Deployed, job: str) -> None:
    """As nothing of ours would do it."""
    nothing = LineRow(pk=line_pk("haiku"), sk="nothing")  # one write alone is never a delete
    deployed.deployment.tables.write(
        [Delete(ViewRow(pk=view_pk(job), sk=VIEW_KEY)), Delete(nothing)]
    )


def hints(deployed: Deployed) -> list[str]:
    sqs, url = boto3.client("sqs"), deployed.deployment.hints_queue_url
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [message["Body"] for message in messages]
    return found


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
    assert any(
        f"job#{jobs[0]}" in difference["pk"]
        for difference in bbq("verify", "--json").json["differences"]
    )


def test_more_than_can_be_kept_is_said(
    deployed: Deployed, bbq: Bbq, jobs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "MAX_DIFFERENT", 1)
    lose_view(deployed, jobs[0])
    result = bbq("verify")
    assert (result.code, "more differs than these 1 rows: run bbq rebuild" in result.err) == (
        1,
        True,
    )


def test_a_rebuild_asks_and_pauses_and_repairs_and_wakes_and_resumes(
    deployed: Deployed, bbq: Bbq, jobs: list[str]
) -> None:
    lose_view(deployed, jobs[0])
    row = SlotsRow(pk=slots_pk("haiku"), sk=SLOTS_KEY)
    deployed.deployment.tables.write(
        [Update(row, [SlotsRow.holders["nonsense"].set({"submitted": True})], SlotsRow.pk.exists())]
    )
    asked = bbq("rebuild")
    assert asked.code == 2
    assert (
        "Pause every model of deployment bbq, and rebuild its projections from its events? Say "
        "--yes" in asked.err
    )
    assert bbq("verify").code == 1
    result = bbq("rebuild", "--yes")
    assert result.code == 0
    assert {f"repaired job#{jobs[0]} / view", "repaired slots#haiku / slots"} == set(
        result.out.splitlines()
    )
    assert {f'{{"job": "{jobs[0]}"}}', '{"wake": "all"}'} <= set(hints(deployed))
    for alias in ("haiku", "nova"):
        *_, paused, resumed = [each.event for each in deployed.store.load(f"model#{alias}")]
        assert (paused.NAME, resumed.NAME) == ("model-paused", "model-resumed")
        deployed.wake_model(alias)
    assert bbq("verify").code == 0


def test_what_is_left_is_a_line_with_its_reason(
    deployed: Deployed, bbq: Bbq, jobs: list[str]
) -> None:
    boto3.client("dynamodb").put_item(
        TableName=deployed.deployment.projections_table,
        Item={"pk": {"S": "budget#x"}, "sk": {"S": "2026"}},
    )
    result = bbq("rebuild", "--yes")
    assert (result.code, result.out) == (
        1,
        "left budget#x / 2026: look at it, and remove it by hand if it is not needed\n",
    )


def test_a_rebuild_that_is_broken_off_says_that_models_stay_paused_and_the_next_one_resumes_them(
    deployed: Deployed, bbq: Bbq, jobs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(repair, "_walk_streams", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        result = bbq("rebuild", "--yes")
    assert result.code == 130
    assert "stay paused until `bbq rebuild` is run again" in result.err
    assert "bbq rebuild is at work" in bbq("status").out
    assert bbq("rebuild", "--yes").code == 0
    assert deployed.store.load("model#haiku")[-1].event.NAME == "model-resumed"
    assert {f'{{"job": "{job}"}}' for job in jobs} <= set(hints(deployed))


# --- wake


def test_waking_sends_a_hint_for_one_model_or_for_all(deployed: Deployed, bbq: Bbq) -> None:
    assert bbq("wake").out == "every model will be looked at\n"
    assert hints(deployed) == ['{"wake": "all", "ask": true}']
    assert bbq("wake", "nova").out == "nova will be looked at\n"
    assert hints(deployed) == ['{"wake": "nova", "ask": true}']


def test_a_job_is_looked_at_again(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    assert bbq("wake", job).out == f"{job} and every model will be looked at\n"
    assert sorted(hints(deployed)) == [f'{{"job": "{job}"}}', '{"wake": "all", "ask": true}']
    unknown = bbq("wake", "opus")
    assert (unknown.code, unknown.err) == (
        3,
        "bbq: there is no job and no model 'opus': the models are haiku, nova\n",
    )
    assert bbq("wake", job, "--all").code == 2
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


def test_dead_letters_are_shown_and_asked_for_and_then_go_back(
    deployed: Deployed, bbq: Bbq
) -> None:
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


def test_stream_failures_wake_every_unfinished_job(
    deployed: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = deployed.upload("haiku/a.jsonl")
    send(deployed, "stream", "a range of the stream")
    # the message was sent a moment ago
    monkeypatch.setattr(redrive, "CLOCK_MARGIN", timedelta(minutes=-1))
    result = bbq("redrive", "stream", "--yes")
    assert (result.code, result.out) == (0, "stream: 1 letter redriven\n")
    assert sorted(hints(deployed)) == [f'{{"job": "{job}"}}', '{"wake": "all"}']
    assert depth(deployed.deployment.dead_letter_queue_urls["stream"]) == 0


def test_letters_of_the_stream_that_came_meanwhile_stay(deployed: Deployed, bbq: Bbq) -> None:
    send(deployed, "stream", "a range of the stream")
    result = bbq("redrive", "stream", "--yes")
    assert (result.code, result.out) == (0, "stream: 0 letters redriven\n")
    assert "1 came too late for this: run it again in a minute" in result.err
