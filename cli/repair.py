"""When the worst has happened: is what is there what the events say (`verify`), and if not, make it so (`rebuild`).

Both read the whole of both tables, which no service ever does; a person starts them. `verify` only reads, beside a living
system. What differs is read again a little later, and reported if it differs the same way.

`rebuild` pauses every model first, so that no job can be claimed after it was read (R20). Uploads, cancels and ends go on:

- **A job** is repaired in a transaction that checks that the job has no newer event than those that were read. Whatever
  happens to it meanwhile is either in what is written or makes the write fail; then it is read again.
- **A model's slots** are written when no lease is running, and only if the item is exactly as it was read. Every answer,
  take-over, end and change of the model changes the item in one transaction with its event. If the model's own events have
  changed since the pause (a resume, a deployment), the slots are left. What becomes of a lost lease (R32): `expected.py`.
- **A row of counts** is written only if it counted nothing but repairs since the walk began (`CountRow.changes`).

In the end it resumes the models that it paused, which it knows by the reason of their pause (WHY): so a run that was killed is
made good by the next one. A model that a person has paused stays paused.

Memory: of most jobs nothing is kept but their share in the counts. About 150 bytes are kept for each job that holds a slot, 500
for each row of counts (eight for a model and day), and a few KB for each row that differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cli import expected
from cli.expected import Difference
from cli.scan import UNREADABLE_JOB, Damaged, RepairContext, one_job
from services.scheduler.hints import ALL
from shared import events as e
from shared import projections as p
from shared.counts import Numbers, added, counted, counts_pk, numbers_of, shard, to_be_tallied
from shared.job import APPENDED_BY_OTHERS, Job, fold
from shared.names import job_stream, model_stream
from shared.projections import SLOTS_KEY, VIEW_KEY
from shared.slots import Day, Slots, fold_model
from shared.store import VersionTaken
from shared.tables import PROJECTIONS, ConditionFailed, Contended, CountRow, LineRow, SlotsRow, Update, ViewRow, Write

WHY = "bbq rebuild is at work"  # of its own pauses
SETTLE_SECONDS = 10.0  # before what differed is read again: what is on its way arrives
MAX_DIFFERENT = 10_000  # rows that are kept to be read again
MAX_TRIES = 5  # of one repair, if others are faster
CLOCK_MARGIN = timedelta(minutes=1)  # between this machine's clock and Lambda's
AGAIN = "run the rebuild again"

# The key of a projection. A job's view stands for the whole job, a slots item for the whole model.
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What differs. Not `complete`: MAX_DIFFERENT rows do, and maybe more. `unsure`: sentences about what cannot be compared."""

    differences: tuple[Difference, ...]
    complete: bool
    streams: int
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild did. `left`: why a row that differs was not repaired. `notes`: what else a person must know or do now."""

    repaired: tuple[Key, ...]
    left: dict[Key, str]
    notes: tuple[str, ...]
    streams: int


def verify(context: RepairContext) -> Report:
    """Compare the projections with the fold of the events. Changes nothing."""
    walk, wrong, unsure = _Walk(context=context), dict[Key, list[Difference]](), list[str]()

    def compare(key: Key) -> _Seen:
        seen = _look(walk, key)
        if seen.differences:
            if len(wrong) < MAX_DIFFERENT:
                wrong[key] = seen.differences
        elif seen.why:
            unsure.append(f"{_words(key)}: {seen.why}")
        return seen

    _walk_rows(walk, compare)
    _walk_streams(walk, compare)
    for key in walk.sums:
        compare(key)
    if wrong:
        context.sleep(SETTLE_SECONDS)
    lasting = [each for key, first in wrong.items() for each in _look(walk, key).differences if each in first]
    complete = len(wrong) < MAX_DIFFERENT
    return Report(differences=tuple(lasting), complete=complete, streams=walk.streams, unsure=tuple(unsure))


def rebuild(context: RepairContext) -> Rebuilt:
    """Pause, make the projections equal to the fold again, and resume. Wake every job that was repaired or whose name must be
    looked up, and in the end every model; if a run before this one was killed, every job with anything left to do.
    """
    walk, done, left, notes = _Walk(context=context), list[Key](), dict[Key, str](), list[str]()

    def repair(key: Key) -> _Seen:
        seen = _repair(walk, key)
        if seen.repaired:
            done.append(key)
            notes.extend(seen.notes)
        elif seen.differences:
            left[key] = seen.why
        elif seen.why:
            notes.append(f"{_words(key)}: {seen.why}")
        job = seen.job
        if job is not None and (seen.repaired or (walk.goes_on and expected.unfinished(job, job.version))):
            context.hints.wake_job(job.id)
        return seen

    walk.models = dict.fromkeys(context.models)
    _walk_rows(walk, repair)
    for alias in walk.models:
        _pause(walk, alias)
    _walk_streams(walk, repair)
    for key in walk.sums:
        repair(key)
    for alias in walk.models:
        if not _resume(context, alias, slots_left=(p.slots_pk(alias), SLOTS_KEY) in left):
            notes.append(f"model {alias} stays paused: {AGAIN}, or `bbq resume {alias}`")
        _wake_due(context, alias)
    context.hints.wake_model(ALL)
    return Rebuilt(repaired=tuple(done), left=left, notes=tuple(notes), streams=walk.streams)


@dataclass(kw_only=True)
class _Walk:
    """What a walk has met. `models`, and how many events of each there were when it was paused (None: it was not). `live`: ids of
    jobs whose attempt holds a slot, or has ended and is to be tallied, by model. `counts`: what each row of counts should hold;
    `changes`: how often each was changed before the walk through the events began, and by repairs since then; of the shards in
    `unread` not every job can be read. `goes_on`: a run before this one was killed.
    """

    context: RepairContext
    models: dict[str, int | None] = field(default_factory=dict)
    live: dict[str, set[str]] = field(default_factory=dict)
    counts: dict[Key, Numbers] = field(default_factory=dict)
    changes: dict[Key, int] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    goes_on: bool = False
    streams: int = 0

    @property
    def sums(self) -> list[Key]:
        """What many jobs add up to, once all are known: slots and counts, those that are there and those that should be."""
        return [*((p.slots_pk(alias), SLOTS_KEY) for alias in self.models), *sorted({*self.counts, *self.changes})]


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One reading of a row or a job. `writes` would repair it, not before `until`; without them `why` says why not. `counted` is
    the `job` as the counts have it.
    """

    differences: list[Difference]
    writes: Sequence[Write] = ()
    until: datetime | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    job: Job | None = None
    counted: Job | None = None
    repaired: bool = False


