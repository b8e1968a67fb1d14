"""What the tables say: which jobs are found, in which order, and with how many requests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from bbq.cli import estimates, job_ids, queries
from bbq.cli.faults import Fault, NotFound
from bbq.cli.views import View
from tests.cli.conftest import BUCKET, NOW, Deployed, Requests

MODELS = ["haiku", "nova"]


def jobs(views: list[View]) -> list[str]:
    return [view.job for view in views]


def test_live_jobs_come_furthest_along_first_and_then_by_age(deployed: Deployed) -> None:
    first = deployed.upload("haiku/a.jsonl")
    deployed.wait(seconds=1)
    second = deployed.upload("haiku/b.jsonl")
    deployed.wait(seconds=1)
    third, fourth = deployed.upload("haiku/c.jsonl"), deployed.upload("nova/d.jsonl", "nova")
    deployed.report(second, "InProgress")
    found = queries.live_views(deployed.deployment, MODELS)
    assert jobs(found) == [second, first, fourth, third]
    assert [view.status for view in found] == ["InProgress", "Submitted", "Submitted", "Queued"]
    assert jobs(queries.live_views(deployed.deployment, ["haiku"], ["Queued"])) == [third]
    assert jobs(queries.live_views(deployed.deployment, MODELS, ["Submitted"])) == [first, fourth]
    assert jobs(queries.live_views(deployed.deployment, MODELS, ["Submitted"], limit=1)) == [first]
    assert jobs(queries.live_views(deployed.deployment, MODELS, ["Claimed", "Stopping"])) == []
    assert jobs(queries.live_views(deployed.deployment, MODELS, limit=2)) == [second, first]


def test_partitions_are_read_in_the_order_in_which_jobs_go_through_them(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that moves on meanwhile is met twice rather than not at all."""
    read: list[str] = []

    def noted(_: Any, keys: list[str]) -> list[list[View]]:
        read.extend(keys)
        return []

    monkeypatch.setattr(queries, "at_once", noted)
    queries.live_views(deployed.deployment, ["haiku", "nova"])
    assert read == ["haiku#Queued", "nova#Queued", "haiku#InSlot", "nova#InSlot"]


