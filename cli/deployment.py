"""Find a deployment by its name, and open what the tools need of it.

Terraform publishes what a deployment is as one SSM parameter, `/bedrock-batch-queue/<name>`
(terraform/operators.tf): one GetParameter finds everything, and one GetParametersByPath lists all
deployments of an account and Region. Credentials, Region, profile and endpoint are the AWS SDKs'
own; `--region`, `--profile` and `--endpoint-url` only set their variables.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from bbq.cli.faults import Fault, NotFound
from bbq.cli.sqs import SqsQueue
from bbq.services.scheduler.outbox import Outbox
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.models import Model, parse_models
from bbq.shared.store import Store
from bbq.shared.tables import EVENTS, PROJECTIONS

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

PATH = "/bedrock-batch-queue/"
MAX_ATTEMPTS = 5  # of one call; botocore's own growing pauses with jitter between them
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30


class NoDeployment(Fault):
    """There is none in this account and Region."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What Terraform says of a deployment. `lease` is the scheduler's; `dead_letter_queue_urls`:
    uploads, hints, stream.
    """

    name: str
    region: str
    account_id: str
    bucket: str
    events_table: str
    projections_table: str
    models: Mapping[str, Model]
    default_model: str
    uploads_queue_url: str
    hints_queue_url: str
    dead_letter_queue_urls: Mapping[str, str]
    events_topic_arn: str
    lease: timedelta

    @property
    def tables(self) -> DynamoTables:
        """Both tables; one connection for the whole process."""
        return _tables(self.events_table, self.projections_table, self.region)

    @property
    def store(self) -> Store:
        """Events and projections."""
        return Store(self.tables, sleep=time.sleep)

    @property
    def hints(self) -> Outbox:
        """The hints queue, to wake the scheduler by."""
        return Outbox(client("sqs"), self.hints_queue_url)

    def must_have(self, *aliases: str) -> None:
        """Raises NotFound for one that is no model of this deployment."""
        if unknown := [alias for alias in aliases if alias not in self.models]:
            models = ", ".join(sorted(self.models))
            raise NotFound(f"there is no model {unknown[0]!r}: the models are {models}")

    def queue(self, url: str) -> SqsQueue:
        """One queue, to look at and to drain."""
        return SqsQueue(client("sqs"), url)


def settle(*, region: str | None, profile: str | None, endpoint_url: str | None) -> None:
    """Make the options of the command line the settings of every SDK in this process."""
    for name, value in (
        ("AWS_REGION", region),
        ("AWS_PROFILE", profile),
        ("AWS_ENDPOINT_URL", endpoint_url),
    ):
        if value:
            os.environ[name] = value
    # boto3 reads AWS_DEFAULT_REGION alone, the other tools read AWS_REGION first.
    if os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"]


def find(name: str | None) -> Deployment:
    """The deployment of this name; without one, the only one there is. Raises NotFound, Fault."""
    ssm = cast("SSMClient", client("ssm"))
    if name is None:
        names = _names(ssm)
        if not names:
            raise NoDeployment(f"no deployment was named, and {_NONE}")
        if len(names) > 1:
            raise Fault(
                f"no deployment was named, and there are {', '.join(names)}: say which with --name "
                "or BBQ_NAME"
            )
        name = names[0]
    try:
        answer = ssm.get_parameter(Name=PATH + name)
    except ClientError as error:
        if error.response["Error"].get("Code") not in {"ParameterNotFound", "ValidationException"}:
            raise
        names = _names(ssm)
        there = f"there are {', '.join(names)}" if names else _NONE
        raise NotFound(f"there is no deployment {name!r} here; {there}") from None
    return read(answer["Parameter"]["Value"])


def without_aws(model: str) -> Deployment:
    """What stands for a deployment if there is none to ask: no name, and one model with Bedrock's
    own limits.
    """
    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(Deployment)), "")
    own_limits = Model(alias=model, model_id="", limit=0, check_bodies=False)
    known = {"models": {model: own_limits}, "default_model": model}
    return Deployment(**{**nothing, **known, "dead_letter_queue_urls": {}, "lease": timedelta(0)})


def read(text: str) -> Deployment:
    """What Terraform published. Raises Fault if this tool is too old or too new for it."""
    try:
        said: dict[str, Any] = json.loads(text)
        said["models"] = parse_models(json.dumps(said["models"]))
        said["lease"] = timedelta(seconds=said["lease_seconds"])
        return Deployment(**{field.name: said[field.name] for field in fields(Deployment)})
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(
            f"the deployment describes itself in a way that this bbq cannot read ({error}): use "
            "its version"
        ) from None


@cache
def client(service: str) -> Any:
    """A client of an AWS service, with bounded retries."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload] # a name at run time


_NONE = (
    "there are none in this account and Region: check the Region, the profile and AWS_ENDPOINT_URL"
)


def _names(ssm: "SSMClient") -> list[str]:
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=PATH)
    return sorted(
        parameter["Name"].removeprefix(PATH) for page in pages for parameter in page["Parameters"]
    )


@cache
def _tables(events: str, projections: str, region: str) -> DynamoTables:
    return DynamoTables({EVENTS: events, PROJECTIONS: projections}, region)
