"""Cold starts: what importing a handler and making its first clients costs, beside the least that
any function in Python pays for them: a botocore session that makes the same clients.

Measured from the unpacked zips alone, on the Python that functions run on
(local/function_python.py), whose bytecode they hold (local/build.py). The SDK is in the zip, for
the floor as well: nothing else can be imported. Every sample is a fresh process; a floor follows
each. CPU time is what is compared, because others may use the machine; instruction counts come from
valgrind, where it is installed.
"""

import json
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.table import Table, ratio_of_medians, rounded, target
from local import build
from local.function_python import function_python
from local.settings import ROOT

AT_MOST = 1.35
SAMPLES, QUICK_SAMPLES = 41, 3
TIMEOUT_SECONDS = 600.0
# What each handler is made ready with, once its module is imported.
READY = {
    "scheduler": "h.wiring._clients(), h.wiring._tables()._connection.client",
    "intake": "h._objects(), h._store()._tables._connection.client",
}

CHILD = """
import json, sys, time
sys.path[:] = [{task!r}] + [entry for entry in sys.path if "site-packages" not in entry]
began = time.process_time(), time.perf_counter()
{work}
print(json.dumps({{
    "cpu": (time.process_time() - began[0]) * 1000,
    "wall": (time.perf_counter() - began[1]) * 1000,
    "modules": len(sys.modules),
    "clients": sorted(made) if "made" in globals() else [],
}}))
"""
OURS = """
import bbq.services.{service}.handler as h
import botocore.session
made, create = [], botocore.session.Session.create_client
def counted(session, name, *arguments, **options):
    made.append(name)
    return create(session, name, *arguments, **options)
botocore.session.Session.create_client = counted
{ready}
"""
FLOOR = """
import botocore.session
session = botocore.session.get_session()
for name in {clients!r}:
    session.create_client(name)
"""


def run(*, quick: bool) -> dict[str, Any]:
    """CPU and wall milliseconds of each sample, how many modules are imported, and instruction
    counts.
    """
    names = ("samples", "zip_bytes", "clients", "modules", "instructions")
    found: dict[str, Any] = {**{name: {} for name in names}, "targets": []}
    with tempfile.TemporaryDirectory(prefix="bbq-bench-") as directory:
        zips = {path.stem: path for path in build.build(ROOT, Path(directory))}
        for service, path in zips.items():
            task = Path(directory) / f"task-{service}"
            zipfile.ZipFile(path).extractall(task)
            ours = OURS.format(service=service, ready=READY[service])
            clients = _sample(task, ours)["clients"]
            floor = FLOOR.format(clients=clients)
            pairs = [
                (_sample(task, ours), _sample(task, floor))
                for _ in range(QUICK_SAMPLES if quick else SAMPLES)
            ]
            samples = {
                f"{who}, {kind}": [round(pair[place][kind], 3) for pair in pairs]
                for place, who in enumerate((service, "floor"))
                for kind in ("cpu", "wall")
            }
            found["modules"][service] = {
                who: pairs[0][place]["modules"] for place, who in enumerate((service, "floor"))
            }
            ratio = ratio_of_medians(samples[f"{service}, cpu"], samples["floor, cpu"])
            found["targets"].append(
                target(f"cold start of {service} / floor, CPU time", ratio, at_most=AT_MOST)
            )
            counts = (
                {}
                if quick
                else {service: _instructions(task, ours), "floor": _instructions(task, floor)}
            )
            found["samples"][service], found["clients"][service] = samples, clients
            found["instructions"][service] = {
                name: count for name, count in counts.items() if count
            }
            found["zip_bytes"][service] = path.stat().st_size
    return found


def _sample(task: Path, work: str) -> dict[str, Any]:
    """What a fresh process prints that does `work`, with only the unpacked zip to import from."""
    answer: dict[str, Any] = json.loads(_output([], task, work).stdout)
    return answer


def _instructions(task: Path, work: str) -> int | None:
    """How many it took, start of Python included; None without valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    said = _output(
        [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"],
        task,
        work,
    ).stderr
    count = re.search(r"I\s+refs:\s+([\d,]+)", said)
    return int(count[1].replace(",", "")) if count else None


def _output(under: Sequence[str], task: Path, work: str) -> subprocess.CompletedProcess[str]:
    command = [*under, function_python(), *_OPTIONS, "-c", CHILD.format(task=str(task), work=work)]
    environment = {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONHASHSEED": "0", **SETTINGS}
    return subprocess.run(  # noqa: S603 - our own command
        command,
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )


_OPTIONS = ("-S", "-B")  # nothing but what CHILD puts on the path; no bytecode is kept
# An environment that Terraform could have written (services/*/config.py).
SETTINGS = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "BBQ_DEPLOYMENT": "bbq",
    "BBQ_ACCOUNT_ID": "000000000000",
    "BBQ_EVENTS_TABLE": "events",
    "BBQ_PROJECTIONS_TABLE": "projections",
    "BBQ_BUCKET": "bucket",
    "BBQ_DEFAULT_MODEL": "haiku",
    "BBQ_UPLOADS_QUEUE_URL": "http://uploads",
    "BBQ_BEDROCK_ROLE_ARN": "role",
    "BBQ_HINTS_QUEUE_URL": "http://queue",
    "BBQ_HINTS_QUEUE_ARN": "queue",
    "BBQ_HINTS_DLQ_ARN": "dlq",
    "BBQ_TIMER_GROUP": "bbq",
    "BBQ_TIMER_ROLE_ARN": "role",
    "BBQ_EVENT_SOURCE": "aws.bedrock",
    "BBQ_EVENTS_TOPIC_ARN": "topic",
    "BBQ_CHECK_IN_MINUTES": "30",
    "BBQ_FUNCTION_TIMEOUT_SECONDS": "120",
    "BBQ_MODELS": '{"haiku": {"model_id": "m", "limit": 1}}',
}


def report(result: Mapping[str, Any]) -> dict[str, Table]:
    """Cold starts beside their floor."""
    rows = [
        (
            service,
            ", ".join(result["clients"][service]),
            *(rounded(median(samples[f"{who}, cpu"]), 0) for who in (service, "floor")),
            rounded(median(samples[f"{service}, cpu"]) / median(samples["floor, cpu"]), 2),
            rounded(counts[service] / counts["floor"], 2)
            if (counts := result["instructions"][service])
            else "",
            f"{result['zip_bytes'][service]:,}",
        )
        for service, samples in result["samples"].items()
    ]
    columns = (
        "function",
        "clients",
        "CPU (ms)",
        "floor",
        "ratio",
        "by instructions",
        "zip (bytes)",
    )
    return {"cold": Table("cold starts beside their floor", columns, rows)}
