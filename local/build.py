"""Build the zips of the two functions: `python -m local.build` writes .build/intake.zip and .build/scheduler.zip.

The same tree gives the same bytes: entries are sorted, and time, permissions and compression are fixed. The packages come
from the running environment, which must hold the versions of requirements.lock. boto3 is not packed, the Lambda runtime
brings it. Only pure Python is packed, so one zip runs on every architecture and on the emulator.

Beside each source lies its bytecode, of the Python that builds: a function's directory cannot be written, so without it every
cold start compiles everything anew, a third of all that it takes (bench/cold.py). A Python of another version does not look at it
and compiles: for AWS, set up with the version of terraform/modules/function (`make setup PYTHON=python3.13`).
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("intake", "scheduler")
RUNTIME = (3, 13)  # Python of terraform/modules/function
PACKAGES = ("pynamodb", "aws-lambda-powertools", "jmespath", "typing-extensions")
COMPILED = {".so", ".pyd", ".dll", ".dylib"}
MAX_BYTES = 3_000_000
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
MODE = 0o100644 << 16


class BuildError(Exception):
    """The zips cannot be built; the message says what to do."""


def build(root: Path, target: Path) -> list[Path]:
    """Write both zips from the tree at `root` into `target`; returns their paths. Raises BuildError."""
    target.mkdir(parents=True, exist_ok=True)
    packages = _packages((root / "requirements.lock").read_text())
    zips = []
    for service in SERVICES:
        path = target / f"{service}.zip"
        sources = packages | _sources(root, "shared") | _sources(root, f"services/{service}")
        _write(path, sources | _bytecode(sources))
        zips.append(path)
    return zips


def _sources(root: Path, folder: str) -> dict[str, bytes]:
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / folder).rglob("*.py")}
    if not files:
        raise BuildError(f"no Python files in {root / folder}")
    return files


def _packages(lock: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        try:
            distribution = metadata.distribution(package)
        except metadata.PackageNotFoundError as error:
            raise BuildError(f"{package} is not installed: run `make setup`") from error
        if not re.search(rf"^{re.escape(package)}=={re.escape(distribution.version)}\s", lock, re.MULTILINE):
            raise BuildError(f"{package} {distribution.version} is installed, but not locked: run `make setup`")
        for file in distribution.files or []:
            if file.suffix in COMPILED:
                raise BuildError(f"{file} is compiled: it would run on one architecture only")
            if _is_packed(file):
                files[file.as_posix()] = Path(str(file.locate())).read_bytes()
    return files


def _is_packed(file: PurePosixPath) -> bool:
    """Python sources only: no scripts (`../../bin`), no dist-info (nothing asks for it at run time), no bundled web pages."""
    return file.suffix == ".py" and ".." not in file.parts and not {"tests", "test"} & set(file.parts)


def _bytecode(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """What Python makes of the sources, never to be compared with them: they lie beside it and do not change (PEP 552).

    By a process of its own without chance in it, so that the same sources give the same bytes.
    """
    with tempfile.TemporaryDirectory() as directory:
        for name, text in sources.items():
            file = Path(directory, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", directory, directory]
        command = [sys.executable, "-S", "-m", "compileall", *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
        if done.returncode:
            raise BuildError(f"a source does not compile: {done.stdout.strip() or done.stderr.strip()}")
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in Path(directory).rglob("*.pyc")}


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.create_system = 3  # Unix, whatever builds it
            entry.external_attr = MODE
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BuildError(f"{path.name} has {size:,} bytes, more than {MAX_BYTES:,}")


def main() -> None:
    """Build, and print name, size and SHA-256 of each zip."""
    try:
        zips = build(ROOT, ROOT / ".build")
    except BuildError as error:
        sys.exit(f"build: {error}")
    for path in zips:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes  sha256 {digest}")
    if sys.version_info[:2] != RUNTIME:
        ours, theirs = (".".join(map(str, version)) for version in (sys.version_info[:2], RUNTIME))
        print(f"the bytecode is Python {ours}'s; on AWS, {theirs} compiles at every cold start: make setup PYTHON=python{theirs}")


if __name__ == "__main__":
    main()
