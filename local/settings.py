"""Where the local stand-ins for AWS are, and the environment that every local command shares.

`AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_BEDROCK` decide, as they do for the AWS SDKs: set them to
use LocalStack, or any other emulator or Bedrock stand-in, instead of what `make up` starts.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"  # logs, state and results of local runs; `make clean` removes it

AWS_URL = "http://127.0.0.1:4566"
BEDROCK_URL = "http://127.0.0.1:4567"
REGION = "us-east-1"
EVENT_SOURCE = "local.bedrock"  # nobody but AWS may send `aws.` events


def endpoint_of(environment: Mapping[str, str] = os.environ) -> str:
    """Where the emulator is."""
    return environment.get("AWS_ENDPOINT_URL") or AWS_URL


def bedrock_endpoint_of(environment: Mapping[str, str] = os.environ) -> str:
    """Where the Bedrock stand-in is."""
    return environment.get("AWS_ENDPOINT_URL_BEDROCK") or BEDROCK_URL


def local_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for SDKs, the AWS CLI and Terraform against the stand-ins. Real credentials
    never enter it.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint_of(environment),
        "AWS_ENDPOINT_URL_BEDROCK": bedrock_endpoint_of(environment),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": environment.get("AWS_REGION") or REGION,
        "AWS_DEFAULT_REGION": environment.get("AWS_REGION") or REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }


def free_endpoints() -> dict[str, str]:
    """Both endpoints on free ports of this machine: for a stack of one's own, beside any other."""
    return {
        name: f"http://127.0.0.1:{free_port()}"
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK")
    }


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def become(settings: Mapping[str, str]) -> None:
    """These AWS settings and no others, for this process and all that it starts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(settings)
