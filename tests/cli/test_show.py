"""`bbq show`: what a job is, what happened to it, and what it waits for in each state."""

from collections.abc import Callable
from datetime import timedelta

import boto3
import pytest

from bbq.cli import estimates
from bbq.cli.faults import Exit
from bbq.shared import events as e
from bbq.shared.hold import ACCESS
from bbq.shared.names import holder, job_id
from tests.cli.conftest import BUCKET, NOW, Deployed, Result

Bbq = Callable[..., Result]


def waits_for(bbq: Bbq, job: str) -> dict[str, object]:
    result = bbq("show", job, "--json")
    assert result.code == 0, result.err
    found: dict[str, object] = result.json["waits_for"]
    return found


@pytest.fixture
def full(deployed: Deployed) -> Deployed:
    """Every slot of nova taken; its jobs take half an hour."""
    deployed.time = NOW - timedelta(hours=1)
    first = deployed.upload("nova/0.jsonl", "nova")
    deployed.wait(minutes=30)
    deployed.complete(first)
    deployed.upload("nova/1.jsonl", "nova")
    deployed.time = NOW
    return deployed


def test_in_line_it_waits_for_a_slot_at_a_position_with_an_expected_start(
    full: Deployed, bbq: Bbq
) -> None:
    ahead, job = (
        full.upload("nova/2.jsonl", "nova", priority=1),
        full.upload("nova/3.jsonl", "nova"),
    )
    assert waits_for(bbq, ahead)["position"] == 1
    wait = waits_for(bbq, job)
    assert (wait["what"], wait["position"], wait["exact"]) == ("slot", 2, True)
    assert wait["expected_start"] == "2026-11-24T13:00:00.000000Z"
    assert "position 2 in line, should start in about 60m" in bbq("show", job).out


def test_a_long_line_is_not_counted_to_its_end(
    full: Deployed, bbq: Bbq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "MAX_POSITION", 1)
    full.upload("nova/2.jsonl", "nova", priority=1)
    job = full.upload("nova/3.jsonl", "nova")
    wait = waits_for(bbq, job)
    assert (wait["position"], wait["exact"], wait["expected_start"]) == (1, False, None)
    assert "position more than 1 in line" in bbq("show", job).out


def test_a_paused_model_and_one_without_slots_start_nothing_and_say_so(
    full: Deployed, bbq: Bbq
) -> None:
    job = full.upload("nova/2.jsonl", "nova")
    full.pause("nova", by="ada")
    wait = waits_for(bbq, job)
    assert wait["expected_start"] is None
    assert "nova is paused by ada: bbq resume nova" in str(wait["text"])
    full.model_event("nova", e.ModelResumed(at=full.time, by="ada", why=""))
    full.set_limit("nova", 0)
    assert "limit of 0" in str(waits_for(bbq, job)["text"])


def test_without_an_end_lately_nobody_says_when_it_starts(deployed: Deployed, bbq: Bbq) -> None:
    deployed.upload("nova/1.jsonl", "nova")
    job = deployed.upload("nova/2.jsonl", "nova")
    wait = waits_for(bbq, job)
    assert (wait["position"], wait["expected_start"]) == (1, None)
    assert "unknown" in str(wait["text"])


def test_on_hold_it_says_what_is_wrong_since_when_what_is_next_and_what_to_do(
    deployed: Deployed, bbq: Bbq
) -> None:
    deployed.refuse_next(ACCESS, "no iam:PassRole")
    job = deployed.upload("nova/1.jsonl", "nova")
    wait = waits_for(bbq, job)
    assert (wait["what"], wait["on_hold"], wait["next_try"]) == (
        "slot",
        ACCESS,
        "2026-11-24T12:01:00.000000Z",
    )
    assert wait["expected_start"] is None
    text = " ".join(bbq("show", job).out.split())
    for said in (
        "Bedrock denies access: no iam:PassRole",
        "asked 1 time, next within 1m00s",
        "to do: check",
        "bbq wake nova",
    ):
        assert said in text
    deployed.pause("nova")
    assert "nova is paused by ada" in str(waits_for(bbq, job)["text"])


