"""How a job, a line and a model's slots are stored as rows of the projections table, and read back.

Pure. What each event changes in them: projections.py. The rows themselves: tables.py.
"""

from datetime import datetime
from typing import Any

from bbq.shared import events as e
from bbq.shared.fold import folded
from bbq.shared.hold import Hold
from bbq.shared.job import CLAIMED, OVER, RUNNING, Job, outcome
from bbq.shared.plain import moment_of, text_of
from bbq.shared.slots import AT_BEDROCK, Ceiling, Day, Lease, Slots
from bbq.shared.tables import LineRow, SlotsRow, ViewRow, storable

VIEW_KEY, SLOTS_KEY = "view", "slots"
IN_SLOT = "InSlot"
HAVE_SLOT = RUNNING | {CLAIMED}
MAX_PROBLEMS_IN_VIEW = 20  # the event holds them all; the view stays small


def view_row(job: Job) -> ViewRow:
    """The job as people query it, with its whole state beside it (shared/fold.py)."""
    tally = job.tally
    return ViewRow(
        pk=view_pk(job.id),
        sk=VIEW_KEY,
        version=job.version,
        job=job.id,
        status=job.status,
        status_key=status_key(job),
        outcome=outcome(job) or None,
        model=job.model,
        model_id=job.model_id or None,
        priority=job.priority,
        attempt=job.attempt,
        sources=[
            {"bucket": s.bucket, "key": storable(s.key), "version_id": s.version_id}
            for s in job.sources
        ],
        input_uri=job.input_uri or None,
        output_uri=job.output_uri or None,
        arn=job.arn,
        reason=job.reason or None,
        problems=[
            {"line": p.line, "text": storable(p.text)} for p in job.problems[:MAX_PROBLEMS_IN_VIEW]
        ]
        or None,
        warnings=[storable(warning) for warning in job.warnings] or None,
        labels=[
            {"name": storable(label.name), "value": storable(label.value)} for label in job.labels
        ]
        or None,
        cancel_by=job.cancel.by if job.cancel else None,
        queued_at=text_of(job.queued_at),
        claimed_at=text_or_none(job.claimed_at),
        submitted_at=text_or_none(job.submitted_at),
        started_at=text_or_none(job.started_at),
        ended_at=text_or_none(job.ended_at),
        updated_at=text_of(job.updated_at),
        records=job.record_count,
        size_bytes=job.size_bytes,
        processed_records=tally.processed_records if tally else None,
        succeeded_records=tally.succeeded_records if tally else None,
        failed_records=tally.failed_records if tally else None,
        input_tokens=tally.input_tokens if tally else None,
        output_tokens=tally.output_tokens if tally else None,
        fold=folded(job),
    )


def status_key(job: Job) -> str:
    """The hash key of the status index. Over jobs are kept apart by day, so that no partition grows
    for ever.
    """
    day = f"#{text_of(job.ended_at or job.updated_at)[:10]}" if job.status in OVER else ""
    return f"{status_partition(job.model, job.status)}{day}"


def status_partition(model: str, status: str) -> str:
    """Jobs that have a slot share one partition, whatever Bedrock says of them: a limit bounds it,
    and a job that goes on from status to status need not leave one partition for another, which
    costs an index twice the writes.
    """
    return f"{model}#{IN_SLOT if status in HAVE_SLOT else status}"


def line_row(job: Job) -> LineRow:
    """The place in line: by priority, then by when it was first queued or counts as queued, also if
    it is queued again.
    """
    return place_row(job, job.priority)


def place_row(job: Job, priority: int) -> LineRow:
    sk = f"{priority}#{text_of(job.line_at)}#{job.id}"
    return LineRow(pk=line_pk(job.model), sk=sk, job=job.id, queued_at=text_of(job.queued_at))


def slots_row(slots: Slots) -> SlotsRow:
    """The slots item as stored."""
    return SlotsRow(
        pk=slots_pk(slots.model),
        sk=SLOTS_KEY,
        limit=slots.limit,
        paused=slots.paused,
        model_version=slots.model_version,
        ends=slots.ends,
        taken=slots.taken,
        good_ends=slots.good_ends,
        holders={h: lease_map(lease) for h, lease in slots.holders.items()},
        refused=hold_map(slots.refused),
        failing=hold_map(slots.failing),
        failures=slots.failures or None,
        failed_late=slots.failed_late or None,
        failed_since=text_or_none(slots.failed_since),
        paused_by=slots.pause.by if slots.pause else None,
        paused_at=text_of(slots.pause.at) if slots.pause else None,
        paused_why=slots.pause.why if slots.pause else None,
        day=slots.day.date or None,
        day_jobs=slots.day.jobs,
        day_records=slots.day.records,
        max_jobs_per_day=slots.ceiling.jobs,
        max_records_per_day=slots.ceiling.records,
    )


def slots_of(row: SlotsRow) -> Slots:
    """The reverse of `slots_row`."""
    return Slots(
        model=row.pk.partition("#")[2],
        limit=int(row.limit),
        paused=row.paused,
        model_version=int(row.model_version),
        ends=int(row.ends),
        taken=int(row.taken),
        good_ends=int(row.good_ends),
        holders={h: _lease(values) for h, values in row.holders.as_dict().items()},
        refused=_hold(row.refused),
        failing=_hold(row.failing),
        failures=int(row.failures or 0),
        failed_late=bool(row.failed_late),
        failed_since=datetime.fromisoformat(row.failed_since) if row.failed_since else None,
        pause=_pause(row),
        day=Day(date=row.day or "", jobs=int(row.day_jobs or 0), records=int(row.day_records or 0)),
        ceiling=Ceiling(jobs=_whole(row.max_jobs_per_day), records=_whole(row.max_records_per_day)),
    )


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _pause(row: SlotsRow) -> e.ModelPaused | None:
    if row.paused_at is None:
        return None
    return e.ModelPaused(
        at=moment_of(row.paused_at), by=row.paused_by or "", why=row.paused_why or ""
    )


def lease_map(lease: Lease) -> dict[str, Any]:
    """Of one that is at Bedrock nothing but that: the item of all holders is written at every
    claim, answer and end, and paid for by the KB.
    """
    return (
        {"submitted": True}
        if lease.submitted
        else {"owner": lease.owner, "until": text_of(lease.until), "submitted": False}
    )


def _lease(values: dict[str, Any]) -> Lease:
    return (
        AT_BEDROCK
        if values["submitted"]
        else Lease(owner=values["owner"], until=moment_of(values["until"]))
    )


def hold_map(hold: Hold | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "kind": hold.kind,
        "message": storable(hold.message),
        "since": text_of(hold.since),
        "until": text_of(hold.until),
        "ends": hold.ends,
        "count": hold.count,
    }


def _hold(stored: Any) -> Hold | None:
    if stored is None:
        return None
    values = stored.as_dict()
    return Hold(
        kind=values["kind"],
        message=values["message"],
        since=moment_of(values["since"]),
        until=moment_of(values["until"]),
        ends=int(values["ends"]),
        count=int(values["count"]),
    )


def view_pk(job_id: str) -> str:
    """Hash key of a job's view."""
    return f"job#{job_id}"


def line_pk(model: str) -> str:
    """Hash key of a model's line."""
    return f"line#{model}"


def slots_pk(model: str) -> str:
    """Hash key of a model's slots."""
    return f"slots#{model}"


def slots_key(model: str) -> SlotsRow:
    return SlotsRow(pk=slots_pk(model), sk=SLOTS_KEY)


def text_or_none(moment: Any) -> str | None:
    return text_of(moment) if moment is not None else None
