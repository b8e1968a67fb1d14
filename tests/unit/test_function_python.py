"""The Python that functions run on: what Terraform says, found where people have it, and a clear
sentence if they do not.
"""

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import function_python as found
from local.settings import ROOT

RUNNING = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    _forget()
    yield
    _forget()


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no Python at all, in whose folders a test puts some: `bin` on PATH,
    `pyenv`.
    """
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "none"))
    return tmp_path


def test_its_version_is_what_terraform_says() -> None:
    text = (ROOT / "terraform" / "modules" / "function" / "main.tf").read_text()
    assert re.findall(r'runtime\s+= "python(.*)"', text) == [found.VERSION]


def test_it_is_found_on_the_path(empty_machine: Path) -> None:
    python = _python(empty_machine / "bin/python3.13", "3.13")
    assert (found.function_python(), found.missing()) == (python, None)


def test_it_is_found_in_pyenv_the_newest_first(empty_machine: Path) -> None:
    for version in ("3.13.2", "3.13.10", "3.12.11"):
        _python(
            empty_machine / f"pyenv/versions/{version}/bin/python{version.rpartition('.')[0]}",
            version.rpartition(".")[0],
        )
    assert found.function_python() == str(empty_machine / "pyenv/versions/3.13.10/bin/python3.13")


def test_pyenv_s_shim_of_a_version_that_is_not_switched_on_is_passed_over(
    empty_machine: Path,
) -> None:
    _script(
        empty_machine / "bin/python3.13",
        "echo 'pyenv: python3.13: command not found' >&2; exit 127",
    )
    python = _python(empty_machine / "pyenv/versions/3.13.1/bin/python3.13", "3.13")
    assert found.function_python() == python


@pytest.mark.parametrize("says", ["not json", '["/somewhere/python", "3.12"]', "[]"])
def test_what_says_something_else_is_passed_over(empty_machine: Path, says: str) -> None:
    _script(empty_machine / "bin/python3.13", f"echo '{says}'")
    assert found.missing() is not None


def test_without_it_the_running_python_stands_in_and_a_sentence_says_so(
    empty_machine: Path,
) -> None:
    assert found.function_python() == sys.executable
    sentence = found.missing() or ""
    assert f"no Python {found.VERSION}" in sentence
    assert f"Python {RUNNING} compiles the zips" in sentence
    assert sentence.endswith(f"put python{found.VERSION} on PATH")


def test_a_function_on_the_emulator_runs_on_it_with_nothing_but_its_zip_and_the_standard_library(
    tmp_path: Path,
) -> None:
    """As MiniStack starts one. Its worker asks for botocore, which lies in the zip."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("botocore/handlers.py", "BUILTIN_HANDLERS = []")
        archive.writestr("its/handler.py", HANDLER)
    (tmp_path / "code.zip").write_bytes(code.getvalue())
    shown = subprocess.run(
        [sys.executable, "-c", AS_MINISTACK, str(tmp_path / "code.zip")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    _forget()
    version = subprocess.run(
        [found.function_python(), "-c", "import sys; print(sys.version)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shown.stdout.splitlines()[-1]) == {
        "version": version.stdout.strip(),
        "rich": False,
    }


HANDLER = """
import importlib.util, sys
def handler(event, context):
    return {"version": sys.version, "rich": importlib.util.find_spec("rich") is not None}
"""
# The emulator's main, which would serve, runs one function instead.
AS_MINISTACK = """
import json, sys
from pathlib import Path
import local.ministack
from ministack.core import lambda_runtime
def serve():
    arn = "arn:aws:lambda:us-east-1:000000000000:function:its"
    config = {"FunctionName": "its", "FunctionArn": arn, "Runtime": "python3.13", "Handler": "its.handler.handler"}
    worker = lambda_runtime.Worker("its", config, Path(sys.argv[1]).read_bytes())
    answer = worker.invoke({}, "request")
    worker.kill()
    print(json.dumps(answer["result"]))
local.ministack.serve = serve
local.ministack.main()
"""


def _forget() -> None:
    for remembered in (found.function_python, found.missing, found._found):
        remembered.cache_clear()


def _python(path: Path, version: str) -> str:
    """A script that answers as a Python of this version does."""
    _script(path, f'echo \'["{path}", "{version}"]\'')
    return str(path)


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
