"""The minutes of timers, and the capacity writes beside a plain model: each passes exactly when its
condition says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bbq.shared import appends, rows
from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared.due import check_in_due, grid_due, lease_due
from bbq.shared.hold import FAILURES_IN_A_ROW, Hold, failed, next_probe, probed
from bbq.shared.memory import MemoryTables
from bbq.shared.names import holder, job_stream, parse_holder
from bbq.shared.slots import AT_BEDROCK, Ceiling, Day, Lease, Slots
from bbq.shared.store import Store
from bbq.shared.tables import ConditionFailed, EventRow, SlotsRow, ViewRow, Write
from tests.support.samples import ARN, MODEL, at, life, slot_claimed

MINUTE, DAY, EPOCH = timedelta(minutes=1), timedelta(days=1), datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given
EDGES = st.builds(
    lambda time, micro: time.replace(second=0, microsecond=0) + timedelta(microseconds=micro),
    TIMES,
    st.integers(-2, 2),
)
MOMENTS = TIMES | EDGES
STEPS = st.integers(1, 1440)
GRID = [1, 2, 5, 10, 30]  # minutes, by how often was asked
ELSEWHERE = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def minute_of(due: datetime) -> int:
    """The number of a due minute, in whole numbers only; a due time that is none of a timer's is an
    error.
    """
    assert (due - EPOCH) % MINUTE == timedelta(0)
    return (due - EPOCH) // MINUTE


@given(MOMENTS, STEPS, st.integers(-2000, 2000))
def test_a_grids_due_minute_is_its_first_that_is_a_full_minute_ahead(
    now: datetime, step: int, offset: int
) -> None:
    due = grid_due(now, step, offset=offset)
    assert (minute_of(due) - offset) % step == 0
    assert now + MINUTE <= due < now + MINUTE + step * MINUTE


@given(MOMENTS, MOMENTS)
def test_a_leases_timer_is_after_its_end_and_soon(until: datetime, now: datetime) -> None:
    for end in (
        until,
        now + timedelta(seconds=until.second),
        now - timedelta(seconds=until.second),
    ):
        due = lease_due(end, now)
        minute_of(due)
        assert due > end
        assert due >= now + MINUTE
        assert due <= max(end, now + MINUTE) + MINUTE


@given(MOMENTS, MOMENTS, STEPS, st.integers(0, 2**40))
def test_every_hint_between_two_check_ins_names_the_next_one(
    anchor: datetime, now: datetime, step: int, micro: int
) -> None:
    due = check_in_due(anchor, step, now)
    assert (minute_of(due) - (anchor - EPOCH) // MINUTE) % step == 0
    assert now + MINUTE <= due < now + MINUTE + step * MINUTE
    earlier = timedelta(microseconds=micro) % (step * MINUTE)
    assert check_in_due(anchor, step, due - MINUTE - earlier) == due


@given(MOMENTS, st.integers(-1, 9))
def test_a_probe_is_on_the_grid_of_its_count(now: datetime, count: int) -> None:
    step = GRID[min(max(count, 1), len(GRID)) - 1]
    due = next_probe(now, count)
    assert minute_of(due) % step == 0
    assert now + MINUTE <= due < now + MINUTE + step * MINUTE


@given(MOMENTS)
def test_probes_are_later_with_every_one_up_to_the_last_step(start: datetime) -> None:
    # one turn of all grids; a single moment may be near a grid's end
    moments = [start + number * MINUTE for number in range(30)]
    waits = [
        sum((next_probe(now, count) - now for now in moments), timedelta(0))
        for count in range(1, 8)
    ]
    assert waits[:5] == sorted(set(waits))
    assert waits[4:] == [waits[4]] * 3


@given(MOMENTS, MOMENTS, STEPS, st.integers(1, 9), ELSEWHERE)
def test_a_due_minute_depends_on_the_instant_alone(
    one: datetime, other: datetime, step: int, count: int, zone: timezone
) -> None:
    there, others = one.astimezone(zone), other.astimezone(zone)
    assert next_probe(there, count) == next_probe(one, count)
    assert lease_due(others, there) == lease_due(other, one)
    assert check_in_due(others, step, there) == check_in_due(other, step, one)
    assert {due.tzinfo for due in (next_probe(there, count), lease_due(others, there))} == {UTC}


TEXT = st.text(max_size=20)
COUNTS = st.integers(0, 2**53)
LEASES = st.builds(Lease, owner=TEXT, until=MOMENTS) | st.just(AT_BEDROCK)
HOLDS = st.none() | st.builds(
    Hold, kind=TEXT, message=TEXT, since=MOMENTS, until=MOMENTS, ends=COUNTS, count=COUNTS
)
WHOSE = st.builds(holder, st.text("abcxyz234567", min_size=26, max_size=26), st.integers(1, 999))
SLOTS = st.builds(
    Slots,
    model=st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True),
    limit=COUNTS,
    paused=st.booleans(),
    model_version=COUNTS,
    ends=COUNTS,
    taken=COUNTS,
    good_ends=COUNTS,
    holders=st.dictionaries(WHOSE, LEASES, max_size=3),
    refused=HOLDS,
    failing=HOLDS,
    failures=COUNTS,
    failed_late=st.booleans(),
    failed_since=st.none() | MOMENTS,
    pause=st.none() | st.builds(e.ModelPaused, at=MOMENTS, by=TEXT, why=TEXT),
    day=st.just(Day())
    | st.builds(
        Day, date=st.sampled_from(["2026-11-23", "2026-11-24"]), jobs=COUNTS, records=COUNTS
    ),
)


@given(SLOTS)
def test_slots_survive_being_stored(slots: Slots) -> None:
    tables = MemoryTables()
    store = Store(tables, sleep=lambda _: None)
    store.commit(p.model_changed(None, slots, resumed=False))
    assert store.slots(slots.model) == slots
    row = SlotsRow()
    row.from_dynamodb_dict(rows.slots_row(slots).to_dynamodb_dict())
    assert rows.slots_of(row) == slots


DATES = ["2026-11-22", "2026-11-23", "2026-11-24"]
HOLDERS = [holder(name * 26, attempt) for name in "ab" for attempt in (1, 2)]
FEW_LEASES = st.builds(
    Lease, owner=st.sampled_from("xy"), until=st.integers(0, 1).map(at)
) | st.just(AT_BEDROCK)
FEW_HOLDS = st.none() | st.builds(
    Hold,
    kind=st.just("invalid"),
    message=st.just("no"),
    since=st.just(at(0)),
    until=st.integers(1, 2).map(lambda n: at(60 * n)),
    ends=st.integers(0, 2),
    count=st.integers(1, 2),
)
ANY_ROW = st.fixed_dictionaries(
    {
        "limit": st.integers(0, 5),
        "paused": st.sampled_from([False, False, False, True]),
        "model_version": st.just(1),
        "ends": st.integers(0, 2),
        "taken": st.integers(0, 2),
        "good_ends": st.integers(0, 2),
        "holders": st.dictionaries(st.sampled_from(HOLDERS), FEW_LEASES, max_size=3),
        "refused": FEW_HOLDS,
        "failing": FEW_HOLDS,
        "failures": st.integers(0, 3),
        "failed_late": st.booleans(),
        "failed_since": st.sampled_from([None, at(3), at(5)]),
        "day": st.just(Day())
        | st.builds(
            Day, date=st.sampled_from(DATES), jobs=st.integers(1, 2), records=st.integers(100, 300)
        ),
    },
)
CEILINGS = st.builds(
    Ceiling,
    jobs=st.none() | st.integers(1, 3),
    records=st.none() | st.sampled_from([99, 100, 199, 200, 250]),
)
MOSTLY = st.sampled_from([True] * 5 + [False])
WHICH = st.sampled_from(HOLDERS)


class Capacity(RuleBasedStateMachine):
    """Every capacity write, by callers who are right and by callers who are late; `row` is the
    plain model of the item.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tables = MemoryTables()
        self.store = Store(self.tables, sleep=lambda _: None)
        self.row: dict[str, Any] | None = None
        self.events = {parse_holder(whose)[0]: 1 for whose in HOLDERS}
        for job in self.events:
            self.tables.write(
                [appends.append(replace(life(), id=job, version=1), slot_claimed(job))]
            )

    @initialize(row=ANY_ROW, known=MOSTLY)
    def in_the_middle_of_any_story(self, row: dict[str, Any], known: bool) -> None:
        if known:
            self.row = row
            self.store.commit(p.model_changed(None, Slots(model=MODEL, **row), resumed=False))

    @rule(
        limit=st.integers(0, 3),
        paused=st.booleans(),
        newer=st.integers(-1, 1),
        first=st.booleans(),
        resumed=st.booleans(),
    )
    def the_model_changes(
        self, limit: int, paused: bool, newer: int, first: bool, resumed: bool
    ) -> None:
        now = self.row
        version = (now["model_version"] if now else 0) + newer
        changed = Slots(model=MODEL, limit=limit, paused=paused, model_version=version)
        allowed = now is None if first else now is not None and newer > 0
        if self._commits(
            p.model_changed(None if first else changed, changed, resumed=resumed), allowed
        ):
            known = {"limit": limit, "paused": paused, "model_version": version}
            self.row = {
                "ends": 0,
                "taken": 0,
                "good_ends": 0,
                "holders": {},
                "day": Day(),
                **NOTHING_WRONG,
                **(now or {}),
                **known,
            }
            if not first:
                self.row["ends"] += 1
                self.row |= NOTHING_WRONG if resumed else {}

    @rule(
        whose=WHICH,
        lease=FEW_LEASES,
        honest=MOSTLY,
        free=MOSTLY,
        ceiling=st.just(Ceiling()) | CEILINGS,
        date=st.sampled_from(DATES),
        late=st.none() | st.builds(Day, date=st.sampled_from(DATES), jobs=st.integers(0, 2)),
        as_read=MOSTLY,
        refused=FEW_HOLDS,
        failing=FEW_HOLDS,
    )
    def a_claim(  # noqa: PLR0917 - Hypothesis names them
        self,
        whose: str,
        lease: Lease,
        honest: bool,
        free: bool,
        ceiling: Ceiling,
        date: str,
        late: Day | None,
        as_read: bool,
        refused: Hold | None,
        failing: Hold | None,
    ) -> None:
        """`late` is the day as somebody read it who was late, `date` what the clock says; the holds
        as read, if not `as_read`.
        """
        whose = self._one_of(set(HOLDERS) - {*self._holders}, whose, honest=honest)
        job = self._read(whose, free=free)
        slots = self._slots
        if not as_read:
            slots = replace(slots, refused=refused, failing=failing)
        allowed = free and self._room and whose not in self._holders
        allowed = (
            allowed
            and same(slots.refused, self._slots.refused)
            and same(slots.failing, self._slots.failing)
        )
        day = self._slots.day
        seen, event = (
            late or day,
            replace(slot_claimed(job.id), at=datetime.fromisoformat(f"{date}T12:00:00+00:00")),
        )
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
            writes = p.claimed(job, event, whose, lease, replace(slots, day=seen, ceiling=ceiling))
        except ConditionFailed:
            assert not allowed
            return
        if self._commits(writes, allowed, whose) and self.row:
            self._holders[whose] = lease
            self.row["day"] = began
            for name, hold in (("refused", slots.refused), ("failing", slots.failing)):
                self.row[name] = probed(hold, self.row["ends"], event.at) if hold else None

    @rule(whose=WHICH, seen=FEW_LEASES, honest=st.booleans(), new=FEW_LEASES)
    def a_take_over(self, whose: str, seen: Lease, honest: bool, new: Lease) -> None:
        whose = self._one_of(self._holders, whose)
        held = self._holders.get(whose)
        old = held if held and honest else seen
        allowed = (
            held is not None
            and not held.submitted
            and (held.owner, held.until) == (old.owner, old.until)
        )
        if self._commits(p.taken_over(MODEL, whose, old, new), allowed):
            self._holders[whose] = new

    @rule(whose=WHICH, free=MOSTLY, found=st.booleans())
    def bedrock_has_it(self, whose: str, free: bool, found: bool) -> None:
        job = self._read(whose, free=free)
        event = e.JobSubmitted(at=at(5), attempt=1, arn=ARN, found=found)
        if (
            self._commits(p.submitted(job, event, whose), free and self.row is not None, whose)
            and self.row
        ):
            self._holders[whose] = AT_BEDROCK
            if found:
                self.row["ends"] += 1
            else:
                self.row["refused"] = None
                self.row["taken"] += 1

    @rule(
        whose=WHICH,
        seen=FEW_LEASES,
        honest=MOSTLY,
        as_read=MOSTLY,
        other=FEW_HOLDS,
        hold=FEW_HOLDS,
        free=MOSTLY,
        today=MOSTLY,
    )
    def a_refusal(  # noqa: PLR0917 - Hypothesis names them
        self,
        whose: str,
        seen: Lease,
        honest: bool,
        as_read: bool,
        other: Hold | None,
        hold: Hold | None,
        free: bool,
        today: bool,
    ) -> None:
        """`today`: its claim was counted for the day that the item is at."""
        hold = hold or Hold(kind="quota", message="full", since=at(0), until=at(60), ends=0)
        whose = self._one_of(self._holders, whose)
        held = self._holders.get(whose)
        mine = held if held and honest else seen
        day = self._slots.day
        claimed = (
            datetime.fromisoformat(f"{day.date}T12:00:00+00:00")
            if day.date and today
            else at(-9 * 86_400)
        )
        job = replace(self._read(whose, free=free), status="Claimed", claimed_at=claimed)
        slots = self._slots if as_read else replace(self._slots, refused=other)
        event = e.SubmissionRefused(at=at(5), attempt=1, kind=hold.kind, message="", taken=0)
        allowed = free and held is not None and held.owner == mine.owner and not held.submitted
        allowed = allowed and same(slots.refused, self._slots.refused)
        if (
            self._commits(p.given_up(job, event, whose, mine, slots, hold=hold), allowed, whose)
            and self.row
        ):
            del self._holders[whose]
            self.row["refused"] = hold if hold != slots.refused else self.row["refused"]
            if today and day.date:
                self.row["day"] = replace(day, jobs=day.jobs - 1, records=day.records - 100)

    @rule(
        whose=WHICH,
        free=MOSTLY,
        status=st.sampled_from(["Failed", "Failed", "Completed", "Stopped", "Expired"]),
        processed=st.sampled_from([None, 0, 0, 0, 1]),
        started=st.booleans(),
        as_read=MOSTLY,
        other=FEW_HOLDS,
        failures=st.integers(0, 3),
        own=st.sampled_from(["", "", "contains less records"]),
        claimed=st.sampled_from([2, 4, 6]),
    )
    def an_end(  # noqa: PLR0917 - Hypothesis names them
        self,
        whose: str,
        free: bool,
        status: str,
        processed: int | None,
        started: bool,
        as_read: bool,
        other: Hold | None,
        failures: int,
        own: str,
        claimed: int,
    ) -> None:
        job = replace(
            self._read(whose, free=free), status="Submitted", attempt=1, claimed_at=at(claimed)
        )
        slots = self._slots if as_read else replace(self._slots, failing=other, failures=failures)
        event = e.JobEnded(
            at=at(5),
            attempt=1,
            status=status,
            message=own,
            arn=ARN,
            processed_records=processed,
            started=started,
        )
        counts = status == "Failed" and processed == 0 and not own
        since = slots.failed_since is None or slots.failed_since <= at(claimed)
        allowed = free and self.row is not None
        if counts and self.row:
            allowed = (
                allowed
                and slots.failures == self.row["failures"]
                and same(slots.failing, self.row["failing"])
            )
        if not self._commits(p.ended(job, event, whose, slots), allowed, whose) or not self.row:
            return
        self._holders.pop(whose, None)
        self.row["ends"] += 1
        if counts:
            self.row["failures"] += 1
            self.row["failed_late"] |= started
            if not slots.failures:
                self.row["failed_since"] = event.at
            if slots.failures + 1 >= FAILURES_IN_A_ROW:
                self.row["failing"] = failed(
                    slots.failing,
                    failures=slots.failures + 1,
                    message=own,
                    ends=slots.ends + 1,
                    now=event.at,
                )
        elif (status == "Completed" or processed) and since:
            self.row["good_ends"] += 1
            self.row |= {"failing": None, "failures": 0, "failed_late": False, "failed_since": None}

    @rule(
        whose=WHICH,
        free=MOSTLY,
        as_read=MOSTLY,
        failures=st.integers(0, 3),
        late=st.booleans(),
        claimed=st.sampled_from([2, 4, 6]),
    )
    def bedrock_begins(  # noqa: PLR0917 - Hypothesis names them
        self, whose: str, free: bool, as_read: bool, failures: int, late: bool, claimed: int
    ) -> None:
        job = replace(
            self._read(whose, free=free), status="Submitted", attempt=1, claimed_at=at(claimed)
        )
        slots = (
            self._slots if as_read else replace(self._slots, failures=failures, failed_late=late)
        )
        event = e.JobProgressed(at=at(5), attempt=1, status="InProgress")
        since = slots.failed_since is None or slots.failed_since <= at(claimed)
        ends_the_row = slots.failures > 0 and not slots.failed_late and since
        allowed = free
        if ends_the_row:
            row = self.row
            allowed = (
                allowed
                and row is not None
                and slots.failures == row["failures"]
                and not row["failed_late"]
            )
        if self._commits(p.begun(job, event, slots), allowed, whose) and ends_the_row and self.row:
            self.row |= {"failing": None, "failures": 0, "failed_since": None}

    @rule()
    def a_reason_to_ask(self) -> None:
        if self._commits(p.reason_to_ask(MODEL), self.row is not None) and self.row:
            self.row["ends"] += 1

    @invariant()
    def the_item_is_what_the_model_says(self) -> None:
        assert self.store.slots(MODEL) == (self._slots if self.row else None)

    @invariant()
    def each_success_appended_one_event_and_each_failure_none(self) -> None:
        for job, events in self.events.items():
            assert len(self.tables.query(EventRow, job_stream(job))) == events

    @property
    def _slots(self) -> Slots:
        return Slots(model=MODEL, **self.row) if self.row else Slots(model=MODEL, limit=0)

    @property
    def _holders(self) -> dict[str, Lease]:
        return self.row["holders"] if self.row else {}

    @property
    def _room(self) -> bool:
        return (
            self.row is not None
            and len(self._holders) < self.row["limit"]
            and not self.row["paused"]
        )

    def _one_of(self, likely: Iterable[str], whose: str, *, honest: bool = True) -> str:
        """One of those for whom it may pass, if there are any; else, or if not honest, `whose`."""
        pool = sorted(likely)
        return pool[HOLDERS.index(whose) % len(pool)] if honest and pool else whose

    def _read(self, whose: str, *, free: bool) -> Any:
        """The holder's job as somebody read it: as it is, or before its last event, so that the
        next version is taken.
        """
        job = parse_holder(whose)[0]
        return replace(life(), id=job, status="Claimed", version=self.events[job] + free - 1)

    def _commits(self, writes: Sequence[Write], allowed: bool, whose: str | None = None) -> bool:
        """Commit; it must pass exactly when it is allowed to, and change nothing at all when it
        does not.
        """
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
            view = self.tables.get(ViewRow, rows.view_pk(job), rows.VIEW_KEY)
            assert view
            assert view.version == self.events[job]
        return True


NOTHING_WRONG = {
    "refused": None,
    "failing": None,
    "failures": 0,
    "failed_late": False,
    "failed_since": None,
}


def same(read: Hold | None, stands: Hold | None) -> bool:
    """Whether a hold is as it was read, by what every change of it moves."""
    if read is None or stands is None:
        return read is stands
    return (read.until, read.ends, read.count) == (stands.until, stands.ends, stands.count)


Capacity.TestCase.settings = settings(max_examples=300, stateful_step_count=12)
TestCapacity = Capacity.TestCase
