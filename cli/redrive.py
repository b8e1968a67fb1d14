"""What was dropped is picked up again: unfinished jobs are woken (`wake_unfinished`), dead letters
are sent again (`redrive`).

Hints may come twice and late, so all of this may be done at any time, and done again.

**The stream's failures are not letters.** A message in `<name>-stream-failures` names a range of
the stream (shard, first and last sequence number), not the records, and the stream forgets a record
after 24 hours: when a person comes to look, what the message names may be gone. The events
themselves are in the table for ever, and all that such a record could have said is "look at this
job", or model. So each unfinished job and every model is looked at, found from the events, and only
then are the messages deleted: those that were sent before the walk began. What they name was
appended before they were sent, so the walk, which reads consistently, has met it.
"""

from collections.abc import Callable
from datetime import timedelta

from bbq.cli.expected import unfinished
from bbq.cli.scan import Damaged, RepairContext, one_job
from bbq.cli.sqs import MAX_RECEIVED, Message, Queue
from bbq.cli.wording import counted
from bbq.services.scheduler.hints import ALL
from bbq.shared.events import UnknownEvent
from bbq.shared.job import APPENDED_BY_OTHERS, OVER, IllegalEvent, fold
from bbq.shared.names import job_stream

EMPTY_RECEIVES = 3  # in a row: then the queue is taken to be empty
DEFAULT_PER_SECOND = 10.0  # messages or hints
CLOCK_MARGIN = timedelta(minutes=1)  # between this machine's clock and SQS's


def wake_unfinished(context: RepairContext) -> int:
    """Send a hint for every job with anything left to do, found from the events and not from the
    index. Answers how many jobs.

    "Anything left" is more than "not ended": over, but not projected, tallied or tried again,
    counts too (`unfinished`).
    """
    woken = 0
    for stream in context.streams():
        kind, _, job_id = stream.partition("#")
        if kind == "job" and _unfinished(context, job_id):
            context.hints.wake_job(job_id)
            context.sleep(1 / DEFAULT_PER_SECOND)
            woken += 1
    return woken


def redrive(
    dead: Queue,
    source: Queue,
    *,
    most: int,
    sleep: Callable[[float], None],
    tell: Callable[[str], None] = lambda _: None,
    per_second: float = DEFAULT_PER_SECOND,
) -> int:
    """Move dead letters back to the queue they were for, at most `most` and no more than are there
    now, so that a letter which dies again does not go round for ever. Answers how many. Sent first,
    then deleted: never lost, at worst there twice.
    """

    def again(message: Message) -> bool:
        source.send(message.body)  # nobody reads a message's attributes
        return True

    return _drain(dead, again, most=most, sleep=sleep, tell=tell, per_second=per_second)


def redrive_stream_failures(context: RepairContext, failures: Queue, *, most: int) -> int:
    """Wake every unfinished job and every model, and then delete the messages that were sent
    before. Answers how many; later ones stay.
    """
    if not failures.depth():
        return 0
    began = context.now()
    wake_unfinished(context)
    context.hints.wake_model(ALL)
    return _drain(
        failures,
        lambda message: message.sent_at < began - CLOCK_MARGIN,
        most=most,
        sleep=context.sleep,
    )


def _unfinished(context: RepairContext, job_id: str) -> bool:
    """By the events. The view is asked only where the last event is one that is projected by
    somebody else than its author.
    """
    try:
        with one_job():
            job = fold(
                job_id, (recorded.event for recorded in context.store.load(job_stream(job_id)))
            )
            if job is None:
                return False
            asked = job.status in OVER and job.latest in APPENDED_BY_OTHERS
            return unfinished(job, context.store.view_version(job_id) if asked else job.version)
    except UnknownEvent:
        return True  # newer code may read it
    except (IllegalEvent, Damaged):
        return False  # a hint would only come back: `verify` names it


def _drain(
    queue: Queue,
    handle: Callable[[Message], bool],
    *,
    most: int,
    sleep: Callable[[float], None],
    tell: Callable[[str], None] = lambda _: None,
    per_second: float = DEFAULT_PER_SECOND,
) -> int:
    """Receive, `handle`, and delete what it said True to, for as many messages as there are now.
    Answers how many it deleted.
    """
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
        tell(counted(deleted, "letter"))
    return deleted
