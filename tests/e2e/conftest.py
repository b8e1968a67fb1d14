"""One emulator (EMULATOR names it), one Bedrock simulator, one real `terraform apply`, for all
end-to-end tests.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local import build, deploy, stack
from local.deployment import LocalDeployment, simulator
from local.emulators import MINISTACK, chosen
from local.settings import ROOT, free_endpoints

PATIENCE_SECONDS = 180.0  # what comes is not waited for any longer than it takes
SIMULATOR_OPTIONS = ("--job-seconds", "1-2")
# test_pipeline.py's two models, test_hostile.py's, and one for each trouble of test_chaos.py, so
# that several last at once.
MODELS: dict[str, dict[str, Any]] = {
    "haiku": {"model_id": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "limit": 3},
    "nova": {"model_id": "amazon.nova-lite-v1:0", "limit": 2, "invocation_type": "Converse"},
    "unheard": {"model_id": "chaos.unheard-v1:0", "limit": 4},
    "unsure": {"model_id": "chaos.unsure-v1:0", "limit": 20},
    "outage": {"model_id": "chaos.outage-v1:0", "limit": 8},
    "killed": {"model_id": "chaos.killed-v1:0", "limit": 6},
    "shared": {"model_id": "chaos.shared-v1:0", "limit": 3},
    "poison": {"model_id": "chaos.poison-v1:0", "limit": 2},
    "capped": {"model_id": "chaos.capped-v1:0", "limit": 2, "max_jobs_per_day": 2},
    "left": {"model_id": "chaos.left-v1:0", "limit": 25},
    "right": {"model_id": "chaos.right-v1:0", "limit": 25},
}
CHECK_IN_MINUTES = 1
FUNCTION_SECONDS = 60  # of a hurried deployment (`hurry`): the scheduler needs 45 for one round
LEASE_SECONDS = FUNCTION_SECONDS + 95
# at once: on MiniStack each is a process, and 50 of them take minutes to start and to stop on two
# cores
INTAKES = 5
# MiniStack, telling whom it refused what
WATCHED = (sys.executable, "-m", "tests.rights.ministack_watched")


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where logs and Terraform's state of this run are."""
    return tmp_path_factory.mktemp("e2e")


def simulator_options(work: Path) -> tuple[str, ...]:
    """What the simulator is started with, the first time and again."""
    return (*SIMULATOR_OPTIONS, "--state", str(work / "bedrock.db"))


@pytest.fixture(scope="session")
def local_stack(work: Path) -> Iterator[None]:
    """Everything started, on ports of its own; stopped whatever happens."""
    with pytest.MonkeyPatch.context() as patch:
        for name, url in free_endpoints().items():
            patch.setenv(name, url)
        patch.setenv("BBQ_DENIED", str(work / "denied.log"))
        build.build(ROOT, ROOT / ".build")
        stack.stop_on_sigterm()
        watched = WATCHED if chosen() == MINISTACK else ()
        stack.up(simulator_options(work), record=work / "stack.json", with_command=watched)
        try:
            yield
        finally:
            stack.down(work / "stack.json")


@pytest.fixture(scope="session")
def deployment(local_stack: None, work: Path) -> LocalDeployment:
    """The deployment, as Terraform made it. Without terraform or its provider: skipped, but never
    in CI.
    """
    try:
        variables = [
            f"-var=models={json.dumps(MODELS)}",
            f"-var=check_in_minutes={CHECK_IN_MINUTES}",
        ]
        return LocalDeployment(deploy.apply(variables, work=work / "terraform", quiet=True))
    except deploy.DeployError as error:
        if "is not installed" in str(error) or "Failed to query available provider packages" in str(
            error
        ):
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))
        raise


@pytest.fixture(autouse=True)
def calm() -> None:
    """Every test starts without others' jobs at the simulator."""
    if os.environ.get("AWS_ENDPOINT_URL_BEDROCK"):
        simulator("foreign-jobs", method="DELETE")


def eventually(probe: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first truthy answer of `probe`; its last answer when patience is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)


def over(
    deployment: LocalDeployment, job: str, *, seconds: float = PATIENCE_SECONDS
) -> dict[str, Any]:
    """The view of a job once it is over and, where it ran, tallied."""

    def probe() -> dict[str, Any]:
        view = deployment.view(job)
        done = view.get("status") in {"Rejected", "Cancelled"} or "processed_records" in view
        return view if done else {}

    return eventually(probe, seconds=seconds) or deployment.view(job)


def hurry(deployment: LocalDeployment) -> None:
    """Functions time out after FUNCTION_SECONDS, and their messages stay hidden as long."""
    functions, outputs = deployment.client("lambda"), deployment.outputs
    urls = [outputs["intake_queue_url"], outputs["hints_queue_url"]]
    # S3's test event; an update ends what runs
    assert eventually(lambda: not any(map(deployment.queue_depth, urls)))
    for name in (outputs["intake_function"], outputs["scheduler_function"]):
        variables = dict(
            functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        )
        if "BBQ_FUNCTION_TIMEOUT_SECONDS" in variables:
            variables["BBQ_FUNCTION_TIMEOUT_SECONDS"] = str(FUNCTION_SECONDS)
        functions.update_function_configuration(
            FunctionName=name, Timeout=FUNCTION_SECONDS, Environment={"Variables": variables}
        )
    (uploads,) = functions.list_event_source_mappings(FunctionName=outputs["intake_function"])[
        "EventSourceMappings"
    ]
    functions.update_event_source_mapping(
        UUID=uploads["UUID"], ScalingConfig={"MaximumConcurrency": INTAKES}
    )
    for url in urls:
        deployment.sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"VisibilityTimeout": str(FUNCTION_SECONDS)}
        )
