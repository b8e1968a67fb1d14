"""What the tables say, for people: views by status and day, a job and its history.

There is no scan here, and nothing grows with history. Views are found by the status index, which
has one partition for each model and status, and for each day once jobs are over: the number of
requests is bounded by models x statuses x days asked for, each partition read no further than
asked. The index is eventually consistent: a job that was changed a moment ago may be seen as it
was. Nobody decides anything on these answers.

IAM: dynamodb:Query on the projections table's index, dynamodb:GetItem on the projections table,
dynamodb:Query on the events table.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bbq.cli import times
from bbq.cli.deployment import Deployment, client
from bbq.cli.faults import Fault
from bbq.cli.views import View, view_of
from bbq.shared.events import Json
from bbq.shared.job import CANCELLED, CLAIMED, ENDS, QUEUED, RANK, REJECTED, UNREADABLE
from bbq.shared.names import job_stream
from bbq.shared.plain import moment_of
from bbq.shared.rows import IN_SLOT, VIEW_KEY, status_partition, view_pk
from bbq.shared.tables import STATUS_INDEX, EventRow, ViewRow

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The order of a job's life: whoever reads in this order meets a job that moves on meanwhile twice
# rather than not at all.
LIVE_STATUSES = (UNREADABLE, QUEUED, CLAIMED, *RANK)
# of a rejected file that named none of ours, and of an upload that intake could not read
NO_MODEL = ""
OVER_STATUSES = (*sorted(ENDS), CANCELLED, REJECTED)
# What became of a Completed job may have a word of its own (shared/job.py: outcome).
OUTCOMES_OF_COMPLETED = ("Completed", "CompletedWithErrors", "NoRecordSucceeded")
OUTCOMES = (*OUTCOMES_OF_COMPLETED, *(status for status in OVER_STATUSES if status != "Completed"))

PARALLEL = 10  # requests at once: botocore's pool of connections
# at least so many of a day are read, of one model and status, to find those that ended last
DAY_ROWS = 300
# of one partition, each of at most 1 MB (DynamoDB's limit), where something is sought in it
MAX_PAGES = 5
MAX_DAYS = 400  # asked for at once

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One event of a job as it is stored: `data` is what it says, whichever version of the code
    wrote it.
    """

    version: int
    at: datetime
    name: str
    schema: int
    data: Json


def live_views(
    deployment: Deployment,
    models: Sequence[str],
    statuses: Iterable[str] = LIVE_STATUSES,
    limit: int | None = None,
) -> list[View]:
    """Jobs that are not over, those furthest along first, then those queued first; `limit` in all.
    For each model one request for those that have a slot and one for the waiting, and for each
    further MB of them where there is no limit. Uploads that intake may not read yet have the model
    "", and a request of their own.
    """
    wanted = set(statuses)
    # In the order in which jobs go through them: one that moves on meanwhile is met twice rather
    # than not at all.
    pairs = [(model, each) for each in LIVE_STATUSES if each in wanted for model in models]
    keys = list(
        dict.fromkeys(
            status_partition(model, each)
            for model, each in pairs
            if (model == NO_MODEL) == (each == UNREADABLE)
        )
    )

    # those in a slot are no more than there are slots, and are told apart here
    def read(key: str) -> list[View]:
        return _indexed(deployment, key, None if key.endswith(f"#{IN_SLOT}") else limit)

    newest_of_all = newest(view for views in at_once(read, keys) for view in views)
    found = [view for view in newest_of_all if view.status in wanted]
    rank = {status: number for number, status in enumerate(reversed(LIVE_STATUSES))}
    return sorted(found, key=lambda view: (rank.get(view.status, 0), view.queued_at, view.job))[
        :limit
    ]


def over_views(
    deployment: Deployment,
    models: Sequence[str],
    since: datetime,
    outcomes: Iterable[str] = OUTCOMES,
    limit: int | None = None,
) -> list[View]:
    """Jobs that ended since then, last ended first; stops at the first day (UTC) that brings it to
    `limit`.

    One request for each model, status and day, some more where a partition is larger than a page.
    With a limit a partition is not read further than needed to find so many, DAY_ROWS at least: on
    a day with more ends of one kind, those that were queued last are found. Rejected files that
    named no model of ours, and what was cancelled before it could be read, count as the model "".
    Raises Fault for more than MAX_DAYS.
    """
    wanted = set(outcomes)
    found: list[View] = []
    for day in _days_back(since):
        ended = _over_that_day(deployment, models, day, wanted, limit)
        found += sorted(
            (view for view in ended if view.last_at >= since),
            key=lambda view: view.last_at,
            reverse=True,
        )
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]


