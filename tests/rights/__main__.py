"""`make rights`: every right of every role and policy, taken away one at a time; and what none of
them may do, tried.

Prints the matrix and keeps it in docs/rights.md. `ARGS="intake viewer"` tries these alone, and
leaves the page as it is.
"""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from local import build, deploy, stack
from local.deployment import LocalDeployment
from local.emulators import MINISTACK
from local.settings import ROOT, free_endpoints, local_environment
from tests.e2e.conftest import WATCHED
from tests.rights import forbidden, scenarios
from tests.rights.bench import Bench
from tests.rights.excused import excuse
from tests.rights.mutation import Right

PAGE = ROOT / "docs" / "rights.md"
SIMULATOR = ("--job-seconds", "2-2", "--quota", "1000", "--assume-role", "--enforce-iam")
SCENARIOS = {
    ("ReadUploads", "s3:GetObject"): scenarios.unversioned,
    ("ReceiveUploads", "sqs:ChangeMessageVisibility"): scenarios.failing_upload,
    ("HandleHints", "sqs:SendMessage"): scenarios.failing_event,
    ("HandleHints", "sqs:ChangeMessageVisibility"): scenarios.failing_hint,
    ("FollowJobs", "bedrock:GetModelInvocationJob"): scenarios.lost_event,
    ("FollowJobs", "bedrock:StopModelInvocationJob"): scenarios.cancel,
    ("FindJobs", ""): scenarios.unanswered,
    ("StartJobs", ""): scenarios.start,
    ("PassBedrockRole", ""): scenarios.start,
    ("InvokeThroughProfiles", ""): scenarios.start,
}


def trials(right: Right) -> tuple[scenarios.Scenario, ...]:
    """What is tried without this right, in this order, until it is missed."""
    if right.who == "viewer":
        return (scenarios.running if right.sid == "AskBedrock" else scenarios.viewer,)
    if right.who == "operator":
        return (scenarios.operator, scenarios.damaged, scenarios.large)
    if right.sid == "StartJobs" and scenarios.QUOTA_MODEL_ID in right.resource:
        return (scenarios.start_other,)
    return (
        SCENARIOS.get((right.sid, right.action))
        or SCENARIOS.get((right.sid, ""))
        or scenarios.upload,
    )


def missed(bench: Bench, right: Right) -> str:
    """The scenario in which it was missed; empty where nothing missed it."""
    since = bench.mark()
    found = ""
    with bench.less(right):
        for scenario in trials(right):
            scenario(bench, lambda: bench.refused(right, since))
            if bench.refused(right, since):
                found = " ".join((scenario.__doc__ or "").split())
                break
    if scenario is scenarios.start:
        scenarios.lift_hold(bench)
    return found


def excuses_that_are_stale(bench: Bench) -> list[str]:
    """Rights that are said to be missed by nothing here, and are."""
    taken = [right for right in bench.rights() if excuse(right)]
    since = bench.mark()
    with bench.less(*taken):
        for scenario in (scenarios.missing, scenarios.upload, scenarios.cancel, scenarios.viewer):
            scenario(bench, lambda: False)
    return [f"{right.who}: {right}" for right in taken if bench.refused(right, since)]


def matrix(bench: Bench, only: Sequence[str]) -> int:
    """0 where every right is missed or excused, every excuse holds, and all that is forbidden is
    refused.
    """
    scenarios.prepare(bench)
    rows, wrong = [], []
    # An operator's redrive looks at every job that is not over, and so at the one nobody has heard
    # of.
    for right in sorted(
        bench.rights(), key=lambda right: (right.who == "operator", right.sid == "FindJobs")
    ):
        if only and right.who not in only:
            continue
        began = time.monotonic()
        why = excuse(right)
        what = f"*{why}*" if why else missed(bench, right)
        wrong += [] if what else [f"nothing misses {right.who}: {right}"]
        rows.append(f"| {right.who} | {right.sid} | `{right}` | {what or '**nothing**'} |")
        print(
            f"{right.who:14}{right.sid:25}{right!s:50}{what or 'NOTHING'} "
            f"({time.monotonic() - began:.1f} s)",
            flush=True,
        )
    passed = forbidden.let_pass(bench)
    wrong += [f"not refused: {one}" for one in passed]
    if not only:
        wrong += [f"its excuse is stale: {one}" for one in excuses_that_are_stale(bench)]
        table = "| who | statement | right | without it fails |\n|---|---|---|---|\n" + "\n".join(
            sorted(rows)
        )
        PAGE.write_text(
            with_part(
                with_part(PAGE.read_text(), "matrix", table), "forbidden", forbidden.table(bench)
            )
        )
    print(
        "\n".join(wrong)
        or "every right is missed or excused, and all that is forbidden was refused"
    )
    return 1 if wrong else 0


def with_part(text: str, name: str, part: str) -> str:
    """The page with what is between the markers written anew."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{part}\n{end}", text, flags=re.DOTALL)


def main() -> int:
    """See the module."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        os.environ |= free_endpoints() | {"BBQ_DENIED": str(work / "denied.log")}
        os.environ |= local_environment()
        build.build(ROOT, ROOT / ".build")
        stack.up(SIMULATOR, record=work / "stack.json", emulator=MINISTACK, with_command=WATCHED)
        try:
            variables = [
                f"-var=models={json.dumps(scenarios.MODELS)}",
                f"-var=default_model={scenarios.MODEL}",
            ]
            bench = Bench(
                LocalDeployment(deploy.apply(variables, work=work / "terraform", quiet=True)),
                work / "denied.log",
            )
            with bench.may_be_assumed("bedrock"):
                return matrix(bench, sys.argv[1:])
        finally:
            stack.down(work / "stack.json")


if __name__ == "__main__":
    sys.exit(main())
