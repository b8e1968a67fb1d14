"""The Python that functions run on: Terraform names its version, this finds it on the machine.

It compiles the bytecode of the zips (local/build.py) and runs functions on the emulator
(local/ministack.py), whatever version runs the tools themselves. If the machine does not have it,
the Python that is running does both, and `missing` says so.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

VERSION = "3.13"  # terraform/modules/function
PROBE_SECONDS = 10.0
# `ssl`: a Python built without it calls no service. A shim says here which file it runs.
_PROBE = (
    "import json, ssl, sys; print(json.dumps([sys.executable, '.'.join(map(str, "
    "sys.version_info[:2]))]))"
)


@cache
def function_python() -> str:
    """Path of a Python of VERSION, or else of the running version; outside of any virtual
    environment, if it can be told.
    """
    return _found() or _running()


@cache
def missing() -> str | None:
    """What a person should know if the machine has no Python of VERSION; None if it has."""
    if _found():
        return None
    running = ".".join(map(str, sys.version_info[:2]))
    return (
        f"this machine has no Python {VERSION}, which functions run on in AWS (looked on PATH and "
        "in pyenv's versions): "
        f"Python {running} compiles the zips, which a cold start on AWS then does again, and runs "
        "them on the emulator; "
        f"to change that, put python{VERSION} on PATH"
    )


@cache
def _found() -> str | None:
    return next(filter(None, map(_usable, _candidates())), None)


def _candidates() -> Iterator[Path]:
    name = f"python{VERSION}"
    yield Path(sys.base_prefix, "bin", name)
    if on_path := shutil.which(name):
        yield Path(on_path)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = [
        path for path in versions.glob(f"{VERSION}.*") if re.fullmatch(r"[\d.]+", path.name)
    ]
    for path in sorted(installed, key=lambda path: int(path.name.rpartition(".")[2]), reverse=True):
        yield path / "bin" / name


def _usable(candidate: Path) -> str | None:
    """The file that runs, if it runs and is of VERSION: pyenv's shim of a version that is not
    switched on does not run.
    """
    if not candidate.exists():
        return None
    try:
        shown = subprocess.run(  # noqa: S603 - a Python of this machine
            [str(candidate), "-c", _PROBE],
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_SECONDS,
        ).stdout
        executable, version = json.loads(shown)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return str(executable) if version == VERSION else None


def _running() -> str:
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    return str(base) if base.exists() else sys.executable
