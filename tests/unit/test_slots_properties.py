"""The minutes of timers, and the capacity writes beside a plain model: each passes exactly when its condition says so."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared import projections as p
from shared.memory import MemoryTables
from shared.names import holder, job_stream, parse_holder
from shared.slots import (
    AT_BEDROCK,
    Ceiling,
    Day,
    Lease,
    Refusal,
    Slots,
    backoff_due,
    check_in_due,
    follow_up_due,
    grid_due,
    lease_due,
    leased,
    passed_by,
    refusal_of,
)
from shared.store import Store
from shared.tables import ConditionFailed, EventRow, LineRow, SlotsRow, ViewRow, Write
from tests.support.samples import MODEL, at, life, slot_claimed

MINUTE, DAY, EPOCH = timedelta(minutes=1), timedelta(days=1), datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given
EDGES = st.builds(
    lambda time, micro: time.replace(second=0, microsecond=0) + timedelta(microseconds=micro), TIMES, st.integers(-2, 2)
)
MOMENTS = TIMES | EDGES
STEPS = st.integers(1, 1440)
BACKOFF = [1, 2, 5, 10, 30]  # minutes, by refusal
ELSEWHERE = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def minute_of(due: datetime) -> int:
    """The number of a due minute, in whole numbers only; a due time that is none of a timer's is an error."""
    assert (due - EPOCH) % MINUTE == timedelta(0)
    return (due - EPOCH) // MINUTE


@given(MOMENTS, STEPS, st.integers(-2000, 2000))
def test_a_grids_due_minute_is_its_first_that_is_a_full_minute_ahead(now: datetime, step: int, offset: int) -> None:
    due = grid_due(now, step, offset=offset)
    assert (minute_of(due) - offset) % step == 0
    assert now + MINUTE <= due < now + MINUTE + step * MINUTE


@given(MOMENTS, MOMENTS)
def test_a_leases_timer_is_after_its_end_and_soon(until: datetime, now: datetime) -> None:
    for end in (until, now + timedelta(seconds=until.second), now - timedelta(seconds=until.second)):
        due = lease_due(end, now)
        minute_of(due)
        assert due > end
        assert due >= now + MINUTE
        assert due <= max(end, now + MINUTE) + MINUTE


@given(MOMENTS, MOMENTS, STEPS, st.integers(0, 2**40))
def test_every_hint_between_two_check_ins_names_the_next_one(anchor: datetime, now: datetime, step: int, micro: int) -> None:
    due = check_in_due(anchor, step, now)
    assert (minute_of(due) - (anchor - EPOCH) // MINUTE) % step == 0
    assert now + MINUTE <= due < now + MINUTE + step * MINUTE
    earlier = timedelta(microseconds=micro) % (step * MINUTE)
    assert check_in_due(anchor, step, due - MINUTE - earlier) == due


@given(MOMENTS, MOMENTS)
def test_only_a_timer_that_is_early_is_followed_by_another_and_that_is_later(due: datetime, now: datetime) -> None:
    again = follow_up_due(due, now)
    early = now < due < now + DAY
    assert (again is not None) == early
    if again is not None:
        minute_of(again)
        assert again > due
        assert again - due <= MINUTE


@given(MOMENTS, st.integers(-1, 9))
def test_backing_off_ends_on_the_grid_of_its_refusal_count(now: datetime, count: int) -> None:
    step = BACKOFF[min(max(count, 1), len(BACKOFF)) - 1]
    due = backoff_due(now, count)
    assert minute_of(due) % step == 0
    assert now + MINUTE <= due < now + MINUTE + step * MINUTE


@given(MOMENTS)
def test_backing_off_grows_with_every_refusal_up_to_the_last_step(start: datetime) -> None:
    moments = [start + number * MINUTE for number in range(30)]  # one turn of all grids; a single moment may be near a grid's end
    waits = [sum((backoff_due(now, count) - now for now in moments), timedelta(0)) for count in range(1, 8)]
    assert waits[:5] == sorted(set(waits))
    assert waits[4:] == [waits[4]] * 3


@given(MOMENTS, MOMENTS, STEPS, st.integers(1, 9), ELSEWHERE)
def test_a_due_minute_depends_on_the_instant_alone(one: datetime, other: datetime, step: int, count: int, zone: timezone) -> None:
    there, others = one.astimezone(zone), other.astimezone(zone)
    assert backoff_due(there, count) == backoff_due(one, count)
    assert lease_due(others, there) == lease_due(other, one)
    assert check_in_due(others, step, there) == check_in_due(other, step, one)
    assert {due.tzinfo for due in (backoff_due(there, count), lease_due(others, there))} == {UTC}


@given(st.lists(st.sampled_from(["quota", "throttle", "unanswered", "passed"]), min_size=1, max_size=12), MOMENTS)
def test_a_holder_keeps_count_of_its_refusals_through_leases(story: list[str], start: datetime) -> None:
    lease, refusal, now = leased("a", start, start), None, start
    for what in story:
        now += MINUTE
        if what == "passed":
            refusal = passed_by(refusal) if refusal else None
        else:
            lease = leased("b", now, now, refusal)
            refusal = refusal_of(lease, what, now)
    kinds = [what for what in story if what != "passed"]
    if refusal is None:
        assert not kinds
        return
    first = story.index(kinds[0])
    assert refusal.count == sum(kind != "unanswered" for kind in kinds)
    assert (refusal.kind, refusal.since) == (kinds[-1], start + (first + 1) * MINUTE)
    assert refusal.passed == story[first:].count("passed")


TEXT = st.text(max_size=20)
COUNTS = st.integers(0, 2**53)
LEASES = st.builds(
    Lease, owner=TEXT, until=MOMENTS, since=st.none() | MOMENTS, count=COUNTS, passed=COUNTS
) | st.just(AT_BEDROCK)  # fmt: skip
REFUSALS = st.builds(Refusal, kind=TEXT, since=MOMENTS, retry_at=MOMENTS, count=COUNTS, passed=COUNTS)
WHOSE = st.builds(holder, st.text("abcxyz234567", min_size=26, max_size=26), st.integers(1, 999))
SLOTS = st.builds(
    Slots, model=st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True), limit=COUNTS, paused=st.booleans(), model_version=COUNTS,
    ends=COUNTS, holders=st.dictionaries(WHOSE, LEASES, max_size=3), refused=st.dictionaries(WHOSE, REFUSALS, max_size=3),
    day=st.just(Day()) | st.builds(Day, date=st.sampled_from(["2026-11-23", "2026-11-24"]), jobs=COUNTS, records=COUNTS),
)  # fmt: skip


