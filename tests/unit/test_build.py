"""The zips: reproducible, small, and all that a function needs: nothing of the Lambda runtime's own
packages.
"""

import json
import re
import shutil
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from bench.cold import READY, SETTINGS
from local.build import PACKAGES, ROOT, SDK_SERVICES, SERVICES, BuildError, build
from local.build import _packages as packages
from local.function_python import function_python


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    """This project's own, by service."""
    return {
        path.stem: zipfile.ZipFile(path) for path in build(ROOT, tmp_path_factory.mktemp("zips"))
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return _tree(tmp_path / "tree")


def test_two_copies_of_a_tree_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = _tree(tmp_path / "first"), _tree(tmp_path / "second")
    (second / "bbq" / "shared" / "new.py").chmod(0o755)
    assert _bytes(build(first, first / ".build")) == _bytes(build(second, second / ".build"))


def test_a_changed_source_changes_only_the_zips_that_hold_it(tree: Path) -> None:
    intake, scheduler = _bytes(build(tree, tree / ".build"))
    (tree / "bbq/services/intake/handler.py").write_text("changed = True\n")
    changed_intake, same_scheduler = _bytes(build(tree, tree / ".build"))
    assert changed_intake != intake
    assert same_scheduler == scheduler


def test_a_zip_holds_its_own_service_and_python_only(tree: Path) -> None:
    (tree / "bbq/services/intake/notes.txt").write_text("not code")
    intake, scheduler = (
        set(zipfile.ZipFile(path).namelist()) for path in build(tree, tree / ".build")
    )
    assert "bbq/services/intake/handler.py" in intake - scheduler
    assert "bbq/services/scheduler/handler.py" in scheduler - intake
    assert {name.partition("/")[0] for name in intake} == {
        "bbq",
        "licenses",
        "__pycache__",
        "pynamodb",
        "aws_lambda_powertools",
        "jmespath",
        "typing_extensions.py",
        "botocore",
        "dateutil",
        "six.py",
        "urllib3",
    }
    other = {
        name
        for name in intake | scheduler
        if not name.endswith((".py", ".pyc")) and not name.startswith("licenses/")
    }
    assert {name for name in other if not name.startswith("botocore/data/")} == {
        "botocore/cacert.pem"
    }


def test_a_zip_holds_the_files_that_the_links_lead_to(zips: dict[str, zipfile.ZipFile]) -> None:
    for service, archive in zips.items():
        behind = [
            path
            for folder in ("shared", f"services/{service}")
            for path in (ROOT / folder).rglob("*.py")
        ]
        behind += [ROOT / "services/__init__.py"]
        expected = {
            f"bbq/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in behind
        }
        expected |= {"bbq/__init__.py": (ROOT / "bbq/__init__.py").read_bytes()}
        names = [
            name for name in archive.namelist() if name.startswith("bbq/") and name.endswith(".py")
        ]
        assert {name: archive.read(name) for name in names} == expected


def test_a_checkout_without_links_is_an_error_that_names_the_first(tree: Path) -> None:
    shutil.rmtree(tree / "bbq/shared")
    (tree / "bbq/shared").write_text("../shared")  # as git writes a link for a system that has none
    with pytest.raises(BuildError, match=r"no Python files in .*bbq/shared$"):
        build(tree, tree / ".build")


def test_of_the_sdk_s_data_only_what_functions_use_is_packed(
    zips: dict[str, zipfile.ZipFile],
) -> None:
    for archive in zips.values():
        data = [
            name.split("/")[2:] for name in archive.namelist() if name.startswith("botocore/data/")
        ]
        assert {parts[0] for parts in data if len(parts) > 1} == SDK_SERVICES
        assert {parts[0] for parts in data if len(parts) == 1} == {
            "_retry.json",
            "endpoints.json",
            "partitions.json",
            "sdk-default-configuration.json",
        }
        assert not [parts for parts in data if re.match("examples|waiters", parts[-1])]


def test_the_services_of_the_sdk_that_are_packed_are_those_that_functions_make_clients_of() -> None:
    code = "".join(
        path.read_text()
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
    )
    # PynamoDB makes its own
    assert {"dynamodb", *re.findall(r'client\("([a-z0-9-]+)"', code)} == SDK_SERVICES


def test_each_package_comes_with_its_licence(zips: dict[str, zipfile.ZipFile]) -> None:
    for archive in zips.values():
        licences = [name.split("/") for name in archive.namelist() if name.startswith("licenses/")]
        assert {parts[1] for parts in licences if parts[2].startswith("LICENSE")} == set(PACKAGES)
        assert ["licenses", "botocore", "NOTICE"] in licences


def test_each_source_has_its_bytecode_beside_it_of_the_python_that_functions_run_on(
    zips: dict[str, zipfile.ZipFile],
) -> None:
    tag = _run("import sys; print(sys.implementation.cache_tag)").strip()
    for archive in zips.values():
        names = set(archive.namelist())
        sources = {Path(name) for name in names if name.endswith(".py")}
        bytecode = {
            (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").as_posix()
            for source in sources
        }
        assert {name for name in names if name.endswith(".pyc")} == bytecode


def test_python_runs_the_bytecode_and_does_not_ask_the_source(tree: Path, tmp_path: Path) -> None:
    (tree / "bbq/shared/new.py").write_text("print('as it was built')\n")
    zipfile.ZipFile(build(tree, tree / ".build")[0]).extractall(tmp_path / "task")
    (tmp_path / "task/bbq/shared/new.py").write_text("print('compiled again')\n")
    assert _run("import bbq.shared.new", tmp_path / "task") == "as it was built\n"


OWN_SETTINGS = {"PYTHONPYCACHEPREFIX": "elsewhere", "PYTHONOPTIMIZE": "1", "PYTHONHASHSEED": "7"}


@pytest.mark.parametrize(("name", "value"), OWN_SETTINGS.items())
def test_the_builders_own_settings_change_nothing(
    tree: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _bytes(build(tree, tree / ".build"))
    monkeypatch.setenv(name, value)
    assert _bytes(build(tree, tree / ".build")) == before


def test_a_source_that_does_not_compile_is_an_error_that_names_it(tree: Path) -> None:
    (tree / "bbq/shared/new.py").write_text("def\n")
    with pytest.raises(BuildError, match=r"does not compile: (?s:.*)bbq/shared/new\.py"):
        build(tree, tree / ".build")


def test_a_zip_that_is_too_large_is_an_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.build.MAX_BYTES", 1000)
    with pytest.raises(BuildError, match=r"intake\.zip has .* more than 1,000"):
        build(tree, tree / ".build")


def test_a_package_that_is_not_the_locked_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.build.PACKAGES", ("pynamodb",))
    with pytest.raises(BuildError, match=r"pynamodb .* is installed, but not locked"):
        packages("pynamodb==0.0.1 \\\n")


def test_a_compiled_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Compiled(metadata.PathDistribution):
        @property
        def files(self) -> list[metadata.PackagePath]:
            return [metadata.PackagePath("pynamodb/_speed.so")]

    real = metadata.distribution("pynamodb")
    monkeypatch.setattr("local.build.PACKAGES", ("pynamodb",))
    monkeypatch.setattr("local.build.metadata.distribution", lambda _: Compiled(real._path))  # type: ignore[attr-defined]
    with pytest.raises(BuildError, match=r"_speed\.so is compiled"):
        packages((ROOT / "requirements.lock").read_text())


@pytest.mark.parametrize("service", SERVICES)
def test_the_handler_runs_and_makes_its_clients_from_the_zip_alone(
    service: str, zips: dict[str, zipfile.ZipFile], tmp_path: Path
) -> None:
    zips[service].extractall(tmp_path / "task")  # Lambda unpacks a zip before it imports from it
    answer = json.loads(
        _run(LOADED.format(service=service, ready=READY[service]), tmp_path / "task")
    )
    ours = str(tmp_path / "task")
    assert {
        "pynamodb",
        "aws_lambda_powertools",
        "botocore",
        "urllib3",
        "dateutil",
        "jmespath",
    } <= set(answer["modules"])
    assert [
        name for name in answer["outside"] if not name.startswith(answer["standard_library"])
    ] == []
    assert set(answer["modules"]) & NEEDLESS == set()
    assert answer["botocore"] == [metadata.version("botocore"), f"{ours}/botocore/__init__.py"]
    assert "dynamodb" in answer["clients"]
    assert set(answer["clients"]) <= SDK_SERVICES


@pytest.mark.parametrize("service", sorted(SDK_SERVICES))
def test_the_packed_sdk_knows_each_service_s_calls_endpoints_and_pages(
    service: str, zips: dict[str, zipfile.ZipFile], tmp_path: Path
) -> None:
    zips["scheduler"].extractall(tmp_path / "task")
    code = f"""
import botocore.session
client = botocore.session.get_session().create_client("{service}", region_name="eu-west-1")
operations = sorted(client.meta.service_model.operation_names)
print(len(operations), client.meta.endpoint_url, any(client.can_paginate(name) for name in client.meta.method_to_api_mapping))
"""
    count, endpoint, pages = _run(code, tmp_path / "task").split()
    assert int(count) > 10
    assert endpoint == f"https://{service}.eu-west-1.amazonaws.com"
    assert pages == "True"


LOADED = """
import json, sys, sysconfig
from botocore.session import Session
made, create = [], Session.create_client
def noted(session, name, *arguments, **options):
    made.append(name)
    return create(session, name, *arguments, **options)
Session.create_client = noted
import bbq.services.{service}.handler as h
{ready}
import botocore
files = [module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]
print(json.dumps({{
    "modules": list(sys.modules), "clients": made, "botocore": [botocore.__version__, botocore.__file__],
    "outside": [file for file in files if not file.startswith(sys.path[0])],
    "standard_library": sysconfig.get_path("stdlib"),
}}))
"""

# What a cold start would pay for and nothing here needs: a library that begins to import one of
# them shows here.
NEEDLESS = {
    "asyncio",
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.data_classes",
    "aws_lambda_powertools.utilities.parser",
    "aws_xray_sdk",
    "bbq.cli",
    "boto3",
    "concurrent.futures.process",
    "local",
    "numpy",
    "pydantic",
    "requests",
    "rich",
    "typer",
    "unittest",
    "xmlrpc",
}


def _tree(root: Path) -> Path:
    services = (
        "services/__init__.py",
        "services/intake/handler.py",
        "services/scheduler/handler.py",
    )
    for name in (f"bbq/{file}" for file in ("__init__.py", "shared/new.py", *services)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    (root / "requirements.lock").write_text((ROOT / "requirements.lock").read_text())
    return root


def _bytes(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def _run(code: str, task: Path = ROOT) -> str:
    """What code prints on the Python that functions run on, which sees only the files under `task`
    and its standard library.
    """
    isolated = f"import sys; sys.path.insert(0, {str(task)!r})\n{code}"
    shown = subprocess.run(
        [function_python(), "-I", "-S", "-c", isolated],
        cwd=task,
        env=SETTINGS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout
