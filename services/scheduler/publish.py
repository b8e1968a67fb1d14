"""Notifications: what is published to the SNS topic of events, and the call that does it
(docs/events.md).

The stream's handler publishes each event of `PUBLISHED` after it has done the job's own work. What
SNS does not take becomes a hint that names the event, and the hints queue tries again with growing
delays: so a topic that cannot be reached costs a job nothing. A message may be published twice.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from bbq.shared import events as e
from bbq.shared.tables import EventRow

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

PUBLISHED = frozenset(
    {e.JobQueued.NAME, e.JobRejected.NAME, e.JobEnded.NAME, e.JobTallied.NAME, e.JobCancelled.NAME}
)
# Of these: after those the scheduler has nothing to do, so that the stream delivers them for
# the topic alone.
ONLY_PUBLISHED = frozenset({e.JobEnded.NAME, e.JobTallied.NAME})
CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 1, 2
REST_SECONDS = 60.0  # after a call without an answer: such calls take the time of an invocation


class NotPublished(Exception):
    """SNS did not take the message, or its answer was lost."""


def is_published(name: str, outcome: str) -> bool:
    """Whether people want to hear of an event of this name, whose row has this outcome: of a cancel
    only if it ends a job, which had failed and was about to be queued again.
    """
    return name in PUBLISHED or (name == e.CancelRequested.NAME and bool(outcome))


def message(row: EventRow) -> dict[str, str]:
    """The message of an event. Every value is a string: keys, owners and reasons stay data,
    whatever they hold.

    At most some 70 KB, of a rejection with 100 problems; SNS takes 256 KB (SNS API reference,
    Publish).
    """
    return {
        "job": row.job,
        "model": row.model,
        "status": row.status,
        "outcome": row.outcome,
        "owner": row.owner,
        "key": row.key,
        "event": row.name,
        "version": str(int(row.version)),
        "at": row.at,
        "data": json.dumps(row.data),
    }


def row_of(image: Mapping[str, Any]) -> EventRow:
    """The event in the NewImage of a stream's record. Raises ValueError if it is none of ours."""
    row = EventRow()
    row.from_dynamodb_dict(dict(image))
    if row.at is None or row.data is None:
        raise ValueError("the record holds no event")
    return row


class Topic:
    """The topic. IAM: sns:Publish on it, and the use of its key.

    `connect` makes the client when the first message is published: an invocation that publishes
    nothing, such as one that refills a slot, does not pay for it.
    """

    def __init__(
        self,
        connect: "Callable[[], SNSClient]",
        arn: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._arn = arn
        self._clock = clock
        self._client: SNSClient | None = None
        self._rests_until = float("-inf")

    def publish(self, body: Mapping[str, str]) -> None:
        """Publish a message. Raises NotPublished; at once for a minute after a call that was not
        answered.
        """
        if self._clock() < self._rests_until:
            raise NotPublished("SNS did not answer a moment ago")
        self._client = self._client or self._connect()
        try:
            self._client.publish(TopicArn=self._arn, Message=json.dumps(body))
        except ClientError as error:
            raise NotPublished(str(error)) from error
        except BotoCoreError as error:
            self._rests_until = self._clock() + REST_SECONDS
            raise NotPublished(str(error)) from error
