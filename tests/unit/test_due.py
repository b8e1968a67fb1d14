"""The due minutes of timers."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bbq.shared.due import CLOCK_SKEW, check_in_due, grid_due, hold_due, lease_due
from tests.support.samples import at

MINUTE = timedelta(minutes=1)
SECONDS = st.floats(min_value=0, max_value=1e7, allow_nan=False)


def whole_minute_ahead(due: object, now: object) -> bool:
    return bool(due.second == due.microsecond == 0 and due - now >= MINUTE)  # type: ignore[attr-defined,operator] # datetimes


@given(SECONDS, SECONDS)
def test_a_leases_timer_is_due_after_the_lease_and_a_full_minute_ahead(
    until: float, now: float
) -> None:
    due = lease_due(at(until), at(now))
    assert due > at(until)
    assert whole_minute_ahead(due, at(now))
    assert due - max(at(until), at(now) + MINUTE) <= 2 * MINUTE


@given(SECONDS, st.integers(1, 1440), st.floats(0.001, 1))
def test_a_timer_that_woke_us_while_our_clock_was_behind_is_never_armed_again(
    due_at: float, step: int, share: float
) -> None:
    due = at(due_at).replace(second=0, microsecond=0)
    now = due - share * CLOCK_SKEW
    assert hold_due(due, now) > due
    assert grid_due(now, 1) > due
    assert lease_due(now + timedelta(seconds=0.001), now) > due
    assert check_in_due(due - step * MINUTE, step, now) > due


@given(SECONDS, SECONDS, st.integers(1, 1440))
def test_every_hint_within_a_check_in_names_the_same_minute(
    anchor: float, now: float, step: int
) -> None:
    due = check_in_due(at(anchor), step, at(now))
    assert whole_minute_ahead(due, at(now))
    assert due - at(now) <= (step + 2) * MINUTE
    assert check_in_due(at(anchor), step, due - MINUTE) == due
