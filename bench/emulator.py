"""A deployment on an emulator of its own: free ports, a state directory of its own, stopped
whatever happens.
"""

import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from bbq.shared.dynamodb import DynamoTables
from bbq.shared.events import Event, ModelPaused, ModelResumed
from bbq.shared.names import model_stream
from bbq.shared.store import Store
from local import build, deploy, stack
from local.deployment import LocalDeployment
from local.emulators import MINISTACK
from local.settings import REGION, ROOT, become, free_endpoints, local_environment

PATIENCE_SECONDS = 300.0


@contextmanager
def deployed(
    models: Mapping[str, Mapping[str, Any]], simulator: Sequence[str] = ()
) -> Iterator[tuple[LocalDeployment, Path]]:
    """The deployment with these models, and the directory of its logs. `simulator` are options of
    the Bedrock simulator.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    work = Path(tempfile.mkdtemp(prefix="bbq-bench-"))
    become(local_environment(free_endpoints()))
    record = work / "stack.json"
    try:
        build.build(ROOT, ROOT / ".build")
        stack.up(simulator, record=record, emulator=MINISTACK)
        variables = [
            f"-var=models={json.dumps(models)}",
            f"-var=default_model={next(iter(models))}",
        ]
        outputs = deploy.apply(variables, work=work / "terraform", quiet=True)
        yield LocalDeployment(outputs), work
    finally:
        stack.down(record)
        become(before)
        shutil.rmtree(work, ignore_errors=True)


def traced(deployment: LocalDeployment, service: str, file: Path) -> None:
    """From now on a function writes a line to `file` for each invocation (bench/traced.py)."""
    functions, name = deployment.client("lambda"), deployment.outputs[f"{service}_function"]
    code = zipped(
        {"traced.py": (ROOT / "bench" / "traced.py").read_text()},
        onto=(ROOT / ".build" / f"{service}.zip").read_bytes(),
    )
    functions.update_function_code(FunctionName=name, ZipFile=code)
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables |= {"BENCH_TRACE": str(file), "BENCH_SERVICE": service}
    functions.update_function_configuration(
        FunctionName=name, Handler="traced.handler", Environment={"Variables": variables}
    )


def zipped(files: Mapping[str, str], onto: bytes = b"") -> bytes:
    """A zip of these files, added to those of another one."""
    packed = BytesIO(onto)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def store_of(deployment: LocalDeployment) -> Store:
    """Its events and projections, as the functions see them."""
    tables = {
        "events": deployment.outputs["events_table"],
        "projections": deployment.outputs["projections_table"],
    }
    return Store(DynamoTables(tables, REGION), sleep=time.sleep)


@contextmanager
def lined_up(store: Store, alias: str, count: int) -> Iterator[None]:
    """The model is paused; what is uploaded inside waits, until all `count` jobs are in line.
    Afterwards it is resumed.
    """
    _say(
        store, alias, ModelPaused(at=datetime.now(UTC), by="bench", why="everybody lines up first")
    )
    until(lambda: (slots := store.slots(alias)) and slots.paused, f"{alias} is paused")
    yield
    until(lambda: store.waiting(alias).get("jobs", 0) == count, f"{count} jobs are in line")
    _say(store, alias, ModelResumed(at=datetime.now(UTC), by="bench", why="now"))


def _say(store: Store, alias: str, event: Event) -> None:
    store.append_to_model(alias, len(store.load(model_stream(alias))) + 1, event)


def until(done: Callable[[], object], what: str) -> None:
    """Wait. Raises TimeoutError, which says what did not come to be."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {PATIENCE_SECONDS:.0f} s it is still not so that {what}")
        time.sleep(0.25)
