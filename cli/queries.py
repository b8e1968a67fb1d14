"""What the tables say, for people: views by status and day, a job and its history and a place in
line.

There is no scan here, and nothing grows with history. Views are found by the status index, which
has one partition for each model and status, and for each day once jobs are over: the number of
requests is bounded by models x statuses x days asked for, each partition read no further than
asked. The index is eventually consistent: a job that was changed a moment ago may be seen as it
was. Nobody decides anything on these answers.

IAM: dynamodb:Query on the projections table and its index, dynamodb:GetItem on the projections
table, dynamodb:Query on the events table; s3:GetObject for `by_object` (HeadObject asks for that).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ClientError

from bbq.cli import times
from bbq.cli.app import Fault, NotFound
from bbq.cli.deployment import Deployment, client
from bbq.cli.estimates import MAX_POSITION, Position, mean_slot_seconds
from bbq.shared.events import Json, moment_of
from bbq.shared.job import CANCELLED, CLAIMED, ENDS, OVER, QUEUED, RANK, REJECTED, UNREADABLE, Job
from bbq.shared.names import (
    INPUT_PREFIX,
    INPUT_SUFFIX,
    JOB_ID_LENGTH,
    is_job_id,
    job_id,
    job_stream,
    split_s3_uri,
)
from bbq.shared.rows import IN_SLOT, VIEW_KEY, line_pk, line_row, status_partition, view_pk
from bbq.shared.store import Store
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
class Object:
    """A job's source: one version of one S3 object."""

    bucket: str
    key: str
    version_id: str


