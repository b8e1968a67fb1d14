"""How far Bedrock is with a job that runs: its own count of processed records
(GetModelInvocationJob), which lags up to a minute.

Nice to have and nothing more: where Bedrock says no, or nothing, there is no count, and whoever
waits for other things does not wait for it: one try, a short one, and after a failure a minute of
silence. IAM: bedrock:GetModelInvocationJob.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bbq.cli.faults import Exit, explain

TIMEOUT_SECONDS = 2
BETWEEN = timedelta(minutes=1)  # of two questions about one job: the count is no fresher


class Progress:
    """Counts by ARN, each asked for at most once a minute, and never again once Bedrock denied an
    answer.
    """

    def __init__(self, bedrock: Callable[[], Any] | None = None) -> None:
        self._bedrock = bedrock or client
        self._known: dict[str, tuple[datetime, int | None]] = {}
        self._failed: datetime | None = None
        self._denied = False

    def due(self, arn: str, now: datetime) -> bool:
        """Whether asking about it could say anything new."""
        silent = self._denied or (self._failed is not None and now - self._failed < BETWEEN)
        return not silent and (arn not in self._known or now - self._known[arn][0] >= BETWEEN)

    def known(self, arn: str | None) -> int | None:
        """The last count, without asking."""
        return self._known[arn][1] if arn in self._known else None

    def ask(self, arn: str, now: datetime) -> int | None:
        """The count now, or the last one where it is not yet time to ask again; None where nobody
        can say.
        """
        if self.due(arn, now):
            before = self.known(arn)
            self._known[arn] = (now, before)  # also when it fails
            try:
                count = (
                    self._bedrock()
                    .get_model_invocation_job(jobIdentifier=arn)
                    .get("processedRecordCount")
                )
                self._known[arn] = (now, int(count) if count is not None else before)
            except ClientError as error:
                self._denied = explain(error)[0] == Exit.NO_ACCESS
                self._failed = now
            except BotoCoreError:
                self._failed = now
        return self.known(arn)

    def forget(self, but: set[str]) -> None:
        """Keep only these."""
        self._known = {arn: said for arn, said in self._known.items() if arn in but}


@cache
def client() -> Any:
    """Bedrock, asked once and not for long."""
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
    )
    return boto3.client("bedrock", config=config)
