"""What a person does when the worst has happened: `verify` sees every damage, `rebuild` repairs it,
and the queue goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from bbq.cli import repair
from bbq.cli.expected import REBUILT
from bbq.cli.look import CLOCK_MARGIN
from bbq.cli.repair import Rebuilt, rebuild, verify
from bbq.cli.scan import RepairContext
from bbq.services.scheduler.bedrock import Answer, Refused, Request, Unknown
from bbq.services.scheduler.hints import ALL, Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model, wake
from bbq.shared import events as e
from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.hold import ACCESS, FAILING, QUOTA, Hold
from bbq.shared.job import OVER, fold
from bbq.shared.names import attempt_name, holder, job_stream, model_stream
from bbq.shared.slots import AT_BEDROCK, REBUILDING, Lease, Slots
from bbq.shared.tables import CountRow, Delete, LineRow, Put, Row, SlotsRow, ViewRow, Write
from tests.support.reader import MemoryReader
from tests.support.samples import MODEL, MODEL_ID, id_of, queued
from tests.support.world import DEPLOYMENT, Bench

STRANGER = id_of(version="nobody's")
ENDED = {"Completed", "Failed", "Stopped", "Expired", "PartiallyCompleted"}


@dataclass
class Office:
    """A person's tools on a bench. Pauses pass time; `on_page` is called after each page of a walk,
    `on_sleep` in every pause.
    """

    bench: Bench = field(default_factory=lambda: Bench(limit=4))
    on_page: Callable[[str], None] = lambda _: None
    on_sleep: Callable[[float], None] = lambda _: None
    said: list[str] = field(default_factory=list)
    page_items: int = 3

    @property
    def context(self) -> RepairContext:
        return RepairContext(
            tables=self.bench.tables,
            reader=MemoryReader(self.bench.tables, self.page_items),
            hints=self.bench.outbox,
            lease=self.bench.config.lease,
            now=lambda: self.bench.time,
            sleep=self._sleep,
            models=(MODEL,),
            by="ann",
            tell=self.on_page,
            say=self.said.append,
        )

    def _sleep(self, seconds: float) -> None:
        self.bench.wait(seconds=seconds)
        self.on_sleep(seconds)


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
    told = Report(
        arn=which,
        model_id=MODEL_ID,
        status=status,
        message="",
        job=job,
        attempt=bench.job(job).attempt,
    )
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
    """One job in every state, by its name; three of four slots have a holder. The claimed one's
    Create got no answer, the refused one waits at the head of the line, and the model is on hold.
    """
    jobs = {name: id_of(version=name) for name in UPLOADS}
    answers: dict[str, Answer] = {
        "claimed": Unknown("ReadTimeout"),
        "refused": Refused(QUOTA, "full"),
    }
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
        at=bench.time,
        model=MODEL,
        sources=queued().sources,
        problems=(problem,),
        problem_count=1,
        size_bytes=3,
    )
    bench.store.append(jobs["rejected"], None, rejected)
    see(bench, jobs["rejected"])
    statuses = [bench.job(jobs[name]).status for name in UPLOADS]
    assert statuses == [
        "Submitted",
        "InProgress",
        "Queued",
        "Claimed",
        "Queued",
        "Completed",
        "Rejected",
    ]
    assert (len(bench.slots.holders), bench.store.line(MODEL, 9)) == (
        3,
        [jobs["refused"], jobs["waiting"]],
    )
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
    """P1 and P2, at every Create: a slot is free at Bedrock, and no job of that name was ever
    made.
    """

    def check(request: Request) -> None:
        living = [job for job in bench.bedrock.jobs.values() if job.status not in ENDED]
        assert len(living) < bench.slots.limit
        assert request.name not in {job.name for job in bench.bedrock.jobs.values()}

    bench.bedrock.on_create = check


def goes_on(office: Office, jobs: dict[str, str]) -> None:
    """The queue brings every job to its end, within the limit, and the projections stay what the
    events say.
    """
    bench = office.bench
    watch_capacity(bench)
    for _ in range(20):
        deliver(bench)
        bench.wait(minutes=40)  # timers
        for job in jobs.values():
            see(bench, job, look=True)
        running = [
            job for job in jobs.values() if bench.job(job).arn and bench.job(job).status not in OVER
        ]
        if not running:
            break
        end(bench, running[0])
    assert {bench.job(job).status for job in jobs.values()} <= {"Completed", "Rejected"}
    assert (
        bench.slots.paused,
        bench.slots.holders,
        bench.slots.holds,
        bench.store.line(MODEL, 9),
    ) == (False, {}, (), [])
    assert verify(office.context).differences == ()


# --- damage


def slots_row(bench: Bench) -> SlotsRow:
    row = bench.tables.get(SlotsRow, rows.slots_pk(MODEL), "slots")
    assert row
    return row


def put(bench: Bench, row: Row) -> None:
    bench.tables.write([Put(row)])


def put_slots(bench: Bench, **changes: Any) -> None:
    put(bench, rows.slots_row(replace(bench.slots, **changes)))


def view_of(bench: Bench, job: str) -> ViewRow:
    row = bench.tables.get(ViewRow, rows.view_pk(job), "view")
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
        put(bench, rows.view_row(older))


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
    row = rows.view_row(bench.job(jobs["waiting"]))
    row.pk, row.job = rows.view_pk(STRANGER), STRANGER
    put(bench, row)


def entry_lost(bench: Bench, jobs: dict[str, str]) -> None:
    bench.tables.write([Delete(rows.line_row(bench.job(jobs["waiting"])))])


def entry_ghost_of_a_running_job(bench: Bench, jobs: dict[str, str]) -> None:
    put(bench, rows.line_row(bench.job(jobs["running"])))


def entry_ghost_at_another_place(bench: Bench, jobs: dict[str, str]) -> None:
    row = rows.line_row(bench.job(jobs["waiting"]))
    put(bench, LineRow(pk=row.pk, sk="0" + row.sk[1:], job=row.job))


def entry_ghost_of_nobody(bench: Bench, jobs: dict[str, str]) -> None:
    put(bench, LineRow(pk=rows.line_pk(MODEL), sk=f"0#2026#{STRANGER}", job=STRANGER))
    put(bench, LineRow(pk=rows.line_pk(MODEL), sk="0#nonsense", job=jobs["ended"]))


def entry_of_another_job(bench: Bench, jobs: dict[str, str]) -> None:
    row = rows.line_row(bench.job(jobs["waiting"]))
    put(bench, LineRow(pk=row.pk, sk=row.sk, job=jobs["ended"]))


def holder_leaked(bench: Bench, jobs: dict[str, str]) -> None:
    names = (
        holder(jobs["ended"], 1),
        holder(jobs["submitted"], 2),
        holder(STRANGER, 1),
        "nonsense",
    )
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
    put_slots(
        bench,
        holders={
            **bench.slots.holders,
            holder_id: Lease(owner="x", until=bench.time - timedelta(days=1)),
        },
    )


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
    items = bench.tables._items["projections"][rows.slots_pk(MODEL)]
    items["slots"] = {name: value for name, value in items["slots"].items() if name != "taken"}


def lease_unreadable(bench: Bench, jobs: dict[str, str]) -> None:
    row = slots_row(bench)
    wire = row.to_dynamodb_dict()
    wire["holders"]["M"][holder(jobs["claimed"], 1)] = {"S": "nonsense"}
    del wire["holders"]["M"][holder(jobs["submitted"], 1)]["M"]["submitted"]
    bench.tables._items["projections"][row.pk][row.sk] = wire


def counts_wrong(bench: Bench, jobs: dict[str, str]) -> None:
    for row in bench.tables.query(CountRow, f"counts#{MODEL}"):
        put(
            bench, CountRow(pk=row.pk, sk=row.sk, changes=row.changes, jobs=77, records=row.records)
        )
    put(bench, CountRow(pk=f"counts#{MODEL}", sk="2020-01-01#3", changes=5, records=9))


def slots_lost(bench: Bench, jobs: dict[str, str]) -> None:
    bench.tables.write([Delete(slots_row(bench))])


Damage = Callable[[Bench, dict[str, str]], None]
DAMAGES: list[Damage] = [
    view_lost,
    views_stale,
    view_from_the_future,
    view_changed,
    state_lost,
    state_wrong,
    view_ghost,
    entry_lost,
    entry_ghost_of_a_running_job,
    entry_ghost_at_another_place,
    entry_ghost_of_nobody,
    entry_of_another_job,
    holder_leaked,
    submitted_holder_lost,
    claimed_holder_lost,
    claimed_holder_marked_submitted,
    running_holder_not_marked,
    limit_wrong,
    model_version_too_high,
    holders_disappeared,
    holds_unreadable,
    counter_lost,
    lease_unreadable,
    slots_lost,
    counts_wrong,
]
OF_ROWS = DAMAGES[:12]
MOST_OF_SLOTS = [
    holder_leaked,
    submitted_holder_lost,
    claimed_holder_lost,
    running_holder_not_marked,
    limit_wrong,
]


def damaged(*damages: Damage) -> tuple[Office, dict[str, str]]:
    """A busy model, its leases over, damaged."""
    office = Office()
    jobs = busy(office.bench)
    office.bench.wait(minutes=10)
    for damage in damages:
        damage(office.bench, jobs)
    return office, jobs


def everything_about(bench: Bench) -> Any:
    return {
        table: {pk: dict(rows) for pk, rows in partitions.items() if rows}
        for table, partitions in bench.tables._items.items()
    }


def model_events(bench: Bench) -> list[tuple[str, str]]:
    """Name and reason of each."""
    return [
        (each.event.NAME, getattr(each.event, "why", ""))
        for each in bench.store.load(model_stream(MODEL))
    ]


def before_write(
    bench: Bench, wanted: Callable[[Sequence[Write]], bool], act: Callable[[], None]
) -> list[bool]:
    """`act` comes between the last reading and the first write that is `wanted`. Answers a list
    that says that it came.
    """
    came: list[bool] = []

    def hook(writes: Sequence[Write]) -> None:
        if not came and wanted(writes):
            came.append(True)
            act()

    bench.tables.before_commit = hook
    return came


def of_slots(writes: Sequence[Write]) -> bool:
    """The write of rebuilt slots."""
    return len(writes) == 1 and isinstance(writes[0], Put) and isinstance(writes[0].row, SlotsRow)


OWN = [("limit-set", ""), ("model-paused", REBUILDING), ("model-resumed", REBUILDING)]


def test_nothing_is_wrong_with_a_busy_queue() -> None:
    office, _ = damaged()
    before = everything_about(office.bench)
    assert verify(office.context).differences == ()
    assert everything_about(office.bench) == before
    rebuilt = rebuild(office.context)
    assert (rebuilt.repaired, rebuilt.left, rebuilt.streams, office.said) == (
        (),
        {},
        len(UPLOADS) + 1,
        [],
    )
    assert model_events(office.bench) == OWN
    slots = before["projections"].pop(rows.slots_pk(MODEL))["slots"]
    after = everything_about(office.bench)["projections"]
    now = after.pop(rows.slots_pk(MODEL))["slots"]
    assert after == before["projections"]
    assert {name for name in now if now[name] != slots.get(name)} == {
        "paused",
        "model_version",
        "paused_by",
        "paused_at",
        "paused_why",
    }


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_seen_repaired_and_the_queue_goes_on(damage: Damage) -> None:
    office, jobs = damaged(damage)
    before = everything_about(office.bench)
    report = verify(office.context)
    assert report.complete
    assert report.differences
    assert all(str(difference) for difference in report.differences)
    assert everything_about(office.bench) == before
    rebuilt = rebuild(office.context)
    # which the pause writes
    assert rebuilt.repaired or damage in {limit_wrong, model_version_too_high}
    assert rebuilt.left == {}
    reconcile_model(office.bench.world(), MODEL)
    assert verify(office.context).differences == ()
    goes_on(office, jobs)


def test_all_damages_at_once_are_repaired_by_one_run_and_a_second_one_finds_nothing() -> None:
    office, jobs = damaged(*OF_ROWS, *MOST_OF_SLOTS, counts_wrong)
    assert rebuild(office.context).left == {}
    again = rebuild(office.context)
    assert (again.repaired, again.left) == ((), {})
    goes_on(office, jobs)


# --- verify: what a person reads, and what a living system does meanwhile


def test_a_difference_says_where_what_is_and_what_should_be() -> None:
    office, jobs = damaged(view_changed, holder_leaked, running_holder_not_marked, limit_wrong)
    words = [str(difference) for difference in verify(office.context).differences]
    view = f"job#{jobs['running']} / view"
    assert f"{view}: status is Submitted, should be InProgress" in words
    assert any(text.startswith(f"{view}: arn is absent, should be arn:aws") for text in words)
    slots = f"slots#{MODEL} / slots"
    assert f"{slots}: limit is 77, should be 4" in words
    assert (
        f"{slots}: {holder(jobs['ended'], 1)} is a holder, submitted, should be no holder" in words
    )
    assert (
        f"{slots}: {holder(jobs['running'], 1)} is a holder, should be a holder, submitted" in words
    )


def test_an_entry_that_no_job_needs_differs_as_a_whole() -> None:
    office, jobs = damaged(entry_ghost_at_another_place)
    (difference,) = verify(office.context).differences
    assert (difference.field, difference.found["job"], difference.expected) == (
        "",
        jobs["waiting"],
        None,
    )
    assert "should be absent" in str(difference)


def test_what_is_on_its_way_is_not_reported() -> None:
    office = Office()
    job = office.bench.upload("new")  # nothing projected yet
    office.on_sleep = lambda seconds: (
        see(office.bench, job) if seconds == repair.SETTLE_SECONDS else None
    )
    assert verify(office.context).differences == ()
    assert office.bench.job(job).status == "Submitted"


def test_a_queue_at_work_beside_the_walk_is_not_reported_and_what_stays_wrong_is() -> None:
    office = Office(Bench(limit=2), page_items=1)
    bench = office.bench
    uploads = [bench.upload(f"v{number}") for number in range(12)]
    for job in uploads[:6]:
        see(bench, job)
    lost = next(
        job for job in uploads if bench.job(job).arn is None and bench.store.view_version(job)
    )
    bench.tables.write([Delete(rows.line_row(bench.job(lost)))])

    def work(_: float) -> None:
        running = [
            job for job in uploads if bench.job(job).arn and bench.job(job).status not in OVER
        ]
        if running:
            end(bench, running[0])
        waiting = [job for job in uploads if bench.store.view_version(job) == 0]
        if waiting:
            see(bench, waiting[0])

    office.on_sleep = work
    report = verify(office.context)
    assert {difference.pk for difference in report.differences} == {rows.line_pk(MODEL)}
    assert all(lost in difference.sk for difference in report.differences)
    assert any("it changed while the jobs were read" in sentence for sentence in office.said)


def test_events_that_cannot_be_read_are_named_left_alone_and_stop_no_other_job() -> None:
    office, jobs = damaged(entry_lost, submitted_holder_lost)
    bench = office.bench
    stored = bench.tables._items["events"][job_stream(jobs["running"])]
    stored[2] = {**stored[2], "name": {"S": "job-teleported"}}
    del bench.tables._items["events"][job_stream(jobs["ended"])][2]
    report = verify(office.context)
    words = [str(difference) for difference in report.differences]
    assert any("job-teleported" in text for text in words)
    assert any(f"the events of job {jobs['ended']} are not 1 to" in text for text in words)
    assert any("a job that it may count cannot be read" in sentence for sentence in office.said)
    rebuilt = rebuild(office.context)
    assert set(rebuilt.left) == {
        (rows.view_pk(jobs[name]), "view") for name in ("running", "ended")
    }
    # what it should be is not known: it keeps what it has
    assert holder(jobs["running"], 1) in bench.slots.holders
    assert bench.slots.holders[holder(jobs["submitted"], 1)].submitted
    assert bench.store.line(MODEL, 9) == [jobs["refused"], jobs["waiting"]]
    assert any(jobs["running"] in sentence for sentence in office.said)
    # a hint mends nothing of what cannot be read (seed 71010108)
    assert ("job", jobs["running"]) not in bench.outbox.sent


def test_a_row_of_no_known_kind_is_named_and_never_removed() -> None:
    office, _ = damaged()
    put(office.bench, LineRow(pk="budget#haiku", sk="2026", job="x"))
    (difference,) = verify(office.context).differences
    assert difference.pk == "budget#haiku"
    assert "by hand" in rebuild(office.context).left["budget#haiku", "2026"]
    assert len(office.bench.tables.query(LineRow, "budget#haiku")) == 1


def test_a_walk_that_finds_too_much_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "MAX_DIFFERENT", 2)
    office, _ = damaged(*OF_ROWS)
    report = verify(office.context)
    assert (report.complete, len({(d.pk, d.sk) for d in report.differences})) == (False, 2)


def test_a_walk_is_paced_and_tells_how_far_it_is() -> None:
    office, jobs = damaged()
    told, began = list[str](), office.bench.time
    office.on_page = told.append
    verify(replace(office.context, read_units_per_second=10.0))
    assert office.bench.time - began > timedelta(seconds=0.4 * len(jobs))
    assert told[-1].endswith("rows of events")
    assert len(told) > len(jobs) / office.page_items


# --- the pause


def test_a_model_that_a_person_has_paused_stays_paused() -> None:
    office, jobs = damaged(submitted_holder_lost)
    pause(office.bench)
    assert rebuild(office.context).left == {}
    assert holder(jobs["submitted"], 1) in office.bench.slots.holders
    assert model_events(office.bench)[-1] == ("model-paused", "repair")
    assert office.bench.slots.paused
    resume(office.bench)
    goes_on(office, jobs)


def test_a_person_who_pauses_during_a_rebuild_is_heard() -> None:
    office, _ = damaged(submitted_holder_lost)
    came = before_write(
        office.bench,
        of_slots,
        lambda: say(office.bench, e.ModelPaused(at=office.bench.time, by="bo", why="no")),
    )
    rebuild(office.context)
    assert (came, model_events(office.bench)[-1]) == ([True], ("model-paused", "no"))


def test_a_pause_that_no_scheduler_has_projected_is_projected_before_the_walk() -> None:
    office, jobs = damaged(submitted_holder_lost)
    say(office.bench, e.ModelPaused(at=office.bench.time, by="ann", why="repair"))
    assert not office.bench.slots.paused
    assert rebuild(office.context).left == {}
    assert (office.bench.slots.paused, office.bench.slots.model_version) == (True, 2)
    assert holder(jobs["submitted"], 1) in office.bench.slots.holders


def opened_again(bench: Bench, jobs: dict[str, str]) -> None:
    """A resume, another pause: what was read of jobs may be old (R34)."""
    resume(bench)
    pause(bench)


def opened_by_damage(bench: Bench, jobs: dict[str, str]) -> None:
    put_slots(bench, paused=False)


@pytest.mark.parametrize("meanwhile", [opened_again, opened_by_damage])
def test_r20_r34_slots_that_were_opened_during_the_walk_are_left_for_another_run(
    meanwhile: Damage,
) -> None:
    office, jobs = damaged(submitted_holder_lost)
    came = before_write(office.bench, of_slots, lambda: meanwhile(office.bench, jobs))
    rebuilt = rebuild(office.context)
    assert (came, list(rebuilt.left)) == ([True], [(rows.slots_pk(MODEL), "slots")])
    assert holder(jobs["submitted"], 1) not in office.bench.slots.holders
    # what is wrong with them may let too many in
    assert model_events(office.bench)[-1][0] == "model-paused"
    assert rebuild(office.context).left == {}
    assert holder(jobs["submitted"], 1) in office.bench.slots.holders


def test_while_a_lease_runs_the_rebuild_waits_and_says_until_when() -> None:
    office = Office()
    jobs = busy(office.bench)
    submitted_holder_lost(office.bench, jobs)
    until = office.bench.slots.holders[holder(jobs["claimed"], 1)].until
    assert until > office.bench.time
    wrote = list[Any]()
    before_write(office.bench, of_slots, lambda: wrote.append(office.bench.time))
    assert rebuild(office.context).left == {}
    assert wrote[0] >= until + CLOCK_MARGIN
    assert any(f"{until + CLOCK_MARGIN:%H:%M:%S} UTC" in sentence for sentence in office.said)
    goes_on(office, jobs)


def test_slots_that_are_right_are_not_waited_for() -> None:
    office = Office()
    busy(office.bench)
    assert rebuild(office.context).repaired == ()
    assert office.said == []


# --- lost slots


def test_missing_slots_are_made_again_and_the_model_opens_when_they_are() -> None:
    office, jobs = damaged(slots_lost)
    assert rebuild(office.context).left == {}
    assert any("were lost" in sentence for sentence in office.said)
    slots = office.bench.slots
    assert (slots.paused, slots.limit, slots.model_version, len(slots.holders)) == (True, 4, 2, 3)
    assert model_events(office.bench) == OWN
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
    # and then its invocation died
    bench.store.commit(p.ended(before, end, holder(ended, 1), bench.slots))
    assert (bench.job(tallied).tally is None, bench.job(ended).tally is None) == (False, True)
    began = bench.slots.day
    bench.tables.write([Delete(rows.slots_row(bench.slots))])
    rebuild(office.context)
    assert bench.slots.day == began
    assert (began.jobs, set(bench.slots.holders)) == (3, {holder(running, 1)})


def test_missing_slots_that_are_made_meanwhile_are_not_overwritten() -> None:
    office, _ = damaged(slots_lost)
    made = Slots(model=MODEL, limit=4, model_version=1)
    came = before_write(office.bench, of_slots, lambda: put(office.bench, rows.slots_row(made)))
    rebuilt = rebuild(office.context)
    assert (came, list(rebuilt.left)) == ([True], [(rows.slots_pk(MODEL), "slots")])
    assert office.bench.slots == made


def test_slots_of_a_model_that_has_no_events_at_all_are_made_for_the_attempts_that_live() -> None:
    office, jobs = damaged(slots_lost)
    del office.bench.tables._items["events"][model_stream(MODEL)]
    assert rebuild(office.context).left == {}
    slots = office.bench.slots
    assert (slots.limit, slots.paused, len(slots.holders)) == (0, True, 3)
    assert slots.holders[holder(jobs["running"], 1)].submitted


def test_a_rebuild_keeps_what_no_event_holds_and_is_a_reason_to_ask_again() -> None:
    office, _ = damaged()
    bench = office.bench
    hold = Hold(
        kind=ACCESS,
        message="no",
        since=bench.time,
        until=bench.time + timedelta(minutes=30),
        ends=8,
        count=4,
    )
    failing = replace(hold, kind=FAILING, message="bad", count=2)
    put_slots(
        bench,
        ends=8,
        taken=4,
        good_ends=3,
        failures=5,
        failed_late=True,
        refused=hold,
        failing=failing,
    )
    before = bench.slots
    put_slots(bench, limit=77, holders={**before.holders, "nonsense": AT_BEDROCK})
    assert rebuild(office.context).left == {}
    assert replace(bench.slots, paused=False, pause=None, model_version=1) == replace(
        before, ends=9
    )
    assert all(hold.is_open(bench.slots.ends, bench.time) for hold in bench.slots.holds)


# --- what happens beside a rebuild


def a_running_job_ended(bench: Bench, jobs: dict[str, str]) -> None:
    end(bench, jobs["running"])


def a_late_answer_was_recorded(bench: Bench, jobs: dict[str, str]) -> None:
    """The look-up of the claimed one finds it at Bedrock."""
    bench.bedrock.take(attempt_name(DEPLOYMENT, jobs["claimed"], 1))
    see(bench, jobs["claimed"])
    assert bench.job(jobs["claimed"]).status == "Submitted"


def a_lease_was_taken_over_and_given_up(bench: Bench, jobs: dict[str, str]) -> None:
    see(bench, jobs["claimed"])
    assert (bench.job(jobs["claimed"]).status, bench.job(jobs["claimed"]).unanswered) == (
        "Queued",
        True,
    )


def a_lease_was_taken_over(bench: Bench, jobs: dict[str, str]) -> None:
    holder_id = holder(jobs["claimed"], 1)
    new = Lease(owner="another", until=bench.time + timedelta(minutes=3))
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
    a_running_job_ended,
    a_late_answer_was_recorded,
    a_lease_was_taken_over,
    a_lease_was_taken_over_and_given_up,
    a_strangers_job_ended,
    the_claimed_one_was_cancelled,
    a_running_job_failed_at_once,
]


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_r20_what_happens_between_reading_and_writing_slots_makes_the_write_fail_and_is_read(
    meanwhile: Damage,
) -> None:
    office, jobs = damaged(submitted_holder_lost)
    bench = office.bench
    came = before_write(bench, of_slots, lambda: meanwhile(bench, jobs))
    assert rebuild(office.context).left == {}
    assert came
    alive = {
        job
        for job in jobs.values()
        if bench.job(job).status in {"Submitted", "InProgress", "Claimed"}
    }
    assert set(bench.slots.holders) == {holder(job, 1) for job in alive}
    reconcile_model(bench.world(), MODEL)
    assert verify(office.context).differences == ()


def test_r20_a_job_that_gets_further_beside_a_rebuild_still_ends_the_row_of_failures() -> None:
    """Its begin changes neither holders nor holds nor counters that rise, only how many failed in a
    row.
    """
    office, jobs = damaged(submitted_holder_lost)
    bench = office.bench
    put_slots(bench, failures=1)
    which = arn_of(bench, jobs["submitted"])
    came = before_write(
        bench, of_slots, lambda: report(bench, jobs["submitted"], "InProgress", which)
    )
    assert rebuild(office.context).left == {}
    assert (came, bench.slots.failures) == ([True], 0)


@pytest.mark.parametrize("page", range(1, 12))
def test_r20_a_claim_beside_the_walk_is_never_written_over(page: int) -> None:
    """A job is claimed at any moment of the run, if it can be, and then its place and another one
    are lost.
    """
    office = Office(Bench(limit=5))
    bench = office.bench
    jobs = busy(bench)
    bench.wait(minutes=10)
    pages = list[str]()

    def claimed_and_lost(text: str) -> None:
        pages.append(text)
        if len(pages) == page:
            wake(bench.world(), MODEL)
            submitted_holder_lost(bench, jobs)
            put_slots(bench, holders=without(bench.slots.holders, jobs["waiting"]))

    office.on_page = claimed_and_lost
    assert rebuild(office.context).left == {}
    assert len(pages) >= page
    lost = {
        holder(job, 1)
        for job in (jobs["waiting"], jobs["submitted"])
        if bench.job(job).status == "Submitted"
    }
    assert lost
    assert lost <= set(bench.slots.holders)
    assert (holder(jobs["waiting"], 1) in lost) == (
        page <= sum(text.endswith("projections") for text in pages)
    )


def test_an_event_that_comes_beside_the_repair_of_a_view_is_not_overwritten() -> None:
    office, jobs = damaged(views_stale)
    bench, claimed = office.bench, jobs["claimed"]

    def ours(writes: Sequence[Write]) -> bool:
        views = [write.row for write in writes if isinstance(write.row, ViewRow)]
        return any(row.pk == rows.view_pk(claimed) for row in views)

    came = before_write(
        bench,
        ours,
        lambda: bench.append(claimed, e.CancelRequested(at=bench.time, by="ann", why="")),
    )
    assert rebuild(office.context).left == {}
    assert (came, view_of(bench, claimed).cancel_by) == ([True], "ann")


def test_a_job_that_never_comes_to_rest_is_left() -> None:
    office, jobs = damaged(views_stale)
    bench = office.bench

    def busier(writes: Sequence[Write]) -> None:
        if any(
            isinstance(write.row, ViewRow) and write.row.pk == rows.view_pk(jobs["claimed"])
            for write in writes
        ):
            bench.append(jobs["claimed"], e.CancelRequested(at=bench.time, by="ann", why=""))

    bench.tables.before_commit = busier
    left = rebuild(office.context).left
    assert list(left) == [(rows.view_pk(jobs["claimed"]), "view")]
    assert "run the rebuild again" in left[rows.view_pk(jobs["claimed"]), "view"]


def test_uploads_beside_a_rebuild_are_kept_and_their_counts_left_to_a_quiet_minute() -> None:
    office, _ = damaged(counts_wrong)
    bench, new = office.bench, list[str]()

    def upload(_: str) -> None:
        new.append(bench.upload(f"new {len(new)}"))
        see(bench, new[-1])

    office.on_page = upload
    rebuilt = rebuild(office.context)
    assert any(
        "counts#haiku / waiting#" in sentence and "a quiet minute" in sentence
        for sentence in office.said
    )
    assert (f"counts#{MODEL}", "2020-01-01#3") in rebuilt.repaired
    assert set(new) <= set(bench.store.line(MODEL, 99))
    office.on_page = lambda _: None
    rebuild(office.context)
    reconcile_model(bench.world(), MODEL)
    assert verify(office.context).differences == ()


# --- R32: a rebuilt claim is looked up before Create is called


@pytest.mark.parametrize(
    "lost", [claimed_holder_lost, slots_lost, holders_disappeared, lease_unreadable]
)
def test_r32_a_rebuilt_claim_has_an_expired_lease_and_is_adopted_when_bedrock_has_it(
    lost: Damage,
) -> None:
    office, jobs = damaged(lost)
    bench = office.bench
    # Create had run; its answer was lost
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, jobs["claimed"], 1))
    rebuild(office.context)
    lease = bench.slots.holders[holder(jobs["claimed"], 1)]
    assert (lease.until < bench.time, lease.submitted) == (True, False)
    assert ("job", jobs["claimed"]) in bench.outbox.sent
    see(bench, jobs["claimed"])
    assert (bench.job(jobs["claimed"]).status, bench.job(jobs["claimed"]).arn) == (
        "Submitted",
        made,
    )
    goes_on(office, jobs)
    assert [create.name for create in bench.bedrock.creates].count(
        attempt_name(DEPLOYMENT, jobs["claimed"], 1)
    ) == 1


@pytest.mark.parametrize("lost", [claimed_holder_lost, claimed_holder_marked_submitted])
def test_r32_a_lost_lease_runs_for_as_long_as_it_could_have_and_is_then_taken_over(
    lost: Damage,
) -> None:
    office = Office()
    jobs = busy(office.bench)
    began = office.bench.job(jobs["claimed"]).claimed_at
    assert began is not None
    lost(office.bench, jobs)
    assert rebuild(office.context).left == {}
    claimed = office.bench.slots.holders[holder(jobs["claimed"], 1)]
    assert claimed == Lease(owner=REBUILT, until=began + office.bench.config.lease)
    assert claimed.until > office.bench.time
    creates = len(office.bench.bedrock.creates)
    see(office.bench, jobs["claimed"])
    assert len(office.bench.bedrock.creates) == creates
    assert office.bench.slots.holders[holder(jobs["claimed"], 1)] == claimed
    goes_on(office, jobs)


@pytest.mark.parametrize("taken", [False, True])
def test_r32_a_cancelled_claim_that_was_rebuilt_is_looked_up_before_it_is_over(taken: bool) -> None:
    office, jobs = damaged(claimed_holder_lost)
    bench, claimed = office.bench, jobs["claimed"]
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, claimed, 1)) if taken else None
    bench.append(claimed, e.CancelRequested(at=bench.time, by="ann", why=""))
    rebuild(office.context)
    deliver(bench)
    assert (bench.job(claimed).arn, bench.job(claimed).status) == (
        made,
        "Stopping" if taken else "Cancelled",
    )
    assert bench.bedrock.stopped == ([made] if taken else [])
    assert [create.name for create in bench.bedrock.creates].count(
        attempt_name(DEPLOYMENT, claimed, 1)
    ) == 1


def test_r46_an_attempt_that_was_never_answered_is_looked_up_after_a_rebuild_too() -> None:
    """It was given up as not found and waits. That Bedrock may have it is in its events, and in the
    view that is rebuilt.
    """
    office, jobs = damaged()
    bench = office.bench
    pause(bench)
    a_lease_was_taken_over_and_given_up(bench, jobs)
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, jobs["claimed"], 1))
    row = view_of(bench, jobs["claimed"])
    del row.fold["unanswered"]
    put(bench, row)
    slots_lost(bench, jobs)
    assert not bench.job(jobs["claimed"]).unanswered
    assert rebuild(office.context).left == {}
    resume(bench)
    goes_on(office, jobs)
    assert bench.job(jobs["claimed"]).arn == made


# --- broken off


def killed_after(office: Office, writes_before: int) -> Rebuilt | None:
    """A run that dies before its next write; None, or what it did if there were no more."""
    count = 0

    def kill(_: Sequence[Write]) -> None:
        nonlocal count
        count += 1
        if count > writes_before:
            raise KeyboardInterrupt

    office.bench.tables.before_commit = kill
    try:
        return rebuild(office.context)
    except KeyboardInterrupt:
        return None
    finally:
        office.bench.tables.before_commit = lambda _: None


@pytest.mark.parametrize("writes_before", range(13))
def test_a_run_that_is_killed_is_finished_by_another(writes_before: int) -> None:
    office, jobs = damaged(*OF_ROWS, *MOST_OF_SLOTS)
    bench = office.bench
    assert killed_after(office, writes_before) is None
    bench.outbox.sent.clear()  # the hints may have been handled before the repairs
    goes_on_with = len(model_events(bench)) > 1
    assert goes_on_with == (writes_before > 5)  # ghosts are removed before the pause
    assert rebuild(office.context).left == {}
    assert model_events(bench) == OWN
    if goes_on_with:
        unfinished = {
            ("job", job) for name, job in jobs.items() if name not in {"ended", "rejected"}
        }
        assert unfinished <= set(bench.outbox.sent)
    assert ("model", ALL) in bench.outbox.sent
    reconcile_model(bench.world(), MODEL)
    assert verify(office.context).differences == ()
    goes_on(office, jobs)


def test_a_job_whose_repair_was_the_last_act_of_a_killed_run_is_woken_by_the_next() -> None:
    office, jobs = damaged(entry_lost)
    sent = office.bench.outbox.wake_job
    office.bench.outbox.wake_job = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        rebuild(office.context)
    office.bench.outbox.wake_job = sent  # type: ignore[method-assign]
    assert rebuild(office.context).repaired == ()
    assert ("job", jobs["waiting"]) in office.bench.outbox.sent


def test_a_row_of_counts_that_a_repair_changes_is_still_counted_in_the_same_run() -> None:
    office, jobs = damaged(counts_wrong)
    job = office.bench.upload("new")  # its record of the stream was lost
    rebuilt = rebuild(office.context)
    assert (rows.view_pk(job), "view") in rebuilt.repaired
    assert office.said == []
    assert office.bench.store.waiting(MODEL)["jobs"] == 3
    goes_on(office, {**jobs, "new": job})
