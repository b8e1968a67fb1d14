"""What the projections should be, by the events alone; how what is there differs from it; and the
writes that repair it.

Pure. `look.py` reads the tables, `repair.py` makes the writes. Of a slots item only that is
compared which is a function of events: limit, pause, version, and which attempt holds a slot. Not
compared are the counters, the holds, and the owner and the time of a lease: no event holds them. An
item that cannot be read counts as lost.

| the attempt is, by its events | and so its holder is |
|---|---|
| Claimed | there, not marked submitted |
| at Bedrock | there, marked submitted, even beyond the limit |
| anything else | not there |

**A lost lease is rebuilt as long as it could still run, and no longer** (R32). In time it is over
like every other, and then its name is looked up at Bedrock before anybody may call Create: absence
must never look like "given up".
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

from bbq.shared import projections as p
from bbq.shared import rows
from bbq.shared.counts import count_row, moved, to_be_tallied
from bbq.shared.job import CLAIMED, OVER, QUEUED, RUNNING, Job, comes_back
from bbq.shared.names import holder, job_stream
from bbq.shared.plain import text_of
from bbq.shared.slots import AT_BEDROCK, NO_DAY, Day, Lease, Slots
from bbq.shared.tables import (
    Check,
    CountRow,
    Delete,
    EventRow,
    LineRow,
    Put,
    SlotsRow,
    Update,
    ViewRow,
    Write,
)

REBUILT = "rebuilt"  # owner of a rebuilt lease: no invocation, so that none goes on with it
NO_HOLDER, HOLDER, SUBMITTED = "no holder", "a holder", "a holder, submitted"
UNREADABLE = "cannot be read"
ANY_ATTEMPTS = 1_000_000  # whether policy retries at all, whatever the deployment's limit is
# Whatever changes the slots of a paused model changes one of these.
_AS_SEEN = ("limit", "model_version", "ends", "taken", "holders", "refused", "failing", "failures")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as the events say. `field` is empty where the whole row is meant; None
    stands for "absent".
    """

    pk: str
    sk: str
    field: str = ""
    found: Any = None
    expected: Any = None

    def __str__(self) -> str:
        """For a person."""
        what = f"{self.pk} / {self.sk}" + (f": {self.field}" if self.field else "")
        return f"{what} is {_words(self.found)}, should be {_words(self.expected)}"


# Views and lines.


def unfinished(job: Job, view_version: int) -> bool:
    """Whether anything may be left to do for the job: not over, or over and not projected, not
    tallied or not tried again.

    `view_version` is how many events its view has seen.
    """
    if job.status not in OVER or view_version < job.version:
        return True
    return to_be_tallied(job) or comes_back(job, ANY_ATTEMPTS)


def place(job: Job) -> LineRow | None:
    """The job's entry in its model's line, None unless it waits."""
    return rows.line_row(job) if job.status == QUEUED else None


def row_differences(
    found: ViewRow | LineRow | None, expected: ViewRow | LineRow | None
) -> list[Difference]:
    """What differs between two rows of one key: the whole row where one is absent, else field by
    field.
    """
    there = found if found is not None else expected
    if there is None:
        return []
    is_now, should_be = (
        row.to_simple_dict() if row is not None else None for row in (found, expected)
    )
    if is_now is None or should_be is None:
        return [Difference(pk=there.pk, sk=there.sk, found=is_now, expected=should_be)]
    return field_differences(there.pk, there.sk, is_now, should_be)


def field_differences(
    pk: str, sk: str, found: Mapping[str, Any], expected: Mapping[str, Any]
) -> list[Difference]:
    """What differs between two rows, field by field."""
    return [
        Difference(pk=pk, sk=sk, field=name, found=found.get(name), expected=expected.get(name))
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]


