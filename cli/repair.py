"""When the worst has happened: is what is there what the events say (`verify`), and if not, make it so (`rebuild`).

Both read the whole of both tables, which no service ever does; a person starts them. Both may run beside a living system:

- **A job** is repaired in a transaction which also checks that the job has no newer event than those that were read. Whatever
  happens to it meanwhile is either in what is written or makes the write fail.
- **A model's slots** decide about capacity, and so they are rebuilt only while nothing can begin: its events
  and its item pause the model since before the walk read its jobs (R20), no lease is running, and the item is exactly as it
  was read (R34). Every claim, answer, refusal and end changes the item in one transaction with its event, so an unchanged item
  means that nobody's place has changed. What a rebuilt lease looks like (R32): `shared/rebuild.py`.
- **The counts** are compared, and written, only where nothing was counted since the walk met them (`CountRow.changes`).
- **The model's own part** of an item that its events pause is projected here too, in case no scheduler lives to do it.

Everything is decided on what is there, so that running twice is harmless, and a run that was killed is made good by another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from pynamodb.exceptions import AttributeDeserializationError

from cli.walk import OPEN, Cursor, Damaged, Desk, Target, one_job, walk
from services.scheduler.hints import ALL
from shared import projections
from shared.counts import added, counted, counts_pk, numbers_of, shard, to_be_tallied
from shared.events import Event, UnknownEvent, text_of
from shared.job import APPENDED_BY_OTHERS, IllegalEvent, Job, fold
from shared.names import is_job_id, job_stream, model_stream
from shared.projections import SLOTS_KEY, VIEW_KEY
from shared.rebuild import (
    UNREADABLE,
    Difference,
    alive,
    job_of,
    leases_until,
    place,
    row_differences,
    slots_differences,
    slots_found,
    slots_from_events,
    to_be_looked_up,
)
from shared.slots import Day, Slots, fold_model
from shared.tables import PROJECTIONS, ConditionFailed, Contended, CountRow, LineRow, SlotsRow, ViewRow, Write

COUNTS = "counts"
CONFIRMATIONS = 2  # further readings that must show the same difference
SETTLE_SECONDS = 5.0  # before each of them: what is on its way arrives
MAX_TRIES = 5  # of one repair, when others are faster
CLOCK_MARGIN = timedelta(minutes=1)  # between this machine's clock and Lambda's


@dataclass(frozen=True, kw_only=True)
class Report:
    """What differs. Not `complete`: so much does that the walk broke off; slots and counts were not looked at.

    `uncounted` are rows of counts that jobs moved in or out of meanwhile, or whose jobs cannot all be read: nothing can be said
    of them.
    """

    differences: tuple[Difference, ...]
    complete: bool
    cursor: Cursor
    uncounted: tuple[Target, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Left:
    """What was not repaired, why, and from when on it can be, where time alone is needed."""

    pk: str
    sk: str
    why: str
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild did. `notes` are sentences about what a person must know or do now.

    Run again with `cursor` where something was `left` that needs time; without, where its sentence says so.
    """

    repaired: tuple[Target, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]
    cursor: Cursor


def verify(desk: Desk, cursor: Cursor | None = None) -> Report:
    """Compare the projections with the fold of the events. What differs at the first reading is read again, strongly
    consistent, CONFIRMATIONS times with pauses at the end; what is reported was so every time. Changes nothing.
    """
    cursor = walk(desk, _begun(desk, cursor), lambda here, targets: _suspected(desk, here, targets))
    complete = cursor.table is None
    models = [(projections.slots_pk(alias), SLOTS_KEY) for alias in cursor.models] if complete else []
    counts = _count_targets(cursor) if complete else []
    differences = _lasting(desk, [*cursor.suspects, *models, *counts], cursor)
    uncounted = tuple(target for target in counts if _recount(desk, target, cursor) is None)
    return Report(differences=tuple(differences), complete=complete, cursor=cursor, uncounted=uncounted)