def _walk_rows(walk: _Walk, visit: Callable[[Key], _Seen]) -> None:
    """Through the projections: places in line, and rows that no event asks for. Everything else is met with its events."""
    for pk, text in walk.context.keys(PROJECTIONS):
        sk, (kind, _, name) = str(text), pk.partition("#")
        if (kind, sk) == ("slots", SLOTS_KEY):
            walk.models.setdefault(name)
        elif kind == "counts":
            walk.changes[pk, sk] = 0
        elif (kind, sk) != ("job", VIEW_KEY) or not _has_events(walk.context, name):
            visit((pk, sk))


def _walk_streams(walk: _Walk, visit: Callable[[Key], _Seen]) -> None:
    """Through the events, job by job; and what the jobs add up to."""
    for key in walk.changes:
        walk.changes[key] = _changes(walk.context.tables.get(CountRow, *key))
    for stream in walk.context.streams():
        kind, _, name = stream.partition("#")
        walk.streams += 1
        if kind == "model":
            walk.models.setdefault(name)
            continue
        seen = visit((stream, VIEW_KEY))  # of no known kind, if it is not a job's
        if seen.job is None:
            walk.unread.add(shard(name))
        elif expected.alive(seen.job) or to_be_tallied(seen.job):
            walk.models.setdefault(seen.job.model)
            walk.live.setdefault(seen.job.model, set()).add(seen.job.id)
        if seen.counted is not None and (row := counted(seen.counted))[1]:
            key = (counts_pk(seen.counted.model), row[0])
            walk.counts[key] = added([walk.counts.get(key, {}), row[1]])


def _repair(walk: _Walk, key: Key) -> _Seen:
    """The last reading of something, which is repaired if it can be."""
    context = walk.context
    for tries in range(MAX_TRIES):
        seen = _look(walk, key)
        if not seen.differences or not seen.writes:
            return seen
        if seen.until is not None:
            context.say(f"waiting until {seen.until:%H:%M:%S} UTC for a lease on {key[0]}: a job may be on its way to Bedrock")
            context.sleep((seen.until - context.now()).total_seconds())
            continue
        try:
            with one_job():
                context.store.commit(seen.writes)
        except (ConditionFailed, Contended):
            context.store.pause(tries)
        except Damaged as error:
            return replace(seen, why=str(error))
        else:
            for write in seen.writes:
                if isinstance(write, Update) and isinstance(write.row, CountRow):
                    row = (write.row.pk, write.row.sk)
                    walk.changes[row] = walk.changes.get(row, 0) + 1
            return replace(seen, counted=seen.job, repaired=True)
    return replace(seen, why=f"it changed {MAX_TRIES} times while it was read: {AGAIN}")


