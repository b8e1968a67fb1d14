"""The tables on DynamoDB, through PynamoDB's connection.

IAM, on the events table: get = GetItem, query = Query, Put = PutItem, Check = ConditionCheckItem.
On the projections table also Update = UpdateItem and Delete = DeleteItem. Nothing here can update
or delete an event.

A transaction carries a ClientRequestToken (botocore adds one), so the SDK's own retry of it is
harmless. A single write does not: repeated after a lost answer it meets itself and says
ConditionFailed, which callers must take as "read again" anyway.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.session import Session, get_session
from pynamodb.connection import Connection
from pynamodb.connection.base import MetaTable
from pynamodb.exceptions import PutError, PynamoDBException, TransactWriteError, UpdateError
from pynamodb.expressions.operand import Path

from bbq.shared.tables import (
    EVENTS,
    PROJECTIONS,
    Check,
    ConditionFailed,
    Contended,
    Delete,
    Put,
    R,
    Update,
    Write,
    key_of,
)

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10
MAX_RETRIES = 3  # botocore's, with its own growing back-off

_CONTENTION = {
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ThrottlingError",
    "ThrottlingException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
}
_CONDITION = {"ConditionalCheckFailed", "ConditionalCheckFailedException"}


class DynamoTables:
    """`Tables` on DynamoDB. `names` maps "events" and "projections" to the real table names; one of
    them may be left out.

    `session` is one that others use, too: each session reads the SDK's description of AWS anew, an
    eighth of a cold start.
    """

    def __init__(
        self, names: Mapping[str, str], region: str | None = None, session: Session | None = None
    ) -> None:
        self._names = names
        self._connection = _Connection(
            session or get_session(),
            region=region,
            connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
            read_timeout_seconds=READ_TIMEOUT_SECONDS,
            max_retry_attempts=MAX_RETRIES,
        )
        for table, (hash_key, range_key, range_type) in _KEYS.items():
            if table in names:  # so that PynamoDB needs no DescribeTable
                self._connection.add_meta_table(
                    _schema(names[table], hash_key, range_key, range_type)
                )
        # made by one thread: a session does not promise to make clients for several at once
        _ = self._connection.client

    def get(self, kind: type[R], hash_key: str, range_key: str) -> R | None:
        """See Tables."""
        answer = self._connection.get_item(
            self._names[kind.TABLE], hash_key, range_key=range_key, consistent_read=True
        )
        item = answer.get("Item")
        return _row(kind, item) if item else None

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
        range_key = Path(_KEYS[kind.TABLE][1])
        part = range_key.startswith(prefix) if prefix else range_key > after if after else None
        rows: list[R] = []
        start: dict[str, Any] | None = None
        while True:
            page = self._connection.query(
                self._names[kind.TABLE],
                hash_key,
                range_key_condition=part,
                consistent_read=True,
                limit=limit,
                exclusive_start_key=start,
            )
            rows.extend(_row(kind, item) for item in page["Items"])
            start = page.get("LastEvaluatedKey")
            if not start or (limit is not None and len(rows) >= limit):
                return rows[:limit]

    def write(self, writes: Sequence[Write]) -> None:
        """See Tables."""
        try:
            match writes:
                case [Put() as put]:
                    self._connection.put_item(**self._arguments(put))
                case [Update() as update]:
                    self._connection.update_item(**self._arguments(update))
                case _:
                    self._transact(writes)
        except TransactWriteError as error:
            raise _meaning(
                {reason.code for reason in error.cancellation_reasons if reason} or {_code(error)},
                error,
            ) from error
        except (PutError, UpdateError) as error:
            raise _meaning({_code(error)}, error) from error

    def _transact(self, writes: Sequence[Write]) -> None:
        def of(kind: type[Write]) -> list[dict[str, Any]]:
            key: dict[str, Any] = {"key": "Item"} if kind is Put else {}
            chosen = [write for write in writes if isinstance(write, kind)]
            return [
                self._connection.get_operation_kwargs(**self._arguments(write), **key)
                for write in chosen
            ]

        self._connection.transact_write_items(
            condition_check_items=of(Check),
            delete_items=of(Delete),
            put_items=of(Put),
            update_items=of(Update),
        )

    def _arguments(self, write: Write) -> dict[str, Any]:
        hash_key, range_key = key_of(write.row)
        arguments: dict[str, Any] = {
            "table_name": self._names[write.row.TABLE],
            "hash_key": hash_key,
            "range_key": str(range_key),  # PynamoDB wants numbers as text too
        }
        match write:
            case Put(row, condition):
                return arguments | {"attributes": row.to_dynamodb_dict(), "condition": condition}
            case Update(_, actions, condition):
                return arguments | {"actions": list(actions), "condition": condition}
            case Check(_, condition):
                return arguments | {"condition": condition}
            case Delete():
                return arguments


class _Connection(Connection):
    """PynamoDB's, which would make a session of its own."""

    def __init__(self, session: Session, **options: Any) -> None:
        super().__init__(**options)
        self._session = session

    @property
    def session(self) -> Session:
        return self._session


_KEYS = {EVENTS: ("stream", "version", "N"), PROJECTIONS: ("pk", "sk", "S")}


def _schema(name: str, hash_key: str, range_key: str, range_type: str) -> MetaTable:
    return MetaTable(
        {
            "TableName": name,
            "KeySchema": [
                {"AttributeName": hash_key, "KeyType": "HASH"},
                {"AttributeName": range_key, "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": hash_key, "AttributeType": "S"},
                {"AttributeName": range_key, "AttributeType": range_type},
            ],
        }
    )


def _row(kind: type[R], item: dict[str, Any]) -> R:
    row = kind()
    row.from_dynamodb_dict(item)
    return row


def _code(error: PynamoDBException) -> str:
    return error.cause_response_code or ""


def _meaning(codes: set[str], error: PynamoDBException) -> Exception:
    """A failed condition outweighs contention: trying the same write again could not help."""
    if codes & _CONDITION:
        return ConditionFailed(str(error))
    return Contended(str(error)) if codes & _CONTENTION else error
