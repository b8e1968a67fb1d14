"""Timers: EventBridge Scheduler's one-time schedules, which send a hint to the hints queue.

A fired schedule lingers under its name, so the due minute is part of the name: a conflict then
really means "armed". An early, late or double timer is only a hint. IAM: CreateSchedule and
DeleteSchedule in the group, PassRole on the timers' role.
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bbq.shared.due import minute_number

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_scheduler.type_defs import TargetTypeDef

# Scheduler's longest retry of a delivery; then the dead-letter queue (EventBridge Scheduler user
# guide)
MAX_AGE_SECONDS = 86_400


class Timers:
    """Arm and disarm. All timers of a deployment are in its own group."""

    def __init__(
        self,
        client: "EventBridgeSchedulerClient",
        *,
        group: str,
        role_arn: str,
        queue_arn: str,
        dlq_arn: str,
    ) -> None:
        self._client = client
        self._group = group
        self._target: TargetTypeDef = {
            "Arn": queue_arn,
            "RoleArn": role_arn,
            "DeadLetterConfig": {"Arn": dlq_arn},
            "RetryPolicy": {
                "MaximumEventAgeInSeconds": MAX_AGE_SECONDS,
                "MaximumRetryAttempts": 185,
            },
        }

    def arm_attempt(self, job: str, attempt: int, due: datetime) -> None:
        """Wake `job` at `due` (a whole minute, UTC)."""
        self._arm(
            _name(f"{job}-{attempt}", due),
            due,
            {"job": job, "attempt": attempt, "due": due.isoformat()},
        )

    def arm_model(self, alias: str, due: datetime) -> None:
        """Wake the model at `due`. Many refusals share one timer: the name is the same on
        purpose.
        """
        self._arm(_name(f"model-{alias}", due), due, {"wake": alias, "due": due.isoformat()})

    def disarm_attempt(self, job: str, attempt: int, due: datetime) -> None:
        """Remove a timer that is no longer needed. By attempt: another attempt's timer has another
        name.
        """
        try:
            self._client.delete_schedule(GroupName=self._group, Name=_name(f"{job}-{attempt}", due))
        except ClientError as error:
            if error.response["Error"].get("Code") != "ResourceNotFoundException":
                raise

    def _arm(self, name: str, due: datetime, payload: dict[str, str | int]) -> None:
        try:
            self._client.create_schedule(
                GroupName=self._group,
                Name=name,
                ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
                ScheduleExpressionTimezone="UTC",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={**self._target, "Input": json.dumps(payload)},
            )
        except ClientError as error:
            # armed already: delivered twice changes nothing
            if error.response["Error"].get("Code") != "ConflictException":
                raise


def _name(whose: str, due: datetime) -> str:
    """At most 26 + 1 + 3 + 1 + 9 of Scheduler's 64 characters."""
    return f"{whose}-{minute_number(due)}"
