"""One contract for both stores: what `Tables` promises, on DynamoDB (moto) and in memory."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import boto3
import pytest
from moto import mock_aws

from bbq.cli.expected import recounted
from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.hold import FAILING, Hold, probed
from bbq.shared.job import Job, evolve
from bbq.shared.memory import MemoryTables
from bbq.shared.names import holder, job_stream
from bbq.shared.plain import text_of
from bbq.shared.slots import NO_DAY, UNBOUNDED, Ceiling, Day, Lease, Slots
from bbq.shared.store import Store, VersionTaken
from bbq.shared.tables import (
    ConditionFailed,
    CountRow,
    EventRow,
    LineRow,
    Put,
    SlotsRow,
    Tables,
    ViewRow,
)
from tests.support.samples import ARN, MODEL, at, id_of, life, queued, slot_claimed
from tests.support.tables import REGION, create_tables


@pytest.fixture(params=["memory", "dynamodb"])
def tables(request: pytest.FixtureRequest) -> Iterator[Tables]:
    if request.param == "memory":
        yield MemoryTables()
        return
    with mock_aws():
        create_tables(boto3.client("dynamodb", region_name=REGION))
        yield DynamoTables({"events": "events", "projections": "projections"}, REGION)


@pytest.fixture
def store(tables: Tables) -> Store:
    return Store(tables, sleep=lambda _: None)


LEASE = Lease(owner="me", until=at(60))


def next_state(job: Job, event: e.Event) -> Job:
    return evolve(job.id, job, event)


def with_limit(
    store: Store, limit: int, *, paused: bool = False, ceiling: Ceiling = UNBOUNDED
) -> None:
    made = Slots(model=MODEL, limit=limit, paused=paused, model_version=1, ceiling=ceiling)
    store.commit(p.model_changed(None, made, resumed=False))


def claim(store: Store, version: str = "v1", lease: Lease = LEASE) -> Job:
    """Queue, project and claim an upload; the job after it."""
    key = "to-process/haiku/a.jsonl"
    store.append(id_of(key, version), None, queued(key, version))
    job = store.job(id_of(key, version))
    assert job
    store.commit(p.projected(None, job))
    event, seen = slot_claimed(job.id), store.slots(MODEL) or Slots(model=MODEL, limit=9)
    store.commit(p.claimed(job, event, holder(job.id, 1), lease, seen))
    return next_state(job, event)


def end_of(status: str = "Completed", arn: str | None = ARN, **said: object) -> e.JobEnded:
    return e.JobEnded(
        **{"at": at(9), "attempt": 1, "status": status, "message": "", "arn": arn, **said}  # type: ignore[arg-type] # its own fields
    )


def submit(store: Store, job: Job) -> Job:
    event = e.JobSubmitted(at=at(2), attempt=1, arn=ARN)
    store.commit(p.submitted(job, event, holder(job.id, 1)))
    return next_state(job, event)


def run(store: Store, version: str = "v1") -> Job:
    """An upload that is at Bedrock."""
    return submit(store, claim(store, version))


def end(store: Store, job: Job, event: e.JobEnded, seen: Slots | None = None) -> Job:
    store.commit(p.ended(job, event, holder(job.id, 1), seen or slots(store)))
    return next_state(job, event)


def slots(store: Store) -> Slots:
    found = store.slots(MODEL)
    assert found
    return found


def test_an_appended_event_is_read_back_as_it_was(store: Store) -> None:
    store.append("x", None, queued())
    (recorded,) = store.load("job#x")
    assert (recorded.version, recorded.event) == (1, queued())
    assert store.exists("job#x")
    assert not store.exists("job#y")


def test_a_version_can_be_appended_once(store: Store) -> None:
    store.append("x", None, queued())
    with pytest.raises(VersionTaken):
        store.append("x", None, queued(seconds=9))
    assert [r.event for r in store.load("job#x")] == [queued()]


def test_events_come_back_in_the_order_of_their_numbers(store: Store) -> None:
    for version in range(1, 13):
        store.append_to_model("x", version, e.LimitSet(at=at(version), limit=version))
    assert [r.version for r in store.load("model#x")] == list(range(1, 13))


def test_what_was_never_written_is_absent(store: Store, tables: Tables) -> None:
    assert store.job("nobody") is None
    assert store.slots(MODEL) is None
    assert store.line(MODEL, 5) == []
    assert store.view_version("nobody") == 0
    assert tables.get(SlotsRow, "slots#x", "slots") is None


def test_the_line_is_ordered_by_priority_then_time(store: Store) -> None:
    uploads = [("late", 5, 20.0), ("early", 5, 10.0), ("urgent", 0, 30.0), ("idle", 9, 1.0)]
    for version, priority, seconds in uploads:
        event = queued("k", version, priority=priority, seconds=seconds)
        store.append(id_of("k", version), None, event)
        job = store.job(id_of("k", version))
        assert job
        store.commit(p.projected(None, job))
    assert store.line(MODEL, 9) == [id_of("k", v) for v in ("urgent", "early", "late", "idle")]
    assert store.line(MODEL, 2) == [id_of("k", v) for v in ("urgent", "early")]


def test_a_part_of_a_partition_is_read_by_prefix_or_from_a_place_on(store: Store) -> None:
    for version, priority in (("v1", 0), ("v2", 5), ("v3", 5), ("v4", 9)):
        store.append(
            id_of("k", version),
            None,
            queued("k", version, priority=priority, seconds=int(version[1])),
        )
        job = store.job(id_of("k", version))
        assert job
        store.commit(p.projected(None, job))
    assert store.line(MODEL, 9, prefix="5#") == [id_of("k", "v2"), id_of("k", "v3")]
    assert store.line(MODEL, 1, prefix="5#") == [id_of("k", "v2")]
    assert store.line(MODEL, 9, prefix="7#") == []
    assert store.oldest_place(MODEL) == at(1)
    assert store.waiting(MODEL) == {"jobs": 4, "records": 400}


def test_what_is_counted_is_added_to_what_was_and_falls_again(store: Store) -> None:
    with_limit(store, 5)
    jobs = [claim(store, f"v{number}") for number in range(5)]
    assert store.waiting(MODEL) == {}
    for job in jobs:
        store.commit(p.over_without_bedrock(job, end_of("Failed", None), holder(job.id, 1), LEASE))
    day = text_of(at(9))[:10]
    assert store.day(MODEL, day) == {"Failed": 5, "records": 500}
    over = next_state(jobs[0], end_of("Failed", None))
    store.commit(p.appended(over, e.JobRequeued(at=at(10), attempt=1, by="ann", why="")))
    assert (store.day(MODEL, day), store.waiting(MODEL)) == (
        {"Failed": 4, "records": 400},
        {"jobs": 1, "records": 100},
    )


def test_a_count_is_rewritten_only_as_it_was_seen(store: Store, tables: Tables) -> None:
    with_limit(store, 0)
    store.append(id_of(), None, queued())
    store.commit(p.projected(None, life()))
    (row,) = tables.query(CountRow, f"counts#{MODEL}")
    store.commit(recounted(row, row.pk, row.sk, {"jobs": 7}))
    with pytest.raises(ConditionFailed):
        store.commit(recounted(row, row.pk, row.sk, {"jobs": 8}))
    with pytest.raises(ConditionFailed):
        store.commit(recounted(None, row.pk, row.sk, {"jobs": 8}))
    assert store.waiting(MODEL) == {"jobs": 7}


def test_projecting_an_older_reading_changes_nothing(store: Store, tables: Tables) -> None:
    with_limit(store, 1)
    job = claim(store)
    before = store.job(job.id)
    with pytest.raises(ConditionFailed):
        store.commit(p.projected(None, life()))
    assert store.job(job.id) == before
    assert store.line(MODEL, 5) == []
    view = tables.get(ViewRow, rows.view_pk(job.id), "view")
    assert view
    assert (view.status, view.version) == ("Claimed", 2)


def test_a_claim_moves_the_job_out_of_the_line_into_a_slot(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    assert store.line(MODEL, 5) == []
    assert slots(store).holders == {holder(job.id, 1): LEASE}
    assert store.job(job.id) == job


def test_a_claim_on_full_slots_changes_nothing_at_all(store: Store) -> None:
    with_limit(store, 1)
    first = claim(store, "v1")
    with pytest.raises(ConditionFailed):
        claim(store, "v2")
    second = store.job(id_of(version="v2"))
    assert second
    assert (second.status, store.view_version(second.id), store.line(MODEL, 5)) == (
        "Queued",
        1,
        [second.id],
    )
    assert list(slots(store).holders) == [holder(first.id, 1)]


@pytest.mark.parametrize(("limit", "paused"), [(0, False), (5, True)])
def test_no_claim_passes_at_limit_zero_or_on_a_paused_model(
    store: Store, limit: int, paused: bool
) -> None:
    with_limit(store, limit, paused=paused)
    with pytest.raises(ConditionFailed):
        claim(store)


def test_no_claim_passes_before_the_first_limit_was_set(store: Store) -> None:
    with pytest.raises(ConditionFailed):
        claim(store)


@pytest.mark.parametrize(
    "ceiling", [Ceiling(jobs=2), Ceiling(records=250), Ceiling(jobs=2, records=250)]
)
def test_a_day_takes_as_much_as_its_ceiling_and_counts_what_it_took(
    store: Store, ceiling: Ceiling
) -> None:
    with_limit(store, 9, ceiling=ceiling)
    for version in ("v1", "v2"):
        claim(store, version)
    with pytest.raises(ConditionFailed):
        claim(store, "v3")
    assert slots(store).day == Day(date="2026-11-23", jobs=2, records=200)


@pytest.mark.parametrize("lower", [Ceiling(jobs=1), Ceiling(records=100)], ids=["jobs", "records"])
def test_a_ceiling_that_was_lowered_meanwhile_holds(store: Store, lower: Ceiling) -> None:
    with_limit(store, 9)
    claim(store, "v1")
    before = slots(store)
    store.commit(
        p.model_changed(before, replace(before, model_version=2, ceiling=lower), resumed=False)
    )
    assert slots(store).ceiling == lower
    store.append(id_of(version="v2"), None, queued(version="v2"))
    job = store.job(id_of(version="v2"))
    assert job
    with pytest.raises(ConditionFailed):
        store.commit(p.claimed(job, slot_claimed(job.id), holder(job.id, 1), LEASE, before))
    store.commit(p.model_changed(slots(store), replace(before, model_version=3), resumed=False))
    assert slots(store).ceiling == UNBOUNDED
    claim(store, "v3")


@pytest.mark.parametrize("seen", [NO_DAY, Day(date="2026-11-22", jobs=1, records=100)])
def test_a_day_is_begun_once(store: Store, seen: Day) -> None:
    """Two invocations read the slots before midnight and claim after it: the second must read
    again, or it would begin anew.
    """
    with_limit(store, 9, ceiling=Ceiling(jobs=1))
    before = replace(slots(store), day=seen)
    store.commit([Put(rows.slots_row(before))])
    for version, passes in (("v1", True), ("v2", False)):
        store.append(id_of(version=version), None, queued(version=version))
        job = store.job(id_of(version=version))
        assert job
        writes = p.claimed(job, slot_claimed(job.id), holder(job.id, 1), LEASE, before)
        with nullcontext() if passes else pytest.raises(ConditionFailed):
            store.commit(writes)
    assert slots(store).day == Day(date="2026-11-23", jobs=1, records=100)


def test_slots_that_became_empty_again_still_count_as_empty(store: Store) -> None:
    with_limit(store, 1)
    end(store, run(store), end_of())
    assert slots(store).holders == {}
    assert claim(store, "v2").status == "Claimed"


def test_a_lowered_limit_admits_nobody_until_enough_have_left(store: Store) -> None:
    with_limit(store, 2)
    claim(store, "v1")
    claim(store, "v2")
    store.commit(
        p.model_changed(slots(store), Slots(model=MODEL, limit=1, model_version=2), resumed=False)
    )
    with pytest.raises(ConditionFailed):
        claim(store, "v3")


def test_an_older_reading_of_the_model_never_overwrites_a_newer(store: Store) -> None:
    with_limit(store, 2)
    old = slots(store)
    store.commit(p.model_changed(old, Slots(model=MODEL, limit=5, model_version=3), resumed=False))
    with pytest.raises(ConditionFailed):
        store.commit(
            p.model_changed(old, Slots(model=MODEL, limit=9, model_version=2), resumed=False)
        )
    with pytest.raises(ConditionFailed):
        store.commit(
            p.model_changed(None, Slots(model=MODEL, limit=9, model_version=1), resumed=False)
        )
    assert (slots(store).limit, slots(store).model_version) == (5, 3)


def test_a_submitted_holder_keeps_its_slot_and_can_no_longer_be_given_up_or_taken_over(
    store: Store,
) -> None:
    with_limit(store, 1)
    job = claim(store)
    h = holder(job.id, 1)
    event = e.JobSubmitted(at=at(2), attempt=1, arn=ARN)
    store.commit(p.submitted(job, event, h))
    job = next_state(job, event)
    assert slots(store).holders[h].submitted
    with pytest.raises(ConditionFailed):
        give_up(store, job)
    with pytest.raises(ConditionFailed):
        store.commit(p.taken_over(MODEL, h, LEASE, Lease(owner="you", until=at(99))))
    assert list(slots(store).holders) == [h]


HOLD = Hold(kind="quota", message="full", since=at(2), until=at(60), ends=0)


def give_up(store: Store, job: Job, lease: Lease = LEASE, seen: Slots | None = None) -> Job:
    event = e.SubmissionRefused(at=at(2), attempt=1, kind="quota", message="full", taken=0)
    store.commit(p.given_up(job, event, holder(job.id, 1), lease, seen or slots(store), hold=HOLD))
    return next_state(job, event)


def test_giving_up_frees_the_slot_holds_the_model_and_gives_place_and_day_back(
    store: Store,
) -> None:
    with_limit(store, 1)
    job = claim(store)
    assert slots(store).day.jobs == 1
    refused = give_up(store, job)
    assert (
        slots(store).holders,
        slots(store).refused,
        slots(store).day.jobs,
        slots(store).day.records,
    ) == ({}, HOLD, 0, 0)
    assert (refused.status, store.line(MODEL, 5), store.job(job.id)) == (
        "Queued",
        [job.id],
        refused,
    )
    assert store.waiting(MODEL) == {"jobs": 1, "records": 100}


def test_on_hold_a_claim_passes_only_as_the_hold_was_read_and_moves_it_on(store: Store) -> None:
    with_limit(store, 3)
    before = slots(store)
    give_up(store, claim(store))
    for version in ("v2", "v3"):
        store.append(id_of(version=version), None, queued(version=version))
        store.commit(p.projected(None, store.job(id_of(version=version)) or life()))
    job = store.job(id_of(version="v2"))
    assert job
    event = slot_claimed(job.id)
    with pytest.raises(ConditionFailed):  # it was read before there was a hold
        store.commit(
            p.claimed(job, event, holder(job.id, 1), LEASE, replace(before, day=slots(store).day))
        )
    on_hold = slots(store)
    store.commit(p.claimed(job, event, holder(job.id, 1), LEASE, on_hold))
    assert slots(store).refused == probed(HOLD, 0, event.at)
    other = store.job(id_of(version="v3"))
    assert other
    seen = replace(on_hold, day=slots(store).day)
    with pytest.raises(ConditionFailed):  # the hold has been moved on: one probe at a time
        store.commit(p.claimed(other, slot_claimed(other.id), holder(other.id, 1), LEASE, seen))


def test_a_job_that_is_taken_lifts_the_hold_and_is_counted(store: Store) -> None:
    with_limit(store, 2)
    first, second = claim(store, "v1"), claim(store, "v2")
    give_up(store, first)
    submit(store, second)
    assert (slots(store).refused, slots(store).taken) == (None, 1)


def test_giving_up_fails_when_the_hold_has_changed_since_it_was_read(store: Store) -> None:
    with_limit(store, 2)
    first, second = claim(store, "v1"), claim(store, "v2")
    seen = slots(store)
    give_up(store, first)
    with pytest.raises(ConditionFailed):
        give_up(store, second, seen=seen)
    assert give_up(store, second).status == "Queued"


def test_a_reason_to_ask_again_is_counted_and_so_is_every_change_of_the_model(store: Store) -> None:
    with_limit(store, 2)
    store.commit(p.reason_to_ask(MODEL))
    store.commit(
        p.model_changed(slots(store), Slots(model=MODEL, limit=3, model_version=2), resumed=False)
    )
    assert slots(store).ends == 2


def test_a_resume_takes_the_holds_away(store: Store) -> None:
    with_limit(store, 2)
    held = replace(
        slots(store),
        refused=HOLD,
        failing=replace(HOLD, kind=FAILING),
        failures=3,
        failed_late=True,
    )
    store.commit([Put(rows.slots_row(held))])
    assert slots(store) == held
    store.commit(p.model_changed(held, Slots(model=MODEL, limit=2, model_version=2), resumed=False))
    assert len(slots(store).holds) == 2
    store.commit(p.model_changed(held, Slots(model=MODEL, limit=2, model_version=3), resumed=True))
    assert (slots(store).holds, slots(store).failures, slots(store).failed_late) == ((), 0, False)


def test_failures_in_a_row_are_counted_once_each_and_the_third_holds_the_model(
    store: Store,
) -> None:
    with_limit(store, 9)
    failing = end_of("Failed", message="no right", processed_records=0)
    jobs = [run(store, f"v{number}") for number in range(4)]
    seen = slots(store)
    end(store, jobs[0], failing)
    with pytest.raises(ConditionFailed):  # another was counted since
        end(store, jobs[1], failing, seen)
    end(store, jobs[1], failing)
    assert (slots(store).failures, slots(store).failing) == (2, None)
    end(store, jobs[2], failing)
    held = slots(store)
    assert held.failing is not None
    assert (held.failures, held.failing.ends, held.failing.is_open(held.ends, at(9))) == (
        3,
        held.ends,
        False,
    )
    end(store, jobs[3], end_of())
    # it was claimed before the first of them failed
    assert (slots(store).failing, slots(store).good_ends) == (held.failing, 0)
    end(store, replace(run(store, "v4"), claimed_at=at(10)), end_of())
    assert (slots(store).failing, slots(store).failures, slots(store).good_ends) == (None, 0, 1)


@pytest.mark.parametrize("late", [False, True])
def test_a_job_in_progress_ends_the_row_unless_one_of_it_had_got_so_far(
    store: Store, late: bool
) -> None:
    with_limit(store, 9)
    end(store, run(store, "v1"), end_of("Failed", processed_records=0, started=late))
    job = replace(run(store, "v2"), claimed_at=at(10))
    store.commit(
        p.begun(job, e.JobProgressed(at=at(9), attempt=1, status="InProgress"), slots(store))
    )
    assert slots(store).failures == (1 if late else 0)


def test_who_read_an_earlier_row_of_failures_does_not_end_the_next_one(store: Store) -> None:
    with_limit(store, 9)
    failing = end_of("Failed", processed_records=0)
    end(store, run(store, "v1"), failing)
    earlier = slots(store)
    store.commit(p.gone_well(earlier))
    end(store, run(store, "v2"), replace(failing, at=at(20)))
    job = replace(run(store, "v3"), claimed_at=at(10))
    with pytest.raises(ConditionFailed):
        store.commit(p.gone_well(earlier))
    with pytest.raises(ConditionFailed):
        store.commit(
            p.begun(job, e.JobProgressed(at=at(21), attempt=1, status="InProgress"), earlier)
        )
    assert slots(store).failures == 1


def test_giving_up_is_for_the_owner_only(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    with pytest.raises(ConditionFailed):
        give_up(store, job, lease=Lease(owner="somebody else", until=at(60)))


def test_giving_up_fails_when_a_newer_event_came(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    store.append(job.id, job, e.CancelRequested(at=at(3), by="ann", why=""))
    with pytest.raises(ConditionFailed):
        give_up(store, job)


def test_a_lease_is_taken_over_only_as_it_was_read(store: Store) -> None:
    with_limit(store, 1)
    h = holder(claim(store).id, 1)
    new = Lease(owner="you", until=at(300))
    with pytest.raises(ConditionFailed):
        store.commit(
            p.taken_over(MODEL, h, replace(LEASE, until=LEASE.until + timedelta(seconds=1)), new)
        )
    store.commit(p.taken_over(MODEL, h, LEASE, new))
    with pytest.raises(ConditionFailed):
        store.commit(p.taken_over(MODEL, h, LEASE, new))
    assert slots(store).holders == {h: new}


def test_an_end_without_bedrock_is_for_the_owner_of_the_lease(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    with pytest.raises(ConditionFailed):
        store.commit(
            p.over_without_bedrock(
                job, end_of("Failed", None), holder(job.id, 1), Lease(owner="other", until=at(1))
            )
        )
    store.commit(p.over_without_bedrock(job, end_of("Failed", None), holder(job.id, 1), LEASE))
    assert (slots(store).holders, slots(store).ends) == ({}, 1)


def test_a_requeue_that_is_not_projected_yet_is_not_claimed(store: Store) -> None:
    """The line may have been read long ago, before its first attempt: the counts do not know that
    it waits again.
    """
    with_limit(store, 1)
    job = claim(store)
    failed = end_of("Failed", None)
    store.commit(p.over_without_bedrock(job, failed, holder(job.id, 1), LEASE))
    store.append(
        job.id, store.job(job.id), e.JobRequeued(at=at(10), attempt=1, by="ann", why="mended")
    )
    again = store.job(job.id)
    assert again
    second = e.SlotClaimed(at=at(11), attempt=1, model_id="m", job_name="n")
    writes = p.claimed(again, second, holder(job.id, 1), LEASE, slots(store))
    cancelled = p.left_line(again, e.JobCancelled(at=at(11)))
    for early in (writes, cancelled):
        with pytest.raises(ConditionFailed):
            store.commit(early)
    seen = evolve(job.id, job, failed)
    store.commit(p.projected(seen, again))
    assert store.waiting(MODEL) == {"jobs": 1, "records": again.record_count}
    store.commit(writes)
    assert store.waiting(MODEL) == {}
    assert store.day(MODEL, "2026-11-23") == {}


def test_a_job_whose_view_was_lost_is_claimed_all_the_same(store: Store) -> None:
    with_limit(store, 1)
    store.append(id_of(), None, queued())
    job = store.job(id_of())
    assert job
    store.commit(p.claimed(job, slot_claimed(id_of()), holder(job.id, 1), LEASE, slots(store)))
    assert store.view_version(job.id) == 2


def test_a_submission_that_was_thought_refused_takes_its_slot_even_beyond_the_limit(
    store: Store,
) -> None:
    with_limit(store, 1)
    job = give_up(store, claim(store, "v1"))
    claim(store, "v2")
    event = e.JobSubmitted(at=at(5), attempt=1, arn=ARN, found=True)
    store.commit(p.submitted(job, event, holder(job.id, 1)))
    hold = slots(store).refused
    # it may have been taken before Bedrock began to refuse; but a probe may ask
    assert hold is not None
    assert (len(slots(store).holders), hold.is_open(slots(store).ends, at(5))) == (2, True)
    assert (store.line(MODEL, 5), store.waiting(MODEL)) == ([], {})


def test_a_requeued_job_comes_back_to_its_own_place(store: Store, tables: Tables) -> None:
    with_limit(store, 1)
    entry = rows.line_row(job := run(store))
    job = end(store, job, end_of("Expired", processed_records=0))
    again = e.JobRequeued(at=at(10), attempt=1, by="policy", why="expired")
    store.commit(p.appended(job, again))
    (row,) = tables.query(LineRow, rows.line_pk(MODEL))
    assert (row.sk, row.job) == (entry.sk, job.id)


def test_a_cancelled_waiting_job_leaves_the_line(store: Store) -> None:
    store.append(id_of(), None, queued())
    job = store.job(id_of())
    assert job
    store.commit(p.projected(None, job))
    event = e.JobCancelled(at=at(3))
    store.commit(p.left_line(job, event))
    assert store.line(MODEL, 5) == []


def test_half_of_a_transaction_is_never_written(store: Store, tables: Tables) -> None:
    job = life()
    store.append(job.id, None, queued())
    event = slot_claimed(job.id)
    with pytest.raises(ConditionFailed):
        store.commit(p.claimed(job, event, holder(job.id, 1), LEASE, Slots(model=MODEL, limit=9)))
    assert len(tables.query(EventRow, job_stream(job.id))) == 1
    assert tables.get(ViewRow, rows.view_pk(job.id), "view") is None
