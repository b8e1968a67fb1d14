"""Deploy the Terraform to the local emulator through tflocal: the same files, only the endpoints
differ.

`python -m local.deploy apply [-var ...]`, `destroy`, `output NAME`. tflocal writes a provider file
beside the Terraform files, so that this works on a copy in `.local/terraform`, where the state is
kept too.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from local.deployment import LocalDeployment
from local.settings import (
    EVENT_SOURCE,
    ROOT,
    STATE,
    bedrock_endpoint_of,
    endpoint_of,
    local_environment,
)
from local.terraform_plugins import plugin_directory

WORK = STATE / "terraform"
CONNECT_SECONDS = 3.0
VARIABLES = ROOT / "local" / "local.tfvars"


class DeployError(Exception):
    """The message is one sentence for the person at the terminal, with what to do."""


def apply(
    arguments: Sequence[str] = (), *, work: Path = WORK, quiet: bool = False
) -> dict[str, Any]:
    """Initialise and apply; the outputs."""
    _must_answer(endpoint_of())
    _copy(work)
    plugins = plugin_directory(os.environ)
    _terraform(
        work,
        ["init", "-input=false", "-no-color", *([f"-plugin-dir={plugins}"] if plugins else [])],
        quiet=True,
    )
    _terraform(
        work,
        ["apply", "-input=false", "-auto-approve", "-no-color", *_variables(), *arguments],
        quiet=quiet,
    )
    return outputs(work)


def destroy(arguments: Sequence[str] = (), *, work: Path = WORK, quiet: bool = False) -> None:
    """Destroy all that was applied. The bucket is emptied first: on MiniStack the provider would
    try for ever to delete a key with a `+` or `%` in it.
    """
    if bucket := outputs(work).get("bucket"):
        LocalDeployment({"bucket": bucket}).empty()
    _terraform(
        work,
        ["destroy", "-input=false", "-auto-approve", "-no-color", *_variables(), *arguments],
        quiet=quiet,
    )


def outputs(work: Path = WORK) -> dict[str, Any]:
    """Terraform's outputs by name."""
    # tflocal prints notices, too
    answer = json.loads(_terraform(work, ["output", "-json"], quiet=True, command="terraform"))
    return {name: output["value"] for name, output in answer.items()}


def _must_answer(url: str) -> None:
    """Terraform would try for minutes."""
    parts = urlparse(url)
    try:
        socket.create_connection(
            (parts.hostname or "", parts.port or 443), timeout=CONNECT_SECONDS
        ).close()
    except OSError:
        raise DeployError(
            f"nothing answers on {url}: run `make up` first, or set AWS_ENDPOINT_URL to your "
            "emulator"
        ) from None


def _copy(work: Path) -> None:
    """Bring the copy up to the tree, keeping state and plugins."""
    work.mkdir(parents=True, exist_ok=True)
    for old in [*work.glob("*.tf"), work / "modules"]:
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    for file in (ROOT / "terraform").glob("*.tf"):
        shutil.copy(file, work)
    if (ROOT / "terraform" / "modules").is_dir():
        shutil.copytree(ROOT / "terraform" / "modules", work / "modules")


def _variables() -> list[str]:
    """What is local about a local deployment."""
    environment = json.dumps({"AWS_ENDPOINT_URL_BEDROCK": bedrock_endpoint_of()})
    return [
        f"-var-file={VARIABLES}",
        f"-var=event_source={EVENT_SOURCE}",
        f"-var=zip_directory={ROOT / '.build'}",
        f"-var=environment={environment}",
    ]


def _terraform(work: Path, arguments: list[str], *, quiet: bool, command: str = "tflocal") -> str:
    if shutil.which("terraform") is None:
        raise DeployError(
            "terraform is not installed: install Terraform 1.11 or later, then run this again"
        )
    env = local_environment() | {"S3_HOSTNAME": "localhost", "TF_IN_AUTOMATION": "1"}
    # tflocal is in the virtual environment
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    if not Path(env.get("TF_CLI_CONFIG_FILE", __file__)).exists():
        del env["TF_CLI_CONFIG_FILE"]  # Terraform would warn of it in every answer
    process = subprocess.Popen(  # noqa: S603 - our own command
        [command, f"-chdir={work}", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - PIPE
    lines = []
    for line in process.stdout:
        lines.append(line)
        if not quiet:
            print(line, end="", flush=True)
    if process.wait() != 0:
        raise DeployError(f"terraform {arguments[0]} failed:\n{''.join(lines[-30:])}")
    return "".join(lines)


def main(arguments: Sequence[str]) -> int:
    """apply, destroy or output."""
    match arguments:
        case ["apply", *rest]:
            apply(rest)
        case ["destroy", *rest]:
            destroy(rest)
        case ["output", name]:
            print(outputs()[name])
        case _:
            print("usage: python -m local.deploy apply | destroy | output NAME", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DeployError as error:
        sys.exit(f"deploy: {error}")
