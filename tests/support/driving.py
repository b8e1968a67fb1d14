"""What wakes the scheduler, on a `Bench`: a record of a job, Bedrock's events, and the timers in
the order of their time.
"""

import json
from datetime import datetime, timedelta

from bbq.services.scheduler.handler import on_hint
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.shared import events as e
from bbq.shared.names import model_stream
from tests.support.samples import MODEL, MODEL_ID
from tests.support.world import Bench, arn


def see(bench: Bench, job: str, **visit: object) -> None:
    """Somebody looks at the job."""
    reconcile(bench.world(), job, Visit(**visit))  # type: ignore[arg-type] # Visit's own fields


def started(bench: Bench, version: str = "v1", *, priority: int = 5) -> str:
    """An upload, seen once."""
    job = bench.upload(version, priority=priority)
    see(bench, job)
    return job


def report(
    bench: Bench, job: str, status: str, *, attempt: int = 1, which: str = arn(1), message: str = ""
) -> None:
    """A Bedrock event of this attempt and ARN."""
    told = Report(
        arn=which, model_id=MODEL_ID, status=status, message=message, job=job, attempt=attempt
    )
    reconcile_report(bench.world(), told)


def ended(
    bench: Bench,
    job: str,
    status: str = "Completed",
    message: str = "",
    *,
    processed: int | None = None,
    total: int | None = None,
) -> None:
    """The job's present attempt ends, and its event comes."""
    state = bench.job(job)
    assert state.arn
    bench.bedrock.turn(state.arn, status, message, processed=processed, total=total)
    report(bench, job, status, attempt=state.attempt, which=state.arn, message=message)


def foreign_end(bench: Bench, model_id: str = MODEL_ID) -> None:
    """A job that is not ours ends."""
    told = Report(
        arn=arn(999), model_id=model_id, status="Completed", message="", job=None, attempt=None
    )
    reconcile_report(bench.world(), told)


def operator_says(bench: Bench, event: e.Event) -> None:
    """An event of the model, and its stream record."""
    stream = model_stream(MODEL)
    bench.store.append_to_model(MODEL, len(bench.store.load(stream)) + 1, event)
    on_hint(bench.world(), json.dumps({"wake": MODEL}))


def wake(bench: Bench, *, ask: bool = False) -> None:
    """A wake-up of the model; `ask`: by `bbq wake`."""
    on_hint(bench.world(), json.dumps({"wake": MODEL, "ask": ask}))


def fire_next(bench: Bench, until: datetime) -> bool:
    """The next timer that is due by then fires; False if there is none."""
    whose, due = min(
        bench.timers.armed,
        key=lambda timer: (timer[1], timer[0]),
        default=("", until + timedelta(days=1)),
    )
    if due > until:
        return False
    _fire(bench, whose, due)
    return True


def counts_are_sure(bench: Bench, job: str) -> None:
    """The timer of a job that has ended fires, when Get's counts lag no more; no other timer
    does.
    """
    whose = f"{job}-{bench.job(job).attempt}"
    _fire(bench, whose, bench.timers.due(whose)[0])


def _fire(bench: Bench, whose: str, due: datetime) -> None:
    del bench.timers.armed[whose, due]
    bench.time = max(bench.time, due)
    name, _, attempt = whose.rpartition("-")
    hint = (
        {"wake": whose.removeprefix("model-")}
        if whose.startswith("model-")
        else {"job": name, "attempt": int(attempt)}
    )
    on_hint(bench.world(), json.dumps({**hint, "due": due.isoformat()}))


def let_pass(bench: Bench, **time: float) -> None:
    """Time passes, and every timer fires when it is due."""
    until = bench.time + timedelta(**time)
    while fire_next(bench, until):
        pass
    bench.time = max(bench.time, until)
