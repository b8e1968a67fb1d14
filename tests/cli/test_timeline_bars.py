"""Bars, lanes and gaps of `bbq timeline`: what they are in small cases, and what holds for any
history.
"""

from datetime import datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bbq.cli.timeline_bars import (
    HELD,
    NOWHERE,
    SLOT,
    WAITING,
    Bar,
    Panel,
    bars_of,
    in_lanes,
    panel,
    times,
)
from bbq.shared import events as e
from bbq.shared.job import CLAIMED, ENDS, QUEUED, RUNNING, fold
from bbq.shared.names import job_stream, model_stream
from bbq.shared.store import Store
from tests.simulation import campaign
from tests.simulation.versions import newer_shape
from tests.support.samples import MODEL, at, id_of, queued, slot_claimed

BY = {"by": "ada", "why": ""}


def job(name: str, *later: e.Event, seconds: float = 0) -> list[Bar]:
    return bars_of(id_of(name), [queued(name, seconds=seconds), *later])


def of(jobs: list[list[Bar]], limit: int, *changes: e.Event, since: float = -10) -> Panel:
    """Until second 100."""
    bars = [bar for one in jobs for bar in one]
    return panel(MODEL, bars, [e.LimitSet(at=at(-100), limit=limit), *changes], at(since), at(100))


def claimed(seconds: float, attempt: int = 1) -> e.SlotClaimed:
    return slot_claimed("job", attempt, seconds)


def submitted(seconds: float, attempt: int = 1) -> e.JobSubmitted:
    return e.JobSubmitted(at=at(seconds), attempt=attempt, arn="arn")


def refused(seconds: float, attempt: int = 1) -> e.SubmissionRefused:
    return e.SubmissionRefused(
        at=at(seconds), attempt=attempt, kind="quota", message="the quota is full", taken=0
    )


def ended(seconds: float, attempt: int = 1, status: str = "Completed") -> e.JobEnded:
    return e.JobEnded(at=at(seconds), attempt=attempt, status=status, message="", arn="arn")


def seen(bars: list[Bar]) -> list[tuple[str, int, datetime, datetime | None, str]]:
    return [(bar.kind, bar.attempt, bar.begin, bar.end, bar.outcome) for bar in bars]


def test_a_job_that_ran_waited_and_was_on_a_slot_from_its_claim_to_its_end() -> None:
    started = e.JobProgressed(at=at(40), attempt=1, status="InProgress")
    tally = e.JobTallied(at=at(91), attempt=1, succeeded_records=90, failed_records=10)

    waiting, bar = job("a", claimed(5), submitted(6), started, ended(90), tally)

    assert seen([waiting, bar]) == [
        (WAITING, 0, at(0), at(5), ""),
        (SLOT, 1, at(5), at(90), "CompletedWithErrors"),
    ]
    assert (bar.started, bar.waited_seconds, bar.records, bar.status) == (
        at(40),
        5.0,
        100,
        "Completed",
    )


def test_a_refused_job_gives_its_slot_back_and_is_held_until_bedrock_takes_it() -> None:
    _, *bars = job("a", claimed(5), refused(6), submitted(60), ended(90, status="Failed"))

    assert seen(bars) == [
        (SLOT, 1, at(5), at(6), "Refused"),
        (HELD, 1, at(6), at(60), ""),
        (SLOT, 1, at(60), at(90), "Failed"),
    ]
    assert [bar.reason for bar in bars] == ["the quota is full", "the quota is full", ""]


def test_a_job_that_is_cancelled_ends_its_bar_whether_held_or_waiting_for_another_attempt() -> None:
    cancel, again = (
        e.CancelRequested(at=at(20), by="ada", why="no need"),
        e.JobRequeued(at=at(30), attempt=1, **BY),
    )

    *_, held = job("a", claimed(5), refused(6), cancel, e.JobCancelled(at=at(21)))
    _, slot, waiting = job(
        "b", claimed(5), submitted(6), ended(29, status="Expired"), again, e.JobCancelled(at=at(50))
    )

    assert seen([held]) == [(HELD, 1, at(6), at(21), "Cancelled")]
    assert held.reason == "cancelled by ada: no need"
    assert seen([slot, waiting]) == [
        (SLOT, 1, at(5), at(29), "Expired"),
        (WAITING, 1, at(30), at(50), "Cancelled"),
    ]


