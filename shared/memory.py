"""The tables in memory, for tests and simulations: the same writes, the same conditions, no
network.

Rows are kept in DynamoDB's own wire form and the very condition and action objects that DynamoDB
would be sent are evaluated here. Only what this project uses is known; anything else raises
NotImplementedError rather than guess. A stored item is never changed, only replaced, so whoever was
given one may keep it; rows that were read are shared and must not be changed. Not for threads.
"""

import heapq
from collections.abc import Sequence
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value
from pynamodb.expressions.update import Action, AddAction, RemoveAction, SetAction

from bbq.shared.tables import (
    Check,
    ConditionFailed,
    Delete,
    EventRow,
    Put,
    R,
    Update,
    Write,
    key_of,
)

Item = dict[str, Any]
MAX_TRANSACTION_ITEMS = 100  # of TransactWriteItems (DynamoDB developer guide, constraints)


class MemoryTables:
    """`Tables` in a dictionary. `log` holds every row written, oldest first, as DynamoDB's stream
    would see it (table, item).
    """

    def __init__(self) -> None:
        self._items: dict[str, dict[str, dict[str | int, Item]]] = {}
        # by id of the item, which is kept so that the id stays its own
        self._rows: dict[int, tuple[Item, Any]] = {}
        self.log: list[tuple[str, Item]] = []

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables."""
        item = self._partition(kind.TABLE, hash_key).get(
            int(range_key) if kind is EventRow else range_key
        )
        return self._row(kind, item) if item is not None else None

    def query(
        self,
        kind: type[R],
        hash_key: str,
        *,
        limit: int | None = None,
        prefix: str = "",
        after: str | int = "",
    ) -> list[R]:
        """See Tables."""
        partition = self._partition(kind.TABLE, hash_key)
        if prefix:
            partition = {
                key: item for key, item in partition.items() if str(key).startswith(prefix)
            }
        if after:
            partition = {
                key: item for key, item in partition.items() if _order(key) > _order(after)
            }
        keys = (
            sorted(partition, key=_order)
            if limit is None
            else heapq.nsmallest(limit, partition, key=_order)
        )
        return [self._row(kind, partition[key]) for key in keys]

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        keys = [(write.row.TABLE, key_of(write.row)) for write in writes]
        if len(set(keys)) != len(keys) or not 0 < len(keys) <= MAX_TRANSACTION_ITEMS:
            raise ValueError("a transaction takes 1 to 100 writes, each on an item of its own")
        befores = [
            self._partition(table, hash_key).get(range_key) for table, (hash_key, range_key) in keys
        ]
        for write, before in zip(writes, befores, strict=True):
            condition = None if isinstance(write, Delete) else write.condition
            if condition is not None and not holds(condition, before or {}):
                raise ConditionFailed(f"{type(write).__name__} of {key_of(write.row)}: {condition}")
        # may raise: nothing written yet
        afters = [_after(write, before) for write, before in zip(writes, befores, strict=True)]
        for write, (table, (hash_key, range_key)), after in zip(writes, keys, afters, strict=True):
            if isinstance(write, Check):
                continue
            if after is None:
                self._partition(table, hash_key).pop(range_key, None)
            else:
                self._partition(table, hash_key)[range_key] = after
                self.log.append((table, after))

    def peek(self, table: str, hash_key: str, range_key: str | int) -> Item | None:
        """The item as it is stored, in wire form."""
        return self._partition(table, hash_key).get(range_key)

    def _row(self, kind: type[R], item: Item) -> R:
        """Reading an item is slow, and most are read many times."""
        if id(item) not in self._rows:
            row = kind()
            row.from_dynamodb_dict(dict(item))
            self._rows[id(item)] = (item, row)
        found: R = self._rows[id(item)][1]
        return found

    def _partition(self, table: str, hash_key: str) -> dict[str | int, Item]:
        return self._items.setdefault(table, {}).setdefault(hash_key, {})


def holds(condition: Condition, item: Item) -> bool:
    """Whether a condition holds for an item in wire form. A comparison with something absent never
    holds, as in DynamoDB.
    """
    match condition.operator:
        case "AND":
            return all(holds(part, item) for part in condition.values)
        case "OR":
            return any(holds(part, item) for part in condition.values)
        case "attribute_exists":
            return _at(item, condition.values[0].path) is not None
        case "attribute_not_exists":
            return _at(item, condition.values[0].path) is None
        case "=" | "<" | ">=" as operator:
            left, right = (_operand(value, item) for value in condition.values)
            return _compare(operator, left, right)
        case other:
            raise NotImplementedError(f"condition {other}")


def _compare(operator: str, left: Item | None, right: Item | None) -> bool:
    if left is None or right is None or left.keys() != right.keys():
        return False
    a, b = _plain(left), _plain(right)
    return bool(a == b if operator == "=" else a < b if operator == "<" else a >= b)


def _plain(value: Item) -> Any:
    ((kind, content),) = value.items()
    return float(content) if kind == "N" else content


def _operand(operand: Any, item: Item) -> Item | None:
    if isinstance(operand, Path):
        return _at(item, operand.path)
    if isinstance(operand, Value):
        return dict(operand.value)
    inner = [_operand(value, item) for value in operand.values]
    match operand.format_string:
        case "size ({0})":
            return {"N": str(len(next(iter(inner[0].values()))))} if inner[0] else None
        case "{0} + {1}" if inner[0] and inner[1]:
            return {"N": str(int(inner[0]["N"]) + int(inner[1]["N"]))}
        case "{0} - {1}" if inner[0] and inner[1]:
            return {"N": str(int(inner[0]["N"]) - int(inner[1]["N"]))}
        case other:
            raise NotImplementedError(f"operand {other} of {inner}")


def _at(item: Item, path: Sequence[str]) -> Item | None:
    found: Item | None = {"M": item}
    for segment in path:
        found = found["M"].get(segment) if found is not None and "M" in found else None
    return found


def _after(write: Write, before: Item | None) -> Item | None:
    match write:
        case Put(row):
            return dict(row.to_dynamodb_dict())
        case Update(row, actions):
            after = before if before is not None else dict(row.to_dynamodb_dict())
            values = [
                _operand(a.values[1], before or {}) if len(a.values) > 1 else None for a in actions
            ]
            for action, value in zip(actions, values, strict=True):
                after = _acted(after, action, value)
            return after
        case Check():
            return before
        case Delete():
            return None


def _acted(item: Item, action: Action, value: Item | None) -> Item:
    target = action.values[0]
    assert isinstance(target, Path)  # noqa: S101 - what every action changes
    *parents, last = target.path
    changed = inner = dict(item)
    for segment in parents:
        if "M" not in inner.get(segment, {}):
            # what DynamoDB answers
            raise ValueError(f"the document path {action} is invalid for update")
        inner[segment] = {"M": dict(inner[segment]["M"])}
        inner = inner[segment]["M"]
    match action:
        case SetAction():
            inner[last] = value
        case AddAction() if value is not None and "N" in value:
            inner[last] = {"N": str(int(inner.get(last, {"N": "0"})["N"]) + int(value["N"]))}
        case RemoveAction():
            inner.pop(last, None)
        case _:
            raise NotImplementedError(f"action {action}")
    return changed


def _order(key: str | int) -> Any:
    return key.encode() if isinstance(key, str) else key
