"""What a person does when the worst has happened: `verify` sees every damage, `rebuild` mends it, and the queue goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from cli import repair
from cli.repair import Left, Rebuilt, rebuild, verify
from cli.walk import Cursor, Desk
from services.scheduler.bedrock import Answer, Refused, Request, Unknown
from services.scheduler.hints import ALL, Report
from services.scheduler.reconcile import Visit, reconcile, reconcile_report
from services.scheduler.wake import reconcile_model, wake
from shared import events as e
from shared import projections as p
from shared.hold import ACCESS, FAILING, QUOTA, Hold
from shared.job import OVER, fold
from shared.names import attempt_name, holder, job_stream, model_stream
from shared.rebuild import REBUILT
from shared.slots import AT_BEDROCK, Lease, Slots
from shared.tables import Delete, LineRow, Put, Row, SlotsRow, ViewRow
from tests.support.reader import MemoryReader
from tests.support.samples import MODEL, MODEL_ID, id_of, queued
from tests.support.world import DEPLOYMENT, Bench

STRANGER = id_of(version="nobody's")
ENDED = {"Completed", "Failed", "Stopped", "Expired", "PartiallyCompleted"}


@dataclass
class Office:
    """A desk on a bench. `sleeps` holds every pause; `on_sleep` is what happens during one."""

    bench: Bench = field(default_factory=lambda: Bench(limit=3))
    sleeps: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None
    seen: list[Cursor] = field(default_factory=list)
    on_progress: Callable[[Cursor], None] = lambda _: None
    page_items: int = 3

    @property
    def desk(self) -> Desk:
        return Desk(
            tables=self.bench.tables, reader=MemoryReader(self.bench.tables, self.page_items), hints=self.bench.outbox,
            lease=self.bench.config.lease, now=lambda: self.bench.time, sleep=self._sleep, progress=self._progress,
        )  # fmt: skip

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.on_sleep()

    def _progress(self, cursor: Cursor) -> None:
        self.seen.append(cursor)
        self.on_progress(cursor)


def see(bench: Bench, job: str, **visit: Any) -> None:
    reconcile(bench.world(), job, Visit(**visit))


def say(bench: Bench, event: e.Event) -> None:
    """An operator's or a deployment's word on the model, not yet seen by any scheduler."""
    bench.store.append_to_model(MODEL, len(bench.store.load(model_stream(MODEL))) + 1, event)


def pause(bench: Bench) -> None:
    say(bench, e.ModelPaused(at=bench.time, by="ann", why="repair"))
    reconcile_model(bench.world(), MODEL)


def resume(bench: Bench) -> None:
    say(bench, e.ModelResumed(at=bench.time, by="ann", why="repaired"))
    reconcile_model(bench.world(), MODEL)


def report(bench: Bench, job: str, status: str, which: str) -> None:
    told = Report(arn=which, model_id=MODEL_ID, status=status, message="", job=job, attempt=bench.job(job).attempt)
    reconcile_report(bench.world(), told)


def deliver(bench: Bench) -> None:
    """Hints are handled, and those they cause."""
    for _ in range(100):
        if not bench.outbox.sent:
            return
        kind, name = bench.outbox.sent.pop(0)
        if kind == "job":
            see(bench, name, look=True)
        else:
            wake(bench.world(), None if name == ALL else name)
    raise AssertionError("the hints do not come to an end")


UPLOADS = ("submitted", "running", "refused", "claimed", "waiting", "ended", "rejected")


def busy(bench: Bench) -> dict[str, str]:
    """One job in every state, by its name; three of four slots have a holder. The claimed one's Create got no answer, the refused
    one waits at the head of the line, and the model is on hold.
    """
    jobs = {name: id_of(version=name) for name in UPLOADS}
    answers: dict[str, Answer] = {"claimed": Unknown("ReadTimeout"), "refused": Refused(QUOTA, "full")}
    for name in ("ended", "submitted", "running", "claimed", "refused", "waiting"):
        bench.bedrock.script = [answers[name]] if name in answers else []
        bench.wait(seconds=1)
        bench.upload(name)
        see(bench, jobs[name])
        if name == "ended":
            end(bench, jobs[name])
    report(bench, jobs["running"], "InProgress", arn_of(bench, jobs["running"]))
    bench.bedrock.turn(arn_of(bench, jobs["running"]), "InProgress")
    problem = e.Problem(line=3, text="not JSON")
    rejected = e.JobRejected(
        at=bench.time, model=MODEL, sources=queued().sources, problems=(problem,), problem_count=1, size_bytes=3
    )  # fmt: skip
    bench.store.append(jobs["rejected"], None, rejected)
    see(bench, jobs["rejected"])
    statuses = [bench.job(jobs[name]).status for name in UPLOADS]
    assert statuses == ["Submitted", "InProgress", "Queued", "Claimed", "Queued", "Completed", "Rejected"]
    assert (len(bench.slots.holders), bench.store.line(MODEL, 9)) == (3, [jobs["refused"], jobs["waiting"]])
    assert bench.slots.refused is not None
    bench.outbox.sent.clear()
    return jobs


def arn_of(bench: Bench, job: str) -> str:
    found = bench.job(job).arn
    assert found
    return found


def end(bench: Bench, job: str) -> None:
    which = arn_of(bench, job)
    bench.bedrock.turn(which, "Completed")
    report(bench, job, "Completed", which)


def watch_capacity(bench: Bench) -> None:
    """P1 and P2, at every Create: a slot is free at Bedrock, and no job of that name was ever made."""

    def check(request: Request) -> None:
        living = [job for job in bench.bedrock.jobs.values() if job.status not in ENDED]
        assert len(living) < bench.slots.limit
        assert request.name not in {job.name for job in bench.bedrock.jobs.values()}

    bench.bedrock.on_create = check


def goes_on(office: Office, jobs: dict[str, str]) -> None:
    """Resumed, the queue brings every job to its end, within the limit, and the projections stay what the events say."""
    bench = office.bench
    watch_capacity(bench)
    resume(bench)
    for _ in range(20):
        deliver(bench)
        bench.wait(minutes=40)  # timers
        for job in jobs.values():
            see(bench, job, look=True)
        running = [job for job in jobs.values() if bench.job(job).arn and bench.job(job).status not in OVER]
        if not running:
            break
        end(bench, running[0])
    assert {bench.job(job).status for job in jobs.values()} <= {"Completed", "Rejected"}
    assert (bench.slots.holders, bench.slots.holds, bench.store.line(MODEL, 9)) == ({}, (), [])
    assert verify(office.desk).differences == ()


# --- damage


def slots_row(bench: Bench) -> SlotsRow:
    row = bench.tables.get(SlotsRow, p.slots_pk(MODEL), "slots")
    assert row
    return row


def put(bench: Bench, row: Row) -> None:
    bench.tables.write([Put(row)])


def put_slots(bench: Bench, **changes: Any) -> None:
    put(bench, p.slots_row(replace(bench.slots, **changes)))


def view_of(bench: Bench, job: str) -> ViewRow:
    row = bench.tables.get(ViewRow, p.view_pk(job), "view")
    assert row
    return row


def without(holders: Mapping[str, Lease], job: str) -> dict[str, Lease]:
    return {holder_id: lease for holder_id, lease in holders.items() if holder_id != holder(job, 1)}


def view_lost(bench: Bench, jobs: dict[str, str]) -> None:
    bench.tables.write([Delete(view_of(bench, jobs["submitted"]))])


def views_stale(bench: Bench, jobs: dict[str, str]) -> None:
    for name in ("ended", "claimed"):
        events = [recorded.event for recorded in bench.store.load(job_stream(jobs[name]))]
        older = fold(jobs[name], events[:1])
        assert older
        put(bench, p.view_row(older))


def view_from_the_future(bench: Bench, jobs: dict[str, str]) -> None:
    row = view_of(bench, jobs["waiting"])
    row.version = 99
    put(bench, row)


def view_changed(bench: Bench, jobs: dict[str, str]) -> None:
    row = view_of(bench, jobs["running"])
    row.status, row.arn = "Submitted", None
    put(bench, row)


def state_lost(bench: Bench, jobs: dict[str, str]) -> None:
    """The view lacks what no column of it holds: as one that older code wrote."""
    row = view_of(bench, jobs["waiting"])
    row.fold = None
    put(bench, row)


def state_wrong(bench: Bench, jobs: dict[str, str]) -> None:
    """The view says that Bedrock never had the running one; its columns are right."""
    row = view_of(bench, jobs["running"])
    del row.fold["at_bedrock"]
    put(bench, row)


def view_ghost(bench: Bench, jobs: dict[str, str]) -> None:
    row = view_of(bench, jobs["waiting"])
    row.pk, row.job = p.view_pk(STRANGER), STRANGER
    put(bench, row)


def entry_lost(bench: Bench, jobs: dict[str, str]) -> None:
    bench.tables.write([Delete(p.line_row(bench.job(jobs["waiting"])))])


def entry_ghost_of_a_running_job(bench: Bench, jobs: dict[str, str]) -> None:
    put(bench, p.line_row(bench.job(jobs["running"])))


def entry_ghost_at_another_place(bench: Bench, jobs: dict[str, str]) -> None:
    row = p.line_row(bench.job(jobs["waiting"]))
    put(bench, LineRow(pk=row.pk, sk="0" + row.sk[1:], job=row.job))


def entry_ghost_of_nobody(bench: Bench, jobs: dict[str, str]) -> None:
    put(bench, LineRow(pk=p.line_pk(MODEL), sk=f"0#2026#{STRANGER}", job=STRANGER))
    put(bench, LineRow(pk=p.line_pk(MODEL), sk="0#nonsense", job=jobs["ended"]))


def entry_of_another_job(bench: Bench, jobs: dict[str, str]) -> None:
    row = p.line_row(bench.job(jobs["waiting"]))
    put(bench, LineRow(pk=row.pk, sk=row.sk, job=jobs["ended"]))


def holder_leaked(bench: Bench, jobs: dict[str, str]) -> None:
    names = (holder(jobs["ended"], 1), holder(jobs["submitted"], 2), holder(STRANGER, 1), "nonsense")
    put_slots(bench, holders={**bench.slots.holders, **dict.fromkeys(names, AT_BEDROCK)})


def submitted_holder_lost(bench: Bench, jobs: dict[str, str]) -> None:
    put_slots(bench, holders=without(bench.slots.holders, jobs["submitted"]))


def claimed_holder_lost(bench: Bench, jobs: dict[str, str]) -> None:
    put_slots(bench, holders=without(bench.slots.holders, jobs["claimed"]))


def claimed_holder_marked_submitted(bench: Bench, jobs: dict[str, str]) -> None:
    holder_id = holder(jobs["claimed"], 1)
    put_slots(bench, holders={**bench.slots.holders, holder_id: AT_BEDROCK})


def running_holder_not_marked(bench: Bench, jobs: dict[str, str]) -> None:
    holder_id = holder(jobs["running"], 1)
    put_slots(bench, holders={**bench.slots.holders, holder_id: Lease(owner="x", until=bench.time - timedelta(days=1))})


def limit_wrong(bench: Bench, jobs: dict[str, str]) -> None:
    put_slots(bench, limit=77)


def model_version_too_high(bench: Bench, jobs: dict[str, str]) -> None:
    put_slots(bench, model_version=50)


def holders_disappeared(bench: Bench, jobs: dict[str, str]) -> None:
    row = slots_row(bench)
    row.holders = None
    bench.tables._items["projections"][row.pk][row.sk] = row.serialize(null_check=False)


def holds_unreadable(bench: Bench, jobs: dict[str, str]) -> None:
    row = slots_row(bench)
    wire = row.to_dynamodb_dict()
    del wire["refused"]["M"]["until"]
    wire["failing"] = {"M": {"until": {"S": "nonsense"}}}
    bench.tables._items["projections"][row.pk][row.sk] = wire


def counter_lost(bench: Bench, jobs: dict[str, str]) -> None:
    rows = bench.tables._items["projections"][p.slots_pk(MODEL)]
    rows["slots"] = {name: value for name, value in rows["slots"].items() if name != "taken"}


def lease_unreadable(bench: Bench, jobs: dict[str, str]) -> None:
    row = slots_row(bench)
    wire = row.to_dynamodb_dict()
    wire["holders"]["M"][holder(jobs["claimed"], 1)] = {"S": "nonsense"}
    del wire["holders"]["M"][holder(jobs["submitted"], 1)]["M"]["submitted"]
    bench.tables._items["projections"][row.pk][row.sk] = wire


def slots_lost(bench: Bench, jobs: dict[str, str]) -> None:
    bench.tables.write([Delete(slots_row(bench))])


Damage = Callable[[Bench, dict[str, str]], None]
DAMAGES: list[Damage] = [
    view_lost, views_stale, view_from_the_future, view_changed, state_lost, state_wrong, view_ghost, entry_lost,
    entry_ghost_of_a_running_job, entry_ghost_at_another_place, entry_ghost_of_nobody, entry_of_another_job, holder_leaked,
    submitted_holder_lost, claimed_holder_lost, claimed_holder_marked_submitted, running_holder_not_marked, limit_wrong,
    model_version_too_high, holders_disappeared, holds_unreadable, counter_lost, lease_unreadable, slots_lost,
]  # fmt: skip
OF_ROWS = DAMAGES[:12]
MOST_OF_SLOTS = [holder_leaked, submitted_holder_lost, claimed_holder_lost, running_holder_not_marked, limit_wrong]


def damaged(*damages: Damage) -> tuple[Office, dict[str, str]]:
    """A busy model, its leases over, paused, and damaged."""
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    office.bench.wait(minutes=10)
    pause(office.bench)
    for damage in damages:
        damage(office.bench, jobs)
    return office, jobs


def everything_about(bench: Bench) -> Any:
    return {
        table: {pk: dict(rows) for pk, rows in partitions.items() if rows} for table, partitions in bench.tables._items.items()
    }


def test_nothing_is_wrong_with_a_busy_queue() -> None:
    office, _ = damaged()
    before = everything_about(office.bench)
    assert verify(office.desk).differences == ()
    rebuilt = rebuild(office.desk)
    assert (rebuilt.repaired, rebuilt.left, rebuilt.notes) == ((), (), ())
    assert everything_about(office.bench) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_seen_mended_and_the_queue_goes_on(damage: Damage) -> None:
    office, jobs = damaged(damage)
    before = everything_about(office.bench)
    report = verify(office.desk)
    assert report.complete
    assert report.differences
    assert all(str(difference) for difference in report.differences)
    assert everything_about(office.bench) == before
    rebuilt = rebuild(office.desk)
    assert rebuilt.repaired
    assert rebuilt.left == ()
    assert verify(office.desk).differences == ()
    goes_on(office, jobs)


def test_all_damages_at_once_are_mended_by_one_run_and_a_second_one_changes_nothing() -> None:
    office, jobs = damaged(*OF_ROWS, *MOST_OF_SLOTS)
    assert rebuild(office.desk).left == ()
    before = everything_about(office.bench)
    assert verify(office.desk).differences == ()
    assert rebuild(office.desk).repaired == ()
    assert everything_about(office.bench) == before
    goes_on(office, jobs)


@pytest.mark.parametrize("damage", OF_ROWS)
def test_views_and_lines_are_mended_while_the_model_runs(damage: Damage) -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    damage(office.bench, jobs)
    assert rebuild(office.desk).left == ()
    assert verify(office.desk).differences == ()


# --- verify: what a person reads, and what a living system does meanwhile


def test_a_difference_says_where_what_is_and_what_should_be() -> None:
    office, jobs = damaged(view_changed, holder_leaked, running_holder_not_marked, limit_wrong)
    words = [str(difference) for difference in verify(office.desk).differences]
    view = f"job#{jobs['running']} / view"
    assert f"{view}: status is Submitted, should be InProgress" in words
    assert any(text.startswith(f"{view}: arn is absent, should be arn:aws") for text in words)
    slots = f"slots#{MODEL} / slots"
    assert f"{slots}: limit is 77, should be 4" in words
    assert f"{slots}: {holder(jobs['ended'], 1)} is a holder, submitted, should be no holder" in words
    assert f"{slots}: {holder(jobs['running'], 1)} is a holder, should be a holder, submitted" in words


def test_an_entry_that_nobody_needs_differs_as_a_whole() -> None:
    office, jobs = damaged(entry_ghost_at_another_place)
    (difference,) = verify(office.desk).differences
    assert (difference.field, difference.found["job"], difference.expected) == ("", jobs["waiting"], None)
    assert "should be absent" in str(difference)


def test_what_is_on_its_way_is_not_reported() -> None:
    office = Office(Bench(limit=4))
    job = office.bench.upload("new")  # nothing projected yet
    office.on_sleep = lambda: see(office.bench, job) if repair.SETTLE_SECONDS in office.sleeps else None
    assert verify(office.desk).differences == ()
    assert office.bench.job(job).status == "Submitted"


def test_a_queue_at_work_beside_the_walk_is_not_reported() -> None:
    office = Office(Bench(limit=2), page_items=1)
    bench = office.bench
    uploads = [bench.upload(f"v{number}") for number in range(12)]
    for job in uploads[:6]:
        see(bench, job)

    def work() -> None:
        running = [job for job in uploads if bench.job(job).arn and bench.job(job).status not in OVER]
        if running:
            end(bench, running[0])
        waiting = [job for job in uploads if bench.store.view_version(job) == 0]
        if waiting:
            see(bench, waiting[0])

    office.on_sleep = work
    assert verify(office.desk).differences == ()
    assert len(office.seen) > 12


def test_what_stays_wrong_is_reported_although_the_queue_works_on() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    submitted_holder_lost(office.bench, jobs)
    office.on_sleep = lambda: end(office.bench, jobs["running"]) if office.bench.job(jobs["running"]).status not in OVER else None
    (difference,) = verify(office.desk).differences
    assert (difference.field, difference.found) == (holder(jobs["submitted"], 1), "no holder")


def test_events_that_cannot_be_read_are_named_left_alone_and_stop_nobody_else() -> None:
    office, jobs = damaged(entry_lost, submitted_holder_lost)
    bench = office.bench
    rows = bench.tables._items["events"][job_stream(jobs["running"])]
    rows[2] = {**rows[2], "name": {"S": "job-teleported"}}
    gap = bench.tables._items["events"][job_stream(jobs["ended"])]
    del gap[2]
    words = [str(difference) for difference in verify(office.desk).differences]
    assert any("job-teleported" in text for text in words)
    assert any(f"the events of job {jobs['ended']} are not 1 to" in text for text in words)
    rebuilt = rebuild(office.desk)
    assert sorted(left.pk for left in rebuilt.left) == sorted([p.view_pk(jobs["running"]), p.view_pk(jobs["ended"])])
    assert holder(jobs["running"], 1) in bench.slots.holders  # nobody knows: it keeps what it has
    assert bench.slots.holders[holder(jobs["submitted"], 1)].submitted
    assert bench.store.line(MODEL, 9) == [jobs["refused"], jobs["waiting"]]
    assert any(jobs["running"] in note for note in rebuilt.notes)
    assert ("job", jobs["running"]) not in bench.outbox.sent  # a hint mends nothing of what cannot be read (seed 71010108)


def test_a_row_of_no_known_kind_is_named_and_never_removed() -> None:
    office, _ = damaged()
    put(office.bench, LineRow(pk="budget#haiku", sk="2026", job="x"))
    (difference,) = verify(office.desk).differences
    assert difference.pk == "budget#haiku"
    (left,) = rebuild(office.desk).left
    assert "by hand" in left.why
    assert len(office.bench.tables.query(LineRow, "budget#haiku")) == 1


def test_a_walk_that_finds_too_much_stops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.walk.MAX_SUSPECTS", 2)
    office, _ = damaged(*OF_ROWS)
    report = verify(office.desk)
    assert not report.complete
    assert len(report.differences) >= 2


def test_a_walk_is_paced_and_tells_how_far_it_is() -> None:
    office, jobs = damaged()
    desk = replace(office.desk, read_units_per_second=10.0)
    verify(desk)
    assert len(office.seen) == len([pause for pause in office.sleeps if pause > 0])
    assert sum(office.sleeps) > len(jobs) * 0.4
    assert office.seen[-1].table is None
    assert office.seen[-1].jobs >= len(jobs)


# --- rebuild: when not to


def left_of(rebuilt: Rebuilt) -> Left:
    (left,) = rebuilt.left
    return left


def test_the_slots_of_a_model_that_is_not_paused_are_left_alone() -> None:
    office, _ = damaged(submitted_holder_lost)
    say(office.bench, e.ModelResumed(at=office.bench.time, by="ann", why=""))
    before = office.bench.slots
    assert "is not paused: `bbq pause" in left_of(rebuild(office.desk)).why
    put_slots(office.bench, paused=False)
    before = office.bench.slots
    assert "is not paused: `bbq pause" in left_of(rebuild(office.desk)).why
    assert office.bench.slots == before


def test_a_pause_that_no_scheduler_has_seen_is_projected_and_the_next_run_rebuilds() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    submitted_holder_lost(office.bench, jobs)
    office.bench.wait(minutes=10)
    say(office.bench, e.ModelPaused(at=office.bench.time, by="ann", why=""))
    assert "not yet paused when its jobs were read" in left_of(rebuild(office.desk)).why
    assert office.bench.slots.paused
    assert holder(jobs["submitted"], 1) not in office.bench.slots.holders
    assert rebuild(office.desk).left == ()
    goes_on(office, jobs)


def test_while_a_lease_runs_the_slots_are_left_and_the_answer_says_until_when() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    pause(office.bench)
    submitted_holder_lost(office.bench, jobs)
    until = office.bench.slots.holders[holder(jobs["claimed"], 1)].until
    first = rebuild(office.desk)
    left = left_of(first)
    assert left.until is not None
    assert left.until > until
    assert left.until.isoformat() in left.why
    office.bench.time = left.until - timedelta(seconds=1)
    assert left_of(rebuild(office.desk, first.cursor)).until == left.until
    office.bench.time = left.until
    assert rebuild(office.desk, Cursor.from_text(first.cursor.to_text())).left == ()
    goes_on(office, jobs)


def test_a_lease_that_only_looks_submitted_runs_as_long_as_it_may() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    claimed = office.bench.job(jobs["claimed"]).claimed_at
    pause(office.bench)
    claimed_holder_marked_submitted(office.bench, jobs)
    assert claimed is not None
    rebuild(office.desk)
    assert office.bench.slots.holders[holder(jobs["claimed"], 1)].until == claimed + office.bench.config.lease


def test_missing_slots_are_made_anew_and_paused_whatever_the_events_say() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    office.bench.wait(minutes=10)
    slots_lost(office.bench, jobs)
    assert [str(difference) for difference in verify(office.desk).differences if difference.sk == "slots"]
    rebuilt = rebuild(office.desk)
    assert any("`bbq resume" in note for note in rebuilt.notes)
    slots = office.bench.slots
    assert (slots.paused, slots.limit, slots.model_version, len(slots.holders)) == (True, 4, 1, 3)
    goes_on(office, jobs)


def test_a_day_that_was_lost_with_the_slots_knows_what_waits_for_its_tally() -> None:
    """`max_jobs_per_day` holds after a rebuild too: rather too many than too few."""
    office = Office(Bench(limit=3))
    bench = office.bench
    tallied, ended, running = (bench.upload(version) for version in ("v1", "v2", "v3"))
    for job in (tallied, ended, running):
        see(bench, job)
    bench.wait(minutes=10)
    report(bench, tallied, "Completed", bench.job(tallied).arn or "")
    before = bench.job(ended)
    end = e.JobEnded(at=bench.time, attempt=1, status="Completed", message="", arn=before.arn)
    bench.store.commit(p.ended(before, end, holder(ended, 1), bench.slots))  # and then its invocation died
    assert (bench.job(tallied).tally is None, bench.job(ended).tally is None) == (False, True)
    began = bench.slots.day
    bench.tables.write([Delete(p.slots_row(bench.slots))])
    rebuild(office.desk)
    assert bench.slots.day == began
    assert (began.jobs, set(bench.slots.holders)) == (3, {holder(running, 1)})


def test_missing_slots_that_somebody_makes_meanwhile_are_not_overwritten() -> None:
    office = Office(Bench(limit=4))
    bench = office.bench
    jobs = busy(bench)
    bench.wait(minutes=10)
    slots_lost(bench, jobs)

    def faster(writes: Any) -> None:
        if any(isinstance(write.row, SlotsRow) for write in writes):
            bench.tables.before_commit = lambda _: None
            bench.tables.write([Put(p.slots_row(Slots(model=MODEL, limit=4, model_version=1)))])

    bench.tables.before_commit = faster
    assert "paused" in left_of(rebuild(office.desk)).why
    assert not bench.slots.paused


def test_a_lost_lease_may_run_for_as_long_as_it_could_have_and_is_then_taken_over() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    pause(office.bench)
    began = office.bench.job(jobs["claimed"]).claimed_at
    assert began is not None
    claimed_holder_lost(office.bench, jobs)
    assert rebuild(office.desk).left == ()
    claimed = office.bench.slots.holders[holder(jobs["claimed"], 1)]
    assert claimed == Lease(owner=REBUILT, until=began + office.bench.config.lease)
    creates = len(office.bench.bedrock.creates)
    deliver(office.bench)
    assert len(office.bench.bedrock.creates) == creates
    assert office.bench.slots.holders[holder(jobs["claimed"], 1)] == claimed


# --- R20: what happens beside a rebuild


def resumed_and_claimed(bench: Bench, jobs: dict[str, str]) -> None:
    resume(bench)
    assert bench.job(jobs["waiting"]).status == "Submitted"


def a_running_job_ended(bench: Bench, jobs: dict[str, str]) -> None:
    end(bench, jobs["running"])


def a_late_answer_was_recorded(bench: Bench, jobs: dict[str, str]) -> None:
    """The look-up of the claimed one finds it at Bedrock."""
    bench.bedrock.take(attempt_name(DEPLOYMENT, jobs["claimed"], 1))
    see(bench, jobs["claimed"])
    assert bench.job(jobs["claimed"]).status == "Submitted"


def a_lease_was_taken_over_and_given_up(bench: Bench, jobs: dict[str, str]) -> None:
    see(bench, jobs["claimed"])
    assert (bench.job(jobs["claimed"]).status, bench.job(jobs["claimed"]).unanswered) == ("Queued", True)


def a_lease_was_taken_over(bench: Bench, jobs: dict[str, str]) -> None:
    holder_id = holder(jobs["claimed"], 1)
    new = Lease(owner="another", until=bench.time + timedelta(minutes=5))
    bench.store.commit(p.taken_over(MODEL, holder_id, bench.slots.holders[holder_id], new))


def a_strangers_job_ended(bench: Bench, jobs: dict[str, str]) -> None:
    bench.store.commit(p.reason_to_ask(MODEL))


def the_claimed_one_was_cancelled(bench: Bench, jobs: dict[str, str]) -> None:
    bench.append(jobs["claimed"], e.CancelRequested(at=bench.time, by="ann", why=""))
    see(bench, jobs["claimed"])
    assert bench.job(jobs["claimed"]).status == "Cancelled"


def a_running_job_failed_at_once(bench: Bench, jobs: dict[str, str]) -> None:
    which = arn_of(bench, jobs["running"])
    bench.bedrock.turn(which, "Failed", total=0, processed=0)
    report(bench, jobs["running"], "Failed", which)
    assert bench.slots.failures == 1


MEANWHILE = [
    resumed_and_claimed, a_running_job_ended, a_late_answer_was_recorded, a_lease_was_taken_over,
    a_lease_was_taken_over_and_given_up, a_strangers_job_ended, the_claimed_one_was_cancelled, a_running_job_failed_at_once,
]  # fmt: skip


def before_the_slots_are_written(bench: Bench, act: Callable[[], None]) -> list[bool]:
    """`act` comes between the last reading and the write of the rebuilt slots. Answers a list that says that it came."""
    came: list[bool] = []

    def hook(writes: Any) -> None:
        if len(writes) == 1 and isinstance(writes[0], Put) and isinstance(writes[0].row, SlotsRow) and not came:
            came.append(True)
            act()

    bench.tables.before_commit = hook
    return came


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_r20_whatever_happens_between_reading_and_writing_makes_the_write_fail_and_is_seen(meanwhile: Damage) -> None:
    office, jobs = damaged(submitted_holder_lost)
    bench = office.bench
    came = before_the_slots_are_written(bench, lambda: meanwhile(bench, jobs))
    rebuilt = rebuild(office.desk)
    assert came
    slots, living = bench.slots, {name: bench.job(job) for name, job in jobs.items()}
    for job in living.values():
        if job.status in {"Submitted", "InProgress", "Claimed"} and (job.id != jobs["submitted"] or not rebuilt.left):
            assert holder(job.id, 1) in slots.holders
    wrong = {difference.field for difference in verify(office.desk).differences}
    assert wrong <= {holder(jobs["submitted"], 1)}
    assert bool(wrong) == bool(rebuilt.left)


def test_r20_a_job_that_gets_further_between_reading_and_writing_still_ends_the_row_of_failures() -> None:
    """Its begin changes neither holders nor holds nor counters that rise, only how many failed in a row."""
    office, jobs = damaged(submitted_holder_lost)
    bench = office.bench
    put_slots(bench, failures=1)
    which = arn_of(bench, jobs["submitted"])
    came = before_the_slots_are_written(bench, lambda: report(bench, jobs["submitted"], "InProgress", which))
    assert rebuild(office.desk).left == ()
    assert (came, bench.slots.failures) == ([True], 0)


@pytest.mark.parametrize("page", range(1, 11))
def test_r20_a_claim_after_its_job_was_read_and_before_the_pause_is_never_written_over(page: int) -> None:
    """The rebuilder folds "waiting"; it is claimed, and its place is lost; then the model is paused and comes to rest."""
    office = Office(Bench(limit=5))
    bench = office.bench
    jobs = busy(bench)
    bench.wait(minutes=10)

    def claimed_then_paused(cursor: Cursor) -> None:
        if len(office.seen) == page:
            wake(bench.world(), MODEL)
            assert bench.job(jobs["waiting"]).status == "Submitted"
            submitted_holder_lost(bench, jobs)
            put_slots(bench, holders=without(bench.slots.holders, jobs["waiting"]))
            pause(bench)
            bench.wait(minutes=10)

    office.on_progress = claimed_then_paused
    left = rebuild(office.desk).left
    assert len(office.seen) >= page
    lost = {holder(jobs[name], 1) for name in ("waiting", "submitted")}
    assert not left or (not lost & set(bench.slots.holders) and "not yet paused when its jobs were read" in left[0].why)
    assert left or lost <= set(bench.slots.holders)
    office.on_progress = lambda _: None
    assert rebuild(office.desk).left == ()
    assert lost <= set(bench.slots.holders)


def test_an_item_that_is_opened_by_damage_during_the_walk_is_closed_and_left_for_another_run() -> None:
    office, jobs = damaged(submitted_holder_lost)

    def opened(cursor: Cursor) -> None:
        if cursor.table is None:
            put_slots(office.bench, paused=False)

    office.on_progress = opened
    assert "not yet paused when its jobs were read" in left_of(rebuild(office.desk)).why
    assert office.bench.slots.paused
    assert holder(jobs["submitted"], 1) not in office.bench.slots.holders


def test_slots_of_a_model_that_has_no_events_at_all_are_made_for_the_attempts_that_live() -> None:
    office, jobs = damaged(slots_lost)
    del office.bench.tables._items["events"][model_stream(MODEL)]
    assert any(difference.sk == "slots" for difference in verify(office.desk).differences)
    assert rebuild(office.desk).left == ()
    slots = office.bench.slots
    assert (slots.limit, slots.paused, len(slots.holders)) == (0, True, 3)
    assert slots.holders[holder(jobs["running"], 1)].submitted


def test_slots_that_disappear_from_an_open_model_during_the_walk_are_not_rebuilt_from_it() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    office.bench.wait(minutes=10)

    def gone(cursor: Cursor) -> None:
        if cursor.table is None:
            slots_lost(office.bench, jobs)

    office.on_progress = gone
    assert "disappeared, unpaused" in left_of(rebuild(office.desk)).why
    office.on_progress = lambda _: None
    assert rebuild(office.desk).left == ()
    goes_on(office, jobs)


def test_r34_a_resume_and_another_pause_between_reading_jobs_and_slots_is_seen() -> None:
    office, jobs = damaged(submitted_holder_lost)

    def again(cursor: Cursor) -> None:
        if cursor.table is None:
            office.on_progress = lambda _: None
            resume(office.bench)
            pause(office.bench)

    office.on_progress = again
    assert "not yet paused when its jobs were read" in left_of(rebuild(office.desk)).why
    assert holder(jobs["submitted"], 1) not in office.bench.slots.holders


def test_a_rebuild_keeps_what_no_event_holds_and_is_a_reason_to_ask_again() -> None:
    office, _ = damaged()
    bench = office.bench
    hold = Hold(kind=ACCESS, message="no", since=bench.time, until=bench.time + timedelta(minutes=30), ends=8, count=4)
    failing = replace(hold, kind=FAILING, message="bad", count=2)
    put_slots(bench, ends=8, taken=4, good_ends=3, failures=5, failed_late=True, refused=hold, failing=failing)
    assert not any(hold.is_open(bench.slots.ends, bench.time) for hold in bench.slots.holds)
    before = bench.slots
    put_slots(bench, limit=77)
    assert rebuild(office.desk).left == ()
    assert bench.slots == replace(before, ends=9)
    assert all(hold.is_open(bench.slots.ends, bench.time) for hold in bench.slots.holds)


def test_a_hold_that_cannot_be_read_counts_as_lost_and_the_model_is_not_on_hold() -> None:
    office, _ = damaged(holds_unreadable)
    fields = {difference.field for difference in verify(office.desk).differences}
    assert fields == {"refused", "failing"}
    before = slots_row(office.bench)
    assert rebuild(office.desk).left == ()
    slots = office.bench.slots
    assert slots.holds == ()
    assert (slots.ends, slots.taken, slots.good_ends) == (before.ends + 1, before.taken, before.good_ends)
    assert len(slots.holders) == 3


@pytest.mark.parametrize(("damage", "name"), [(state_lost, "waiting"), (state_wrong, "running")])
def test_a_view_whose_state_is_lost_or_wrong_is_one_difference_and_is_repaired(damage: Damage, name: str) -> None:
    office, jobs = damaged(damage)
    (difference,) = verify(office.desk).differences
    assert (difference.pk, difference.field) == (p.view_pk(jobs[name]), "fold")
    assert rebuild(office.desk).repaired == ((p.view_pk(jobs[name]), "view"),)
    events = [recorded.event for recorded in office.bench.store.load(job_stream(jobs[name]))]
    assert office.bench.job(jobs[name]) == fold(jobs[name], events)


def test_an_event_that_comes_beside_the_repair_of_a_view_is_not_overwritten() -> None:
    office = Office(Bench(limit=4))
    bench = office.bench
    jobs = busy(bench)
    views_stale(bench, jobs)

    def cancelled(writes: Any) -> None:
        bench.tables.before_commit = lambda _: None
        bench.append(jobs["claimed"], e.CancelRequested(at=bench.time, by="ann", why=""))

    bench.tables.before_commit = cancelled
    assert rebuild(office.desk).left == ()
    assert view_of(bench, jobs["claimed"]).cancel_by == "ann"


def test_a_job_that_never_comes_to_rest_is_left() -> None:
    office = Office(Bench(limit=4))
    bench = office.bench
    jobs = busy(bench)
    views_stale(bench, jobs)

    def busier(writes: Any) -> None:
        if any(isinstance(write.row, ViewRow) and write.row.pk == p.view_pk(jobs["claimed"]) for write in writes):
            bench.append(jobs["claimed"], e.CancelRequested(at=bench.time, by="ann", why=""))

    bench.tables.before_commit = busier
    assert "run the rebuild again" in left_of(rebuild(office.desk)).why


# --- R32: a rebuilt claim is looked up before anybody creates


@pytest.mark.parametrize("lost", [claimed_holder_lost, slots_lost, holders_disappeared, lease_unreadable])
def test_r32_a_rebuilt_claim_has_an_expired_lease_and_is_adopted_when_bedrock_has_it(lost: Damage) -> None:
    office, jobs = damaged(lost)
    bench = office.bench
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, jobs["claimed"], 1))  # Create had run; its answer was lost
    rebuild(office.desk)
    lease = bench.slots.holders[holder(jobs["claimed"], 1)]
    assert (lease.until < bench.time, lease.submitted) == (True, False)
    assert ("job", jobs["claimed"]) in bench.outbox.sent
    creates = len(bench.bedrock.creates)
    deliver(bench)
    assert (bench.job(jobs["claimed"]).status, bench.job(jobs["claimed"]).arn) == ("Submitted", made)
    assert len(bench.bedrock.creates) == creates
    goes_on(office, jobs)
    assert [create.name for create in bench.bedrock.creates].count(attempt_name(DEPLOYMENT, jobs["claimed"], 1)) == 1


@pytest.mark.parametrize("taken", [False, True])
def test_r32_a_cancelled_claim_that_was_rebuilt_is_looked_up_before_it_is_over(taken: bool) -> None:
    office, jobs = damaged(claimed_holder_lost)
    bench, claimed = office.bench, jobs["claimed"]
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, claimed, 1)) if taken else None
    bench.append(claimed, e.CancelRequested(at=bench.time, by="ann", why=""))
    rebuild(office.desk)
    deliver(bench)
    assert (bench.job(claimed).arn, bench.job(claimed).status) == (made, "Stopping" if taken else "Cancelled")
    assert bench.bedrock.stopped == ([made] if taken else [])
    assert [create.name for create in bench.bedrock.creates].count(attempt_name(DEPLOYMENT, claimed, 1)) == 1


def test_r46_an_attempt_that_was_never_answered_is_looked_up_after_a_rebuild_too() -> None:
    """It was given up as not found and waits. That Bedrock may have it is in its events, and in the view that is rebuilt."""
    office, jobs = damaged()
    bench = office.bench
    a_lease_was_taken_over_and_given_up(bench, jobs)
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, jobs["claimed"], 1))
    row = view_of(bench, jobs["claimed"])
    del row.fold["unanswered"]
    put(bench, row)
    slots_lost(bench, jobs)
    assert not bench.job(jobs["claimed"]).unanswered
    assert rebuild(office.desk).left == ()
    goes_on(office, jobs)
    assert bench.job(jobs["claimed"]).arn == made


def test_what_is_at_bedrock_holds_a_slot_even_beyond_the_limit() -> None:
    office = Office(Bench(limit=4))
    jobs = busy(office.bench)
    office.bench.wait(minutes=10)
    say(office.bench, e.LimitSet(at=office.bench.time, limit=1))
    pause(office.bench)
    slots_lost(office.bench, jobs)
    rebuild(office.desk)
    assert (len(office.bench.slots.holders), office.bench.slots.limit) == (3, 1)


# --- broken off


@pytest.mark.parametrize("keeps_cursor", [True, False])
@pytest.mark.parametrize("writes_before", range(9))
def test_a_run_that_is_killed_is_finished_by_another(writes_before: int, keeps_cursor: bool) -> None:
    office, jobs = damaged(*OF_ROWS, *MOST_OF_SLOTS)
    bench, count = office.bench, 0

    def kill(writes: Any) -> None:
        nonlocal count
        count += 1
        if count > writes_before:
            raise KeyboardInterrupt

    bench.tables.before_commit = kill
    with pytest.raises(KeyboardInterrupt):
        rebuild(office.desk)
    bench.tables.before_commit = lambda _: None
    cursor = Cursor.from_text(office.seen[-1].to_text()) if keeps_cursor and office.seen else None
    assert rebuild(office.desk, cursor).left == ()
    assert ("job", jobs["claimed"]) in bench.outbox.sent
    assert ("model", ALL) in bench.outbox.sent
    assert verify(office.desk).differences == ()
    goes_on(office, jobs)


def test_a_job_whose_repair_was_the_last_act_of_a_killed_run_is_woken_by_the_next() -> None:
    office, jobs = damaged(entry_lost)
    sent = office.bench.outbox.wake_job
    office.bench.outbox.wake_job = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        rebuild(office.desk)
    office.bench.outbox.wake_job = sent  # type: ignore[method-assign]
    assert rebuild(office.desk, office.seen[-1]).repaired == ()
    assert ("job", jobs["waiting"]) in office.bench.outbox.sent


@pytest.mark.parametrize("stop_after", range(1, 12))
def test_a_verify_that_is_broken_off_goes_on_from_its_cursor_and_finds_as_much(stop_after: int) -> None:
    office, _ = damaged(*OF_ROWS, *MOST_OF_SLOTS)
    whole = verify(office.desk).differences
    office.seen.clear()

    def kill(cursor: Cursor) -> None:
        if len(office.seen) == stop_after:
            raise KeyboardInterrupt

    office.on_progress = kill
    with pytest.raises(KeyboardInterrupt):
        verify(office.desk)
    office.on_progress = lambda _: None
    again = verify(office.desk, Cursor.from_text(office.seen[-1].to_text())).differences
    assert sorted(map(str, again)) == sorted(map(str, whole))
