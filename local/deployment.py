"""A local deployment as its user sees it: upload, look at the tables, look at the Bedrock
simulator.
"""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.conditions import Key
from boto3.dynamodb.types import TypeDeserializer

from bbq.shared.names import INPUT_PREFIX, job_id, job_stream
from local.settings import bedrock_endpoint_of, local_environment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

RECORDS = 100  # Bedrock's own minimum (AWS General Reference, Bedrock quotas)


class LocalDeployment:
    """`outputs` are Terraform's."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self.outputs = outputs
        environment = local_environment()
        self._session = boto3.Session(
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        self._url = environment["AWS_ENDPOINT_URL"]

    @cached_property
    def s3(self) -> "S3Client":
        """A client of the emulator's S3."""
        return self._session.client("s3", endpoint_url=self._url)

    @cached_property
    def sqs(self) -> "SQSClient":
        """A client of the emulator's SQS."""
        return self._session.client("sqs", endpoint_url=self._url)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """A client of the emulator's DynamoDB."""
        return self._session.client("dynamodb", endpoint_url=self._url)

    def client(self, service: str) -> Any:
        """Any other client of the emulator."""
        return self._session.client(service, endpoint_url=self._url)  # type: ignore[call-overload] # a name at run time

    def upload(self, key: str, body: bytes, **metadata: str) -> str:
        """Put an object under the input prefix; its job's id."""
        key = key if key.startswith(INPUT_PREFIX) else INPUT_PREFIX + key
        answer = self.s3.put_object(
            Bucket=self.outputs["bucket"], Key=key, Body=body, Metadata=metadata
        )
        return job_id(self.outputs["bucket"], key, answer["VersionId"], "", "")

    def notify_again(self, key: str) -> None:
        """What S3 does on rare occasions: the same notification once more."""
        bucket = self.outputs["bucket"]
        head = self.s3.head_object(Bucket=bucket, Key=key)
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                "object": {
                    "key": key,
                    "size": head["ContentLength"],
                    "eTag": head["ETag"].strip('"'),
                    "versionId": head["VersionId"],
                    "sequencer": "0055AED6DCD90281E5",
                },
            },
        }
        self.sqs.send_message(
            QueueUrl=self.outputs["intake_queue_url"], MessageBody=json.dumps({"Records": [record]})
        )

    def view(self, job: str) -> dict[str, Any]:
        """A job's view; empty before there is one."""
        return self._item(f"job#{job}", "view")

    def slots(self, model: str) -> dict[str, Any]:
        """A model's slots; empty before its first limit was set."""
        return self._item(f"slots#{model}", "slots")

    def line(self, model: str) -> list[str]:
        """The ids of the jobs in line, first first."""
        return [item["job"] for item in self._query("projections_table", "pk", f"line#{model}")]

    def by_status(self, status_key: str) -> list[dict[str, Any]]:
        """Views by the status index, such as `haiku#Queued` or `haiku#Completed#2026-11-23`.
        Eventually consistent.
        """
        return list(
            self._query("projections_table", "status_key", status_key, IndexName="by-status")
        )

    def history(self, job: str) -> list[dict[str, Any]]:
        """A job's events, oldest first."""
        return list(self._query("events_table", "stream", job_stream(job)))

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        return self.s3.get_object(Bucket=self.outputs["bucket"], Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        """All keys under a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.outputs["bucket"], Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def empty(self) -> None:
        """Remove every version of every object."""
        for page in self.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.outputs["bucket"]
        ):
            for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                self.s3.delete_object(
                    Bucket=self.outputs["bucket"], Key=item["Key"], VersionId=item["VersionId"]
                )

    def queue_depth(self, url: str) -> int:
        """Messages in a queue, hidden ones too."""
        names: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def _item(self, pk: str, sk: str) -> dict[str, Any]:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        table = self.outputs["projections_table"]
        answer = self.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
        read = TypeDeserializer().deserialize
        return {name: read(value) for name, value in answer.get("Item", {}).items()}

    def _query(self, table: str, key: str, value: str, **options: Any) -> Iterator[dict[str, Any]]:
        resource = self._session.resource("dynamodb", endpoint_url=self._url).Table(
            self.outputs[table]
        )
        start: dict[str, Any] = {}
        while True:
            page = resource.query(KeyConditionExpression=Key(key).eq(value), **options, **start)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def simulator(path: str, body: object = None, *, method: str | None = None) -> Any:
    """A call of the Bedrock simulator's administration: `simulator("stats")`, `simulator("faults",
    {...})`.
    """
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(  # noqa: S310 - http to this machine
        f"{bedrock_endpoint_of()}/_simulator/{path}",
        data=data,
        method=method or ("POST" if data else "GET"),
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return json.load(answer)


def records(count: int = RECORDS, words: str = "hello", *, converse: bool = False) -> bytes:
    """A good input of so many records, in the shape of the Bedrock user guide's samples: for
    Claude, or for Converse.
    """

    def body(text: str) -> dict[str, Any]:
        if converse:
            return {
                "messages": [{"role": "user", "content": [{"text": text}]}],
                "inferenceConfig": {"maxTokens": 1024},
            }
        return {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
        }

    lines = [
        {"recordId": f"CALL{number:07d}", "modelInput": body(f"{words} {number}")}
        for number in range(1, count + 1)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
