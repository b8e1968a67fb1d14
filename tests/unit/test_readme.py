"""What the README says about the code is what the code says."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from local.readme import README, with_tables
from local.settings import ROOT

TEXT = README.read_text()


def test_the_tables_are_what_the_terraform_files_say() -> None:
    assert with_tables(TEXT) == TEXT, "run `python -m local.readme`"


def test_it_runs_by_line_fifteen() -> None:
    assert "make demo" in "\n".join(TEXT.splitlines()[:15])


def test_every_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|\()make (?:-s )?([a-z][a-z-]+)", TEXT, re.MULTILINE)) <= targets


def test_every_file_and_folder_it_names_exists() -> None:
    named = re.findall(r"^\| `([a-z/]+/)` ", TEXT, re.MULTILINE) + re.findall(r"\]\(([A-Z]+\.md)\)", TEXT)
    assert named
    assert all((ROOT / name).exists() for name in named)


@pytest.mark.skipif(not shutil.which("terraform") and not os.environ.get("CI"), reason="terraform is not installed")
def test_the_module_it_shows_is_formatted_hcl_with_inputs_that_exist() -> None:
    found = re.search(r"<!-- module -->\n```hcl\n(.*?)```", TEXT, re.DOTALL)
    assert found
    run = subprocess.run(["terraform", "fmt", "-"], input=found[1], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, found[1]), run.stderr
    known = re.findall(r'^variable "(\w+)"', (ROOT / "terraform" / "variables.tf").read_text(), re.MULTILINE)
    assert set(re.findall(r"^  (\w+) +=", found[1], re.MULTILINE)) <= {"source", *known}


def test_bare_make_prints_every_target_with_a_line_of_help() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = "demo test lint build up deploy-local down plan deploy destroy clean"
    for name in names.split():
        assert re.search(rf"1m{name} *\x1b\[0m +\S+", shown), name


def test_the_services_import_nothing_that_only_tests_need() -> None:
    """A zip holds pynamodb, powertools, botocore and their own needs (local/build.py)."""
    allowed = {"pynamodb", "aws_lambda_powertools", "botocore", "shared", "services", *sys.stdlib_module_names}
    typing_only = {"mypy_boto3_bedrock", "mypy_boto3_s3", "mypy_boto3_scheduler", "mypy_boto3_sns", "mypy_boto3_sqs"}
    for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]:
        found = set(re.findall(r"^\s*(?:from|import) ([a-z0-9_]+)", path.read_text(), re.MULTILINE))
        assert found <= allowed | typing_only, path


PURE = ["events", "job", "slots", "names", "models", "projections", "counts", "rebuild", "store", "memory"]


def test_pure_files_know_no_aws_client_no_clock_and_no_environment() -> None:
    for name in PURE:
        code = _code((ROOT / "shared" / f"{name}.py").read_text())
        found = [word for word in ("boto", "os.environ", "datetime.now", "time.time", "logging", "requests") if word in code]
        assert not found, name


def _code(text: str) -> str:
    """Without comments and docstrings."""
    return re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)


def test_there_is_no_scan_and_no_periodic_schedule_anywhere() -> None:
    files = [
        p for folder in ("services", "shared", "terraform") for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".tf"}
    ]
    assert files
    for path in files:
        text = path.read_text()
        if path.name != "operators.tf":  # people may, for `bbq verify`
            assert not re.search(r"\.scan\(|dynamodb:Scan", text), path
        assert not re.search(r"\b(rate|cron)\(", text), path
