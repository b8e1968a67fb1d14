"""The due minutes of timers."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bbq.shared.due import check_in_due, follow_up_due, lease_due
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


@given(SECONDS, st.integers(1, 1439))
def test_a_timer_that_fires_early_is_followed_by_a_later_one(now: float, minutes: int) -> None:
    due = at(now).replace(second=0, microsecond=0) + minutes * MINUTE
    assert follow_up_due(due, at(now)) == due + MINUTE
    assert whole_minute_ahead(due + MINUTE, at(now))


def test_a_timer_in_time_or_of_another_age_is_not_followed_by_another() -> None:
    assert [follow_up_due(due, at(60)) for due in (None, at(0), at(60), at(60 + 86_400))] == [
        None
    ] * 4


@given(SECONDS, SECONDS, st.integers(1, 1440))
def test_every_hint_within_a_check_in_names_the_same_minute(
    anchor: float, now: float, step: int
) -> None:
    due = check_in_due(at(anchor), step, at(now))
    assert whole_minute_ahead(due, at(now))
    assert due - at(now) <= (step + 2) * MINUTE
    assert check_in_due(at(anchor), step, due - MINUTE) == due
