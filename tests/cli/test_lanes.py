"""Bars, lanes and gaps: what they are in small cases, and what holds for any history."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cli import lanes
from cli.lanes import HOLD, SLOT, Life, in_lanes, life, panel, times
from shared import events as e
from shared.job import CLAIMED, ENDS, QUEUED, RUNNING, fold
from shared.names import job_stream, model_stream
from shared.store import Store
from tests.cli.lives import histories
from tests.simulation import campaign
from tests.simulation.versions import newer_shape
from tests.support.samples import MODEL, at, id_of, queued, slot_claimed

HELD = "Held"  # in line again, because Bedrock refused it
LIMIT_1 = [e.LimitSet(at=at(-100), limit=1)]


def job(name: str, *later: e.Event, seconds: float = 0) -> Life:
    found = life(id_of(name), [queued(name, seconds=seconds), *later])
    assert found is not None
    return found


def claimed(seconds: float, attempt: int = 1) -> e.SlotClaimed:
    return slot_claimed("job", attempt, seconds)


def submitted(seconds: float, attempt: int = 1) -> e.JobSubmitted:
    return e.JobSubmitted(at=at(seconds), attempt=attempt, arn="arn")


def started(seconds: float) -> e.JobProgressed:
    return e.JobProgressed(at=at(seconds), attempt=1, status="InProgress")


def refused(seconds: float, attempt: int = 1, kind: str = "quota") -> e.SubmissionRefused:
    return e.SubmissionRefused(at=at(seconds), attempt=attempt, kind=kind, message="the quota is full", taken=0)


def ended(seconds: float, attempt: int = 1, status: str = "Completed") -> e.JobEnded:
    return e.JobEnded(at=at(seconds), attempt=attempt, status=status, message="", arn="arn")


def seen(bar: lanes.Bar) -> tuple[str, int, datetime, datetime | None, str]:
    return bar.kind, bar.attempt, bar.begin, bar.end, bar.outcome


def test_a_job_that_ran_is_one_bar_from_its_claim_to_its_end() -> None:
    tally = e.JobTallied(at=at(91), attempt=1, succeeded_records=90, failed_records=10)

    (bar,) = job("a", claimed(5), submitted(6), started(40), ended(90), tally).bars

    assert seen(bar) == (SLOT, 1, at(5), at(90), "CompletedWithErrors")
    assert (bar.started, bar.waited_seconds, bar.records, bar.status) == (at(40), 5.0, 100, "Completed")


def test_a_bar_that_is_not_over_has_no_end_and_no_outcome() -> None:
    (bar,) = job("a", claimed(5), submitted(6)).bars

    assert (seen(bar), bar.status) == ((SLOT, 1, at(5), None, ""), "Submitted")


def test_a_refused_job_gives_its_slot_back_and_is_held_until_bedrock_takes_it() -> None:
    found = job("a", claimed(5), refused(6), submitted(60), ended(90, status="Failed"))

    assert [seen(bar) for bar in found.bars] == [
        (SLOT, 1, at(5), at(6), "Refused"), (HOLD, 1, at(6), at(60), ""), (SLOT, 1, at(60), at(90), "Failed"),
    ]  # fmt: skip
    assert [bar.reason for bar in found.bars] == ["the quota is full", "the quota is full", ""]


def test_a_job_that_ends_while_it_is_held_ends_as_a_held_bar() -> None:
    cancel = e.CancelRequested(at=at(20), by="ada", why="not needed")

    found = job("a", claimed(5), refused(6), cancel, e.JobCancelled(at=at(21)))

    assert [seen(bar) for bar in found.bars] == [(SLOT, 1, at(5), at(6), "Refused"), (HOLD, 1, at(6), at(21), "Cancelled")]
    assert found.bars[-1].reason == "cancelled by ada: not needed"


def test_every_attempt_is_a_bar_with_its_own_outcome_and_its_own_wait() -> None:
    again = e.JobRequeued(at=at(30), attempt=1, by="policy", why="expired before it began")

    found = job("a", claimed(5), submitted(6), ended(29, status="Expired"), again, claimed(70, 2), submitted(71, 2), ended(90, 2))

    assert [seen(bar) for bar in found.bars] == [(SLOT, 1, at(5), at(29), "Expired"), (SLOT, 2, at(70), at(90), "Completed")]
    assert [bar.waited_seconds for bar in found.bars] == [5.0, 40.0]


def test_a_job_that_never_had_a_slot_has_no_bar() -> None:
    rejected = e.JobRejected(at=at(0), model=MODEL, sources=(), problems=(), problem_count=0, size_bytes=0)

    assert job("a", e.JobCancelled(at=at(9))).bars == ()
    assert life("b", [rejected]) == Life(model=MODEL, bars=(), moves=())
    assert life("c", []) is None


def test_a_bar_never_ends_before_it_begins_whatever_the_clocks_say() -> None:
    (bar,) = job("a", claimed(5), submitted(4), ended(3)).bars

    assert seen(bar) == (SLOT, 1, at(5), at(5), "Completed")


def test_a_freed_lane_is_used_again_at_once() -> None:
    bars = [bar for found in (job("a", claimed(1), ended(5)), job("b", claimed(2)), job("c", claimed(5))) for bar in found.bars]

    assert [(bar.job, bar.lane) for bar in in_lanes(bars)] == [(id_of("a"), 1), (id_of("b"), 2), (id_of("c"), 1)]


def test_a_refill_is_from_an_end_to_the_next_start_while_somebody_waited() -> None:
    first, second = job("a", claimed(0), ended(50)), job("b", claimed(50.25), ended(80), seconds=10)

    found = panel(MODEL, [first, second, job("c", claimed(95), seconds=95)], LIMIT_1, at(-10), at(100))

    assert [(gap.begin, gap.end, gap.after, gap.after_job, gap.next_job) for gap in found.gaps if gap.seconds] == [
        (at(50), at(50.25), "end", id_of("a"), id_of("b"))  # nobody waited at 80
    ]
    assert (found.refills.count, found.refills.largest_seconds) == (1, 0.25)


def test_the_oldest_gap_is_filled_first() -> None:
    lives = [job("a", claimed(0), ended(50)), job("b", claimed(0), ended(52)), job("c", claimed(53), seconds=9),
             job("d", claimed(56), seconds=9)]  # fmt: skip

    found = panel(MODEL, lives, [e.LimitSet(at=at(-9), limit=2)], at(-10), at(100))

    assert [(gap.after_job, gap.next_job, gap.seconds) for gap in found.gaps if gap.refill] == [
        (id_of("a"), id_of("c"), 3.0), (id_of("b"), id_of("d"), 4.0),
    ]  # fmt: skip


def test_a_gap_is_no_refill_while_a_job_of_the_model_is_held() -> None:
    held = job("b", claimed(1), refused(2), submitted(60))
    lives = [job("a", claimed(0), ended(50)), held, job("c", claimed(70), seconds=9), job("d", seconds=9)]

    found = panel(MODEL, lives, [e.LimitSet(at=at(-9), limit=2)], at(3), at(100))

    assert [(gap.begin, gap.end, gap.next_job, gap.held_back) for gap in found.gaps] == [
        (at(9), at(60), id_of("b"), True), (at(50), at(70), id_of("c"), True),
    ]  # fmt: skip
    assert found.refills.count == 0


def test_a_gap_during_which_a_job_is_refused_is_no_refill() -> None:
    lives = [job("a", claimed(0), ended(50)), job("b", claimed(0), ended(51)), job("c", claimed(52), refused(53), seconds=9),
             job("d", claimed(90), seconds=9)]  # fmt: skip

    found = panel(MODEL, lives, [e.LimitSet(at=at(-9), limit=2)], at(3), at(100))

    assert [(gap.begin, gap.next_job, gap.held_back) for gap in found.gaps] == [
        (at(50), id_of("c"), False), (at(51), id_of("d"), True),
    ]  # fmt: skip
    assert found.refills.count == 1


def test_a_job_that_ends_the_moment_it_starts_did_use_a_slot() -> None:
    found = panel(MODEL, [job("a", claimed(5), ended(5)), job("b", seconds=1)], [], at(0), at(100))

    assert [(gap.begin, gap.end) for gap in found.gaps] == [(at(0), at(5)), (at(5), None)]


def test_a_job_that_is_taken_again_fills_no_gap_where_another_slot_is_free_as_well() -> None:
    held = job("b", claimed(1), refused(2), submitted(60))
    lives = [job("a", claimed(0), ended(50)), held, job("c", claimed(70), seconds=9)]

    found = panel(MODEL, lives, [e.LimitSet(at=at(-9), limit=2)], at(3), at(100))

    assert [(gap.begin, gap.end, gap.next_job) for gap in found.gaps] == [(at(9), at(70), id_of("c"))]


def test_a_pause_a_lower_limit_and_a_cancel_end_a_gap_without_a_refill() -> None:
    waiting = job("b", e.JobCancelled(at=at(60)), seconds=9)
    lives = [job("a", claimed(0), ended(20)), waiting]
    changes = [
        e.ModelPaused(at=at(25), by="ada", why=""), e.ModelResumed(at=at(30), by="ada", why=""), e.LimitSet(at=at(40), limit=0),
        e.LimitSet(at=at(50), limit=1),
    ]  # fmt: skip

    found = panel(MODEL, lives, [*LIMIT_1, *changes], at(-10), at(100))

    assert [(gap.begin, gap.end, gap.after, gap.next_job) for gap in found.gaps if gap.seconds] == [
        (at(20), at(25), "end", None), (at(30), at(40), "configured", None), (at(50), at(60), "configured", None),
    ]  # fmt: skip


def test_a_gap_that_goes_on_lasts_until_now_and_one_from_before_the_window_begins_with_it() -> None:
    found = panel(MODEL, [job("a", claimed(0), ended(20)), job("b", seconds=9)], LIMIT_1, at(60), at(100))

    assert [(gap.begin, gap.end, gap.seconds, gap.after) for gap in found.gaps] == [(at(60), None, 40.0, "before")]


def test_without_a_limit_there_are_as_many_slots_as_were_ever_used() -> None:
    found = panel(MODEL, [job("a", claimed(0), ended(20)), job("b", claimed(23), seconds=9)], [], at(-1), at(100))

    assert [gap.seconds for gap in found.gaps if gap.after == "end"] == [3.0]


def test_bars_that_were_over_before_the_window_are_not_shown() -> None:
    again = e.JobRequeued(at=at(30), attempt=1, by="ada", why="")
    found = panel(MODEL, [job("a", claimed(5), submitted(6), ended(29), again, claimed(70, 2))], LIMIT_1, at(50), at(100))

    assert [(bar.attempt, bar.lane) for bar in found.bars] == [(2, 1)]
    assert (found.waits.count, found.waits.largest_seconds) == (1, 40.0)


def test_the_line_is_counted_from_the_beginning_of_the_window_to_its_end() -> None:
    found = panel(MODEL, [job("a", claimed(5), refused(6), submitted(8)), job("b", seconds=7)], LIMIT_1, at(1), at(100))

    assert [(count.at, count.waiting, count.held) for count in found.counts] == [
        (at(1), 1, 0), (at(5), 0, 0), (at(6), 0, 1), (at(7), 1, 1), (at(8), 1, 0), (at(100), 1, 0),
    ]  # fmt: skip


def test_figures_are_by_nearest_rank() -> None:
    found = times(float(number) for number in range(1, 201))

    assert (found.median_seconds, found.p99_seconds, found.largest_seconds) == (100.5, 198.0, 200.0)
    assert times([]).median_seconds is None


@st.composite
def streams(draw: st.DrawFn) -> dict[str, list[e.Event]]:
    """Any lives of a few jobs: each its own way, without regard to a limit, often at the very same moments."""
    found: dict[str, list[e.Event]] = {}
    for number in range(draw(st.integers(1, 6))):
        now = draw(st.integers(0, 20))
        events: list[e.Event] = [queued(str(number), seconds=now)]
        attempt = 0
        for step in draw(st.lists(st.sampled_from(["claim", "refuse", "submit", "end", "cancel", "again"]), max_size=8)):
            now += draw(st.integers(0, 5))
            attempt += step == "claim"
            events.append(
                {
                    "claim": claimed(now, attempt), "refuse": refused(now, attempt), "submit": submitted(now, attempt),
                    "end": ended(now, attempt, draw(st.sampled_from(sorted(ENDS)))), "cancel": e.JobCancelled(at=at(now)),
                    "again": e.JobRequeued(at=at(now), attempt=attempt, by="ada", why=""),
                }[step]
            )  # fmt: skip
        found[id_of(str(number))] = events
    return found


@st.composite
def configured(draw: st.DrawFn) -> list[e.Event]:
    """Any limits and pauses."""
    events: list[e.Event] = [e.LimitSet(at=at(-1), limit=draw(st.integers(0, 4)))]
    for now in sorted(draw(st.lists(st.integers(0, 50), max_size=4))):
        kind = draw(st.sampled_from([e.LimitSet, e.ModelPaused, e.ModelResumed]))
        more = {"limit": draw(st.integers(0, 4))} if kind is e.LimitSet else {"by": "ada", "why": ""}
        events.append(kind(at=at(now), **more))
    return events


def lives_of(streams: dict[str, list[e.Event]]) -> list[Life]:
    return [found for job_id, events in streams.items() if (found := life(job_id, events))]


def events_of(store: Store, stream: str) -> list[e.Event]:
    return [recorded.event for recorded in store.load(stream)]


def statuses(streams: dict[str, list[e.Event]], moment: datetime) -> list[str]:
    """As the fold of what had happened by then says: nothing of what is tested here."""
    folds = (fold(job_id, (event for event in events if event.at <= moment)) for job_id, events in streams.items())
    return [HELD if found.status == QUEUED and found.may_be_at_bedrock else found.status for found in folds if found]


def between(moments: set[datetime]) -> list[datetime]:
    """The middle of each stretch in which nothing happens."""
    return [first + (last - first) / 2 for first, last in pairwise(sorted(moments))]


@given(streams())
def test_bars_of_a_lane_never_overlap_and_lanes_are_as_many_as_the_most_at_once(streams: dict[str, list[e.Event]]) -> None:
    until = at(1000)
    for kind in (SLOT, HOLD):
        bars = in_lanes(bar for found in lives_of(streams) for bar in found.bars if bar.kind == kind)
        for one, other in ((one, other) for one in bars for other in bars if one is not other and one.lane == other.lane):
            assert (one.end or until) <= other.begin or (other.end or until) <= one.begin
        most = [sum(bar.begin <= one.begin and (bar is one or (bar.end or until) > one.begin) for bar in bars) for one in bars]
        assert max((bar.lane for bar in bars), default=0) <= max(most, default=0)
        assert {bar.lane for bar in bars} == set(range(1, max((bar.lane for bar in bars), default=0) + 1))


@given(streams())
def test_bars_say_who_was_where_at_every_moment(streams: dict[str, list[e.Event]]) -> None:
    bars = [bar for found in lives_of(streams) for bar in found.bars]
    for moment in between({at(-1), at(1000)} | {event.at for events in streams.values() for event in events}):
        there = [bar.kind for bar in bars if bar.begin <= moment and (bar.end is None or moment < bar.end)]
        known = statuses(streams, moment)
        assert there.count(SLOT) == sum(status in RUNNING | {CLAIMED} for status in known)
        assert there.count(HOLD) == known.count(HELD)


@given(streams(), configured())
def test_at_every_moment_as_many_gaps_are_open_as_slots_are_free_beside_somebody_in_line(
    streams: dict[str, list[e.Event]], configured: list[e.Event]
) -> None:
    since, until = at(3), at(1000)
    found = panel(MODEL, lives_of(streams), configured, since, until)
    for moment in between({since, until} | {event.at for events in (*streams.values(), configured) for event in events}):
        known = statuses(streams, moment)
        used = sum(status in RUNNING | {CLAIMED} for status in known)
        limit, paused = 0, False
        for change in (event for event in configured if event.at <= moment):
            limit = change.limit if isinstance(change, e.LimitSet) else limit
            paused = isinstance(change, e.ModelPaused) or (paused and not isinstance(change, e.ModelResumed))
        due = 0 if paused or moment < since else max(0, min(limit - used, known.count(QUEUED)))
        open_then = [gap for gap in found.gaps if gap.begin <= moment and (gap.end is None or moment < gap.end)]
        assert len(open_then) == due
        assert not due or HELD not in known or all(gap.held_back for gap in open_then)
    assert all(gap.seconds == ((gap.end or until) - gap.begin).total_seconds() >= 0 for gap in found.gaps)


def test_what_the_scheduler_does_in_the_simulation_needs_no_more_lanes_than_slots_and_refills_in_seconds() -> None:
    sim = campaign.burst(60, limit=4)
    with newer_shape():  # in which the simulation stores
        stored = {upload.job: events_of(sim.people, job_stream(upload.job)) for upload in sim.uploads}
    for alias in sim.limits:
        events = events_of(sim.people, model_stream(alias))
        lives = [found for found in lives_of(stored) if found.model == alias]
        moments = [move.at for found in lives for move in found.moves]
        shown = panel(alias, lives, events, min(moments), max(moments))
        assert sum(bar.kind == SLOT for bar in shown.bars) >= len([found for found in lives if found.bars]) > 4
        assert shown.lanes == shown.limit == 4
        assert shown.refills.count >= len([found for found in lives if found.bars]) - 2 * 4
        assert shown.refills.largest_seconds is not None
        assert shown.refills.largest_seconds < 20


def test_made_up_histories_are_what_they_say() -> None:
    found, configured = histories(60, limit=4)
    shown = panel(MODEL, lives_of(found), configured, at(0), at(24 * 3600))

    assert shown.lanes == 4
    assert shown.held_lanes
    assert {"Completed", "CompletedWithErrors", "Refused", ""} <= {bar.outcome for bar in shown.bars}
    assert max(gap.seconds for gap in shown.gaps) < timedelta(hours=12).total_seconds()
