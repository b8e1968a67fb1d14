"""`bbq status`: what it counts, what it says, and how little it reads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import boto3
import pytest

from bbq.cli.holds import holds, next_try, what_is_wrong, what_to_do
from bbq.cli.jobs import DEFAULT_SINCE
from bbq.cli.queries import DAY_ROWS, OVER_STATUSES
from bbq.cli.status import _block, model_status
from bbq.shared import events as e
from bbq.shared.counts import SHARDS
from bbq.shared.hold import (
    ACCESS,
    FAILING,
    INVALID,
    NAME_TAKEN,
    NOT_FOUND,
    QUOTA,
    THROTTLED,
    UNANSWERED,
    Hold,
)
from bbq.shared.job import fold
from bbq.shared.names import job_id
from bbq.shared.rows import view_row
from bbq.shared.slots import Slots
from tests.cli.conftest import BUCKET, MODELS, NOW, Deployed, Requests, Result

Bbq = Callable[..., Result]

PARTITIONS = 2  # of a model's live jobs in the index: the waiting, and those that have a slot


def of(result: Result, model: str) -> dict[str, object]:
    assert result.code == 0, result.err
    (found,) = [each for each in result.json["models"] if each["model"] == model]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def busy(deployed: Deployed) -> Deployed:
    """haiku runs two and has three in line, of two priorities; nova holds one back and is
    paused.
    """
    deployed.time = NOW - timedelta(hours=2)
    first, second = deployed.upload("haiku/1.jsonl"), deployed.upload("haiku/2.jsonl")
    deployed.wait(minutes=10)
    deployed.complete(first)
    deployed.wait(minutes=10)
    deployed.complete(second, succeeded=0, failed=100)
    deployed.reject("haiku/broken.jsonl", e.Problem(line=1, text="no"))
    deployed.upload("haiku/3.jsonl")
    deployed.upload("haiku/4.jsonl")
    deployed.time = NOW - timedelta(minutes=30)
    for name, priority in (("5", 5), ("6", 0), ("7", 9)):
        deployed.upload(f"haiku/{name}.jsonl", priority=priority, records=1000)
        deployed.wait(minutes=10)
    deployed.refuse_next(THROTTLED, "slow down")
    deployed.upload("nova/1.jsonl", "nova")
    deployed.pause("nova", by="ada", why="the budget of November")
    deployed.wait(minutes=5)
    return deployed


def test_it_counts_slots_line_ends_and_how_long_it_will_take(busy: Deployed, bbq: Bbq) -> None:
    haiku = of(bbq("status", "--json"), "haiku")
    assert haiku == {
        "model": "haiku",
        "slots_held": 2,
        "slot_limit": 2,
        "paused": None,
        "waiting_jobs": 3,
        "waiting_records": 3000,
        "oldest_wait_since": "2026-11-24T11:30:00.000000Z",
        "on_hold": [],
        "began_today": None,
        "ended_today": {"Completed": 1, "NoRecordSucceeded": 1, "Rejected": 1},
        "mean_slot_seconds": 900.0,
        "drain_seconds": 3 * 900 / 2,
    }


def test_it_says_why_a_model_is_on_hold_and_who_paused_it(busy: Deployed, bbq: Bbq) -> None:
    nova = of(bbq("status", "--json"), "nova")
    assert nova["on_hold"] == [
        {
            "kind": THROTTLED,
            "message": "slow down",
            "since": "2026-11-24T12:00:00.000000Z",
            "asked": 1,
            "next_try": "2026-11-24T12:01:00.000000Z",
        }
    ]
    assert nova["paused"] == {
        "by": "ada",
        "at": "2026-11-24T12:00:00.000000Z",
        "why": "the budget of November",
    }
    assert (nova["drain_seconds"], nova["mean_slot_seconds"]) == (None, None)


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_on_the_screen_and_leaves_nothing_out(
    busy: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    told = bbq("status").out
    assert all(len(line) <= width for line in told.splitlines())
    words = " ".join(told.split())
    for said in (
        "haiku ■■ 2 of 2 slots",
        "3 jobs in line (3,000 records), oldest 35m00s",
        "1 NoRecordSucceeded, 1 Rejected",
        "15m00s each on average",
        "the line takes about 22m",
        "nova □ 0 of 1 slot 1 job in line",
        "paused by ada 5m00s ago: the budget of November",
        "on hold for 5m00s: Bedrock throttles: slow down",
        "asked again when nova is resumed",
        "nothing ended today",
        "the line stands still",
    ):
        assert said in words


def test_the_mean_of_yesterday_serves_until_something_ends_today(
    deployed: Deployed, bbq: Bbq
) -> None:
    deployed.time = NOW - timedelta(days=1)
    job = deployed.upload("nova/1.jsonl", "nova")
    deployed.wait(minutes=8)
    deployed.complete(job)
    deployed.time = NOW
    deployed.upload("nova/2.jsonl", "nova")
    deployed.upload("nova/3.jsonl", "nova")
    nova = of(bbq("status", "--json"), "nova")
    assert (nova["mean_slot_seconds"], nova["drain_seconds"], nova["ended_today"]) == (
        480.0,
        480.0,
        {},
    )
    deployed.time = NOW + timedelta(days=1)
    assert of(bbq("status", "--json"), "nova")["drain_seconds"] is None
    assert "how long the line takes is unknown" in bbq("status").out


def test_while_bedrock_turns_jobs_away_the_line_waits_for_it(deployed: Deployed, bbq: Bbq) -> None:
    deployed.complete(deployed.upload("nova/1.jsonl", "nova"))  # so that there is a mean
    deployed.refuse_next()
    deployed.upload("nova/2.jsonl", "nova")
    result = bbq("status")
    for said in (
        "Bedrock's quota of jobs is full: the quota is full",
        "asked 1 time, next within 1m00s",
    ):
        assert said in " ".join(result.out.split())
    assert "the line waits for Bedrock" in result.out
    nova = of(bbq("status", "--json"), "nova")
    assert (nova["mean_slot_seconds"], nova["drain_seconds"]) == (0, None)


@pytest.mark.parametrize(
    ("ceiling", "said"),
    [
        ({"max_jobs_per_day": 2}, "parked until midnight UTC: 2 of 2 jobs today"),
        (
            {"max_jobs_per_day": 9, "max_records_per_day": 1250},
            "parked until midnight UTC: 2 of 9 jobs today, 1,200 of 1,250 records today",
        ),
        ({"max_jobs_per_day": 9}, "began: 3 of 9 jobs today"),
    ],
)
def test_a_line_that_waits_for_tomorrow_says_so(
    deployed: Deployed, bbq: Bbq, ceiling: dict[str, int], said: str
) -> None:
    model = replace(deployed.deployment.models["haiku"], limit=9, max_records=100, **ceiling)  # type: ignore[arg-type] # ceilings
    deployed.deployment.models["haiku"] = model  # type: ignore[index] # a dictionary, here
    deployed.set_limit("haiku", 9, **ceiling)
    for number in range(3):
        deployed.upload(f"haiku/{number}.jsonl", records=100 if number == 2 else 600)
        deployed.wait(seconds=1)
    found = model_status(deployed.deployment, "haiku", deployed.time)
    text = "\n".join(line.plain for line in _block(found, deployed.time, 200, 7))
    assert said in text
    assert ("the line goes on tomorrow" in text) == said.startswith("parked")
    assert found.began_today is not None
    assert found.began_today.parked == said.startswith("parked")


def test_each_reason_for_a_hold_says_what_to_do() -> None:
    for kind in (QUOTA, THROTTLED, ACCESS, INVALID, NOT_FOUND, NAME_TAKEN, UNANSWERED, FAILING):
        hold = Hold(kind=kind, message="words", since=NOW, until=NOW + timedelta(minutes=5), ends=0)
        (held,) = holds(Slots(model="nova", limit=1, refused=hold))
        assert what_is_wrong(held).endswith(": words")
        assert len(what_to_do(held, "nova")) > 20
        assert (
            next_try(held, NOW, paused_model=None)
            == "asked 1 time, next within 5m00s or after the next end"
        )


def test_a_paused_line_takes_no_time_that_anybody_knows(busy: Deployed, bbq: Bbq) -> None:
    assert of(bbq("status", "--json"), "haiku")["drain_seconds"] is not None
    busy.pause("haiku")
    assert of(bbq("status", "--json"), "haiku")["drain_seconds"] is None


def test_dead_letters_are_named_with_what_helps(deployed: Deployed, bbq: Bbq) -> None:
    assert "redrive" not in bbq("status").out
    url = deployed.deployment.dead_letter_queue_urls["hints"]
    boto3.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    result = bbq("status")
    assert "1 hint" in result.out
    assert "bbq redrive hints" in result.out
    assert bbq("status", "--json").json["dead_letters"] == {"uploads": 0, "hints": 1, "stream": 0}


def test_a_model_without_slots_yet_is_shown_as_one_that_starts_nothing(
    deployed: Deployed, bbq: Bbq
) -> None:
    deployed.set_limit("nova", 0)
    deployed.upload("nova/1.jsonl", "nova")
    assert "a limit of 0 lets nothing start" in bbq("status").out


def test_what_was_rejected_without_a_model_is_counted(deployed: Deployed, bbq: Bbq) -> None:
    deployed.reject("hiaku/a.jsonl", e.Problem(line=None, text="name it haiku/"), model=None)
    deployed.reject("hiaku/b.jsonl", e.Problem(line=None, text="name it haiku/"), model=None)
    assert (
        "today without a model: 2 Rejected, look at them with: bbq jobs --status Rejected"
        in bbq("status").out
    )
    document = bbq("status", "--json").json
    assert document["ended_without_model"] == {"Rejected": 2}
    assert [model["ended_today"] for model in document["models"]] == [{}, {}]
    deployed.wait(days=1)
    assert "without a model" not in bbq("status").out


@pytest.mark.parametrize("history", [0, 100, 3000])
def test_a_long_history_costs_no_more_requests(
    deployed: Deployed, bbq: Bbq, requests: Requests, history: int
) -> None:
    """As many as the models, statuses and days ask for, never more, whatever has been. Scan fails
    the fixture `requests`.
    """
    deployed.upload("haiku/a.jsonl")
    _fill(history)
    requests.clear()
    assert bbq("status").code == 0
    finding = 2  # of the parameter
    of_a_model = 1 + 1 + 2  # slots, counts of the line, counts of two days
    unreadable = 1
    without_model = 1  # counts of today
    assert len(requests) == finding + len(MODELS) * of_a_model + unreadable + without_model + 3
    assert requests.items <= len(MODELS) * (3 * SHARDS + 11) + SHARDS
    requests.clear()
    found = bbq("jobs", "--json").json
    assert len(found) == min(history + 1, 50)
    assert requests.items <= 1 + DAY_ROWS
    days = DEFAULT_SINCE.days + 1
    # and files rejected or cancelled whose model is not known
    kinds = len(MODELS) * len(OVER_STATUSES) + 2
    assert len(requests) <= finding + len(MODELS) * PARTITIONS + unreadable + days * kinds
    if history >= 100:  # today's are enough
        assert len(requests) == finding + len(MODELS) * PARTITIONS + unreadable + kinds


def _fill(count: int) -> None:
    """So many completed jobs of today and the days before, as views alone."""
    client = boto3.client("dynamodb")
    for start in range(0, count, 25):
        rows = []
        for number in range(start, min(start + 25, count)):
            job = job_id(BUCKET, f"{number}", "v", "", "")
            at = NOW - timedelta(minutes=number // 2)
            queued = e.JobQueued(
                at=at,
                model="haiku",
                priority=5,
                sources=(),
                input_uri="i",
                output_uri="o",
                record_count=100,
                size_bytes=1,
            )
            claimed = e.SlotClaimed(at=at, attempt=1, model_id="m", job_name="n")
            ended = e.JobEnded(at=at, attempt=1, status="Completed", message="", arn=None)
            state = fold(job, [queued, claimed, ended])
            assert state
            rows.append({"PutRequest": {"Item": view_row(state).to_dynamodb_dict()}})
        client.batch_write_item(RequestItems={"bbq-projections": rows})  # type: ignore[dict-item] # as PynamoDB says it
