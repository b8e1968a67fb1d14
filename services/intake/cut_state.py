"""What a cut is made of so far, and where it goes on: small enough for a message. Pure."""

import json
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from bbq.services.intake.plan import Amount
from bbq.services.intake.staging import Counts, Range
from bbq.shared.events import Problem
from bbq.shared.findings import Findings


@dataclass(frozen=True, kw_only=True)
class Part:
    """A range of an upload's lines, both ends included, and what was staged of it. Only the one
    part of an upload that is small or wholly invalid has fewer records than the minimum.
    """

    first: int
    last: int
    amount: Amount
    counts: Counts

    @property
    def records(self) -> int:
        """Those that are fit."""
        return self.amount.records


@dataclass(frozen=True, kw_only=True)
class Position:
    """The beginning of a line, and what was found in those before."""

    offset: int = 0
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a cut goes on. `before` is the beginning of the part before, to which it goes back if
    the last part is too small; `last`: it already did.
    """

    here: Position
    before: Position | None = None
    last: bool = False
    parts: tuple[Part, ...] = ()
    invalid: tuple[Range, ...] = ()

    def to_json(self) -> str:
        """As text for a message."""
        return json.dumps(
            {
                "here": asdict(self.here),
                "before": self.before and asdict(self.before),
                "last": self.last,
                "parts": [
                    [part.first, part.last, astuple(part.amount), astuple(part.counts)]
                    for part in self.parts
                ],
                "invalid": [astuple(one) for one in self.invalid],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> "State":
        """What `to_json` wrote."""
        raw = json.loads(text)
        return cls(
            here=_position(raw["here"]),
            before=raw["before"] and _position(raw["before"]),
            last=raw["last"],
            parts=tuple(
                Part(first=first, last=last, amount=Amount(*amount), counts=Counts(*counts))
                for first, last, amount, counts in raw["parts"]
            ),
            invalid=tuple(Range(*one) for one in raw["invalid"]),
        )


def _position(raw: dict[str, Any]) -> Position:
    found = raw["findings"]
    for name in ("whole", "problems"):
        found[name] = [Problem(**one) for one in found[name]]
    found["of_bodies"] = {fault: (first, n) for fault, (first, n) in found["of_bodies"].items()}
    return Position(offset=raw["offset"], findings=Findings(**found))
