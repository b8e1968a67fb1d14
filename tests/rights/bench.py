"""A deployment on the emulator whose rights can be taken away one at a time, and what was refused
since.

Terraform is applied once. A mutation is the live policy, less one right, put in place of it;
MiniStack reads policies at every call, so it is in force at once, in functions that are already
warm too.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from local.deployment import LocalDeployment, simulator
from local.settings import REGION, local_environment
from tests.rights.mutation import Document, Right, many, rights, without

FUNCTIONS = ("intake", "scheduler")
ROLES = (*FUNCTIONS, "bedrock", "timers")
PEOPLE = ("viewer", "operator")
PATIENCE_SECONDS = 30.0
ACCOUNT_MAY_ASSUME = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
}


@dataclass(frozen=True)
class Denial:
    """Who was refused what."""

    who: str
    action: str
    resource: str


@dataclass
class Bench:
    """`log` is what ministack_watched.py writes. `policies` are as Terraform applied them, by who
    and the policy's name.
    """

    deployment: LocalDeployment
    log: Path
    name: str = "bbq-local"
    policies: dict[tuple[str, str], Document] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)  # of a user for each policy for people

    def __post_init__(self) -> None:
        iam = self.deployment.client("iam")
        for role in ROLES:
            full = self.full(role)
            for policy in iam.list_role_policies(RoleName=full)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=full, PolicyName=policy)["PolicyDocument"]
                self.policies[role, policy] = _document(document)
        for person in PEOPLE:
            arn = self.deployment.outputs[f"{person}_policy_arn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
            self.policies[person, ""] = _document(answer["PolicyVersion"]["Document"])
            iam.create_user(UserName=f"rights-{person}")
            self._put((person, ""), self.policies[person, ""])
            self.keys[person] = iam.create_access_key(UserName=f"rights-{person}")["AccessKey"]

    def full(self, role: str) -> str:
        """A role's whole name."""
        return f"{self.name}-{REGION}-{role}"

    def rights(self) -> Iterator[Right]:
        """All that can be taken away. What an operator has as a viewer is taken away from the
        viewer.
        """
        seen: set[tuple[str, str, str]] = set()
        for (who, _), document in self.policies.items():
            for right in rights(who, document):
                again = (right.sid, right.action, right.resource)
                if who != "operator" or again not in seen:
                    yield right
                if who == "viewer":
                    seen.add(again)

    @contextmanager
    def less(self, *taken: Right) -> Iterator[None]:
        """Without these rights, until the end of the block."""
        before = list(self._taken)
        self._taken.extend(taken)
        try:
            self._apply({self._place(right) for right in taken})
            yield
        finally:
            self._taken[:] = before
            self._apply({self._place(right) for right in taken})

    def mark(self) -> tuple[int, int]:
        """How many refusals there are by now: MiniStack's, Bedrock's."""
        return len(self._lines()), len(simulator("denied")["denied"])

    def refused(self, right: Right, since: tuple[int, int]) -> list[Denial]:
        """The refusals after that mark that are for want of this right."""
        of = [
            s
            for (who, _), document in self.policies.items()
            if who == right.who
            for s in document["Statement"]
        ]
        (statement,) = [s for s in of if s["Sid"] == right.sid]
        actions = [right.action] if right.action else many(statement["Action"])
        resources = [right.resource] if right.resource else many(statement["Resource"])
        return [
            denial
            for denial in self._denials(since)
            if denial.who == right.who
            and denial.action in actions
            and any(fnmatchcase(denial.resource, resource) for resource in resources)
        ]

    @contextmanager
    def may_be_assumed(self, *roles: str) -> Iterator[None]:
        """The account may wear these roles, beside whom Terraform lets: the emulator has no
        services that could.
        """
        iam = self.deployment.client("iam")
        before = {
            role: _document(
                iam.get_role(RoleName=self.full(role))["Role"]["AssumeRolePolicyDocument"]
            )
            for role in roles
        }
        try:
            for role, trust in before.items():
                wider = {**trust, "Statement": [*trust["Statement"], ACCOUNT_MAY_ASSUME]}
                iam.update_assume_role_policy(
                    RoleName=self.full(role), PolicyDocument=json.dumps(wider)
                )
            yield
        finally:
            for role, trust in before.items():
                iam.update_assume_role_policy(
                    RoleName=self.full(role), PolicyDocument=json.dumps(trust)
                )

    def hint(self, hint: Mapping[str, Any]) -> None:
        """Wake the scheduler, as a timer or an operator does."""
        self.deployment.sqs.send_message(
            QueueUrl=self.deployment.outputs["hints_queue_url"], MessageBody=json.dumps(hint)
        )

    def run(self, who: str, *command: str) -> subprocess.CompletedProcess[str]:
        """`bbq`, or another program, as a user who has this policy and nothing else."""
        environment = local_environment() | {
            "AWS_ACCESS_KEY_ID": self.keys[who]["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.keys[who]["SecretAccessKey"],
            "BBQ_NAME": self.name,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    _taken: list[Right] = field(default_factory=list)

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def _denials(self, since: tuple[int, int]) -> list[Denial]:
        found = [line.split(" ", 2) for line in self._lines()[since[0] :]] + simulator("denied")[
            "denied"
        ][since[1] :]
        return [Denial(self._who(who), action, resource) for who, action, resource in found]

    def _place(self, right: Right) -> tuple[str, str]:
        (place,) = [
            key
            for key, document in self.policies.items()
            if key[0] == right.who and _has(document, right)
        ]
        return place

    def _apply(self, places: set[tuple[str, str]]) -> None:
        for place in places:
            self._put(
                place,
                without(
                    self.policies[place],
                    [right for right in self._taken if self._place(right) == place],
                ),
            )

    def _put(self, place: tuple[str, str], document: Document) -> None:
        iam, (who, policy) = self.deployment.client("iam"), place
        if who in PEOPLE:
            iam.put_user_policy(
                UserName=f"rights-{who}", PolicyName="theirs", PolicyDocument=json.dumps(document)
            )
        elif document["Statement"]:
            iam.put_role_policy(
                RoleName=self.full(who), PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        else:
            iam.delete_role_policy(RoleName=self.full(who), PolicyName=policy)

    def _who(self, principal: str) -> str:
        """`intake` of a session's ARN, a role's name or a user's."""
        parts = principal.split("/")
        name = parts[1] if len(parts) > 1 else parts[0]
        return name.removeprefix(f"{self.name}-{REGION}-").removeprefix("rights-")


def until(probe: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first truthy answer, or the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def _document(document: Any) -> Document:
    return dict(json.loads(unquote(document)) if isinstance(document, str) else document)


def _has(document: Document, right: Right) -> bool:
    return any(
        right in tuple(rights(right.who, {"Statement": [s]}))
        for s in document["Statement"]
        if s["Sid"] == right.sid
    )
