"""How far Bedrock is with a job that runs: its own count of processed records (aws-facts 1.2), which lags up to a minute.

Nice to have and nothing more: where Bedrock says no, or nothing, there is no count. IAM: bedrock:GetModelInvocationJob.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.deployment import client

BETWEEN = timedelta(minutes=1)  # of two questions about one job: the count is no fresher
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}


class Progress:
    """Counts by ARN, each asked for at most once a minute, and never again once Bedrock denied an answer."""

    def __init__(self, bedrock: Callable[[], Any] = lambda: client("bedrock")) -> None:
        self._bedrock = bedrock
        self._known: dict[str, tuple[datetime, int | None]] = {}
        self.denied = False

    def due(self, arn: str, now: datetime) -> bool:
        """Whether asking about it could say anything new."""
        return not self.denied and (arn not in self._known or now - self._known[arn][0] >= BETWEEN)

    def known(self, arn: str | None) -> int | None:
        """The last count, without asking."""
        return self._known[arn][1] if arn in self._known else None

    def ask(self, arn: str, now: datetime) -> int | None:
        """The count now, or the last one where it is not yet time to ask again; None where nobody can say."""
        if self.due(arn, now):
            before = self.known(arn)
            self._known[arn] = (now, before)  # also when it fails
            try:
                count = self._bedrock().get_model_invocation_job(jobIdentifier=arn).get("processedRecordCount")
                self._known[arn] = (now, int(count) if count is not None else before)
            except ClientError as error:
                self.denied = error.response["Error"].get("Code") in _DENIED
            except BotoCoreError:
                pass
        return self.known(arn)

    def forget(self, but: set[str]) -> None:
        """Keep only these."""
        self._known = {arn: said for arn, said in self._known.items() if arn in but}
