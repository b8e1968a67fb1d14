"""`bench/results.json`: what was measured, and of what, where, when and with which versions, so
that no figure stands alone.

Each part keeps its own envelope, because parts may be run one by one: {"parts": {name: {command,
commit, changed, taken_at, seconds, quick, machine, versions, result}}}. `changed` says that files
differed from the commit. Raw samples are in `result`; seeds too, where there are any.
"""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any

from local.settings import ROOT

PARTS = ("cold", "costs", "order", "refill", "scale", "scheduling", "throughput", "work")
RESULTS = ROOT / "bench" / "results.json"
QUICK_RESULTS = ROOT / ".local" / "bench.json"  # of runs that only show that everything works
MEASURED_WITH = (
    "boto3",
    "botocore",
    "pynamodb",
    "aws-lambda-powertools",
    "ministack",
    "greenlet",
    "matplotlib",
)


def part(name: str) -> ModuleType:
    """Its module. Imported only when it is needed: each has needs of its own."""
    return import_module(f"bench.{name}")


def read(path: Path = RESULTS) -> dict[str, Any]:
    """What was measured so far; nothing where there is no such file."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    return found


def write(results: dict[str, Any], path: Path = RESULTS) -> None:
    """One number, or one short list of numbers, a line: a change shows as what it is."""
    text = json.dumps(results, indent=1, sort_keys=True)
    # no text holds a line's end
    text = re.sub(r"\[\n([^\[\]{}\"]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def measure(name: str, *, quick: bool) -> dict[str, Any]:
    """Run one part: its result in its envelope."""
    began, commit, load = monotonic(), _commit(), round(os.getloadavg()[0], 2)
    result = part(name).run(quick=quick)
    return {
        "command": _command(name),
        "quick": quick,
        "seconds": round(monotonic() - began, 1),
        "taken_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **commit,
        "machine": {**_machine(), "load": load},
        "versions": {
            "python": _python(),
            **{package: version(package) for package in MEASURED_WITH},
        },
        "result": result,
    }


def _command(name: str) -> str:
    """With how many jobs `scale` was told to run, where it was (bench/scale.py)."""
    jobs = f"BENCH_JOBS={jobs} " if (jobs := os.environ.get("BENCH_JOBS")) else ""
    command = (
        f"make bench ARGS={name}"
        if platform.python_implementation() == "CPython"
        else f"pypy3 -m bench {name}"
    )
    return jobs + command


def _python() -> str:
    """The version; and of which Python, where it is not the usual one."""
    found, name = platform.python_version(), platform.python_implementation()
    return found if name == "CPython" else f"{found} ({name})"


def _commit() -> dict[str, Any]:
    changed = _git("status", "--porcelain", "--", ".", ":!bench/results.json", ":!docs")
    return {"commit": _git("rev-parse", "HEAD"), "changed": bool(changed)}


def _git(*arguments: str) -> str:
    """Empty where this is no clone."""
    done = subprocess.run(  # noqa: S603 - git of this machine
        ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - as above
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        re.findall(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if cpuinfo.exists()
        else []
    )
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
    }
