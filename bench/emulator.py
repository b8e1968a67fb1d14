"""A deployment on an emulator of its own: free ports, a state directory of its own, stopped whatever happens."""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local import build, deploy, stack
from local.deployment import Deployment
from local.settings import ROOT, local_environment


@contextmanager
def deployed(models: Mapping[str, Mapping[str, Any]], simulator: Sequence[str] = ()) -> Iterator[tuple[Deployment, Path]]:
    """The deployment with these models, and the directory of its logs. `simulator` are options of the Bedrock simulator."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    work = Path(tempfile.mkdtemp(prefix="bbq-bench-"))
    endpoints = {name: f"http://127.0.0.1:{free_port()}" for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK")}
    _become(local_environment(endpoints))
    record = work / "stack.json"
    try:
        build.build(ROOT, ROOT / ".build")
        stack.up(simulator, record=record)
        variables = [f"-var=models={json.dumps(models)}", f"-var=default_model={next(iter(models))}"]
        outputs = deploy.apply(variables, work=work / "terraform", quiet=True)
        yield Deployment(outputs), work
    finally:
        stack.down(record)
        _become(before)
        shutil.rmtree(work, ignore_errors=True)


def _become(settings: Mapping[str, str]) -> None:
    """These AWS settings and no others, for this process and all that it starts."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(settings)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
