"""What the projections should be, by the events alone, and how what is there differs from it.

Pure. `cli/repair.py` reads the tables, asks here what is wrong and what would be right, and writes it. Of a slots item only
that is compared which is a function of events: limit, pause, version, and who holds a slot. Not compared are the counters, the
holds, and who owns a lease and until when: no event holds them.

| the attempt is, by its events | and so its holder is |
|---|---|
| Claimed | there, not marked submitted |
| at Bedrock | there, marked submitted, even beyond the limit |
| anything else | not there |

**A lost lease is rebuilt as long as it could still run, and no longer** (R32). In time it is over like every
other, and then its name is looked up at Bedrock before anybody may call Create: absence must never look like "given up".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared import projections
from shared.counts import to_be_tallied
from shared.events import text_of
from shared.job import CLAIMED, ENDS, OVER, QUEUED, RUNNING, Job, comes_back
from shared.names import holder
from shared.slots import AT_BEDROCK, NO_DAY, Day, Lease, Slots
from shared.tables import LineRow, SlotsRow, ViewRow

REBUILT = "rebuilt"  # owner of a rebuilt lease: no invocation, so that nobody goes on with it
NO_HOLDER, HOLDER, SUBMITTED = "no holder", "a holder", "a holder, submitted"
UNREADABLE = "cannot be read"
ANY_ATTEMPTS = 1_000_000  # whether policy retries at all, whatever the deployment's limit is
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
_MODEL_FIELDS = ("limit", "paused", "model_version")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as the events say. `field` is empty where the whole row is meant; None stands for "absent"."""

    pk: str
    sk: str
    field: str = ""
    found: Any = None
    expected: Any = None

    def __str__(self) -> str:
        """For a person."""
        what = f"{self.pk} / {self.sk}" + (f": {self.field}" if self.field else "")
        return f"{what} is {_words(self.found)}, should be {_words(self.expected)}"


def alive(job: Job) -> bool:
    """Whether the job's attempt must hold a slot."""
    return job.status in RUNNING | {CLAIMED}


def unfinished(job: Job, view_version: int) -> bool:
    """Whether anything may be left to do for the job: not over, or over and not projected, not tallied or not tried again.

    `view_version` is how many events its view has seen.
    """
    if job.status not in OVER or view_version < job.version:
        return True
    return job.status in ENDS and ((job.tally is None and job.arn is not None) or comes_back(job, ANY_ATTEMPTS))


def place(job: Job) -> LineRow | None:
    """The job's entry in its model's line, None unless it waits."""
    return projections.line_row(job) if job.status == QUEUED else None


def row_differences(found: ViewRow | LineRow | None, expected: ViewRow | LineRow | None) -> list[Difference]:
    """What differs between two rows of one key: the whole row where one is absent, else field by field."""
    there = found if found is not None else expected
    if there is None:
        return []
    key = {"pk": there.pk, "sk": there.sk}
    is_now, should_be = _plain_row(found), _plain_row(expected)
    if is_now is None or should_be is None:
        return [Difference(**key, found=is_now, expected=should_be)]
    fields = sorted(is_now.keys() | should_be.keys())
    return [
        Difference(**key, field=name, found=is_now.get(name), expected=should_be.get(name))
        for name in fields
        if is_now.get(name) != should_be.get(name)
    ]


def slots_found(row: SlotsRow) -> tuple[Slots, tuple[str, ...]]:
    """The slots item as far as it can be read, and the paths of what cannot be: such an entry counts as lost."""
    unreadable: list[str] = []

    def alone(**parts: Any) -> Slots:
        """An item that has only these parts."""
        empty: dict[str, Any] = {"limit": 0, "paused": False, "model_version": 0, "ends": 0, "taken": 0, "good_ends": 0}
        return projections.slots_of(SlotsRow(pk=row.pk, sk=row.sk, **{**empty, "holders": {}, **parts}))

    def holders() -> dict[str, Lease]:
        if row.holders is None:
            unreadable.append("holders")
            return {}
        read = {}
        for holder_id, values in row.holders.as_dict().items():
            try:
                read[holder_id] = alone(holders={holder_id: values}).holders[holder_id]
            except _MALFORMED:
                unreadable.append(f"holders[{holder_id}]")
        return read

    def hold(name: str) -> Any:
        """A hold, or since when jobs fail."""
        try:
            return getattr(alone(**{name: getattr(row, name)}), name)
        except _MALFORMED:
            unreadable.append(name)
            return None

    def number(name: str) -> int:
        if getattr(row, name) is None:
            unreadable.append(name)
        return int(getattr(row, name) or 0)

    slots = Slots(
        model=row.pk.partition("#")[2], limit=number("limit"), paused=bool(row.paused), model_version=number("model_version"),
        ends=number("ends"), taken=number("taken"), good_ends=number("good_ends"), holders=holders(), refused=hold("refused"),
        failing=hold("failing"), failures=int(row.failures or 0), failed_late=bool(row.failed_late),
        failed_since=hold("failed_since"),
        day=Day(date=row.day or "", jobs=int(row.day_jobs or 0), records=int(row.day_records or 0)),
    )  # fmt: skip
    return slots, tuple(unreadable) if row.paused is not None else (*unreadable, "paused")


