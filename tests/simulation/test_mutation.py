"""Mistakes by structure: each kind of change does what it says, once, and whatever does not fit the
code is said aloud.
"""

import ast
import subprocess
import sys

import pytest

from tests.simulation.hunt import failed_tests
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import (
    ROOT,
    Change,
    Misfit,
    after,
    argument,
    assigned,
    before,
    condition,
    constant,
    drop,
    expr,
    instead,
    mutated,
    production,
    returned,
    without,
)

CODE = {
    "shop.counter": """
LIMIT = 3

class Till:
    OPEN: bool = True

    def take(self, coin):
        self.sum = self.sum + coin
        return self.sum

def serve(world, job, lease):
    if job.ready and lease is not None:
        world.timers.arm(job.id, due=lease.until)
    elif job.cancel is not None:
        world.note("cancelled", job=job.id)
    try:
        world.store.commit([first(job), *second(job)])
    except (ValueError, KeyError):
        return [each for each in job.parts if each.id == job.id]

def name(job):
    match job:
        case None:
            job.lost = True
        case _ if job.ready:
            job.name = f"{job.id}-{job.attempt}"
""",
    "shop.door": """
def name(job):
    return job.id

def late(now, due):
    return Check(due.exists() & (due < now)) or now > due and due.known
""",
}
GROUPS = [{"shop.counter": CODE["shop.counter"]}, {"shop.door": CODE["shop.door"]}]


def lines(*changes: Change) -> set[str]:
    """The lines that are other ones than before, of all modules."""
    changed = {module: ast.unparse(tree) for module, tree in mutated(changes, GROUPS).items()}
    return {line.strip() for module, text in changed.items() for line in text.splitlines()} - {
        line.strip()
        for module in changed
        for line in ast.unparse(ast.parse(CODE[module])).splitlines()
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            expr("late", "now > due", "now >= due"),
            {"return Check(due.exists() & (due < now)) or (now >= due and due.known)"},
        ),
        (
            expr("late", "X < Y", "Y < X"),
            {"return Check(due.exists() & (now < due)) or (now > due and due.known)"},
        ),
        (expr("serve", "(ValueError, KeyError)", "IT[0]"), {"except (ValueError, KeyError)[0]:"}),
        (expr("counter.name", "job.attempt", "1"), {"job.name = f'{job.id}-{1}'"}),
        (without("serve", "second(...)"), {"world.store.commit([first(job)])"}),
        (without("serve", "lease is not None"), {"if job.ready:"}),
        (without("late", "exists(...)"), {"return Check(due < now) or (now > due and due.known)"}),
        (argument("serve", "arm", "due", "None"), {"world.timers.arm(job.id, due=None)"}),
        (argument("serve", "note", 0, "IT + 'x'"), {"world.note('cancelled' + 'x', job=job.id)"}),
        (condition("serve", "job.cancel", "False"), {"elif False:"}),
        (
            condition("serve", "lease", "IT or job.old"),
            {"if job.ready and lease is not None or job.old:"},
        ),
        (condition("serve", "if job.ready and X: ...", "True"), {"if True:"}),
        (
            condition("serve", "each.id == X", "True"),
            {"return [each for each in job.parts if True]"},
        ),
        (condition("counter.name", "job.ready", "False"), {"case _ if False:"}),
        (returned("Till.take", "0"), {"return 0"}),
        (assigned("Till.take", "self.sum", "coin"), {"self.sum = coin"}),
        (constant("LIMIT", "IT + 1"), {"LIMIT = 3 + 1"}),
        (constant("Till.OPEN", "False"), {"OPEN: bool = False"}),
        (
            instead("serve", "arm(...)", "return IT"),
            {"return world.timers.arm(job.id, due=lease.until)"},
        ),
        (
            instead("serve", "return X", "yield X"),
            {"yield [each for each in job.parts if each.id == job.id]"},
        ),
        (drop("Till.take", "self.sum = X"), {"pass"}),
        (drop("serve > if job.ready and X", "arm(...)"), {"pass"}),
        (before("serve", "commit(...)", "x = 1"), {"x = 1"}),
        (after("serve", "commit(...)", "x = 1"), {"x = 1"}),
    ],
)
def test_a_change_does_what_it_says_and_nothing_else(change: Change, expected: set[str]) -> None:
    assert lines(change) == expected


def test_what_comes_before_and_after_is_where_it_should_be() -> None:
    (tree,) = mutated(
        [before("Till.take", "return X", "one"), after("Till.take", "return X", "two")], GROUPS
    ).values()
    assert "        one\n        return self.sum\n        two" in ast.unparse(tree)


def test_an_if_goes_with_all_that_hangs_on_it() -> None:
    (tree,) = mutated([drop("serve", "lease is not None")], GROUPS).values()
    assert "cancelled" not in ast.unparse(tree)
    assert "commit" in ast.unparse(tree)


def test_changes_of_one_mutant_are_made_one_after_another() -> None:
    assert lines(constant("LIMIT", "IT * 2"), constant("LIMIT", "IT + 1")) == {"LIMIT = 3 * 2 + 1"}


def test_a_name_of_a_later_group_counts_only_if_the_first_have_none() -> None:
    assert lines(returned("late", "1")) == {"return 1"}
    with pytest.raises(Misfit, match="return"):
        lines(returned("name", "1"))  # that of the counter, which returns nothing


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (expr("no_such", "X", "X"), "no_such is defined 0 times"),
        (expr("Till", "self.sum", "0"), "2 times, not 1"),
        (expr("late", "due.gone", "0"), "0 times, not 1"),
        (expr("late", "due", "0", times=2), "4 times, not 2"),
        (expr("serve", "X == X", "0"), "0 times, not 1"),
        (without("late", "now"), "0 times"),
        (argument("serve", "arm", "when", "0"), "0 times"),
        (argument("serve", "arm", 1, "0"), "0 times"),
        (argument("serve", "arm", "id", "0"), "0 times"),
        (condition("serve", "job", "0"), "3 times"),
        (returned("Till.OPEN", "0"), "0 times"),
        (assigned("serve", "job", "0"), "0 times"),
        (constant("late", "0"), "no constant"),
        (drop("serve", "job.id"), "3 times"),
        (drop("serve > if lease", "arm(...)"), "0 times"),
    ],
)
def test_what_does_not_fit_the_code_is_said(change: Change, why: str) -> None:
    with pytest.raises(Misfit, match=why):
        mutated([change], GROUPS)


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_fits_the_code_and_changes_it(name: str) -> None:
    ours = {module: text for texts in production() for module, text in texts.items()}
    for module, tree in mutated(MUTANTS[name].changes).items():
        compile(tree, module, "exec")  # or it would be caught for its grammar
        assert ast.dump(tree) != ast.dump(ast.parse(ours[module]))


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if mutant.test])
def test_a_mutant_that_no_seed_sees_is_caught_by_its_test(name: str) -> None:
    assert failed_tests(name, [MUTANTS[name].test]) == 1


def test_an_installed_mutant_is_what_is_imported_and_too_late_is_said() -> None:
    program = (
        "from tests.simulation.mutation import install, returned\n"
        "install([returned('names.holder', '42')])\n"
        "from bbq.shared import names\n"
        "print(names.holder('a', 1), names.__file__)\n"
        "install([returned('names.holder', '43')])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == ["42", str(ROOT / "bbq" / "shared" / "names.py")]
    assert "too late to change bbq.shared.names" in run.stderr
