"""What must hold when everything else has run: nothing is left behind, and nothing stays. Sorts
last; destroys the deployment.
"""

from pathlib import Path

import pytest

from local import deploy
from local.deployment import LocalDeployment

pytestmark = pytest.mark.e2e


def test_nothing_is_left_behind_in_a_dead_letter_queue(deployment: LocalDeployment) -> None:
    depths = {
        url: deployment.queue_depth(url)
        for url in deployment.outputs["dead_letter_queue_urls"].values()
    }
    assert not any(depths.values()), depths


def test_destroy_removes_everything(deployment: LocalDeployment, work: Path) -> None:
    outputs = dict(deployment.outputs)
    deploy.destroy(work=work / "terraform", quiet=True)
    assert outputs["bucket"] not in [
        bucket["Name"] for bucket in deployment.s3.list_buckets()["Buckets"]
    ]
    assert deployment.dynamodb.list_tables()["TableNames"] == []
    assert deployment.client("lambda").list_functions()["Functions"] == []
    assert deployment.sqs.list_queues().get("QueueUrls", []) == []
    assert deployment.client("sns").list_topics()["Topics"] == []
    assert deployment.client("ssm").describe_parameters()["Parameters"] == []
    assert deployment.client("cloudwatch").list_dashboards()["DashboardEntries"] == []
    assert deployment.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert deployment.client("iam").list_policies(Scope="Local")["Policies"] == []
