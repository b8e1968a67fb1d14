"""Hints: what may wake the scheduler, read from messages that anybody may have forged.

Pure. A hint may hurry the queue, not steer it, with one exception: a report that names a running
attempt and its very ARN is believed without asking Bedrock again, for the sake of a fast refill.
Who may send to the hints queue is therefore trusted that far; on the bus only AWS can (nobody else
may send `aws.` events). Whatever cannot be read is None, and changes nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bbq.shared.job import ENDS, RANK
from bbq.shared.models import Model, resource
from bbq.shared.names import is_job_id, parse_attempt_name
from bbq.shared.plain import shortened

# Bedrock user guide, "Monitor Bedrock with EventBridge"
DETAIL_TYPE = "Batch Inference Job State Change"
ALL = "all"
MAX_BODY = 262_144  # SQS's own limit of a message was this for long; nothing of ours is near it
MAX_TEXT = 500
MAX_ATTEMPT = 999  # as in job names
_STATUSES = ENDS | set(RANK)
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a Bedrock event says of one Bedrock job, ours or not. `job` and `attempt` are None for
    jobs not named as ours are.
    """

    arn: str
    model_id: str
    status: str
    message: str
    job: str | None
    attempt: int | None


@dataclass(frozen=True, kw_only=True)
class JobHint:
    """Look at this job. `timer`: one of its timers woke us, of this `attempt`."""

    job: str
    attempt: int = 0
    timer: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelHint:
    """Look at this model, or at all of them. `ask`: Bedrock is to be asked again although the model
    is on hold.
    """

    alias: str
    ask: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishHint:
    """Publish this event of the job. The event is read from the store: a hint only names it."""

    job: str
    version: int


Hint = Report | JobHint | ModelHint | PublishHint


def parse(body: str, *, deployment: str, source: str, account: str, region: str) -> Hint | None:
    """The hint in the body of a message on the hints queue; None for what is not one."""
    if len(body) > MAX_BODY:
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    if "detail-type" in message:
        return _report(
            message, deployment=deployment, source=source, account=account, region=region
        )
    if "job" in message:
        return _job_hint(message)
    if "publish" in message:
        return _publish_hint(message)
    return _model_hint(message)


def alias_of(model_id: str, models: Mapping[str, Model]) -> str | None:
    """The alias whose model id this is, given as an id or as an ARN that ends in it."""
    of_ours = (a for a, model in models.items() if resource(model.model_id) == resource(model_id))
    return next(of_ours, None)


def _report(
    message: dict[str, Any], *, deployment: str, source: str, account: str, region: str
) -> Report | None:
    """The documented shape; no time is parsed: in the guide's own sample it is not ISO 8601."""
    detail = message.get("detail")
    sent = tuple(message.get(name) for name in ("detail-type", "source", "account", "region"))
    if sent != (DETAIL_TYPE, source, account, region) or not isinstance(detail, dict):
        return None
    arn, status = _text(detail, "batchJobArn"), _text(detail, "status")
    here = f"{re.escape(region)}:{re.escape(account)}"
    if status not in _STATUSES or not re.fullmatch(
        rf"arn:aws[a-z-]*:bedrock:{here}:model-invocation-job/[a-z0-9]{{12}}", arn
    ):
        return None
    name = parse_attempt_name(deployment, _text(detail, "batchJobName"))
    return Report(
        arn=arn,
        model_id=_text(detail, "batchModelId"),
        status=status,
        message=shortened(_text(detail, "failureMessage"), MAX_TEXT),
        job=name[0] if name else None,
        attempt=name[1] if name else None,
    )


def _job_hint(message: dict[str, Any]) -> JobHint | None:
    job = message["job"]
    if not isinstance(job, str) or not is_job_id(job):
        return None
    attempt = message.get("attempt")
    if not isinstance(attempt, int) or not 0 <= attempt <= MAX_ATTEMPT:
        attempt = 0
    return JobHint(job=job, attempt=attempt, timer="due" in message)


def _publish_hint(message: dict[str, Any]) -> PublishHint | None:
    job, version = message["publish"], message.get("version")
    if not isinstance(job, str) or not is_job_id(job):
        return None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        return None
    return PublishHint(job=job, version=version)


def _model_hint(message: dict[str, Any]) -> ModelHint | None:
    alias = message.get("wake")
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        return None
    return ModelHint(alias=alias, ask=message.get("ask") is True)


def _text(detail: dict[str, Any], name: str) -> str:
    value = detail.get(name)
    return value if isinstance(value, str) else ""
