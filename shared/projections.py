"""What each event changes in the projections, as the writes of one transaction.

Every rule about capacity is the condition of a write in this file; nothing anywhere else decides it.
Each function takes the job as it was loaded and the event that is to follow, and returns writes to be committed together.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from pynamodb.expressions.condition import And, Condition, size

from bbq.shared import events as e
from bbq.shared.counts import moved
from bbq.shared.events import moment_of, text_of
from bbq.shared.fold import folded
from bbq.shared.hold import Hold, failed, probed
from bbq.shared.job import CLAIMED, OVER, QUEUED, RUNNING, Job, evolve, fails_for_its_own_reason, may_come_back, outcome
from bbq.shared.names import job_stream, model_stream
from bbq.shared.slots import AT_BEDROCK, UNBOUNDED, Ceiling, Day, Lease, Slots
from bbq.shared.tables import (
    ConditionFailed,
    Delete,
    EventRow,
    LineRow,
    Put,
    SlotsRow,
    Update,
    ViewRow,
    Write,
    storable,
)

VIEW_KEY, SLOTS_KEY = "view", "slots"
IN_SLOT = "InSlot"
HAVE_SLOT = RUNNING | {CLAIMED}
MAX_PROBLEMS_IN_VIEW = 20  # the event holds them all; the view stays small


def append(job: Job, event: e.Event) -> Put:
    """The event that made the job what it is, as the version that it is, if that version is free."""
    row = _event_row(job_stream(job.id), job.version, event, job.model)
    row.job, row.status, row.outcome, row.owner = job.id, job.status, _told(job, event), job.owner
    row.key = job.sources[0].key if job.sources else ""
    return Put(row, EventRow.stream.does_not_exist())


def _told(job: Job, event: e.Event) -> str:
    """The outcome that subscribers are told with this event: none while the job may come back, and of what did not complete only
    once, by its end, unless its counts have decided it.
    """
    if job.status == "Failed" and may_come_back(job):
        return ""
    open_before = job.status == "Failed" and may_come_back(replace(job, tally=None))
    if isinstance(event, e.JobTallied) and job.status != "Completed" and not open_before:
        return ""
    return outcome(job)


def append_to_model(model: str, version: int, event: e.Event) -> Put:
    """The event as version `version` of the model's stream, if that version is free."""
    return Put(_event_row(model_stream(model), version, event, model), EventRow.stream.does_not_exist())


def projected(seen: Job | None, job: Job) -> list[Write]:
    """Bring view, line and counts up to what somebody else appended. `seen` is the job as the view shows it now: if that is not
    so any more, this fails.
    """
    as_seen = ViewRow.pk.does_not_exist() if seen is None else same(ViewRow.version, seen.version)
    return [Put(view_row(job), as_seen), *_line(job), *moved(seen, job)]


def appended(before: Job, event: e.Event, as_seen: Condition | None = None) -> list[Write]:
    """An event that touches no slot: the event, the view, the counts, and the place in line if the job waits again."""
    job = evolve(before.id, before, event)
    return [append(job, event), Put(view_row(job), as_seen), *_line(job), *moved(before, job)]


def claimed(
    before: Job, event: e.Event, holder: str, lease: Lease, slots: Slots, *, ceiling: Ceiling = UNBOUNDED
) -> list[Write]:  # fmt: skip
    """The claim: the only way to a slot. `slots` as they were read; if they were on hold, this is the probe.

    Fails unless there is room, by DynamoDB's own count, the model is not paused, its holds are exactly as they were read (whoever
    probes moves them on), and its ceiling of the day lets one more job begin.
    """
    counting, below = _begun(slots.day, slots.day.at(event.at), before.record_count, ceiling)
    holds = [
        getattr(SlotsRow, name).set(_hold_map(probed(hold, slots.ends, event.at)))
        for name, hold in (("refused", slots.refused), ("failing", slots.failing))
        if hold is not None
    ]
    condition = _room() & SlotsRow.holders[holder].does_not_exist() & below & _holds_as_read(slots)
    actions = [SlotsRow.holders[holder].set(_lease_map(lease)), *counting, *holds]
    appending = [*appended(before, event, _known_to_wait(before)), *_no_place(before)]
    return [*appending, Update(_slots_key(before.model), actions, condition)]


