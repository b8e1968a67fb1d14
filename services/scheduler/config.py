"""The scheduler's configuration: one frozen object, read once from the environment, which Terraform
writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from bbq.shared.models import Model, parse_models

# One Create: connect plus read. Its answer may be this late; a lease covers it.
CREATE_CONNECT_TIMEOUT_SECONDS = 5
CREATE_READ_TIMEOUT_SECONDS = 30
CALL_CONNECT_TIMEOUT_SECONDS, CALL_READ_TIMEOUT_SECONDS = 2, 5  # of timers, hints and manifests
# all of them take less time than an invocation has: a service that hangs is an error, not its end
CALL_ATTEMPTS = 3
CREATE_TIMEOUT = timedelta(seconds=CREATE_CONNECT_TIMEOUT_SECONDS + CREATE_READ_TIMEOUT_SECONDS)
# clock skew between invocations, and Lambda's own slowness to stop one
LEASE_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything the scheduler is told. ARNs and URLs are the deployment's own."""

    deployment: str
    account_id: str
    region: str
    events_table: str
    projections_table: str
    models: Mapping[str, Model]
    bedrock_role_arn: str
    hints_queue_url: str
    hints_queue_arn: str
    hints_dlq_arn: str
    timer_group: str
    timer_role_arn: str
    events_topic_arn: str
    event_source: str
    check_in_minutes: int
    function_timeout: timedelta
    kms_key_arn: str | None = None

    @property
    def lease(self) -> timedelta:
        """How long a lease runs: nobody else calls Create while its owner still could."""
        return self.function_timeout + CREATE_TIMEOUT + LEASE_MARGIN


_REQUIRED = {
    "deployment": "BBQ_DEPLOYMENT",
    "account_id": "BBQ_ACCOUNT_ID",
    "region": "AWS_REGION",
    "events_table": "BBQ_EVENTS_TABLE",
    "projections_table": "BBQ_PROJECTIONS_TABLE",
    "bedrock_role_arn": "BBQ_BEDROCK_ROLE_ARN",
    "hints_queue_url": "BBQ_HINTS_QUEUE_URL",
    "hints_queue_arn": "BBQ_HINTS_QUEUE_ARN",
    "hints_dlq_arn": "BBQ_HINTS_DLQ_ARN",
    "timer_group": "BBQ_TIMER_GROUP",
    "timer_role_arn": "BBQ_TIMER_ROLE_ARN",
    "events_topic_arn": "BBQ_EVENTS_TOPIC_ARN",
    "event_source": "BBQ_EVENT_SOURCE",
}


def read_config(environment: Mapping[str, str]) -> Config:
    """Raises ValueError that names everything missing or wrong at once."""
    problems = [f"{name} is not set" for name in _REQUIRED.values() if not environment.get(name)]
    numbers: dict[str, int] = {}
    for name in ("BBQ_CHECK_IN_MINUTES", "BBQ_FUNCTION_TIMEOUT_SECONDS"):
        text = environment.get(name, "")
        if text.isdecimal() and int(text) > 0:
            numbers[name] = int(text)
        else:
            problems.append(f"{name} must be a whole number above 0")
    models: Mapping[str, Model] = {}
    try:
        models = parse_models(environment.get("BBQ_MODELS", ""))
    except ValueError as error:
        problems.append(f"BBQ_MODELS: {error}")
    if problems:
        raise ValueError("the scheduler's configuration is not complete: " + "; ".join(problems))
    return Config(
        **{field: environment[name] for field, name in _REQUIRED.items()},
        models=models,
        check_in_minutes=numbers["BBQ_CHECK_IN_MINUTES"],
        function_timeout=timedelta(seconds=numbers["BBQ_FUNCTION_TIMEOUT_SECONDS"]),
        kms_key_arn=environment.get("BBQ_KMS_KEY_ARN") or None,
    )
