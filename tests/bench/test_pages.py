"""No figure without its command: what the pages say is what bench/results.json says, and that is what was run."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import charts, pages, results
from bench.__main__ import main
from local.settings import ROOT

PARTS = results.read()["parts"]
SIMULATED = ("costs", "scheduling", "order", "scale")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A quick run, from the command line to its file; it touches no page and no result that is kept."""
    before = {path: path.read_text() for path in (*pages.PAGES, *ROOT.glob("bench/results.json"))}
    out = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, "-m", "bench", "--quick", "--out", str(out), *SIMULATED]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    assert {path: path.read_text() for path in before} == before
    found: dict[str, Any] = results.read(out)["parts"]
    return found


def test_the_tables_are_what_the_results_say() -> None:
    for page in pages.PAGES:
        text = page.read_text()
        assert pages.with_tables(text, PARTS) == text, "run `python -m bench.pages`"


def test_every_generated_table_stands_in_a_page() -> None:
    text = "".join(page.read_text() for page in pages.PAGES)
    assert set(re.findall(r"<!-- ([a-z-]+) -->", text)) == set(pages.TABLES)


def test_no_number_with_a_fraction_stands_outside_a_generated_table() -> None:
    for page in pages.PAGES:
        prose = re.sub(r"<!-- ([a-z-]+) -->.*?<!-- /\1 -->", "", page.read_text(), flags=re.DOTALL)
        assert not re.findall(r"\d+\.\d+", re.sub(r"\]\([^)]*\)|`[^`]*`", "", prose)), page


def test_a_changed_result_changes_the_page(quick: dict[str, Any]) -> None:
    text = pages.PAGES[0].read_text()
    before = pages.with_tables(text, quick)
    changed = json.loads(json.dumps(quick))
    changed["scheduling"]["result"]["cells"][0]["ours"]["makespan_to_ideal"] += 1
    assert pages.with_tables(text, changed) != before


def test_results_that_are_kept_were_no_quick_run() -> None:
    assert [name for name, envelope in PARTS.items() if envelope["quick"]] == []
    assert set(PARTS) <= set(results.parts())
    for name, envelope in PARTS.items():
        assert re.fullmatch(rf"(BENCH_JOBS=\d+ )?(make bench ARGS={name}|pypy3 -m bench {name})", envelope["command"])
        assert re.fullmatch(r"[0-9a-f]{40}", envelope["commit"])


def test_charts_are_small_and_of_these_results() -> None:
    for name, (pick, _) in charts.CHARTS.items():
        numbers = pick(PARTS)
        if numbers is None:
            continue
        text = (charts.FOLDER / f"{name}.svg").read_text()
        assert charts.digest(numbers) in text, "run `python -m bench.pages`"
        assert len(text) < 200_000
        assert f"{name}.svg" in pages.PAGES[0].read_text()


def test_a_quick_run_measures_everything_the_pages_and_charts_show(quick: dict[str, Any], tmp_path: Path) -> None:
    assert set(quick) == set(SIMULATED)
    assert all(envelope["quick"] for envelope in quick.values())
    both = PARTS | quick  # the others need the emulator or minutes: what was kept of them stands for them
    assert {path.stem for path in charts.write(both, tmp_path)} == set(charts.CHARTS)
    text = "".join(pages.with_tables(page.read_text(), both) for page in pages.PAGES)
    assert "Not measured yet" not in text


def test_an_unknown_part_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schedulling"])
    assert "no part is called schedulling; there are " in capsys.readouterr().err


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    some = {"parts": {"a": {"result": {"gaps": [1.5, 2.25, 3], "pairs": [[1, 2], [3, 4]], "words": ["x, [y  z]", "z"]}}}}
    results.write(some, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == some
    assert "[1.5, 2.25, 3]" in (tmp_path / "r.json").read_text()
