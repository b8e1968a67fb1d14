"""MiniStack, as local.stack starts it: it runs functions on the Python that Terraform names (local/function_python.py), and not
on its own. That Python has none of this environment's packages, so a function runs on what is in its zip, as on AWS.

Each invocation whose process ended before it answered is a line of JSON in the file that BBQ_CUT_OFF names:
`{"function": name, "source": "aws:sqs"}`.
"""

import json
import os
from pathlib import Path
from typing import Any

from ministack.app import main as serve
from ministack.core import lambda_runtime

from local.function_python import function_python

_own_choice = lambda_runtime._detect_runtime_binary  # noqa: SLF001 - MiniStack 1.5.33 has no setting for it; the lock pins it
_invoke = lambda_runtime.Worker.invoke
DIED = "Worker process died"  # MiniStack's own words


def binary_and_script(runtime: str) -> tuple[str, str]:
    """What MiniStack runs a function of this runtime with: an interpreter, and the text of its worker for it."""
    binary, script = _own_choice(runtime)
    return (function_python() if runtime.startswith("python") else binary), script


def invoke(worker: Any, event: Any, *arguments: Any, **options: Any) -> Any:
    """MiniStack's own, which writes down whom it cut off."""
    answer = _invoke(worker, event, *arguments, **options)
    if answer.get("error") == DIED and (file := os.environ.get("BBQ_CUT_OFF")):
        (first, *_) = event.get("Records") or [{}]
        with Path(file).open("a") as lines:
            lines.write(json.dumps({"function": worker.func_name, "source": first.get("eventSource", "")}) + "\n")
    return answer


def main() -> None:
    """Serve until a signal comes."""
    lambda_runtime.Worker.invoke = invoke
    lambda_runtime._detect_runtime_binary = binary_and_script  # noqa: SLF001 - as above
    serve()


if __name__ == "__main__":
    main()
