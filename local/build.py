"""Build the zips of the two functions: `python -m local.build` writes .build/intake.zip and
.build/scheduler.zip.

The same tree gives the same bytes: entries are sorted, and time, permissions and compression are
fixed. The packages come from the running environment, which must hold the versions of
requirements.lock. Only pure Python is packed, so one zip runs on every architecture and on the
emulator. The licence of each package lies under `licenses/`.

The SDK is packed, because the one that the Lambda runtime brings is of no known age: an older one
raises ParamValidationError for a parameter that it does not know, and drops fields that it does not
know from answers without a word. Of botocore's descriptions of services, most of its 31 MB, those
of SDK_SERVICES are packed. boto3 is not: functions make botocore's clients.

Beside each source lies its bytecode, of the Python that functions run on
(local/function_python.py): a function's directory cannot be written, so without it every cold start
compiles all sources, a third of all that it takes (bench/cold.py).
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

from local.function_python import function_python, missing

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("intake", "scheduler")
PACKAGES = (
    "aws-lambda-powertools",
    "botocore",
    "jmespath",
    "pynamodb",
    "python-dateutil",
    "six",
    "typing-extensions",
    "urllib3",
)
# that a function makes a client of; a test compares
SDK_SERVICES = {"bedrock", "dynamodb", "s3", "scheduler", "sns", "sqs"}
LICENCE = re.compile(r"LICEN[CS]E|NOTICE|COPYING")  # names of files
COMPILED = {".so", ".pyd", ".dll", ".dylib"}
MAX_BYTES = 5_000_000  # a tenth of what Lambda takes; to unpack it is part of a cold start
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
MODE = 0o100644 << 16


class BuildError(Exception):
    """The zips cannot be built; the message says what to do."""


def build(root: Path, target: Path) -> list[Path]:
    """Write both zips from the tree at `root` into `target`; returns their paths. Raises
    BuildError.
    """
    target.mkdir(parents=True, exist_ok=True)
    common = _packages((root / "requirements.lock").read_text()) | _sources(
        root, "bbq", "bbq/services", "bbq/shared"
    )
    common |= _bytecode(common)
    zips = []
    for service in SERVICES:
        path = target / f"{service}.zip"
        own = _sources(root, f"bbq/services/{service}")
        _write(path, common | own | _bytecode(own))
        zips.append(path)
    return zips


def _sources(root: Path, *packages: str) -> dict[str, bytes]:
    """The Python files of these folders, without those below them. A link's name is kept, what lies
    behind it is packed.
    """
    files: dict[str, bytes] = {}
    for package in packages:
        found = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in (root / package).glob("*.py")
        }
        if not found:
            raise BuildError(f"no Python files in {root / package}")
        files |= found
    return files


def _packages(lock: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        try:
            distribution = metadata.distribution(package)
        except metadata.PackageNotFoundError as error:
            raise BuildError(f"{package} is not installed: run `make setup`") from error
        if not re.search(
            rf"^{re.escape(package)}=={re.escape(distribution.version)}\s", lock, re.MULTILINE
        ):
            raise BuildError(
                f"{package} {distribution.version} is installed, but not locked: run `make setup`"
            )
        for file in distribution.files or []:
            if file.suffix in COMPILED:
                raise BuildError(f"{file} is compiled: it would run on one architecture only")
            if LICENCE.match(file.name) and file.parts[0].endswith(".dist-info"):
                files[f"licenses/{package}/{file.name}"] = Path(str(file.locate())).read_bytes()
            elif _is_packed(file):
                files[file.as_posix()] = Path(str(file.locate())).read_bytes()
    return files


def _is_packed(file: PurePosixPath) -> bool:
    """Python sources, and the SDK's own data: no scripts (`../../bin`), no tests, no bundled web
    pages.
    """
    if file.parts[:2] == ("botocore", "data"):
        return _is_used(*file.parts[2:])
    return file.as_posix() == "botocore/cacert.pem" or (
        file.suffix == ".py" and ".." not in file.parts and not {"tests", "test"} & set(file.parts)
    )


def _is_used(*path: str) -> bool:
    """Of botocore's data: what is about all services (endpoints, partitions, retries), and calls,
    endpoints and pages of ours.
    """
    return len(path) == 1 or (
        path[0] in SDK_SERVICES and not path[-1].startswith(("examples", "waiters"))
    )


def _bytecode(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What Python makes of the sources among the files, never to be compared with them: they lie
    beside it and do not change (PEP 552).

    By a process of its own without chance in it, so that the same sources give the same bytes.
    """
    with tempfile.TemporaryDirectory() as directory:
        for name in [name for name in files if name.endswith(".py")]:
            file = Path(directory, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(files[name])
        options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", directory, directory]
        command = [function_python(), "-S", "-m", "compileall", *options]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        environment |= {"PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
        if done.returncode:
            raise BuildError(
                f"a source does not compile: {done.stdout.strip() or done.stderr.strip()}"
            )
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in Path(directory).rglob("*.pyc")
        }


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.create_system = 3  # Unix, whatever builds it
            entry.external_attr = MODE
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED, compresslevel=6)
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
    if warning := missing():
        print(warning)


if __name__ == "__main__":
    main()
