"""When the worst has happened: is what is there what the events say (`verify`), and if not, make it
so (`rebuild`).

Both read the whole of both tables, which no service ever does; a person starts them. `verify` only
reads, beside a living system. What differs is read again a little later, and reported if it differs
the same way.

`rebuild` removes rows that no event asks for, then pauses every model, so that no job can be
claimed after it was read (R20). Uploads, cancels and ends go on:

- **A job** is repaired in a transaction that checks that the job has no newer event than those that
  were read. Whatever happens to it meanwhile is either in what is written or makes the write fail;
  then it is read again.
- **A model's slots** are written when no lease is running, and only if the item is exactly as it
  was read. Every answer, take-over, end and change of the model changes the item in one transaction
  with its event. If the model's own events have changed since the pause (a resume, a deployment),
  the slots are left. What becomes of a lost lease (R32): `expected.py`.
- **A row of counts** is written only if it counted nothing but repairs since the walk began
  (`CountRow.changes`).

In the end it resumes the models that it paused, known by the reason of their pause (REBUILDING): so
a run that was killed is made good by the next one. A model that a person has paused stays paused.

Memory: of most jobs nothing is kept but their share in the counts. About 200 bytes are kept for
each job that holds a slot, 1 KB for each row of counts (eight for a model and day), and a few KB
for each row that differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bbq.cli import expected
from bbq.cli.expected import Difference
from bbq.cli.look import (
    AGAIN,
    Key,
    Seen,
    Walk,
    changes,
    has_events,
    look,
    model_events,
    slots_row,
)
from bbq.cli.scan import UNREADABLE_JOB, Damaged, RepairContext, one_job
from bbq.services.scheduler.hints import ALL
from bbq.shared import appends, rows
from bbq.shared import events as e
from bbq.shared.counts import added, counted, counts_pk, shard, to_be_tallied
from bbq.shared.job import Job
from bbq.shared.rows import SLOTS_KEY, VIEW_KEY
from bbq.shared.slots import REBUILDING, fold_model
from bbq.shared.store import VersionTaken
from bbq.shared.tables import PROJECTIONS, ConditionFailed, Contended, CountRow, Update, Write

SETTLE_SECONDS = 10.0  # before what differed is read again: what is on its way arrives
MAX_DIFFERENT = 10_000  # rows that are kept to be read again
MAX_TRIES = 5  # of one repair, if others are faster


@dataclass(frozen=True, kw_only=True)
class Report:
    """What differs. Not `complete`: MAX_DIFFERENT rows do, and maybe more."""

    differences: tuple[Difference, ...]
    complete: bool
    streams: int


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild did. `left`: why a row that differs was not repaired."""

    repaired: tuple[Key, ...]
    left: dict[Key, str]
    streams: int


def verify(context: RepairContext) -> Report:
    """Compare the projections with the fold of the events. Changes nothing. Says what cannot be
    compared now.
    """
    walk, wrong = Walk(context=context), dict[Key, list[Difference]]()

    def compare(key: Key) -> Seen:
        seen = look(walk, key)
        if seen.differences and len(wrong) < MAX_DIFFERENT:
            wrong[key] = seen.differences
        return seen

    _walk_rows(walk, compare)
    _walk_streams(walk, compare)
    for key in walk.sums:
        compare(key)
    if wrong:
        context.sleep(SETTLE_SECONDS)
    lasting = [
        each
        for key, first in wrong.items()
        for each in look(walk, key).differences
        if each in first
    ]
    return Report(
        differences=tuple(lasting), complete=len(wrong) < MAX_DIFFERENT, streams=walk.streams
    )


def rebuild(context: RepairContext) -> Rebuilt:
    """Pause, make the projections equal to the fold again, and resume. Wake every job that was
    repaired or whose name must be looked up, and in the end every model; if a run before this one
    was killed, every job with anything left to do. Says what it waits for, and what else a person
    must know.
    """
    walk, done, left = Walk(context=context), list[Key](), dict[Key, str]()

    def repair(key: Key) -> Seen:
        seen = _repair(walk, key)
        if seen.repaired:
            done.append(key)
        elif seen.differences:
            left[key] = seen.why
        job = seen.job
        if job is not None and (
            seen.repaired or (walk.goes_on and expected.unfinished(job, job.version))
        ):
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
        _finish(walk, alias, done, left)
    context.hints.wake_model(ALL)
    return Rebuilt(repaired=tuple(done), left=left, streams=walk.streams)


def _finish(walk: Walk, alias: str, done: Sequence[Key], left: Mapping[Key, str]) -> None:
    """Resume a model, and wake whoever may have missed something meanwhile."""
    context = walk.context
    if not _resume(context, alias, slots_left=(rows.slots_pk(alias), SLOTS_KEY) in left):
        context.say(f"model {alias} stays paused: {AGAIN}, or `bbq resume {alias}`")
    if (rows.slots_pk(alias), SLOTS_KEY) in done:  # an end may have been told while they were lost
        for job_id in sorted(walk.live.get(alias, ())):
            if (rows.view_pk(job_id), VIEW_KEY) not in left:
                context.hints.wake_job(job_id)
    _wake_due(context, alias)