def test_behind_one_that_was_refused_nobody_says_when_it_starts(full: Deployed, bbq: Bbq) -> None:
    full.set_limit("nova", 2)
    full.refuse_next()
    full.upload("nova/held.jsonl", "nova")
    wait = waits_for(bbq, full.upload("nova/3.jsonl", "nova"))
    assert (wait["position"], wait["expected_start"]) == (2, None)
    assert "Bedrock's quota of jobs is full" in str(wait["text"])


def test_claimed_it_waits_for_bedrocks_answer_until_the_lease_ends(
    deployed: Deployed, bbq: Bbq
) -> None:
    seen: list[dict[str, object]] = []
    deployed.bedrock.on_create = lambda _: seen.append(waits_for(bbq, deployed_job[0]))
    deployed_job = [job_id(BUCKET, "to-process/haiku/a.jsonl", "v1", "", "")]
    job = deployed.upload("haiku/a.jsonl")
    assert job == deployed_job[0]
    (wait,) = seen
    assert wait["what"] == "answer"
    slots = deployed.store.slots("haiku")
    assert slots
    assert slots.holders[holder(job, 1)].submitted
    # function, client and a minute: 120 + 35 + 60 seconds
    assert str(wait["lease_until"]).startswith("2026-11-24T12:03:35")


