"""What the projections should be, by the events alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.cli.expected import (
    REBUILT,
    Difference,
    alive,
    leases_until,
    place,
    row_differences,
    slots_differences,
    slots_found,
    slots_from_events,
    to_be_looked_up,
    unfinished,
)
from bbq.shared import events as e
from bbq.shared import rows
from bbq.shared.hold import QUOTA, TOO_FEW_RECORDS, Hold
from bbq.shared.job import Job
from bbq.shared.names import holder
from bbq.shared.slots import AT_BEDROCK, Day, Lease, Slots
from bbq.shared.tables import SlotsRow
from tests.support.samples import ARN, MODEL, at, id_of, life, slot_claimed

LEASE = timedelta(seconds=215)
CLAIMED = slot_claimed(id_of())
REFUSED = e.SubmissionRefused(at=at(2), attempt=1, kind=QUOTA, message="full", taken=0)
SUBMITTED = e.JobSubmitted(at=at(3), attempt=1, arn=ARN)
ENDED = e.JobEnded(at=at(9), attempt=1, status="Completed", message="", arn=ARN)
NOTHING = replace(ENDED, status="Failed", processed_records=0)
TALLIED = e.JobTallied(at=at(10), attempt=1, total_records=100, processed_records=0)

QUEUED_JOB, CLAIMED_JOB, REFUSED_JOB = life(), life(CLAIMED), life(CLAIMED, REFUSED)
SUBMITTED_JOB, ENDED_JOB = life(CLAIMED, SUBMITTED), life(CLAIMED, SUBMITTED, ENDED)
HOLDER_ID = holder(id_of(), 1)
STATE = Slots(model=MODEL, limit=2, paused=True, model_version=3)
FREE = Lease(owner="a", until=at(100))
TAKEN = AT_BEDROCK
FULL = Hold(kind=QUOTA, message="full", since=at(2), until=at(60), ends=4, count=2)


def differences(
    state: Slots, jobs: list[Job], row: SlotsRow | None, unknown: frozenset[str] = frozenset()
) -> list[Difference]:
    return slots_differences(
        state,
        row,
        slots_from_events(state, jobs, slots_found(row), longest_lease=LEASE, unknown=unknown),
    )


def wrong(job: Job, holders: dict[str, Lease]) -> list[Difference]:
    return differences(STATE, [job], rows.slots_row(replace(STATE, holders=holders)))


def test_where_the_day_was_lost_what_waits_for_its_tally_counts_as_begun_today() -> None:
    today = at(0).strftime("%Y-%m-%d")
    known = Day(date=today, jobs=2, records=7)
    rebuilt = slots_from_events(STATE, [ENDED_JOB], None, longest_lease=LEASE, ended=known)
    assert (rebuilt.day.jobs, rebuilt.day.records) == (3, 7 + ENDED_JOB.record_count)
    tallied = life(CLAIMED, SUBMITTED, ENDED, TALLIED)
    assert slots_from_events(STATE, [tallied], None, longest_lease=LEASE, ended=known).day == known


def test_a_day_on_which_nothing_began_stays_as_it_was_found() -> None:  # seed 42001091
    # cancelled in line: nothing began
    over = Day(date=at(0).strftime("%Y-%m-%d"), jobs=0, records=3)
    assert slots_from_events(STATE, [], STATE, longest_lease=LEASE, ended=over).day == Day(
        date="", jobs=0, records=0
    )


PLACES = [
    (QUEUED_JOB, {}, True),
    (QUEUED_JOB, {HOLDER_ID: FREE}, False),
    (CLAIMED_JOB, {HOLDER_ID: FREE}, True),
    (CLAIMED_JOB, {}, False),
    (CLAIMED_JOB, {HOLDER_ID: TAKEN}, False),
    (REFUSED_JOB, {}, True),
    (REFUSED_JOB, {HOLDER_ID: FREE}, False),
    (REFUSED_JOB, {HOLDER_ID: TAKEN}, False),
    (SUBMITTED_JOB, {HOLDER_ID: TAKEN}, True),
    (SUBMITTED_JOB, {HOLDER_ID: FREE}, False),
    (SUBMITTED_JOB, {}, False),
    (ENDED_JOB, {}, True),
    (ENDED_JOB, {HOLDER_ID: TAKEN}, False),
]


@pytest.mark.parametrize(("job", "holders", "right"), PLACES)
def test_each_attempt_has_its_place(job: Job, holders: dict[str, Lease], right: bool) -> None:
    assert (wrong(job, holders) == []) == right


@pytest.mark.parametrize(("job", "holders", "right"), PLACES)
def test_rebuilt_slots_are_right_whatever_was_there_and_what_no_event_holds_is_kept(
    job: Job, holders: dict[str, Lease], right: bool
) -> None:
    found = replace(
        STATE,
        limit=9,
        ends=4,
        taken=6,
        good_ends=5,
        holders=holders,
        refused=FULL,
        failing=replace(FULL, kind="failing"),
        failures=3,
        failed_late=True,
    )
    rebuilt = slots_from_events(STATE, [job], found, longest_lease=LEASE)
    assert differences(STATE, [job], rows.slots_row(rebuilt)) == []
    kept = replace(found, limit=STATE.limit, ends=5, holders=rebuilt.holders, day=rebuilt.day)
    assert (rebuilt, rebuilt.paused) == (kept, True)
    if right:
        assert rebuilt.holders == holders


def test_a_rebuild_is_a_reason_to_ask_bedrock_again() -> None:
    """What was wrong may be why it refused."""
    found = replace(STATE, ends=FULL.ends, refused=FULL)
    assert not FULL.is_open(found.ends, at(30))
    rebuilt = slots_from_events(STATE, [], found, longest_lease=LEASE)
    assert rebuilt.refused == FULL
    assert FULL.is_open(rebuilt.ends, at(30))


leases = st.builds(Lease, owner=st.just("x"), until=st.integers(0, 900).map(at)) | st.just(
    AT_BEDROCK
)
names = st.sampled_from(
    [holder(id_of(version=f"v{number}"), attempt) for number in range(6) for attempt in (1, 2)]
    + ["junk"]
)
jobs_of_all_kinds = st.lists(
    st.sampled_from([QUEUED_JOB, CLAIMED_JOB, REFUSED_JOB, SUBMITTED_JOB, ENDED_JOB]),
    min_size=6,
    max_size=6,
).map(
    lambda jobs: [replace(job, id=id_of(version=f"v{number}")) for number, job in enumerate(jobs)]
)


@given(jobs_of_all_kinds, st.dictionaries(names, leases), st.booleans())
def test_any_slots_can_be_rebuilt_and_then_nothing_differs(
    jobs: list[Job], holders: dict[str, Lease], missing: bool
) -> None:
    found = None if missing else replace(STATE, limit=1, holders=holders)
    rebuilt = slots_from_events(STATE, jobs, found, longest_lease=LEASE)
    assert differences(STATE, jobs, rows.slots_row(rebuilt)) == []
    again = slots_from_events(STATE, jobs, rebuilt, longest_lease=LEASE)
    assert again.holders == rebuilt.holders
    for job in jobs:
        lease = rebuilt.holders.get(holder(job.id, 1))
        assert (lease is not None, lease == AT_BEDROCK) == (
            job.status in {"Claimed", "Submitted"},
            job.status == "Submitted",
        )


def test_nothing_is_said_of_the_holders_of_a_job_that_cannot_be_read() -> None:
    found = replace(STATE, holders={HOLDER_ID: TAKEN, holder(id_of(version="v2"), 1): FREE})
    unknown = frozenset({id_of()})
    (difference,) = differences(STATE, [], rows.slots_row(found), unknown)
    assert difference.field == holder(id_of(version="v2"), 1)
    rebuilt = slots_from_events(STATE, [], found, longest_lease=LEASE, unknown=unknown)
    assert rebuilt.holders == {HOLDER_ID: TAKEN}


def test_jobs_of_another_model_have_no_place_here() -> None:
    other = replace(SUBMITTED_JOB, model="nova")
    assert len(wrong(other, {HOLDER_ID: TAKEN})) == 1
    assert slots_from_events(STATE, [other], None, longest_lease=LEASE).holders == {}


def test_a_model_without_events_and_without_attempts_needs_no_slots() -> None:
    assert differences(Slots(model=MODEL, limit=0), [QUEUED_JOB], None) == []
    assert len(differences(Slots(model=MODEL, limit=0), [SUBMITTED_JOB], None)) == 1


def test_a_lost_lease_ends_when_the_real_one_must_have_ended() -> None:
    claimed = slots_from_events(STATE, [CLAIMED_JOB], None, longest_lease=LEASE).holders[HOLDER_ID]
    assert claimed == Lease(owner=REBUILT, until=at(1) + LEASE)


def test_leases_are_over_when_the_last_one_is_of_which_nobody_knows_the_answer() -> None:
    other = holder(id_of(version="v2"), 1)
    third = holder(id_of(version="v3"), 1)
    slots = replace(
        STATE,
        holders={
            HOLDER_ID: TAKEN,
            other: FREE,
            third: replace(FREE, until=FREE.until - timedelta(seconds=1)),
        },
    )
    assert leases_until(slots) == FREE.until == at(100)
    assert leases_until(replace(STATE, holders={HOLDER_ID: TAKEN})) is leases_until(STATE) is None


def test_a_mark_that_the_events_do_not_know_becomes_a_lease_that_may_still_run() -> None:
    found = replace(STATE, holders={HOLDER_ID: TAKEN})
    claimed = slots_from_events(STATE, [CLAIMED_JOB], found, longest_lease=LEASE).holders[HOLDER_ID]
    assert claimed == Lease(owner=REBUILT, until=at(1) + LEASE)


def test_whose_lease_is_over_or_rebuilt_is_to_be_looked_up() -> None:
    holders = {
        "a#1": FREE,
        "b#1": TAKEN,
        "c#1": replace(FREE, until=at(9)),
        "d#1": replace(FREE, owner=REBUILT),
    }
    assert to_be_looked_up(replace(STATE, holders=holders), at(50)) == ["c", "d"]


def test_a_row_that_is_absent_or_too_many_differs_as_a_whole() -> None:
    row = rows.line_row(QUEUED_JOB)
    assert [(d.found, d.expected is None) for d in row_differences(None, row)] == [(None, False)]
    assert [(d.found is None, d.expected) for d in row_differences(row, None)] == [(False, None)]
    assert row_differences(None, None) == row_differences(row, rows.line_row(QUEUED_JOB)) == []


def test_a_place_in_line_is_for_who_waits() -> None:
    assert place(QUEUED_JOB) is not None
    assert place(CLAIMED_JOB) is None
    assert row_differences(place(REFUSED_JOB), place(QUEUED_JOB)) == []  # its old one
    jobs = (QUEUED_JOB, CLAIMED_JOB, REFUSED_JOB, SUBMITTED_JOB, ENDED_JOB)
    assert [alive(job) for job in jobs] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("holders", None),  # an empty set would have disappeared like this (R21)
        ("holders", {HOLDER_ID: {"owner": "x"}}),
        ("holders", {HOLDER_ID: "junk"}),
        ("taken", None),
        ("paused", None),
        ("refused", {"until": "nonsense"}),
        ("failing", {"kind": "failing"}),
    ],
)
def test_an_item_that_cannot_be_read_counts_as_lost(name: str, value: Any) -> None:
    row = rows.slots_row(replace(STATE, holders={HOLDER_ID: FREE}))
    assert slots_found(row) == replace(STATE, holders={HOLDER_ID: FREE})
    setattr(row, name, value)
    assert slots_found(row) is None
    (difference,) = differences(STATE, [CLAIMED_JOB], row)
    assert (difference.field, difference.found, difference.expected["holders"]) == (
        "",
        "cannot be read",
        [HOLDER_ID],
    )


@pytest.mark.parametrize(
    ("job", "view_version", "left"),
    [
        (QUEUED_JOB, 1, True),
        (CLAIMED_JOB, 2, True),
        (REFUSED_JOB, 3, True),
        (SUBMITTED_JOB, 3, True),
        (ENDED_JOB, 4, True),  # not tallied
        (life(CLAIMED, SUBMITTED, ENDED, TALLIED), 5, False),
        (life(CLAIMED, SUBMITTED, ENDED, TALLIED), 4, True),  # not projected
        # policy may try it again
        (life(CLAIMED, SUBMITTED, replace(NOTHING, status="Expired"), TALLIED), 5, True),
        (life(CLAIMED, SUBMITTED, NOTHING, TALLIED), 5, True),  # it comes back
        # nobody knows how far it came
        (life(CLAIMED, SUBMITTED, replace(NOTHING, processed_records=None), TALLIED), 5, False),
        # its own fault
        (life(CLAIMED, SUBMITTED, replace(NOTHING, message=TOO_FEW_RECORDS), TALLIED), 5, False),
        (life(CLAIMED, replace(ENDED, status="Failed", arn=None)), 3, False),  # nothing to count
        (life(e.JobCancelled(at=at(1))), 2, False),
    ],
)
def test_a_job_is_finished_when_nothing_is_left_to_do(
    job: Job, view_version: int, left: bool
) -> None:
    assert unfinished(job, view_version) == left