@given(SLOTS)
def test_slots_survive_being_stored(slots: Slots) -> None:
    tables = MemoryTables()
    store = Store(tables, sleep=lambda _: None)
    store.commit(p.model_changed(None, slots))
    assert store.slots(slots.model) == slots
    row = SlotsRow()
    row.from_dynamodb_dict(p.slots_row(slots).to_dynamodb_dict())
    assert p.slots_of(row) == slots


DATES = ["2026-11-22", "2026-11-23", "2026-11-24"]
HOLDERS = [holder(name * 26, attempt) for name in "ab" for attempt in (1, 2)]
FEW_LEASES = st.builds(Lease, owner=st.sampled_from("xy"), until=st.integers(0, 1).map(at)) | st.just(AT_BEDROCK)
FEW_REFUSALS = st.builds(
    Refusal,
    kind=st.just("quota"),
    since=st.just(at(0)),
    retry_at=st.just(at(60)),
    count=st.integers(1, 2),
    passed=st.integers(0, 1),
)
ANY_ROW = st.fixed_dictionaries(
    {
        "limit": st.integers(0, 5), "paused": st.sampled_from([False, False, False, True]), "model_version": st.just(1),
        "ends": st.integers(0, 2), "holders": st.dictionaries(st.sampled_from(HOLDERS), FEW_LEASES, max_size=3),
        "refused": st.dictionaries(st.sampled_from(HOLDERS), FEW_REFUSALS, max_size=3),
        "day": st.just(Day()) | st.builds(Day, date=st.sampled_from(DATES), jobs=st.integers(0, 2), records=st.integers(0, 300)),
    },
)  # fmt: skip
CEILINGS = st.builds(Ceiling, jobs=st.none() | st.integers(1, 3), records=st.none() | st.sampled_from([99, 100, 199, 200, 250]))
MOSTLY = st.sampled_from([True] * 5 + [False])
WHICH = st.sampled_from(HOLDERS)


