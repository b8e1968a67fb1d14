"""What each event changes in the projections, as the writes of one transaction.

Every rule about capacity is the condition of a write in this file; nothing anywhere else decides
it. Each function takes the job as it was loaded and the event that is to follow, and returns writes
to be committed together.
"""

from typing import Any

from pynamodb.expressions.condition import And, Condition, size

from bbq.shared import events as e
from bbq.shared.appends import append
from bbq.shared.counts import moved
from bbq.shared.hold import FAILURES_IN_A_ROW, Hold, failed, probed
from bbq.shared.job import QUEUED, Job, evolve, fails_for_its_own_reason
from bbq.shared.plain import text_of
from bbq.shared.rows import (
    hold_map,
    lease_map,
    line_row,
    place_row,
    slots_key,
    slots_row,
    text_or_none,
    view_row,
)
from bbq.shared.slots import AT_BEDROCK, Day, Lease, Slots
from bbq.shared.tables import (
    ConditionFailed,
    Delete,
    Put,
    SlotsRow,
    Update,
    ViewRow,
    Write,
)


def projected(seen: Job | None, job: Job) -> list[Write]:
    """Bring view, line and counts up to what somebody else appended. `seen` is the job as the view
    shows it now: if that is not so any more, this fails.
    """
    as_seen = ViewRow.pk.does_not_exist() if seen is None else same(ViewRow.version, seen.version)
    return [Put(view_row(job), as_seen), *_line(job), *moved(seen, job)]


def appended(before: Job, event: e.Event, as_seen: Condition | None = None) -> list[Write]:
    """An event that touches no slot: the event, the view, the counts, and the place in line if the
    job waits again.
    """
    job = evolve(before.id, before, event)
    return [append(job, event), Put(view_row(job), as_seen), *_line(job), *moved(before, job)]


def claimed(
    before: Job,
    event: e.Event,
    holder: str,
    lease: Lease,
    slots: Slots,
) -> list[Write]:
    """The claim: the only way to a slot. `slots` as they were read; if they were on hold, this is
    the probe.

    Fails unless there is room, by DynamoDB's own count, the model is not paused, its holds are
    exactly as they were read (whoever probes moves them on), and so is its ceiling, which lets one
    more job begin today.
    """
    counting, below = _begun(slots, slots.day.at(event.at), before.record_count)
    holds = [
        getattr(SlotsRow, name).set(hold_map(probed(hold, slots.ends, event.at)))
        for name, hold in (("refused", slots.refused), ("failing", slots.failing))
        if hold is not None
    ]
    condition = _room() & SlotsRow.holders[holder].does_not_exist() & below & _holds_as_read(slots)
    actions = [SlotsRow.holders[holder].set(lease_map(lease)), *counting, *holds]
    appending = [*appended(before, event, _known_to_wait(before)), *_no_place(before)]
    return [*appending, Update(slots_key(before.model), actions, condition)]


def taken_over(model: str, holder: str, old: Lease, new: Lease) -> list[Write]:
    """A lease that is over goes to another owner, if it is still exactly the one that was read."""
    path = SlotsRow.holders[holder]
    unchanged = (
        (path["owner"] == old.owner)
        & (path["until"] == text_of(old.until))
        & (path["submitted"] == False)  # noqa: E712 - PynamoDB's way to say it
    )
    return [Update(slots_key(model), [path.set(lease_map(new))], unchanged)]


def submitted(before: Job, event: e.JobSubmitted, holder: str) -> list[Write]:
    """Bedrock has the job: the slot is held until the end. Also of a job that was thought not to be
    there, and stands in line: what lives at Bedrock counts, even beyond the limit. If Create has
    just said so, Bedrock takes jobs. A job that was found may have been taken before Bedrock began
    to refuse: that is a reason to ask, and no more.
    """
    taken = [SlotsRow.refused.remove(), SlotsRow.taken.set(SlotsRow.taken + 1)]
    actions = [
        SlotsRow.holders[holder].set(lease_map(AT_BEDROCK)),
        *([SlotsRow.ends.set(SlotsRow.ends + 1)] if event.found else taken),
    ]
    update = Update(slots_key(before.model), actions, SlotsRow.pk.exists())
    if before.status != QUEUED:
        return [*appended(before, event), update]
    return [*appended(before, event, _known_to_wait(before)), *_no_place(before), update]


