"""The hints queue from the sending side: what an invocation leaves behind when it cannot finish."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Outbox:
    """Durable hints. IAM: sqs:SendMessage and sqs:ChangeMessageVisibility on the hints queue."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def wake_job(self, job: str) -> None:
        """Somebody should look at this job."""
        self._send({"job": job})

    def wake_model(self, alias: str, *, ask: bool = False) -> None:
        """Somebody should look at this model, or at `hints.ALL`. `ask`: and ask Bedrock again
        although it is on hold.
        """
        self._send({"wake": alias, "ask": True} if ask else {"wake": alias})

    def publish_later(self, job: str, version: int) -> None:
        """This event of the job is to be published."""
        self._send({"publish": job, "version": version})

    def hide(self, receipt_handle: str, seconds: int) -> None:
        """Keep a failed message from coming back for so long."""
        self._client.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )

    def _send(self, hint: Mapping[str, str | int]) -> None:
        self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(hint))
