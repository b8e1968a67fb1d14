"""Start and stop the stand-ins for AWS: the emulator that EMULATOR names (local/emulators.py), and
the Bedrock simulator.

`python -m local.stack up [simulator options]` starts both and waits until they answer; `down` ends
exactly what was started; `env` prints the shell settings that point the AWS CLI at them. Both
listen on 127.0.0.1 only.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from local.emulators import (
    CUT_OFF,
    FILES,
    LOCALSTACK,
    MINISTACK,
    TITLES,
    UnknownEmulator,
    chosen,
    described,
)
from local.function_python import missing
from local.settings import (
    EVENT_SOURCE,
    ROOT,
    STATE,
    bedrock_endpoint_of,
    endpoint_of,
    local_environment,
)

START_SECONDS = 180.0
STOP_SECONDS = 10.0
LOCAL_HOSTS = {"127.0.0.1", "localhost"}


class StackError(Exception):
    """The message is one sentence for the person at the terminal, with what to do."""


def up(
    simulator_options: Sequence[str] = (),
    record: Path = STATE / "stack.json",
    *,
    emulator: str = "",
    with_command: Sequence[str] = (),
) -> dict[str, int]:
    """Start both; the process ids by name. `emulator` is the name of one, else EMULATOR says it;
    `with_command` starts it another way. Raises StackError, leaving nothing running.
    """
    if record.exists():
        raise StackError(
            "the local stack is up already; next: make deploy-local (`make down` ends it and what "
            "is deployed)"
        )
    _free(endpoint_of(), "AWS_ENDPOINT_URL")
    _free(bedrock_endpoint_of(), "AWS_ENDPOINT_URL_BEDROCK")
    started: dict[str, int] = {}
    record.parent.mkdir(parents=True, exist_ok=True)
    _forget(record)
    (record.parent / FILES).mkdir(parents=True)
    commands = _emulator(record, emulator, with_command) | _simulator(simulator_options)
    try:
        for name, command in commands.items():
            started[name] = _start(command, record.parent / f"{name}.log", "wb")
            record.write_text(json.dumps(started))
        for name, command in commands.items():
            _wait(name, started[name], command.health, record.parent / f"{name}.log")
    except BaseException:
        down(record)
        raise
    return started


def kill(name: str, record: Path = STATE / "stack.json") -> None:
    """SIGKILL one of the two, as a crash would."""
    pid = json.loads(record.read_text())[name]
    if not _is_ours(name, pid):
        raise StackError(f"{name} is not running")
    os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def again(
    name: str, simulator_options: Sequence[str] = (), record: Path = STATE / "stack.json"
) -> None:
    """Start one of the two again that died, and wait until it answers."""
    command, log = (
        (_emulator(record) | _simulator(simulator_options))[name],
        record.parent / f"{name}.log",
    )
    pid = _start(command, log, "ab")
    record.write_text(json.dumps(json.loads(record.read_text()) | {name: pid}))
    _wait(name, pid, command.health, log)


def stop_on_sigterm() -> None:
    """From now on SIGTERM is as Ctrl-C in this process: whoever started servers gets to end
    them.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def down(record: Path = STATE / "stack.json") -> list[str]:
    """End exactly what `up` started; the names of what was ended."""
    if not record.exists():
        return []
    started: dict[str, int] = json.loads(record.read_text())
    ended = [name for name, pid in started.items() if _end(name, pid)]
    _forget(record)
    record.unlink()
    return ended


def _forget(record: Path) -> None:
    """Remove what an emulator kept and told."""
    (record.parent / CUT_OFF).unlink(missing_ok=True)
    shutil.rmtree(record.parent / FILES, ignore_errors=True)


def emulator_pid(record: Path = STATE / "stack.json") -> int:
    """The emulator's process id: it starts each instance of a function as a process of its own."""
    started: dict[str, int] = json.loads(record.read_text())
    return next(pid for name, pid in started.items() if name in {MINISTACK, LOCALSTACK})


def cut_off(record: Path = STATE / "stack.json") -> Counter[tuple[str, str]]:
    """How many invocations ended with their process, by the function's name and its event's source,
    such as `aws:sqs`.
    """
    told = record.parent / CUT_OFF
    lines = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    return Counter((line["function"], line["source"]) for line in lines)


