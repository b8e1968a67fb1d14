"""One SQS queue, to look at, to drain and to send to."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_RECEIVED = 10  # SQS's own limit of one receive
WAIT_SECONDS = 2  # of one receive: a short one asks only some of SQS's servers
HIDE_SECONDS = 300  # a received message is ours for so long


@dataclass(frozen=True, kw_only=True)
class Message:
    """A received message. `sent_at` is SQS's time of the first sending to this queue."""

    body: str
    receipt: str
    sent_at: datetime


class Queue(Protocol):
    """One queue. `depth` is approximate, and does not count what somebody has received and not
    deleted.
    """

    def depth(self) -> int: ...
    def receive(self, most: int) -> list[Message]: ...
    def send(self, body: str) -> None: ...
    def delete(self, message: Message) -> None: ...


class SqsQueue:
    """`Queue` on SQS. IAM: sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:SendMessage and
    sqs:DeleteMessage on it.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def depth(self) -> int:
        answer = self._client.get_queue_attributes(
            QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def receive(self, most: int) -> list[Message]:
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(most, MAX_RECEIVED),
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=HIDE_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return [
            Message(
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                sent_at=datetime.fromtimestamp(
                    int(message["Attributes"]["SentTimestamp"]) / 1000, UTC
                ),
            )
            for message in answer.get("Messages", [])
        ]

    def send(self, body: str) -> None:
        self._client.send_message(QueueUrl=self._url, MessageBody=body)

    def delete(self, message: Message) -> None:
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)
