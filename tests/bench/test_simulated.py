"""Our queue in simulation: every job takes as long as it was said to, in the line's order, and what
is measured is what happened.
"""

import re

import pytest

from bbq.shared.memory import MemoryTables
from bbq.shared.models import FIFO, LARGEST_FIRST
from bbq.shared.tables import Delete, LineRow, Put
from bench import order, scale, scheduling
from bench.long_tables import LongTables
from bench.simulated import STREAM_LANES, Burst, Unfinished
from bench.yardsticks import occupancy, refill_gaps
from local.bedrock_simulator.jobs import Inspection
from local.settings import ROOT
from tests.simulation.simulation import HINT_CONCURRENCY, UPLOAD_CONCURRENCY


def test_jobs_take_as_long_as_they_were_said_to_and_no_slot_is_used_twice() -> None:
    lengths = [600.0 + number for number in range(12)]
    spans = Burst("a", 3).run(lengths)
    assert [round(end - begin, 3) for begin, end in spans] == lengths
    assert max(held for _, held in occupancy(spans)) == 3


def test_the_line_is_the_order_in_which_jobs_begin() -> None:
    deployment = Burst("a", 2)
    spans = deployment.run([600.0] * 10)
    begins = [spans[number][0] for number in deployment.line()]
    # the first two find slots free, whoever is seen first
    later = [begin for begin in begins if begin > 600]
    assert (len(later), later) == (8, sorted(later))
    assert sorted(deployment.line()) == list(range(10))


def test_a_refill_takes_what_its_calls_take() -> None:
    """The bus, the queue, a write, an armed timer and half of Create."""
    gaps = refill_gaps(Burst("a", 2).run([600.0] * 20), 2)
    assert len(gaps) == 18
    assert 0.2 < min(gaps) < max(gaps) < 5


def test_the_same_seed_is_the_same_run() -> None:
    assert Burst("a", 2).run([600.0] * 6) == Burst("a", 2).run([600.0] * 6)


def test_a_function_that_was_not_asked_for_long_starts_anew() -> None:
    often, seldom = Burst("a", 1).run([120.0] * 10), Burst("a", 1).run([7200.0] * 10)
    assert sum(refill_gaps(seldom, 1)) > sum(refill_gaps(often, 1)) + 2


def test_transactions_that_meet_are_tried_again() -> None:
    deployment = Burst("a", 30)
    contended = 0
    write = deployment.sim_tables._write

    def counted(writes: object) -> None:
        nonlocal contended
        try:
            write(writes)  # type: ignore[arg-type] # as it is called
        except Exception as error:
            contended += "at it" in str(error)
            raise

    deployment.sim_tables._write = counted  # type: ignore[method-assign]
    spans = deployment.run([600.0] * 30)
    assert contended > 0
    assert len(spans) == 30


def test_a_run_that_did_not_complete_gives_no_figures() -> None:
    deployment = Burst("a", 1)
    deployment.put(0, 600.0)
    deployment._run_until(deployment.kernel.time + 100)
    deployment.pause("haiku")
    deployment.put(1, 600.0)
    with pytest.raises(Unfinished):
        deployment.finish()


def test_a_job_that_failed_gives_no_figures_either() -> None:
    deployment = Burst("a", 1)
    deployment.rules._inspect = lambda _: Inspection(problem="The role could not read the input.")
    with pytest.raises(Unfinished):
        deployment.run([600.0])


def test_batches_have_the_same_lengths_and_records_that_tell_of_them_as_much_as_was_said() -> None:
    alike, loosely = order.batch(500, 1.0, 0), order.batch(500, 0.5, 0)
    assert alike[0] == loosely[0]
    by_length = [records for _, records in sorted(zip(*alike, strict=True))]
    assert by_length == sorted(by_length)
    assert len(set(by_length)) > 50
    assert [records for _, records in sorted(zip(*loosely, strict=True))] != sorted(loosely[1])


def test_the_largest_jobs_begin_first_where_that_is_the_order() -> None:
    lengths, records = [600.0] * 9, [1, 2, 5, 10, 20, 50, 100, 200, 500]
    first, last = dict[int, int](), dict[int, int]()
    for spans, found in (
        (Burst("a", 1, LARGEST_FIRST).run(lengths, records), first),
        (Burst("a", 1, FIFO).run(lengths, records), last),
    ):
        found.update(enumerate(sorted(range(9), key=lambda number: spans[number][0])))
    began = [records[first[place]] for place in range(1, 9)]  # one of them found the slot free
    assert began == sorted(began, reverse=True)
    assert [last[place] for place in range(9)] != [first[place] for place in range(9)]


def test_constant_lengths_are_within_three_percent_and_the_same_each_time() -> None:
    cell = ("1 h", 20, 100)
    lengths = scheduling.lengths_of(cell)
    assert lengths == scheduling.lengths_of(cell)
    assert all(0.97 * 3600 <= length <= 1.03 * 3600 for length in lengths)
    assert len(set(lengths)) == 100


def test_long_tables_say_what_the_others_say() -> None:
    ours, theirs = LongTables(), MemoryTables()
    rows = [
        LineRow(pk="line#m", sk=f"5#{number % 7}#{number}", job=str(number)) for number in range(30)
    ]
    for tables in (ours, theirs):
        for row in rows:
            tables.write([Put(row)])
        tables.write([Put(rows[3]), Delete(rows[0]), Delete(LineRow(pk="line#m", sk="never"))])
    for limit in (0, 1, 5, 100):
        assert [row.sk for row in ours.query(LineRow, "line#m", limit=limit)] == [
            row.sk for row in theirs.query(LineRow, "line#m", limit=limit)
        ]
    with_prefix = [
        [row.sk for row in tables.query(LineRow, "line#m", limit=9, prefix="5#3")]
        for tables in (ours, theirs)
    ]
    assert with_prefix[0] == with_prefix[1] != []
    assert ours.log == []


def test_a_job_leaves_nothing_behind_and_everybody_is_served() -> None:
    deployment = scale.BusyModels(models=3, slots=2, waiting=4, tables=LongTables())
    before = deployment.items()
    for _ in range(60):
        deployment.turn()
    assert deployment.items() - before <= 3 * 8 * 2  # counts of days, by shard
    # streams: of models, and of jobs that wait or run
    assert len(deployment.tables._items["events"]) == 3 + 3 * 6
    assert deployment.bedrock.created == 6 + 60
    assert {len(running) for running in deployment.running.values()} == {2}


def test_growth_is_the_end_to_the_beginning() -> None:
    assert scale.growth([2.0] * 10 + [3.0] * 10) == 1.5
    assert scale.growth([2.0]) == 1


def test_concurrency_is_as_terraform_advises() -> None:
    """What is measured is an account of a thousand executions; a new one has ten, which the
    defaults fit.
    """
    text = (ROOT / "terraform" / "variables.tf").read_text()
    advised = re.findall(r"With a thousand: (\d+), (\d+) and (\d+)\.", text)
    assert advised == [tuple(map(str, (UPLOAD_CONCURRENCY, HINT_CONCURRENCY, STREAM_LANES)))]
