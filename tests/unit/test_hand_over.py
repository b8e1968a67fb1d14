"""An end and the claim of the next in line: one transaction where that can be, and the end alone where it cannot."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from services.scheduler.bedrock import Refused, Request
from services.scheduler.hints import Report
from services.scheduler.reconcile import Visit, reconcile, reconcile_report, wake
from shared import events as e
from shared import projections as p
from shared.names import holder
from shared.slots import Lease, Slots
from shared.tables import ConditionFailed, Contended, CountRow, EventRow, LineRow, Row, SlotsRow, Write
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import Bench, arn

QUOTA = Refused("quota", "full")


@pytest.fixture
def bench() -> Bench:
    """One slot; the first of three jobs has it."""
    made = Bench()
    for version in ("v1", "v2", "v3"):
        reconcile(made.world(), made.upload(version), Visit())
        made.wait(seconds=1)
    return made


def ids(bench: Bench) -> tuple[str, str, str]:
    return bench.upload_id("v1"), bench.upload_id("v2"), bench.upload_id("v3")


def end(bench: Bench, job: str, which: str = arn(1)) -> None:
    report = Report(arn=which, model_id=MODEL_ID, status="Completed", message="", job=job, attempt=1)
    reconcile_report(bench.world(), report)


def watched(bench: Bench, meanwhile: Callable[[Sequence[Write]], None] = lambda _: None) -> list[Sequence[Write]]:
    """The transactions that are tried from now on; `meanwhile` is what others do before each."""
    tried: list[Sequence[Write]] = []

    def note(writes: Sequence[Write]) -> None:
        tried.append(writes)
        meanwhile(writes)

    bench.tables.before_commit = note
    return tried


def no_timers(job: str, attempt: int, due: datetime) -> None:
    raise OSError(f"no timers for {job}-{attempt} at {due}")


def events_of(writes: Sequence[Write]) -> list[str]:
    return [write.row.name for write in writes if isinstance(write.row, EventRow)]


def hands_over(writes: Sequence[Write]) -> bool:
    return events_of(writes) == ["job-ended", "slot-claimed"]


def test_an_end_and_the_claim_of_the_next_are_one_transaction_with_one_write_of_the_slots(bench: Bench) -> None:
    first, second, third = ids(bench)
    tried = watched(bench)
    end(bench, first)
    assert [events_of(writes) for writes in tried if events_of(writes)] == [
        ["job-ended", "slot-claimed"], ["job-submitted"], ["job-tallied"],
    ]  # fmt: skip
    assert sum(isinstance(write.row, SlotsRow) for writes in tried for write in writes) == 2  # and for the answer of Create
    assert (list(bench.slots.holders), bench.slots.ends) == ([holder(second, 1)], 1)
    assert (bench.job(first).status, bench.job(second).status, bench.job(third).status) == ("Completed", "Submitted", "Queued")
    assert bench.store.line(MODEL, 9) == [third]


def test_the_timer_is_armed_before_the_slot_is_handed_over(bench: Bench) -> None:  # R11
    first, second, _ = ids(bench)
    armed: list[int] = []

    def note(writes: Sequence[Write]) -> None:
        if hands_over(writes):
            armed.append(len(bench.timers.due(f"{second}-1")))

    watched(bench, note)
    end(bench, first)
    assert armed == [1]


def make_it_odd(bench: Bench, what: str, waits: str) -> None:
    match what:
        case "cancelled":
            bench.store.append(waits, bench.job(waits), e.CancelRequested(at=bench.time, by="ann", why=""))
        case "ceiling":
            bench.config = replace(bench.config, models={MODEL: replace(bench.config.models[MODEL], max_jobs_per_day=2)})
        case "limit lowered":
            bench.set_limit(1)
        case "no time":
            bench.left = 20.0
        case "paused":
            bench.store.commit(p.model_changed(bench.slots, replace(bench.slots, paused=True, model_version=2)))


@pytest.mark.parametrize("what", ["nobody waits", "paused", "limit lowered", "refused", "no time", "cancelled", "ceiling"])
def test_the_end_is_recorded_alone_where_it_is_not_simply_the_next_ones_turn(what: str) -> None:
    bench = Bench(limit=2)
    first, second, third = ids(bench)
    for version in ("v1", "v2") if what == "nobody waits" else ("v1", "v2", "v3"):
        bench.bedrock.script = [QUOTA] if (what, version) == ("refused", "v2") else []
        reconcile(bench.world(), bench.upload(version), Visit())
        bench.wait(seconds=1)
    make_it_odd(bench, what, third)
    tried = watched(bench)
    end(bench, first)
    assert bench.job(first).status == "Completed"
    assert ["job-ended"] in map(events_of, tried)
    assert not any(map(hands_over, tried))
    if what == "refused":  # he who was refused comes first, whoever is in line
        assert bench.job(second).status == "Submitted"
    if what == "no time":
        assert ("model", MODEL) in bench.outbox.sent
    if what == "cancelled":
        assert bench.job(third).status == "Cancelled"


@pytest.mark.parametrize("change", ["limit", "pause"])
def test_a_limit_lowered_or_a_pause_just_then_keeps_the_next_in_line(change: str) -> None:  # R19 R27
    bench = Bench(limit=2)
    for version in ("v1", "v2", "v3"):
        reconcile(bench.world(), bench.upload(version), Visit())
    first, second, third = ids(bench)

    def meanwhile(writes: Sequence[Write]) -> None:
        if not hands_over(writes):
            return
        now = replace(bench.slots, limit=1 if change == "limit" else 2, paused=change == "pause", model_version=2)
        bench.store.commit(p.model_changed(bench.slots, now))

    watched(bench, meanwhile)
    end(bench, first)
    assert (bench.job(first).status, bench.job(third).status) == ("Completed", "Queued")
    assert list(bench.slots.holders) == [holder(second, 1)]


def test_who_is_taken_from_the_line_just_then_leaves_the_slot_to_the_one_behind() -> None:
    bench = Bench(limit=2)
    for version in ("v1", "v2", "v3", "v4"):
        reconcile(bench.world(), bench.upload(version), Visit())
        bench.wait(seconds=1)
    (first, second, third), fourth = ids(bench), bench.upload_id("v4")
    once = [True]

    def meanwhile(writes: Sequence[Write]) -> None:
        if hands_over(writes) and once:
            once.clear()
            end(bench, second, arn(2))  # and its slot goes to the third, whom the first has in mind

    watched(bench, meanwhile)
    end(bench, first)
    assert {job: bench.job(job).status for job in (first, second, third, fourth)} == {
        first: "Completed", second: "Completed", third: "Submitted", fourth: "Submitted",
    }  # fmt: skip
    assert len(bench.bedrock.creates) == 4


def test_an_end_recorded_by_another_just_then_is_not_recorded_again(bench: Bench) -> None:
    first, second, _ = ids(bench)
    once = [True]

    def meanwhile(writes: Sequence[Write]) -> None:
        if hands_over(writes) and once:
            once.clear()
            end(bench, first)

    watched(bench, meanwhile)
    end(bench, first)
    assert bench.history(first).count("job-ended") == 1
    assert [create.name.split("-")[1] for create in bench.bedrock.creates] == [first, second]


def test_an_attempt_that_another_has_ended_and_queued_again_gets_no_slot_from_itself() -> None:  # found by simulation
    bench = Bench()
    job = bench.upload("v1")
    reconcile(bench.world(), job, Visit())
    line, once = bench.store.line, [True]

    def late(model: str, limit: int, prefix: str = "") -> list[str]:
        if once:
            once.clear()
            bench.append(job, e.JobEnded(at=bench.time, attempt=1, status="Expired", message="", arn=arn(1)))
            bench.append(job, e.JobRequeued(at=bench.time, attempt=1, by="ann", why=""))
            bench.store.commit(p.projected(None, bench.job(job))[1:])  # its place in line
        return line(model, limit, prefix)

    bench.store.line = late  # type: ignore[method-assign] # the other is faster
    report = Report(arn=arn(1), model_id=MODEL_ID, status="Expired", message="", job=job, attempt=1)
    reconcile_report(bench.world(), report)
    assert bench.history(job).count("job-ended") == 1


@pytest.mark.parametrize("answer", [ConditionFailed("met itself"), OSError("connection reset")])
def test_a_hand_over_whose_answer_was_lost_is_won_by_its_owner(bench: Bench, answer: Exception) -> None:  # R31
    first, second, _ = ids(bench)
    plain, once = bench.tables.write, [True]

    def lossy(writes: Sequence[Write]) -> None:
        plain(writes)
        if hands_over(writes) and once:
            once.clear()
            raise answer

    bench.tables.write = lossy  # type: ignore[method-assign] # the lost answer
    end(bench, first)
    assert (bench.job(first).status, bench.job(second).status) == ("Completed", "Submitted")
    assert len(bench.bedrock.creates) == 2


@pytest.mark.parametrize("what", ["timers", "events"])
def test_whatever_is_wrong_with_the_next_one_the_end_is_recorded(bench: Bench, what: str) -> None:  # P7
    first, second, third = ids(bench)
    if what == "timers":
        bench.timers.arm_attempt = no_timers  # type: ignore[method-assign] # the service is down
        with pytest.raises(OSError, match="no timers"):  # the message comes back
            end(bench, first)
        assert (bench.job(second).status, list(bench.slots.holders)) == ("Queued", [])
    else:

        class FromTheFuture(e.CancelRequested):
            NAME = "job-from-the-future"

        bench.append(second, FromTheFuture(at=bench.time, by="x", why=""))
        end(bench, first)
        assert bench.job(third).status == "Submitted"  # who can be read is not held up
    assert bench.job(first).status == "Completed"
    (failed,) = [fields for name, fields in bench.notes if name == "HandOverFailed"]
    assert failed["job"] == first


@pytest.mark.parametrize("row", [LineRow, CountRow])
@pytest.mark.parametrize("error", [Contended("a burst meets itself"), RuntimeError("ValidationError")])
def test_a_row_that_only_the_next_ones_claim_touches_does_not_hold_up_the_end(
    bench: Bench, row: type[Row], error: Exception
) -> None:  # fmt: skip
    first, second, _ = ids(bench)

    def broken(writes: Sequence[Write]) -> None:
        if any(isinstance(write.row, row) for write in writes):
            raise error

    watched(bench, broken)
    with pytest.raises(type(error)):
        end(bench, first)
    assert (bench.job(first).status, bench.job(second).status, list(bench.slots.holders)) == ("Completed", "Queued", [])


def test_a_fill_that_fails_after_an_end_leaves_a_hint_of_its_own_once(bench: Bench) -> None:
    """The message of the end may have failed often already, and come back in an hour only."""
    first, second, _ = ids(bench)
    works, bench.timers.arm_attempt = bench.timers.arm_attempt, no_timers  # type: ignore[method-assign] # for a while
    for _ in range(3):
        with pytest.raises(OSError, match="no timers"):
            end(bench, first)
    assert bench.outbox.sent == [("model", MODEL)]
    bench.timers.arm_attempt = works  # type: ignore[method-assign] # again
    wake(bench.world(), MODEL)
    assert bench.job(second).status == "Submitted"


def test_a_refusal_after_a_hand_over_gives_the_slot_up_at_the_first_answer(bench: Bench) -> None:
    """The end that made room is no new reason to ask again: it was counted with the claim."""
    first, second, _ = ids(bench)
    bench.bedrock.script = [QUOTA]
    end(bench, first)
    assert [create.name.split("-")[1] for create in bench.bedrock.creates] == [first, second]
    assert (list(bench.slots.holders), list(bench.slots.refused)) == ([], [holder(second, 1)])
    assert bench.timers.due(f"model-{MODEL}")


def test_an_end_elsewhere_after_a_hand_over_lets_a_refused_create_try_again(bench: Bench) -> None:  # R17
    first, second, _ = ids(bench)
    bench.bedrock.script = [QUOTA]

    def meanwhile(_: Request) -> None:
        bench.bedrock.on_create = lambda _: None
        bench.store.commit(p.foreign_end(MODEL))

    bench.bedrock.on_create = meanwhile
    end(bench, first)
    assert bench.job(second).status == "Submitted"


def test_a_slot_passes_on_unless_it_is_taken_away_or_a_refused_job_comes_first() -> None:
    lease = Lease(owner="a", until=Bench().time)
    held = {"x#1": lease, "y#1": lease}
    assert Slots(model=MODEL, limit=2, holders=held).passes_on
    assert not Slots(model=MODEL, limit=1, holders=held).passes_on
    assert not Slots(model=MODEL, limit=2, holders=held, paused=True).passes_on
