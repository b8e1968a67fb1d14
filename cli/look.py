"""One look at a row, at a job or at a model: what differs from the events, and the writes that
would repair it.

Everything is read again at each look, strongly consistent; what is kept of a walk is in `Walk`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bbq.cli import expected
from bbq.cli.expected import Difference
from bbq.cli.scan import UNREADABLE_JOB, Damaged, RepairContext, one_job
from bbq.shared import events as e
from bbq.shared import rows
from bbq.shared.counts import Numbers, numbers_of
from bbq.shared.job import APPENDED_BY_OTHERS, Job, fold
from bbq.shared.names import holder, job_stream, model_stream
from bbq.shared.plain import text_of
from bbq.shared.rows import HAVE_SLOT, SLOTS_KEY, VIEW_KEY
from bbq.shared.slots import AT_BEDROCK, Day, Slots, fold_model
from bbq.shared.tables import CountRow, EventRow, LineRow, SlotsRow, ViewRow, Write

CLOCK_MARGIN = timedelta(minutes=1)  # between this machine's clock and Lambda's
AGAIN = "run the rebuild again"

# The key of a projection. A job's view stands for the whole job, a slots item for the whole model.
Key = tuple[str, str]


@dataclass(kw_only=True)
class Walk:
    """What a walk has met. `models`, and how many events of each there were when it was paused
    (None: it was not). `live`: ids of jobs whose attempt holds a slot, or has ended and is to be
    tallied, by model. `counts`: what each row of counts should hold; `changes`: how often each was
    changed before the walk through the events began, and by repairs since then; of the shards in
    `unread` not every job can be read, and `hidden` are the jobs that cannot. `readings`: the
    highest counter of its model that a job remembers. `goes_on`: a run before this one was killed.
    """

    context: RepairContext
    models: dict[str, int | None] = field(default_factory=dict)
    live: dict[str, set[str]] = field(default_factory=dict)
    counts: dict[Key, Numbers] = field(default_factory=dict)
    changes: dict[Key, int] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    readings: dict[str, int] = field(default_factory=dict)
    goes_on: bool = False
    streams: int = 0

    @property
    def sums(self) -> list[Key]:
        """What many jobs add up to, once all are known: slots and counts, those that are there and
        those that should be.
        """
        return [
            *((rows.slots_pk(alias), SLOTS_KEY) for alias in self.models),
            *sorted({*self.counts, *self.changes}),
        ]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One reading of a row or a job. `writes` would repair it, not before `until`; without them
    `why` says why not. `notes` are for a person, once they are made. `counted` is the `job` as the
    counts have it.
    """

    differences: list[Difference]
    writes: Sequence[Write] = ()
    until: datetime | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    job: Job | None = None
    counted: Job | None = None
    repaired: bool = False


def look(walk: Walk, key: Key) -> Seen:
    """One look at what a key stands for. What cannot be read is a difference, and never raises."""
    (pk, sk), (kind, _, name) = key, key[0].partition("#")
    try:
        with one_job():
            match kind, sk:
                case "job", rows.VIEW_KEY:
                    return _look_at_job(walk.context, name)
                case "line", _:
                    return _look_at_entry(walk.context, name, sk)
                case "slots", rows.SLOTS_KEY:
                    return _look_at_slots(walk, name)
                case "counts", _:
                    return _look_at_count(walk, key)
                case _:
                    unknown = Difference(pk=pk, sk=sk, found="a row of no known kind")
                    return Seen(
                        differences=[unknown],
                        why="look at it, and remove it by hand if it is not needed",
                    )
    except Damaged as error:
        seen = _unreadable(key, error)
        if kind == "slots":
            seen = replace(seen, why=f"{error}: delete the item, so that it is lost, and {AGAIN}")
        return seen
    except UNREADABLE_JOB as error:
        return _unreadable(key, error)


def _unreadable(key: Key, error: Exception) -> Seen:
    difference = Difference(
        pk=key[0],
        sk=key[1],
        found=f"{expected.UNREADABLE}: {error}",
        expected="what this code can read",
    )
    return Seen(differences=[difference], why=str(error))


