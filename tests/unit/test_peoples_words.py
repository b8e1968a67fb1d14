"""People's words are data: labels, owners, keys and reasons of any kind, from intake to what `bbq`
prints and a repair compares.

One of them once became the name of an argument: a label called `self` ended `bbq verify` for the
whole deployment. So here arbitrary words go through intake, events, projections, views, the command
line's own printing, `verify` and `rebuild`; each comes out as it went in, and a job that cannot be
projected all the same is one difference, beside which the walk goes on.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bbq.cli import jobs as jobs_command
from bbq.cli import show, status
from bbq.cli.output import print_json
from bbq.cli.queries import Happened
from bbq.cli.redrive import wake_unfinished
from bbq.cli.repair import rebuild, verify
from bbq.cli.views import view_of
from bbq.cli.wording import safe
from bbq.services.intake.config import Config
from bbq.services.intake.handler import take_in_message
from bbq.services.intake.intake import World
from bbq.services.intake.objects import Opened
from bbq.services.intake.uploads import Upload
from bbq.services.scheduler.bedrock import Refused
from bbq.services.scheduler.hints import Report
from bbq.services.scheduler.reconcile import Visit, reconcile, reconcile_report
from bbq.services.scheduler.wake import reconcile_model
from bbq.shared import events as e
from bbq.shared import rows
from bbq.shared.hold import ACCESS
from bbq.shared.models import Model
from bbq.shared.names import INPUT_PREFIX, INPUT_SUFFIX, job_id, job_stream, model_stream
from bbq.shared.tables import EVENTS, PROJECTIONS, EventRow, ViewRow, storable
from tests.support.payloads import s3_notification
from tests.support.samples import BUCKET, LINE, MODEL, MODEL_ID
from tests.support.world import Bench, arn
from tests.unit.test_repair import Office

# names of arguments and attributes on the way, and what formats, terminals and tables give a
# meaning
NASTY = [
    "self",
    "cls",
    "_user_instantiated",
    "attributes",
    "pk",
    "sk",
    "job",
    "model",
    "status",
    "version",
    "labels",
    "name",
    "value",
    "null",
    "default",
    "attr_name",
    "hash_key",
    "range_key",
    "__class__",
    "__init__",
    "__dict__",
    "attribute_values",
    "at",
    "data",
    "service",
    "about",
    "message",
    "level",
    "{}",
    "{0}",
    "{self}",
    "{self.__class__}",
    "%s",
    "%(x)s",
    "%",
    "[bold red]x[/]",
    "[/]",
    ":boom:",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\0",
    "\r\n",
    "\u202egnp",
    "\u2028",
    "\ufeff",
    "cafe\u0301",
    "\U0001f600",
    "\U0010ffff",
    "",
    " ",
    "#",
    "job#",
    "$(x)",
    "'\"`",
    "</script>",
    "\\",
    "None",
    "0",
    "L",
    "S",
    "M",
    "NULL",
    "w" * 2000,
]
# no half of a surrogate pair: a header cannot hold one
WORD = st.sampled_from(NASTY) | st.text(max_size=30)
HALVES = st.sampled_from(["\ud83d", "x\udc00y", "\ud800" * 3])  # but what is read from JSON can
ANY_WORD = WORD | HALVES
LABELS = st.dictionaries(
    WORD.map(str.lower).filter(lambda name: name not in {"model", "priority"}), WORD, max_size=6
)


class Bucket:
    """One fit object under every key, with this metadata."""

    metadata: Mapping[str, str]

    @contextmanager
    def open(self, upload: Upload) -> Iterator[Opened]:
        """See Objects."""
        yield Opened(
            size_bytes=len(LINE), etag="e", encoding="", metadata=self.metadata, chunks=iter([LINE])
        )

    def version_before(self, upload: Upload, etag: str) -> str | None:
        """See Objects."""

    def copy(self, upload: Upload, etag: str, key: str) -> None:
        """See Objects."""


class Life:
    """Intake, scheduler and an operator's tools on the same tables."""

    def __init__(self) -> None:
        self.bench, self.bucket = Bench(limit=2), Bucket()
        self.office = Office(bench=self.bench)
        models = {MODEL: Model(alias=MODEL, model_id=MODEL_ID, limit=2, min_records=1)}
        self.intake = World(
            config=Config(
                bucket=BUCKET,
                events_table="events",
                uploads_queue_url="http://uploads",
                region="us-east-1",
                models=models,
                default_model=MODEL,
            ),
            store=self.bench.store,
            objects=self.bucket,
            now=lambda: self.bench.time,
            seconds_left=lambda: 300.0,
            note=lambda name, **fields: self.bench.notes.append((name, fields)),
            hide=lambda *_: None,
        )

    def upload(self, word: str, labels: Mapping[str, str], version: str = "v1") -> str:
        """S3 announces it and the scheduler takes it up; the job's id."""
        self.bench.wait(seconds=1)
        key = INPUT_PREFIX + word.encode()[:900].decode(errors="ignore") + INPUT_SUFFIX
        self.bucket.metadata = labels
        take_in_message(
            self.intake,
            json.dumps(s3_notification(quote_plus(key), bucket=BUCKET, version=version)),
        )
        job = job_id(BUCKET, key, version, "", "")
        reconcile(self.bench.world(), job, Visit())
        return job

    def fails(self, job: str, message: str) -> None:
        """Bedrock says so, in these words."""
        state = self.bench.job(job)
        assert state.arn
        told = Report(
            arn=state.arn, model_id=MODEL_ID, status="Failed", message=message, job=job, attempt=1
        )
        reconcile_report(self.bench.world(), told)

    @property
    def deployment(self) -> Any:
        """What of a deployment is asked for the holds of its models."""
        return SimpleNamespace(store=self.bench.store)

    def row(self, job: str) -> ViewRow:
        """The job's view."""
        row = self.bench.tables.get(ViewRow, rows.view_pk(job), rows.VIEW_KEY)
        assert row
        return row


