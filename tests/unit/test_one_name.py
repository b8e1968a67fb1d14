"""All code is imported as `bbq`: in a clone through the links in bbq/, and where pip installs
it.
"""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from local.settings import ROOT

FOLDERS = ("cli", "services", "shared")


@pytest.mark.parametrize(
    "name", ["cli.app", "services.intake.config", "services.scheduler.hints", "shared.names"]
)
def test_a_module_has_no_second_name(name: str) -> None:
    assert import_module(f"bbq.{name}")
    with pytest.raises(ImportError, match=rf"import it as bbq\.{name.partition('.')[0]}:"):
        import_module(name)


def test_pip_installs_every_source_under_one_name_and_a_command_that_runs(tmp_path: Path) -> None:
    target, bbq = tmp_path / "target", tmp_path / "target" / "bin" / "bbq"
    options = [
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, _copy(tmp_path / "clone")],
        check=True,
        timeout=120,
    )
    assert {path.name for path in target.iterdir()} == {
        "bbq",
        "bedrock_batch_queue-0.1.0.dist-info",
        "bin",
    }
    ours = {f"{folder}/{file}" for folder in FOLDERS for file in _files(ROOT / folder)}
    assert _files(target / "bbq") == {"__init__.py", *ours}
    environment = {**os.environ, "PYTHONPATH": str(target)}
    said = subprocess.run(
        [bbq, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "submit" in said


def _files(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix in {".py", ".html"}
    }


def _copy(root: Path) -> Path:
    """What the installation is made of, with the links as git has them: pip builds in place."""
    for folder in ("bbq", *FOLDERS):
        shutil.copytree(
            ROOT / folder,
            root / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, root / file)
    return root
