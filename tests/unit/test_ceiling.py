"""The ceiling of a day: never passed, whoever claims at once; and who is parked is served the next
day, or when it is raised.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bbq.cli.expected import slots_from_events
from bbq.services.scheduler import handler
from bbq.services.scheduler.bedrock import Refused
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model
from bbq.shared import events as e
from bbq.shared.due import next_day_due
from bbq.shared.hold import INVALID, QUOTA
from bbq.shared.models import Model, parse_models
from bbq.shared.names import job_stream
from bbq.shared.slots import Ceiling, Day, Slots
from bbq.shared.tables import EventRow, Put, SlotsRow, Update
from tests.support.payloads import stream_event
from tests.support.samples import MODEL, MODEL_ID, T0, id_of, life, queued, slot_claimed
from tests.support.world import Bench, config

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


def bench(limit: int = 9, **ceiling: int) -> Bench:
    """A model with this ceiling; an upload has 100 records."""
    made = Bench(limit=limit)
    deploy(made, **ceiling)
    return made


def deploy(on: Bench, **ceiling: int) -> None:
    model = Model(alias=MODEL, model_id=MODEL_ID, limit=on.limit, max_records=100, **ceiling)  # type: ignore[arg-type] # ceilings
    on.config = config(models={MODEL: model})
    reconcile_model(on.world(), MODEL, on.limit)


def uploads(on: Bench, count: int) -> list[str]:
    jobs = []
    for number in range(count):
        jobs.append(on.upload(f"v{number}"))
        on.wait(seconds=1)
    for job in jobs:
        reconcile(on.world(), job, Visit())
    return jobs


def statuses(on: Bench, jobs: list[str]) -> list[str]:
    return [on.job(job).status for job in jobs]


def fire(on: Bench) -> None:
    """The model's timer, when it is due."""
    (on.time,) = on.timers.due(f"model-{MODEL}")
    handler.on_hint(on.world(), f'{{"wake": "{MODEL}", "due": "{on.time.isoformat()}"}}')


@pytest.mark.parametrize(
    "ceiling", [{"max_jobs_per_day": 2}, {"max_records_per_day": 250}, {"max_records_per_day": 200}]
)
def test_what_may_not_begin_today_waits_for_midnight_and_is_served_then(
    ceiling: dict[str, int],
) -> None:
    on = bench(**ceiling)
    jobs = uploads(on, 5)
    assert statuses(on, jobs) == ["Submitted"] * 2 + ["Queued"] * 3
    assert on.slots.day == Day(date="2026-11-23", jobs=2, records=200)
    assert on.timers.due(f"model-{MODEL}") == [MIDNIGHT]
    assert on.measures("FreeSlotsWhileWaiting")[-1] == 0  # that alarm means something else
    (said, *_) = [about for name, about in on.notes if name == "CeilingReached"]
    assert (said["model"], said["jobs"], said["records"], said["next_job"]) == (
        MODEL,
        2,
        200,
        jobs[2],
    )
    on.timers.armed = {key: True for key in on.timers.armed if key[0].startswith("model-")}
    fire(on)
    assert statuses(on, jobs) == ["Submitted"] * 4 + ["Queued"]
    assert on.slots.day == Day(date="2026-11-24", jobs=2, records=200)


def test_a_raised_ceiling_is_used_by_the_deployment_itself() -> None:
    on = bench(max_jobs_per_day=1)
    jobs = uploads(on, 3)
    deploy(on, max_jobs_per_day=2)
    reconcile_model(on.world(), MODEL, on.limit)
    assert statuses(on, jobs) == ["Submitted", "Submitted", "Queued"]


def test_an_invocation_with_the_configuration_before_reads_the_raised_ceiling() -> None:
    on = bench(max_jobs_per_day=1)  # seed 78004502
    jobs = uploads(on, 1)
    old = on.config
    deploy(on, max_jobs_per_day=2)
    on.config = old
    jobs.append(on.upload("late"))
    reconcile(on.world(), jobs[1], Visit())
    assert statuses(on, jobs) == ["Submitted", "Submitted"]


def test_the_ceiling_knows_what_began_before_it_was_set() -> None:
    on = bench()
    jobs = uploads(on, 2)
    deploy(on, max_jobs_per_day=2)
    jobs.append(on.upload("late"))
    reconcile(on.world(), jobs[2], Visit())
    assert statuses(on, jobs) == ["Submitted", "Submitted", "Queued"]