def rebuilt_view(job: Job, seen: ViewRow | None, counted: Job | None) -> list[Write]:
    """The view and the place in line as the events say, whatever they were. Only while no newer
    event exists, and the view is of the version that was seen. `counted` is the job as the counts
    have it: what was not projected yet is counted now.
    """
    as_seen = (
        ViewRow.pk.does_not_exist()
        if seen is None
        else ViewRow.pk.exists() & p.same(ViewRow.version, seen.version)
    )
    return [
        Put(rows.view_row(job), as_seen),
        *p.places(job),
        _no_newer(job.id, job.version),
        *moved(counted, job),
    ]


def removed_ghost(row: ViewRow | LineRow, job_id: str, version: int) -> list[Write]:
    """Remove a row that the job's `version` events do not ask for, while they are all its events:
    then it is a ghost still.
    """
    return [Delete(row), _no_newer(job_id, version)]


# Counts.


def recounted(seen: CountRow | None, pk: str, sk: str, numbers: Mapping[str, int]) -> list[Write]:
    """A row of counts as it should be, if nobody has changed it since it was seen."""
    changes = seen.changes if seen is not None else None
    unchanged = (
        CountRow.pk.does_not_exist()
        if seen is None
        else CountRow.pk.exists() & p.same(CountRow.changes, changes)
    )
    return [Put(count_row(pk, sk, int(changes or 0) + 1, numbers), unchanged)]


# Slots.


def alive(job: Job) -> bool:
    """Whether the job's attempt must hold a slot."""
    return job.status in RUNNING | {CLAIMED}


def slots_found(row: SlotsRow | None) -> Slots | None:
    """The slots item; None if there is none, or if it cannot be read."""
    if row is None or row.paused is None:
        return None
    try:
        return rows.slots_of(row)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def slots_differences(state: Slots, row: SlotsRow | None, rebuilt: Slots) -> list[Difference]:
    """What differs in a model's slots item. `state` is `fold_model` of its events, `rebuilt` what
    `slots_from_events` made.
    """
    pk, sk, found = rows.slots_pk(state.model), rows.SLOTS_KEY, slots_found(row)
    fields = _of_the_model(state)
    if found is None:
        if row is None and not state.model_version and not rebuilt.holders:
            return []
        what = UNREADABLE if row is not None else None
        return [
            Difference(
                pk=pk, sk=sk, found=what, expected=fields | {"holders": sorted(rebuilt.holders)}
            )
        ]
    no_holders = dict.fromkeys([*found.holders, *rebuilt.holders], NO_HOLDER)
    is_now, should_be = (
        no_holders
        | {
            holder_id: SUBMITTED if lease.submitted else HOLDER
            for holder_id, lease in slots.holders.items()
        }
        for slots in (found, rebuilt)
    )
    return [
        *field_differences(pk, sk, _of_the_model(found), fields),
        *field_differences(pk, sk, is_now, should_be),
    ]


def _of_the_model(slots: Slots) -> dict[str, Any]:
    return {
        "limit": slots.limit,
        "paused": slots.paused,
        "model_version": slots.model_version,
        "max_jobs_per_day": slots.ceiling.jobs,
        "max_records_per_day": slots.ceiling.records,
    }


def slots_from_events(
    state: Slots,
    jobs: Iterable[Job],
    found: Slots | None,
    *,
    longest_lease: timedelta,
    unknown: AbstractSet[str] = frozenset(),
    ended: Day = NO_DAY,
) -> Slots:
    """The slots as the events say, paused: if no event pauses the model, at the version before, so
    that the scheduler opens it. What no event holds is kept from `found`, and `ends` rises by one,
    so that an invocation that read before this and is about to give up reads again. Holders of
    `unknown` jobs stay as they are.

    `longest_lease` is the deployment's; it bounds a lease that was lost. `ended` is what ended
    today, by the counts: with what lives, and began today, it stands for what began today where
    nothing was found.
    """
    jobs = tuple(jobs)
    before = found or Slots(model=state.model, limit=0)
    holders = {
        holder_id: lease
        for holder_id, lease in before.holders.items()
        if job_of(holder_id) in unknown
    }
    for job in jobs:
        if job.model != state.model or not alive(job):
            continue
        holder_id = holder(job.id, job.attempt)
        lease = before.holders.get(holder_id)
        kept = (
            lease if lease is not None and not lease.submitted else _lost_lease(job, longest_lease)
        )
        holders[holder_id] = AT_BEDROCK if job.status in RUNNING else kept
    day = before.day if found is not None else _lost_day(state.model, jobs, ended)
    return replace(
        before,
        limit=state.limit,
        ceiling=state.ceiling,
        model_version=state.model_version if state.paused else max(state.model_version - 1, 0),
        pause=state.pause,
        paused=True,
        ends=before.ends + 1,
        holders=holders,
        day=day,
    )