def taken_over(model: str, holder: str, old: Lease, new: Lease) -> list[Write]:
    """A lease that is over goes to another owner, if it is still exactly the one that was read."""
    path = SlotsRow.holders[holder]
    same = (path["owner"] == old.owner) & (path["until"] == text_of(old.until)) & (path["submitted"] == False)  # noqa: E712
    return [Update(_slots_key(model), [path.set(_lease_map(new))], same)]


def submitted(before: Job, event: e.JobSubmitted, holder: str) -> list[Write]:
    """Bedrock has the job: the slot is held until the end. Also of a job that was thought not to be there, and stands in line:
    what lives at Bedrock counts, even beyond the limit. If Create has just said so, Bedrock takes jobs. A job that was found may
    have been taken before Bedrock began to refuse: that is a reason to ask, and no more.
    """
    taken = [SlotsRow.refused.remove(), SlotsRow.taken.set(SlotsRow.taken + 1)]
    actions = [
        SlotsRow.holders[holder].set(_lease_map(AT_BEDROCK)), *([SlotsRow.ends.set(SlotsRow.ends + 1)] if event.found else taken)
    ]  # fmt: skip
    update = Update(_slots_key(before.model), actions, SlotsRow.pk.exists())
    if before.status != QUEUED:
        return [*appended(before, event), update]
    return [*appended(before, event, _known_to_wait(before)), *_no_place(before), update]


def given_up(before: Job, event: e.Event, holder: str, lease: Lease, slots: Slots, *, hold: Hold) -> list[Write]:
    """A definite refusal: out of the slot, back to the old place in line, and the model on `hold`. Only by the lease's owner, and
    only if `slots` are as they were read. What the claim counted for its day is given back: nothing began.
    """
    condition = _mine(holder, lease) & _hold_as_read(SlotsRow.refused, slots.refused) & same(SlotsRow.taken, slots.taken)
    actions = [SlotsRow.holders[holder].remove(), *_set_hold("refused", slots.refused, hold)]
    if before.claimed_at is not None and text_of(before.claimed_at)[:10] == slots.day.date:
        condition &= SlotsRow.day == slots.day.date
        actions += [
            SlotsRow.day_jobs.set(SlotsRow.day_jobs - 1),
            SlotsRow.day_records.set(SlotsRow.day_records - before.record_count),
        ]
    return [*appended(before, event), Update(_slots_key(before.model), actions, condition)]


def ended(before: Job, event: e.JobEnded, holder: str, slots: Slots) -> list[Write]:
    """An end at Bedrock: its holder leaves, and everybody can see that a job of the model ended. `slots` as they were read.

    Of a job that failed before a record was processed, the model keeps how many did so in a row, and goes on hold at the third
    (fails if another was counted meanwhile). A job that got further, and was claimed since they fail, takes that hold away.
    """
    after = evolve(before.id, before, event)
    actions = _leaving(holder)
    condition: Condition = SlotsRow.pk.exists()
    if failed_at_once(after):
        failures = slots.failures + 1
        hold = failed(slots.failing, failures=failures, message=event.message, ends=slots.ends + 1, now=event.at)
        actions += [SlotsRow.failures.set(failures), *_set_hold("failing", slots.failing, hold)]
        if not slots.failures:
            actions.append(SlotsRow.failed_since.set(text_of(event.at)))
        if event.started:
            actions.append(SlotsRow.failed_late.set(True))
        condition &= same(SlotsRow.failures, slots.failures or None) & _hold_as_read(SlotsRow.failing, slots.failing)
    elif (event.status in {"Completed", "PartiallyCompleted"} or event.processed_records) and after_the_failures(before, slots):
        actions += [SlotsRow.good_ends.set(SlotsRow.good_ends + 1), *_no_failures()]
        condition &= same(SlotsRow.failed_since, _text(slots.failed_since))
    return [*appended(before, event), Update(_slots_key(before.model), actions, condition)]


def failed_at_once(job: Job) -> bool:
    """Whether an ended job failed before a record was processed, and maybe for a reason of the account, the role or the model."""
    return job.status == "Failed" and job.processed_records == 0 and not fails_for_its_own_reason(job)


def begun(before: Job, event: e.Event, slots: Slots) -> list[Write]:
    """Bedrock processes the job's records. If jobs failed before that, and none after it, those that are tried go further now."""
    writes = appended(before, event)
    if not slots.failures or slots.failed_late or not after_the_failures(before, slots):
        return writes
    seen = _failures_as_read(slots) & SlotsRow.failed_late.does_not_exist()
    return [*writes, Update(_slots_key(before.model), _no_failures(), seen)]


