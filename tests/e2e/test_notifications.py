"""What becomes of jobs reaches whoever subscribed, by the very commands of docs/events.md."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bbq.services.scheduler.publish import PUBLISHED
from local.deployment import LocalDeployment, records
from local.settings import ROOT, local_environment
from tests.e2e.conftest import eventually, over

pytestmark = pytest.mark.e2e

# AWS CLI 1 asks AWS itself for queues, whatever AWS_ENDPOINT_URL says, unless it is told in the
# command.
AWS = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n'
KEY = 'haiku/told "of", {it}: ü.jsonl'
FEW = json.dumps({"recordId": "CALL0000001", "modelInput": {}}).encode() + b"\n"


def test_a_queue_that_subscribed_as_the_page_says_hears_once_of_each_job_that_is_over(
    deployment: LocalDeployment, results: str
) -> None:
    good = deployment.upload(KEY, records(), owner="ada@example.org")
    bad = deployment.upload("haiku/too-few.jsonl", FEW)
    assert over(deployment, good)["status"] == "Completed"
    assert over(deployment, bad)["status"] == "Rejected"
    heard = messages(deployment, results, {good, bad}, 2)
    assert {(job, message["event"]) for job, message in heard} == {
        (good, "job-ended"),
        (bad, "job-rejected"),
    }
    message = next(message for job, message in heard if job == good)
    (event,) = [event for event in deployment.history(good) if event["name"] == "job-ended"]
    assert message == {
        "job": good,
        "model": "haiku",
        "status": "Completed",
        "outcome": "Completed",
        "owner": "ada@example.org",
        "key": f"to-process/{KEY}",
        "event": "job-ended",
        "version": str(event["version"]),
        "at": event["at"],
        "data": event["data"],
    }


def test_who_subscribes_without_a_filter_hears_of_five_events_and_no_other(
    deployment: LocalDeployment, results: str
) -> None:
    sns = deployment.client("sns")
    sns.set_subscription_attributes(
        SubscriptionArn=subscription(deployment, results),
        AttributeName="FilterPolicy",
        AttributeValue="{}",
    )
    job = deployment.upload("haiku/all.jsonl", records())
    assert over(deployment, job)["status"] == "Completed"
    names = [event["name"] for event in deployment.history(job) if event["name"] in PUBLISHED]
    heard = messages(deployment, results, {job}, len(names))
    assert sorted(message["event"] for _, message in heard) == sorted(names)
    assert set(names) == {"job-queued", "job-ended", "job-tallied"}


def messages(
    deployment: LocalDeployment, queue: str, jobs: set[str], count: int
) -> list[tuple[str, dict[str, str]]]:
    """(job, message) of each event that came of these jobs, once `count` came and no more come."""
    heard: dict[tuple[str, str], dict[str, str]] = {}

    def come() -> bool:
        for message in deployment.sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2
        ).get("Messages", []):
            body: dict[str, Any] = json.loads(message["Body"])
            if body["job"] in jobs:
                heard[body["job"], body["version"]] = body
            deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return len(heard) >= count

    assert eventually(come), heard
    come()
    return [(job, body) for (job, _), body in heard.items()]


def subscription(deployment: LocalDeployment, queue: str) -> str:
    """The ARN of the queue's subscription."""
    arn = deployment.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    found = deployment.client("sns").list_subscriptions_by_topic(
        TopicArn=deployment.outputs["events_topic_arn"]
    )
    return str(
        next(one["SubscriptionArn"] for one in found["Subscriptions"] if one["Endpoint"] == arn)
    )


@pytest.fixture
def results(deployment: LocalDeployment, tmp_path: Path) -> Iterator[str]:
    """The URL of the page's queue, subscribed; both are removed, as test_teardown.py expects."""
    commands = re.search(
        r"<!-- queue -->\s*```bash\n(.*?)```", (ROOT / "docs" / "events.md").read_text(), re.DOTALL
    )
    assert commands
    environment = local_environment() | {
        "TOPIC": deployment.outputs["events_topic_arn"],
        "RESULTS": "told-of-results",
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    made = subprocess.run(
        ["bash", "-ec", AWS + commands[1]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.strip()
    queue = deployment.sqs.get_queue_url(QueueName="told-of-results")["QueueUrl"]
    sns = deployment.client("sns")
    attributes = sns.get_subscription_attributes(SubscriptionArn=made)["Attributes"]
    assert (attributes["RawMessageDelivery"], attributes["FilterPolicyScope"]) == (
        "true",
        "MessageBody",
    )
    yield queue
    sns.unsubscribe(SubscriptionArn=made)
    deployment.sqs.delete_queue(QueueUrl=queue)
