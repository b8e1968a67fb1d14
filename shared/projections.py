"""What each event changes in the projections, as the writes of one transaction.

Every rule about capacity is the condition of a write in this file (design section 5); nothing anywhere else decides it.
Each function takes the job as it will be *after* the event and returns writes; the caller commits them together.
"""

from typing import Any

from pynamodb.expressions.condition import And, Condition, size

from shared import events as e
from shared.events import moment_of, text_of
from shared.job import OVER, QUEUED, Job, outcome
from shared.names import job_stream
from shared.slots import Lease, Refusal, Slots
from shared.tables import Check, Delete, EventRow, LineRow, Put, SlotsRow, Update, ViewRow, Write

VIEW_KEY, SLOTS_KEY = "view", "slots"
MAX_PROBLEMS_IN_VIEW = 20  # the event holds them all; the view stays small


def append(stream: str, version: int, event: e.Event) -> Put:
    """The event as version `version` of its stream, if that version is free."""
    row = EventRow(
        stream=stream, version=version, name=event.NAME, schema=event.VERSION, at=text_of(event.at), data=e.to_stored(event)
    )
    return Put(row, EventRow.stream.does_not_exist())


def projected(job: Job) -> list[Write]:
    """Bring the view and the line up to an event that somebody else appended, unless they are already newer."""
    older = ViewRow.pk.does_not_exist() | (ViewRow.version < job.version)
    return [Put(view_row(job), older), *_line(job)]


def appended(job: Job, event: e.Event) -> list[Write]:
    """An event that touches no slot: the event, the view, and the place in line if the job waits again."""
    return [append(job_stream(job.id), job.version, event), Put(view_row(job)), *_line(job)]


def claimed(job: Job, event: e.Event, holder: str, lease: Lease) -> list[Write]:
    """The claim: the only way to a slot out of the line. Fails unless there is room, by DynamoDB's own count."""
    row = _slots_key(job.model)
    free = SlotsRow.holders[holder].does_not_exist() & SlotsRow.refused[holder].does_not_exist()
    return [
        append(job_stream(job.id), job.version, event),
        Put(view_row(job)),
        Delete(line_row(job)),
        Update(row, [SlotsRow.holders[holder].set(_lease_map(lease))], _room() & free),
    ]


def taken(model: str, holder: str, lease: Lease) -> list[Write]:
    """A refused holder gets a slot to be tried again, under the claim's own condition: a lower limit and a pause hold here."""
    still = SlotsRow.refused[holder].exists() & SlotsRow.holders[holder].does_not_exist()
    actions = [SlotsRow.refused[holder].remove(), SlotsRow.holders[holder].set(_lease_map(lease))]
    return [Update(_slots_key(model), actions, _room() & still)]


def taken_over(model: str, holder: str, old: Lease, new: Lease) -> list[Write]:
    """A lease that is over goes to another owner, if it is still exactly the one that was read."""
    path = SlotsRow.holders[holder]
    same = (path["owner"] == old.owner) & (path["until"] == text_of(old.until)) & (path["submitted"] == False)  # noqa: E712
    return [Update(_slots_key(model), [path.set(_lease_map(new))], same)]


def submitted(job: Job, event: e.Event, holder: str, lease: Lease) -> list[Write]:
    """Bedrock has the job: the slot is held until the end. Also when it was thought refused: what lives at Bedrock counts."""
    actions = [SlotsRow.holders[holder].set(_lease_map(lease)), SlotsRow.refused[holder].remove()]
    return [
        append(job_stream(job.id), job.version, event),
        Put(view_row(job)),
        Update(_slots_key(job.model), actions, SlotsRow.pk.exists()),
    ]


def given_up(
    job: Job, event: e.Event | None, *, holder: str, lease: Lease, refusal: Refusal, ends: int | None
) -> list[Write]:  # fmt: skip
    """A definite refusal: out of the slot, to be tried again. Only by the lease's owner, and only if no job ended meanwhile.

    `ends` is the counter as read before Create (None where no Create was called). With `event` the job is the one after it;
    without, the transaction checks that nobody appended a newer event that the owner has not seen.
    """
    actions = [SlotsRow.holders[holder].remove(), SlotsRow.refused[holder].set(_refusal_map(refusal))]
    condition = _mine(holder, lease)
    if ends is not None:
        condition &= SlotsRow.ends == ends
    update = Update(_slots_key(job.model), actions, condition)
    if event is not None:
        return [append(job_stream(job.id), job.version, event), Put(view_row(job)), update]
    next_event = EventRow(stream=job_stream(job.id), version=job.version + 1)
    return [Check(next_event, EventRow.stream.does_not_exist()), update]


def passed(model: str, holder: str, seen: Refusal, now: Refusal) -> list[Write]:
    """Count that another was taken while this one was refused."""
    path = SlotsRow.refused[holder]
    same = (path["count"] == seen.count) & (path["passed"] == seen.passed)
    return [Update(_slots_key(model), [path.set(_refusal_map(now))], same)]


