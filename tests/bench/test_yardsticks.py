"""The yardsticks against brute force on cases that are small enough, and against cases worked out
by hand.
"""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from bench.yardsticks import (
    CREATE_SECONDS,
    GET_SECONDS,
    Poller,
    ideal,
    lower_bound,
    makespan,
    measures,
    occupancy,
    polled,
    refill_gaps,
    utilisation,
)

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=7)
SLOTS = st.integers(1, 4)


def by_the_second(lengths: list[int], slots: int) -> list[tuple[int, int]]:
    """First come, first served, second by second: whoever is next begins as soon as a slot is
    free.
    """
    spans: list[tuple[int, int]] = []
    second = 0
    while len(spans) < len(lengths):
        while (
            len(spans) < len(lengths) and sum(begin <= second < end for begin, end in spans) < slots
        ):
            spans.append((second, second + lengths[len(spans)]))
        second += 1
    return spans


def best_makespan(lengths: list[int], slots: int) -> int:
    """The least of all ways to put the jobs into the slots."""
    ways = itertools.product(range(slots), repeat=len(lengths))
    return min(
        max(
            sum(length for length, slot in zip(lengths, way, strict=True) if slot == one)
            for one in range(slots)
        )
        for way in ways
    )


@given(LENGTHS, SLOTS)
def test_the_ideal_line_is_what_a_clock_says(lengths: list[int], slots: int) -> None:
    assert ideal(lengths, slots) == by_the_second(lengths, slots)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3))
def test_the_lower_bound_is_never_above_the_best_there_is(lengths: list[int], slots: int) -> None:
    best = best_makespan(lengths, slots)
    assert lower_bound(lengths, slots) <= best <= makespan(ideal(lengths, slots)) <= 2 * best


def test_the_lower_bound_is_the_work_or_the_longest_job() -> None:
    assert lower_bound([4, 4, 4], 2) == 6
    assert lower_bound([9, 1, 1], 2) == 9


@given(LENGTHS, SLOTS)
def test_the_ideal_line_leaves_no_slot_free_beside_somebody_who_waits(
    lengths: list[int], slots: int
) -> None:
    spans = ideal(lengths, slots)
    assert set(refill_gaps(spans, slots)) <= {0}
    assert math.isclose(utilisation(spans, slots), 1)


def test_a_poller_finds_a_free_slot_at_its_next_tick() -> None:
    """One slot, two jobs of 10 s, a tick at 5 s and every 60 s: the end is at 15.4, seen at 65 and
    refilled after two calls.
    """
    begin = 65 + CREATE_SECONDS
    assert polled([10, 10], 1, Poller(60, 5)) == [
        (5 + CREATE_SECONDS, 15 + CREATE_SECONDS),
        (begin + GET_SECONDS, begin + GET_SECONDS + 10),
    ]


def test_a_poller_calls_one_after_another() -> None:
    assert [begin for begin, _ in polled([100, 100, 100], 3, Poller(60, 0))] == [
        CREATE_SECONDS,
        2 * CREATE_SECONDS,
        3 * CREATE_SECONDS,
    ]


def test_a_poller_that_comes_just_too_early_comes_a_period_later() -> None:
    # the first ends at 60.4; the tick at 60 asks at 60.1
    spans = polled([60, 60], 1, Poller(60, 0))
    assert spans[1][0] == 120 + GET_SECONDS + CREATE_SECONDS


def test_a_poller_whose_run_is_longer_than_its_period_skips_ticks() -> None:
    spans = polled([1] * 20, 10, Poller(2, 0))  # ten calls of Create take 4 s
    assert math.isclose(spans[10][0], 4 + 10 * GET_SECONDS + CREATE_SECONDS)


@given(LENGTHS, SLOTS, st.integers(1, 20), st.integers(0, 20))
def test_no_poller_uses_more_slots_than_there_are(
    lengths: list[int], slots: int, period: int, first: int
) -> None:
    spans = polled(lengths, slots, Poller(period, first))
    assert [round(end - begin, 6) for begin, end in spans] == lengths
    assert max(held for _, held in occupancy(spans)) <= slots
    assert makespan(spans) > makespan(ideal(lengths, slots))


def test_measures_of_a_case_worked_out_by_hand() -> None:
    """Two slots, three jobs: 1 to 5, 2 to 12, and the third 3 s after the first ended. It waits
    until 8.
    """
    said = measures([(1, 5), (2, 12), (8, 10)], [4, 10, 2], 2)
    assert said["makespan"] == 12
    assert said["makespan_to_ideal"] == 12 / 10
    assert said["makespan_to_bound"] == 12 / 10
    assert said["utilisation"] == (4 + 6) / 16
    assert (said["first_job"], said["mean_wait"]) == (1, 11 / 3)
    assert said["gap_p50"] == said["gap_p99"] == 3


def test_with_a_slot_for_everybody_there_is_no_gap_to_speak_of() -> None:
    said = measures([(1, 5), (2, 12)], [4, 10], 2)
    assert said["gap_p50"] is said["gap_p99"] is said["utilisation"] is None


def test_occupancy_is_said_where_it_changes() -> None:
    assert occupancy([(1, 5), (2, 12), (5, 10)]) == [(0, 0), (1, 1), (2, 2), (10, 1), (12, 0)]
