"""A policy, less one thing. Pure: documents in, documents out."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, order=True)
class Right:
    """One action of one statement; or one of its resources, where it has several."""

    who: str  # the role or policy by its last name: "intake", "viewer"
    sid: str
    action: str = ""
    resource: str = ""

    def __str__(self) -> str:
        return self.action or self.resource


def rights(who: str, document: Mapping[str, Any]) -> Iterator[Right]:
    """Everything that can be taken away. A statement's only resource is taken away with its actions."""
    for statement in document["Statement"]:
        for action in many(statement["Action"]):
            yield Right(who=who, sid=statement["Sid"], action=action)
        if len(many(statement["Resource"])) > 1:
            for resource in many(statement["Resource"]):
                yield Right(who=who, sid=statement["Sid"], resource=resource)


def without(document: Mapping[str, Any], right: Right) -> Document:
    """The document less the right. Raises ValueError where it has no such right."""
    rest: Document = {**document, "Statement": []}
    found = False
    for statement in copy.deepcopy(document["Statement"]):
        if statement["Sid"] == right.sid:
            part, value = ("Action", right.action) if right.action else ("Resource", right.resource)
            left = [one for one in many(statement[part]) if one != value]
            found = found or len(left) < len(many(statement[part]))
            if not left:
                continue
            statement[part] = left
        rest["Statement"].append(statement)
    if not found:
        raise ValueError(f"there is no {right} in statement {right.sid} of {right.who}")
    return rest


def many(value: str | list[str]) -> list[str]:
    """IAM's one-or-many."""
    return [value] if isinstance(value, str) else list(value)
