"""The problems of a file that is not fit, for people: one that many lines have is said once.
Pure.
"""

from collections.abc import Iterator, Sequence

from bbq.cli.wording import counted
from bbq.shared.events import Problem

MAX_NAMED = 3  # further lines with the same problem; the rest of them is counted


def problem_lines(problems: Sequence[Problem], count: int) -> Iterator[tuple[int | None, str]]:
    """Each problem once, at its first line (None: the whole file), in their order. `count`: how
    many there are in all.
    """
    lines: dict[str, list[int | None]] = {}
    for problem in problems:
        lines.setdefault(problem.text, []).append(problem.line)
    for text, (first, *others) in lines.items():
        named = ", ".join(f"{line:,}" for line in others[:MAX_NAMED] if line is not None)
        rest = f" and {len(others) - MAX_NAMED:,} more" if len(others) > MAX_NAMED else ""
        yield (
            first,
            text
            + (f" (also line{'s' if len(others) > 1 else ''} {named}{rest})" if others else ""),
        )
    if count > len(problems):
        yield None, f"and {counted(count - len(problems), 'problem')} more"
