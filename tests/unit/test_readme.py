"""What the README and terraform/README.md say about the code is what the code says; their commands
do what they show.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bbq.shared.bodies import Bodies
from bbq.shared.inspection import Limits, inspect
from local.readme import TERRAFORM_PAGE, with_tables
from local.settings import ROOT

TEXT = (ROOT / "README.md").read_text()
OF_CLAUDE = Limits(min_records=100, max_records=100, max_bytes=1024**2, bodies=Bodies(claude=True))


def test_the_tables_are_what_the_terraform_files_say() -> None:
    text = TERRAFORM_PAGE.read_text()
    assert with_tables(text) == text, "run `python -m local.readme`"


def test_it_runs_by_line_ten_and_ends_by_line_160() -> None:
    assert "make demo" in "\n".join(TEXT.splitlines()[:10])
    assert len(TEXT.splitlines()) <= 160


@pytest.mark.parametrize(
    ("page", "marker"), [("README.md", "records"), ("docs/inputs.md", "input")]
)
def test_the_inputs_that_are_shown_are_fit_to_run(page: str, marker: str, tmp_path: Path) -> None:
    found = re.search(
        rf"<!-- {marker} -->\n```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL
    )
    assert found
    (tmp_path / "prompts.txt").write_text("".join(f'Say "{number}".\n' for number in range(100)))
    subprocess.run(["bash", "-ec", found[1]], cwd=tmp_path, check=True, timeout=60)
    result = inspect([(tmp_path / "reviews.jsonl").read_bytes()], OF_CLAUDE)
    assert (result.record_count, result.problems, result.warnings) == (100, (), ())


def test_every_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|\()make (?:-s )?([a-z][a-z-]+)", TEXT, re.MULTILINE)) <= targets


def test_every_file_and_folder_it_names_exists() -> None:
    named = re.findall(r"^\| `([a-z/]+/)` ", TEXT, re.MULTILINE) + re.findall(
        r"\]\(([^):#]+)", TEXT
    )
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.skipif(
    not shutil.which("terraform") and not os.environ.get("CI"), reason="terraform is not installed"
)
def test_the_module_that_is_shown_is_formatted_hcl_with_inputs_that_exist() -> None:
    found = re.search(r"<!-- module -->\n```hcl\n(.*?)```", TERRAFORM_PAGE.read_text(), re.DOTALL)
    assert found
    run = subprocess.run(
        ["terraform", "fmt", "-"], input=found[1], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, found[1]), run.stderr
    known = re.findall(
        r'^variable "(\w+)"', (ROOT / "terraform" / "variables.tf").read_text(), re.MULTILINE
    )
    assert set(re.findall(r"^  (\w+) +=", found[1], re.MULTILINE)) <= {"source", *known}


def test_bare_make_prints_every_target_with_a_line_of_help() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = "demo test lint build up deploy-local down plan deploy destroy clean"
    for name in names.split():
        assert re.search(rf"1m{name} *\x1b\[0m +\S+", shown), name


def test_the_services_import_nothing_that_only_tests_need() -> None:
    """A zip holds pynamodb, powertools, botocore and their own needs (local/build.py)."""
    allowed = {
        "pynamodb",
        "aws_lambda_powertools",
        "botocore",
        "bbq.shared",
        "bbq.services",
        *sys.stdlib_module_names,
    }
    typing_only = {
        "mypy_boto3_bedrock",
        "mypy_boto3_s3",
        "mypy_boto3_scheduler",
        "mypy_boto3_sns",
        "mypy_boto3_sqs",
    }
    for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]:
        found = set(
            re.findall(
                r"^\s*(?:from|import) ((?:bbq\.)?[a-z0-9_]+)", path.read_text(), re.MULTILINE
            )
        )
        assert found <= allowed | typing_only, path


PURE = [
    *(
        f"shared/{name}"
        for name in (
            "events",
            "job",
            "slots",
            "names",
            "models",
            "projections",
            "counts",
            "store",
            "memory",
        )
    ),
    "cli/expected",
]


def test_pure_files_know_no_aws_client_no_clock_and_no_environment() -> None:
    for name in PURE:
        code = _code((ROOT / f"{name}.py").read_text())
        found = [
            word
            for word in ("boto", "os.environ", "datetime.now", "time.time", "logging", "requests")
            if word in code
        ]
        assert not found, name


def _code(text: str) -> str:
    """Without comments and docstrings."""
    return re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)


def test_there_is_no_scan_and_no_periodic_schedule_anywhere() -> None:
    files = [
        p
        for folder in ("services", "shared", "terraform")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in {".py", ".tf"}
    ]
    assert files
    for path in files:
        text = path.read_text()
        if path.name != "operators.tf":  # people may, for `bbq verify`
            assert not re.search(r"\.scan\(|dynamodb:Scan", text), path
        assert not re.search(r"\b(rate|cron)\(", text), path
