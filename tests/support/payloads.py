"""Documented payloads. Each says where it is from; none is invented."""

import copy
import json
from typing import Any

from bbq.shared.names import job_stream

# The full sample of the Bedrock user guide, "Monitor Bedrock with EventBridge", verbatim.
BEDROCK_EVENT: dict[str, Any] = {
    "version": "0",
    "id": "a1b2c3d4",
    "detail-type": "Batch Inference Job State Change",
    "source": "aws.bedrock",
    "account": "123456789012",
    "time": "Wed Aug 28 22:58:30 UTC 2024",
    "region": "us-east-1",
    "resources": ["arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz"],
    "detail": {
        "version": "0.0",
        "accountId": "123456789012",
        "batchJobName": "dummy-batch-job-name",
        "batchJobArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz",
        "batchModelId": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0",
        "status": "Completed",
        "failureMessage": "",
        "creationTime": "Aug 28, 2024, 10:47:53 PM",
    },
}


def bedrock_event(**detail: str) -> dict[str, Any]:
    """The sample with other values in its detail; Region and account are those of the ARN."""
    event = copy.deepcopy(BEDROCK_EVENT)
    event["detail"].update(detail)
    event["region"], event["account"] = event["detail"]["batchJobArn"].split(":")[3:5]
    return event


def sqs_event(*bodies: str, receives: int = 1) -> dict[str, Any]:
    """An SQS batch as Lambda gets it (Lambda developer guide, "Using Lambda with Amazon SQS")."""
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(receives),
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
                "awsRegion": "us-east-2",
            }
            for number, body in enumerate(bodies)
        ]
    }


def stream_event(*streams: str) -> dict[str, Any]:
    """A DynamoDB stream batch as Lambda gets it (Lambda developer guide, "Using Lambda with
    DynamoDB"), of our table's keys.
    """
    return {
        "Records": [
            {
                "eventID": f"c4ca4238a0b923820dcc509a6f75849{number}",
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "Keys": {"stream": {"S": stream}, "version": {"N": "1"}},
                    "NewImage": image(stream, "job-queued"),
                    "ApproximateCreationDateTime": 1428537600,
                    "SequenceNumber": f"440000000000{number:05d}",
                    "SizeBytes": 26,
                    "StreamViewType": "NEW_IMAGE",
                },
                "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/bbq-events/stream/2026-11-23T00:00:00.000",
            }
            for number, stream in enumerate(streams)
        ]
    }


def image(stream: str, name: str, version: int = 1, **attributes: str) -> dict[str, dict[str, str]]:
    """An event as the stream gives it: every attribute of its row (shared/tables.py), numbers as
    text.
    """
    texts = {
        "job": stream.partition("#")[2],
        "model": "haiku",
        "status": "",
        "outcome": "",
        "owner": "",
        "key": "",
    } | attributes
    numbers = {"version": {"N": str(version)}, "schema": {"N": "1"}}
    at = {"at": {"S": "2026-11-24T09:30:00.000000Z"}, "data": {"S": attributes.get("data", "{}")}}
    return {
        "stream": {"S": stream},
        "name": {"S": name},
        **numbers,
        **{name: {"S": text} for name, text in texts.items()},
        **at,
    }


def stream_of(*jobs: str) -> dict[str, Any]:
    """A stream batch with a record for each job."""
    return stream_event(*(job_stream(job) for job in jobs))


def body(value: object) -> str:
    """A message's body."""
    return json.dumps(value)


# The sample of the S3 user guide, "Event message structure", with our bucket and key in its place.
def s3_notification(
    key: str,
    *,
    bucket: str,
    version: str = "096fKKXTRTtl3on89fVO.nfljtsv6qko",
    name: str = "ObjectCreated:Put",
) -> dict[str, Any]:
    """A notification as S3 sends it; `key` as it is in the notification, URL-encoded."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-west-2",
                "eventTime": "1970-01-01T00:00:00.000Z",
                "eventName": name,
                "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {
                    "x-amz-request-id": "C3D13FE58DE4C810",
                    "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "testConfigRule",
                    "bucket": {
                        "name": bucket,
                        "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                        "arn": f"arn:aws:s3:::{bucket}",
                    },
                    "object": {
                        "key": key,
                        "size": 1024,
                        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                        "versionId": version,
                        "sequencer": "0055AED6DCD90281E5",
                    },
                },
            }
        ]
    }


S3_TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2014-10-13T15:57:02.089Z",
    "Bucket": "amzn-s3-demo-bucket",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
}
