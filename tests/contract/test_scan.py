"""One contract for both readers of all keys: on DynamoDB (moto) and in memory."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import Any, NamedTuple

import boto3
import pytest
from moto import mock_aws

from bbq.cli.expected import paused_item, rebuilt_slots, rebuilt_view, removed_ghost
from bbq.cli.repair import rebuild, verify
from bbq.cli.scan import DynamoReader, Key, Reader, RepairContext
from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.events import LimitSet
from bbq.shared.hold import Hold
from bbq.shared.memory import MemoryTables
from bbq.shared.names import holder, job_stream
from bbq.shared.slots import AT_BEDROCK, Lease, Slots
from bbq.shared.store import Store
from bbq.shared.tables import (
    EVENTS,
    PROJECTIONS,
    ConditionFailed,
    Delete,
    LineRow,
    Put,
    SlotsRow,
    Tables,
    ViewRow,
)
from tests.support.reader import MemoryReader
from tests.support.samples import MODEL, at, id_of, life, queued, slot_claimed
from tests.support.tables import REGION, create_tables
from tests.support.world import FakeOutbox


class Both(NamedTuple):
    tables: Tables
    reader: Reader


@pytest.fixture(params=["memory", "dynamodb"])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    if request.param == "memory":
        memory = MemoryTables()
        yield Both(memory, MemoryReader(memory))
        return
    with mock_aws():
        create_tables(boto3.client("dynamodb", region_name=REGION), "bbq-events", "bbq-projections")
        names = {"events": "bbq-events", "projections": "bbq-projections"}
        yield Both(DynamoTables(names, REGION), DynamoReader(names, REGION, page_items=3))


def everything(reader: Reader, table: str) -> list[list[Key]]:
    return [list(page.keys) for page in reader.pages(table)]


def filled(tables: Tables, jobs: int) -> Store:
    store = Store(tables, sleep=lambda _: None)
    for number in range(jobs):
        version = f"v{number}"
        job_id = id_of(version=version)
        store.append(job_id, None, queued(version=version))
        store.append(job_id, store.job(job_id), slot_claimed(job_id))
        job = store.job(job_id)
        assert job
        store.commit(rebuilt_view(job, None, None))
    return store


def test_every_key_is_read_once_however_small_the_pages(both: Both) -> None:
    filled(both.tables, 5)
    streams = [job_stream(id_of(version=f"v{number}")) for number in range(5)]
    pages = everything(both.reader, EVENTS)
    assert len(pages) >= 4
    assert all(len(page) <= 3 for page in pages)
    keys = [key for page in pages for key in page]
    assert sorted(keys) == sorted((s, version) for s in streams for version in (1, 2))
    assert [stream for stream, _ in groupby(keys, key=lambda key: key[0])] == [
        stream for stream, _ in keys[::2]
    ]  # one after another
    views = [key for page in everything(both.reader, PROJECTIONS) for key in page]
    assert sorted(views) == sorted((stream, "view") for stream in streams)


def test_an_empty_table_is_one_empty_page(both: Both) -> None:
    assert everything(both.reader, EVENTS) == [[]]


def test_a_page_says_what_it_cost(both: Both) -> None:
    filled(both.tables, 3)
    assert all(page.read_units > 0 for page in both.reader.pages(EVENTS))


# --- the writes of the repair, on both stores


def test_a_view_is_rebuilt_only_as_it_was_seen_and_while_no_newer_event_exists(both: Both) -> None:
    store = filled(both.tables, 0)
    job = life()
    store.append(job.id, None, queued())
    store.commit(rebuilt_view(job, None, None))
    assert store.line(MODEL, 9) == [job.id]
    with pytest.raises(ConditionFailed):
        store.commit(rebuilt_view(job, None, None))
    view = both.tables.get(ViewRow, rows.view_pk(job.id), "view")
    store.commit(rebuilt_view(job, view, job))
    store.append(job.id, job, slot_claimed(job.id))
    with pytest.raises(ConditionFailed):
        store.commit(rebuilt_view(job, view, job))
    claimed = store.job(job.id)
    assert claimed
    store.commit(rebuilt_view(claimed, view, claimed))
    assert (store.line(MODEL, 9), store.view_version(job.id)) == ([], 2)
    with pytest.raises(ConditionFailed):
        store.commit(rebuilt_view(claimed, view, claimed))  # it was seen at version 1, and is at 2


def test_a_ghost_is_removed_only_while_no_event_gives_it_life(both: Both) -> None:
    store = filled(both.tables, 0)
    job = life()
    store.commit(p.projected(None, job))
    line = rows.line_row(job)
    store.append(job.id, None, queued())
    with pytest.raises(ConditionFailed):
        store.commit(removed_ghost(line, job.id, 0))
    store.commit(removed_ghost(line, job.id, 1))
    assert store.line(MODEL, 9) == []


def seen(both: Both) -> SlotsRow:
    row = both.tables.get(SlotsRow, rows.slots_pk(MODEL), "slots")
    assert row
    return row


AS_SEEN = Slots(
    model=MODEL,
    limit=2,
    paused=True,
    model_version=2,
    ends=3,
    holders={"a#1": Lease(owner="x", until=at(9))},
    refused=Hold(kind="quota", message="full", since=at(1), until=at(9), ends=2),
)
CHANGES: list[dict[str, Any]] = [
    {"limit": 3},
    {"paused": False},
    {"model_version": 3},
    {"ends": 4},
    {"taken": 1},
    {"holders": {}},
    {"refused": None},
    {"holders": {"a#1": Lease(owner="y", until=at(9))}},
    {"holders": {"a#1": AT_BEDROCK}},
    {"refused": Hold(kind="quota", message="full", since=at(1), until=at(9), ends=3)},
    {"failing": Hold(kind="failing", message="no right", since=at(1), until=at(9), ends=2)},
]


@pytest.mark.parametrize("change", CHANGES)
def test_slots_are_rebuilt_only_if_they_are_exactly_as_seen(
    both: Both, change: dict[str, Any]
) -> None:
    store = filled(both.tables, 0)
    store.commit([Put(rows.slots_row(AS_SEEN))])
    before = seen(both)
    store.commit(rebuilt_slots(before, replace(AS_SEEN, limit=9)))
    store.commit([Put(rows.slots_row(replace(AS_SEEN, **change)))])
    with pytest.raises(ConditionFailed):
        store.commit(rebuilt_slots(before, replace(AS_SEEN, limit=9)))
    assert store.slots(MODEL) == replace(AS_SEEN, **change)


def test_slots_that_are_not_paused_are_never_rebuilt(both: Both) -> None:
    store = filled(both.tables, 0)
    store.commit([Put(rows.slots_row(replace(AS_SEEN, paused=False)))])
    with pytest.raises(ConditionFailed):
        store.commit(rebuilt_slots(seen(both), AS_SEEN))


def test_missing_slots_are_made_only_while_they_are_missing(both: Both) -> None:
    store = filled(both.tables, 0)
    store.commit(rebuilt_slots(None, AS_SEEN))
    with pytest.raises(ConditionFailed):
        store.commit(rebuilt_slots(None, replace(AS_SEEN, limit=9)))
    assert store.slots(MODEL) == AS_SEEN


def test_a_pause_is_projected_by_a_repair_unless_the_model_has_changed(both: Both) -> None:
    store = filled(both.tables, 0)
    store.commit([Put(rows.slots_row(replace(AS_SEEN, paused=False, model_version=50)))])
    before = seen(both)
    store.commit(paused_item(before, AS_SEEN))
    assert store.slots(MODEL) == AS_SEEN
    with pytest.raises(ConditionFailed):
        store.commit(paused_item(before, AS_SEEN))


def test_the_scan_is_strongly_consistent() -> None:
    """In memory everything is; and moto does not show the difference."""
    asked: list[dict[str, Any]] = []
    with mock_aws():
        create_tables(boto3.client("dynamodb", region_name=REGION))
        reader = DynamoReader({"events": "events", "projections": "projections"}, REGION)
        note = lambda params, **_: asked.append(dict(params))  # noqa: E731 - what botocore calls
        reader._client.meta.events.register("provide-client-params.dynamodb.Scan", note)
        everything(reader, EVENTS)
    assert [call["ConsistentRead"] for call in asked] == [True]


def test_a_table_without_slots_and_views_is_rebuilt_from_its_events(both: Both) -> None:
    store = filled(both.tables, 3)
    store.append_to_model(MODEL, 1, LimitSet(at=at(0), limit=2))
    ids = [id_of(version=f"v{number}") for number in range(3)]
    both.tables.write([Delete(ViewRow(pk=rows.view_pk(ids[0]), sk="view"))])
    both.tables.write([Put(LineRow(pk=rows.line_pk(MODEL), sk=f"5#x#{ids[1]}", job=ids[1]))])
    outbox = FakeOutbox()
    context = RepairContext(
        tables=both.tables,
        reader=both.reader,
        hints=outbox,
        lease=timedelta(minutes=3),
        now=lambda: at(3600),
        sleep=lambda _: None,
        models=(MODEL,),
    )
    assert {(d.pk, d.expected is None) for d in verify(context).differences} == {
        (rows.view_pk(ids[0]), False),
        (rows.line_pk(MODEL), True),
        (rows.slots_pk(MODEL), False),
    }
    rebuilt = rebuild(context)
    assert (len(rebuilt.repaired), rebuilt.left) == (3, {})
    slots = store.slots(MODEL)
    assert slots
    assert (set(slots.holders), slots.limit, slots.paused) == (
        {holder(job, 1) for job in ids},
        2,
        True,
    )
    assert [r.event.NAME for r in store.load(f"model#{MODEL}")] == [
        "limit-set",
        "model-paused",
        "model-resumed",
    ]
    # until a scheduler projects the resume
    assert {d.field for d in verify(context).differences} == {"paused", "model_version"}
    assert {("job", job) for job in ids} <= set(outbox.sent)