def _wake_due(context: RepairContext, alias: str) -> None:
    """Wake every job whose name must be looked up at Bedrock."""
    try:
        found = expected.slots_found(_slots_row(context, alias))
    except Damaged:
        return
    for job_id in expected.to_be_looked_up(found, context.now()) if found is not None else ():
        context.hints.wake_job(job_id)


# One reading.


def _look(walk: _Walk, key: Key) -> _Seen:
    (pk, sk), (kind, _, name) = key, key[0].partition("#")
    try:
        with one_job():
            match kind, sk:
                case "job", p.VIEW_KEY:
                    return _look_at_job(walk.context, name)
                case "line", _:
                    return _look_at_entry(walk.context, name, sk)
                case "slots", p.SLOTS_KEY:
                    return _look_at_slots(walk, name)
                case "counts", _:
                    return _look_at_count(walk, key)
                case _:
                    unknown = Difference(pk=pk, sk=sk, found="a row of no known kind")
                    return _Seen(differences=[unknown], why="look at it, and remove it by hand if it is not needed")
    except UNREADABLE_JOB as error:
        unreadable = Difference(pk=pk, sk=sk, found=f"{expected.UNREADABLE}: {error}", expected="what this code can read")
        return _Seen(differences=[unreadable], why=str(error))


def _look_at_job(context: RepairContext, job_id: str) -> _Seen:
    """The view, and the job's own place in line. Entries at other places are met by the walk through the projections."""
    events = _events(context, job_id)
    job, view = fold(job_id, events), context.tables.get(ViewRow, p.view_pk(job_id), VIEW_KEY)
    if job is None:
        ghost = ViewRow(pk=p.view_pk(job_id), sk=VIEW_KEY)
        return _Seen(differences=expected.row_differences(view, None), writes=expected.removed_ghost(ghost, job_id, 0))
    # The counts have it as far as its view has seen it, and at least up to the last event that came with its own projection,
    # whatever has become of the view since.
    own = [version for version, event in enumerate(events, 1) if event.NAME not in APPENDED_BY_OTHERS]
    was = fold(job_id, events[: max([int(view.version or 0) if view is not None else 0, *own])])
    line = p.line_row(job)
    entry = context.tables.get(LineRow, line.pk, line.sk)
    differences = expected.row_differences(view, p.view_row(job)) + expected.row_differences(entry, expected.place(job))
    return _Seen(differences=differences, writes=expected.rebuilt_view(job, view, was), job=job, counted=was)


def _look_at_entry(context: RepairContext, alias: str, sk: str) -> _Seen:
    """An entry in line, by the job that its key names: its own place, which is looked at with the job, or a ghost."""
    entry, job_id = LineRow(pk=p.line_pk(alias), sk=sk), sk.rpartition("#")[2]
    job = fold(job_id, _events(context, job_id))
    own = expected.place(job) if job is not None else None
    if own is not None and (own.pk, own.sk) == (entry.pk, sk):
        return _Seen(differences=[])
    ghost = expected.removed_ghost(entry, job_id, job.version if job is not None else 0)
    return _Seen(differences=expected.row_differences(context.tables.get(LineRow, entry.pk, sk), None), writes=ghost, job=job)


def _look_at_slots(walk: _Walk, alias: str) -> _Seen:
    """A model's item first, then everything that the item should follow from. Raises UnknownEvent if the model's own events
    cannot be read, Damaged if its item cannot.
    """
    context, jobs, unknown, notes = walk.context, list[Job](), set[str](), list[str]()
    row = _slots_row(context, alias)
    found = expected.slots_found(row)
    state = fold_model(alias, _model_events(context, alias))
    for job_id in sorted({*walk.live.get(alias, ()), *map(expected.job_of, found.holders if found is not None else ())}):
        try:
            with one_job():
                job = fold(job_id, _events(context, job_id))
            jobs += [job] if job is not None else []
        except UNREADABLE_JOB:
            unknown.add(job_id)
    differences = expected.slots_differences(state, jobs, row, unknown=unknown)
    if not differences or (row is not None and walk.models.get(alias) != state.model_version):
        why = f"it was changed, or not paused, while jobs were read: {AGAIN}" if differences else ""
        return _Seen(differences=differences, why=why)
    today = e.text_of(context.now())[:10]
    over = context.store.day(alias, today)
    ended = Day(date=today, jobs=over.get("slot_ends", 0), records=over.get("records", 0))
    slots = expected.slots_from_events(state, jobs, found, longest_lease=context.lease, unknown=unknown, ended=ended)
    if found is None:
        notes.append(f"the slots of {alias} were lost. What began today was counted from what ended and what lives, or higher")
    if unknown:
        notes.append(f"jobs that cannot be read keep what they have in the slots of {alias}: {', '.join(sorted(unknown))}")
    writes, until = expected.rebuilt_slots(row, slots), _leased_until(context, found)
    return _Seen(differences=differences, writes=writes, until=until, notes=tuple(notes))


