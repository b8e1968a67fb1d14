"""What a reader of inputs looks for, and what it has found so far. Pure."""

from dataclasses import dataclass, field, replace

from bbq.shared.bodies import Bodies
from bbq.shared.events import Problem

MAX_PROBLEMS = 100


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken: records and bytes, both ends included, and bodies (None: of any shape). Of a
    model's job, or, without bodies' ends, of a whole upload.
    """

    min_records: int
    max_records: int
    max_bytes: int
    bodies: Bodies | None = None


@dataclass(kw_only=True)
class Findings:
    """What a reader has found so far: small, whatever it read."""

    line: int = 0
    records: int = 0  # lines that are not blank
    # problems of the file; never left out for those of its lines
    whole: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)  # the first ones of its lines
    problem_count: int = 0
    # fault of bodies -> its first line, and how many lines have it
    of_bodies: dict[str, tuple[int, int]] = field(default_factory=dict)
    other_id_name: str | None = None  # a name that was probably meant to be recordId

    def copy(self, *, line: int | None = None, records: int | None = None) -> "Findings":
        """As they are, or were some lines before, if nothing was wrong since."""
        return replace(
            self,
            line=self.line if line is None else line,
            records=self.records if records is None else records,
            whole=[*self.whole],
            problems=[*self.problems],
            of_bodies={**self.of_bodies},
        )

    def problems_of_bodies(self) -> list[Problem]:
        """One for each fault, in the order of their first lines."""
        found = (
            Problem(line=first, text=text + (f"; {count:,} lines have this" if count > 1 else ""))
            for text, (first, count) in self.of_bodies.items()
        )
        return sorted(found, key=lambda problem: problem.line or 0)

    def add(self, *texts: str) -> None:
        """Problems of the line that was read last."""
        self.problem_count += len(texts)
        room = MAX_PROBLEMS - len(self.problems)
        self.problems += [Problem(line=self.line, text=text) for text in texts[:room]]

    def add_of_file(self, text: str, line: int | None = None) -> None:
        """A problem that rejects the file, whatever its lines are."""
        self.problem_count += 1
        self.whole.append(Problem(line=line, text=text))