def rebuild(desk: Desk, cursor: Cursor | None = None) -> Rebuilt:
    """Make the projections equal to the fold again, and wake every job that was repaired; in the end also every job whose name
    must be looked up, and every model. What cannot be repaired now is left, with the reason.
    """
    done: list[Target] = []
    left: dict[Target, Left] = {}
    notes: list[str] = []

    def visit(before: Cursor, targets: Sequence[Target]) -> Cursor:
        wrong, here = _first_look(desk, before, targets)
        jobs = [job_id for job_id in map(_job_of, wrong) if is_job_id(job_id)]
        here = replace(here, touched=tuple(dict.fromkeys([*here.touched, *jobs])))
        if wrong:
            # Before the repair: a run that is killed in it must still wake them. It goes over the page again, and counts it then.
            desk.progress(replace(here, counts=before.counts))
        for target in wrong:
            _note(target, _repair(desk, target), done, left)
        for job_id in here.touched:
            if (projections.view_pk(job_id), VIEW_KEY) not in left:  # a hint mends nothing of what cannot be read
                desk.hints.wake_job(job_id)
        return replace(here, touched=())

    cursor = walk(desk, _begun(desk, cursor), visit)
    for alias in cursor.models:
        _note((projections.slots_pk(alias), SLOTS_KEY), _rebuild_model(desk, alias, cursor, notes), done, left)
    for target in _count_targets(cursor):
        _note(target, _rebuild_count(desk, target, cursor, notes), done, left)
    _wake(desk, cursor)
    return Rebuilt(repaired=tuple(done), left=tuple(left.values()), notes=tuple(notes), cursor=cursor)


class _Look(NamedTuple):
    """`counted` is the job as the counts have it: as far as its view has seen it."""

    differences: list[Difference]
    job: Job | None = None
    counted: Job | None = None
    readable: bool = True


class _Model(NamedTuple):
    """One reading of a model: its item first, then everything that its item should follow from."""

    row: SlotsRow | None
    state: Slots
    jobs: list[Job]
    unknown: frozenset[str]

    @property
    def differences(self) -> list[Difference]:
        return slots_differences(self.state, self.jobs, self.row, unknown=self.unknown)


def _begun(desk: Desk, cursor: Cursor | None) -> Cursor:
    return cursor if cursor is not None else Cursor(began=desk.now().isoformat())


def _suspected(desk: Desk, here: Cursor, targets: Sequence[Target]) -> Cursor:
    wrong, here = _first_look(desk, here, targets)
    return replace(here, suspects=tuple(dict.fromkeys([*here.suspects, *wrong])))


def _first_look(desk: Desk, here: Cursor, targets: Sequence[Target]) -> tuple[list[Target], Cursor]:
    """The rows and jobs of a page that differ, and the cursor with the models and the living attempts that were met."""
    wrong: list[Target] = []
    models, paused, live = dict.fromkeys(here.models), dict(here.paused), dict(here.live)
    counts, changes, unreadable = dict(here.counts), dict(here.changes), set(here.unreadable)
    for pk, sk in targets:
        kind, _, name = pk.partition("#")
        if (kind, sk) == ("slots", SLOTS_KEY):
            models[name] = None
            if here.table == PROJECTIONS:
                paused[name] = _paused_at(desk, name)
            continue
        if kind == COUNTS:
            changes[_together((pk, sk))] = _changes(desk.tables.get(CountRow, pk, sk))
            continue
        if here.table == PROJECTIONS and (kind, sk) == ("job", VIEW_KEY) and _has_events(desk, name):
            continue  # its events will be met
        seen = _look(desk, (pk, sk), here)
        if kind == "job" and not seen.readable:
            unreadable.add(shard(name))
        if seen.differences:
            wrong.append((pk, sk))
        if seen.job is not None and (alive(seen.job) or to_be_tallied(seen.job)):
            models[seen.job.model] = None
            live[seen.job.id] = seen.job.model
        if seen.counted is not None and (row := counted(seen.counted))[1]:
            key = _together((counts_pk(seen.counted.model), row[0]))
            counts[key] = added([counts.get(key, {}), row[1]])
    jobs = here.jobs + len(targets) if here.table != PROJECTIONS else here.jobs
    return wrong, replace(
        here, models=tuple(models), paused=paused, live=live, jobs=jobs, counts=counts, changes=changes,
        unreadable=tuple(sorted(unreadable)),
    )  # fmt: skip


def _has_events(desk: Desk, job_id: str) -> bool:
    try:
        with one_job():
            return desk.store.exists(job_stream(job_id))
    except Damaged:  # there is one, and it cannot be read
        return True