@dataclass(frozen=True, kw_only=True)
class View:
    """A job as its view says. Absent numbers, times and texts are None. `outcome` is None until the
    job is over.
    """

    job: str
    model: str
    status: str
    outcome: str | None
    reason: str | None
    priority: int
    attempt: int
    records: int
    size_bytes: int
    processed_records: int | None
    succeeded_records: int | None
    failed_records: int | None
    input_tokens: int | None
    output_tokens: int | None
    queued_at: datetime
    claimed_at: datetime | None
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    sources: tuple[Object, ...]
    input_uri: str | None
    output_uri: str | None
    model_id: str | None
    arn: str | None
    cancel_by: str | None
    labels: Mapping[str, str]
    problems: tuple[Json, ...] = ()
    warnings: tuple[str, ...] = ()
    version: int

    @property
    def file(self) -> str:
        """What was uploaded: the key without the prefix that all have."""
        first = self.sources[0].key.removeprefix(INPUT_PREFIX) if self.sources else ""
        return first if len(self.sources) < 2 else f"{first} (+{len(self.sources) - 1})"  # noqa: PLR2004 - one, or more

    @property
    def over(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.status in OVER

    @property
    def last_at(self) -> datetime:
        """When it ended, or changed last."""
        return self.ended_at or self.updated_at

    @property
    def word(self) -> str:
        """The status, or what became of it."""
        return self.outcome or self.status

    def waited(self, now: datetime) -> timedelta | None:
        """From its upload until Bedrock took it, it was over, or now. None for a file that was
        rejected: it never waited.
        """
        if self.status == REJECTED:
            return None
        return (self.submitted_at or self.ended_at or now) - self.queued_at

    def ran(self, now: datetime) -> timedelta | None:
        """From the moment when Bedrock took it until it was over, or now. None where Bedrock never
        had it.
        """
        return (self.ended_at or now) - self.submitted_at if self.submitted_at else None


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


def check_id(text: str) -> None:
    """Raises NotFound for what cannot be the id of a job."""
    if not is_job_id(text):
        raise NotFound(
            f"{text!r} is not a job's id ({JOB_ID_LENGTH} small letters and digits): `bbq jobs` "
            "lists them"
        )


def by_object(deployment: Deployment, what: str) -> str:
    """The job id of what a person named: an id, a key of the bucket, with or without `to-process/`,
    or `s3://bucket/key`. Of a key the newest version counts. A file's name alone, or its path here,
    is looked for in the folder of each model, where `bbq submit` puts it: one HeadObject for each.
    Raises NotFound, Fault.
    """
    if is_job_id(what):
        return what
    unknown = NotFound(
        f"there is no job and no file {what!r}: `bbq jobs` lists both (an id has {JOB_ID_LENGTH} "
        "letters and digits; a file that "
        "was submitted with --as is found by the key that was said there)"
    )
    if "/" not in what and not what.endswith(INPUT_SUFFIX):
        raise unknown
    bucket, key = split_s3_uri(what) if what.startswith("s3://") else (deployment.bucket, what)
    if bucket != deployment.bucket:
        raise Fault(
            f"the bucket of deployment {deployment.name!r} is {deployment.bucket}, not {bucket}"
        )
    # nothing else is a job, or a viewer's to read
    key = key if key.startswith(INPUT_PREFIX) else INPUT_PREFIX + key
    version = _newest_version(bucket, key)
    if version is None and not what.startswith("s3://"):
        key, version = _submitted(deployment, what.rpartition("/")[2]) or (key, None)
    if version is None:
        raise unknown
    return job_id(bucket, key, version, "", "")


def _submitted(deployment: Deployment, name: str) -> tuple[str, str] | None:
    """Key and version of the file of that name where `bbq submit` puts it without --as. Raises
    Fault for several models'.
    """
    keys = [f"{INPUT_PREFIX}{alias}/{name}" for alias in deployment.models]
    versions = at_once(lambda key: _newest_version(deployment.bucket, key), keys)
    found = [
        (key, version) for key, version in zip(keys, versions, strict=True) if version is not None
    ]
    if len(found) > 1:
        raise Fault(
            f"{name!r} was submitted for several models: say {' or '.join(key for key, _ in found)}"
        )
    return found[0] if found else None


def place(deployment: Deployment, job: Job) -> Position | None:
    """Where a waiting job is in its line, strongly consistent; None where it is not in line (any
    more, or yet). Two requests.
    """
    key = line_row(job).sk
    dynamodb = _dynamodb()
    there = dynamodb.get_item(
        TableName=deployment.projections_table,
        Key={"pk": {"S": line_pk(job.model)}, "sk": {"S": key}},
        ConsistentRead=True,
    )
    if "Item" not in there:
        return None
    answer = dynamodb.query(
        TableName=deployment.projections_table,
        KeyConditionExpression="pk = :line AND sk < :place",
        Select="COUNT",
        ExpressionAttributeValues={":line": {"S": line_pk(job.model)}, ":place": {"S": key}},
        ConsistentRead=True,
        Limit=MAX_POSITION,
    )
    return Position(ahead=answer["Count"], exact="LastEvaluatedKey" not in answer)


def recent_mean_slot_seconds(store: Store, model: str, now: datetime) -> float | None:
    """How long a job held its slot on average today, or yesterday if none ended today. Two
    queries.
    """
    return mean_slot_seconds(*(store.day(model, day) for day in times.days(now)))


def newest(views: Iterable[View]) -> list[View]:
    """Each job once, as it was seen last: a job that moves while the index is read is met twice."""
    found: dict[str, View] = {}
    for seen in views:
        if seen.job not in found or found[seen.job].version <= seen.version:
            found[seen.job] = seen
    return list(found.values())


def view_of(row: ViewRow) -> View:
    """A row, with its times as times and its numbers whole."""

    def read(name: str) -> Any:
        value = getattr(row, name)
        if name.endswith("_at"):
            return moment_of(value) if value else None
        return int(value) if isinstance(value, float) else value

    values = {field.name: read(field.name) for field in fields(View)}
    names = [field.name for field in fields(Object)]
    values["sources"] = tuple(
        Object(**{name: source[name] for name in names}) for source in map(_plain, row.sources)
    )
    values["labels"] = {label["name"]: label["value"] for label in map(_plain, row.labels or ())}
    values["problems"] = tuple(_plain(problem) for problem in row.problems or ())
    values["warnings"] = tuple(str(warning) for warning in row.warnings or ())
    return View(**values)


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
    views: list[View] = []
    pages = 0
    while True:
        answer = _dynamodb().query(**arguments)
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


def _newest_version(bucket: str, key: str) -> str | None:
    try:
        answer = client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"].get("Code") in {"404", "NoSuchKey", "NotFound"}:
            return None
        raise
    found: str | None = answer.get("VersionId")
    return found


def _dynamodb() -> "DynamoDBClient":
    return cast("DynamoDBClient", client("dynamodb"))


def _plain(value: Any) -> dict[str, Any]:
    return dict(value.as_dict() if hasattr(value, "as_dict") else value)