def slots_differences(
    state: Slots, jobs: Iterable[Job], row: SlotsRow | None, *, unknown: frozenset[str] = frozenset()
) -> list[Difference]:  # fmt: skip
    """What differs in a model's slots item. `state` is `fold_model` of its events, `jobs` all that may be alive.

    `unknown` are ids of jobs whose events cannot be read: nothing is said about their holders.
    """
    key = {"pk": projections.slots_pk(state.model), "sk": projections.SLOTS_KEY}
    due = {holder(job.id, job.attempt): job for job in jobs if job.model == state.model and alive(job)}
    if row is None:
        if not state.model_version and not due:
            return []
        return [Difference(**key, expected={name: getattr(state, name) for name in _MODEL_FIELDS} | {"holders": sorted(due)})]
    slots, unreadable = slots_found(row)
    differences = [Difference(**key, field=path, found=UNREADABLE, expected="an entry that can be read") for path in unreadable]
    differences += [
        Difference(**key, field=name, found=getattr(slots, name), expected=getattr(state, name))
        for name in _MODEL_FIELDS
        if getattr(slots, name) != getattr(state, name)
    ]
    for holder_id in sorted(slots.holders.keys() | due.keys()):
        found, expected = _found(slots.holders.get(holder_id)), _expected(due.get(holder_id))
        if found != expected and job_of(holder_id) not in unknown:
            differences.append(Difference(**key, field=holder_id, found=found, expected=expected))
    return differences


def slots_from_events(
    state: Slots, jobs: Iterable[Job], found: Slots | None, *, longest_lease: timedelta, now: datetime,
    unknown: frozenset[str] = frozenset(), ended: Day = NO_DAY,
) -> Slots:  # fmt: skip
    """The slots as the events say, paused. What no event holds is kept from `found`, and `ends` rises by one, so that
    whoever read before this and is about to give up reads again. Holders of `unknown` jobs stay as they are.

    `longest_lease` is the deployment's; it bounds a lease that was lost. `ended` is what ended today, by the counts: with what
    lives, and began today, it stands for what began today where nothing was found.
    """
    jobs = tuple(jobs)
    before = found or Slots(model=state.model, limit=0)
    holders = {holder_id: lease for holder_id, lease in before.holders.items() if job_of(holder_id) in unknown}
    for job in jobs:
        if job.model != state.model or not alive(job):
            continue
        holder_id = holder(job.id, job.attempt)
        lease = before.holders.get(holder_id)
        kept = lease if lease is not None and not lease.submitted else _lost_lease(job, longest_lease, now)
        holders[holder_id] = AT_BEDROCK if job.status in RUNNING else kept
    day = before.day if found is not None else _lost_day(state.model, jobs, ended)
    return replace(
        before, limit=state.limit, model_version=state.model_version, pause=state.pause, paused=True, ends=before.ends + 1,
        holders=holders, day=day,
    )  # fmt: skip


def leases_until(slots: Slots) -> datetime | None:
    """When the last lease is over under which somebody may still be in Create; None without one. What is marked submitted, and
    is not by the events, gets a lease anew (`_lost_lease`).
    """
    return max((lease.until for lease in slots.holders.values() if not lease.submitted), default=None)


def to_be_looked_up(slots: Slots, now: datetime) -> list[str]:
    """Ids of the jobs whose lease is over, or was rebuilt: somebody should take it over, or see to its timer."""
    due = (h for h, lease in slots.holders.items() if not lease.submitted and (lease.until <= now or lease.owner == REBUILT))
    return sorted({job_of(holder_id) for holder_id in due})


def job_of(holder_id: str) -> str:
    """The job id in a holder's name, whatever else it holds."""
    return holder_id.partition("#")[0]


def _lost_day(model: str, jobs: Sequence[Job], ended: Day) -> Day:
    """Too many rather than too few: what ended today may have begun yesterday. Only what was tried again today counts once.
    `ended` knows what was tallied; what lives, or waits for its tally, is counted here.
    """
    here = [job for job in jobs if job.model == model and (alive(job) or to_be_tallied(job))]
    began = [job for job in here if job.claimed_at is not None and text_of(job.claimed_at)[:10] >= ended.date]
    records = sum(job.record_count for job in began)
    return replace(ended, jobs=ended.jobs + len(began), records=ended.records + records)


def _lost_lease(job: Job, longest_lease: timedelta, now: datetime) -> Lease:
    """A claim's lease began before `slot-claimed`."""
    return Lease(owner=REBUILT, until=(job.claimed_at or now) + longest_lease)


def _found(lease: Lease | None) -> str:
    if lease is None:
        return NO_HOLDER
    return SUBMITTED if lease.submitted else HOLDER


def _expected(job: Job | None) -> str:
    if job is None:
        return NO_HOLDER
    return SUBMITTED if job.status in RUNNING else HOLDER


def _plain_row(row: ViewRow | LineRow | None) -> dict[str, Any] | None:
    return {name: _plain(value) for name, value in row.serialize(null_check=False).items()} if row is not None else None


def _plain(wire: Mapping[str, Any]) -> Any:
    """A value in DynamoDB's wire form as JSON."""
    ((kind, content),) = wire.items()
    match kind:
        case "M":
            return {name: _plain(value) for name, value in content.items()}
        case "L":
            return [_plain(value) for value in content]
        case "N":
            return float(content) if "." in content else int(content)
        case "NULL":
            return None
        case _:
            return content


def _words(value: Any) -> str:
    return "absent" if value is None else str(value)
