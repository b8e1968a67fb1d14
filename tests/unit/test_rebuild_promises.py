"""What a rebuild might break, and must not: interleavings that a review found (2026-11-29)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bbq.cli.repair import rebuild
from bbq.services.scheduler.wake import reconcile_model
from bbq.shared import events as e
from bbq.shared import rows as rows_
from bbq.shared.names import attempt_name, holder, job_stream
from bbq.shared.slots import REBUILDING
from bbq.shared.tables import Delete, SlotsRow
from tests.support.driving import ended, fire_next, let_pass, see, started
from tests.support.samples import MODEL
from tests.support.world import DEPLOYMENT, Bench
from tests.unit import test_repair as tr
from tests.unit.test_promises import fails


def living_after_five_uploads(bench: Bench) -> int:
    """The queue goes on: how many jobs live at Bedrock, whose limit is four."""
    tr.deliver(bench)
    for number in range(5):
        bench.wait(seconds=1)
        see(bench, bench.upload(f"more{number}"))
    return sum(job.status not in tr.ENDED for job in bench.bedrock.jobs.values())


@pytest.mark.parametrize(
    "how", ["unknown event", "gap", "its view", "its view; of the slots only its holder is lost"]
)
def test_a_living_job_that_cannot_be_read_keeps_its_slot(how: str) -> None:
    office, jobs = tr.damaged(tr.submitted_holder_lost if how.endswith("lost") else tr.slots_lost)
    bench, job = office.bench, jobs["submitted"]
    rows = bench.tables._items["events"][job_stream(job)]
    view = bench.tables._items["projections"][rows_.view_pk(job)]
    if how == "unknown event":
        rows[4] = {**rows[3], "version": {"N": "4"}, "name": {"S": "job-teleported"}}
    elif how == "gap":
        del rows[2]
    else:  # its events are whole
        view["view"] = {**view["view"], "records": {"S": "many"}}
    rebuilt = rebuild(office.context)
    assert living_after_five_uploads(bench) <= 4, (rebuilt.left, office.said)


def test_an_attempt_that_is_adopted_beside_the_walk_keeps_its_slot() -> None:
    office, jobs = tr.damaged()
    bench, claimed = office.bench, jobs["claimed"]
    tr.say(bench, e.ModelPaused(at=bench.time, by="ann", why=REBUILDING))  # a rebuild was killed
    reconcile_model(bench.world(), MODEL)
    tr.a_lease_was_taken_over_and_given_up(bench, jobs)  # List was behind: Bedrock has it
    made = bench.bedrock.take(attempt_name(DEPLOYMENT, claimed, 1))
    tr.counter_lost(bench, jobs)
    events = sum(map(len, bench.tables._items["events"].values()))

    def on_page(text: str) -> None:
        if text == f"{events} rows of events":  # every job was read; Bedrock's event comes now
            with pytest.raises(TypeError):  # of the fill after the adoption
                tr.report(bench, claimed, "Validating", made)

    office.on_page = on_page
    assert rebuild(office.context).left == {}
    assert bench.job(claimed).status in {"Submitted", "Validating"}
    assert living_after_five_uploads(bench) <= 4


@pytest.mark.parametrize(
    "case", ["resumed by a person meanwhile", "removed, and deployed again later"]
)
def test_slots_that_were_made_again_do_not_stay_paused_without_a_pause(case: str) -> None:
    office, _ = tr.damaged(tr.slots_lost)
    bench, said = office.bench, list[str]()

    def on_page(text: str) -> None:
        if case.startswith("resumed") and text.endswith("of events") and not said:
            said.append(text)
            tr.say(bench, e.ModelResumed(at=bench.time, by="bo", why="why does nothing start?"))

    office.on_page = on_page
    context = office.context if case.startswith("resumed") else replace(office.context, models=())
    assert rebuild(context).left == {}
    tr.deliver(bench)
    reconcile_model(bench.world(), MODEL, 4)  # `make deploy`
    assert not bench.slots.paused, tr.model_events(bench)


def test_lost_slots_do_not_convict_after_two_others() -> None:
    office = tr.Office(Bench(limit=1))
    bench = office.bench
    for n in range(5):
        ended(bench, started(bench, f"before{n}"), processed=100)
    bad = started(bench, "bad")
    fails(bench, bad)
    let_pass(bench, minutes=4)
    tr.pause(bench)
    bench.tables.write([Delete(rows_.slots_row(bench.slots))])
    rebuild(office.context)
    tr.resume(bench)
    others = 0
    while bench.job(bad).status != "Failed":
        if bench.job(bad).status == "Submitted":
            started(bench, f"good{others}", priority=0)
            fails(bench, bad)
            let_pass(bench, minutes=4)
        elif bench.slots.holders:
            ended(bench, next(iter(bench.slots.holders)).partition("#")[0], processed=100)
            others += 1
        else:
            assert fire_next(bench, bench.time + timedelta(hours=1))
    assert others >= 3, bench.job(bad).failed_under


def test_an_end_that_came_while_the_slots_were_lost_frees_its_slot_after_the_rebuild() -> None:
    office, jobs = tr.damaged(tr.slots_lost)
    bench = office.bench
    which = tr.arn_of(bench, jobs["running"])
    bench.bedrock.turn(which, "Completed")
    with pytest.raises(RuntimeError):  # its message is hidden, for up to an hour
        tr.report(bench, jobs["running"], "Completed", which)
    rebuild(office.context)
    tr.deliver(bench)
    assert holder(jobs["running"], 1) not in bench.slots.holders


def test_a_slots_item_with_a_value_of_the_wrong_type_is_to_be_deleted() -> None:
    office, _ = tr.damaged()
    rows = office.bench.tables._items["projections"][rows_.slots_pk(MODEL)]
    rows["slots"] = {**rows["slots"], "taken": {"S": "x"}}
    (why,) = rebuild(office.context).left.values()
    assert "delete the item" in why
    office.bench.tables.write([Delete(SlotsRow(pk=rows_.slots_pk(MODEL), sk="slots"))])
    assert rebuild(office.context).left == {}


def test_a_pause_by_a_person_during_a_rebuild_is_shown_as_theirs() -> None:
    office, _ = tr.damaged()
    bench, said = office.bench, list[str]()

    def on_page(text: str) -> None:
        if text.endswith("of events") and not said:
            said.append(text)
            tr.say(bench, e.ModelPaused(at=bench.time, by="bo", why="bad prompt"))

    office.on_page = on_page
    rebuild(office.context)
    reconcile_model(bench.world(), MODEL)
    assert bench.slots.pause is not None
    assert (bench.slots.pause.by, bench.slots.pause.why) == ("bo", "bad prompt")


def test_a_job_that_cannot_be_read_and_ends_beside_the_walk_keeps_no_slot() -> None:
    """The scheduler may be newer than this `bbq`, and read what this one cannot."""
    office, jobs = tr.damaged()
    bench, job = office.bench, jobs["running"]
    stored = bench.tables._items["events"][job_stream(job)]
    stored[2] = {**stored[2], "name": {"S": "job-teleported"}}
    projected = bench.tables._items["projections"]
    events = sum(map(len, bench.tables._items["events"].values()))
    assert holder(job, 1) in bench.slots.holders

    def on_page(text: str) -> None:
        if text != f"{events + 1} rows of events":  # with the pause
            return
        view, slots = projected[rows_.view_pk(job)], projected[rows_.slots_pk(MODEL)]
        view["view"] = {**view["view"], "status": {"S": "Completed"}}
        holders = dict(slots["slots"]["holders"]["M"])
        del holders[holder(job, 1)]
        slots["slots"] = {**slots["slots"], "holders": {"M": holders}}

    office.on_page = on_page
    rebuild(office.context)
    assert holder(job, 1) not in bench.slots.holders


def test_a_job_that_nobody_could_ever_read_keeps_no_slots_from_being_repaired() -> None:  # 78008599
    office, jobs = tr.damaged(tr.submitted_holder_lost)
    bench = office.bench
    never = bench.upload("of a newer version")
    stored = bench.tables._items["events"][job_stream(never)]
    stored[1] = {**stored[1], "name": {"S": "job-teleported"}}
    rebuilt = rebuild(office.context)
    assert (rows_.slots_pk(MODEL), "slots") not in rebuilt.left
    assert bench.slots.holders[holder(jobs["submitted"], 1)].submitted