def test_every_attempt_is_a_bar_with_its_own_outcome_and_its_own_wait() -> None:
    again = e.JobRequeued(at=at(30), attempt=1, **BY)

    bars = job(
        "a",
        claimed(5),
        submitted(6),
        ended(29, status="Expired"),
        again,
        claimed(70, 2),
        submitted(71, 2),
        ended(90, 2),
    )

    slots = [bar for bar in bars if bar.kind == SLOT]
    assert seen(slots) == [
        (SLOT, 1, at(5), at(29), "Expired"),
        (SLOT, 2, at(70), at(90), "Completed"),
    ]
    assert [bar.waited_seconds for bar in slots] == [5.0, 40.0]


def test_a_bar_never_ends_before_it_begins_whatever_the_clocks_say() -> None:
    assert seen(job("a", claimed(5), submitted(4), ended(3)))[1:] == [
        (SLOT, 1, at(5), at(5), "Completed")
    ]


def test_a_refill_is_from_an_end_to_the_next_start_while_a_job_waited() -> None:
    first, second = job("a", claimed(0), ended(50)), job("b", claimed(50.25), ended(80), seconds=10)

    found = of([first, second, job("c", claimed(95), seconds=95)], 1)

    assert [
        (gap.begin, gap.end, gap.ended_job, gap.next_job) for gap in found.gaps if gap.seconds
    ] == [
        (at(50), at(50.25), id_of("a"), id_of("b"))  # no job waited at 80
    ]
    assert (found.refills.count, found.refills.largest_seconds) == (1, 0.25)
    at_once = of([first, job("b", claimed(50), seconds=10)], 1)
    assert (at_once.refills.count, at_once.refills.largest_seconds) == (1, 0.0)


def test_the_oldest_gap_is_filled_first() -> None:
    found = of(
        [
            job("a", claimed(0), ended(50)),
            job("b", claimed(0), ended(52)),
            job("c", claimed(53), seconds=9),
            job("d", claimed(56), seconds=9),
        ],
        2,
    )

    assert [(gap.ended_job, gap.next_job, gap.seconds) for gap in found.gaps if gap.refill] == [
        (id_of("a"), id_of("c"), 3.0),
        (id_of("b"), id_of("d"), 4.0),
    ]


def test_a_gap_during_which_a_job_is_refused_is_no_refill() -> None:
    found = of(
        [
            job("a", claimed(0), ended(50)),
            job("b", claimed(0), ended(51)),
            job("c", claimed(52), refused(53), seconds=9),
            job("d", claimed(90), seconds=9),
        ],
        2,
        since=3,
    )

    assert [(gap.begin, gap.next_job, gap.held_back) for gap in found.gaps] == [
        (at(50), id_of("c"), False),
        (at(51), id_of("d"), True),
    ]
    assert found.refills.count == 1


def test_a_pause_a_lower_limit_and_a_cancel_end_a_gap_without_a_refill() -> None:
    limits = [e.LimitSet(at=at(40), limit=0), e.LimitSet(at=at(50), limit=1)]
    changes = [e.ModelPaused(at=at(25), **BY), e.ModelResumed(at=at(30), **BY), *limits]

    found = of(
        [job("a", claimed(0), ended(20)), job("b", e.JobCancelled(at=at(60)), seconds=9)],
        1,
        *changes,
    )

    assert [
        (gap.begin, gap.end, gap.ended_job, gap.next_job) for gap in found.gaps if gap.seconds
    ] == [
        (at(20), at(25), id_of("a"), None),
        (at(30), at(40), None, None),
        (at(50), at(60), None, None),
    ]
    assert [found.settings[change.at] for change in changes] == [
        (1, True),
        (1, False),
        (0, False),
        (1, False),
    ]


