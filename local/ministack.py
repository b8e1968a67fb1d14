"""MiniStack, as local.stack starts it, with three things that are otherwise in 1.5.33:

- It runs functions on the Python that Terraform names (local/function_python.py), and not on its
  own. That Python has none of this environment's packages, so a function runs on what is in its
  zip, as on AWS.
- A stream's batch with a record that its function reports as failed comes back, as on AWS.
  MiniStack reads `batchItemFailures` of queues alone. On AWS the batch comes back from that record
  on; here it comes back whole, which a function must bear anyway.
- Each invocation whose process ended before it answered is a line of JSON in the file that
  BBQ_CUT_OFF names: `{"function": name, "source": "aws:sqs"}`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ministack.app import main as serve
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.function_python import function_python

# MiniStack 1.5.33 has no setting for these; the lock pins it.
_own_choice = lambda_runtime._detect_runtime_binary  # noqa: SLF001 - as above
_own_execution = lambda_svc._execute_function  # noqa: SLF001 - as above
_invoke = lambda_runtime.Worker.invoke
DIED = "Worker process died"  # MiniStack's own words


def binary_and_script(runtime: str) -> tuple[str, str]:
    """What MiniStack runs a function of this runtime with: an interpreter, and the text of its
    worker for it.
    """
    binary, script = _own_choice(runtime)
    return (function_python() if runtime.startswith("python") else binary), script


def invoke(worker: Any, event: Any, *arguments: Any, **options: Any) -> Any:
    """MiniStack's own, which writes down whom it cut off."""
    answer = _invoke(worker, event, *arguments, **options)
    if answer.get("error") == DIED and (file := os.environ.get("BBQ_CUT_OFF")):
        (first, *_) = event.get("Records") or [{}]
        with Path(file).open("a") as lines:
            lines.write(
                json.dumps({"function": worker.func_name, "source": first.get("eventSource", "")})
                + "\n"
            )
    return answer


def execute(function: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Run a function: MiniStack's own result, but for a stream's batch of which a record failed."""
    return as_on_a_stream(event, _own_execution(function, event))


def as_on_a_stream(event: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The result, as an error if it says that a record of a stream's batch failed."""
    records, answer = event.get("Records") or [{}], result.get("body")
    failed = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    if not failed or records[0].get("eventSource") != "aws:dynamodb":
        return result
    text = f"{len(failed)} of {len(records)} records failed"
    return result | {
        "error": True,
        "body": {"errorType": "BatchItemFailures", "errorMessage": text},
    }


def main() -> None:
    """Serve until a signal comes."""
    lambda_runtime.Worker.invoke = invoke
    lambda_runtime._detect_runtime_binary = binary_and_script  # noqa: SLF001 - as above
    lambda_svc._execute_function = execute  # noqa: SLF001 - as above
    serve()


if __name__ == "__main__":
    main()