def test_what_was_seen_last_of_a_job_says_whether_it_is_wanted(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = deployed.upload("haiku/a.jsonl")
    (now,) = queries.live_views(deployed.deployment, ["haiku"])
    before = replace(now, status="Queued", version=now.version - 1)
    monkeypatch.setattr(queries, "at_once", lambda *_: [[now], [before]])
    assert (now.job, now.status) == (job, "Submitted")
    assert queries.live_views(deployed.deployment, ["haiku"], ["Queued"]) == []


def test_of_a_long_line_no_more_is_read_than_is_shown(
    deployed: Deployed, requests: Requests
) -> None:
    for number in range(9):
        deployed.upload(f"nova/{number}.jsonl", "nova")
    requests.clear()
    assert len(queries.live_views(deployed.deployment, MODELS, limit=3)) == 3
    assert requests.items == 1 + 3
    assert requests == ["Query"] * len(MODELS) * 2  # the waiting, and those in a slot


def test_jobs_that_are_over_come_last_ended_first_and_stop_at_the_limit(deployed: Deployed) -> None:
    days_ago = {}
    for ago in (9, 2, 1, 0):
        deployed.time = NOW - timedelta(days=ago)
        days_ago[ago] = deployed.upload(f"haiku/{ago}.jsonl")
        deployed.complete(days_ago[ago])
    deployed.time = NOW
    week = NOW - timedelta(days=7)
    assert jobs(queries.over_views(deployed.deployment, MODELS, week)) == [
        days_ago[0],
        days_ago[1],
        days_ago[2],
    ]
    assert jobs(queries.over_views(deployed.deployment, MODELS, week, limit=2)) == [
        days_ago[0],
        days_ago[1],
    ]
    assert jobs(queries.over_views(deployed.deployment, MODELS, NOW - timedelta(hours=30))) == [
        days_ago[0],
        days_ago[1],
    ]
    assert jobs(queries.over_views(deployed.deployment, MODELS, NOW - timedelta(hours=47))) == [
        days_ago[0],
        days_ago[1],
    ]
    assert queries.over_views(deployed.deployment, ["nova"], week) == []


def test_within_a_day_it_is_the_end_that_counts_and_not_the_upload(deployed: Deployed) -> None:
    early, late = deployed.upload("haiku/early.jsonl"), deployed.upload("haiku/late.jsonl")
    deployed.wait(seconds=5)
    deployed.complete(late)
    deployed.wait(seconds=5)
    deployed.complete(early)
    assert jobs(queries.over_views(deployed.deployment, MODELS, NOW, limit=1)) == [early]


def test_completed_jobs_are_told_apart_by_what_became_of_their_records(deployed: Deployed) -> None:
    outcomes = {
        "Completed": (100, 0),
        "CompletedWithErrors": (60, 40),
        "NoRecordSucceeded": (0, 100),
    }
    made = {}
    for outcome, (succeeded, failed) in outcomes.items():
        made[outcome] = deployed.upload(f"haiku/{outcome}.jsonl")
        deployed.complete(made[outcome], succeeded=succeeded, failed=failed)
    for outcome, job in made.items():
        assert jobs(queries.over_views(deployed.deployment, MODELS, NOW, [outcome])) == [job]
    assert queries.over_views(deployed.deployment, MODELS, NOW, ["Failed"]) == []


def test_a_rejected_file_that_named_no_model_is_found_under_no_model(deployed: Deployed) -> None:
    job = deployed.reject("what/x.jsonl", model=None)
    assert jobs(queries.over_views(deployed.deployment, [*MODELS, ""], NOW)) == [job]
    assert queries.over_views(deployed.deployment, MODELS, NOW) == []


def test_more_days_than_can_be_read_at_once_are_refused(deployed: Deployed) -> None:
    with pytest.raises(Fault, match="later --since"):
        queries.over_views(deployed.deployment, MODELS, NOW - timedelta(days=queries.MAX_DAYS))


def test_whoever_was_alive_since_a_moment_is_met_once(deployed: Deployed) -> None:
    deployed.time = NOW - timedelta(days=3)
    running = deployed.upload("haiku/running.jsonl")
    before, across = (
        deployed.upload("nova/before.jsonl", "nova"),
        deployed.upload("haiku/across.jsonl"),
    )
    deployed.complete(before)
    deployed.time = NOW - timedelta(hours=1)
    deployed.complete(across)
    deployed.reject("haiku/bad.jsonl")
    waiting = [deployed.upload(f"haiku/{n}.jsonl") for n in range(3)]
    deployed.time = NOW
    since = NOW - timedelta(days=2)
    found = jobs(list(queries.jobs_since(deployed.deployment, since)))
    assert sorted(found) == sorted([running, across, *waiting])
    assert before in jobs(list(queries.jobs_since(deployed.deployment, NOW - timedelta(days=4))))
    assert before not in jobs(
        list(
            queries.jobs_since(deployed.deployment, NOW - timedelta(days=3) + timedelta(seconds=1))
        )
    )
    assert jobs(list(queries.jobs_since(deployed.deployment, since, ["nova"]))) == []


def test_a_job_that_ends_while_all_are_read_is_met_once(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = deployed.upload("haiku/a.jsonl")
    live = queries.live_views

    def and_then_it_ends(*arguments: Any) -> list[View]:
        found = live(*arguments)
        deployed.complete(job)
        return found

    monkeypatch.setattr(queries, "live_views", and_then_it_ends)
    assert jobs(list(queries.jobs_since(deployed.deployment, NOW - timedelta(hours=1)))) == [job]


def test_a_job_that_moved_while_the_index_was_read_is_shown_as_it_was_seen_last(
    deployed: Deployed,
) -> None:
    job = deployed.upload("haiku/a.jsonl")
    before = queries.view(deployed.deployment, job)
    deployed.report(job, "InProgress")
    after = queries.view(deployed.deployment, job)
    assert before
    assert after
    assert queries.newest([before, after]) == queries.newest([after, before]) == [after]


def test_a_view_and_its_history_are_read_as_they_are(deployed: Deployed) -> None:
    job = deployed.upload("haiku/reviews.jsonl", records=250)
    deployed.wait(minutes=4)
    deployed.complete(job, succeeded=249, failed=1)
    seen = queries.view(deployed.deployment, job)
    assert seen
    assert (seen.file, seen.word, seen.records, seen.succeeded_records) == (
        "haiku/reviews.jsonl",
        "CompletedWithErrors",
        250,
        249,
    )
    assert (seen.waited(NOW), seen.ran(NOW)) == (timedelta(0), timedelta(minutes=4))
    happened = queries.history(deployed.deployment, job)
    assert [event.name for event in happened] == [
        "job-queued",
        "slot-claimed",
        "job-submitted",
        "job-ended",
        "job-tallied",
    ]
    assert [event.version for event in happened] == [1, 2, 3, 4, 5]
    assert happened[3].at == NOW + timedelta(minutes=4)
    assert happened[3].data["status"] == "Completed"
    assert queries.view(deployed.deployment, "a" * 26) is None
    assert queries.history(deployed.deployment, "a" * 26) == []


def test_a_job_is_found_by_its_object(deployed: Deployed) -> None:
    put = boto3.client("s3").put_object(Bucket=BUCKET, Key="to-process/haiku/a.jsonl", Body=b"x")
    job = deployed.upload("haiku/a.jsonl", version=put["VersionId"])
    for said in (
        "haiku/a.jsonl",
        "to-process/haiku/a.jsonl",
        f"s3://{BUCKET}/to-process/haiku/a.jsonl",
        job,
    ):
        assert job_ids.by_object(deployed.deployment, said) == job
    with pytest.raises(NotFound, match="bbq jobs"):
        job_ids.by_object(deployed.deployment, "haiku/b.jsonl")
    with pytest.raises(Fault, match="not other"):
        job_ids.by_object(deployed.deployment, "s3://other/to-process/haiku/a.jsonl")


def test_what_is_neither_an_id_nor_a_key_is_not_asked_of_s3(
    deployed: Deployed, requests: list[str]
) -> None:
    with pytest.raises(NotFound, match="26 letters"):
        job_ids.by_object(deployed.deployment, "mfrgg")
    assert requests == []


def test_a_place_in_line_is_counted_and_not_guessed(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = deployed.upload("nova/0.jsonl", "nova")
    waiting = []
    for n in range(1, 4):
        deployed.wait(seconds=1)
        waiting.append(deployed.upload(f"nova/{n}.jsonl", "nova"))
    urgent = deployed.upload("nova/urgent.jsonl", "nova", priority=0)

    def place(job: str) -> str:
        return str(estimates.place(deployed.deployment, deployed.job(job)))

    assert [place(job) for job in (urgent, *waiting)] == ["1", "2", "3", "4"]
    assert place(running) == "None"
    monkeypatch.setattr(estimates, "MAX_POSITION", 2)
    assert place(waiting[-1]) == "more than 2"