def printed(life: Life, jobs: list[str]) -> str:
    """What `bbq jobs`, `show` and `status` make of them, and their JSON."""
    console = Console(file=io.StringIO(), width=120, highlight=False)
    views = [view_of(life.row(job)) for job in jobs]
    for line in jobs_command.job_lines(views, life.bench.time, 120):
        console.print(line)
    said = io.StringIO()
    for view in views:
        happened = [
            Happened(
                version=int(row.version), at=life.bench.time, name=row.name, schema=1, data=row.data
            )
            for row in life.bench.tables.query(EventRow, job_stream(view.job))
        ]
        show._tell_what(console, view, life.bench.time, problem_count=len(view.problems))
        show.tell_history(console, happened)
        with redirect_stdout(said):
            print_json(jobs_command.document(view, life.bench.time))
        document = json.loads(said.getvalue())
        assert document["labels"] == dict(view.labels)
        said.seek(0)
        said.truncate()
    for line in jobs_command._hold_lines(life.deployment, views, life.bench.time, 120):
        console.print(line)
    life_of_model = life.bench.slots
    if life_of_model.pause is not None:
        pause = status.pause_of(life_of_model)
        assert pause is not None
        console.print(safe(status.paused(pause, life.bench.time)), markup=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(LABELS, WORD, ANY_WORD, ANY_WORD, WORD)
@example(
    {word.lower(): word for word in NASTY if word != "model"}, "self", "\ud83d", "{0}%s", "[/]"
)
def test_whatever_people_write_comes_out_as_it_went_in_and_everything_goes_on(
    labels: dict[str, str], word: str, message: str, why: str, by: str
) -> None:
    life = Life()
    bench = life.bench
    failed, forgotten, waiting, cancelled = (
        life.upload(f"{word}{n}", labels, f"v{n}") for n in range(4)
    )
    bench.wait(minutes=11)  # so long Get may not know a job yet
    # of the one that waits, once there is a free slot
    bench.bedrock.otherwise = Refused(ACCESS, message)
    life.fails(failed, message)
    bench.append(forgotten, e.ForgetRequested(at=bench.time, by=by, why=why))
    bench.bedrock.unknown.add(arn(2))
    reconcile(bench.world(), forgotten, Visit())
    bench.append(cancelled, e.CancelRequested(at=bench.time, by=by, why=why))
    reconcile(bench.world(), cancelled, Visit())
    event = e.ModelPaused(at=bench.time, by=by, why=why)
    bench.store.append_to_model(MODEL, len(bench.store.load(model_stream(MODEL))) + 1, event)
    reconcile_model(bench.world(), MODEL)
    jobs = [failed, forgotten, waiting, cancelled]
    assert [bench.job(job).status for job in jobs] == ["Failed", "Failed", "Queued", "Cancelled"]
    for job in jobs:
        assert {label.name: label.value for label in bench.job(job).labels} == labels
        assert dict(view_of(life.row(job)).labels) == labels
        assert bench.job(job).owner == labels.get("owner", "")
        assert view_of(life.row(job)).sources[0].key == bench.job(job).sources[0].key
    assert bench.job(failed).reason == message
    assert bench.job(forgotten).reason == f"Bedrock does not know it; forgotten by {by}" + (
        f": {why}" if why else ""
    )
    assert [hold.message for hold in bench.slots.holds] == [storable(message)]
    assert life.row(failed).reason == (storable(message) or None)
    for table in bench.tables._items.values():  # as DynamoDB would be sent it
        for partition in table.values():
            for item in partition.values():
                json.dumps(item, ensure_ascii=False).encode()
    shown = printed(life, jobs)
    assert not {letter for letter in shown if not letter.isprintable() and letter != "\n"}
    report = verify(life.office.context)
    assert (report.differences, report.complete, life.office.said) == ((), True, [])
    before = bench.tables.log[:]
    rebuilt = rebuild(life.office.context)
    assert (rebuilt.repaired, rebuilt.left) == ((), {})
    assert bench.tables.log == before
    assert wake_unfinished(life.office.context) == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(LABELS, ANY_WORD)
def test_a_view_that_is_lost_is_rebuilt_whatever_people_wrote(
    labels: dict[str, str], message: str
) -> None:
    life = Life()
    job = life.upload("x", labels)
    life.fails(job, message)
    before = life.bench.tables.peek(PROJECTIONS, rows.view_pk(job), rows.VIEW_KEY)
    del life.bench.tables._items[PROJECTIONS][rows.view_pk(job)]
    assert [difference.pk for difference in verify(life.office.context).differences] == [
        rows.view_pk(job)
    ]
    assert rebuild(life.office.context).repaired == ((rows.view_pk(job), rows.VIEW_KEY),)
    assert life.bench.tables.peek(PROJECTIONS, rows.view_pk(job), rows.VIEW_KEY) == before


def test_a_label_may_be_called_self() -> None:
    """The one that was found."""
    life = Life()
    job = life.upload("x", {"self": "1", "cls": "2", "__class__": "3"})
    assert view_of(life.row(job)).labels == {"self": "1", "cls": "2", "__class__": "3"}
    assert verify(life.office.context).differences == ()


def broken_projection(monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    """Some job cannot be projected, for a reason that nobody has thought of."""
    real = rows.view_row

    def view_row(job: Any) -> ViewRow:
        if job.id == of:
            raise TypeError("got multiple values for argument 'self'")
        return real(job)

    monkeypatch.setattr(rows, "view_row", view_row)


def test_a_job_that_cannot_be_projected_is_one_difference_and_the_walk_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    life = Life()
    jobs = [life.upload(str(number), {}, f"v{number}") for number in range(6)]
    bad, lost = jobs[0], jobs[1]
    broken_projection(monkeypatch, bad)
    del life.bench.tables._items[PROJECTIONS][rows.view_pk(lost)]
    report = verify(life.office.context)
    assert report.complete
    assert {difference.pk for difference in report.differences} == {
        rows.view_pk(bad),
        rows.view_pk(lost),
    }
    (said,) = (
        str(difference) for difference in report.differences if difference.pk == rows.view_pk(bad)
    )
    assert bad in said
    assert "cannot be read: TypeError: got multiple values" in said
    rebuilt = rebuild(life.office.context)
    assert rebuilt.repaired == ((rows.view_pk(lost), rows.VIEW_KEY),)
    assert rebuilt.left == {
        (rows.view_pk(bad), rows.VIEW_KEY): "TypeError: got multiple values for argument 'self'"
    }


@pytest.mark.parametrize("damage", ["view", "line", "event"])
def test_a_row_that_cannot_be_read_is_one_difference_and_the_walk_goes_on(damage: str) -> None:
    life = Life()
    bench = life.bench
    jobs = [life.upload(str(number), {}, f"v{number}") for number in range(5)]
    bad = jobs[-1]  # it waits
    items = bench.tables._items
    match damage:
        case "view":
            partition = items[PROJECTIONS][rows.view_pk(bad)]
            # as they once were
            partition[rows.VIEW_KEY] = {
                **partition[rows.VIEW_KEY],
                "labels": {"M": {"self": {"S": "x"}}},
            }
        case "line":
            partition = items[PROJECTIONS][rows.line_pk(MODEL)]
            (place,) = (key for key in partition if str(key).endswith(bad))
            partition[place] = {**partition[place], "job": {"N": "7"}}
        case _:
            partition = items[EVENTS][job_stream(bad)]
            partition[1] = {**partition[1], "data": {"S": "not JSON"}}
    report = verify(life.office.context)
    assert report.complete
    assert report.differences
    assert all(bad in str(difference) for difference in report.differences)
    rebuilt = rebuild(life.office.context)
    assert rebuilt.left
    assert all(bad in f"{pk}{sk}" for pk, sk in rebuilt.left)
    assert rebuilt.streams == len(jobs) + 1
    wake_unfinished(life.office.context)
    assert ("job", jobs[0]) in bench.outbox.sent  # and so are the others woken


def test_what_aws_does_not_answer_is_no_damage_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life()
    life.upload("x", {})

    def refused(*_: Any, **__: Any) -> Any:
        raise ConnectionResetError("reset")

    monkeypatch.setattr(life.bench.tables, "query", refused)
    with pytest.raises(ConnectionResetError):
        verify(life.office.context)
