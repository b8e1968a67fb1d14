"""The one scan of this project: every key of a table, page by page, because a person asked for it.

No service may scan (P6), and no role of theirs could. Only keys are read here; a row is then read
by its key, strongly consistent. The scan itself is strongly consistent too: whatever was written
before it began is in it. A scan goes from partition to partition, so the events of a stream follow
each other, and nothing needs to be kept of the streams before.

IAM, for the person who runs the tools: dynamodb:Scan on both tables, beside what
`shared/dynamodb.py` needs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from bbq.shared.events import UnknownEvent
from bbq.shared.job import IllegalEvent
from bbq.shared.store import Store
from bbq.shared.tables import EVENTS, PROJECTIONS, ConditionFailed, Contended, Tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# (hash, range): (stream, version) of an event, (pk, sk) of a projection
Key = tuple[str, str | int]

PAGE_ITEMS = 500  # rows that one page reads, whole, though it returns only their keys
MAX_ATTEMPTS = 8  # of one page; botocore's own growing pauses with jitter between them
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10
# of one look at a job: its events, its view, its place in line, each a few KB, strongly consistent
LOOK_READ_UNITS = 4.0
DEFAULT_READ_UNITS_PER_SECOND = 200.0

_KEYS = {EVENTS: ("stream", "version"), PROJECTIONS: ("pk", "sk")}


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some keys, and what they cost in read units."""

    keys: tuple[Key, ...]
    read_units: float


class Reader(Protocol):
    """All keys of a table ("events" or "projections"), in an order of its own, but the keys of a
    partition one after another.
    """

    def pages(self, table: str) -> Iterator[Page]: ...


class Hints(Protocol):
    """The hints queue (services/scheduler/outbox.py)."""

    def wake_job(self, job: str) -> None: ...
    def wake_model(self, alias: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RepairContext:
    """What the tools of last resort work with. `now` is UTC; `lease` is the deployment's; `models`
    are the aliases that it is configured for; `by` is who acts; `tell` is told how far it is, `say`
    what a person should read.

    `read_units_per_second` bounds what is read of the tables, roughly: scans are measured, single
    reads are estimated.
    """

    tables: Tables
    reader: Reader
    hints: Hints
    lease: timedelta
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    models: tuple[str, ...] = ()
    by: str = "operator"
    tell: Callable[[str], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    read_units_per_second: float = DEFAULT_READ_UNITS_PER_SECOND

    @property
    def store(self) -> Store:
        """Events and projections, with the store's own bounded retries."""
        return Store(self.tables, self.sleep)

    def keys(self, table: str) -> Iterator[Key]:
        """Every key of a table, slowly: after each page a pause for it, and for a look at what it
        names.
        """
        count = 0
        for page in self.reader.pages(table):
            yield from page.keys
            count += len(page.keys)
            self.tell(f"{count:,} rows of {table}")
            looks = len({hash_key for hash_key, _ in page.keys})
            self.sleep((page.read_units + LOOK_READ_UNITS * looks) / self.read_units_per_second)

    def streams(self) -> Iterator[str]:
        """Every stream of events, each once."""
        return (stream for stream, _ in groupby(self.keys(EVENTS), key=lambda key: key[0]))


class Damaged(Exception):
    """A job's events or rows cannot be read, its events are not 1 to n, or they cannot be
    projected: what its rows should be is not known.
    """


UNREADABLE_JOB = (UnknownEvent, IllegalEvent, Damaged)
# Says nothing of a job: AWS did not answer, others were faster, or the damage has a name of its own
# already.
_NOT_DAMAGE = (
    PynamoDBException,
    BotoCoreError,
    ClientError,
    OSError,
    ConditionFailed,
    Contended,
    *UNREADABLE_JOB,
)


@contextmanager
def one_job() -> Iterator[None]:
    """Whatever one job does to this code is damage of that job, and never the end of a walk through
    all jobs. Raises Damaged.
    """
    try:
        yield
    except _NOT_DAMAGE:
        raise
    except Exception as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


class DynamoReader:
    """`Reader` on DynamoDB. `names` maps "events" and "projections" to the real table names."""

    def __init__(
        self, names: Mapping[str, str], region: str | None = None, page_items: int = PAGE_ITEMS
    ) -> None:
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

    def pages(self, table: str) -> Iterator[Page]:
        """See Reader."""
        hash_name, range_name = _KEYS[table]
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._names[table],
            ConsistentRead=True,
            ProjectionExpression="#hash, #range",
            ExpressionAttributeNames={"#hash": hash_name, "#range": range_name},
            ReturnConsumedCapacity="TOTAL",
            PaginationConfig={"PageSize": self._page_items},
        )
        for page in pages:
            keys = ((item[hash_name]["S"], item[range_name]) for item in page["Items"])
            yield Page(
                keys=tuple(
                    (hash_key, int(key["N"]) if "N" in key else key["S"]) for hash_key, key in keys
                ),
                read_units=float(page.get("ConsumedCapacity", {}).get("CapacityUnits", 0)),
            )