def _hidden_place(context: RepairContext, job_id: str) -> tuple[str, str] | None:
    """(model, holder) of the slot that a job holds whose events cannot be read, by its view, which
    each claim and each end writes together with the slots; empty if it holds none, or never was
    claimed. None if neither its view nor the names of its events say.
    """
    try:
        view = _view(context, job_id)
        if view is None:  # lost, or nobody could project it
            with one_job():
                events = context.tables.query(EventRow, job_stream(job_id))
            return None if any(row.name == e.SlotClaimed.NAME for row in events) else ("", "")
    except Damaged:
        return None
    if view.status not in HAVE_SLOT:
        return "", ""
    return view.model, holder(job_id, int(view.attempt))


def _view(context: RepairContext, job_id: str) -> ViewRow | None:
    """Raises Damaged."""
    with one_job():
        return context.tables.get(ViewRow, rows.view_pk(job_id), VIEW_KEY)


def _look_at_job(context: RepairContext, job_id: str) -> Seen:
    """The view, and the job's own place in line. Entries at other places are met by the walk
    through the projections.
    """
    events = _events(context, job_id)
    job = fold(job_id, events)
    try:
        view = _view(context, job_id)
    except Damaged as error:  # its slot is known all the same
        return replace(_unreadable((rows.view_pk(job_id), VIEW_KEY), error), job=job)
    if job is None:
        ghost = ViewRow(pk=rows.view_pk(job_id), sk=VIEW_KEY)
        return Seen(
            differences=expected.row_differences(view, None),
            writes=expected.removed_ghost(ghost, job_id, 0),
        )
    # The counts have it as far as its view has seen it, and at least up to the last event that came
    # with its own projection, whatever has become of the view since.
    own = [
        version for version, event in enumerate(events, 1) if event.NAME not in APPENDED_BY_OTHERS
    ]
    was = fold(job_id, events[: max([int(view.version or 0) if view is not None else 0, *own])])
    line = rows.line_row(job)
    entry = context.tables.get(LineRow, line.pk, line.sk)
    differences = expected.row_differences(view, rows.view_row(job)) + expected.row_differences(
        entry, expected.place(job)
    )
    return Seen(
        differences=differences, writes=expected.rebuilt_view(job, view, was), job=job, counted=was
    )


def _look_at_entry(context: RepairContext, alias: str, sk: str) -> Seen:
    """An entry in line, by the job that its key names: its own place, which is looked at with the
    job, or a ghost.
    """
    entry, job_id = LineRow(pk=rows.line_pk(alias), sk=sk), sk.rpartition("#")[2]
    job = fold(job_id, _events(context, job_id))
    own = expected.place(job) if job is not None else None
    if own is not None and (own.pk, own.sk) == (entry.pk, sk):
        return Seen(differences=[])
    ghost = expected.removed_ghost(entry, job_id, job.version if job is not None else 0)
    return Seen(
        differences=expected.row_differences(context.tables.get(LineRow, entry.pk, sk), None),
        writes=ghost,
        job=job,
    )


