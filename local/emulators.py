"""The emulators of AWS that `make up`, `make demo` and the end-to-end tests run on: EMULATOR names
one.

- MiniStack, the default: in the project's own environment, IAM enforced.
- LocalStack's open-source edition, in an environment of its own (local/setup_localstack.py) with
  plugins of ours (local/localstack): IAM stored and not enforced, DynamoDB by moto.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.settings import STATE

MINISTACK, LOCALSTACK = "ministack", "localstack"
ENVIRONMENTS = STATE / "localstack"  # of LocalStack, and of the functions that run on it
LOCALSTACK_PYTHON = ENVIRONMENTS / "server" / "bin" / "python"
FUNCTION_PYTHON = ENVIRONMENTS / "functions" / "bin" / "python"
TITLES = {
    MINISTACK: "MiniStack (IAM enforced)",
    LOCALSTACK: "LocalStack (IAM stored and not enforced, DynamoDB by moto)",
}
CUT_OFF, FILES = "cut-off.jsonl", "localstack/files"


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """How to start one."""

    name: str  # in its command line, too
    command: tuple[str, ...]
    settings: Mapping[str, str]  # beside the local environment


class UnknownEmulator(Exception):
    """The message is one sentence for the person at the terminal, with what to do."""


def chosen(environment: Mapping[str, str] = os.environ) -> str:
    """The name of the emulator to run on. Raises UnknownEmulator."""
    name = environment.get("EMULATOR") or MINISTACK
    if name not in {MINISTACK, LOCALSTACK}:
        raise UnknownEmulator(f"EMULATOR is {name}: say {MINISTACK} or {LOCALSTACK}")
    return name


def described(name: str, port: int, region: str, directory: Path) -> Emulator:
    """One that listens on this port of 127.0.0.1. What it keeps, and tells, is in the directory."""
    told = {"BBQ_CUT_OFF": str(directory / CUT_OFF)}
    if name == LOCALSTACK:
        return _localstack(port, directory / FILES, told)
    settings = {"AUTH": "true", "MINISTACK_REGION": region, "LAMBDA_STRICT": "0"}
    # its broker listens everywhere
    settings |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"}
    return Emulator(
        name=MINISTACK, command=(sys.executable, "-m", "local.ministack"), settings=settings | told
    )


def _localstack(port: int, root: Path, told: Mapping[str, str]) -> Emulator:
    place = f"127.0.0.1:{port}"
    settings = {
        "GATEWAY_LISTEN": place,
        "GATEWAY_SERVER": "loopback",  # local/localstack/bbq_localstack/server.py
        "LOCALSTACK_HOST": place,
        "LAMBDA_RUNTIME_EXECUTOR": "process",  # .../executor.py
        "BBQ_FUNCTION_PYTHON": str(FUNCTION_PYTHON),
        # Its own provider would fetch and start DynamoDB Local, which is not open source.
        "PROVIDER_OVERRIDE_DYNAMODB": "moto",  # .../tables.py
        "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "moto",
        # http://host:port/account/name: what Terraform takes, and what needs no DNS
        "SQS_ENDPOINT_STRATEGY": "off",
        # on a machine that looks like a container all would share, and clear, one directory
        "OVERRIDE_IN_DOCKER": "0",
        # Seconds until a queue or stream is asked for more; by default one, and up to ten once it
        # was empty.
        "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0",
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "0.5",
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC": "5",  # by default a minute
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "FILESYSTEM_ROOT": str(root),
        "LOCALSTACK_VOLUME_DIR": str(root / "volume"),
        "CONFIG_DIR": str(root / "config"),
        "XDG_CACHE_HOME": str(root / "cache"),  # where it keeps a list of its plugins
        "TMPDIR": str(root),  # where it unzips functions and keeps objects (.../objects.py)
        "PATH": f"{LOCALSTACK_PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return Emulator(
        name=LOCALSTACK,
        command=(str(LOCALSTACK_PYTHON), "-m", "localstack.runtime.main"),
        settings=settings | dict(told),
    )
