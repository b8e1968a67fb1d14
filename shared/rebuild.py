"""What the projections should be, by the events alone, and how what is there differs from it.

Pure. `cli/repair.py` reads the tables, asks here what is wrong and what would be right, and writes it. Of a slots item only
that is compared which is a function of events: limit, pause, version, and which attempt is in which map. Not compared are
`ends`, who owns a lease and until when, and how often somebody was refused: no event holds them.

| the attempt is, by its events | and so its holder is |
|---|---|
| Claimed | in `holders`, not marked submitted |
| Held | in `refused`; or in `holders`, not marked submitted, while somebody tries it again |
| at Bedrock | in `holders`, marked submitted, even beyond the limit |
| anything else | in neither map |

**A lost lease is rebuilt as long as it could still run, and no longer** (R32). In time it is over like every
other, and then its name is looked up at Bedrock before anybody may call Create: absence must never look like "given up". The
same holds for a Held attempt that is in neither map: it may have been taken and be in Create, or at Bedrock with its answer
lost, so it comes back as a holder, not as a refusal. If Bedrock does not have it, the take-over makes it one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared import projections
from shared.counts import to_be_tallied
from shared.events import text_of
from shared.job import CLAIMED, ENDS, HELD, LEASED, OVER, QUEUED, RUNNING, Job, may_retry
from shared.names import holder
from shared.slots import AT_BEDROCK, NO_DAY, Day, Lease, Refusal, Slots, leased
from shared.tables import LineRow, SlotsRow, ViewRow

REBUILT = "rebuilt"  # owner of a rebuilt lease: no invocation, so that nobody goes on with it
NEITHER, HOLDER, SUBMITTED, REFUSED = "in neither map", "a holder", "a holder, submitted", "refused"
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
    """Whether the job's attempt must be in one of the two maps."""
    return job.status in LEASED | RUNNING