def test_a_gap_that_goes_on_lasts_until_now_and_one_from_before_the_window_begins_with_it() -> None:
    found = of([job("a", claimed(0), ended(20)), job("b", seconds=9)], 1, since=60)

    assert [(gap.begin, gap.end, gap.seconds, gap.ended_job) for gap in found.gaps] == [
        (at(60), None, 40.0, None)
    ]
    assert (
        of([job("a", claimed(0), ended(20)), job("b", claimed(30), seconds=9)], 1, since=60).gaps
        == []
    )


def test_bars_and_waits_from_before_the_window_are_left_out() -> None:
    again = e.JobRequeued(at=at(30), attempt=1, **BY)

    found = of([job("a", claimed(5), submitted(6), ended(29), again, claimed(70, 2))], 1, since=50)

    assert [(bar.attempt, bar.lane) for bar in found.bars] == [(2, 1)]
    assert (found.waits.count, found.waits.largest_seconds) == (1, 40.0)


def test_the_line_is_counted_from_the_beginning_of_the_window_to_its_end() -> None:
    found = of([job("a", claimed(5), refused(6), submitted(8)), job("b", seconds=7)], 1, since=1)

    assert found.line == {at(1): 1, at(5): 0, at(6): 0, at(7): 1, at(8): 1, at(100): 1}


def test_figures_are_by_nearest_rank() -> None:
    found = times(float(number) for number in range(1, 201))

    assert (found.median_seconds, found.p99_seconds, found.largest_seconds) == (100.5, 198.0, 200.0)
    assert times([]).median_seconds is None


@st.composite
def streams(draw: st.DrawFn) -> dict[str, list[e.Event]]:
    """Any lives of a few jobs: each its own way, without regard to a limit, often at the very same
    moments.
    """
    found: dict[str, list[e.Event]] = {}
    for number in range(draw(st.integers(1, 6))):
        now = draw(st.integers(0, 20))
        events: list[e.Event] = [queued(str(number), seconds=now)]
        attempt = 0
        for step in draw(
            st.lists(
                st.sampled_from(["claim", "refuse", "submit", "end", "cancel", "again"]), max_size=8
            )
        ):
            now += draw(st.integers(0, 5))
            attempt += step == "claim"
            events.append(
                {
                    "claim": claimed(now, attempt),
                    "refuse": refused(now, attempt),
                    "submit": submitted(now, attempt),
                    "end": ended(now, attempt, draw(st.sampled_from(sorted(ENDS)))),
                    "cancel": e.JobCancelled(at=at(now)),
                    "again": e.JobRequeued(at=at(now), attempt=attempt, **BY),
                }[step]
            )
        found[id_of(str(number))] = events
    return found


@st.composite
def configured(draw: st.DrawFn) -> list[e.Event]:
    """Any limits and pauses."""
    events: list[e.Event] = [e.LimitSet(at=at(-1), limit=draw(st.integers(0, 4)))]
    for now in sorted(draw(st.lists(st.integers(0, 50), max_size=4))):
        kind = draw(st.sampled_from([e.LimitSet, e.ModelPaused, e.ModelResumed]))
        more = (
            {"limit": draw(st.integers(0, 4))} if kind is e.LimitSet else {"by": "ada", "why": ""}
        )
        events.append(kind(at=at(now), **more))
    return events


def bars_in(streams: dict[str, list[e.Event]]) -> list[Bar]:
    return [bar for job_id, events in streams.items() for bar in bars_of(job_id, events)]


def events_of(store: Store, stream: str) -> list[e.Event]:
    return [recorded.event for recorded in store.load(stream)]


def kinds(streams: dict[str, list[e.Event]], moment: datetime) -> list[str]:
    """Where the jobs are, as the fold of what had happened by then says: nothing of what is tested
    here.
    """
    folds = (
        fold(job_id, (event for event in events if event.at <= moment))
        for job_id, events in streams.items()
    )
    waiting = {True: HELD, False: WAITING}
    return [
        waiting[found.may_be_at_bedrock]
        if found.status == QUEUED
        else SLOT
        if found.status in RUNNING | {CLAIMED}
        else NOWHERE
        for found in folds
        if found
    ]