@pytest.mark.parametrize("before", [0, 1])
def test_two_who_claim_at_once_do_not_pass_it_together(before: int) -> None:
    on = bench(max_jobs_per_day=before + 1)
    for name in ["v0"][:before]:
        reconcile(on.world(), on.upload(name), Visit())
    # the second is the head as soon as anybody sees it
    first, second = on.upload("v1"), on.upload("v2", priority=0)
    state = {"begun": False}

    def another(writes: object) -> None:
        if (
            "slot-claimed" in repr([getattr(write.row, "name", "") for write in writes])  # type: ignore[attr-defined] # writes
            and not state["begun"]
        ):
            state["begun"] = True
            reconcile(on.world(), second, Visit())

    on.tables.before_commit = another
    reconcile(on.world(), first, Visit())
    assert state["begun"]
    assert on.slots.day.jobs == before + 1
    assert sorted(statuses(on, [first, second])) == ["Queued", "Submitted"]


def test_a_retry_counts_again_and_a_refused_attempt_is_given_back() -> None:
    on = bench(limit=1, max_jobs_per_day=2)
    on.bedrock.script = [Refused(QUOTA, "full")] * 3
    (job,) = uploads(on, 1)
    for _ in range(2):
        on.wait(hours=1)
        reconcile_model(on.world(), MODEL)
    assert (on.job(job).status, on.slots.day) == (
        "Queued",
        Day(date="2026-11-23", jobs=0, records=0),
    )
    on.wait(hours=13)
    reconcile_model(on.world(), MODEL)
    assert (on.job(job).status, on.slots.day) == (
        "Submitted",
        Day(date="2026-11-24", jobs=1, records=100),
    )
    end(on, job, "Failed")
    on.append(job, e.JobRequeued(at=on.time, attempt=1, by="ops", why="again"))
    reconcile(on.world(), job, Visit())
    assert (on.job(job).status, on.slots.day.jobs) == ("Submitted", 2)


def test_a_turn_that_is_for_another_day_is_given_to_the_head() -> None:  # seed 42000493
    on = bench(max_records_per_day=100)
    on.bedrock.script = [Refused(INVALID, "not supported")]
    (small,) = uploads(on, 1)
    wide = id_of(version="wide")
    event = queued(version="wide", seconds=5)
    on.store.append(wide, None, replace(event, record_count=101))
    reconcile(on.world(), wide, Visit())
    fire(on)  # the second in line would ask now
    assert statuses(on, [small, wide]) == ["Submitted", "Queued"]


def test_a_refusal_after_midnight_gives_nothing_back_to_a_day_that_is_over() -> None:
    on = bench(limit=2)
    on.time = MIDNIGHT - timedelta(seconds=30)
    first, second = on.upload("v1"), on.upload("v2")
    on.bedrock.script = [Refused(QUOTA, "full")]

    def another_begins_the_day(_: object) -> None:
        on.bedrock.on_create, on.bedrock.script = (lambda _: None), []
        on.wait(minutes=1)
        reconcile(on.world(), second, Visit())
        # also when it is asked again, because another was taken since
        on.bedrock.otherwise = Refused(QUOTA, "full")

    on.bedrock.on_create = another_begins_the_day
    reconcile(on.world(), first, Visit())
    assert statuses(on, [first, second]) == ["Queued", "Submitted"]
    assert on.slots.day == Day(date="2026-11-24", jobs=1, records=100)


def end(on: Bench, job: str, status: str) -> None:
    made = on.job(job).arn
    assert made
    on.bedrock.turn(made, status)
    report = Report(
        arn=made, model_id=MODEL_ID, status=status, message="", job=job, attempt=on.job(job).attempt
    )
    reconcile_report(on.world(), report)


def test_nobody_passes_who_is_next_and_does_not_fit() -> None:
    on = bench(max_records_per_day=150)
    jobs = uploads(on, 2)
    small = on.upload_id("small")
    event = replace(queued(version="small", seconds=60), record_count=1)
    on.store.append(small, None, event)
    reconcile(on.world(), small, Visit())
    assert statuses(on, [*jobs, small]) == ["Submitted", "Queued", "Queued"]


def test_a_job_that_is_larger_than_a_day_never_begins_and_says_so() -> None:
    """Only where the ceiling was lowered below what intake took in before."""
    on = bench(max_records_per_day=100)
    deploy(on, max_records_per_day=99)
    (job,) = uploads(on, 1)
    fire(on)
    assert on.job(job).status == "Queued"
    assert [about["next_records"] for name, about in on.notes if name == "CeilingReached"] == [
        100,
        100,
    ]


