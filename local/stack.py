"""Start and stop the stand-ins for AWS: MiniStack (with IAM enforced) and the Bedrock simulator.

`python -m local.stack up [simulator options]` starts both and waits until they answer; `down` ends exactly what was started;
`env` prints the shell settings that point the AWS CLI at them. Both listen on 127.0.0.1 only.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

from local.settings import EVENT_SOURCE, ROOT, STATE, bedrock_endpoint_of, endpoint_of, local_environment

START_SECONDS = 40.0
STOP_SECONDS = 10.0
LOCAL_HOSTS = {"127.0.0.1", "localhost"}


class StackError(Exception):
    """The message is one sentence for the person at the terminal, with what to do."""


def up(simulator_options: Sequence[str] = (), record: Path = STATE / "stack.json") -> dict[str, int]:
    """Start both; the process ids by name. Raises StackError, leaving nothing running."""
    if record.exists():
        raise StackError("the local stack is already up: run `make down` first")
    emulator, bedrock = _port(endpoint_of(), "AWS_ENDPOINT_URL"), _port(bedrock_endpoint_of(), "AWS_ENDPOINT_URL_BEDROCK")
    environment = local_environment()
    ministack = environment | {"AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(emulator)}
    ministack |= {"MINISTACK_REGION": environment["AWS_REGION"], "LAMBDA_STRICT": "0"}
    ministack.pop("AWS_ENDPOINT_URL_BEDROCK")  # a function has only the environment that Terraform gave it
    commands = {
        "ministack": ([_script("ministack")], ministack, endpoint_of() + "/_localstack/health"),
        "bedrock-simulator": (
            [
                sys.executable,
                "-m",
                "local.bedrock_simulator",
                f"--port={bedrock}",
                f"--event-source={EVENT_SOURCE}",
                *simulator_options,
            ],
            environment,
            bedrock_endpoint_of() + "/_simulator/health",
        ),
    }
    started: dict[str, int] = {}
    record.parent.mkdir(parents=True, exist_ok=True)
    try:
        for name, (command, env, _) in commands.items():
            with (record.parent / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own commands
                    command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
            started[name] = process.pid
            record.write_text(json.dumps(started))
        for name, (_, _, health) in commands.items():
            _wait(name, started[name], health, record.parent / f"{name}.log")
    except BaseException:
        down(record)
        raise
    return started


def down(record: Path = STATE / "stack.json") -> list[str]:
    """End exactly what `up` started; the names of what was ended."""
    if not record.exists():
        return []
    started: dict[str, int] = json.loads(record.read_text())
    ended = [name for name, pid in started.items() if _end(name, pid)]
    record.unlink()
    return ended


def _script(name: str) -> str:
    """A command of this virtual environment."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise StackError(f"{name} is not installed: run `make setup`")
    return str(path)


def _port(url: str, variable: str) -> int:
    parts = urlparse(url)
    port = parts.port or 80
    if parts.hostname not in LOCAL_HOSTS:
        raise StackError(f"{variable} is {url}, which is not on this machine: nothing to start, go on with `make deploy-local`")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise StackError(f"port {port} is busy: stop what listens there, or set {variable} to another port of 127.0.0.1")
    return port


def _wait(name: str, pid: int, health: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(health, timeout=2):  # noqa: S310 - http
            return
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
        time.sleep(0.1)
    lines = log.read_text(errors="replace").splitlines()
    raise StackError(f"{name} did not start: {lines[-1] if lines else 'it said nothing'} (more in {log})")


def _end(name: str, pid: int) -> bool:
    """End a process and its children, if it is still the one we started."""
    if not _is_ours(name, pid):
        return False
    for stop in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, stop)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if not _is_ours(name, pid):
                return True
            time.sleep(0.05)
    return True


def _is_ours(name: str, pid: int) -> bool:
    """Process ids are used again: the command line tells."""
    ps = shutil.which("ps")
    if ps is None:
        return True
    shown = subprocess.run([ps, "-p", str(pid), "-o", "stat=,command="], capture_output=True, text=True, check=False).stdout  # noqa: S603
    alive = shown.strip() and not shown.startswith("Z")
    return bool(alive) and name.replace("-", "_") in shown.replace("-", "_")


def main(arguments: Sequence[str]) -> int:
    """up, down or env."""
    match arguments:
        case ["up", *options]:
            up(options)
            print(f"MiniStack (IAM enforced) answers on {endpoint_of()}, the Bedrock simulator on {bedrock_endpoint_of()}")
            print("next: make deploy-local; end it with: make down")
        case ["down"]:
            ended = down()
            print(f"ended: {', '.join(ended)}" if ended else "nothing of ours was running")
        case ["env"]:
            for name, value in local_environment({k: v for k, v in os.environ.items() if k.startswith("AWS_")}).items():
                print(f"export {name}={value}")
        case _:
            print("usage: python -m local.stack up [simulator options] | down | env", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StackError as error:
        sys.exit(f"stack: {error}")