def between(moments: set[datetime]) -> list[datetime]:
    """The middle of each stretch in which nothing happens."""
    return [first + (last - first) / 2 for first, last in pairwise(sorted(moments))]


@given(streams())
def test_bars_of_a_lane_never_overlap_and_lanes_are_as_many_as_the_most_at_once(
    streams: dict[str, list[e.Event]],
) -> None:
    until = at(1000)
    for kind in (SLOT, HELD):
        bars = in_lanes(bar for bar in bars_in(streams) if bar.kind == kind)
        for one, other in (
            (one, other)
            for one in bars
            for other in bars
            if one is not other and one.lane == other.lane
        ):
            assert (one.end or until) <= other.begin or (other.end or until) <= one.begin
        most = [
            sum(
                bar.begin <= one.begin and (bar is one or (bar.end or until) > one.begin)
                for bar in bars
            )
            for one in bars
        ]
        assert max((bar.lane for bar in bars), default=0) <= max(most, default=0)
        assert {bar.lane for bar in bars} == set(
            range(1, max((bar.lane for bar in bars), default=0) + 1)
        )


@given(streams())
def test_bars_say_which_job_was_where_at_every_moment(streams: dict[str, list[e.Event]]) -> None:
    bars = bars_in(streams)
    for moment in between(
        {at(-1), at(1000)} | {event.at for events in streams.values() for event in events}
    ):
        there = [
            bar.kind
            for bar in bars
            if bar.begin <= moment and (bar.end is None or moment < bar.end)
        ]
        assert sorted(there) == sorted(kind for kind in kinds(streams, moment) if kind)


@given(streams(), configured())
def test_at_every_moment_as_many_gaps_are_open_as_slots_are_free_beside_waiting_jobs(
    streams: dict[str, list[e.Event]], configured: list[e.Event]
) -> None:
    since, until = at(3), at(1000)
    found = panel(MODEL, bars_in(streams), configured, since, until)
    for moment in between(
        {since, until}
        | {event.at for events in (*streams.values(), configured) for event in events}
    ):
        known = kinds(streams, moment)
        limit, paused = 0, False
        for change in (event for event in configured if event.at <= moment):
            limit = change.limit if isinstance(change, e.LimitSet) else limit
            paused = isinstance(change, e.ModelPaused) or (
                paused and not isinstance(change, e.ModelResumed)
            )
        due = (
            0
            if paused or moment < since
            else max(0, min(limit - known.count(SLOT), known.count(WAITING)))
        )
        open_then = [
            gap
            for gap in found.gaps
            if gap.begin <= moment and (gap.end is None or moment < gap.end)
        ]
        assert len(open_then) == due
        assert not due or HELD not in known or all(gap.held_back for gap in open_then)
        if moment > since:
            assert [waiting for begin, waiting in found.line.items() if begin <= moment][
                -1
            ] == known.count(WAITING)
    assert all(
        gap.seconds == ((gap.end or until) - gap.begin).total_seconds() >= 0 for gap in found.gaps
    )


def test_the_simulation_needs_no_more_lanes_than_slots_and_refills_in_seconds() -> None:
    sim = campaign.burst(60, limit=4)
    with newer_shape():  # in which the simulation stores
        bars = bars_in(
            {upload.job: events_of(sim.people, job_stream(upload.job)) for upload in sim.uploads}
        )
    for alias in sim.limits:
        of_model = [bar for bar in bars if bar.model == alias]
        jobs = len({bar.job for bar in of_model if bar.kind == SLOT})
        first, last = (
            min(bar.begin for bar in of_model),
            max(bar.end or bar.begin for bar in of_model),
        )
        shown = panel(alias, of_model, events_of(sim.people, model_stream(alias)), first, last)
        assert sum(bar.kind == SLOT for bar in shown.bars) >= jobs > 4
        assert shown.lanes == shown.limit == 4
        assert shown.refills.count >= jobs - 2 * 4
        assert shown.refills.largest_seconds is not None
        assert shown.refills.largest_seconds < 20