def _slots_row(context: RepairContext, alias: str) -> SlotsRow | None:
    with one_job():
        return context.tables.get(SlotsRow, p.slots_pk(alias), SLOTS_KEY)


def _leased_until(context: RepairContext, slots: Slots | None) -> datetime | None:
    """Until when an invocation may be in Create, by the clock of this machine; None if none may."""
    now, until = context.now(), expected.leases_until(slots) if slots is not None else None
    if until is None or until + CLOCK_MARGIN <= now:
        return None
    return min(until, now + context.lease) + CLOCK_MARGIN  # no lease is longer


def _look_at_count(walk: _Walk, key: Key) -> _Seen:
    row, should = walk.context.tables.get(CountRow, *key), walk.counts.get(key, {})
    if key[1].rpartition("#")[2] in map(str, walk.unread):
        return _Seen(differences=[], why="a job that it may count cannot be read")
    if _changes(row) != walk.changes.get(key, 0):
        return _Seen(differences=[], why="it changed while the jobs were read: look again in a quiet minute")
    found = numbers_of(row) if row is not None else {}
    zeros = dict.fromkeys([*found, *should], 0)
    return _Seen(
        differences=expected.field_differences(*key, zeros | found, zeros | should), writes=expected.recounted(row, *key, should)
    )


def _events(context: RepairContext, job_id: str) -> list[e.Event]:
    """The job's events. Raises UnknownEvent, Damaged."""
    recorded = context.store.load(job_stream(job_id))
    if [each.version for each in recorded] != list(range(1, len(recorded) + 1)):
        raise Damaged(f"the events of job {job_id} are not 1 to {len(recorded)}")
    return [each.event for each in recorded]


def _model_events(context: RepairContext, alias: str) -> list[e.Event]:
    return [recorded.event for recorded in context.store.load(model_stream(alias))]


def _has_events(context: RepairContext, job_id: str) -> bool:
    try:
        with one_job():
            return context.store.exists(job_stream(job_id))
    except Damaged:  # there is one, and it cannot be read
        return True


def _changes(row: CountRow | None) -> int:
    return int(row.changes or 0) if row is not None else 0


def _words(key: Key) -> str:
    return f"{key[0]} / {key[1]}"


# Pauses.


def _pause(walk: _Walk, alias: str) -> None:
    """Pause a model, by its events and in its item, unless it is. One that has neither has nothing to pause."""
    context = walk.context
    for tries in range(MAX_TRIES):
        try:
            row, events = _slots_row(context, alias), _model_events(context, alias)
        except UNREADABLE_JOB:
            return
        state, writes = fold_model(alias, events), list[Write]()
        if not state.paused and (events or row is not None):
            event = e.ModelPaused(at=context.now(), by=context.by, why=WHY)
            state = fold_model(alias, [*events, event])
            writes.append(p.append_to_model(alias, state.model_version, event))
        if row is not None and (not row.paused or row.model_version != state.model_version):
            writes += expected.paused_item(row, state)
        try:
            if writes:
                context.store.commit(writes)
        except (ConditionFailed, Contended):
            context.store.pause(tries)
        else:
            walk.models[alias] = state.model_version
            walk.goes_on |= _is_own_pause(events)
            return


def _resume(context: RepairContext, alias: str, *, slots_left: bool) -> bool:
    """Resume a model that this run, or a killed one, has paused. False if it stays paused: slots that are left as they are may
    let too many in.
    """
    for tries in range(MAX_TRIES):
        try:
            events = _model_events(context, alias)
        except UNREADABLE_JOB:
            return True  # and so it was not paused
        if not _is_own_pause(events):
            return True
        if slots_left:
            break
        try:
            context.store.append_to_model(alias, len(events) + 1, e.ModelResumed(at=context.now(), by=context.by, why=WHY))
        except VersionTaken:
            context.store.pause(tries)
        else:
            return True
    return False


def _is_own_pause(events: Sequence[e.Event]) -> bool:
    """Whether the model is paused, and by rebuilds alone."""
    resumed = max((number for number, event in enumerate(events, 1) if isinstance(event, e.ModelResumed)), default=0)
    return {event.why for event in events[resumed:] if isinstance(event, e.ModelPaused)} == {WHY}
