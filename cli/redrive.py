"""What was dropped, picked up again: unfinished jobs are woken (`reconcile_jobs`), dead letters are sent once more (`redrive`).

Hints may come twice and late, so all of this may be done at any time, and done again.

**The stream's failures are not letters.** A message in `<name>-stream-failures` names a range of the stream (shard, first and
last sequence number), not the records, and the stream forgets a record after 24 hours: when a person comes to look, what the
message names may be gone. The events themselves are in the table for ever, and all that such a record could have said is "look
at this job", or model. So each unfinished job and every model is looked at, found from the events, and only then are the
messages deleted: those that were sent before the walk began. What they name was appended before they were sent, so the walk,
which reads consistently, has met it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from cli.walk import Cursor, Damaged, Desk, Target, one_job, walk
from services.scheduler.hints import ALL
from shared.events import UnknownEvent
from shared.job import APPENDED_BY_OTHERS, OVER, IllegalEvent, fold
from shared.names import job_stream
from shared.projections import VIEW_KEY
from shared.rebuild import unfinished
from shared.tables import EVENTS

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_RECEIVED = 10  # SQS's own limit of one receive
WAIT_SECONDS = 2  # of one receive: a short one asks only some of SQS's servers
HIDE_SECONDS = 300  # a received message is ours for so long
EMPTY_RECEIVES = 3  # in a row: then the queue is taken to be empty
DEFAULT_PER_SECOND = 10.0  # messages or hints
CLOCK_MARGIN = timedelta(minutes=1)  # between this machine's clock and SQS's


@dataclass(frozen=True, kw_only=True)
class Message:
    """A received message. `sent_at` is SQS's time of the first sending to this queue."""

    body: str
    receipt: str
    sent_at: datetime


class Queue(Protocol):
    """One queue. `depth` is approximate, and does not count what somebody has received and not deleted."""

    def depth(self) -> int: ...
    def receive(self, most: int) -> list[Message]: ...
    def send(self, body: str) -> None: ...
    def delete(self, message: Message) -> None: ...


def reconcile_jobs(desk: Desk, job: str | None = None, cursor: Cursor | None = None) -> int:
    """Send a hint for one job, or for every job with anything left to do, found from the events and not from the index, and one
    for all models. Answers how many jobs were woken by this call. `cursor`: go on from there.

    "Anything left" is more than "not ended": over, but not projected, tallied or tried again, counts too (`rebuild.unfinished`).
    """
    if job is not None:
        desk.hints.wake_job(job)
        desk.hints.wake_model(ALL)
        return 1
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
    desk.hints.wake_model(ALL)
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
    reconcile_jobs(desk, cursor=cursor)
    return _drain(failures, lambda message: message.sent_at < began - CLOCK_MARGIN, most=most, sleep=desk.sleep)


class SqsQueue:
    """`Queue` on SQS. IAM: sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:SendMessage and sqs:DeleteMessage on it."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def depth(self) -> int:
        """See Queue."""
        answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def receive(self, most: int) -> list[Message]:
        """See Queue."""
        answer = self._client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=min(most, MAX_RECEIVED), WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=HIDE_SECONDS, MessageSystemAttributeNames=["SentTimestamp"],
        )  # fmt: skip
        return [
            Message(
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            )
            for message in answer.get("Messages", [])
        ]

    def send(self, body: str) -> None:
        """See Queue."""
        self._client.send_message(QueueUrl=self._url, MessageBody=body)

    def delete(self, message: Message) -> None:
        """See Queue."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)


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
