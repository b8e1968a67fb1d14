"""The environments that LocalStack and the functions on it run in, in `.local/localstack`: from
hashed locks, on Python 3.13.

`python -m local.setup_localstack`, run by every target that is given EMULATOR=localstack.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from local.emulators import ENVIRONMENTS, FUNCTION_PYTHON, LOCALSTACK_PYTHON
from local.function_python import VERSION, function_python, missing
from local.settings import ROOT

HERE = ROOT / "local" / "localstack"
PLUGINS = "bbq_localstack"


def main() -> int:
    """Make them; the exit code."""
    if missing():
        print(
            f"LocalStack needs Python {VERSION}, and there is none (looked on PATH and in pyenv's "
            "versions): install"
            f" it, for example with `pyenv install {VERSION}`, or leave EMULATOR=localstack out, "
            "for MiniStack",
            file=sys.stderr,
        )
        return 1
    _environment(LOCALSTACK_PYTHON, HERE / "requirements.lock")
    _environment(FUNCTION_PYTHON, HERE / "functions.lock")
    _plugins(LOCALSTACK_PYTHON)
    return 0


def _environment(python: Path, lock: Path) -> None:
    """As the lock says. The copy of it beside the environment is there once all is."""
    place = python.parent.parent
    made_of = place / lock.name
    if made_of.exists() and made_of.read_bytes() == lock.read_bytes():
        return
    print(f"setting up {place.relative_to(ROOT)} from {lock.relative_to(ROOT)} ...", flush=True)
    subprocess.run([function_python(), "-m", "venv", "--clear", place], check=True)  # noqa: S603 - a Python of this machine
    _pip(python, "--require-hashes", "-r", str(lock))
    shutil.copy(lock, made_of)


def _plugins(python: Path) -> None:
    """Installed from a copy: building leaves files beside what it builds."""
    copy = ENVIRONMENTS / "plugins"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _pip(python, "--no-deps", "--no-build-isolation", "--force-reinstall", str(copy))
    shutil.rmtree(copy)


def _pip(python: Path, *arguments: str) -> None:
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments], check=True)  # noqa: S603 - as above


if __name__ == "__main__":
    sys.exit(main())
