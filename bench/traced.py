"""Packed beside a function on the emulator: its handler, and a note of every call that it makes, as
a line of a file.

BENCH_SERVICE says whose handler it is, BENCH_TRACE the file. DynamoDB is asked what each call
consumed.
"""

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

_REAL = importlib.import_module(
    f"bbq.services.{os.environ.get('BENCH_SERVICE', 'scheduler')}.handler"
)
_WITH_CAPACITY = {"GetItem", "Query", "PutItem", "UpdateItem", "TransactWriteItems"}
_calls: list[tuple[str, float, float, Any]] = []
_invocations = 0
_call = BaseClient._make_api_call  # type: ignore[attr-defined]


def _timed(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
    if operation in _WITH_CAPACITY:
        arguments = {**arguments, "ReturnConsumedCapacity": "INDEXES"}
    began, consumed = time.time(), None
    try:
        answer = _call(client, operation, arguments)
        consumed = answer.get("ConsumedCapacity")
    finally:
        _calls.append((operation, began, time.time(), consumed))
    return answer


BaseClient._make_api_call = _timed  # type: ignore[attr-defined]


def handler(event: dict[str, Any], context: Any) -> Any:
    """The function's own answer."""
    global _invocations  # noqa: PLW0603 - of this process
    began = time.time()
    _calls.clear()
    _invocations += 1
    try:
        return _REAL.handler(event, context)
    finally:
        record = (event.get("Records") or [{}])[0]
        line = {
            "began": began,
            "ended": time.time(),
            "nth": _invocations,
            "calls": _calls,
            "body": record.get("body"),
            "sent": record.get("attributes", {}).get("SentTimestamp"),
        }
        with Path(os.environ["BENCH_TRACE"]).open("a") as file:
            file.write(json.dumps(line) + "\n")