def gone_well(slots: Slots) -> list[Write]:
    """What failed so is mended, or was none: a job that was claimed since then processes records. `slots` as they were read."""
    return [Update(_slots_key(slots.model), _no_failures(), _failures_as_read(slots))]


def after_the_failures(job: Job, slots: Slots) -> bool:
    """Whether the job was claimed since the first of the failures in a row: one from before them proves nothing (P9)."""
    return slots.failed_since is None or (job.claimed_at is not None and job.claimed_at >= slots.failed_since)


def over_without_bedrock(before: Job, event: e.Event, holder: str, lease: Lease) -> list[Write]:
    """An end or a cancel of a claimed attempt that Bedrock certainly does not have: only by the owner of its lease."""
    return [*appended(before, event), Update(_slots_key(before.model), _leaving(holder), _mine(holder, lease))]


def left_line(before: Job, event: e.Event) -> list[Write]:
    """A waiting job is cancelled."""
    return [*appended(before, event, _known_to_wait(before)), *_no_place(before)]


def reason_to_ask(model: str) -> list[Write]:
    """Something that may have made room or mended something: a job that was not ours ended, or a person says so."""
    return [Update(_slots_key(model), [SlotsRow.ends.set(SlotsRow.ends + 1)], SlotsRow.pk.exists())]


def model_changed(slots: Slots | None, changed: Slots, *, resumed: bool) -> list[Write]:
    """Limit and pause, as the whole stream of the model says; never by an older reading of it. Each change is a reason to ask
    Bedrock again; a resume since the version before (`resumed`) takes the holds away.
    """
    if slots is None:
        return [Put(slots_row(changed), SlotsRow.pk.does_not_exist())]
    actions = [
        SlotsRow.limit.set(changed.limit),
        SlotsRow.paused.set(changed.paused),
        SlotsRow.model_version.set(changed.model_version),
        SlotsRow.ends.set(SlotsRow.ends + 1),
        *pause_actions(changed),
        *([SlotsRow.refused.remove(), *_no_failures()] if resumed else []),
    ]
    return [Update(_slots_key(changed.model), actions, SlotsRow.model_version < changed.model_version)]


def view_row(job: Job) -> ViewRow:
    """The job as people query it, with its whole state beside it (shared/fold.py)."""
    tally = job.tally
    return ViewRow(
        pk=view_pk(job.id), sk=VIEW_KEY, version=job.version, job=job.id, status=job.status, status_key=status_key(job),
        outcome=outcome(job) or None, model=job.model, model_id=job.model_id or None, priority=job.priority, attempt=job.attempt,
        sources=[{"bucket": s.bucket, "key": storable(s.key), "version_id": s.version_id} for s in job.sources],
        input_uri=job.input_uri or None, output_uri=job.output_uri or None, arn=job.arn, reason=job.reason or None,
        problems=[{"line": p.line, "text": storable(p.text)} for p in job.problems[:MAX_PROBLEMS_IN_VIEW]] or None,
        warnings=[storable(warning) for warning in job.warnings] or None,
        labels=[{"name": storable(label.name), "value": storable(label.value)} for label in job.labels] or None,
        cancel_by=job.cancel.by if job.cancel else None,
        queued_at=text_of(job.queued_at), claimed_at=_text(job.claimed_at), submitted_at=_text(job.submitted_at),
        started_at=_text(job.started_at), ended_at=_text(job.ended_at), updated_at=text_of(job.updated_at),
        records=job.record_count, size_bytes=job.size_bytes,
        processed_records=tally.processed_records if tally else None,
        succeeded_records=tally.succeeded_records if tally else None,
        failed_records=tally.failed_records if tally else None,
        input_tokens=tally.input_tokens if tally else None,
        output_tokens=tally.output_tokens if tally else None,
        fold=folded(job),
    )  # fmt: skip


def status_key(job: Job) -> str:
    """The hash key of the status index. Over jobs are kept apart by day, so that no partition grows for ever."""
    day = f"#{text_of(job.ended_at or job.updated_at)[:10]}" if job.status in OVER else ""
    return f"{status_partition(job.model, job.status)}{day}"


def status_partition(model: str, status: str) -> str:
    """Jobs that have a slot share one partition, whatever Bedrock says of them: a limit bounds it, and a job that goes on from
    status to status need not leave one partition for another, which costs an index twice the writes.
    """
    return f"{model}#{IN_SLOT if status in HAVE_SLOT else status}"