def unfinished(job: Job, view_version: int) -> bool:
    """Whether anything may be left to do for the job: not over, or over and not projected, not tallied or not tried again.

    `view_version` is how many events its view has seen.
    """
    if job.status not in OVER or view_version < job.version:
        return True
    return job.status in ENDS and ((job.tally is None and job.arn is not None) or may_retry(job, ANY_ATTEMPTS))


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

    def entries(name: str) -> dict[str, Any]:
        content = getattr(row, name)
        if content is None:
            unreadable.append(name)
            return {}
        read = {}
        for whose, values in content.as_dict().items():
            alone = SlotsRow(pk=row.pk, sk=row.sk, limit=0, paused=False, model_version=0, ends=0, holders={}, refused={})
            setattr(alone, name, {whose: values})
            try:
                read[whose] = getattr(projections.slots_of(alone), name)[whose]
            except _MALFORMED:
                unreadable.append(f"{name}[{whose}]")
        return read

    def number(name: str) -> int:
        if getattr(row, name) is None:
            unreadable.append(name)
        return int(getattr(row, name) or 0)

    slots = Slots(
        model=row.pk.partition("#")[2], limit=number("limit"), paused=bool(row.paused), model_version=number("model_version"),
        ends=number("ends"), holders=entries("holders"), refused=entries("refused"),
        day=Day(date=row.day or "", jobs=int(row.day_jobs or 0), records=int(row.day_records or 0)),
        taken_on=row.taken_on or "",
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
    for whose in sorted(slots.holders.keys() | slots.refused.keys() | due.keys()):
        found, allowed = _where(slots, whose), _allowed(due.get(whose))
        if found not in allowed and job_of(whose) not in unknown:
            differences.append(Difference(**key, field=whose, found=found, expected=" or ".join(allowed)))
    return differences


def slots_from_events(
    state: Slots, jobs: Iterable[Job], found: Slots | None, *, longest_lease: timedelta, now: datetime,
    unknown: frozenset[str] = frozenset(), ended: Day = NO_DAY,
) -> Slots:  # fmt: skip
    """The slots as the events say, paused. What no event holds is kept from `found`, and `ends` rises by one, so that
    whoever read before this and is about to give up reads again. Holders of `unknown` jobs stay as they are.

    `longest_lease` is the deployment's; it bounds a lease that was lost. `ended` is what ended today, by the counts: with what
    lives, and began today, it stands for what began today where `found` does not say.
    """
    jobs = tuple(jobs)
    before = found or Slots(model=state.model, limit=0)
    holders = {whose: lease for whose, lease in before.holders.items() if job_of(whose) in unknown}
    refused = {whose: refusal for whose, refusal in before.refused.items() if job_of(whose) in unknown}
    for job in jobs:
        if job.model != state.model or not alive(job):
            continue
        whose = holder(job.id, job.attempt)
        lease, refusal = before.holders.get(whose), before.refused.get(whose)
        if job.status == HELD and lease is None and refusal is not None:
            refused[whose] = refusal
        else:
            kept = lease if lease is not None and not lease.submitted else _lost_lease(job, refusal, longest_lease, now)
            holders[whose] = AT_BEDROCK if job.status in RUNNING else kept
    day = before.day if before.day.date else _lost_day(state.model, jobs, ended)
    submitted = (text_of(job.submitted_at)[:10] for job in jobs if job.model == state.model and job.submitted_at is not None)
    taken_on = before.taken_on or max(submitted, default="")
    return replace(state, paused=True, ends=before.ends + 1, holders=holders, refused=refused, day=day, taken_on=taken_on)


def leases_until(slots: Slots) -> datetime | None:
    """When the last lease is over under which somebody may still be in Create; None without one. What is marked submitted, and
    is not by the events, gets a lease anew (`_lost_lease`).
    """
    return max((lease.until for lease in slots.holders.values() if not lease.submitted), default=None)


def to_be_looked_up(slots: Slots, now: datetime) -> list[str]:
    """Ids of the jobs whose lease is over, or was rebuilt: somebody should take it over, or see to its timer."""
    due = (w for w, lease in slots.holders.items() if not lease.submitted and (lease.until <= now or lease.owner == REBUILT))
    return sorted({job_of(whose) for whose in due})


def job_of(whose: str) -> str:
    """The job id in a holder's name, whatever else it holds."""
    return whose.partition("#")[0]


def _lost_day(model: str, jobs: Sequence[Job], ended: Day) -> Day:
    """Too many rather than too few: what ended today may have begun yesterday. Only what was tried again today counts once.
    `ended` knows what was tallied; what lives, or waits for its tally, is counted here.
    """
    here = [job for job in jobs if job.model == model and (alive(job) or to_be_tallied(job))]
    began = [job for job in here if job.claimed_at is not None and text_of(job.claimed_at)[:10] >= ended.date]
    records = sum(job.record_count for job in began)
    return replace(ended, jobs=ended.jobs + len(began), records=ended.records + records)


def _lost_lease(job: Job, refusal: Refusal | None, longest_lease: timedelta, now: datetime) -> Lease:
    """A claim's lease began before `slot-claimed`. A refused job may have been taken at any time until just now."""
    began = job.claimed_at if job.status != HELD and job.claimed_at is not None else now
    lease = leased(REBUILT, began + longest_lease, now, refusal)
    if refusal is None and job.status == HELD:  # its week goes on, and so does its back-off
        return replace(lease, since=job.claimed_at, count=len(job.refusals))
    return lease


def _where(slots: Slots, whose: str) -> str:
    lease, refused = slots.holders.get(whose), whose in slots.refused
    if lease is None:
        return REFUSED if refused else NEITHER
    held = SUBMITTED if lease.submitted else HOLDER
    return f"{held} and {REFUSED}" if refused else held


def _allowed(job: Job | None) -> Sequence[str]:
    if job is None:
        return (NEITHER,)
    if job.status in RUNNING:
        return (SUBMITTED,)
    return (HOLDER,) if job.status == CLAIMED else (HOLDER, REFUSED)


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