def rebuilt_slots(seen: SlotsRow | None, slots: Slots) -> list[Write]:
    """The whole slots item, if it is exactly as seen, and paused: every claim, take-over, answer,
    refusal, begin, end and change of the model since then fails this write. Where none was seen:
    only if there is none.
    """
    if seen is None:
        return [Put(rows.slots_row(slots), SlotsRow.pk.does_not_exist())]
    unchanged = [p.same(getattr(SlotsRow, name), getattr(seen, name)) for name in _AS_SEEN]
    return [
        Put(rows.slots_row(slots), reduce(and_, unchanged, p.same(SlotsRow.paused, value=True)))
    ]


def paused_item(seen: SlotsRow, state: Slots) -> list[Write]:
    """The pause of a model in its item, also where the item is so damaged that the scheduler cannot
    project it. This closes and never opens; a newer event has a newer version and is projected over
    it.
    """
    actions = p.said_of_the_model(replace(state, paused=True))
    row = SlotsRow(pk=seen.pk, sk=seen.sk)
    return [
        Update(
            row, actions, SlotsRow.pk.exists() & p.same(SlotsRow.model_version, seen.model_version)
        )
    ]


def leases_until(slots: Slots) -> datetime | None:
    """When the last lease is over under which an invocation may still be in Create; None without
    one. What is marked submitted, and is not by the events, gets a new lease (`_lost_lease`).
    """
    return max(
        (lease.until for lease in slots.holders.values() if not lease.submitted), default=None
    )


def to_be_looked_up(slots: Slots, now: datetime) -> list[str]:
    """Ids of the jobs whose lease is over, or was rebuilt: it should be taken over, or its timer
    armed.
    """
    due = (
        h
        for h, lease in slots.holders.items()
        if not lease.submitted and (lease.until <= now or lease.owner == REBUILT)
    )
    return sorted({job_of(holder_id) for holder_id in due})


def job_of(holder_id: str) -> str:
    """The job id in a holder's name, whatever else it holds."""
    return holder_id.partition("#")[0]


def _no_newer(job_id: str, version: int) -> Check:
    return Check(
        EventRow(stream=job_stream(job_id), version=version + 1), EventRow.stream.does_not_exist()
    )


def _lost_day(model: str, jobs: Sequence[Job], ended: Day) -> Day:
    """Rather too many: what ended today may have begun yesterday. But what was tried again today
    counts once, and what failed today and waits again, with nothing bought, not at all. `ended`
    knows what was tallied; what lives, or waits for its tally, is counted here.
    """
    here = [job for job in jobs if job.model == model and (alive(job) or to_be_tallied(job))]
    began = [
        job
        for job in here
        if job.claimed_at is not None and text_of(job.claimed_at)[:10] >= ended.date
    ]
    records = sum(job.record_count for job in began)
    return replace(ended, jobs=ended.jobs + len(began), records=ended.records + records)


def _lost_lease(job: Job, longest_lease: timedelta) -> Lease:
    """A claim's lease began before `slot-claimed`."""
    return Lease(owner=REBUILT, until=(job.claimed_at or job.updated_at) + longest_lease)


def _words(value: Any) -> str:
    return "absent" if value is None else str(value)
