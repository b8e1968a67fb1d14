"""What is submitted was checked, and the id that is printed is the id of the job that intake makes
of it.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from pynamodb.exceptions import GetError

from bbq.cli import deployment as cli_deployment
from bbq.cli import submission, submit
from bbq.services.intake import intake
from bbq.services.intake.config import Config
from bbq.services.intake.objects import Objects
from bbq.services.intake.uploads import Upload
from bbq.shared import events as e
from bbq.shared import projections
from bbq.shared.dynamodb import DynamoTables
from bbq.shared.names import INPUT_PREFIX, job_id, job_stream
from bbq.shared.tables import ViewRow
from tests.cli.conftest import BUCKET, REGION, Deployed, Result

Bbq = Callable[..., Result]


def good(count: int = 100, words: str = "hello") -> bytes:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 10}
    lines = [
        {"recordId": f"r{n}", "modelInput": {**body, "text": f"{words} {n}"}} for n in range(count)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def file(tmp_path: Path, name: str = "reviews.jsonl", data: bytes | None = None) -> str:
    path = tmp_path / name
    path.write_bytes(good() if data is None else data)
    return str(path)


def versions() -> list[tuple[str, str]]:
    found = (
        boto3.client("s3")
        .list_object_versions(Bucket=BUCKET, Prefix=INPUT_PREFIX)
        .get("Versions", [])
    )
    return [(item["Key"], item["VersionId"]) for item in found]


def unfinished() -> list[Any]:
    return list(boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def take_in(deployed: Deployed, key: str, version: str) -> None:
    """What S3's notification brings about, by the production intake and scheduler."""
    here = deployed.deployment
    config = Config(
        bucket=BUCKET,
        events_table=here.events_table,
        uploads_queue_url=here.uploads_queue_url,
        region=REGION,
        models=here.models,
        default_model=here.default_model,
    )
    world = intake.World(
        config=config,
        store=deployed.store,
        objects=Objects(boto3.client("s3")),
        now=lambda: deployed.time,
        seconds_left=lambda: 300.0,
        note=lambda *_, **__: None,
        hide=lambda *_: None,
    )
    upload = Upload(bucket=BUCKET, key=key, version_id=version, etag="", sequencer="", size_bytes=1)
    intake.take_in(world, upload)
    deployed.wake(job_id(BUCKET, key, version, "", ""))


