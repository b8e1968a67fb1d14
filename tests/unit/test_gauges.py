"""What is measured is true, and costs nothing where nobody asked for it."""

from dataclasses import replace

import pytest

from bbq.services.scheduler.bedrock import Refused
from bbq.services.scheduler.gauges import show
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model
from bbq.shared import events as e
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import Bench


def see(bench: Bench, job: str, *, look: bool = False, timer: bool = False) -> None:
    reconcile(bench.world(), job, Visit(look=look, timer=timer))


def ended(bench: Bench, job: str, status: str = "Completed") -> None:
    state = bench.job(job)
    assert state.arn
    bench.bedrock.turn(state.arn, status)
    told = Report(
        arn=state.arn, model_id=MODEL_ID, status=status, message="", job=job, attempt=state.attempt
    )
    reconcile_report(bench.world(), told)


def last(bench: Bench, *names: str) -> list[float]:
    return [bench.measures(name)[-1] for name in names]


def test_a_model_is_measured_when_it_was_filled() -> None:
    bench = Bench(limit=1)
    jobs = [bench.upload(f"v{number}") for number in range(3)]
    see(bench, jobs[0])
    assert last(bench, "SlotsHeld", "SlotLimit", "OnHold") == [1, 1, 0]
    bench.wait(minutes=5)
    for job in jobs[1:]:
        see(bench, job)
    assert last(bench, "SlotsHeld", "JobsWaiting", "OldestWait", "FreeSlotsWhileWaiting") == [
        1,
        2,
        300,
        0,
    ]


def test_an_empty_line_is_measured_without_a_read_and_a_long_one_only_when_that_is_due() -> None:
    bench = Bench(limit=1, gauges_due=False)
    first, second = bench.upload("v1"), bench.upload("v2")
    see(bench, first)
    see(bench, second)
    assert bench.measures("JobsWaiting") == []
    ended(bench, first)
    ended(bench, second)
    assert bench.measures("JobsWaiting")[-1] == 0
    assert last(bench, "SlotsHeld", "OldestWait", "FreeSlotsWhileWaiting") == [0, 0, 0]


def test_free_slots_beside_a_line_are_told_unless_refused_or_paused() -> None:
    bench = Bench(limit=3, left=20.0)  # no time to serve anybody
    see(bench, bench.upload())
    assert last(bench, "JobsWaiting", "FreeSlotsWhileWaiting") == [1, 3]
    bench = Bench(limit=3)
    bench.bedrock.script = [Refused("quota", "full")] * 2
    for version in ("v1", "v2"):
        see(bench, bench.upload(version))
    assert last(bench, "OnHold", "FreeSlotsWhileWaiting") == [1, 0]
    bench = Bench(limit=3)
    bench.store.append_to_model(MODEL, 2, e.ModelPaused(at=bench.time, by="ann", why=""))
    reconcile_model(bench.world(), MODEL)
    see(bench, bench.upload())
    assert last(bench, "JobsWaiting", "FreeSlotsWhileWaiting") == [1, 0]


def test_a_refill_is_measured_from_the_end_to_the_acceptance_and_once() -> None:
    bench = Bench(limit=1)
    first, second = bench.upload("v1"), bench.upload("v2")
    see(bench, first)
    see(bench, second)
    assert bench.measures("RefillTime") == []
    bench.bedrock.on_create = lambda _: bench.wait(seconds=2)
    ended(bench, first)
    assert bench.measures("RefillTime") == [2000]
    ended(bench, second)
    assert bench.measures("RefillTime") == [2000]


def test_waiting_and_slot_times_are_measured() -> None:
    bench = Bench(limit=1)
    first, second = bench.upload("v1"), bench.upload("v2")
    see(bench, first)
    see(bench, second)
    bench.wait(minutes=1)
    ended(bench, first)
    assert (bench.measures("WaitTime"), bench.measures("SlotTime")) == ([0, 60], [60])


def test_tokens_and_records_are_measured_once_where_they_are_known() -> None:
    bench = Bench(limit=1)
    job = bench.upload()
    see(bench, job)
    bench.results.manifests[bench.job(job).arn or ""] = {
        "totalRecordCount": 100,
        "processedRecordCount": 100,
        "successRecordCount": 98,
        "errorRecordCount": 2,
        "inputTokenCount": 7,
        "outputTokenCount": 9,
    }
    ended(bench, job)
    see(bench, job)
    names = ("InputTokens", "OutputTokens", "RecordsSucceeded", "RecordsFailed")
    assert [bench.measures(name) for name in names] == [[7], [9], [98], [2]]


@pytest.mark.parametrize("timer", [True, False])
def test_only_a_timer_that_finds_news_says_that_an_event_was_missed(timer: bool) -> None:
    bench = Bench(limit=1)
    job = bench.upload()
    see(bench, job)
    see(bench, job, look=True, timer=timer)
    assert "EventMissed" not in [name for name, _ in bench.notes]
    bench.bedrock.turn(bench.job(job).arn or "", "Completed")
    see(bench, job, look=True, timer=timer)
    assert ("EventMissed" in [name for name, _ in bench.notes]) is timer
    assert bench.job(job).status == "Completed"


def test_a_slot_held_beyond_the_jobs_own_deadline_is_told_at_its_check_in() -> None:
    bench = Bench(limit=1)
    job = bench.upload()
    see(bench, job)
    bench.wait(hours=24, minutes=59)
    see(bench, job, look=True, timer=True)
    assert "SlotOverdue" not in [name for name, _ in bench.notes]
    bench.wait(minutes=2)
    see(bench, job, look=True, timer=True)
    assert "SlotOverdue" in [name for name, _ in bench.notes]


# R37: what was done before it would be done again and again
def test_a_head_that_cannot_be_read_fails_no_measure() -> None:
    bench = Bench(limit=1, left=20.0)  # no time to serve anybody
    bench.config = replace(
        bench.config, models={MODEL: replace(bench.config.models[MODEL], max_jobs_per_day=1)}
    )
    reconcile_model(bench.world(), MODEL, 1)
    job = bench.upload()
    see(bench, job)

    class FromTheFuture(e.CancelRequested):
        NAME = "job-from-the-future"

    bench.append(job, FromTheFuture(at=bench.time, by="x", why=""))
    show(bench.world(), MODEL)
    assert last(bench, "JobsWaiting", "FreeSlotsWhileWaiting") == [1, 1]