def _paused_at(desk: Desk, alias: str) -> int:
    """The version of the model's events at which its item is paused now, else OPEN."""
    try:
        row = _slots_row(desk, alias)
    except AttributeDeserializationError:
        return OPEN
    return int(row.model_version or 0) if row is not None and row.paused else OPEN


def _lasting(desk: Desk, targets: Iterable[Target], cursor: Cursor) -> list[Difference]:
    """The differences that are there at every one of several readings: a state that a living system passes through is not."""
    standing = {target: _look(desk, target, cursor).differences for target in targets}
    for _ in range(CONFIRMATIONS):
        standing = {target: differences for target, differences in standing.items() if differences}
        if not standing:
            break
        desk.sleep(SETTLE_SECONDS)
        again = {target: _look(desk, target, cursor).differences for target in standing}
        standing = {target: [d for d in again[target] if d in before] for target, before in standing.items()}
    return [difference for differences in standing.values() for difference in differences]


def _look(desk: Desk, target: Target, cursor: Cursor) -> _Look:
    pk, sk = target
    kind, _, name = pk.partition("#")
    try:
        with one_job():
            match kind, sk:
                case "job", projections.VIEW_KEY:
                    events = _events(desk, name)
                    job, view = fold(name, events), desk.tables.get(ViewRow, pk, sk)
                    return _Look(_job_differences(desk, job, view), job, _as_counted(name, events, view))
                case "line", _:
                    return _Look(_entry_differences(desk, name, sk))
                case "slots", projections.SLOTS_KEY:
                    return _Look(_model(desk, name, cursor).differences)
                case "counts", _:
                    return _Look(_recount(desk, target, cursor) or [])
                case _:
                    return _Look([Difference(pk=pk, sk=sk, found="a row of no known kind")])
    except (UnknownEvent, IllegalEvent, Damaged) as error:
        unreadable = Difference(pk=pk, sk=sk, found=f"{UNREADABLE}: {error}", expected="what this code can read")
        return _Look([unreadable], readable=False)


def _events(desk: Desk, job_id: str) -> list[Event]:
    """The job's events. Raises UnknownEvent, Damaged."""
    with one_job():
        recorded = desk.store.load(job_stream(job_id))
    versions = [each.version for each in recorded]
    if versions != list(range(1, len(versions) + 1)):
        raise Damaged(f"the events of job {job_id} are not 1 to {len(versions)}")
    return [each.event for each in recorded]


def _job(desk: Desk, job_id: str) -> Job | None:
    """The job's state. Raises UnknownEvent, IllegalEvent, Damaged."""
    events = _events(desk, job_id)
    with one_job():
        return fold(job_id, events)


def _as_counted(job_id: str, events: Sequence[Event], view: ViewRow | None) -> Job | None:
    """The job as it was counted: as far as its view has seen it, and at least up to the last event that came with its own
    projection, whatever has become of the view since.
    """
    own = [version for version, event in enumerate(events, 1) if event.NAME not in APPENDED_BY_OTHERS]
    seen = int(view.version or 0) if view is not None else 0
    return fold(job_id, events[: max([seen, *own])])


def _job_differences(desk: Desk, job: Job | None, view: ViewRow | None) -> list[Difference]:
    """The view, and the job's own place in line. Entries at other places are met by the walk through the projections."""
    if job is None:
        return row_differences(view, None)
    own = projections.line_row(job)
    entry = desk.tables.get(LineRow, own.pk, own.sk)
    return [*row_differences(view, projections.view_row(job)), *row_differences(entry, place(job))]


def _entry_differences(desk: Desk, alias: str, sk: str) -> list[Difference]:
    """An entry in line, by the job that its key names: it belongs there, or to nobody."""
    pk = projections.line_pk(alias)
    entry, expected = desk.tables.get(LineRow, pk, sk), None
    job = _job(desk, _job_of((pk, sk)))
    if job is not None:
        own = place(job)
        expected = own if own is not None and (own.pk, own.sk) == (pk, sk) else None
    return row_differences(entry, expected)


