"""What was dropped is picked up again: unfinished jobs are woken (`wake_unfinished`), dead letters are sent again (`redrive`).

Hints may come twice and late, so all of this may be done at any time, and done again.

**The stream's failures are not letters.** A message in `<name>-stream-failures` names a range of the stream (shard, first and
last sequence number), not the records, and the stream forgets a record after 24 hours: when a person comes to look, what the
message names may be gone. The events themselves are in the table for ever, and all that such a record could have said is "look
at this job", or model. So each unfinished job and every model is looked at, found from the events, and only then are the
messages deleted: those that were sent before the walk began. What they name was appended before they were sent, so the walk,
which reads consistently, has met it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cli.sqs import MAX_RECEIVED, Message, Queue
from cli.walk import Cursor, Damaged, Desk, Target, one_job, walk
from services.scheduler.hints import ALL
from shared.events import UnknownEvent
from shared.job import APPENDED_BY_OTHERS, OVER, IllegalEvent, fold
from shared.names import job_stream
from shared.projections import VIEW_KEY
from shared.rebuild import unfinished
from shared.tables import EVENTS

EMPTY_RECEIVES = 3  # in a row: then the queue is taken to be empty
DEFAULT_PER_SECOND = 10.0  # messages or hints
CLOCK_MARGIN = timedelta(minutes=1)  # between this machine's clock and SQS's


def reconcile_jobs(desk: Desk, cursor: Cursor | None = None) -> int:
    """As `wake_unfinished`, and send a hint for all models."""
    woken = wake_unfinished(desk, cursor)
    desk.hints.wake_model(ALL)
    return woken


def wake_unfinished(desk: Desk, cursor: Cursor | None = None) -> int:
    """Send a hint for every job with anything left to do, found from the events and not from the index. Answers how many jobs
    were woken by this call. `cursor`: go on from there.

    "Anything left" is more than "not ended": over, but not projected, tallied or tried again, counts too (`rebuild.unfinished`).
    """
    woken = 0

    def visit(here: Cursor, targets: Sequence[Target]) -> Cursor:
        nonlocal woken
        jobs = [pk.partition("#")[2] for pk, sk in targets if sk == VIEW_KEY]
        due = [job_id for job_id in jobs if _unfinished(desk, job_id)]
        for job_id in due:
            desk.hints.wake_job(job_id)
            desk.sleep(1 / DEFAULT_PER_SECOND)
        woken += len(due)
        return replace(here, jobs=here.jobs + len(jobs))

    walk(desk, cursor or Cursor(table=EVENTS, began=desk.now().isoformat()), visit)
    return woken


def redrive(
    dead: Queue, source: Queue, *, most: int, sleep: Callable[[float], None],
    progress: Callable[[int], None] = lambda _: None, per_second: float = DEFAULT_PER_SECOND,
) -> int:  # fmt: skip
    """Move dead letters back to the queue they were for, at most `most` and no more than are there now, so that a letter which
    dies again does not go round for ever. Answers how many. Sent first, then deleted: never lost, at worst there twice.
    """

    def again(message: Message) -> bool:
        source.send(message.body)  # nobody reads a message's attributes
        return True

    return _drain(dead, again, most=most, sleep=sleep, progress=progress, per_second=per_second)


def redrive_stream_failures(desk: Desk, failures: Queue, *, most: int, cursor: Cursor | None = None) -> int:
    """Wake every unfinished job, and then delete the messages that were sent before. Answers how many; later ones stay.

    With the `cursor` of a run that was broken off: go on from there, with its beginning.
    """
    if not failures.depth():
        return 0
    cursor = cursor or Cursor(table=EVENTS, began=desk.now().isoformat())
    began = datetime.fromisoformat(cursor.began or desk.now().isoformat())
    reconcile_jobs(desk, cursor)
    return _drain(failures, lambda message: message.sent_at < began - CLOCK_MARGIN, most=most, sleep=desk.sleep)


def _unfinished(desk: Desk, job_id: str) -> bool:
    """By the events. The view is asked only where the last event is one that is projected by somebody else than its author."""
    try:
        with one_job():
            job = fold(job_id, (recorded.event for recorded in desk.store.load(job_stream(job_id))))
            if job is None:
                return False
            asked = job.status in OVER and job.latest in APPENDED_BY_OTHERS
            return unfinished(job, desk.store.view_version(job_id) if asked else job.version)
    except UnknownEvent:
        return True  # newer code may read it
    except (IllegalEvent, Damaged):
        return False  # a hint would only come back: `verify` names it


def _drain(
    queue: Queue, handle: Callable[[Message], bool], *, most: int, sleep: Callable[[float], None],
    progress: Callable[[int], None] = lambda _: None, per_second: float = DEFAULT_PER_SECOND,
) -> int:  # fmt: skip
    """Receive, `handle`, and delete what it said True to, for as many messages as there are now. Answers how many it deleted."""
    bound = min(most, queue.depth())
    received = deleted = empty = 0
    while received < bound and empty < EMPTY_RECEIVES:
        messages = queue.receive(min(MAX_RECEIVED, bound - received))
        empty = 0 if messages else empty + 1
        received += len(messages)
        for message in messages:
            if handle(message):
                queue.delete(message)
                deleted += 1
            sleep(1 / per_second)
        progress(deleted)
    return deleted