def given_up(
    before: Job, event: e.Event, holder: str, lease: Lease, slots: Slots, *, hold: Hold
) -> list[Write]:
    """A definite refusal: out of the slot, back to the old place in line, and the model on `hold`.
    Only by the lease's owner, and only if `slots` are as they were read. What the claim counted for
    its day is given back: nothing began.
    """
    condition = (
        _mine(holder, lease)
        & _hold_as_read(SlotsRow.refused, slots.refused)
        & same(SlotsRow.taken, slots.taken)
    )
    actions = [SlotsRow.holders[holder].remove(), *_set_hold("refused", slots.refused, hold)]
    if before.claimed_at is not None and text_of(before.claimed_at)[:10] == slots.day.date:
        condition &= SlotsRow.day == slots.day.date
        actions += [
            SlotsRow.day_jobs.set(SlotsRow.day_jobs - 1),
            SlotsRow.day_records.set(SlotsRow.day_records - before.record_count),
        ]
    return [*appended(before, event), Update(slots_key(before.model), actions, condition)]


def ended(before: Job, event: e.JobEnded, holder: str, slots: Slots) -> list[Write]:
    """An end at Bedrock: its holder leaves, and everybody can see that a job of the model ended.
    `slots` as they were read.

    Of a job that failed before a record was processed, the model keeps how many did so in a row,
    and goes on hold at the third (fails if another was counted meanwhile). A job that got further,
    and was claimed since they fail, takes that hold away.
    """
    after = evolve(before.id, before, event)
    actions = _leaving(holder)
    condition: Condition = SlotsRow.pk.exists()
    if failed_at_once(after):
        failures = slots.failures + 1
        hold = failed(
            slots.failing,
            failures=failures,
            message=event.message,
            ends=slots.ends + 1,
            now=event.at,
        )
        actions += [SlotsRow.failures.set(failures), *_set_hold("failing", slots.failing, hold)]
        if not slots.failures:
            actions.append(SlotsRow.failed_since.set(text_of(event.at)))
        if event.started:
            actions.append(SlotsRow.failed_late.set(True))
        condition &= same(SlotsRow.failures, slots.failures or None) & _hold_as_read(
            SlotsRow.failing, slots.failing
        )
    elif (
        event.status in {"Completed", "PartiallyCompleted"} or event.processed_records
    ) and after_the_failures(before, slots):
        actions += [SlotsRow.good_ends.set(SlotsRow.good_ends + 1), *_no_failures()]
        condition &= same(SlotsRow.failed_since, text_or_none(slots.failed_since))
    return [*appended(before, event), Update(slots_key(before.model), actions, condition)]


def failed_at_once(job: Job) -> bool:
    """Whether an ended job failed before a record was processed, and maybe for a reason of the
    account, the role or the model.
    """
    return (
        job.status == "Failed" and job.processed_records == 0 and not fails_for_its_own_reason(job)
    )


def begun(before: Job, event: e.Event, slots: Slots) -> list[Write]:
    """Bedrock processes the job's records. If jobs failed before that, and none after it, those
    that are tried go further now.
    """
    writes = appended(before, event)
    if not slots.failures or slots.failed_late or not after_the_failures(before, slots):
        return writes
    seen = _failures_as_read(slots) & SlotsRow.failed_late.does_not_exist()
    return [*writes, Update(slots_key(before.model), _no_failures(), seen)]


def gone_well(slots: Slots) -> list[Write]:
    """What failed so is mended, or was none: a job that was claimed since then processes records.
    `slots` as they were read.
    """
    return [Update(slots_key(slots.model), _no_failures(), _failures_as_read(slots))]


