"""The rules of a hold: when it is asked again, by whom, and when a job is at fault after all."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.shared.hold import (
    ACCESS,
    FAILING,
    INVALID,
    NAME_TAKEN,
    NOT_FOUND,
    QUOTA,
    THROTTLED,
    UNANSWERED,
    WALK,
    Hold,
    failed,
    is_its_own,
    next_probe,
    probed,
    refused,
)
from bbq.shared.slots import Lease, Slots
from tests.support.samples import T0, at

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
KINDS = [QUOTA, THROTTLED, ACCESS, INVALID, NOT_FOUND, NAME_TAKEN, UNANSWERED, FAILING]


def hold(kind: str = QUOTA, **changes: object) -> Hold:
    settings: dict[str, object] = {
        "kind": kind,
        "message": "full",
        "since": T0,
        "until": at(60),
        "ends": 4,
        **changes,
    }
    return Hold(**settings)  # type: ignore[arg-type] # a hold's own fields


def probes_of_an_hour(seconds: float) -> list[float]:
    """The minutes after the first refusal at which it is asked again by the grid, if nothing
    happens for an hour.
    """
    start, found = at(seconds), []
    now = refused(None, kind=QUOTA, message="full", ends=0, now=start)
    while now.until - start <= HOUR:
        found.append((now.until - start) / MINUTE)
        asked = probed(now, 0, now.until)
        now = refused(asked, kind=QUOTA, message="full", ends=0, now=now.until)
    return found


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [
        (0, [1, 2, 5, 10, 30, 60]),
        (30, [1.5, 3.5, 4.5, 9.5, 29.5, 59.5]),
        (29 * 60, [1, 3, 6, 11, 31]),
    ],
)
def test_create_that_refuses_for_an_hour_is_asked_on_the_grid(
    seconds: float, minutes: list[float]
) -> None:
    assert probes_of_an_hour(seconds) == minutes


@given(st.floats(0, 90_000))
def test_no_hour_has_more_than_six_probes_by_the_grid(seconds: float) -> None:
    assert 5 <= len(probes_of_an_hour(seconds)) <= 6


@pytest.mark.parametrize(
    ("count", "minutes"), [(0, 1), (1, 1), (2, 2), (3, 5), (4, 10), (5, 30), (6, 30), (99, 30)]
)
def test_the_grid_grows_with_the_count_and_stays_at_its_last_step(count: int, minutes: int) -> None:
    assert next_probe(T0, count) == T0 + minutes * MINUTE


def test_many_refusals_in_a_minute_share_one_timer() -> None:
    assert len({next_probe(at(seconds), 3) for seconds in range(1, 60)}) == 1


@pytest.mark.parametrize(
    ("ends", "seconds", "is_open"), [(4, 59, False), (4, 60, True), (5, 59, True), (3, 59, True)]
)
def test_a_hold_is_open_when_its_time_is_over_or_something_happened(
    ends: int, seconds: float, is_open: bool
) -> None:
    assert hold().is_open(ends, at(seconds)) is is_open


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_kind_that_may_be_the_first_jobs_walks_down_the_line(kind: str) -> None:
    walks = kind not in {QUOTA, THROTTLED, ACCESS}
    places = [hold(kind, count=count).place(500) for count in range(1, 14)]
    assert places == ([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3] if walks else [0] * 13)
    assert WALK == 10


def test_a_walk_goes_round_a_line_that_is_shorter() -> None:
    assert [hold(INVALID, count=count).place(3) for count in range(1, 7)] == [1, 2, 0, 1, 2, 0]


def test_a_first_refusal_is_a_hold_that_is_asked_in_a_minute() -> None:
    first = refused(None, kind=INVALID, message="no", ends=7, now=T0)
    assert first == Hold(kind=INVALID, message="no", since=T0, until=at(60), ends=7, count=1)


def test_one_more_refusal_says_what_bedrock_said_last_and_moves_nothing_else() -> None:
    again = refused(hold(QUOTA, count=3), kind=INVALID, message="no", ends=6, now=at(30))
    assert again == hold(INVALID, message="no", ends=6, count=3)


def test_a_refusal_of_a_claim_from_before_the_hold_does_not_open_it_again() -> None:
    assert refused(hold(ends=4), kind=QUOTA, message="full", ends=2, now=at(30)).ends == 4


def test_a_probe_moves_the_hold_on_before_it_asks() -> None:
    assert probed(hold(count=2), 9, at(60)) == hold(count=3, ends=9, until=at(300))


@pytest.mark.parametrize(("failures", "holds"), [(1, False), (2, False), (3, True), (4, True)])
def test_the_third_failure_in_a_row_holds(failures: int, holds: bool) -> None:
    found = failed(None, failures=failures, message="no access", ends=7, now=T0)
    assert found == (hold(FAILING, message="no access", ends=7) if holds else None)


def test_a_failure_of_a_probe_closes_what_its_own_end_would_open() -> None:  # R50
    stands = hold(FAILING, count=2, ends=6)
    found = failed(stands, failures=4, message="again", ends=7, now=at(30))
    assert found == hold(FAILING, count=2, ends=7, message="again")
    assert not found.is_open(7, at(30))


@pytest.mark.parametrize(
    ("readings", "own"),
    [
        ([], False),
        ([0, 1, 2], False),
        ([0, 1, 2, 3], True),
        ([5] * 99, False),
        ([0, 0, 1, 1, 2, 2], False),
    ],
)
# R43
def test_a_job_is_at_fault_only_when_others_fared_better_three_times_between(
    readings: list[int], own: bool
) -> None:
    assert is_its_own(readings) is own


@pytest.mark.parametrize(
    ("kind", "failing", "matters"),
    [
        (QUOTA, False, True),
        (THROTTLED, False, True),
        (ACCESS, False, False),
        (INVALID, False, False),
        (QUOTA, True, False),
    ],
)
def test_an_end_elsewhere_matters_to_a_hold_for_want_of_room_only(
    kind: str, failing: bool, matters: bool
) -> None:
    assert (
        Slots(
            model="m", limit=1, refused=hold(kind), failing=hold(FAILING) if failing else None
        ).quota_matters
        is matters
    )


def test_an_end_elsewhere_matters_while_create_is_under_way() -> None:
    lease = Lease(owner="a", until=at(60))
    assert Slots(model="m", limit=1, holders={"a#1": lease}).quota_matters
    assert not Slots(model="m", limit=1).quota_matters


def test_slots_are_open_only_if_every_hold_is() -> None:
    both = Slots(model="m", limit=1, ends=4, refused=hold(), failing=hold(FAILING, until=at(120)))
    assert [both.is_open(at(seconds)) for seconds in (59, 60, 119, 120)] == [
        False,
        False,
        False,
        True,
    ]
    assert not Slots(model="m", limit=0).is_open(T0)
    assert not Slots(model="m", limit=1, paused=True).is_open(T0)
