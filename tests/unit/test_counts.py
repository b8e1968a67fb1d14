"""The counts follow the jobs, whatever moves them, and the line's places follow the priorities."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.shared import appends, counts, rows
from bbq.shared import events as e
from bbq.shared.job import evolve
from bbq.shared.tables import CountRow, LineRow, ViewRow
from tests.support.samples import ARN, MODEL, MODEL_ID, at, id_of, life, queued, slot_claimed
from tests.support.world import Bench

DAY = "2026-11-23"


def see(bench: Bench, job: str) -> None:
    reconcile(bench.world(), job, Visit())


def ended(bench: Bench, job: str, status: str = "Completed") -> None:
    state = bench.job(job)
    assert state.arn
    told = Report(
        arn=state.arn, model_id=MODEL_ID, status=status, message="", job=job, attempt=state.attempt
    )
    reconcile_report(bench.world(), told)


def test_a_jobs_way_through_the_queue_is_counted_at_every_step() -> None:
    bench = Bench(limit=1)
    first, second = bench.upload("v1"), bench.upload("v2")
    assert bench.store.waiting(MODEL) == {}
    see(bench, first)
    assert bench.store.waiting(MODEL) == {}
    see(bench, second)
    assert bench.store.waiting(MODEL) == {"jobs": 1, "records": 100}
    bench.wait(minutes=10)
    state = bench.job(first)
    bench.results.manifests[state.arn or ""] = {
        "totalRecordCount": 100,
        "processedRecordCount": 100,
        "successRecordCount": 0,
        "errorRecordCount": 100,
        "inputTokenCount": 7,
        "outputTokenCount": 9,
    }
    ended(bench, first)
    assert bench.store.waiting(MODEL) == {}
    assert bench.store.day(MODEL, DAY) == {
        "NoRecordSucceeded": 1,
        "records": 100,
        "slot_ends": 1,
        "slot_seconds": 600,
        "failed_records": 100,
        "input_tokens": 7,
        "output_tokens": 9,
    }


def test_a_rejected_upload_is_counted_under_its_model_or_under_none() -> None:
    bench = Bench()
    for version, model in (("v1", MODEL), ("v2", None)):
        event = e.JobRejected(
            at=bench.time,
            model=model,
            sources=queued().sources,
            problems=(),
            problem_count=0,
            size_bytes=1,
        )
        bench.store.append(id_of(version=version), None, event)
        see(bench, id_of(version=version))
    assert (bench.store.day(MODEL, DAY), bench.store.day("", DAY)) == (
        {"Rejected": 1},
        {"Rejected": 1},
    )


def test_a_retry_takes_the_job_out_of_its_day_and_back_into_the_waiting() -> None:
    bench = Bench(limit=1)
    job = bench.upload()
    see(bench, job)
    ended(bench, job, "Failed")
    assert bench.store.day(MODEL, DAY)["Failed"] == 1
    bench.set_limit(0)
    bench.append(job, e.JobRequeued(at=bench.time, attempt=1, by="ann", why="again"))
    see(bench, job)
    assert (bench.store.day(MODEL, DAY), bench.store.waiting(MODEL)) == (
        {},
        {"jobs": 1, "records": 100},
    )


def test_two_readings_of_the_same_event_count_it_once() -> None:
    bench = Bench(limit=0)
    job = bench.upload()
    again = [True]

    def meanwhile(_: object) -> None:
        if again.pop() if again else False:
            see(bench, job)

    bench.tables.before_commit = meanwhile
    see(bench, job)
    assert bench.store.waiting(MODEL)["jobs"] == 1


@pytest.mark.parametrize("projected", [True, False])
def test_a_claim_leaves_no_place_behind_whether_or_not_a_change_of_priority_was_projected(
    projected: bool,
) -> None:
    bench = Bench(limit=0)
    job = bench.upload(priority=5)
    see(bench, job)
    for priority in (1, 5, 3):
        bench.append(job, e.PriorityChanged(at=bench.time, priority=priority, by="ann", why=""))
        if projected:
            see(bench, job)
    assert [row.sk[0] for row in bench.tables.query(LineRow, rows.line_pk(MODEL))] == [
        "3" if projected else "5"
    ]
    bench.set_limit(1)
    other = bench.upload("v2", priority=9)
    see(bench, other)  # its fill claims the head of the line
    assert bench.job(job).status == "Submitted"
    assert bench.store.line(MODEL, 9) == [other]
    view = bench.tables.get(ViewRow, rows.view_pk(job), "view")
    assert view
    assert (int(view.priority), bench.store.waiting(MODEL)["jobs"]) == (3, 1)


def test_a_waiting_job_is_served_by_its_new_priority() -> None:
    bench = Bench(limit=0)
    early, late = bench.upload("v1", priority=5), bench.upload("v2", priority=5)
    for job in (early, late):
        see(bench, job)
    bench.append(late, e.PriorityChanged(at=bench.time, priority=0, by="ann", why="urgent"))
    see(bench, late)
    assert bench.store.line(MODEL, 9) == [late, early]


def test_a_cancelled_job_leaves_every_place_it_has_had() -> None:
    bench = Bench(limit=0)
    job = bench.upload(priority=5)
    see(bench, job)
    bench.append(job, e.PriorityChanged(at=bench.time, priority=0, by="ann", why=""))
    bench.append(job, e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, job)
    assert (bench.store.line(MODEL, 9), bench.store.waiting(MODEL)) == ([], {})
    assert bench.store.day(MODEL, DAY)["Cancelled"] == 1


def test_a_priority_that_is_none_and_one_of_a_job_that_is_over_change_nothing() -> None:
    waiting = life()
    assert (
        evolve(
            waiting.id, waiting, e.PriorityChanged(at=at(2), priority=10, by="", why="")
        ).priority
        == 5
    )
    over = life(e.CancelRequested(at=at(1), by="", why=""), e.JobCancelled(at=at(2)))
    assert (
        evolve(over.id, over, e.PriorityChanged(at=at(3), priority=0, by="", why="")).priority == 5
    )


def test_a_burst_is_spread_over_the_shards() -> None:
    shards = [counts.shard(id_of(version=f"v{number}")) for number in range(800)]
    assert set(shards) == set(range(counts.SHARDS))
    assert max(shards.count(shard) for shard in range(counts.SHARDS)) < 150


def test_a_change_that_counts_for_the_same_writes_nothing() -> None:
    job = life(slot_claimed(id_of()))
    progressed = evolve(job.id, job, e.JobSubmitted(at=at(3), attempt=1, arn=ARN))
    assert counts.moved(job, progressed) == []
    assert counts.moved(None, job) == []


def test_the_oldest_place_is_found_whatever_its_priority() -> None:
    bench = Bench(limit=0)
    assert bench.store.oldest_place(MODEL) is None
    for version, priority, seconds in (("v1", 0, 50), ("v2", 5, 10), ("v3", 9, 30)):
        bench.store.append(
            id_of(version=version),
            None,
            queued(version=version, seconds=seconds, priority=priority),
        )
        see(bench, id_of(version=version))
    assert bench.store.oldest_place(MODEL) == at(10)


def test_a_row_of_counts_holds_what_it_was_given() -> None:
    numbers = {"Completed": 2, "slot_seconds": 70, "jobs": 0}
    row = counts.count_row("counts#x", "2026-11-23#1", 3, numbers)
    assert (counts.numbers_of(row), int(row.changes)) == ({"Completed": 2, "slot_seconds": 70}, 3)
    assert counts.total([row, row, CountRow(pk="counts#x", sk="2026-11-23#2")]) == {
        "Completed": 4,
        "slot_seconds": 140,
    }


def test_time_in_a_slot_is_counted_from_bedrocks_acceptance() -> None:
    job = life(slot_claimed(id_of()), e.JobSubmitted(at=at(100), attempt=1, arn=ARN))
    over = evolve(
        job.id,
        job,
        e.JobEnded(
            at=at(100) + timedelta(hours=1), attempt=1, status="Completed", message="", arn=ARN
        ),
    )
    tallied = evolve(job.id, over, e.JobTallied(at=at(200) + timedelta(hours=1), attempt=1))
    assert counts.counted(tallied)[1]["slot_seconds"] == 3600


def test_a_job_that_was_at_bedrock_counts_when_it_is_tallied_and_another_when_it_is_over() -> None:
    claimed = life(slot_claimed(id_of()))
    running = evolve(claimed.id, claimed, e.JobSubmitted(at=at(100), attempt=1, arn=ARN))
    ended = evolve(
        running.id,
        running,
        e.JobEnded(at=at(200), attempt=1, status="Completed", message="", arn=ARN),
    )
    invalid = evolve(
        claimed.id,
        claimed,
        e.JobEnded(at=at(200), attempt=1, status="Failed", message="invalid", arn=None),
    )
    assert counts.counted(ended) == ("", {})
    assert counts.moved(running, ended) == []
    assert (
        counts.counted(evolve(ended.id, ended, e.JobTallied(at=at(300), attempt=1)))[1]["Completed"]
        == 1
    )
    assert counts.counted(invalid)[1]["Failed"] == 1


def test_what_an_event_row_says_to_subscribers() -> None:
    upload = queued()
    labelled = replace(upload, labels=(e.Label(name="owner", value="ann@example.com"),))
    job = evolve(id_of(), None, labelled)
    row = appends.append(job, labelled).row
    said = {
        name: getattr(row, name) for name in ("job", "model", "status", "outcome", "owner", "key")
    }
    assert said == {
        "job": job.id,
        "model": MODEL,
        "status": "Queued",
        "outcome": "",
        "owner": "ann@example.com",
        "key": upload.sources[0].key,
    }
    cancelled = e.JobCancelled(at=at(2))
    ended_row = appends.append(evolve(job.id, job, cancelled), cancelled).row
    assert getattr(ended_row, "outcome", "") == "Cancelled"
    model_row = appends.append_to_model(MODEL, 1, e.LimitSet(at=at(0), limit=1)).row
    assert (getattr(model_row, "model", ""), getattr(model_row, "job", "")) == (MODEL, "")
