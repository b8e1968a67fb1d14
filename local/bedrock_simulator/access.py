"""May the caller do this? Asked of the emulator's IAM for every call, as Bedrock asks AWS's
(`--enforce-iam`).

Who calls is told by the access key of the signature. MiniStack makes a function's key of the
function's ARN and its role's (ministack.core.lambda_runtime.execution_credentials); a user's key is
found at IAM. The signature itself is not checked. The policies are read again each time, so that a
change is in force at once, and decided on by MiniStack's own evaluator.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from local.bedrock_simulator.errors import ACCESS, BedrockError, not_authorized
from local.bedrock_simulator.models import foundation_model_arn, is_profile, model_arn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import boto3

_KEY = re.compile(r"Credential=([A-Za-z0-9]+)/")


class Access:
    """`denied` are the refusals so far, as (who, action, resource)."""

    def __init__(self, session: boto3.Session) -> None:
        self._region = str(session.region_name)
        self._iam: Any = session.client("iam")
        self._functions: Any = session.client("lambda")
        self._evaluator: Any = import_module("ministack.core.iam_evaluator")
        self._lock = threading.Lock()
        self._account = "000000000000"
        self.denied: list[tuple[str, str, str]] = []

    def create(self, authorization: str, body: Mapping[str, Any]) -> None:
        """CreateModelInvocationJob, with iam:PassRole; and the passed role's own
        bedrock:InvokeModel where a profile is used.
        """
        caller, role = self._caller(authorization), str(body.get("roleArn", ""))
        models = self._models(str(body.get("modelId", "")))
        # PassRole first: recorded 2026-09-06, METResearchGroup/mirrorView-task FINDINGS.md.
        self._require(
            caller, "iam:PassRole", role, {"iam:passedtoservice": "bedrock.amazonaws.com"}
        )
        for resource in (
            f"arn:aws:bedrock:{self._region}:{self._account}:model-invocation-job/new",
            *models,
        ):
            self._require(caller, "bedrock:CreateModelInvocationJob", resource)
        if len(models) > 1:
            for resource in models:
                self._require(("role", role.rsplit("/", 1)[-1]), "bedrock:InvokeModel", resource)

    def other(self, authorization: str, action: str, resource: str = "*") -> None:
        """Any other call. Raises BedrockError."""
        self._require(self._caller(authorization), f"bedrock:{action}", resource)

    def _models(self, model: str) -> list[str]:
        """What IAM sees of a model id: itself; and for a profile, the model it runs, here in one
        Region.
        """
        own = model_arn(model, self._region, self._account)
        return [own, foundation_model_arn(model, self._region)] if is_profile(model) else [own]

    def _require(
        self,
        who: tuple[str, str] | None,
        action: str,
        resource: str,
        context: Mapping[str, str] | None = None,
    ) -> None:
        if who is None:
            return
        caller = f"arn:aws:iam::{self._account}:{'/'.join(who)}"
        with self._lock:
            policies = [
                self._evaluator.parse_policy_document(document)
                for document in self._documents(*who)
            ]
            asked = self._evaluator.EvalContext(
                principal_arn=caller,
                principal_type=who[0],
                principal_account=self._account,
                action=action,
                resource_arn=resource,
                region=self._region,
                service_context=dict(context or {}),
            )
            if self._evaluator.evaluate(asked, policies).decision == "Allow":
                return
            self.denied.append((who[1], action, resource))
        raise BedrockError(ACCESS, not_authorized(caller, action, resource))

    def _caller(self, authorization: str) -> tuple[str, str] | None:
        """("role" or "user", name); None is the account itself, which may do everything."""
        found = _KEY.search(authorization)
        key = found[1] if found else ""
        if key.startswith("ASIA"):
            for function in self._functions.list_functions()["Functions"]:
                for arn in (function["FunctionArn"], f"{function['FunctionArn']}:$LATEST"):
                    digest = hashlib.sha256(f"{arn}:{function['Role']}".encode()).hexdigest()
                    if key == f"ASIA{digest[:16].upper()}":
                        return "role", function["Role"].rsplit("/", 1)[-1]
        elif key.startswith("AKIA"):
            for user in self._iam.list_users()["Users"]:
                keys = self._iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]
                if key in [known["AccessKeyId"] for known in keys]:
                    return "user", user["UserName"]
        else:
            return None
        raise BedrockError(ACCESS, "The security token included in the request is invalid.")

    def _documents(self, kind: str, name: str) -> Iterator[str]:
        """The policies of a role or user, inline ones and attached ones."""
        of = {f"{kind.title()}Name": name}
        names: Sequence[str] = getattr(self._iam, f"list_{kind}_policies")(**of)["PolicyNames"]
        for policy in names:
            document = getattr(self._iam, f"get_{kind}_policy")(**of, PolicyName=policy)[
                "PolicyDocument"
            ]
            yield document if isinstance(document, str) else json.dumps(document)
        for policy in getattr(self._iam, f"list_attached_{kind}_policies")(**of)[
            "AttachedPolicies"
        ]:
            version = self._iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"][
                "DefaultVersionId"
            ]
            answer = self._iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
            document = answer["PolicyVersion"]["Document"]
            yield document if isinstance(document, str) else json.dumps(document)