class Capacity(RuleBasedStateMachine):
    """Every capacity write, by callers who are right and by callers who are late; `row` is the plain model of the item."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = MemoryTables()
        self.store = Store(self.tables, sleep=lambda _: None)
        self.row: dict[str, Any] | None = None
        self.events = {parse_holder(whose)[0]: 1 for whose in HOLDERS}
        for job in self.events:
            self.tables.write([p.append(replace(life(), id=job, version=1), slot_claimed(job))])

    @initialize(row=ANY_ROW, known=MOSTLY)
    def in_the_middle_of_any_story(self, row: dict[str, Any], known: bool) -> None:
        if known:
            self.row = row
            self.store.commit(p.model_changed(None, Slots(model=MODEL, **row)))

    @rule(limit=st.integers(0, 3), paused=st.booleans(), newer=st.integers(-1, 1), first=st.booleans())
    def the_model_changes(self, limit: int, paused: bool, newer: int, first: bool) -> None:
        now = self.row
        version = (now["model_version"] if now else 0) + newer
        changed = Slots(model=MODEL, limit=limit, paused=paused, model_version=version)
        allowed = now is None if first else now is not None and newer > 0
        if self._commits(p.model_changed(None if first else changed, changed), allowed):
            known = {"limit": limit, "paused": paused, "model_version": version}
            self.row = {"ends": 0, "holders": {}, "refused": {}, "day": Day(), **(now or {}), **known}

    @rule(
        whose=WHICH, lease=FEW_LEASES, honest=MOSTLY, free=MOSTLY, ceiling=st.just(Ceiling()) | CEILINGS,
        date=st.sampled_from(DATES), late=st.none() | st.builds(Day, date=st.sampled_from(DATES), jobs=st.integers(0, 2)),
    )  # fmt: skip
    def a_claim(  # noqa: PLR0917 - Hypothesis names them
        self, whose: str, lease: Lease, honest: bool, free: bool, ceiling: Ceiling, date: str, late: Day | None
    ) -> None:
        """`late` is the day as somebody read it who was late, `date` what the clock says."""
        whose = self._one_of(set(HOLDERS) - {*self._holders, *self._refused}, whose, honest=honest)
        job = self._read(whose, free=free)
        allowed = free and self._room and whose not in self._holders and whose not in self._refused
        day = self.row["day"] if self.row else Day()
        seen, event = late or day, replace(slot_claimed(job.id), at=datetime.fromisoformat(f"{date}T12:00:00+00:00"))
        today = max(date, seen.date)
        began = (
            replace(day, jobs=day.jobs + 1, records=day.records + 100)
            if today == day.date
            else Day(date=today, jobs=1, records=100)
        )
        allowed = allowed and (today == day.date if today == seen.date else today > day.date)
        allowed = allowed and (ceiling.jobs is None or began.jobs <= ceiling.jobs)
        allowed = allowed and (ceiling.records is None or began.records <= ceiling.records)
        try:
            writes = p.claimed(job, event, whose, lease, seen=seen, ceiling=ceiling)
        except ConditionFailed:
            assert not allowed
            return
        if self._commits(writes, allowed, whose) and self.row:
            self._holders[whose] = lease
            self.row["day"] = began

    @rule(whose=WHICH, lease=FEW_LEASES, honest=MOSTLY)
    def a_refused_one_is_taken(self, whose: str, lease: Lease, honest: bool) -> None:
        whose = self._one_of(self._refused, whose, honest=honest)
        allowed = self._room and whose in self._refused and whose not in self._holders
        if self._commits(p.taken(MODEL, whose, lease), allowed):
            del self._refused[whose]
            self._holders[whose] = lease

    @rule(whose=WHICH, seen=FEW_LEASES, honest=st.booleans(), new=FEW_LEASES)
    def a_take_over(self, whose: str, seen: Lease, honest: bool, new: Lease) -> None:
        whose = self._one_of(self._holders, whose)
        held = self._holders.get(whose)
        old = held if held and honest else seen
        allowed = held is not None and not held.submitted and (held.owner, held.until) == (old.owner, old.until)
        if self._commits(p.taken_over(MODEL, whose, old, new), allowed):
            self._holders[whose] = new

    @rule(whose=WHICH, lease=FEW_LEASES, free=MOSTLY)
    def bedrock_has_it(self, whose: str, lease: Lease, free: bool) -> None:
        job = self._read(whose, free=free)
        allowed = free and self.row is not None
        event = slot_claimed(job.id)
        if self._commits(p.submitted(job, event, whose), allowed, whose) and self.row:
            self.row["taken_on"] = event.at.date().isoformat()
            self._holders[whose] = AT_BEDROCK
            self._refused.pop(whose, None)

    @rule(
        whose=WHICH, seen=FEW_LEASES, honest=MOSTLY, refusal=FEW_REFUSALS, free=MOSTLY, event=st.booleans(),
        missed=st.sampled_from([None, 0, 0, 1]),
    )  # fmt: skip
    def a_refusal(  # noqa: PLR0917 - Hypothesis names them
        self, whose: str, seen: Lease, honest: bool, refusal: Refusal, free: bool, event: bool, missed: int | None
    ) -> None:
        """`missed` is how many ends came since Create; None where no Create was called."""
        whose = self._one_of(self._holders, whose)
        held = self._holders.get(whose)
        mine = held if held and honest else seen
        job = self._read(whose, free=free)
        ends = None if missed is None else (self.row["ends"] if self.row else 0) - missed
        said = slot_claimed(job.id) if event else None
        writes = p.given_up(job, said, holder=whose, lease=mine, refusal=refusal, ends=ends)
        allowed = free and not missed and held is not None and held.owner == mine.owner and not held.submitted
        if self._commits(writes, allowed, whose if event else None):
            del self._holders[whose]
            self._refused[whose] = refusal

    @rule(whose=WHICH, seen=FEW_REFUSALS, honest=MOSTLY, now=FEW_REFUSALS)
    def another_passed(self, whose: str, seen: Refusal, honest: bool, now: Refusal) -> None:
        whose = self._one_of(self._refused, whose)
        stands = self._refused.get(whose)
        seen = stands if stands and honest else seen
        allowed = stands is not None and (stands.count, stands.passed) == (seen.count, seen.passed)
        if self._commits(p.passed(MODEL, whose, seen, now), allowed):
            self._refused[whose] = now

    @rule(whose=WHICH, seen=st.none() | FEW_LEASES, honest=MOSTLY, refused=st.booleans(), free=MOSTLY)
    def an_end(self, whose: str, seen: Lease | None, honest: bool, refused: bool, free: bool) -> None:
        held = self._holders.get(whose)
        mine = held if held and seen and honest else seen
        job = self._read(whose, free=free)
        allowed = free and self.row is not None and (whose in self._refused or not refused)
        if mine is not None:
            allowed = allowed and held is not None and held.owner == mine.owner and not held.submitted
        if self._commits(p.released(job, slot_claimed(job.id), whose, lease=mine, refused=refused), allowed, whose) and self.row:
            self._holders.pop(whose, None)
            self._refused.pop(whose, None)
            self.row["ends"] += 1

    @rule()
    def a_strangers_end(self) -> None:
        if self._commits(p.foreign_end(MODEL), self.row is not None) and self.row:
            self.row["ends"] += 1

    @invariant()
    def the_item_is_what_the_model_says(self) -> None:
        assert self.store.slots(MODEL) == (Slots(model=MODEL, **self.row) if self.row else None)

    @invariant()
    def each_success_appended_one_event_and_each_failure_none(self) -> None:
        for job, events in self.events.items():
            assert len(self.tables.query(EventRow, job_stream(job))) == events

    @property
    def _holders(self) -> dict[str, Lease]:
        return self.row["holders"] if self.row else {}

    @property
    def _refused(self) -> dict[str, Refusal]:
        return self.row["refused"] if self.row else {}

    @property
    def _room(self) -> bool:
        return self.row is not None and len(self._holders) < self.row["limit"] and not self.row["paused"]

    def _one_of(self, likely: Iterable[str], whose: str, *, honest: bool = True) -> str:
        """One of those for whom it may pass, if there are any; else, or if not honest, `whose`."""
        pool = sorted(likely)
        return pool[HOLDERS.index(whose) % len(pool)] if honest and pool else whose

    def _read(self, whose: str, *, free: bool) -> Any:
        """The holder's job as somebody read it: as it is, or before its last event, so that the next version is taken."""
        job = parse_holder(whose)[0]
        return replace(life(), id=job, status="Claimed", version=self.events[job] + free - 1)

    def _commits(self, writes: Sequence[Write], allowed: bool, whose: str | None = None) -> bool:
        """Commit; it must pass exactly when it is allowed to, and change nothing at all when it does not."""
        before = len(self.tables.log)
        try:
            self.store.commit(writes)
        except ConditionFailed:
            assert not allowed
            assert len(self.tables.log) == before
            return False
        assert allowed
        if whose is not None:
            job = parse_holder(whose)[0]
            self.events[job] += 1
            view = self.tables.get(ViewRow, p.view_pk(job), p.VIEW_KEY)
            assert view
            assert view.version == self.events[job]
            assert self.tables.query(LineRow, p.line_pk(MODEL)) == []
        return True


Capacity.TestCase.settings = settings(max_examples=300, stateful_step_count=12)
TestCapacity = Capacity.TestCase
