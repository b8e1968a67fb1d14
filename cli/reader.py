"""The one scan of this project: every key of a table, page by page, because a person asked for it.

No service may scan (P6), and no role of theirs could. Only keys are read here; whoever wants a row reads it by its key,
strongly consistent. The scan itself is strongly consistent too: whatever was written before it began is in it.

IAM, for the person who runs the tools: dynamodb:Scan on both tables, beside what `shared/dynamodb.py` needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config

from shared.tables import EVENTS, PROJECTIONS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef

Key = tuple[str, str | int]  # (hash, range): (stream, version) of an event, (pk, sk) of a projection

PAGE_ITEMS = 500  # rows that one page reads, whole, though it returns only their keys
MAX_ATTEMPTS = 8  # of one page; botocore's own growing pauses with jitter between them
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10

_KEYS = {EVENTS: (("stream", "S"), ("version", "N")), PROJECTIONS: (("pk", "S"), ("sk", "S"))}


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some keys, where to go on (None: this was the last page), and what the page cost in read units."""

    keys: tuple[Key, ...]
    next: Key | None
    read_units: float


class Reader(Protocol):
    """All keys of a table ("events" or "projections"), in an order of its own, beginning after `start`."""

    def page(self, table: str, start: Key | None) -> Page: ...


class DynamoReader:
    """`Reader` on DynamoDB. `names` maps "events" and "projections" to the real table names."""

    def __init__(self, names: Mapping[str, str], region: str | None = None, page_items: int = PAGE_ITEMS) -> None:
        self._names = names
        self._page_items = page_items
        self._client: DynamoDBClient = boto3.client(
            "dynamodb",
            region_name=region,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
            ),
        )

    def page(self, table: str, start: Key | None) -> Page:
        """See Reader."""
        (hash_name, _), (range_name, _) = _KEYS[table]
        arguments: ScanInputTypeDef = {
            "TableName": self._names[table],
            "ConsistentRead": True,
            "Limit": self._page_items,
            "ProjectionExpression": "#hash, #range",
            "ExpressionAttributeNames": {"#hash": hash_name, "#range": range_name},
            "ReturnConsumedCapacity": "TOTAL",
        }
        if start is not None:
            arguments["ExclusiveStartKey"] = _to_wire(table, start)
        answer = self._client.scan(**arguments)
        last = answer.get("LastEvaluatedKey")
        return Page(
            keys=tuple(_from_wire(table, item) for item in answer["Items"]),
            next=_from_wire(table, last) if last else None,
            read_units=float(answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0)),
        )


def _to_wire(table: str, key: Key) -> dict[str, Any]:
    return {name: {kind: str(part)} for (name, kind), part in zip(_KEYS[table], key, strict=True)}


def _from_wire(table: str, item: Mapping[str, Any]) -> Key:
    (hash_name, _), (range_name, kind) = _KEYS[table]
    text = item[range_name][kind]
    return item[hash_name]["S"], int(text) if kind == "N" else text
