"""No figure without its command: what the pages say is what bench/results.json says, and that is
what was run.
"""

import json
import re
from pathlib import Path

import pytest

from bench import charts, pages, results
from bench.__main__ import main

PARTS = results.read()["parts"]


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.stem)
def test_the_generated_parts_are_what_the_results_say(page: Path) -> None:
    assert pages.with_generated(page.read_text(), pages.generated(PARTS)) == page.read_text(), (
        "run `python -m bench.pages`"
    )


def test_everything_that_is_said_stands_in_a_page() -> None:
    text = "".join(page.read_text() for page in pages.PAGES)
    assert set(re.findall(r"<!-- ([a-z-]+) -->", text)) == set(pages.generated(PARTS))


def test_no_number_with_a_fraction_stands_outside_a_generated_table() -> None:
    for page in pages.PAGES:
        prose = re.sub(r"<!-- ([a-z-]+) -->.*?<!-- /\1 -->", "", page.read_text(), flags=re.DOTALL)
        assert not re.findall(r"\d+\.\d+", re.sub(r"\]\([^)]*\)|`[^`]*`", "", prose)), page


def test_a_changed_result_changes_the_page() -> None:
    changed = json.loads(json.dumps(PARTS))
    changed["scheduling"]["result"]["cells"][0]["ours"]["makespan_to_ideal"] += 1
    before, after = pages.generated(PARTS), pages.generated(changed)
    assert {name for name in before if before[name] != after[name]} == {"makespans"}


def test_results_that_are_kept_were_no_quick_run() -> None:
    assert [name for name, envelope in PARTS.items() if envelope["quick"]] == []
    assert set(PARTS) == set(results.PARTS)
    for name, envelope in PARTS.items():
        assert re.fullmatch(
            rf"(BENCH_JOBS=\d+ )?(make bench ARGS={name}|pypy3 -m bench {name})",
            envelope["command"],
        )
        assert re.fullmatch(r"[0-9a-f]{40}", envelope["commit"])


def test_charts_are_small_and_of_these_results() -> None:
    drawn = pages.drawn(PARTS)
    assert (
        {path.stem for path in charts.FOLDER.glob("*.svg")}
        >= drawn.keys()
        == set(re.findall(r"\(([a-z-]+)\.svg\)", pages.PAGES[0].read_text()))
    )
    for name, (numbers, _) in drawn.items():
        text = (charts.FOLDER / f"{name}.svg").read_text()
        assert charts.digest(numbers) in text, "run `python -m bench.pages`"
        assert len(text) < 200_000


def test_an_unknown_part_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schedulling"])
    assert "no part is called schedulling; there are " in capsys.readouterr().err


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    some = {
        "parts": {
            "a": {
                "result": {
                    "gaps": [1.5, 2.25, 3],
                    "pairs": [[1, 2], [3, 4]],
                    "words": ["x, [y  z]", "z"],
                }
            }
        }
    }
    results.write(some, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == some
    assert "[1.5, 2.25, 3]" in (tmp_path / "r.json").read_text()
