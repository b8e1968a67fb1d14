"""`bbq` itself: what it says without a command, its version, and what it loads."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from bbq.cli.faults import Exit
from tests.cli.conftest import Result

Bbq = Callable[..., Result]


def test_bare_bbq_prints_its_help_and_nothing_else(bbq: Bbq) -> None:
    result = bbq()
    assert result.code == Exit.USAGE
    assert result.out.strip() == bbq("--help").out.strip()
    assert result.err == ""


def test_it_has_a_version(bbq: Bbq) -> None:
    assert (bbq("--version").code, bbq("--version").out) == (Exit.OK, "bbq 0.1.0\n")


@pytest.mark.parametrize("module", ["deployment", "status", "jobs", "submit"])
def test_who_looks_or_submits_loads_no_repair_code(module: str) -> None:
    code = (
        f"import sys, bbq.cli.{module}; print([name for name in ('bbq.cli.scan', 'bbq.cli.repair') "
        "if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
