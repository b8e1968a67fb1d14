"""One contract for both stores: what `Tables` promises, on DynamoDB (moto) and in memory."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import boto3
import pytest
from moto import mock_aws

from shared import events as e
from shared import projections as p
from shared.dynamodb import DynamoTables
from shared.job import Job, evolve
from shared.memory import MemoryTables
from shared.names import holder, job_stream
from shared.slots import AT_BEDROCK, NO_DAY, UNBOUNDED, Ceiling, Day, Lease, Refusal, Slots, leased
from shared.store import Store, VersionTaken
from shared.tables import ConditionFailed, CountRow, EventRow, LineRow, Put, SlotsRow, Tables, ViewRow
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


def with_limit(store: Store, limit: int, *, paused: bool = False) -> None:
    store.commit(p.model_changed(None, Slots(model=MODEL, limit=limit, paused=paused, model_version=1)))


def claim(store: Store, version: str = "v1", lease: Lease = LEASE, ceiling: Ceiling = UNBOUNDED) -> Job:
    """Queue, project and claim an upload; the job after it."""
    key = "to-process/haiku/a.jsonl"
    store.append(id_of(key, version), None, queued(key, version))
    job = store.job(id_of(key, version))
    assert job
    store.commit(p.projected(None, job))
    event, seen = slot_claimed(job.id), store.slots(MODEL)
    store.commit(p.claimed(job, event, holder(job.id, 1), lease, seen=seen.day if seen else NO_DAY, ceiling=ceiling))
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
        store.append(id_of("k", version), None, queued("k", version, priority=priority, seconds=int(version[1])))
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
        end = e.JobEnded(at=at(9), attempt=1, status="Expired", message="", arn=None)
        store.commit(p.released(job, end, holder(job.id, 1)))
    day = e.text_of(at(9))[:10]
    assert store.day(MODEL, day) == {"Expired": 5, "records": 500}
    over = next_state(jobs[0], e.JobEnded(at=at(9), attempt=1, status="Expired", message="", arn=None))
    store.commit(p.appended(over, e.JobRequeued(at=at(10), attempt=1, by="ann", why="")))
    assert (store.day(MODEL, day), store.waiting(MODEL)) == ({"Expired": 4, "records": 400}, {"jobs": 1, "records": 100})


def test_a_count_is_rewritten_only_as_it_was_seen(store: Store, tables: Tables) -> None:
    with_limit(store, 0)
    store.append(id_of(), None, queued())
    store.commit(p.projected(None, life()))
    (row,) = tables.query(CountRow, f"counts#{MODEL}")
    store.commit(p.recounted(row, row.pk, row.sk, {"jobs": 7}))
    with pytest.raises(ConditionFailed):
        store.commit(p.recounted(row, row.pk, row.sk, {"jobs": 8}))
    with pytest.raises(ConditionFailed):
        store.commit(p.recounted(None, row.pk, row.sk, {"jobs": 8}))
    assert store.waiting(MODEL) == {"jobs": 7}


def test_projecting_an_older_reading_changes_nothing(store: Store, tables: Tables) -> None:
    with_limit(store, 1)
    job = claim(store)
    before = store.job(job.id)
    with pytest.raises(ConditionFailed):
        store.commit(p.projected(None, life()))
    assert store.job(job.id) == before
    assert store.line(MODEL, 5) == []
    view = tables.get(ViewRow, p.view_pk(job.id), "view")
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
    assert (second.status, store.view_version(second.id), store.line(MODEL, 5)) == ("Queued", 1, [second.id])
    assert list(slots(store).holders) == [holder(first.id, 1)]


@pytest.mark.parametrize(("limit", "paused"), [(0, False), (5, True)])
def test_no_claim_passes_at_limit_zero_or_on_a_paused_model(store: Store, limit: int, paused: bool) -> None:
    with_limit(store, limit, paused=paused)
    with pytest.raises(ConditionFailed):
        claim(store)


def test_no_claim_passes_before_the_first_limit_was_set(store: Store) -> None:
    with pytest.raises(ConditionFailed):
        claim(store)


@pytest.mark.parametrize("ceiling", [Ceiling(jobs=2), Ceiling(records=250), Ceiling(jobs=2, records=250)])
def test_a_day_takes_as_much_as_its_ceiling_and_counts_what_it_took(store: Store, ceiling: Ceiling) -> None:
    with_limit(store, 9)
    for version in ("v1", "v2"):
        claim(store, version, ceiling=ceiling)
    with pytest.raises(ConditionFailed):
        claim(store, "v3", ceiling=ceiling)
    assert slots(store).day == Day(date="2026-11-23", jobs=2, records=200)


@pytest.mark.parametrize("seen", [NO_DAY, Day(date="2026-11-22", jobs=1, records=100)])
def test_a_day_is_begun_once(store: Store, seen: Day) -> None:
    """Two invocations read the slots before midnight and claim after it: the second must read again, or it would begin anew."""
    with_limit(store, 9)
    store.commit([Put(p.slots_row(replace(slots(store), day=seen)))])
    for version, passes in (("v1", True), ("v2", False)):
        store.append(id_of(version=version), None, queued(version=version))
        job = store.job(id_of(version=version))
        assert job
        writes = p.claimed(job, slot_claimed(job.id), holder(job.id, 1), LEASE, seen=seen, ceiling=Ceiling(jobs=1))
        with nullcontext() if passes else pytest.raises(ConditionFailed):
            store.commit(writes)
    assert slots(store).day == Day(date="2026-11-23", jobs=1, records=100)


def test_slots_that_became_empty_again_still_count_as_empty(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    end = e.JobEnded(at=at(9), attempt=1, status="Completed", message="", arn=ARN)
    store.commit(p.released(job, end, holder(job.id, 1)))
    assert slots(store).holders == {}
    assert claim(store, "v2").status == "Claimed"


def test_a_lowered_limit_admits_nobody_until_enough_have_left(store: Store) -> None:
    with_limit(store, 2)
    claim(store, "v1")
    claim(store, "v2")
    store.commit(p.model_changed(slots(store), Slots(model=MODEL, limit=1, model_version=2)))
    with pytest.raises(ConditionFailed):
        claim(store, "v3")


def test_an_older_reading_of_the_model_never_overwrites_a_newer(store: Store) -> None:
    with_limit(store, 2)
    old = slots(store)
    store.commit(p.model_changed(old, Slots(model=MODEL, limit=5, model_version=3)))
    with pytest.raises(ConditionFailed):
        store.commit(p.model_changed(old, Slots(model=MODEL, limit=9, model_version=2)))
    with pytest.raises(ConditionFailed):
        store.commit(p.model_changed(None, Slots(model=MODEL, limit=9, model_version=1)))
    assert (slots(store).limit, slots(store).model_version) == (5, 3)


def test_a_submitted_holder_keeps_its_slot_and_can_no_longer_be_given_up_or_taken_over(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    h = holder(job.id, 1)
    event = e.JobSubmitted(at=at(2), attempt=1, arn=ARN)
    store.commit(p.submitted(job, event, h))
    job = next_state(job, event)
    assert slots(store).holders[h].submitted
    refusal = Refusal(kind="quota", since=at(2), retry_at=at(60))
    with pytest.raises(ConditionFailed):
        store.commit(p.given_up(job, None, holder=h, lease=LEASE, refusal=refusal, ends=None))
    with pytest.raises(ConditionFailed):
        store.commit(p.taken_over(MODEL, h, LEASE, Lease(owner="you", until=at(99))))
    assert list(slots(store).holders) == [h]


def hand_over(store: Store, ended: Job, version: str) -> Job:
    """The next upload is queued, and claimed with the end of `ended`; the job after it."""
    key = "to-process/haiku/a.jsonl"
    store.append(id_of(key, version), None, queued(key, version))
    job = store.job(id_of(key, version))
    assert job
    store.commit(p.projected(None, job))
    end = e.JobEnded(at=at(9), attempt=1, status="Completed", message="", arn=ended.arn)
    ending, event = p.Ending(ended, end, holder(ended.id, 1)), slot_claimed(job.id)
    store.commit(p.claimed(job, event, holder(job.id, 1), LEASE, seen=slots(store).day, ending=ending))
    return next_state(job, event)


def running(store: Store, version: str) -> Job:
    job = claim(store, version)
    event = e.JobSubmitted(at=at(1), attempt=1, arn=f"arn:{version}", found=False)
    store.commit(p.submitted(job, event, holder(job.id, 1)))
    return next_state(job, event)


def test_an_end_and_the_claim_of_its_slot_are_written_together(store: Store) -> None:
    with_limit(store, 1)
    ended = running(store, "v1")
    job = hand_over(store, ended, "v2")
    assert (slots(store).holders, slots(store).ends, slots(store).day.jobs) == ({holder(job.id, 1): LEASE}, 1, 2)
    assert [found.status for found in (store.job(ended.id), store.job(job.id)) if found] == ["Completed", "Claimed"]
    assert (store.view_version(ended.id), store.line(MODEL, 9)) == (4, [])


@pytest.mark.parametrize("why", ["limit", "pause", "nobody leaves", "ended already"])
def test_a_slot_that_does_not_stay_is_not_handed_over_and_neither_half_is_written(store: Store, why: str) -> None:
    with_limit(store, 2)
    ended, other = running(store, "v1"), running(store, "v2")
    if why in {"limit", "pause"}:
        now = replace(slots(store), limit=1 if why == "limit" else 2, paused=why == "pause", model_version=2)
        store.commit(p.model_changed(slots(store), now))
    elif why == "nobody leaves":
        store.commit([Put(p.slots_row(replace(slots(store), holders={holder(other.id, 1): AT_BEDROCK})), None)])
    else:
        end = e.JobEnded(at=at(8), attempt=1, status="Stopped", message="", arn=ended.arn)
        store.commit(p.released(ended, end, holder(ended.id, 1)))
    before = slots(store)
    with pytest.raises(ConditionFailed):
        hand_over(store, ended, "v3")
    assert slots(store) == before
    assert store.line(MODEL, 9) == [id_of("to-process/haiku/a.jsonl", "v3")]
    assert [found.version for found in (store.job(ended.id), store.job(id_of("to-process/haiku/a.jsonl", "v3"))) if found] == [
        4 if why == "ended already" else 3, 1,
    ]  # fmt: skip


def give_up(store: Store, job: Job, lease: Lease = LEASE, ends: int = 0) -> Job:
    refusal = Refusal(kind="quota", since=at(2), retry_at=at(60))
    event = e.SubmissionRefused(at=at(2), attempt=1, kind="quota", message="full", retry_at=at(60))
    store.commit(p.given_up(job, event, holder=holder(job.id, 1), lease=lease, refusal=refusal, ends=ends))
    return next_state(job, event)


def test_giving_up_frees_the_slot_and_taking_needs_room_again(store: Store) -> None:
    with_limit(store, 1)
    refused = give_up(store, claim(store, "v1"))
    h = holder(refused.id, 1)
    assert (slots(store).holders, list(slots(store).refused)) == ({}, [h])
    other = claim(store, "v2")
    again = leased("again", at(120), at(1), slots(store).refused[h])
    with pytest.raises(ConditionFailed):
        store.commit(p.taken(MODEL, h, again))
    end = e.JobEnded(at=at(9), attempt=1, status="Failed", message="", arn=None)
    store.commit(p.released(other, end, holder(other.id, 1)))
    store.commit(p.taken(MODEL, h, again))
    assert (slots(store).holders, slots(store).refused) == ({h: again}, {})
    with pytest.raises(ConditionFailed):
        store.commit(p.taken(MODEL, h, again))


@pytest.mark.parametrize("change", ["limit", "pause"])
def test_a_refused_holder_is_not_taken_on_a_lowered_limit_or_a_paused_model(store: Store, change: str) -> None:
    with_limit(store, 1)
    refused = give_up(store, claim(store))
    now = replace(slots(store), limit=0 if change == "limit" else 1, paused=change == "pause", model_version=2)
    store.commit(p.model_changed(slots(store), now))
    with pytest.raises(ConditionFailed):
        store.commit(p.taken(MODEL, holder(refused.id, 1), LEASE))


def test_giving_up_fails_when_a_job_ended_meanwhile(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    store.commit(p.foreign_end(MODEL))
    assert slots(store).ends == 1
    with pytest.raises(ConditionFailed):
        give_up(store, job, ends=0)
    assert give_up(store, job, ends=1).status == "Held"


def test_giving_up_is_for_the_owner_only(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    with pytest.raises(ConditionFailed):
        give_up(store, job, lease=Lease(owner="somebody else", until=at(60)))


def test_giving_up_without_an_event_fails_when_a_newer_event_came(store: Store) -> None:
    with_limit(store, 1)
    job = claim(store)
    store.append(job.id, job, e.CancelRequested(at=at(3), by="ann", why=""))
    refusal = Refusal(kind="quota", since=at(2), retry_at=at(60))
    with pytest.raises(ConditionFailed):
        store.commit(p.given_up(job, None, holder=holder(job.id, 1), lease=LEASE, refusal=refusal, ends=0))
    cancelled = store.job(job.id)
    assert cancelled
    store.commit(p.given_up(cancelled, None, holder=holder(job.id, 1), lease=LEASE, refusal=refusal, ends=0))


def test_a_lease_is_taken_over_only_as_it_was_read(store: Store) -> None:
    with_limit(store, 1)
    h = holder(claim(store).id, 1)
    new = Lease(owner="you", until=at(300))
    with pytest.raises(ConditionFailed):
        store.commit(p.taken_over(MODEL, h, replace(LEASE, until=LEASE.until + timedelta(seconds=1)), new))
    store.commit(p.taken_over(MODEL, h, LEASE, new))
    with pytest.raises(ConditionFailed):
        store.commit(p.taken_over(MODEL, h, LEASE, new))
    assert slots(store).holders == {h: new}


def test_an_end_on_condition_of_the_refusal_spares_a_holder_that_was_taken(store: Store) -> None:
    with_limit(store, 1)
    job = give_up(store, claim(store))
    h = holder(job.id, 1)
    store.commit(p.taken(MODEL, h, LEASE))
    end = e.JobEnded(at=at(9), attempt=1, status="Failed", message="refused", arn=None)
    with pytest.raises(ConditionFailed):
        store.commit(p.released(job, end, h, refused=True))
    with pytest.raises(ConditionFailed):
        store.commit(p.released(job, end, h, lease=Lease(owner="other", until=at(1))))
    store.commit(p.released(job, end, h, lease=LEASE))
    assert (slots(store).holders, slots(store).ends) == ({}, 1)


def test_a_requeue_that_is_not_projected_yet_is_not_claimed(store: Store) -> None:
    """The line may have been read long ago, before its first attempt: the counts do not know that it waits again."""
    with_limit(store, 1)
    job = claim(store)
    end = e.JobEnded(at=at(9), attempt=1, status="Failed", message="invalid", arn=None)
    store.commit(p.released(job, end, holder(job.id, 1), lease=LEASE))
    store.append(job.id, store.job(job.id), e.JobRequeued(at=at(10), attempt=1, by="ann", why="mended"))
    again = store.job(job.id)
    assert again
    second = e.SlotClaimed(at=at(11), attempt=2, model_id="m", job_name="n")
    writes = p.claimed(again, second, holder(job.id, 2), LEASE, seen=slots(store).day)
    cancelled = p.left_line(again, e.JobCancelled(at=at(11)))
    for early in (writes, cancelled):
        with pytest.raises(ConditionFailed):
            store.commit(early)
    seen = evolve(job.id, job, end)
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
    store.commit(p.claimed(job, slot_claimed(id_of()), holder(job.id, 1), LEASE))
    assert store.view_version(job.id) == 2


def test_a_submission_that_was_thought_refused_takes_its_slot_even_beyond_the_limit(store: Store) -> None:
    with_limit(store, 1)
    job = give_up(store, claim(store, "v1"))
    claim(store, "v2")
    event = e.JobSubmitted(at=at(5), attempt=1, arn=ARN, found=True)
    store.commit(p.submitted(job, event, holder(job.id, 1)))
    assert (len(slots(store).holders), slots(store).refused) == (2, {})


def test_a_refusal_that_was_passed_is_counted_once_for_what_was_read(store: Store) -> None:
    with_limit(store, 1)
    job = give_up(store, claim(store))
    h = holder(job.id, 1)
    seen = slots(store).refused[h]
    store.commit(p.passed(MODEL, h, seen, replace(seen, passed=1)))
    with pytest.raises(ConditionFailed):
        store.commit(p.passed(MODEL, h, seen, replace(seen, passed=1)))
    assert slots(store).refused[h].passed == 1


def test_a_requeued_job_comes_back_to_its_own_place(store: Store, tables: Tables) -> None:
    with_limit(store, 1)
    job = claim(store)
    (entry,) = [p.line_row(job)]
    end = e.JobEnded(at=at(9), attempt=1, status="Expired", message="", arn=ARN)
    store.commit(p.released(job, end, holder(job.id, 1)))
    job = next_state(job, end)
    again = e.JobRequeued(at=at(10), attempt=1, by="policy", why="expired")
    store.commit(p.appended(job, again))
    (row,) = tables.query(LineRow, p.line_pk(MODEL))
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
        store.commit(p.claimed(job, event, holder(job.id, 1), LEASE))
    assert len(tables.query(EventRow, job_stream(job.id))) == 1
    assert tables.get(ViewRow, p.view_pk(job.id), "view") is None
