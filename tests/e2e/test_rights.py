"""The policies for people are enough for `bbq`, and no more, with IAM enforced
(terraform/operators.tf, docs/operating.md).
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bbq.cli.faults import Exit
from local.deployment import LocalDeployment, records
from local.emulators import MINISTACK, chosen
from local.settings import local_environment
from tests.e2e.conftest import over
from tests.rights import forbidden
from tests.rights.__main__ import missed
from tests.rights.bench import FUNCTIONS, Bench
from tests.rights.excused import excuse

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        chosen() != MINISTACK, reason=f"{chosen()} stores IAM policies and does not enforce them"
    ),
]

Bbq = Callable[..., subprocess.CompletedProcess[str]]


def test_a_viewer_looks_and_may_not_act(
    deployment: LocalDeployment, viewer: Bbq, tmp_path: Path
) -> None:
    job = deployment.upload("haiku/looked-at.jsonl", records())
    assert over(deployment, job)["status"] == "Completed"
    for command in (
        ["status"],
        ["jobs"],
        ["show", job],
        ["show", "haiku/looked-at.jsonl"],
        ["download", job, str(tmp_path)],
        ["timeline", "--json"],
    ):
        assert viewer(*command).returncode == Exit.OK, (command, viewer(*command).stderr)
    assert list(tmp_path.rglob("*.jsonl.out"))
    assert viewer("show", "haiku/never-uploaded.jsonl").returncode == Exit.NOT_FOUND
    (tmp_path / "mine.jsonl").write_bytes(records())
    for command in (
        ["pause", "haiku"],
        ["wake", "haiku"],
        ["submit", str(tmp_path / "mine.jsonl")],
        ["verify"],
        ["wake", job],
    ):
        denied = viewer(*command)
        assert denied.returncode == Exit.NO_ACCESS, (command, denied)
        assert "Traceback" not in denied.stderr
    assert [event["name"] for event in deployment.history(job)][-1] == "job-tallied"
    assert not deployment.slots("haiku").get("paused")


def test_an_operator_acts(deployment: LocalDeployment, operator: Bbq, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(records())
    for command in (
        ["submit", str(tmp_path / "mine.jsonl"), "--model", "haiku", "--wait"],
        ["pause", "haiku", "--why", "trying"],
        ["resume", "haiku"],
        ["wake", "haiku"],
        ["verify"],
        ["wake", "--all"],
        ["redrive", "--yes"],
    ):
        done = operator(*command)
        assert done.returncode == Exit.OK, (command, done)


def test_not_even_an_operator_changes_an_event(deployment: LocalDeployment, operator: Bbq) -> None:
    key = '{"stream": {"S": "model#haiku"}, "version": {"N": "1"}}'
    for change in (["delete-item"], ["update-item", "--update-expression", "REMOVE schema"]):
        command = [
            "aws",
            "dynamodb",
            *change,
            "--table-name",
            deployment.outputs["events_table"],
            "--key",
            key,
        ]
        assert "AccessDenied" in operator(*command, program=[]).stderr


@pytest.fixture(scope="module")
def bench(deployment: LocalDeployment, work: Path) -> Bench:
    return Bench(deployment, work / "denied.log")


def test_nobody_does_what_he_must_not(bench: Bench) -> None:
    assert len(list(forbidden.attempts(bench))) > 100
    assert forbidden.let_pass(bench) == []


def test_what_a_function_may_do_with_tables_and_objects_it_needs(bench: Bench) -> None:
    """The quick part of `make rights`, which takes every right away. Last: what it leaves behind
    waits for a retry.
    """
    quick = [
        right
        for right in bench.rights()
        if right.who in FUNCTIONS
        and right.action.startswith(("dynamodb:", "s3:"))
        and not excuse(right)
        and right.action not in {"dynamodb:ConditionCheckItem", "s3:GetObject"}
    ]
    assert len(quick) > 10
    assert [str(right) for right in quick if not missed(bench, right)] == []


@pytest.fixture
def viewer(deployment: LocalDeployment) -> Iterator[Bbq]:
    yield from somebody(deployment, "viewer")


@pytest.fixture
def operator(deployment: LocalDeployment) -> Iterator[Bbq]:
    yield from somebody(deployment, "operator")


def somebody(deployment: LocalDeployment, what: str) -> Iterator[Bbq]:
    """Runs `bbq` as a user who has this policy and nothing else."""
    iam, arn = deployment.client("iam"), deployment.outputs[f"{what}_policy_arn"]
    iam.create_user(UserName=what)
    iam.attach_user_policy(UserName=what, PolicyArn=arn)
    key = iam.create_access_key(UserName=what)["AccessKey"]
    tools = Path(sys.executable).parent
    environment = local_environment() | {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        # MiniStack lets nobody list the deployments who may not list everything
        "BBQ_NAME": "bbq-local",
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }

    def run(*arguments: str, program: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [*(["bbq"] if program is None else program), *arguments]
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    yield run
    iam.delete_access_key(UserName=what, AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(UserName=what, PolicyArn=arn)
    iam.delete_user(UserName=what)
