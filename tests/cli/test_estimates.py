"""Position, expected start and time to drain, by arithmetic that a person can follow."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bbq.cli.estimates import Position, expected_start, mean_slot_seconds, time_to_drain
from bbq.shared.hold import QUOTA, Hold
from bbq.shared.slots import Lease, Slots
from tests.cli.conftest import NOW


def slots(limit: int, held: int) -> Slots:
    return Slots(
        model="haiku",
        limit=limit,
        holders={f"job-{number}": Lease(until=NOW, owner="") for number in range(held)},
    )


@pytest.mark.parametrize(
    ("ahead", "limit", "held", "minutes"),
    [
        (0, 3, 2, 0),  # a slot is free
        (1, 3, 1, 0),  # two are free, one is ahead
        (0, 3, 3, 10),  # the first of three slots of 30 minutes, ten minutes apart
        (2, 3, 3, 30),  # the third of them
        (2, 3, 2, 20),  # one is free for the first ahead
        (0, 2, 4, 45),  # a lowered limit: three must end
        (5, 1, 1, 180),
    ],
)
def test_a_start_is_so_many_ends_away(ahead: int, limit: int, held: int, minutes: int) -> None:
    assert expected_start(slots(limit, held), Position(ahead=ahead), 30 * 60) == timedelta(
        minutes=minutes
    )


def test_nobody_can_say_when_a_model_without_slots_starts_anything() -> None:
    assert expected_start(slots(0, 0), Position(ahead=0), 1800) is None
    assert expected_start(slots(0, 2), Position(ahead=0), 1800) is None
    assert expected_start(None, Position(ahead=0), 1800) is None


def test_a_model_that_is_paused_or_on_hold_starts_nothing_that_can_be_foretold() -> None:
    hold = Hold(kind=QUOTA, message="", since=NOW, until=NOW, ends=0)
    assert expected_start(replace(slots(2, 0), paused=True), Position(ahead=0), 1800) is None
    assert expected_start(replace(slots(2, 0), refused=hold), Position(ahead=0), 1800) is None


def test_a_place_that_was_not_counted_to_its_end_has_no_start() -> None:
    assert expected_start(slots(2, 0), Position(ahead=1000, exact=False), 1800) is None


def test_without_a_mean_only_a_free_slot_is_certain() -> None:
    assert expected_start(slots(2, 1), Position(ahead=0), None) == timedelta(0)
    assert expected_start(slots(2, 1), Position(ahead=1), None) is None


def test_a_line_drains_as_fast_as_all_slots_together() -> None:
    assert time_to_drain(10, 5, 600) == timedelta(minutes=20)
    assert time_to_drain(0, 0, None) == timedelta(0)
    assert time_to_drain(1, 0, 600) is None
    assert time_to_drain(1, 5, None) is None


def test_the_mean_is_of_the_first_day_on_which_a_job_ended() -> None:
    assert (
        mean_slot_seconds({"slot_seconds": 90, "slot_ends": 3}, {"slot_seconds": 5, "slot_ends": 1})
        == 30
    )
    assert mean_slot_seconds({}, {"slot_seconds": 5, "slot_ends": 1}) == 5
    assert mean_slot_seconds({"slot_seconds": 0, "slot_ends": 0}, {}) is None
    assert mean_slot_seconds({"slot_ends": 2}) == 0  # a count of nought is left out


def test_a_position_is_counted_from_one_and_never_claimed_beyond_the_counting() -> None:
    assert str(Position(ahead=0)) == "1"
    assert str(Position(ahead=999)) == "1,000"
    assert str(Position(ahead=1000, exact=False)) == "more than 1,000"