def released(job: Job, event: e.Event, holder: str, *, lease: Lease | None = None, refused: bool = False) -> list[Write]:
    """An end or a cancel of an attempt: its holder leaves both maps, and everybody can see that a job of the model ended.

    With `lease`, only while that lease is still its owner's; with `refused`, only while the holder waits without a slot.
    Otherwise the event's own version is the condition: ended is final, and only one can append it.
    """
    condition: Condition = SlotsRow.pk.exists()
    if lease is not None:
        condition &= _mine(holder, lease)
    if refused:
        condition &= SlotsRow.refused[holder].exists()
    actions = [
        SlotsRow.holders[holder].remove(),
        SlotsRow.refused[holder].remove(),
        SlotsRow.ends.set(SlotsRow.ends + 1),
    ]
    return [*appended(job, event), Update(_slots_key(job.model), actions, condition)]


def left_line(job: Job, event: e.Event) -> list[Write]:
    """A waiting job is cancelled."""
    return [*appended(job, event), Delete(line_row(job))]


def foreign_end(model: str) -> list[Write]:
    """Somebody else's job of the model ended: whoever is about to give up must see it."""
    return [Update(_slots_key(model), [SlotsRow.ends.set(SlotsRow.ends + 1)], SlotsRow.pk.exists())]


def model_changed(slots: Slots | None, changed: Slots) -> list[Write]:
    """Limit and pause, as the whole stream of the model says; never by an older reading of it."""
    if slots is None:
        return [Put(slots_row(changed), SlotsRow.pk.does_not_exist())]
    actions = [
        SlotsRow.limit.set(changed.limit),
        SlotsRow.paused.set(changed.paused),
        SlotsRow.model_version.set(changed.model_version),
    ]
    return [Update(_slots_key(changed.model), actions, SlotsRow.model_version < changed.model_version)]


def rebuilt_view(job: Job, seen: ViewRow | None) -> list[Write]:
    """The view and the place in line as the events say, whatever they were. Only while no newer event exists, and the view is
    of the version that was seen.
    """
    as_seen = ViewRow.pk.does_not_exist() if seen is None else ViewRow.pk.exists() & _same(ViewRow.version, seen.version)
    line = line_row(job)
    place = Put(line) if job.status == QUEUED else Delete(line)
    return [Put(view_row(job), as_seen), place, _no_newer(job.id, job.version)]


def removed_ghost(row: ViewRow | LineRow, job_id: str, version: int) -> list[Write]:
    """Remove a row that the job's `version` events do not ask for, while they are all its events: then it is a ghost still."""
    return [Delete(row), _no_newer(job_id, version)]


def rebuilt_slots(seen: SlotsRow | None, slots: Slots) -> list[Write]:
    """The whole slots item, if it is exactly as seen, and paused: every claim, take, take-over, answer, refusal, end and change
    of the model since then fails this write. Or (None) if there is none.
    """
    if seen is None:
        return [Put(slots_row(slots), SlotsRow.pk.does_not_exist())]
    unchanged: Condition = SlotsRow.paused == True  # noqa: E712 - PynamoDB's way to say it
    for path, value in (
        (SlotsRow.limit, seen.limit),
        (SlotsRow.model_version, seen.model_version),
        (SlotsRow.ends, seen.ends),
        (SlotsRow.holders, seen.holders),
        (SlotsRow.refused, seen.refused),
    ):
        unchanged = And(unchanged, _same(path, value))
    return [Put(slots_row(slots), unchanged)]


def paused_again(seen: SlotsRow, state: Slots) -> list[Write]:
    """The pause of a model whose events pause it, also where the item is so damaged that the scheduler cannot project it. This
    closes and never opens; a newer event has a newer version and is projected over it.
    """
    actions = [
        SlotsRow.limit.set(state.limit),
        SlotsRow.paused.set(True),
        SlotsRow.model_version.set(state.model_version),
    ]
    return [Update(_slots_key(state.model), actions, SlotsRow.pk.exists() & _same(SlotsRow.model_version, seen.model_version))]