def line_row(job: Job) -> LineRow:
    """The place in line: by priority, then by when it was first queued or counts as queued, also if it is queued again."""
    return _place(job, job.priority)


def slots_row(slots: Slots) -> SlotsRow:
    """The slots item as stored."""
    return SlotsRow(
        pk=slots_pk(slots.model), sk=SLOTS_KEY, limit=slots.limit, paused=slots.paused, model_version=slots.model_version,
        ends=slots.ends, taken=slots.taken, good_ends=slots.good_ends,
        holders={h: _lease_map(lease) for h, lease in slots.holders.items()},
        refused=_hold_map(slots.refused), failing=_hold_map(slots.failing), failures=slots.failures or None,
        failed_late=slots.failed_late or None, failed_since=_text(slots.failed_since),
        paused_by=slots.pause.by if slots.pause else None, paused_at=text_of(slots.pause.at) if slots.pause else None,
        paused_why=slots.pause.why if slots.pause else None,
        day=slots.day.date or None, day_jobs=slots.day.jobs, day_records=slots.day.records,
    )  # fmt: skip


def slots_of(row: SlotsRow) -> Slots:
    """The reverse of `slots_row`."""
    return Slots(
        model=row.pk.partition("#")[2], limit=int(row.limit), paused=row.paused, model_version=int(row.model_version),
        ends=int(row.ends), taken=int(row.taken), good_ends=int(row.good_ends),
        holders={h: _lease(values) for h, values in row.holders.as_dict().items()},
        refused=_hold(row.refused), failing=_hold(row.failing), failures=int(row.failures or 0),
        failed_late=bool(row.failed_late), failed_since=datetime.fromisoformat(row.failed_since) if row.failed_since else None,
        pause=_pause(row),
        day=Day(date=row.day or "", jobs=int(row.day_jobs or 0), records=int(row.day_records or 0)),
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


def places(job: Job) -> list[Write]:
    """Its place in line if it waits, and none at any other priority that it has had."""
    return _line(job) or _no_place(job)


def pause_actions(state: Slots) -> list[Any]:
    """What a slots item says of the pause of its model."""
    if state.pause is None:
        return [SlotsRow.paused_by.remove(), SlotsRow.paused_at.remove(), SlotsRow.paused_why.remove()]
    return [
        SlotsRow.paused_by.set(state.pause.by),
        SlotsRow.paused_at.set(text_of(state.pause.at)),
        SlotsRow.paused_why.set(state.pause.why),
    ]


def same(path: Any, value: Any) -> Condition:
    """That an attribute is still as it was read (None: absent)."""
    same: Condition = path.does_not_exist() if value is None else path == value
    return same


def _event_row(stream: str, version: int, event: e.Event, model: str) -> EventRow:
    return EventRow(
        stream=stream, version=version, name=event.NAME, schema=event.VERSION, at=text_of(event.at), data=e.to_stored(event),
        model=model,
    )  # fmt: skip


def _place(job: Job, priority: int) -> LineRow:
    sk = f"{priority}#{text_of(job.line_at)}#{job.id}"
    return LineRow(pk=line_pk(job.model), sk=sk, job=job.id, queued_at=text_of(job.queued_at))


def _line(job: Job) -> list[Write]:
    """A waiting job has its place in line, and none at a priority that it had before."""
    if job.status != QUEUED:
        return []
    return [Put(line_row(job)), *(Delete(_place(job, priority)) for priority in sorted(job.left_places))]


def _no_place(job: Job) -> list[Write]:
    """No place in line, at any priority that it has had: a change of priority may not be projected yet."""
    return [Delete(_place(job, priority)) for priority in sorted({job.priority, *job.left_places})]


def _known_to_wait(job: Job) -> Condition:
    """The view knows that the job waits, and so do the counts, from which it is about to be taken: a requeue that is not yet
    projected never counted. A view that is lost is for a rebuild to mend, and holds up no line.
    """
    condition: Condition = ViewRow.pk.does_not_exist() | (ViewRow.version >= job.queued_version)
    return condition


def _leaving(holder: str) -> list[Any]:
    """What an end changes in the slots."""
    return [SlotsRow.holders[holder].remove(), SlotsRow.ends.set(SlotsRow.ends + 1)]


def _failures_as_read(slots: Slots) -> Condition:
    """The very row of failures that was read: another may have begun since, and be as long."""
    condition: Condition = same(SlotsRow.failures, slots.failures) & same(SlotsRow.failed_since, _text(slots.failed_since))
    return condition


def _no_failures() -> list[Any]:
    return [
        SlotsRow.failing.remove(), SlotsRow.failures.remove(), SlotsRow.failed_late.remove(), SlotsRow.failed_since.remove()
    ]  # fmt: skip


def _room() -> Condition:
    """`<`, never `<>`: a limit that was lowered below the holders must admit nobody."""
    room: Condition = size(SlotsRow.holders) < SlotsRow.limit
    return And(SlotsRow.pk.exists() & room, SlotsRow.paused == False)  # noqa: E712 - PynamoDB's way to say it


def _holds_as_read(slots: Slots) -> Condition:
    refused, failing = _hold_as_read(SlotsRow.refused, slots.refused), _hold_as_read(SlotsRow.failing, slots.failing)
    return And(refused, failing)


def _hold_as_read(path: Any, hold: Hold | None) -> Condition:
    """Its time, `ends` and count say whether a probe may ask, its kind whose turn it is; a claim writes them and its words."""
    if hold is None:
        absent: Condition = path.does_not_exist()
        return absent
    same: Condition = (path["until"] == text_of(hold.until)) & (path["ends"] == hold.ends) & (path["count"] == hold.count)
    return And(same, (path["kind"] == hold.kind) & (path["message"] == hold.message))


def _set_hold(name: str, before: Hold | None, after: Hold | None) -> list[Any]:
    return [getattr(SlotsRow, name).set(_hold_map(after))] if after != before else []


def _begun(seen: Day, day: Day, records: int, ceiling: Ceiling) -> tuple[list[Any], Condition]:
    """One more job begins on `day`: what changes, and on which condition. Raises ConditionFailed where a day that is new has no
    room for it. A day that another has begun meanwhile fails the condition.
    """
    if day.date != seen.date:
        if not ceiling.allows(day, records):
            raise ConditionFailed(f"{records} records are more than may begin in a day")
        new: Condition = SlotsRow.day.does_not_exist() | (SlotsRow.day < day.date)
        return [SlotsRow.day.set(day.date), SlotsRow.day_jobs.set(1), SlotsRow.day_records.set(records)], new
    below: Condition = SlotsRow.day == day.date
    if ceiling.jobs is not None:
        below &= SlotsRow.day_jobs < ceiling.jobs
    if ceiling.records is not None:
        below &= SlotsRow.day_records < ceiling.records - records + 1
    adding = [SlotsRow.day_jobs.set(SlotsRow.day_jobs + 1), SlotsRow.day_records.set(SlotsRow.day_records + records)]
    return adding, below


def _mine(holder: str, lease: Lease) -> Condition:
    path = SlotsRow.holders[holder]
    mine: Condition = path["owner"] == lease.owner
    return And(mine, path["submitted"] == False)  # noqa: E712 - as above


def _pause(row: SlotsRow) -> e.ModelPaused | None:
    if row.paused_at is None:
        return None
    return e.ModelPaused(at=moment_of(row.paused_at), by=row.paused_by or "", why=row.paused_why or "")


def _slots_key(model: str) -> SlotsRow:
    return SlotsRow(pk=slots_pk(model), sk=SLOTS_KEY)


def _lease_map(lease: Lease) -> dict[str, Any]:
    """Of one that is at Bedrock nothing but that: the item of all holders is written at every claim, answer and end, and paid
    for by the KB.
    """
    return {"submitted": True} if lease.submitted else {"owner": lease.owner, "until": text_of(lease.until), "submitted": False}


def _lease(values: dict[str, Any]) -> Lease:
    return AT_BEDROCK if values["submitted"] else Lease(owner=values["owner"], until=moment_of(values["until"]))


def _hold_map(hold: Hold | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "kind": hold.kind, "message": storable(hold.message), "since": text_of(hold.since), "until": text_of(hold.until),
        "ends": hold.ends, "count": hold.count,
    }  # fmt: skip


def _hold(stored: Any) -> Hold | None:
    if stored is None:
        return None
    values = stored.as_dict()
    return Hold(
        kind=values["kind"], message=values["message"], since=moment_of(values["since"]), until=moment_of(values["until"]),
        ends=int(values["ends"]), count=int(values["count"]),
    )  # fmt: skip


def _text(moment: Any) -> str | None:
    return text_of(moment) if moment is not None else None
