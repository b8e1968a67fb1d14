"""What makes moto's DynamoDB quick enough, and its stream steady: put in place by `improve`.

- A transaction checks all its conditions first and writes after. moto copies both tables first (0.5
  s at 2,000 items), and puts the copy back where one fails, so that readers of the stream go on
  with a shard that nobody writes to.
- A query of a table looks at its own partition. moto sorts the whole table first.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    ConditionalCheckFailed,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

MAX_ITEMS = 100  # of a transaction (API reference, TransactWriteItems)


def improve() -> None:
    """From now on, for every table."""
    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]
    Table.query = query  # type: ignore[method-assign]


def transact_write_items(
    self: DynamoDBBackend, transact_items: Sequence[Mapping[str, Any]]
) -> None:
    """Check all, then write all. A write that fails although its condition held (a size, a type)
    undoes those before it.
    """
    if len(transact_items) > MAX_ITEMS:
        raise TooManyTransactionsException
    if any(len(item) != 1 for item in transact_items):
        raise TransactWriteSingleOpException
    steps = [_Step(self, *next(iter(item.items()))) for item in transact_items]
    if len({step.place for step in steps}) < len(steps):
        raise MultipleTransactionsException
    reasons = [step.reason() for step in steps]
    if any(reason[0] is not None for reason in reasons):
        raise TransactionCanceledException(reasons)
    kept = [step.as_it_is() for step in steps]
    try:
        for step in steps:
            step.write()
    except Exception:
        for undo in reversed(kept):
            undo()
        raise


class _Step:
    """One write or check of a transaction."""

    def __init__(self, backend: DynamoDBBackend, kind: str, said: Mapping[str, Any]) -> None:
        self._backend, self._kind, self._said = backend, kind, said
        self._table = backend.get_table(said["TableName"])
        names = [
            name
            for name in (self._table.hash_key_attr, self._table.range_key_attr)
            if name is not None
        ]
        self._key = {name: (said["Item"] if kind == "Put" else said["Key"])[name] for name in names}
        self.place = (self._table.name, str(self._key))

    def reason(self) -> tuple[str | None, str | None, Any]:
        """(code, message, the item if it was asked for) of a condition that does not hold; three
        times None if it does.
        """
        if (condition := self._said.get("ConditionExpression")) is None:
            return None, None, None
        current: Any = self._backend.get_item(self._said["TableName"], self._key)
        names, values = (
            self._said.get("ExpressionAttributeNames"),
            self._said.get("ExpressionAttributeValues"),
        )
        if get_filter_expression(condition, names, values).expr(current):
            return None, None, None
        wanted = self._said.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and current
        return (
            "ConditionalCheckFailed",
            ConditionalCheckFailed().message,
            current.to_json()["Attributes"] if wanted else None,
        )

    def as_it_is(self) -> Callable[[], None]:
        """What puts the item, and the stream, back to how they are now."""
        values: list[Any] = [DynamoType(value) for value in self._key.values()]
        item, shard = copy.deepcopy(self._table.get_item(*values)), self._table.stream_shard
        told = len(shard.items) if shard is not None else 0

        def undo() -> None:
            if shard is not None:
                del shard.items[told:]
            partition: Any = self._table.items if len(values) == 1 else self._table.items[values[0]]
            if item is None:
                partition.pop(values[-1], None)
            else:
                partition[values[-1]] = item

        return undo

    def write(self) -> None:
        """Its condition has been checked, but an update reads names and values with the expression
        of the update.
        """
        said: Mapping[str, Any] = self._said
        name = said["TableName"]
        match self._kind:
            case "Put":
                self._backend.put_item(name, said["Item"])
            case "Delete":
                self._backend.delete_item(name, self._key)
            case "Update":
                self._backend.update_item(
                    name,
                    self._key,
                    update_expression=said["UpdateExpression"],
                    condition_expression=said.get("ConditionExpression"),
                    expression_attribute_names=said.get("ExpressionAttributeNames") or {},
                    expression_attribute_values=said.get("ExpressionAttributeValues") or {},
                )


whole_table: Any = Table.query
ARGUMENTS = inspect.signature(whole_table)


def query(*arguments: Any, **options: Any) -> Any:
    """moto's own query; of a table without an index it is given the partition alone."""
    asked = ARGUMENTS.bind(*arguments, **options)
    if not asked.arguments.get("index_name"):
        asked.arguments["self"] = _Partition(asked.arguments["self"], asked.arguments["hash_key"])
    return whole_table(*asked.args, **asked.kwargs)


class _Partition:
    """A table whose items are those of one partition."""

    def __init__(self, table: Table, hash_key: DynamoType) -> None:
        self._table, self._hash_key = table, hash_key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def all_items(self) -> list[Any]:
        """Of the partition, by the sort key."""
        found: Any = self._table.items.get(self._hash_key)
        if not found:
            return []
        return (
            [found] if self._table.range_key_attr is None else [found[key] for key in sorted(found)]
        )
