"""One-time schedules fire: LocalStack keeps schedules, by moto, and never runs them.

Once a second what is due is sent to its target, an SQS queue, and deleted if the schedule says so.
Its role, retries and dead-letter queue are not looked at. Recurring schedules never fire: this
project has none.
"""

import logging
import re
import threading
import time
from datetime import UTC, datetime
from typing import Any

from localstack.aws.connect import connect_to
from localstack.runtime import hooks
from moto.scheduler.models import scheduler_backends

LOG = logging.getLogger(__name__)
TICK_SECONDS = 1.0
ONCE = re.compile(r"^at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)$")


@hooks.on_infra_ready()  # type: ignore[untyped-decorator] # LocalStack is not in the environment that mypy sees
def fire_schedules() -> None:
    """Start when LocalStack is ready."""
    threading.Thread(target=_fire, daemon=True, name="bbq-schedules").start()


def _fire() -> None:
    while True:
        time.sleep(TICK_SECONDS)
        for account, regions in list(scheduler_backends.items()):
            for region, backend in list(regions.items()):
                for group in list(backend.schedule_groups.values()):
                    for schedule in list(group.schedules.values()):
                        try:
                            if is_due(schedule, datetime.now(UTC)):
                                _send(account, region, group, schedule)
                        except Exception:
                            LOG.exception("schedule %s", schedule.name)


def is_due(schedule: Any, now: datetime) -> bool:
    """Whether a schedule of moto's is one-time, enabled, over, and was not sent yet."""
    once = ONCE.match(schedule.schedule_expression)
    if once is None or schedule.state != "ENABLED" or getattr(schedule, "sent", False):
        return False
    return datetime.fromisoformat(once[1]).replace(tzinfo=UTC) <= now


def _send(account: str, region: str, group: Any, schedule: Any) -> None:
    sqs = connect_to(aws_access_key_id=account, region_name=region).sqs
    url = sqs.get_queue_url(QueueName=schedule.target["Arn"].rsplit(":", 1)[1])["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=schedule.target["Input"])
    schedule.sent = True
    if schedule.action_after_completion == "DELETE":
        group.schedules.pop(schedule.name, None)