def taken_back(slots: Slots) -> list[Write]:
    """One of the failures in a row was none after all. `slots` as they were read."""
    failures = slots.failures - 1
    actions = [SlotsRow.failures.set(failures)] if failures else _no_failures()
    if failures < FAILURES_IN_A_ROW:
        actions.append(SlotsRow.failing.remove())
    condition = _failures_as_read(slots) & _hold_as_read(SlotsRow.failing, slots.failing)
    return [Update(slots_key(slots.model), actions, condition)]


def after_the_failures(job: Job, slots: Slots) -> bool:
    """Whether the job was claimed since the first of the failures in a row: one from before them
    proves nothing (P9).
    """
    return slots.failed_since is None or (
        job.claimed_at is not None and job.claimed_at >= slots.failed_since
    )


def over_without_bedrock(before: Job, event: e.Event, holder: str, lease: Lease) -> list[Write]:
    """An end or a cancel of a claimed attempt that Bedrock certainly does not have: only by the
    owner of its lease.
    """
    return [
        *appended(before, event),
        Update(slots_key(before.model), _leaving(holder), _mine(holder, lease)),
    ]


def left_line(before: Job, event: e.Event) -> list[Write]:
    """A waiting job is cancelled."""
    return [*appended(before, event, _known_to_wait(before)), *_no_place(before)]


def reason_to_ask(model: str) -> list[Write]:
    """Something that may have made room or mended something: a job that was not ours ended, or a
    person says so.
    """
    return [Update(slots_key(model), [SlotsRow.ends.set(SlotsRow.ends + 1)], SlotsRow.pk.exists())]


def model_changed(slots: Slots | None, changed: Slots, *, resumed: bool) -> list[Write]:
    """Limit, ceiling and pause, as the whole stream of the model says; never by an older reading of
    it. Each change is a reason to ask Bedrock again; a resume since the version before (`resumed`)
    takes the holds away.
    """
    if slots is None:
        return [Put(slots_row(changed), SlotsRow.pk.does_not_exist())]
    actions = [
        *said_of_the_model(changed),
        SlotsRow.ends.set(SlotsRow.ends + 1),
        *([SlotsRow.refused.remove(), *_no_failures()] if resumed else []),
    ]
    return [
        Update(slots_key(changed.model), actions, SlotsRow.model_version < changed.model_version)
    ]


def places(job: Job) -> list[Write]:
    """Its place in line if it waits, and none at any other priority that it has had."""
    return _line(job) or _no_place(job)


def said_of_the_model(state: Slots) -> list[Any]:
    """What a slots item has from the stream of its model (`fold_model`)."""
    ceiling, pause = state.ceiling, state.pause
    return [
        SlotsRow.limit.set(state.limit),
        SlotsRow.paused.set(state.paused),
        SlotsRow.model_version.set(state.model_version),
        _set(SlotsRow.max_jobs_per_day, ceiling.jobs),
        _set(SlotsRow.max_records_per_day, ceiling.records),
        _set(SlotsRow.paused_by, pause.by if pause else None),
        _set(SlotsRow.paused_at, text_of(pause.at) if pause else None),
        _set(SlotsRow.paused_why, pause.why if pause else None),
    ]


def same(path: Any, value: Any) -> Condition:
    """That an attribute is still as it was read (None: absent)."""
    unchanged: Condition = path.does_not_exist() if value is None else path == value
    return unchanged


def _line(job: Job) -> list[Write]:
    """A waiting job has its place in line, and none at a priority that it had before."""
    if job.status != QUEUED:
        return []
    return [
        Put(line_row(job)),
        *(Delete(place_row(job, priority)) for priority in sorted(job.left_places)),
    ]


def _no_place(job: Job) -> list[Write]:
    """No place in line, at any priority that it has had: a change of priority may not be projected
    yet.
    """
    return [
        Delete(place_row(job, priority)) for priority in sorted({job.priority, *job.left_places})
    ]


