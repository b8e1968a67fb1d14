"""A deployment on the emulator whose rights can be taken away one at a time, and what was refused since.

Terraform is applied once. A mutation is the live policy, less one right, put in place of it; MiniStack reads policies at every
call, so it is in force at once, in functions that are already warm too.
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

from local.deployment import Deployment, simulator
from local.settings import REGION, local_environment
from tests.rights.mutation import Document, Right, many, rights, without

FUNCTIONS = ("intake", "scheduler")
ROLES = (*FUNCTIONS, "bedrock", "timers", "notifications")
PEOPLE = ("viewer", "operator")
PATIENCE_SECONDS = 8.0
ACCOUNT_MAY_ASSUME = {
    "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
}  # fmt: skip


@dataclass(frozen=True)
class Denial:
    """Who was refused what."""

    who: str
    action: str
    resource: str


@dataclass
class Bench:
    """`log` is what ministack_watched.py writes. `policies` are as Terraform applied them, by who and the policy's name."""

    deployment: Deployment
    log: Path
    name: str = "bbq-local"
    policies: dict[tuple[str, str], Document] = field(default_factory=dict)

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

    def full(self, role: str) -> str:
        """A role's whole name."""
        return f"{self.name}-{REGION}-{role}"

    def rights(self) -> Iterator[Right]:
        """All that can be taken away. What an operator has as a viewer is taken away from the viewer."""
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
        changed: dict[tuple[str, str], Document] = {}
        for right in taken:
            (place,) = [key for key, document in self.policies.items() if key[0] == right.who and _has(document, right)]
            changed[place] = without(changed.get(place, self.policies[place]), right)
        try:
            for place, document in changed.items():
                self._put(place, document)
            yield
        finally:
            for place in changed:
                self._put(place, self.policies[place])

    def denials(self) -> list[Denial]:
        """All so far."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [Denial(self._who(who), action, resource) for who, action, resource in (line.split(" ", 2) for line in lines)]
        return found + [Denial(self._who(who), action, what) for who, action, what in simulator("denied")["denied"]]

    def refused(self, right: Right, since: int) -> list[Denial]:
        """The refusals, from the `since`th on, that are for want of this right."""
        of = [s for (who, _), document in self.policies.items() if who == right.who for s in document["Statement"]]
        (statement,) = [s for s in of if s["Sid"] == right.sid]
        return [
            denial for denial in self.denials()[since:]
            if denial.who == right.who
            and denial.action in ([right.action] if right.action else many(statement["Action"]))
            and any(fnmatchcase(denial.resource, one) for one in ([right.resource] if right.resource else many(statement["Resource"])))
        ]  # fmt: skip

    @contextmanager
    def may_be_assumed(self, *roles: str) -> Iterator[None]:
        """The account may wear these roles, beside whom Terraform lets: the emulator has no services that could."""
        iam = self.deployment.client("iam")
        before = {role: _document(iam.get_role(RoleName=self.full(role))["Role"]["AssumeRolePolicyDocument"]) for role in roles}
        try:
            for role, trust in before.items():
                wider = {**trust, "Statement": [*trust["Statement"], ACCOUNT_MAY_ASSUME]}
                iam.update_assume_role_policy(RoleName=self.full(role), PolicyDocument=json.dumps(wider))
            yield
        finally:
            for role, trust in before.items():
                iam.update_assume_role_policy(RoleName=self.full(role), PolicyDocument=json.dumps(trust))

    def hint(self, hint: Mapping[str, Any]) -> None:
        """Wake the scheduler, as a timer or an operator does."""
        self.deployment.sqs.send_message(QueueUrl=self.deployment.outputs["hints_queue_url"], MessageBody=json.dumps(hint))

    def run(self, who: str, *command: str) -> subprocess.CompletedProcess[str]:
        """`bbq`, or another program, as a user who has this policy and nothing else."""
        iam = self.deployment.client("iam")
        if who not in self._keys:
            iam.create_user(UserName=who)
            self._put((who, ""), self.policies[who, ""])
            self._keys[who] = iam.create_access_key(UserName=who)["AccessKey"]
        environment = local_environment() | {
            "AWS_ACCESS_KEY_ID": self._keys[who]["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self._keys[who]["SecretAccessKey"],
            "BBQ_NAME": self.name,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip

    _keys: dict[str, Any] = field(default_factory=dict)

    def _put(self, place: tuple[str, str], document: Document) -> None:
        iam, (who, policy) = self.deployment.client("iam"), place
        if who in PEOPLE:
            if who in self._keys or not policy:
                iam.put_user_policy(UserName=who, PolicyName="theirs", PolicyDocument=json.dumps(document))
        elif document["Statement"]:
            iam.put_role_policy(RoleName=self.full(who), PolicyName=policy, PolicyDocument=json.dumps(document))
        else:
            iam.delete_role_policy(RoleName=self.full(who), PolicyName=policy)

    def _who(self, principal: str) -> str:
        """`intake` of a session's ARN, a role's name or a user's."""
        parts = principal.split("/")
        name = parts[1] if len(parts) > 1 else parts[0]
        return name.removeprefix(f"{self.name}-{REGION}-")


def until(probe: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first truthy answer, or the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def _document(document: Any) -> Document:
    return dict(json.loads(unquote(document)) if isinstance(document, str) else document)


def _has(document: Document, right: Right) -> bool:
    return any(right in tuple(rights(right.who, {"Statement": [s]})) for s in document["Statement"] if s["Sid"] == right.sid)