def _model(desk: Desk, alias: str, cursor: Cursor) -> _Model:
    """Raises UnknownEvent where the model's own events cannot be read."""
    row = _slots_row(desk, alias)
    state = fold_model(alias, (recorded.event for recorded in desk.store.load(model_stream(alias))))
    ids = {job_id for job_id, model in cursor.live.items() if model == alias}
    if row is not None:
        slots, _ = slots_found(row)
        ids |= {job_of(holder_id) for holder_id in slots.holders}
    jobs, unknown = [], set()
    for job_id in sorted(ids):
        try:
            job = _job(desk, job_id)
        except (UnknownEvent, IllegalEvent, Damaged):
            unknown.add(job_id)
        else:
            jobs += [job] if job is not None else []
    return _Model(row, state, jobs, frozenset(unknown))


def _slots_row(desk: Desk, alias: str) -> SlotsRow | None:
    return desk.tables.get(SlotsRow, projections.slots_pk(alias), SLOTS_KEY)


def _repair(desk: Desk, target: Target) -> Left | bool:
    """Repair a job or an entry in line. True where something was written, False where nothing was wrong any more."""
    pk, sk = target
    name = pk.partition("#")[2]
    nothing = Cursor()  # neither a job nor an entry needs to know of the walk
    for tries in range(MAX_TRIES):
        seen = _look(desk, target, nothing)
        if not seen.differences:
            return False
        try:
            with one_job():
                if pk.startswith("line#"):
                    writes = _entry_repair(desk, name, sk)
                elif (pk, sk) == (projections.view_pk(name), VIEW_KEY):
                    writes = _job_repair(desk, name)
                else:
                    return Left(pk=pk, sk=sk, why="a row of no known kind: look at it, and remove it by hand if it is not needed")
                desk.store.commit(writes)
        except (ConditionFailed, Contended):
            desk.store.pause(tries)
        except (UnknownEvent, IllegalEvent, Damaged) as error:
            return Left(pk=pk, sk=sk, why=str(error))
        else:
            return True
    return Left(pk=pk, sk=sk, why=f"it changed {MAX_TRIES} times while it was read: run the rebuild again")


def _job_repair(desk: Desk, job_id: str) -> list[Write]:
    view = desk.tables.get(ViewRow, projections.view_pk(job_id), VIEW_KEY)
    events = _events(desk, job_id)
    job = fold(job_id, events)
    if job is not None:
        return projections.rebuilt_view(job, view, _as_counted(job_id, events, view))
    return projections.removed_ghost(ViewRow(pk=projections.view_pk(job_id), sk=VIEW_KEY), job_id, 0)


def _entry_repair(desk: Desk, alias: str, sk: str) -> list[Write]:
    """An entry at its own place is written with its job's view; any other is removed."""
    entry = LineRow(pk=projections.line_pk(alias), sk=sk)
    job_id = _job_of((entry.pk, sk))
    job = _job(desk, job_id)
    own = place(job) if job is not None else None
    if own is not None and (own.pk, own.sk) == (entry.pk, sk):
        return _job_repair(desk, job_id)
    return projections.removed_ghost(entry, job_id, job.version if job is not None else 0)


def _rebuild_model(desk: Desk, alias: str, cursor: Cursor, notes: list[str]) -> Left | bool:
    for tries in range(MAX_TRIES):
        try:
            model = _model(desk, alias, cursor)
        except (UnknownEvent, AttributeDeserializationError) as error:
            return _slots_left(alias, str(error))
        if not model.differences:
            return False
        try:
            left = _not_now(desk, model, cursor)
            if left is not None:
                return left
            _write_slots(desk, model, notes)
        except (ConditionFailed, Contended):
            desk.store.pause(tries)
        else:
            return True
    return _slots_left(alias, f"the slots changed {MAX_TRIES} times while they were read: run the rebuild again")


def _not_now(desk: Desk, model: _Model, cursor: Cursor) -> Left | None:
    """Why the slots must not be written now, None if they may. Raises ConditionFailed where the model changes meanwhile."""
    alias, row = model.state.model, model.row
    afresh = "run the rebuild again, from the beginning"
    met = cursor.paused.get(alias)
    if row is None:
        if met == OPEN:
            return _slots_left(alias, f"the slots of {alias} disappeared, unpaused, while the jobs were read: {afresh}")
        return None
    if not model.state.paused:
        return _slots_left(alias, f"model {alias} is not paused: `bbq pause {alias}`, then {afresh}")
    if not row.paused:
        desk.store.commit(projections.paused_again(row, model.state))
    if not row.paused or met != int(row.model_version or 0):
        return _slots_left(alias, f"model {alias} was not yet paused when its jobs were read: {afresh}")
    until = leases_until(slots_found(row)[0])
    if until is not None and until + CLOCK_MARGIN > desk.now():
        due = until + CLOCK_MARGIN
        return _slots_left(alias, f"a lease of {alias} runs: wait until {due.isoformat()}, then go on", due)
    return None


