"""A Lambda runtime executor that runs a function as a process of this machine: AWS's own runtime
client (awslambdaric) in BBQ_FUNCTION_PYTHON, an environment that holds nothing else, so that a
function runs on what is in its zip, as on AWS.

Each invocation whose process ended before it answered is a line of JSON in the file that
BBQ_CUT_OFF names: `{"function": name, "source": "aws:sqs"}`.
"""

import contextlib
import json
import logging
import os
import queue
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from .runtime_api import Answer, RuntimeApi, error_body

LOG = logging.getLogger(__name__)
START_SECONDS = 30.0
LOOK_SECONDS = 0.05  # between two looks at whether the process lives
LAST_WORDS = 2_000  # characters of what it printed, where it did not start
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG")  # of LocalStack's own environment


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc] # LocalStack is not in the environment that mypy sees
    """LAMBDA_RUNTIME_EXECUTOR=process."""

    name = "process"

    def load(self, *_: Any, **__: Any) -> Any:
        """The class of the executor."""
        return ProcessExecutor


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc] # as above
    """One execution environment, as LocalStack calls it: one invocation at a time."""

    def __init__(self, id: str, function_version: Any) -> None:  # noqa: A002 - LocalStack's name
        super().__init__(id, function_version)
        self._environment: dict[str, str] = {}
        self._process: _Process | None = None

    def start(self, env_vars: dict[str, str]) -> None:
        """Raises StatusErrorException, with what the function said, if it does not start."""
        self._environment = {name: str(value) for name, value in env_vars.items()}
        self._process = self._begun()

    def stop(self) -> None:
        """End it at once, whatever it does."""
        if self._process is not None:
            self._process.end()

    def invoke(self, payload: dict[str, str]) -> Any:
        """An InvocationResult. A process that died is followed by a new one, as on AWS."""
        if self._process is None or not self._process.lives:
            self.stop()
            self._process = self._begun()
        process = self._process
        request, began = payload["invoke-id"], time.monotonic()
        answer = process.ask(
            payload, float(self._environment.get("AWS_LAMBDA_FUNCTION_TIMEOUT", "3"))
        )
        if answer is None:
            self._cut_off(payload)
            answer = Answer(
                request=request,
                is_error=True,
                body=error_body("Runtime.ExitError", f"RequestId: {request} {process}"),
            )
        report = (
            f"REPORT RequestId: {request}\tDuration: {(time.monotonic() - began) * 1000:.2f} ms"
        )
        logs = "\n".join(
            [f"START RequestId: {request}", *process.lines, f"END RequestId: {request}", report]
        )
        process.lines.clear()
        return InvocationResult(
            request_id=request, payload=answer.body, is_error=answer.is_error, logs=logs
        )

    def get_logs(self) -> str:
        """What it printed since the last invocation."""
        return "\n".join(self._process.lines) if self._process is not None else ""

    def get_address(self) -> str:
        """Where the process is."""
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """Where LocalStack is, for the process."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """Where LocalStack's own runtime would report; nothing of ours does."""
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}"

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unzip the code."""
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """LocalStack removes the code itself."""

    def _begun(self) -> "_Process":
        version = self.function_version.config
        process = _Process(
            version.code.get_unzipped_code_location(),
            version.handler,
            version.runtime,
            self._environment,
        )
        if failure := process.wait_until_ready():
            raise StatusErrorException("the function did not start", payload=failure)
        return process

    def _cut_off(self, payload: dict[str, str]) -> None:
        name = self.function_version.id.function_name
        LOG.warning("%s ended before it answered", name)
        if file := os.environ.get("BBQ_CUT_OFF"):
            source = re.search(r'"eventSource": ?"(aws:\w+)"', payload["payload"])
            with Path(file).open("a") as lines:
                lines.write(
                    json.dumps({"function": name, "source": source[1] if source else ""}) + "\n"
                )


class _Process:
    """One process of the function, and the Runtime API that it talks to."""

    def __init__(self, code: Path, handler: str, runtime: str, environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._api = RuntimeApi()
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        ours = {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_TASK_ROOT": str(code),
            "PYTHONPATH": str(code),
            "PYTHONUNBUFFERED": "1",
        }
        # In LocalStack's own process group: whoever ends that ends this.
        self._popen = subprocess.Popen(  # noqa: S603 - our own Python
            [os.environ["BBQ_FUNCTION_PYTHON"], "-m", "awslambdaric", handler],
            cwd=code,
            env=kept | environment | ours,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __str__(self) -> str:
        return f"Error: Runtime exited with error: exit status {self._popen.returncode}"

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._popen.poll() is None

    def wait_until_ready(self) -> bytes | None:
        """None once it asks for work; else what is wrong, and it is ended."""
        deadline = time.monotonic() + START_SECONDS
        while not self._api.asked.wait(LOOK_SECONDS):
            if self._api.init_error is not None or not self.lives or time.monotonic() > deadline:
                self.end()
                return self._api.init_error or error_body(
                    "Runtime.ExitError", "\n".join(self.lines)[-LAST_WORDS:]
                )
        return None

    def ask(self, payload: dict[str, str], seconds: float) -> Answer | None:
        """What it says of an invocation within its timeout, or that it was over; None if the
        process ended before.
        """
        request, deadline = payload["invoke-id"], time.monotonic() + seconds
        self._api.give(payload, int((time.time() + seconds) * 1000))
        while True:
            lives = self.lives  # before the look at what it said: its last word may be an answer
            with contextlib.suppress(queue.Empty):
                answer = self._api.answers.get(timeout=LOOK_SECONDS)
                if answer.request == request:
                    return answer
            if not lives:
                return None
            if time.monotonic() > deadline:
                self.end()
                message = f"RequestId: {request} Error: Task timed out after {seconds:.2f} seconds"
                return Answer(
                    request=request, is_error=True, body=error_body("Sandbox.Timedout", message)
                )

    def end(self) -> None:
        """SIGKILL, and nothing listens any more."""
        self._popen.kill()
        self._popen.wait()
        self._api.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None  # noqa: S101 - PIPE
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))
