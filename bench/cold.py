"""Cold starts: what importing a handler and making its first clients costs, beside the least that any function in Python pays
for them: a botocore session that makes the same clients.

Measured from the unpacked zips alone, on the Python that functions run on (local/function_python.py), whose bytecode they hold
(local/build.py). The SDK is in the zip, for the floor as well: nothing else can be imported. Every sample is a fresh process; a
floor follows each. CPU time is what is compared, because others may use the machine; instruction counts come from valgrind, where
it is installed.
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from bench.samples import console, ratio_of_medians, show_summaries, show_targets, target
from local import build
from local.function_python import function_python
from local.settings import ROOT

AT_MOST = 1.35
SAMPLES, QUICK_SAMPLES = 41, 3
TIMEOUT_SECONDS = 600.0
MOST_SHOWN = 15
MODULES_BY_ITSELF = {"services", "shared"}
# What each handler is made ready with, once its module is imported.
READY = {
    "scheduler": "h._clients(), h._tables()._connection.client",
    "intake": "h._objects(), h._store()._tables._connection.client",
}

CHILD = """
import json, sys, time
sys.path[:] = [{task!r}] + [entry for entry in sys.path if "site-packages" not in entry]
began = time.process_time(), time.perf_counter()
{work}
print(json.dumps({{"cpu": (time.process_time() - began[0]) * 1000, "wall": (time.perf_counter() - began[1]) * 1000,
                  "modules": len(sys.modules), "clients": sorted(made) if "made" in globals() else []}}))
"""
OURS = """
import services.{service}.handler as h
imported = time.process_time()
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
    """CPU and wall milliseconds of each sample, instruction counts, and what each package costs to import."""
    found: dict[str, Any] = {
        "unit": "milliseconds",
        "samples": {},
        "zip_bytes": {},
        "imports": {},
        "clients": {},
        "modules": {},
        "instructions": {},
    }
    targets = []
    with tempfile.TemporaryDirectory(prefix="bbq-bench-") as directory:
        zips = {path.stem: path for path in build.build(ROOT, Path(directory))}
        for service, path in zips.items():
            task = Path(directory) / f"task-{service}"
            zipfile.ZipFile(path).extractall(task)
            ours = _Child(task, OURS.format(service=service, ready=READY[service]))
            clients = ours.run()["clients"]
            floor = _Child(task, FLOOR.format(clients=clients))
            pairs = [(ours.run(), floor.run()) for _ in range(QUICK_SAMPLES if quick else SAMPLES)]
            samples = {
                f"{who}, {kind}": [round(pair[place][kind], 3) for pair in pairs]
                for place, who in enumerate((service, "floor")) for kind in ("cpu", "wall")
            }  # fmt: skip
            found["modules"][service] = {who: pairs[0][place]["modules"] for place, who in enumerate((service, "floor"))}
            ratio = ratio_of_medians(samples[f"{service}, cpu"], samples["floor, cpu"])
            targets.append(target(f"cold start of {service} / floor, CPU time", ratio, at_most=AT_MOST))
            counts = {} if quick else {service: ours.instructions(), "floor": floor.instructions()}
            found["samples"][service], found["clients"][service] = samples, clients
            found["instructions"][service] = {name: count for name, count in counts.items() if count}
            found["zip_bytes"][service] = path.stat().st_size
            found["imports"][service] = _Child(task, f"import services.{service}.handler").imports()
    found["targets"] = targets
    _show(found)
    return found


class _Child:
    """A fresh process that does `work`, with only the unpacked zip to import from."""

    def __init__(self, task: Path, work: str) -> None:
        self._code = CHILD.format(task=str(task), work=work)

    def run(self) -> dict[str, Any]:
        """What it printed."""
        answer: dict[str, Any] = json.loads(self._output([function_python(), *_OPTIONS, "-c", self._code]).stdout)
        return answer

    def instructions(self) -> int | None:
        """How many it took, start of Python included; None without valgrind."""
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            return None
        tool = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        said = self._output([*tool, function_python(), *_OPTIONS, "-c", self._code]).stderr
        count = re.search(r"I\s+refs:\s+([\d,]+)", said)
        return int(count[1].replace(",", "")) if count else None

    def imports(self) -> dict[str, float]:
        """Milliseconds of each package's own modules, the most expensive first."""
        said = self._output([function_python(), *_OPTIONS, "-X", "importtime", "-c", self._code]).stderr
        costs: dict[str, float] = defaultdict(float)
        for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", said):
            costs[_package(name)] += int(own) / 1000
        return {name: round(cost, 2) for name, cost in sorted(costs.items(), key=lambda item: -item[1])[:MOST_SHOWN]}

    def _output(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environment = {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONHASHSEED": "0", **SETTINGS}
        return subprocess.run(  # noqa: S603 - our own command
            command, env=environment, cwd="/", capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS
        )


_OPTIONS = ("-S", "-B")  # nothing but what CHILD puts on the path; no bytecode is kept
# An environment that Terraform could have written (services/*/config.py).
SETTINGS = {
    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    "BBQ_DEPLOYMENT": "bbq",
    "BBQ_ACCOUNT_ID": "000000000000", "BBQ_EVENTS_TABLE": "events", "BBQ_PROJECTIONS_TABLE": "projections",
    "BBQ_BUCKET": "bucket", "BBQ_DEFAULT_MODEL": "haiku", "BBQ_UPLOADS_QUEUE_URL": "http://uploads",
    "BBQ_BEDROCK_ROLE_ARN": "role", "BBQ_HINTS_QUEUE_URL": "http://queue", "BBQ_HINTS_QUEUE_ARN": "queue",
    "BBQ_HINTS_DLQ_ARN": "dlq", "BBQ_TIMER_GROUP": "bbq", "BBQ_TIMER_ROLE_ARN": "role", "BBQ_EVENT_SOURCE": "aws.bedrock",
    "BBQ_EVENTS_TOPIC_ARN": "topic",
    "BBQ_CHECK_IN_MINUTES": "30", "BBQ_FUNCTION_TIMEOUT_SECONDS": "120", "BBQ_MODELS": '{"haiku": {"model_id": "m", "limit": 1}}',
}  # fmt: skip


def _package(module: str) -> str:
    """`aws_lambda_powertools.metrics` of `aws_lambda_powertools.metrics.base`; whole packages of others; our own modules."""
    parts = module.split(".")
    depth = 3 if parts[0] in MODULES_BY_ITSELF else 2 if parts[0] == "aws_lambda_powertools" else 1
    return ".".join(parts[:depth])


def _show(found: dict[str, Any]) -> None:
    for service, samples in found["samples"].items():
        show_summaries(f"{service}: import and first clients ({', '.join(found['clients'][service])})", "ms", samples)
        counts = found["instructions"][service]
        if counts:
            console.print(
                f"instructions: {counts[service]:,} against {counts['floor']:,}: {counts[service] / counts['floor']:.2f}"
            )
        table = Table(
            box=None, padding=(0, 2), title=f"what {service} imports, own time, with -X importtime", title_justify="left"
        )
        table.add_column("package")
        table.add_column("ms", justify="right")
        for name, cost in found["imports"][service].items():
            table.add_row(name, f"{cost:.1f}")
        console.print(table)
        console.print(
            f"zip: {found['zip_bytes'][service]:,} bytes; medians: {median(samples[f'{service}, cpu']):.0f} ms of CPU\n"
        )
    show_targets(found["targets"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples, no instruction counts")
    run(quick=parser.parse_args().quick)
