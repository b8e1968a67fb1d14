"""Slots, back-off and the due minutes of timers."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared import events as e
from shared.models import TIMEOUT_HOURS
from shared.slots import (
    BACKOFF_MINUTES,
    MAX_LIFE,
    MINUTE,
    Lease,
    Refusal,
    Slots,
    backoff_due,
    check_in_due,
    fold_model,
    follow_up_due,
    lease_due,
    refusal_of,
)
from tests.support.samples import T0, at

SECONDS = st.floats(min_value=0, max_value=1e7, allow_nan=False)


def test_the_longest_life_is_the_longest_timeout_that_bedrock_takes() -> None:
    assert timedelta(hours=max(TIMEOUT_HOURS)) == MAX_LIFE


def whole_minute_ahead(due: object, now: object) -> bool:
    return bool(due.second == due.microsecond == 0 and due - now >= MINUTE)  # type: ignore[attr-defined,operator] # datetimes


@given(SECONDS, SECONDS)
def test_a_leases_timer_is_due_after_the_lease_and_a_full_minute_ahead(until: float, now: float) -> None:
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
    assert [follow_up_due(due, at(60)) for due in (None, at(0), at(60), at(60 + 86_400))] == [None] * 4


@given(SECONDS, SECONDS, st.integers(1, 1440))
def test_every_hint_within_a_check_in_names_the_same_minute(anchor: float, now: float, step: int) -> None:
    due = check_in_due(at(anchor), step, at(now))
    assert whole_minute_ahead(due, at(now))
    assert due - at(now) <= (step + 2) * MINUTE
    assert check_in_due(at(anchor), step, due - MINUTE) == due


@given(SECONDS, st.integers(1, 50))
def test_backing_off_grows_and_is_bounded(now: float, count: int) -> None:
    due = backoff_due(at(now), count)
    assert whole_minute_ahead(due, at(now))
    assert due - at(now) <= (BACKOFF_MINUTES[-1] + 2) * MINUTE
    assert due.minute % BACKOFF_MINUTES[min(count, len(BACKOFF_MINUTES)) - 1] == 0


def test_many_refusals_in_a_minute_share_one_timer() -> None:
    assert len({backoff_due(at(seconds), 3) for seconds in range(59)}) == 1


def test_a_refusal_remembers_the_first_and_counts_on() -> None:
    first = refusal_of(Lease(owner="a", until=T0), "quota", at(1))
    again = refusal_of(Lease(owner="b", until=T0, since=first.since, count=first.count, passed=2), "throttle", at(99))
    assert (first.count, first.since) == (1, at(1))
    assert (again.count, again.since, again.passed) == (2, at(1), 2)


def test_slots_are_open_only_with_room_and_not_paused() -> None:
    lease = Lease(owner="a", until=T0)
    assert Slots(model="m", limit=1).open
    assert not Slots(model="m", limit=0).open
    assert not Slots(model="m", limit=1, paused=True).open
    assert not Slots(model="m", limit=1, holders={"a#1": lease, "b#1": lease}).open


def test_the_oldest_refused_is_served_first_except_those_tried() -> None:
    refused = {h: Refusal(kind="quota", since=at(n), retry_at=at(60)) for h, n in (("b#1", 2), ("a#1", 1), ("c#1", 3))}
    slots = Slots(model="m", limit=1, refused=refused)
    assert slots.oldest_refused(frozenset()) == "a#1"
    assert slots.oldest_refused(frozenset({"a#1"})) == "b#1"
    assert slots.held_back(at(59))
    assert not slots.held_back(at(60))
    assert slots.held_back(T0 + timedelta(seconds=1))


def test_a_models_events_fold_to_its_limit_and_pause() -> None:
    events = [e.LimitSet(at=T0, limit=3), e.ModelPaused(at=T0, by="", why=""), e.LimitSet(at=T0, limit=5)]
    slots = fold_model("m", events)
    assert (slots.limit, slots.paused, slots.model_version) == (5, True, 3)
    assert not fold_model("m", [*events, e.ModelResumed(at=T0, by="", why="")]).paused
