"""The zips: reproducible, small, and enough to run on beside boto3."""

import subprocess
import sys
import zipfile
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from local.build import MAX_BYTES, ROOT, RUNTIME, SERVICES, BuildError, build
from local.build import _packages as packages


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return _tree(tmp_path / "tree")


def test_the_runtime_is_what_terraform_says() -> None:
    text = (ROOT / "terraform" / "modules" / "function" / "main.tf").read_text()
    assert f'"python{".".join(map(str, RUNTIME))}"' in text


def test_two_copies_of_a_tree_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = _tree(tmp_path / "first"), _tree(tmp_path / "second")
    (second / "shared" / "new.py").chmod(0o755)
    assert _bytes(build(first, first / ".build")) == _bytes(build(second, second / ".build"))


def test_a_changed_source_changes_only_the_zips_that_hold_it(tree: Path) -> None:
    intake, scheduler = _bytes(build(tree, tree / ".build"))
    (tree / "services/intake/handler.py").write_text("changed = True\n")
    changed_intake, same_scheduler = _bytes(build(tree, tree / ".build"))
    assert changed_intake != intake
    assert same_scheduler == scheduler


def test_a_zip_holds_its_own_service_and_python_only(tree: Path) -> None:
    (tree / "services/intake/notes.txt").write_text("not code")
    intake, scheduler = (set(zipfile.ZipFile(path).namelist()) for path in build(tree, tree / ".build"))
    assert "services/intake/handler.py" in intake - scheduler
    assert "services/scheduler/handler.py" in scheduler - intake
    assert {name.partition("/")[0] for name in intake} == {
        "services", "shared", "pynamodb", "aws_lambda_powertools", "jmespath", "typing_extensions.py", "__pycache__",
    }  # fmt: skip
    assert {Path(name).suffix for name in intake | scheduler} == {".py", ".pyc"}


def test_each_source_has_its_bytecode_beside_it(tree: Path) -> None:
    for path in build(tree, tree / ".build"):
        names = set(zipfile.ZipFile(path).namelist())
        sources = {name for name in names if name.endswith(".py")}
        assert names - sources == {cache_from_source(name) for name in sources}


def test_python_runs_the_bytecode_and_does_not_ask_the_source(tree: Path, tmp_path: Path) -> None:
    (tree / "shared/new.py").write_text("print('as it was built')\n")
    zipfile.ZipFile(build(tree, tree / ".build")[0]).extractall(tmp_path / "task")
    (tmp_path / "task/shared/new.py").write_text("print('compiled anew')\n")
    said = subprocess.run(
        [sys.executable, "-c", "import shared.new"], cwd=tmp_path / "task", capture_output=True, text=True, check=True
    )
    assert said.stdout == "as it was built\n"


SETTINGS = {"PYTHONPYCACHEPREFIX": "elsewhere", "PYTHONOPTIMIZE": "1", "PYTHONHASHSEED": "7"}


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_the_builders_own_settings_change_nothing(tree: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _bytes(build(tree, tree / ".build"))
    monkeypatch.setenv(name, value)
    assert _bytes(build(tree, tree / ".build")) == before


def test_a_source_that_does_not_compile_is_an_error_that_names_it(tree: Path) -> None:
    (tree / "shared/new.py").write_text("def\n")
    with pytest.raises(BuildError, match=r"does not compile: (?s:.*)shared/new\.py"):
        build(tree, tree / ".build")


def test_the_zips_are_small(tree: Path) -> None:
    assert all(path.stat().st_size < MAX_BYTES for path in build(tree, tree / ".build"))


def test_a_zip_that_is_too_large_is_an_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.build.MAX_BYTES", 1000)
    with pytest.raises(BuildError, match=r"intake\.zip has .* more than 1,000"):
        build(tree, tree / ".build")


def test_a_package_that_is_not_the_locked_one_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"pynamodb .* is installed, but not locked"):
        packages("pynamodb==0.0.1 \\\n")


def test_a_compiled_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Compiled(metadata.PathDistribution):
        @property
        def files(self) -> list[metadata.PackagePath]:
            return [metadata.PackagePath("pynamodb/_speed.so")]

    real = metadata.distribution("pynamodb")
    monkeypatch.setattr("local.build.metadata.distribution", lambda _: Compiled(real._path))  # type: ignore[attr-defined]
    with pytest.raises(BuildError, match=r"_speed\.so is compiled"):
        packages((ROOT / "requirements.lock").read_text())


@pytest.mark.parametrize("service", SERVICES)
def test_the_handler_runs_from_the_zip_alone(service: str, tmp_path: Path) -> None:
    absent = [name for name in SERVICES if not (ROOT / f"services/{name}/handler.py").exists()]
    if absent:
        pytest.skip(f"there is no handler of {absent[0]} yet")
    zips = {path.stem: path for path in build(ROOT, tmp_path)}
    task = tmp_path / "task"  # Lambda unpacks a zip before it imports from it
    zipfile.ZipFile(zips[service]).extractall(task)
    runtime = metadata.distribution("boto3").locate_file(".")  # stands in for Lambda's own packages: behind ours
    code = f"""
import sys
sys.path[:0] = [{str(task)!r}]
sys.path.append({str(runtime)!r})
import services.{service}.handler, shared.events, pynamodb, aws_lambda_powertools
print(*sys.modules, file=sys.stderr)
print(*(module.__file__ for name, module in sys.modules.items() if name in {{"services.{service}.handler", "pynamodb"}}))
"""
    command = [sys.executable, "-S", "-c", code]
    environment = {"AWS_DEFAULT_REGION": "eu-west-1", "POWERTOOLS_SERVICE_NAME": service}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(str(task)) == 2
    loaded = set(answer.stderr.split())
    assert {"boto3", "pynamodb", "aws_lambda_powertools"} <= loaded
    assert loaded & NEEDLESS == set()


# What a cold start would pay for and nothing here needs: a library that begins to import one of them shows here.
NEEDLESS = {
    "asyncio", "aws_lambda_powertools.utilities.batch", "aws_lambda_powertools.utilities.data_classes",
    "aws_lambda_powertools.utilities.parser", "aws_xray_sdk",
    "cli", "concurrent.futures.process", "local", "numpy", "plotly", "pydantic", "requests", "rich", "typer", "unittest",
    "xmlrpc",
}  # fmt: skip


def _tree(root: Path) -> Path:
    for name in ("shared/new.py", "services/intake/handler.py", "services/scheduler/handler.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    (root / "requirements.lock").write_text((ROOT / "requirements.lock").read_text())
    return root


def _bytes(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]