def _walk_rows(walk: Walk, visit: Callable[[Key], Seen]) -> None:
    """Through the projections: places in line, and rows that no event asks for. Everything else is
    met with its events.
    """
    for pk, text in walk.context.keys(PROJECTIONS):
        sk, (kind, _, name) = str(text), pk.partition("#")
        if (kind, sk) == ("slots", SLOTS_KEY):
            walk.models.setdefault(name)
        elif kind == "counts":
            walk.changes[pk, sk] = 0
        elif (kind, sk) != ("job", VIEW_KEY) or not has_events(walk.context, name):
            visit((pk, sk))


def _walk_streams(walk: Walk, visit: Callable[[Key], Seen]) -> None:
    """Through the events, job by job; and what the jobs add up to."""
    for key in walk.changes:
        walk.changes[key] = changes(walk.context.tables.get(CountRow, *key))
    for stream in walk.context.streams():
        kind, _, name = stream.partition("#")
        walk.streams += 1
        if kind == "model":
            walk.models.setdefault(name)
            continue
        seen = visit((stream, VIEW_KEY))  # of no known kind, if it is not a job's
        if seen.counted is None:
            walk.unread.add(shard(name))
        if seen.job is not None:
            _remember(walk, seen.job)
        elif kind == "job":
            walk.hidden.add(name)
        if seen.counted is not None and (row := counted(seen.counted))[1]:
            key = (counts_pk(seen.counted.model), row[0])
            walk.counts[key] = added([walk.counts.get(key, {}), row[1]])


def _remember(walk: Walk, job: Job) -> None:
    """What the slots of its model need to know of a job."""
    read = max(0, *job.failed_under, *job.refused_under, walk.readings.get(job.model, 0))
    walk.readings[job.model] = read
    if expected.alive(job) or job.may_be_at_bedrock or to_be_tallied(job):
        walk.models.setdefault(job.model)
        walk.live.setdefault(job.model, set()).add(job.id)


def _repair(walk: Walk, key: Key) -> Seen:
    """The last reading of something, which is repaired if it can be."""
    context = walk.context
    for tries in range(MAX_TRIES):
        seen = look(walk, key)
        if not seen.differences or not seen.writes:
            return seen
        if seen.until is not None:
            context.say(
                f"waiting until {seen.until:%H:%M:%S} UTC for a lease on {key[0]}: a job may be on "
                "its way to Bedrock"
            )
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
            for note in seen.notes:
                context.say(note)
            for write in seen.writes:
                if isinstance(write, Update) and isinstance(write.row, CountRow):
                    row = (write.row.pk, write.row.sk)
                    walk.changes[row] = walk.changes.get(row, 0) + 1
            return replace(seen, counted=seen.job, repaired=True)
    return replace(seen, why=f"it changed {MAX_TRIES} times while it was read: {AGAIN}")


def _wake_due(context: RepairContext, alias: str) -> None:
    """Wake every job whose name must be looked up at Bedrock."""
    try:
        found = expected.slots_found(slots_row(context, alias))
    except Damaged:
        return
    for job_id in expected.to_be_looked_up(found, context.now()) if found is not None else ():
        context.hints.wake_job(job_id)


# Pauses.


def _pause(walk: Walk, alias: str) -> None:
    """Pause a model, by its events and in its item, unless it is. One that has neither has nothing
    to pause.
    """
    context = walk.context
    for tries in range(MAX_TRIES):
        try:
            row, events = slots_row(context, alias), model_events(context, alias)
        except UNREADABLE_JOB:
            return
        state, writes = fold_model(alias, events), list[Write]()
        if not state.paused and (events or row is not None):
            event = e.ModelPaused(at=context.now(), by=context.by, why=REBUILDING)
            state = fold_model(alias, [*events, event])
            writes.append(appends.append_to_model(alias, state.model_version, event))
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
    """Resume a model that this run, or a killed one, has paused. False if it stays paused: slots
    that are left as they are may let too many in.
    """
    for tries in range(MAX_TRIES):
        try:
            events = model_events(context, alias)
        except UNREADABLE_JOB:
            return True  # and so it was not paused
        if not _is_own_pause(events):
            return True
        if slots_left:
            break
        try:
            context.store.append_to_model(
                alias,
                len(events) + 1,
                e.ModelResumed(at=context.now(), by=context.by, why=REBUILDING),
            )
        except VersionTaken:
            context.store.pause(tries)
        else:
            return True
    return False


def _is_own_pause(events: Sequence[e.Event]) -> bool:
    """Whether the model is paused, and by rebuilds alone."""
    resumed = max(
        (number for number, event in enumerate(events, 1) if isinstance(event, e.ModelResumed)),
        default=0,
    )
    return {event.why for event in events[resumed:] if isinstance(event, e.ModelPaused)} == {
        REBUILDING
    }
