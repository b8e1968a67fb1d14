"""What holds after every trouble, whatever it was: nothing lost, nothing doubled, never above the
limit.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bbq.shared.hold import UNANSWERED
from bbq.shared.names import attempt_name
from local.deployment import LocalDeployment, simulator
from tests.e2e.conftest import PATIENCE_SECONDS, eventually, over

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A model of a deployment, as it was deployed."""

    deployment: LocalDeployment
    name: str  # the deployment's
    model: str
    model_id: str
    limit: int


def settled(line: Line, jobs: Iterable[str], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Every job is Completed and bought once; the limit was never passed; histories are dense, and
    the views tell them; slots and line are empty.
    """
    deployment, model = line.deployment, line.model
    deadline = time.monotonic() + seconds
    views = {
        job: over(deployment, job, seconds=max(0.0, deadline - time.monotonic())) for job in jobs
    }
    unfinished = {
        job: deployment.history(job)
        for job, view in views.items()
        if view.get("status") != "Completed"
    }
    assert not unfinished, unfinished
    bought = bedrock_jobs(line.model_id)
    truth = {job["jobName"]: job for job in bought}
    accepted = Counter(job["jobName"] for job in bought)
    assert set(accepted.values()) == {1}, accepted
    histories = {job: deployment.history(job) for job in views}
    attempts = {
        attempt_name(line.name, job, json.loads(event["data"])["attempt"]): job
        for job, history in histories.items()
        for event in history
        if event["name"] == "slot-claimed"
    }
    assert set(attempts) == set(accepted)
    assert len(attempts) == len(views)  # no job needed a second one
    for name, job in attempts.items():
        view, history = views[job], histories[job]
        assert view["status"] == truth[name]["status"]
        assert view["arn"] == truth[name]["jobArn"]
        assert [int(event["version"]) for event in history] == list(range(1, len(history) + 1))
        assert int(view["version"]) == len(history)
        assert Counter(event["name"] for event in history)["job-ended"] == 1
    assert simulator("stats")["largest_alive"][line.model_id]["ours"] <= line.limit
    assert eventually(lambda: not deployment.slots(model)["holders"]), deployment.slots(model)
    assert deployment.slots(model).get("refused") is None
    assert deployment.line(model) == []
    took = sorted(seconds_between(view["queued_at"], view["ended_at"]) for view in views.values())
    said = [json.loads(event["data"]) for history in histories.values() for event in history]
    found, unanswered = (
        sum(data.get("found", False) for data in said),
        sum(data.get("kind") == UNANSWERED for data in said),
    )
    text = (
        "%s: %d jobs, from queued to ended: median %.0f s, longest %.0f s; %d found by looking, %d "
        "unknown to Bedrock"
    )
    log.info(text, model, len(took), took[len(took) // 2], took[-1], found, unanswered)


def nothing_is_left(deployment: LocalDeployment, *, seconds: float) -> None:
    """No message waits, and none is dead."""
    queues = [deployment.outputs["hints_queue_url"], deployment.outputs["intake_queue_url"]]
    empty = eventually(lambda: not any(map(deployment.queue_depth, queues)), seconds=seconds)
    assert empty, {url: deployment.queue_depth(url) for url in queues}
    assert not any(dead_letters(deployment).values()), dead_letters(deployment)


def bedrock_jobs(model_id: str) -> list[dict[str, Any]]:
    """Our jobs of a model, as the simulator knows them."""
    return [
        job
        for job in simulator("jobs")["jobs"]
        if job["modelId"] == model_id and not job["foreign"]
    ]


def dead_letters(deployment: LocalDeployment) -> dict[str, int]:
    """How many messages are in each dead-letter queue."""
    return {
        name: deployment.queue_depth(url)
        for name, url in deployment.outputs["dead_letter_queue_urls"].items()
    }


def seconds_between(start: str, end: str) -> float:
    """Between two moments as they are stored."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