def test_the_printed_id_is_the_job_that_intake_makes(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    result = bbq(
        "submit",
        file(tmp_path),
        "--model",
        "nova",
        "--priority",
        "3",
        "--meta",
        "owner=ada",
        "--meta",
        "run=7 b",
    )
    assert result.code == 0
    [(key, version)] = versions()
    assert key == "to-process/nova/reviews.jsonl"
    take_in(deployed, key, version)
    job = deployed.job(result.out.strip())
    assert (job.model, job.priority, job.record_count, job.status) == ("nova", 3, 100, "Submitted")
    assert job.labels == (e.Label(name="owner", value="ada"), e.Label(name="run", value="7 b"))
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert body == good()


def test_ids_go_to_standard_output_also_while_a_bar_is_drawn(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # standard error counts as a terminal
    result = bbq("submit", file(tmp_path, "a.jsonl"), file(tmp_path, "b.jsonl"))
    assert "uploading" in result.err
    assert result.out.splitlines() == [
        job_id(BUCKET, key, version, "", "") for key, version in sorted(versions())
    ]


def test_the_default_model_is_in_the_key(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    assert bbq("submit", file(tmp_path)).code == 0
    assert [key for key, _ in versions()] == ["to-process/haiku/reviews.jsonl"]


@pytest.mark.parametrize(
    ("key", "model", "expected", "metadata"),
    [
        ("nova/2026/a.jsonl", (), "to-process/nova/2026/a.jsonl", {}),
        ("to-process/nova/a.jsonl", (), "to-process/nova/a.jsonl", {}),
        ("2026/a.jsonl", ("--model", "nova"), "to-process/2026/a.jsonl", {"model": "nova"}),
        ("haiku/a.jsonl", ("--model", "nova"), "to-process/haiku/a.jsonl", {"model": "nova"}),
        ("a.jsonl", ("--model", "haiku"), "to-process/a.jsonl", {}),  # which is the default
    ],
)
def test_a_key_of_ones_own_keeps_the_model(
    deployed: Deployed,
    bbq: Bbq,
    tmp_path: Path,
    *,
    key: str,
    model: tuple[str, ...],
    expected: str,
    metadata: dict[str, str],
) -> None:
    result = bbq("submit", file(tmp_path, "anything.txt"), "--as", key, *model)
    assert result.code == 0
    [(found, version)] = versions()
    assert found == expected
    digest = {"bbq-sha256": hashlib.sha256(good()).hexdigest()}
    assert boto3.client("s3").head_object(Bucket=BUCKET, Key=found)["Metadata"] == metadata | digest
    take_in(deployed, found, version)
    assert deployed.job(result.out.strip()).model == (model[1] if model else "nova")


def test_a_large_file_goes_up_in_parts(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, requests: list[str]
) -> None:
    data = good(200, "x" * 100_000)
    result = bbq("submit", file(tmp_path, data=data))
    assert result.code == 0
    assert requests.count("UploadPart") == -(-len(data) // submission.PART_BYTES) > 1
    [(key, version)] = versions()
    assert result.out.strip() == job_id(BUCKET, key, version, "", "")
    assert boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == data


def test_problems_are_named_by_line_and_nothing_is_uploaded(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    lines = good().splitlines(keepends=True)
    lines[6] = b"{]\n"
    lines[8] = lines[7]
    bad = file(tmp_path, "bad.jsonl", b"".join(lines))
    result = bbq("submit", file(tmp_path), bad, file(tmp_path, "few.jsonl", good(3)), "--json")
    assert result.code == 2
    assert f"{bad}:7: is not valid JSON" in result.err
    assert f"{bad}:9: recordId is the same as on line 8" in result.err
    assert "few.jsonl: the file holds 3 records, fewer than 100" in result.err
    assert "2 of 3 files not fit: nothing was uploaded" in result.err
    assert versions() == unfinished() == []
    assert [entry["problem_count"] for entry in result.json["files"]] == [0, 2, 1]
    assert result.json["files"][1]["problems"][0]["line"] == 7


def test_a_file_that_was_submitted_before_is_asked_for(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    reviews = file(tmp_path)
    job = bbq("submit", reviews).out.strip()
    again = bbq("submit", reviews)
    assert (again.code, again.out, len(versions())) == (2, "", 1)
    assert f"{reviews}: the same file was submitted before, as job {job}" in again.err
    assert "1 file of 1 would run and be paid for once more" in again.err
    assert "--yes" in again.err
    assert f"as job {job}" in bbq("submit", reviews, "--dry-run").err
    assert bbq("submit", reviews, "--yes").code == 0
    assert len(versions()) == 2
    file(tmp_path, data=good(101))
    assert bbq("submit", reviews).code == 0  # the same name, but another file


def test_the_digest_of_a_file_is_no_label(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    job = bbq("submit", file(tmp_path), "--meta", "owner=ada").out.strip()
    take_in(deployed, *versions()[0])
    assert deployed.job(job).labels == (e.Label(name="owner", value="ada"),)
    assert bbq("submit", file(tmp_path), "--meta", "bbq-sha256=0").code == 2


def test_what_is_probably_not_meant_is_a_note_and_stays_with_the_job(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    data = good(99) + good(1).replace(b"recordId", b"recordID")
    odd = file(tmp_path, "odd.jsonl", data)
    for more in ((), ("--dry-run", "--yes")):
        result = bbq("submit", odd, *more)
        assert result.code == 0
        assert f'{odd}: note: "recordID" means nothing to Bedrock' in result.err
        assert f"{odd}: note: 1 of 100 records have no recordId" in result.err
    job = bbq("submit", odd, "--yes", "--json").json["files"][0]
    assert len(job["warnings"]) == 2
    take_in(deployed, *versions()[0])
    shown = bbq("show", job["job"])
    assert 'note       "recordID" means nothing to Bedrock' in shown.out
    assert "has the same bytes: both run" in shown.out


@pytest.mark.parametrize("folder", ["Haiku", "hiaku", "model=haiku", "haikuu"])
def test_a_folder_that_is_nearly_an_alias_is_not_submitted(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, folder: str
) -> None:
    result = bbq("submit", file(tmp_path), "--as", f"{folder}/a.jsonl")
    assert (result.code, versions()) == (2, [])
    assert "name it haiku/" in result.err
    assert bbq("submit", file(tmp_path), "--as", f"{folder}/a.jsonl", "--model", "nova").code == 0


def test_what_submit_finds_is_what_intake_finds(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    data = good(150)[:-20] + b"\n\n" + good(150)
    found = bbq("submit", file(tmp_path, data=data), "--json").json["files"][0]
    version = boto3.client("s3").put_object(
        Bucket=BUCKET, Key="to-process/haiku/x.jsonl", Body=data
    )["VersionId"]
    take_in(deployed, "to-process/haiku/x.jsonl", version)
    [rejected] = [
        r.event
        for r in deployed.store.load(
            job_stream(job_id(BUCKET, "to-process/haiku/x.jsonl", version, "", ""))
        )
    ]
    assert isinstance(rejected, e.JobRejected)
    assert [(p["line"], p["text"]) for p in found["problems"]] == [
        (p.line, p.text) for p in rejected.problems
    ]
    assert found["problem_count"] == rejected.problem_count


def test_a_file_that_is_too_large_is_not_read(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {
        alias: replace(model, max_bytes=50) for alias, model in deployed.deployment.models.items()
    }
    monkeypatch.setattr(cli_deployment, "parse_models", lambda _: small)
    monkeypatch.setattr(submission, "inspect", None)
    result = bbq("submit", file(tmp_path))
    assert result.code == 2
    assert "bytes, more than 50" in result.err


def test_several_files_are_several_jobs_each_behind_the_one_before(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    files = [file(tmp_path, f"{n}.jsonl") for n in range(4)]
    result = bbq("submit", *files, "--json")
    entries = result.json["files"]
    assert [entry["jobs_ahead"] for entry in entries] == [0, 1, 2, 3]
    # two slots, and no job has ended yet
    assert [entry["expected_start_seconds"] for entry in entries] == [0, 0, None, None]
    assert [(entry["key"], entry["version_id"]) for entry in entries] == sorted(versions())
    assert all(
        job_id(BUCKET, entry["key"], entry["version_id"], "", "") == entry["job"]
        for entry in entries
    )
    assert bbq("submit", *files, "--yes").out.split() == [
        job_id(
            BUCKET,
            key,
            max(
                v for k, v in versions() if k == key and v not in {x["version_id"] for x in entries}
            ),
            "",
            "",
        )
        for key in [entry["key"] for entry in entries]
    ]


def test_who_is_in_line_before_counts_by_priority(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    for number in range(2):
        deployed.upload(f"haiku/running{number}.jsonl")
    for number, taken in enumerate([3, 5, 7]):
        deployed.upload(f"haiku/{number}.jsonl", priority=taken)
    path = file(tmp_path)
    for priority, ahead in (("2", 0), ("3", 1), ("5", 2), ("9", 3)):
        [entry] = bbq("submit", path, "--dry-run", "--json", "--priority", priority).json["files"]
        assert (entry["waiting_jobs"], entry["jobs_ahead"]) == (3, ahead)


def test_a_start_is_guessed_from_what_slots_took_today(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    done = deployed.upload("haiku/done.jsonl")
    deployed.wait(minutes=20)
    deployed.complete(done)
    for number in range(3):
        deployed.upload(f"haiku/{number}.jsonl")
    [entry] = bbq("submit", file(tmp_path), "--dry-run", "--json").json["files"]
    # one is ahead, two slots end within 20 minutes
    assert entry["expected_start_seconds"] == 20 * 60
    deployed.pause("haiku")
    result = bbq("submit", file(tmp_path), "--dry-run")
    assert "paused by ada" in result.out


def test_no_start_is_promised_while_bedrock_turns_jobs_away(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    deployed.refuse_next()
    deployed.upload("haiku/held.jsonl")
    [entry] = bbq("submit", file(tmp_path), "--dry-run", "--json").json["files"]
    assert entry["expected_start_seconds"] is None
    assert "unknown" in bbq("submit", file(tmp_path), "--dry-run").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--meta", "Owner=ada"], "small letters"),
        (["--meta", "owner"], "name=value"),
        (["--meta", f"{'a' * 65}=b"], "at most 64"),
        (["--meta", "owner="], "1 to 256"),
        (["--meta", "owner=zoë"], "printable ASCII"),
        (["--meta", "owner=a\nb"], "printable ASCII"),
        (["--meta", "owner= ada"], "no space at its ends"),
        (["--meta", f"owner={'a' * 257}"], "1 to 256"),
        (["--meta", "model=nova"], "say --model"),
        (["--meta", "priority=0"], "say --priority"),
        (["--meta", "a=1", "--meta", "a=2"], "twice"),
        (
            [word for n in range(9) for word in ("--meta", f"n{n}={'a' * 250}")],
            "more than the 1,974",
        ),
        (["--model", "opus"], "choose one of haiku, nova"),
        (["--priority", "10"], "less than or equal to 9"),
        (["--as", "a.txt"], "end in .jsonl"),
        (["--as", "a.jsonl.gz"], "unpack it first"),
        (["--as", ".jsonl"], "plain name"),
        (["--as", "a\x07.jsonl"], "plain name"),
        (["--as", f"{'a' * 1100}.jsonl"], "1024 bytes"),
        (["--as", "folder/"], "end in .jsonl"),
        (["--wait", "--timeout", "never"], "length of time"),
        (["--dry-run", "--prices", "nothing.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_done(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, arguments: list[str], says: str
) -> None:
    result = bbq("submit", file(tmp_path), *arguments)
    assert result.code == 2
    assert says in " ".join(result.err.split())
    assert versions() == []


def test_files_that_cannot_be_read_are_named(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    there = file(tmp_path)
    assert (
        "nothing.jsonl does not exist" in bbq("submit", there, str(tmp_path / "nothing.jsonl")).err
    )
    (tmp_path / "folder.jsonl").mkdir()
    assert "folder.jsonl is not a file" in bbq("submit", there, str(tmp_path / "folder.jsonl")).err
    assert "given twice" in bbq("submit", there, str(tmp_path / "." / "reviews.jsonl")).err
    assert "one file" in bbq("submit", there, file(tmp_path, "b.jsonl"), "--as", "x.jsonl").err
    assert versions() == []


def test_an_upload_that_s3_refuses_leaves_nothing_and_says_what_was_done(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [file(tmp_path, f"{n}.jsonl") for n in range(3)]
    real, calls = submission.upload, list[str]()

    def upload(
        here: Any, checked: submission.Checked, step: submission.Step
    ) -> submission.Submitted:
        calls.append(checked.submission.key)
        if len(calls) == 2:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "UploadPart")
        return real(here, checked, step)

    monkeypatch.setattr(submit, "upload", upload)
    result = bbq("submit", *files)
    assert result.code == 4
    assert len(result.out.split()) == len(versions()) == 1
    assert "1 of 3 files were submitted" in result.err


def test_a_lost_answer_of_the_last_call_is_never_a_second_version(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 completed the upload, the answer was lost, and the SDK's second call hears that there is
    no such upload.
    """
    s3 = cli_deployment.client("s3")
    real = s3._make_api_call

    def call(operation: str, arguments: Any) -> Any:
        answer = real(operation, arguments)
        if operation == "CompleteMultipartUpload":
            raise ClientError(
                {"Error": {"Code": "NoSuchUpload", "Message": "completed or aborted"}}, operation
            )
        return answer

    monkeypatch.setattr(s3, "_make_api_call", call)
    result = bbq("submit", file(tmp_path))
    assert result.code == 1
    assert "may have taken" in result.err
    assert len(versions()) == 1


def test_an_empty_answer_about_versions_is_no_job(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    boto3.client("s3").delete_bucket(Bucket=BUCKET)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    result = bbq("submit", file(tmp_path))
    assert (result.code, result.out) == (1, "")
    assert "keeps no versions" in result.err


# --- wait


def waiting(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, *steps: Callable[[str], object]
) -> list[float]:
    """Each pause is a step of the world; the pauses."""
    pauses: list[float] = []
    left = list(steps)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if left:
            [(key, version)] = versions()
            left.pop(0)(job_id(BUCKET, key, version, "", ""))

    monkeypatch.setattr(time, "sleep", sleep)
    return pauses


def taken(deployed: Deployed) -> Callable[[str], object]:
    return lambda _: take_in(deployed, *versions()[0])


def test_waiting_ends_well_when_every_record_succeeded(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = waiting(deployed, monkeypatch, lambda _: None, taken(deployed), deployed.complete)
    result = bbq("submit", file(tmp_path), "--wait", "--json")
    assert result.code == 0
    assert result.json["files"][0]["outcome"] == "Completed"
    assert pauses[0] == 1.0
    assert pauses == sorted(pauses)


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ({"succeeded": 0, "failed": 100}, "NoRecordSucceeded"),
        ({"succeeded": 99, "failed": 1}, "CompletedWithErrors"),
    ],
)
def test_completed_is_not_believed_before_the_records_are_counted(
    deployed: Deployed,
    bbq: Bbq,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    counts: dict[str, int],
    outcome: str,
) -> None:
    """The end comes in one transaction, the tally in a later one: in between, the view says
    Completed.
    """

    def ended(job: str) -> None:
        state = deployed.job(job)
        end = e.JobEnded(at=deployed.time, attempt=1, status="Completed", message="", arn=state.arn)
        deployed.store.append(job, state, end)
        deployed.store.commit(projections.projected(state, deployed.job(job)))

    def tallied(job: str) -> None:
        state = deployed.job(job)
        deployed.append(
            job,
            e.JobTallied(
                at=deployed.time,
                attempt=1,
                succeeded_records=counts["succeeded"],
                failed_records=counts["failed"],
            ),
        )
        assert state.status == "Completed"

    waiting(deployed, monkeypatch, taken(deployed), ended, lambda _: None, tallied)
    result = bbq("submit", file(tmp_path), "--wait")
    assert result.code == 1
    assert outcome in result.err


def test_a_rejected_upload_is_a_failure(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rejected(job: str) -> None:
        deployed.append(
            job,
            e.JobRejected(
                at=deployed.time,
                model="haiku",
                sources=(),
                problems=(e.Problem(line=None, text="too late"),),
                problem_count=1,
                size_bytes=1,
            ),
        )
        deployed.wake(job)

    waiting(deployed, monkeypatch, rejected)
    result = bbq("submit", file(tmp_path), "--wait")
    assert result.code == 1
    assert "Rejected too late" in result.err


def test_waiting_ends_with_its_time_and_the_job_goes_on(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    result = bbq("submit", file(tmp_path), "--wait", "--timeout", "5m", "--json")
    assert result.code == 8
    assert result.json["files"][0]["job"] in result.err
    assert "has not been taken in yet" in result.err
    assert sum(pauses) == pytest.approx(300)
    assert max(pauses) == 15.0
    assert len(pauses) < 40


def test_who_leaves_hears_that_the_job_goes_on(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    result = bbq("submit", file(tmp_path), "--wait")
    assert result.code == 130
    assert "the job goes on without you" in result.err
    assert len(versions()) == 1


def outage(monkeypatch: pytest.MonkeyPatch, readings: int) -> None:
    """So many readings of a view fail as they do without a network."""
    real, left = DynamoTables.get, [readings]

    def get(self: DynamoTables, kind: Any, hash_key: str, range_key: str) -> Any:
        if kind is ViewRow and left[0]:
            left[0] -= 1
            raise GetError("no network", EndpointConnectionError(endpoint_url="http://127.0.0.1:1"))
        return real(self, kind, hash_key, range_key)

    monkeypatch.setattr(DynamoTables, "get", get)


def test_a_network_that_is_gone_for_a_moment_does_not_end_the_waiting(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(deployed, monkeypatch, *[lambda _: None] * 4, taken(deployed), deployed.complete)
    outage(monkeypatch, 4)
    assert bbq("submit", file(tmp_path), "--wait").code == 0


def test_a_long_outage_ends_the_waiting_with_a_sentence(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(deployed, monkeypatch)
    outage(monkeypatch, 1_000)
    result = bbq("submit", file(tmp_path), "--wait")
    assert result.code == 4
    assert "Could not connect" in result.err


# --- dry run


def test_a_dry_run_uploads_nothing_and_estimates(
    deployed: Deployed, bbq: Bbq, tmp_path: Path, requests: list[str]
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'currency = "USD"\n[models.haiku]\ninput_per_1000 = 0.5\noutput_per_1000 = 2\n'
    )
    path = file(tmp_path)
    result = bbq("submit", path, "--dry-run", "--prices", str(prices), "--json")
    assert result.code == 0
    [entry] = result.json["files"]
    tokens = -(-len(good()) // 4)
    assert (entry["estimated_input_tokens"], entry["output_tokens_at_most"]) == (tokens, 1000)
    assert float(entry["estimated_input_cost"]) == pytest.approx(tokens / 1000 * 0.5)
    assert float(entry["estimated_cost_at_most"]) == pytest.approx(tokens / 1000 * 0.5 + 2)
    assert "job" not in entry
    assert versions() == []
    assert not {"CreateMultipartUpload", "PutObject"} & set(
        requests[requests.index("GetParameter") :]
    )
    words = bbq("submit", path, "--dry-run", "--prices", str(prices)).out
    assert "an estimate: 4 bytes of the file count as a token" in words
    assert "at most 1,000 out" in words


def test_a_dry_run_needs_no_deployment(
    aws: None, bbq: Bbq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, bad = file(tmp_path), file(tmp_path, "bad.jsonl", b"no\n" * 200)
    for region in (REGION, None):  # where there is none, and where AWS cannot be asked at all
        if region is None:
            monkeypatch.delenv("AWS_DEFAULT_REGION")
            cli_deployment.client.cache_clear()
        result = bbq("submit", here, "--dry-run", "--model", "haiku")
        assert result.code == 0
        assert (
            "no deployment was named" in result.err
            if region
            else "no AWS Region is set" in result.err
        )
        assert "by Bedrock's own limits" in result.err
        assert result.out.splitlines()[0].split() == [
            "file",
            "model",
            "priority",
            "records",
            "size",
        ]
        assert "1,000 out" in result.out
        assert bbq("submit", bad, "--dry-run").code == 2
        assert bbq("submit", here).code == 2  # it cannot be uploaded
        # a deployment that was named must be there
        assert bbq("--name", "bbq", "submit", here, "--dry-run").code != 0


def test_a_problem_of_many_lines_is_said_once(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    bad = file(tmp_path, "bad.jsonl", good(100) + b"no\n" * 1200 + b'{"modelInput": 7}\n')
    result = bbq("submit", bad)
    assert result.err.splitlines() == [
        f"{bad}:101: is not valid JSON at column 1 (also lines 102, 103, 104 and 96 more)",
        f"{bad}: and 1,101 problems more",
        "bbq: 1 of 1 files not fit: nothing was uploaded",
    ]
    few = file(tmp_path, "few.jsonl", good(100) + b'no\n{"modelInput": 7}\nno\n')
    assert bbq("submit", few).err.splitlines()[:2] == [
        f"{few}:101: is not valid JSON at column 1 (also line 103)",
        f"{few}:102: modelInput is not an object",
    ]


def test_a_dry_run_without_prices_shows_tokens_and_no_cost(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    result = bbq("submit", file(tmp_path), "--dry-run")
    assert result.code == 0
    assert "tokens in" in result.out
    assert "USD" not in result.out
    assert "no cost: say --prices or BBQ_PRICES" in result.err
