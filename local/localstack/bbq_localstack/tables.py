"""DynamoDB and its streams by moto, which LocalStack brings for other services. LocalStack's own
provider starts DynamoDB Local, which stands under its vendor's own terms and is not in LocalStack's
package.

One call at a time: moto called by eight threads at once gave away 42 of 40 slots.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

from localstack.aws.api.dynamodb import DynamodbApi
from localstack.aws.api.dynamodbstreams import DynamodbstreamsApi
from localstack.services.moto import MotoFallbackDispatcher
from localstack.services.plugins import Service, ServiceLifecycleHook, aws_provider

from .transactions import improve

LOCK = threading.RLock()


class Tables(DynamodbApi, ServiceLifecycleHook):  # type: ignore[misc] # LocalStack is not in the environment that mypy sees
    """Everything is moto's."""


class Streams(DynamodbstreamsApi, ServiceLifecycleHook):  # type: ignore[misc] # as above
    """Everything is moto's."""


@aws_provider(api="dynamodb", name="moto")  # type: ignore[untyped-decorator] # as above
def dynamodb() -> Any:
    """PROVIDER_OVERRIDE_DYNAMODB=moto."""
    improve()
    return Service.for_provider(Tables(), dispatch_table_factory=_one_at_a_time)


@aws_provider(api="dynamodbstreams", name="moto")  # type: ignore[untyped-decorator] # as above
def dynamodbstreams() -> Any:
    """PROVIDER_OVERRIDE_DYNAMODBSTREAMS=moto."""
    return Service.for_provider(Streams(), dispatch_table_factory=_one_at_a_time)


def _one_at_a_time(provider: Any) -> dict[str, Callable[..., Any]]:
    return {name: _locked(call) for name, call in MotoFallbackDispatcher(provider).items()}


def _locked(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def locked(*arguments: Any) -> Any:
        with LOCK:
            return call(*arguments)

    return locked