def jobs_since(
    deployment: Deployment, since: datetime, models: Sequence[str] | None = None
) -> Iterator[View]:
    """Every job that was alive (waiting or running) at any time since then, in no order, each once.
    Rejected files never were.

    Reads all of it: one request for each model and live status and for each model, status and day,
    and for each further MB.
    """
    models = list(deployment.models) if models is None else models
    seen: set[str] = set()
    alive = live_views(deployment, models)
    lived = set(OUTCOMES) - {REJECTED}
    days = (_over_that_day(deployment, models, day, lived, None) for day in _days_back(since))
    for views in (alive, *days):  # the live first: a job that ends meanwhile is met
        for view in views:
            if view.job not in seen and (not view.over or view.last_at >= since):
                seen.add(view.job)
                yield view


def view(deployment: Deployment, job: str) -> View | None:
    """The job as it is now, strongly consistent; None where there is none (yet: see `history`)."""
    row = deployment.tables.get(ViewRow, view_pk(job), VIEW_KEY)
    return view_of(row) if row is not None else None


def history(deployment: Deployment, job: str) -> list[Happened]:
    """The job's events, oldest first, strongly consistent; of events newer than this code too."""
    return [
        Happened(
            version=int(row.version),
            at=moment_of(row.at),
            name=row.name,
            schema=int(row.schema),
            data=row.data,
        )
        for row in deployment.tables.query(EventRow, job_stream(job))
    ]


def newest(views: Iterable[View]) -> list[View]:
    """Each job once, as it was seen last: a job that moves while the index is read is met twice."""
    found: dict[str, View] = {}
    for seen in views:
        if seen.job not in found or found[seen.job].version <= seen.version:
            found[seen.job] = seen
    return list(found.values())


def at_once(read: Callable[[S], T], keys: Sequence[S]) -> list[T]:
    """What `read` answers for each key, in their order, some of them at the same time."""
    if len(keys) < 2:  # noqa: PLR2004 - nothing to share
        return [read(key) for key in keys]
    with ThreadPoolExecutor(min(PARALLEL, len(keys))) as pool:
        return list(pool.map(read, keys))


def _over_that_day(
    deployment: Deployment, models: Sequence[str], day: str, outcomes: set[str], limit: int | None
) -> list[View]:
    statuses = [status for status in OVER_STATUSES if status in outcomes]
    of_completed = outcomes & set(OUTCOMES_OF_COMPLETED)
    if of_completed and "Completed" not in statuses:
        statuses.append("Completed")
    most = None if limit is None else max(limit, DAY_ROWS)

    def read(key: tuple[str, str]) -> list[View]:
        model, status = key
        some = status == "Completed" and of_completed != set(OUTCOMES_OF_COMPLETED)
        return _indexed(
            deployment,
            f"{model}#{status}#{day}",
            most,
            newest_first=True,
            outcomes=sorted(of_completed) if some else (),
        )

    keys = [
        (model, status)
        for model in models
        for status in statuses
        if model or status in {REJECTED, CANCELLED}
    ]
    return newest(view for views in at_once(read, keys) for view in views)


def _indexed(
    deployment: Deployment,
    status_key: str,
    most: int | None,
    *,
    newest_first: bool = False,
    outcomes: Sequence[str] = (),
) -> list[View]:
    """Views of one partition of the index by the time they were queued: all, or the first `most`,
    of these outcomes if any are named (then no more than MAX_PAGES pages are read).
    """
    arguments: dict[str, Any] = {
        "TableName": deployment.projections_table,
        "IndexName": STATUS_INDEX,
        "KeyConditionExpression": "status_key = :key",
        "ExpressionAttributeValues": {":key": {"S": status_key}},
        "ScanIndexForward": not newest_first,
    }
    if outcomes:
        names = {f":outcome{number}": {"S": outcome} for number, outcome in enumerate(outcomes)}
        arguments["FilterExpression"] = f"outcome IN ({', '.join(names)})"
        arguments["ExpressionAttributeValues"] |= names
    elif most is not None:
        arguments["Limit"] = most
    dynamodb: DynamoDBClient = client("dynamodb")
    views: list[View] = []
    pages = 0
    while True:
        answer = dynamodb.query(**arguments)
        for item in answer["Items"]:
            row = ViewRow()
            row.from_dynamodb_dict(cast("dict[str, Any]", item))
            views.append(view_of(row))
        pages += 1
        enough = most is not None and (len(views) >= most or pages >= MAX_PAGES)
        if enough or "LastEvaluatedKey" not in answer:
            return views[:most]
        arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _days_back(since: datetime) -> list[str]:
    """The days (UTC) from today back to the day of `since`."""
    first, today = since.astimezone(UTC).date(), times.now().date()
    count = (today - first).days + 1
    if count > MAX_DAYS:
        raise Fault(
            f"that would be {count} days, and at most {MAX_DAYS} are read at once: say a later "
            "--since"
        )
    return [(today - timedelta(days=back)).isoformat() for back in range(count)]