def _look_at_slots(walk: Walk, alias: str) -> Seen:
    """A model's item first, then everything that the item should follow from. Raises UnknownEvent
    if the model's own events cannot be read, Damaged if its item cannot.
    """
    context, jobs, unknown, notes = walk.context, list[Job](), set[str](), list[str]()
    row = slots_row(context, alias)
    found = expected.slots_found(row)
    state = fold_model(alias, model_events(context, alias))
    for job_id in sorted(
        {
            *walk.live.get(alias, ()),
            *map(expected.job_of, found.holders if found is not None else ()),
        }
    ):
        try:
            with one_job():
                job = fold(job_id, _events(context, job_id))
            jobs += [job] if job is not None else []
        except UNREADABLE_JOB:
            unknown.add(job_id)
    today = text_of(context.now())[:10]
    over = context.store.day(alias, today) if found is None else {}
    ended = Day(date=today, jobs=over.get("slot_ends", 0), records=over.get("records", 0))
    slots = expected.slots_from_events(
        state, jobs, found, longest_lease=context.lease, unknown=unknown, ended=ended
    )
    if found is None:  # jobs remember these counters, which must not begin again (R43)
        reading = walk.readings.get(alias, 0)
        slots = replace(slots, taken=reading, good_ends=reading)
    # Read after the item, as the jobs are: whoever ends meanwhile changes the item.
    places = {job_id: _hidden_place(context, job_id) for job_id in sorted(walk.hidden)}
    of_hidden = {place[1]: AT_BEDROCK for place in places.values() if place and place[0] == alias}
    slots = replace(slots, holders={**of_hidden, **slots.holders})
    differences = expected.slots_differences(state, row, slots)
    if differences and row is not None and walk.models.get(alias) != state.model_version:
        return Seen(
            differences=differences,
            why=f"it was changed, or not paused, while jobs were read: {AGAIN}",
        )
    held = set(map(expected.job_of, slots.holders))
    hidden = [job_id for job_id, place in places.items() if place is None and job_id not in held]
    if differences and hidden:
        return Seen(
            differences=differences,
            why=f"jobs that cannot be read may hold a slot: {', '.join(hidden)}",
        )
    if found is None:
        notes.append(
            f"the slots of {alias} were lost. What began today was counted from what ended and "
            "what lives, or higher"
        )
    if unknown:
        notes.append(
            f"jobs that cannot be read keep what they have in the slots of {alias}: "
            f"{', '.join(sorted(unknown))}"
        )
    writes, until = expected.rebuilt_slots(row, slots), _leased_until(context, found)
    return Seen(differences=differences, writes=writes, until=until, notes=tuple(notes))


def slots_row(context: RepairContext, alias: str) -> SlotsRow | None:
    """The slots item of a model. Raises Damaged."""
    with one_job():
        return context.tables.get(SlotsRow, rows.slots_pk(alias), SLOTS_KEY)


def _leased_until(context: RepairContext, slots: Slots | None) -> datetime | None:
    """Until when an invocation may be in Create, by the clock of this machine; None if none may."""
    now, until = context.now(), expected.leases_until(slots) if slots is not None else None
    if until is None or until + CLOCK_MARGIN <= now:
        return None
    return min(until, now + context.lease) + CLOCK_MARGIN  # no lease is longer


def _look_at_count(walk: Walk, key: Key) -> Seen:
    row, should = walk.context.tables.get(CountRow, *key), walk.counts.get(key, {})
    if key[1].rpartition("#")[2] in map(str, walk.unread):
        walk.context.say(
            f"{' / '.join(key)} cannot be compared: a job that it may count cannot be read"
        )
        return Seen(differences=[])
    if changes(row) != walk.changes.get(key, 0):
        walk.context.say(
            f"{' / '.join(key)} cannot be compared: it changed while the jobs were read; look in a "
            "quiet minute"
        )
        return Seen(differences=[])
    found = numbers_of(row) if row is not None else {}
    zeros = dict.fromkeys([*found, *should], 0)
    return Seen(
        differences=expected.field_differences(*key, zeros | found, zeros | should),
        writes=expected.recounted(row, *key, should),
    )


def _events(context: RepairContext, job_id: str) -> list[e.Event]:
    """The job's events. Raises UnknownEvent, Damaged."""
    recorded = context.store.load(job_stream(job_id))
    if [each.version for each in recorded] != list(range(1, len(recorded) + 1)):
        raise Damaged(f"the events of job {job_id} are not 1 to {len(recorded)}")
    return [each.event for each in recorded]


def model_events(context: RepairContext, alias: str) -> list[e.Event]:
    """The events of a model. Raises UnknownEvent."""
    return [recorded.event for recorded in context.store.load(model_stream(alias))]


def has_events(context: RepairContext, job_id: str) -> bool:
    """Whether there is such a job."""
    try:
        with one_job():
            return context.store.exists(job_stream(job_id))
    except Damaged:  # there is one, and it cannot be read
        return True


def changes(row: CountRow | None) -> int:
    """How often a row of counts was changed."""
    return int(row.changes or 0) if row is not None else 0
