"""Events of jobs reach whoever subscribed, by the very commands of docs/events.md.

MiniStack's pipe delivers to topics, but ignores filter and template: it sends the stream's records as they are. So the
subscription's filter is replaced by one for those, and what the template asks for is looked for in each record. What AWS makes
of the template is a plan test's subject (tests/terraform/test_terraform.py).
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deployment import Deployment, records
from local.settings import ROOT, local_environment
from tests.e2e.conftest import eventually, over

pytestmark = pytest.mark.e2e

# AWS CLI 1 asks AWS itself for queues, whatever AWS_ENDPOINT_URL says, unless it is told in the command.
AWS = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n'
PATHS = re.findall(r"<\$\.([\w.]+)>", (ROOT / "terraform" / "notifications.tf").read_text())


def test_every_event_of_a_job_reaches_a_queue_that_subscribed_as_the_page_says(deployment: Deployment, results: str) -> None:
    job = deployment.upload("haiku/told.jsonl", records(), owner="ada@example.org")
    assert over(deployment, job)["status"] == "Completed"
    history = [event["name"] for event in deployment.history(job)]
    heard: dict[int, dict[str, Any]] = {}

    def all_came() -> bool:
        for message in deployment.sqs.receive_message(QueueUrl=results, MaxNumberOfMessages=10).get("Messages", []):
            image = json.loads(message["Body"])["dynamodb"]["NewImage"]
            if image["stream"]["S"] == f"job#{job}":
                heard[int(image["version"]["N"])] = json.loads(message["Body"])
        return len(heard) >= len(history)

    assert eventually(all_came), sorted(heard)
    assert [heard[version]["dynamodb"]["NewImage"]["name"]["S"] for version in sorted(heard)] == history
    for record in heard.values():
        assert len(PATHS) == 10
        assert all(isinstance(at(record, path), str) for path in PATHS), record
    last = heard[len(history)]["dynamodb"]["NewImage"]
    assert {name: last[name]["S"] for name in ("job", "model", "status", "outcome", "owner", "key")} == {
        "job": job, "model": "haiku", "status": "Completed", "outcome": "Completed", "owner": "ada@example.org",
        "key": "to-process/haiku/told.jsonl",
    }  # fmt: skip


@pytest.fixture
def results(deployment: Deployment, tmp_path: Path) -> Iterator[str]:
    """The URL of the page's queue, subscribed; both are removed, as test_teardown.py expects."""
    commands = re.search(r"<!-- queue -->\s*```bash\n(.*?)```", (ROOT / "docs" / "events.md").read_text(), re.DOTALL)
    assert commands
    environment = local_environment() | {"TOPIC": deployment.outputs["events_topic_arn"], "RESULTS": "told-of-results"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    subscription = subprocess.run(
        ["bash", "-ec", AWS + commands[1]], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()
    queue = deployment.sqs.get_queue_url(QueueName="told-of-results")["QueueUrl"]
    sns = deployment.client("sns")
    assert sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["RawMessageDelivery"] == "true"
    inserts = json.dumps({"eventName": ["INSERT"]})
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="FilterPolicy", AttributeValue=inserts)
    yield queue
    sns.unsubscribe(SubscriptionArn=subscription)
    deployment.sqs.delete_queue(QueueUrl=queue)


def at(record: dict[str, Any], path: str) -> object:
    for step in path.split("."):
        record = record[step]
    return record
