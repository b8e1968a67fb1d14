"""A table, a queue, a group of timers and a deployment's bucket, in which a test may write what it
likes.
"""

from typing import Any, Self

import boto3
from botocore.config import Config

from local.deployment import LocalDeployment
from local.settings import REGION

OBJECT_BYTES = 100_000


def client(service: str, url: str) -> Any:
    """A client that tries once, as the last try of a function does."""
    session, once = (
        boto3.Session("test", "test", region_name=REGION),
        Config(retries={"total_max_attempts": 1}),
    )
    return session.client(service, endpoint_url=url, config=once)  # type: ignore[call-overload] # a name at run time


class Scratch:
    """`write` and `read` go through a proxy at `url`; all else goes to the emulator itself. What it
    made is removed.
    """

    NAME = "bbq-faults-scratch"

    def __init__(self, deployment: LocalDeployment, url: str) -> None:
        self._deployment, self._bucket = deployment, deployment.outputs["bucket"]
        self._scheduler = deployment.client("scheduler")
        self._through = {
            service: client(service, url) for service in ("dynamodb", "s3", "sqs", "scheduler")
        }

    def __enter__(self) -> Self:
        key: Any = {"AttributeName": "pk"}
        self._deployment.dynamodb.create_table(
            TableName=self.NAME,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[key | {"KeyType": "HASH"}],
            AttributeDefinitions=[key | {"AttributeType": "S"}],
        )
        self._queue = self._deployment.sqs.create_queue(QueueName=self.NAME)["QueueUrl"]
        self._scheduler.create_schedule_group(Name=self.NAME)
        self._deployment.s3.put_object(Bucket=self._bucket, Key=self.NAME, Body=bytes(OBJECT_BYTES))
        return self

    def __exit__(self, *_: object) -> None:
        self._deployment.dynamodb.delete_table(TableName=self.NAME)
        self._deployment.sqs.delete_queue(QueueUrl=self._queue)
        self._scheduler.delete_schedule_group(Name=self.NAME)

    def write(self, operation: str, name: str) -> None:
        """Raises what the SDK does if it gets no good answer."""
        item = {"pk": {"S": name}}
        match operation:
            case "PutItem":
                self._through["dynamodb"].put_item(TableName=self.NAME, Item=item)
            case "UpdateItem":
                self._through["dynamodb"].update_item(TableName=self.NAME, Key=item)
            case "TransactWriteItems":
                self._through["dynamodb"].transact_write_items(
                    TransactItems=[{"Put": {"TableName": self.NAME, "Item": item}}]
                )
            case "SendMessage":
                self._through["sqs"].send_message(QueueUrl=self._queue, MessageBody=name)
            case "CreateSchedule":
                self._through["scheduler"].create_schedule(
                    GroupName=self.NAME,
                    Name=name,
                    ScheduleExpression="at(2099-01-01T00:00:00)",
                    FlexibleTimeWindow={"Mode": "OFF"},
                    Target={
                        "Arn": "arn:aws:sqs:us-east-1:000000000000:none",
                        "RoleArn": "arn:aws:iam::000000000000:role/none",
                    },
                )
            case _:
                source = {"Bucket": self._bucket, "Key": self.NAME}
                self._through["s3"].copy_object(
                    Bucket=self._bucket, Key=f"{self.NAME}/{name}", CopySource=source
                )

    def has(self, operation: str, name: str) -> bool:
        """Whether the write was done."""
        match operation:
            case "PutItem" | "UpdateItem" | "TransactWriteItems":
                return "Item" in self._deployment.dynamodb.get_item(
                    TableName=self.NAME, Key={"pk": {"S": name}}
                )
            case "SendMessage":
                messages = self._deployment.sqs.receive_message(
                    QueueUrl=self._queue, MaxNumberOfMessages=10
                ).get("Messages", [])
                return name in {message["Body"] for message in messages}
            case "CreateSchedule":
                timers = self._scheduler.list_schedules(GroupName=self.NAME)["Schedules"]
                return name in {timer["Name"] for timer in timers}
            case _:
                return f"{self.NAME}/{name}" in self._deployment.keys(self.NAME)

    def read(self) -> bytes:
        """The object, through the proxy."""
        return bytes(
            self._through["s3"].get_object(Bucket=self._bucket, Key=self.NAME)["Body"].read()
        )
