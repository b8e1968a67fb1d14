"""`make rights`: every right of every role and policy, taken away one at a time; prints the matrix, keeps it in docs/rights.md."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from local import build, deploy, stack
from local.deployment import Deployment
from local.settings import ROOT, local_environment
from tests.e2e.conftest import free_port
from tests.rights import scenarios
from tests.rights.bench import Bench
from tests.rights.excused import excuse
from tests.rights.mutation import Right

SIMULATOR = ("--job-seconds", "2-2", "--quota", "1000", "--assume-role", "--enforce-iam")
WATCHED = (sys.executable, "-m", "tests.rights.ministack_watched")


def trials(right: Right) -> tuple[scenarios.Scenario, ...]:
    """What is tried without this right, in this order, until something is refused."""
    if right.who == "viewer":
        return (scenarios.running if right.sid == "AskBedrock" else scenarios.viewer,)
    if right.who == "operator":
        return (scenarios.operator, scenarios.damaged, scenarios.large)
    return (SCENARIOS.get((right.sid, right.action)) or SCENARIOS.get((right.sid, "")) or scenarios.upload,)


SCENARIOS = {
    ("ReadUploads", "s3:GetObject"): scenarios.unversioned,
    ("AppendEvents", "dynamodb:ConditionCheckItem"): scenarios.refused_again,
    ("HandleHints", "sqs:SendMessage"): scenarios.failing_event,
    ("HandleHints", "sqs:ChangeMessageVisibility"): scenarios.failing_hint,
    ("FollowJobs", "bedrock:GetModelInvocationJob"): scenarios.lost_event,
    ("FollowJobs", "bedrock:StopModelInvocationJob"): scenarios.cancel,
    ("FindJobs", ""): scenarios.unanswered,
    ("StartJobs", ""): scenarios.start,
    ("PassBedrockRole", ""): scenarios.start,
    ("InvokeThroughProfiles", ""): scenarios.start,
}


def tried(bench: Bench, right: Right) -> str:
    """The scenario in which it was missed; empty where nothing missed it."""
    since = len(bench.denials())
    with bench.less(right):
        for scenario in trials(right):
            scenario(bench, lambda: bench.refused(right, since))
            if bench.refused(right, since):
                return scenario.__name__
    return ""


def main() -> int:
    """0 where every right is missed or excused."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
            "AWS_ENDPOINT_URL_BEDROCK": f"http://127.0.0.1:{free_port()}",
            "BBQ_DENIED": str(work / "denied.log"),
        }
        os.environ |= local_environment()
        build.build(ROOT, ROOT / ".build")
        stack.up(SIMULATOR, record=work / "stack.json", ministack=WATCHED)
        try:
            outputs = deploy.apply([f"-var=models={json.dumps(scenarios.MODELS)}", "-var=default_model=haiku"], work=work / "terraform", quiet=True)
            bench = Bench(Deployment(outputs), work / "denied.log")
            with bench.may_be_assumed("bedrock"):
                return matrix(bench, sys.argv[1:])
        finally:
            stack.down(work / "stack.json")


def matrix(bench: Bench, only: list[str]) -> int:
    scenarios.prepare(bench)
    for right in sorted(bench.rights(), key=lambda right: right.sid == "FindJobs"):
        if (only and right.who not in only) or excuse(right):
            continue
        began = time.monotonic()
        where = tried(bench, right)
        print(f"{right.who:14}{right.sid:26}{right!s:70}{where or 'NOTHING':16}{time.monotonic() - began:5.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