def test_of_two_clocks_the_later_one_is_right() -> None:
    on = bench(max_jobs_per_day=1)
    on.time = MIDNIGHT + timedelta(seconds=5)
    first, second = on.upload("v1"), on.upload("v2")
    reconcile(on.world(), first, Visit())
    on.time = MIDNIGHT - timedelta(seconds=5)  # another's
    reconcile(on.world(), second, Visit())
    assert statuses(on, [first, second]) == ["Submitted", "Queued"]
    assert on.slots.day == Day(date="2026-11-24", jobs=1, records=100)
    assert on.timers.due(f"model-{MODEL}") == [MIDNIGHT + timedelta(days=1)]


def test_slots_of_before_there_was_a_ceiling_begin_a_day() -> None:
    on = bench(max_jobs_per_day=1)
    fields = (SlotsRow.day, SlotsRow.day_jobs, SlotsRow.day_records)
    on.tables.write(
        [
            Update(
                SlotsRow(pk=f"slots#{MODEL}", sk="slots"),
                [field.remove() for field in fields],
                SlotsRow.pk.exists(),
            )
        ]
    )
    assert on.slots.day == Day()
    assert statuses(on, uploads(on, 2)) == ["Submitted", "Queued"]


@pytest.mark.parametrize(
    ("seconds", "due"), [(0, 86_400), (86_300, 86_400), (86_341, 86_460), (86_399, 86_460)]
)
def test_the_timer_of_the_next_day_is_a_full_minute_ahead(seconds: int, due: int) -> None:
    midnight = MIDNIGHT - timedelta(days=1)
    assert next_day_due(
        "2026-11-23", midnight + timedelta(seconds=seconds)
    ) == midnight + timedelta(seconds=due)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('"max_jobs_per_day": 0', "max_jobs_per_day must be a whole number of at least 1"),
        ('"max_records_per_day": 1.5', "max_records_per_day must be a whole number of at least 1"),
        ('"max_records_per_day": 99999', "max_records_per_day must not be below max_records"),
    ],
)
def test_a_ceiling_below_one_job_is_refused(settings: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_models(f'{{"haiku": {{"model_id": "m", "limit": 1, {settings}}}}}')


def test_a_ceiling_is_read() -> None:
    models = parse_models(
        '{"haiku": {"model_id": "m", "limit": 1, "max_jobs_per_day": 3, "max_records_per_day": '
        "100000}}"
    )
    assert models["haiku"].ceiling == Ceiling(jobs=3, records=100_000)
    assert parse_models('{"haiku": {"model_id": "m", "limit": 1}}')["haiku"].ceiling == Ceiling()


def test_a_rebuild_keeps_what_began_or_counts_it_again_where_the_item_is_lost() -> None:
    state, job = (
        Slots(model=MODEL, limit=2, paused=True, model_version=3),
        life(slot_claimed(id_of())),
    )
    known = replace(state, day=Day(date="2026-11-23", jobs=7, records=700))
    ended = Day(date="2026-11-23", jobs=2, records=250)
    lease = timedelta(seconds=215)
    assert slots_from_events(state, [job], known, longest_lease=lease, ended=ended).day == known.day
    lost = slots_from_events(state, [job], None, longest_lease=lease, ended=ended)
    assert lost.day == Day(date="2026-11-23", jobs=3, records=350)
    tomorrow = slots_from_events(
        state, [job], None, longest_lease=lease, ended=Day(date="2026-11-24")
    )
    assert tomorrow.day == Day(date="2026-11-24")
    assert f"{T0:%Y-%m-%d}" == "2026-11-23"


def test_when_who_is_parked_cannot_be_read_any_more_the_next_may_begin() -> None:  # seed 85030153
    on = bench(max_records_per_day=150)
    first, parked = uploads(on, 2)
    small = on.upload_id("small")
    on.store.append(small, None, replace(queued(version="small", seconds=60), record_count=1))
    reconcile(on.world(), small, Visit())
    assert statuses(on, [first, parked, small]) == ["Submitted", "Queued", "Queued"]
    row = EventRow(
        stream=job_stream(parked),
        version=2,
        name="from-the-future",
        schema=1,
        at="x",
        data={},
    )
    on.tables.write([Put(row)])
    failed = handler.act_on(on.world(), stream_event(job_stream(parked)))
    assert failed == {"batchItemFailures": []}
    assert on.outbox.sent == [("job", parked), ("model", MODEL)]
    handler.on_hint(on.world(), f'{{"wake": "{MODEL}"}}')
    assert on.job(small).status == "Submitted"
