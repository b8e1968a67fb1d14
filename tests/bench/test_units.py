"""What a read or write costs, against cases worked out by hand from DynamoDB's rules."""

from typing import Any

import pytest

from bbq.shared import appends, projections, rows
from bbq.shared.events import LimitSet
from bbq.shared.job import evolve
from bbq.shared.memory import MemoryTables
from bbq.shared.names import job_stream
from bbq.shared.tables import (
    Check,
    ConditionFailed,
    CountRow,
    Delete,
    EventRow,
    LineRow,
    Put,
    Update,
    ViewRow,
)
from bench.units import CountingTables, index_units, item_bytes, read_units, write_units
from tests.support.samples import MODEL, T0, id_of, queued


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"a": {"S": "xyz"}}, 1 + 3),
        ({"a": {"S": "é"}}, 1 + 2),  # in UTF-8
        ({"ab": {"N": "5"}}, 2 + 2),  # a byte for two digits, and one more
        ({"ab": {"N": "12345"}}, 2 + 4),
        ({"ab": {"N": "-12"}}, 2 + 3),
        ({"ab": {"N": "1000000"}}, 2 + 2),  # only the significant ones
        ({"ab": {"N": "0"}}, 2 + 1),
        ({"ok": {"BOOL": True}}, 2 + 1),
        ({"no": {"NULL": True}}, 2 + 1),
        ({"m": {"M": {}}}, 1 + 3),
        ({"m": {"M": {"k": {"S": "v"}, "n": {"BOOL": False}}}}, 1 + 3 + (1 + 1 + 1) + (1 + 1 + 1)),
        ({"l": {"L": [{"S": "ab"}, {"N": "7"}]}}, 1 + 3 + (1 + 2) + (1 + 2)),
    ],
)
def test_the_size_of_an_item_is_its_names_and_values(item: dict[str, Any], size: int) -> None:
    assert item_bytes(item) == size


def of(size: int, **more: Any) -> dict[str, Any]:
    """An item of so many bytes, and more."""
    return {"a": {"S": "x" * (size - 1)}, **more}


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, of(1), 1),
        (None, of(1024), 1),
        (None, of(1025), 2),
        (of(3000), of(1), 3),
        (of(1), of(3000), 3),
        (of(2049), None, 3),
        (None, None, 1),
    ],
)
def test_a_write_costs_a_unit_for_each_kb_of_the_larger_item(
    before: Any, after: Any, units: int
) -> None:
    assert write_units(before, after) == units


KEYS = {"status_key": {"S": "haiku#Queued"}, "queued_at": {"S": "now"}}
MOVED = {**KEYS, "status_key": {"S": "haiku#Claimed"}}


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, of(10, **KEYS), 1),
        (None, of(2000, **KEYS), 2),
        (None, of(10), 0),
        (of(10), of(20, queued_at={"S": "now"}), 0),
        (of(10, **KEYS), of(20, **KEYS), 1),
        (of(10, **KEYS), of(10, **KEYS), 0),
        (of(10, **KEYS), of(10, **MOVED), 2),
        (of(1500, **KEYS), of(10, **MOVED), 3),
        (of(10, **KEYS), None, 1),
    ],
)
def test_the_index_costs_what_changes_in_it_and_twice_where_its_key_does(
    before: Any, after: Any, units: int
) -> None:
    assert index_units(before, after).total() == units


def test_a_read_costs_a_unit_for_each_4_kb_of_all_that_it_reads() -> None:
    assert [read_units(sizes) for sizes in ([], [1], [4096], [4097], [2000, 2096], [4000] * 3)] == [
        1,
        1,
        1,
        2,
        1,
        3,
    ]


def test_the_index_has_a_partition_of_each_status() -> None:
    assert index_units(None, of(10, **KEYS)) == {"Queued": 1}
    assert index_units(of(1500, **KEYS), of(10, **MOVED)) == {"Queued": 2, "Claimed": 1}
    assert index_units(of(10, **KEYS), of(1500, **KEYS)) == {"Queued": 2}