def view_row(job: Job) -> ViewRow:
    """The job as people query it."""
    tally = job.tally
    return ViewRow(
        pk=view_pk(job.id), sk=VIEW_KEY, version=job.version, job=job.id, status=job.status, status_key=status_key(job),
        outcome=outcome(job) or None, model=job.model, model_id=job.model_id or None, priority=job.priority, attempt=job.attempt,
        sources=[{"bucket": s.bucket, "key": s.key, "version_id": s.version_id} for s in job.sources],
        input_uri=job.input_uri or None, output_uri=job.output_uri or None, arn=job.arn, reason=job.reason or None,
        problems=[{"line": p.line, "text": p.text} for p in job.problems[:MAX_PROBLEMS_IN_VIEW]] or None,
        cancel_by=job.cancel.by if job.cancel else None,
        queued_at=text_of(job.queued_at), claimed_at=_text(job.claimed_at), submitted_at=_text(job.submitted_at),
        started_at=_text(job.started_at), ended_at=_text(job.ended_at), updated_at=text_of(job.updated_at),
        records=job.record_count, size_bytes=job.size_bytes,
        processed_records=tally.processed_records if tally else None,
        succeeded_records=tally.succeeded_records if tally else None,
        failed_records=tally.failed_records if tally else None,
        input_tokens=tally.input_tokens if tally else None,
        output_tokens=tally.output_tokens if tally else None,
    )  # fmt: skip


def status_key(job: Job) -> str:
    """The hash key of the status index. Over jobs are kept apart by day, so that no partition grows for ever."""
    day = f"#{text_of(job.ended_at or job.updated_at)[:10]}" if job.status in OVER else ""
    return f"{job.model}#{job.status}{day}"


def line_row(job: Job) -> LineRow:
    """The place in line, built from `job-queued` alone: a job that is queued again comes back to the same place."""
    return LineRow(pk=line_pk(job.model), sk=f"{job.priority}#{text_of(job.queued_at)}#{job.id}", job=job.id)


def slots_row(slots: Slots) -> SlotsRow:
    """The slots item as stored."""
    return SlotsRow(
        pk=slots_pk(slots.model), sk=SLOTS_KEY, limit=slots.limit, paused=slots.paused, model_version=slots.model_version,
        ends=slots.ends, holders={h: _lease_map(lease) for h, lease in slots.holders.items()},
        refused={h: _refusal_map(refusal) for h, refusal in slots.refused.items()},
    )  # fmt: skip


def slots_of(row: SlotsRow) -> Slots:
    """The reverse of `slots_row`."""
    return Slots(
        model=row.pk.partition("#")[2], limit=int(row.limit), paused=row.paused, model_version=int(row.model_version),
        ends=int(row.ends),
        holders={h: _lease(values) for h, values in row.holders.as_dict().items()},
        refused={h: _refusal(values) for h, values in row.refused.as_dict().items()},
    )  # fmt: skip


def view_pk(job_id: str) -> str:
    """Hash key of a job's view."""
    return f"job#{job_id}"


def line_pk(model: str) -> str:
    """Hash key of a model's line."""
    return f"line#{model}"


def slots_pk(model: str) -> str:
    """Hash key of a model's slots."""
    return f"slots#{model}"


def _line(job: Job) -> list[Write]:
    return [Put(line_row(job))] if job.status == QUEUED else []


def _room() -> Condition:
    """`<`, never `<>`: a limit that was lowered below the holders must admit nobody."""
    room: Condition = SlotsRow.pk.exists() & (size(SlotsRow.holders) < SlotsRow.limit)
    return And(room, SlotsRow.paused == False)  # noqa: E712 - PynamoDB's way to say it


def _same(path: Any, value: Any) -> Condition:
    same: Condition = path.does_not_exist() if value is None else path == value
    return same


def _no_newer(job_id: str, version: int) -> Check:
    return Check(EventRow(stream=job_stream(job_id), version=version + 1), EventRow.stream.does_not_exist())


def _mine(holder: str, lease: Lease) -> Condition:
    path = SlotsRow.holders[holder]
    mine: Condition = path["owner"] == lease.owner
    return And(mine, path["submitted"] == False)  # noqa: E712 - as above


def _slots_key(model: str) -> SlotsRow:
    return SlotsRow(pk=slots_pk(model), sk=SLOTS_KEY)


def _lease_map(lease: Lease) -> dict[str, Any]:
    values = {
        "owner": lease.owner, "until": text_of(lease.until), "submitted": lease.submitted, "since": _text(lease.since),
        "count": lease.count, "passed": lease.passed,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def _lease(values: dict[str, Any]) -> Lease:
    return Lease(
        owner=values["owner"], until=moment_of(values["until"]), submitted=values["submitted"],
        since=moment_of(values["since"]) if "since" in values else None, count=int(values["count"]), passed=int(values["passed"]),
    )  # fmt: skip


def _refusal_map(refusal: Refusal) -> dict[str, Any]:
    return {
        "kind": refusal.kind, "since": text_of(refusal.since), "retry_at": text_of(refusal.retry_at), "count": refusal.count,
        "passed": refusal.passed,
    }  # fmt: skip


def _refusal(values: dict[str, Any]) -> Refusal:
    return Refusal(
        kind=values["kind"], since=moment_of(values["since"]), retry_at=moment_of(values["retry_at"]),
        count=int(values["count"]), passed=int(values["passed"]),
    )  # fmt: skip


def _text(moment: Any) -> str | None:
    return text_of(moment) if moment is not None else None