def _known_to_wait(job: Job) -> Condition:
    """The view knows that the job waits, and so do the counts, from which it is about to be taken:
    a requeue that is not yet projected never counted. A view that is lost is for a rebuild to mend,
    and holds up no line.
    """
    condition: Condition = ViewRow.pk.does_not_exist() | (ViewRow.version >= job.queued_version)
    return condition


def _leaving(holder: str) -> list[Any]:
    """What an end changes in the slots."""
    return [SlotsRow.holders[holder].remove(), SlotsRow.ends.set(SlotsRow.ends + 1)]


def _failures_as_read(slots: Slots) -> Condition:
    """The very row of failures that was read: another may have begun since, and be as long."""
    condition: Condition = same(SlotsRow.failures, slots.failures) & same(
        SlotsRow.failed_since, text_or_none(slots.failed_since)
    )
    return condition


def _no_failures() -> list[Any]:
    return [
        SlotsRow.failing.remove(),
        SlotsRow.failures.remove(),
        SlotsRow.failed_late.remove(),
        SlotsRow.failed_since.remove(),
    ]


def _room() -> Condition:
    """`<`, never `<>`: a limit that was lowered below the holders must admit nobody."""
    room: Condition = size(SlotsRow.holders) < SlotsRow.limit
    return And(SlotsRow.pk.exists() & room, SlotsRow.paused == False)  # noqa: E712 - PynamoDB's way to say it


def _holds_as_read(slots: Slots) -> Condition:
    refused, failing = (
        _hold_as_read(SlotsRow.refused, slots.refused),
        _hold_as_read(SlotsRow.failing, slots.failing),
    )
    return And(refused, failing)


def _hold_as_read(path: Any, hold: Hold | None) -> Condition:
    """Its time, `ends` and count say whether a probe may ask, its kind whose turn it is; a claim
    writes them and its words.
    """
    if hold is None:
        absent: Condition = path.does_not_exist()
        return absent
    unchanged: Condition = (
        (path["until"] == text_of(hold.until))
        & (path["ends"] == hold.ends)
        & (path["count"] == hold.count)
    )
    return And(unchanged, (path["kind"] == hold.kind) & (path["message"] == hold.message))


def _set_hold(name: str, before: Hold | None, after: Hold | None) -> list[Any]:
    return [getattr(SlotsRow, name).set(hold_map(after))] if after != before else []


def _set(path: Any, value: Any) -> Any:
    return path.remove() if value is None else path.set(value)


def _begun(slots: Slots, day: Day, records: int) -> tuple[list[Any], Condition]:
    """One more job begins on `day`: what changes, and on which condition. Raises ConditionFailed
    where a day that is new has no room for it. A day that another has begun meanwhile, or another
    ceiling, fails the condition.
    """
    ceiling = slots.ceiling
    as_read: Condition = SlotsRow.model_version == slots.model_version
    if day.date != slots.day.date:
        if not ceiling.allows(day, records):
            raise ConditionFailed(f"{records} records are more than may begin in a day")
        new: Condition = SlotsRow.day.does_not_exist() | (SlotsRow.day < day.date)
        return [
            SlotsRow.day.set(day.date),
            SlotsRow.day_jobs.set(1),
            SlotsRow.day_records.set(records),
        ], And(as_read, new)
    below: Condition = And(as_read, SlotsRow.day == day.date)
    if ceiling.jobs is not None:
        below &= SlotsRow.day_jobs < ceiling.jobs
    if ceiling.records is not None:
        below &= SlotsRow.day_records < ceiling.records - records + 1
    adding = [
        SlotsRow.day_jobs.set(SlotsRow.day_jobs + 1),
        SlotsRow.day_records.set(SlotsRow.day_records + records),
    ]
    return adding, below


def _mine(holder: str, lease: Lease) -> Condition:
    path = SlotsRow.holders[holder]
    mine: Condition = path["owner"] == lease.owner
    return And(mine, path["submitted"] == False)  # noqa: E712 - as above