@pytest.fixture
def tables() -> CountingTables:
    return CountingTables(MemoryTables())


def test_a_put_alone_costs_its_size_and_a_transaction_twice_and_the_index_once(
    tables: CountingTables,
) -> None:
    job, event = id_of(), queued()
    state = evolve(job, None, event)
    tables.write([appends.append(state, event)])
    assert (dict(tables.requests), dict(tables.units)) == ({"PutItem": 1}, {"write": 1, "index": 0})
    # the view, its entry in the index, the place in line, the count
    tables.write(projections.projected(None, state))
    assert tables.requests["TransactWriteItems"] == 1
    assert dict(tables.units) == {"write": 1 + 2 * 3, "index": 1}


def test_a_write_that_fails_costs_as_much_and_changes_nothing(tables: CountingTables) -> None:
    state = evolve(id_of(), None, queued())
    tables.write([appends.append(state, queued())])
    with pytest.raises(ConditionFailed):
        tables.write([appends.append(state, queued()), Put(rows.view_row(state))])
    assert tables.units["write"] == 1 + 2 * 2
    assert tables.units["index"] == 0
    assert tables.get(ViewRow, rows.view_pk(id_of()), rows.VIEW_KEY) is None


def test_a_delete_of_nothing_an_update_and_a_check_cost_too(tables: CountingTables) -> None:
    place, count = (
        LineRow(pk="line#haiku", sk="5#now#x", job="x"),
        CountRow(pk="counts#haiku", sk="waiting#0"),
    )
    free = Check(EventRow(stream=job_stream("x"), version=2), EventRow.stream.does_not_exist())
    tables.write([Delete(place), Update(count, [CountRow.changes.add(1)]), free])
    assert dict(tables.units) == {"write": 2 * 3, "index": 0}
    tables.write([Update(count, [CountRow.changes.add(1)])])
    assert tables.requests["UpdateItem"] == 1
    assert tables.units["write"] == 2 * 3 + 1


def test_reads_are_counted_by_what_is_there_and_see_what_others_wrote() -> None:
    shared = MemoryTables()
    tables = CountingTables(shared)
    shared.write(
        [
            Put(LineRow(pk=f"line#{MODEL}", sk=f"5#{number:03d}", job="x" * 1000))
            for number in range(9)
        ]
    )
    assert tables.get(LineRow, f"line#{MODEL}", "nothing") is None
    assert tables.units["read"] == 1
    assert len(tables.query(LineRow, f"line#{MODEL}")) == 9
    assert tables.units["read"] == 1 + 3
    assert len(tables.query(LineRow, f"line#{MODEL}", limit=2)) == 2
    assert tables.units["read"] == 1 + 3 + 1
    assert dict(tables.requests) == {"GetItem": 1, "Query": 2}


def test_a_kind_of_row_is_counted_by_its_kilobytes_and_twice_in_a_transaction(
    tables: CountingTables,
) -> None:
    small, large = (
        LineRow(pk="line#m", sk="5#a", job="a"),
        LineRow(pk="line#m", sk="5#b", job="b" * 1500),
    )
    tables.write([Put(small)])
    counted = tables.by_kind
    assert (counted["write_units"], counted["transactions"]) == ({"line": 1}, {})
    tables.write([Put(large), appends.append_to_model("m", 1, LimitSet(at=T0, limit=1))])
    assert counted["write_units"] == {"line": 1 + 2 * 2, "events": 2}
    assert counted["transactions"] == {"line": 1, "events": 1}
    tables.write([Delete(large)])  # what is deleted counts as large as it was
    assert (counted["write_units"]["line"], counted["writes"]["line"]) == (1 + 4 + 2, 3)
    tables.query(LineRow, "line#m")
    assert counted["reads"] == {"line": 1}
    state = evolve(id_of(), None, queued())
    tables.write([Put(rows.view_row(state))])
    assert counted["index_units"] == {"Queued": 1}