def test_running_it_waits_for_its_end_with_bedrocks_own_count(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    assert waits_for(bbq, job)["processed_records"] is None
    deployed.report(job, "InProgress")
    deployed.processed[deployed.job(job).arn or ""] = 37
    wait = waits_for(bbq, job)
    assert (wait["what"], wait["processed_records"]) == ("end", 37)
    assert "37 of 100 records" in str(wait["text"])


def test_over_it_waits_for_nothing(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/a.jsonl")
    deployed.complete(job, succeeded=99, failed=1)
    assert waits_for(bbq, job)["what"] == "nothing"
    text = bbq("show", job).out
    for words in (
        "CompletedWithErrors (Completed)",
        "99 of 100 succeeded, 1 failed",
        "89,100 in, 9,900 out",
        "arn:aws:bedrock",
    ):
        assert words in text


def test_an_upload_that_the_scheduler_has_not_seen_is_shown_from_its_event(
    deployed: Deployed, bbq: Bbq
) -> None:
    job = job_id(BUCKET, "to-process/haiku/a.jsonl", "v1", "", "")
    source = deployed._source("to-process/haiku/a.jsonl", "v1")
    event = e.JobQueued(
        at=NOW,
        model="haiku",
        priority=5,
        sources=(source,),
        input_uri="s3://b/i",
        output_uri="s3://b/o",
        record_count=100,
        size_bytes=1,
    )
    deployed.append(job, event)
    assert waits_for(bbq, job)["what"] == "scheduler"


def test_the_history_is_told_event_by_event_with_the_time_between(
    deployed: Deployed, bbq: Bbq
) -> None:
    deployed.time = NOW - timedelta(hours=13)
    deployed.refuse_next("quota", "a very long story " * 12)
    job = deployed.upload("haiku/a.jsonl")
    deployed.wait(hours=2)
    deployed.wake_model("haiku")
    deployed.report(job, "InProgress")
    deployed.wait(minutes=90)
    deployed.complete(job)
    result = bbq("show", job)
    told = [line.split() for line in result.out.splitlines() if line[:1].isdigit()]
    assert [line[3] for line in told[1:]] == [
        "slot-claimed",
        "submission-refused",
        "slot-claimed",
        "job-submitted",
        "job-progressed",
        "job-ended",
        "job-tallied",
    ]
    assert [line[2] for line in told[1:]] == [
        "+0.0s",
        "+0.0s",
        "+2h00m",
        "+0.0s",
        "+0.0s",
        "+1h30m",
        "+0.0s",
    ]
    assert result.out.count("2026-11-24\n") == 1  # the day is said when it begins
    # nothing that somebody said is cut
    assert " ".join(result.out.split()).count("a very long story") == 12
    assert all(len(line) <= 120 for line in result.out.splitlines())
    history = bbq("show", job, "--json").json["history"]
    assert [event["version"] for event in history] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_rejected_it_shows_every_problem_with_its_line(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.reject(
        "haiku/x.jsonl",
        e.Problem(line=1700, text="not JSON"),
        e.Problem(line=None, text="too few records"),
    )
    text = bbq("show", job).out
    assert "line 1,700: not JSON" in text
    assert "too few records" in text
    assert text.count("not JSON") == 1  # and not once more as the reason
    assert "\nrecords" not in text  # it has none
    assert "priority" not in text


def test_rejected_it_says_a_problem_of_many_lines_once_and_how_many_are_not_shown(
    deployed: Deployed, bbq: Bbq
) -> None:
    problems = [
        e.Problem(line=number, text="is not valid JSON at column 1") for number in range(1, 101)
    ]
    text = bbq("show", deployed.reject("haiku/x.jsonl", *problems)).out
    assert (
        "why        line 1: is not valid JSON at column 1 (also lines 2, 3, 4 and 16 more)\n"
        in text
    )
    assert "and 80 problems more" in text


def test_a_file_may_be_named_instead_of_the_job(deployed: Deployed, bbq: Bbq) -> None:
    put = boto3.client("s3").put_object(Bucket=BUCKET, Key="to-process/haiku/a.jsonl", Body=b"x")
    result = bbq("show", "haiku/a.jsonl", "--json")
    assert (result.code, result.out) == (Exit.NOT_FOUND, "")
    assert "(yet)" in result.err
    job = deployed.upload("haiku/a.jsonl", version=put["VersionId"])
    assert bbq("show", "haiku/a.jsonl", "--json").json["job"] == job


def test_a_file_is_found_by_its_name_where_submit_puts_it(deployed: Deployed, bbq: Bbq) -> None:
    s3 = boto3.client("s3")
    version = s3.put_object(Bucket=BUCKET, Key="to-process/nova/a.jsonl", Body=b"x")["VersionId"]
    job = deployed.upload("nova/a.jsonl", "nova", version=version)
    for said in ("a.jsonl", "data/2026/a.jsonl", "./a.jsonl"):
        assert bbq("show", said, "--json").json["job"] == job
    s3.put_object(Bucket=BUCKET, Key="to-process/haiku/a.jsonl", Body=b"x")
    both = bbq("show", "a.jsonl")
    assert (both.code, both.out) == (Exit.USAGE, "")
    assert "say to-process/haiku/a.jsonl or to-process/nova/a.jsonl" in both.err
    assert "found by the key that was said there" in bbq("show", "b.jsonl").err


def test_what_does_not_exist_ends_with_3(deployed: Deployed, bbq: Bbq) -> None:
    for unknown in ("a" * 26, "mfrgg", "haiku/never.jsonl"):
        result = bbq("show", unknown)
        assert (result.code, result.out) == (Exit.NOT_FOUND, "")
        assert "bbq jobs" in result.err


def test_hostile_names_and_messages_move_no_cursor(deployed: Deployed, bbq: Bbq) -> None:
    job = deployed.upload("haiku/\x1b[2J\u202e[red]x.jsonl", owner="\x1b]0;owned\x07")
    deployed.report(job, "Failed", message="\x1b[31m[bold]no[/bold]\r\n")
    for arguments in (["show", job], ["jobs"], ["status"]):
        result = bbq(*arguments)
        assert result.code == 0
        assert "\x1b" not in result.out
        assert "\u202e" not in result.out
    assert "[bold]no[/bold]" in bbq("show", job).out
