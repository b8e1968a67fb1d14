"""A policy, less a few things. Pure: documents in, documents out."""

import copy
from collections.abc import Collection, Iterator, Mapping
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
    """Everything that can be taken away. A statement's only resource is taken away with its
    actions.
    """
    for statement in document["Statement"]:
        for action in many(statement["Action"]):
            yield Right(who=who, sid=statement["Sid"], action=action)
        if len(many(statement["Resource"])) > 1:
            for resource in many(statement["Resource"]):
                yield Right(who=who, sid=statement["Sid"], resource=resource)


def without(document: Mapping[str, Any], taken: Collection[Right]) -> Document:
    """The document less these rights of one role; a statement without actions or resources is gone.
    Raises ValueError where it has no such right.
    """
    rest: Document = {**document, "Statement": []}
    missing = set(taken)
    for statement in copy.deepcopy(document["Statement"]):
        here = {right for right in taken if right.sid == statement["Sid"]}
        missing -= {
            right
            for right in here
            if (right.action or right.resource)
            in many(statement["Action" if right.action else "Resource"])
        }
        for part, gone in (
            ("Action", {r.action for r in here}),
            ("Resource", {r.resource for r in here}),
        ):
            if here:
                statement[part] = [one for one in many(statement[part]) if one not in gone]
        if statement["Action"] and statement["Resource"]:
            rest["Statement"].append(statement)
    if missing:
        one = min(missing)
        raise ValueError(f"there is no {one} in statement {one.sid} of {one.who}")
    return rest


def many(value: str | list[str]) -> list[str]:
    """IAM's one-or-many."""
    return [value] if isinstance(value, str) else list(value)