def _write_slots(desk: Desk, model: _Model, notes: list[str]) -> None:
    alias, row = model.state.model, model.row
    found = slots_found(row)[0] if row is not None else None
    now = desk.now() + CLOCK_MARGIN
    date = text_of(desk.now())[:10]
    over = desk.store.day(alias, date)
    slots = slots_from_events(
        model.state, model.jobs, found, longest_lease=desk.lease, now=now, unknown=model.unknown,
        ended=Day(date=date, jobs=over.get("slot_ends", 0), records=over.get("records", 0)),
    )  # fmt: skip
    desk.store.commit(projections.rebuilt_slots(row, slots))
    if row is None:
        notes.append(
            f"the slots of {alias} were missing; they were made anew, paused: `bbq resume {alias}` opens the model. "
            "What began today was counted from what ended today and what lives: a ceiling may be reached early"
        )
    if model.unknown:
        notes.append(f"jobs that cannot be read keep what they have in the slots of {alias}: {', '.join(sorted(model.unknown))}")


def _count_targets(cursor: Cursor) -> list[Target]:
    """Every row of counts that there is, or should be."""
    return [(pk, sk) for pk, _, sk in (key.partition(" ") for key in sorted({*cursor.counts, *cursor.changes}))]


def _recount(desk: Desk, target: Target, cursor: Cursor) -> list[Difference] | None:
    """What differs in a row of counts; None where it cannot be compared."""
    pk, sk = target
    row = desk.tables.get(CountRow, pk, sk)
    unreadable = sk.rpartition("#")[2] in map(str, cursor.unreadable)
    if unreadable or _changes(row) != cursor.changes.get(_together(target), 0):
        return None
    found, expected = numbers_of(row) if row is not None else {}, dict(cursor.counts.get(_together(target), {}))
    return [
        Difference(pk=pk, sk=sk, field=name, found=found.get(name, 0), expected=expected.get(name, 0))
        for name in sorted({*found, *expected})
        if found.get(name, 0) != expected.get(name, 0)
    ]


def _rebuild_count(desk: Desk, target: Target, cursor: Cursor, notes: list[str]) -> bool:
    pk, sk = target
    row = desk.tables.get(CountRow, pk, sk)
    differences = _recount(desk, target, cursor)
    try:
        if differences:
            desk.store.commit(projections.recounted(row, pk, sk, cursor.counts.get(_together(target), {})))
    except (ConditionFailed, Contended):
        differences = None
    if differences is None:
        notes.append(f"{pk} {sk} was not counted again: jobs moved meanwhile, or cannot be read; verify it in a quiet minute")
    return bool(differences)


def _together(target: Target) -> str:
    return " ".join(target)


def _changes(row: CountRow | None) -> int:
    return int(row.changes or 0) if row is not None else 0


def _wake(desk: Desk, cursor: Cursor) -> None:
    """By what is there, not by what this run did: so it is also done for a run that was killed before it came here."""
    for alias in cursor.models:
        try:
            row = _slots_row(desk, alias)
        except AttributeDeserializationError:
            continue
        for job_id in to_be_looked_up(slots_found(row)[0], desk.now()) if row is not None else []:
            desk.hints.wake_job(job_id)
    desk.hints.wake_model(ALL)


def _note(target: Target, outcome: Left | bool, done: list[Target], left: dict[Target, Left]) -> None:
    if isinstance(outcome, Left):
        left[target] = outcome
    elif outcome:
        done.append(target)


def _slots_left(alias: str, why: str, until: datetime | None = None) -> Left:
    return Left(pk=projections.slots_pk(alias), sk=SLOTS_KEY, why=why, until=until)


def _job_of(target: Target) -> str:
    """The job that a view's or a line entry's key names."""
    pk, sk = target
    return sk.rpartition("#")[2] if pk.startswith("line#") else pk.partition("#")[2]