@dataclass(frozen=True, kw_only=True)
class _Command:
    arguments: Sequence[str]
    environment: Mapping[str, str]
    health: str  # a URL that answers when it is ready


def _emulator(record: Path, name: str = "", command: Sequence[str] = ()) -> dict[str, _Command]:
    environment = local_environment()
    found = described(
        name or chosen(), _port(endpoint_of()), environment["AWS_REGION"], record.parent
    )
    if not Path(found.command[0]).exists():
        raise StackError(
            f"{found.name} is not set up: say `make up EMULATOR={found.name}`, which does it"
        )
    # a function has only the environment that Terraform gave it
    environment.pop("AWS_ENDPOINT_URL_BEDROCK")
    return {
        found.name: _Command(
            arguments=command or found.command,
            environment=environment | dict(found.settings),
            health=endpoint_of() + "/_localstack/health",
        )
    }


def _simulator(options: Sequence[str]) -> dict[str, _Command]:
    command = [
        sys.executable,
        "-m",
        "local.bedrock_simulator",
        f"--port={_port(bedrock_endpoint_of())}",
    ]
    return {
        "bedrock-simulator": _Command(
            arguments=[*command, f"--event-source={EVENT_SOURCE}", *options],
            environment=local_environment(),
            health=bedrock_endpoint_of() + "/_simulator/health",
        )
    }


def _start(command: _Command, log: Path, mode: str) -> int:
    """The process id."""
    with log.open(mode) as file:
        return subprocess.Popen(  # noqa: S603 - our own commands
            command.arguments,
            cwd=ROOT,
            env=command.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        ).pid


def _port(url: str) -> int:
    return urlparse(url).port or 80


def _free(url: str, variable: str) -> None:
    port = _port(url)
    if urlparse(url).hostname not in LOCAL_HOSTS:
        raise StackError(
            f"{variable} is {url}, which is not on this machine: nothing to start, go on with "
            "`make deploy-local`"
        )
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise StackError(
                f"port {port} is busy: stop what listens there, or set {variable} to another port "
                "of 127.0.0.1"
            )


def _wait(name: str, pid: int, health: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(health, timeout=2),  # noqa: S310 - an address of our own
        ):
            return
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
        time.sleep(0.1)
    lines = log.read_text(errors="replace").splitlines()
    raise StackError(
        f"{name} did not start: {lines[-1] if lines else 'it said nothing'} (more in {log})"
    )


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
    shown = subprocess.run(  # noqa: S603 - our own words
        [ps, "-p", str(pid), "-o", "stat=,command="], capture_output=True, text=True, check=False
    ).stdout
    alive = shown.strip() and not shown.startswith("Z")
    return bool(alive) and name.replace("-", "_") in shown.replace("-", "_")


def shell_settings(state: Path = STATE) -> dict[str, str]:
    """What a shell needs for the AWS CLI and `bbq` on the local deployment: endpoints, our tools,
    and, once it is deployed, what the README's commands call its parts.
    """
    settings = local_environment(
        {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    )
    settings["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    recorded = state / "terraform" / "terraform.tfstate"
    outputs = json.loads(recorded.read_text()).get("outputs", {}) if recorded.exists() else {}
    named = {
        "BUCKET": "bucket",
        "PROJECTIONS": "projections_table",
        "EVENTS": "events_table",
        "TOPIC": "events_topic_arn",
    }
    return settings | {
        name: outputs[output]["value"] for name, output in named.items() if output in outputs
    }


def main(arguments: Sequence[str]) -> int:
    """up, down or env."""
    match arguments:
        case ["up", *options]:
            up(options)
            if warning := missing():
                print(warning)
            print(
                f"{TITLES[chosen()]} answers on {endpoint_of()}, the Bedrock simulator on "
                f"{bedrock_endpoint_of()}"
            )
            print("next: make deploy-local; end it with: make down")
        case ["down"]:
            ended = down()
            print(f"ended: {', '.join(ended)}" if ended else "nothing of ours was running")
        case ["env"]:
            for name, value in shell_settings().items():
                print(f"export {name}={shlex.quote(value)}")
        case _:
            print(
                "usage: python -m local.stack up [simulator options] | down | env", file=sys.stderr
            )
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (StackError, UnknownEmulator) as error:
        sys.exit(f"stack: {error}")
