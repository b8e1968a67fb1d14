"""All of a job's output, whole or not at all, and nothing outside the directory."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ResponseStreamingError
from botocore.response import StreamingBody

from bbq.cli import deployment as cli_deployment
from bbq.cli import download
from bbq.shared import events as e
from bbq.shared.names import split_s3_uri
from tests.cli.conftest import BUCKET, Deployed, Result

Bbq = Callable[..., Result]
OUTPUT = bytes(range(256)) * 12_000  # three chunks


@pytest.fixture
def job(deployed: Deployed) -> str:
    """A job that is over, with its output and manifest as Bedrock lays them out."""
    done = deployed.upload("haiku/reviews.jsonl")
    deployed.complete(done)
    put(deployed, done, "abcdefghwxyz/reviews.jsonl.out", OUTPUT)
    put(deployed, done, "abcdefghwxyz/manifest.json.out", b"")  # not fetched, and still a file
    return done


def put(deployed: Deployed, job: str, name: str, data: bytes) -> None:
    _, prefix = split_s3_uri(deployed.job(job).output_uri)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=prefix + name, Body=data)


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


WHOLE = {"abcdefghwxyz/manifest.json.out": b"", "abcdefghwxyz/reviews.jsonl.out": OUTPUT}


class Breaking:
    """S3 as a client sees it whose answers break off after so many bytes, `times` times. `ranges`
    is what was asked for.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        after: int,
        times: int,
        error: BaseException | None = None,
    ) -> None:
        self.ranges: list[str] = []
        self.etags: set[str] = set()
        s3 = cli_deployment.client("s3")
        real = s3._make_api_call

        def call(operation: str, arguments: Any) -> Any:
            answer = real(operation, arguments)
            if operation == "GetObject":
                self.ranges.append(arguments["Range"])
                self.etags.add(arguments["IfMatch"])
                if len(self.ranges) <= times:
                    answer["Body"] = Cut(
                        answer["Body"], after, error or ResponseStreamingError(error="broken")
                    )
            return answer

        monkeypatch.setattr(s3, "_make_api_call", call)


class Cut(StreamingBody):
    """A body that breaks."""

    def __init__(self, body: StreamingBody, after: int, error: BaseException) -> None:
        super().__init__(io.BytesIO(), 0)
        self._data, self._error = body.read()[:after], error

    def iter_chunks(self, chunk_size: int = 1024) -> Iterator[bytes]:
        yield self._data
        raise self._error


def test_everything_below_the_output_is_fetched(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    result = bbq("download", job, str(tmp_path / "new" / "results"))
    assert result.code == 0
    assert files(tmp_path / "new" / "results") == WHOLE
    assert [Path(line).name for line in result.out.splitlines()] == [
        "manifest.json.out",
        "reviews.jsonl.out",
    ]
    assert "2 files fetched, 0 there already" in result.err


def test_paths_go_to_standard_output_also_while_a_bar_is_drawn(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # standard error counts as a terminal
    result = bbq("download", job, str(tmp_path))
    assert "downloading" in result.err
    assert result.out.splitlines() == [str(tmp_path / name) for name in WHOLE]


def test_what_is_finished_is_not_fetched_again(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, requests: list[str]
) -> None:
    bbq("download", job, str(tmp_path))
    count = requests.count("GetObject")
    result = bbq("download", job, str(tmp_path))
    assert (result.code, requests.count("GetObject") - count) == (0, 0)
    assert "0 files fetched, 2 there already" in result.err
    bbq("download", job, str(tmp_path), "--force")
    assert requests.count("GetObject") - count == 1


def test_a_connection_that_breaks_goes_on_where_it_was(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Breaking(monkeypatch, after=1_000_000, times=3)
    assert bbq("download", job, str(tmp_path)).code == 0
    assert broken.ranges == ["bytes=0-", "bytes=1000000-", "bytes=2000000-", "bytes=3000000-"]
    assert files(tmp_path) == WHOLE


def test_a_download_that_was_killed_goes_on_where_it_was(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Breaking(patch, after=1_000_000, times=9, error=KeyboardInterrupt())
        assert bbq("download", job, str(tmp_path)).code == 130
    [part] = [name for name in files(tmp_path) if name.endswith(".part")]
    assert len(files(tmp_path)[part]) == 1_000_000
    assert not (tmp_path / "abcdefghwxyz" / "reviews.jsonl.out").exists()
    second = Breaking(monkeypatch, after=0, times=0)
    assert bbq("download", job, str(tmp_path)).code == 0
    assert second.ranges == ["bytes=1000000-"]
    assert files(tmp_path) == WHOLE


def test_a_part_of_another_version_is_not_gone_on_with(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Breaking(patch, after=1_000_000, times=9, error=KeyboardInterrupt())
        bbq("download", job, str(tmp_path))
    put(deployed, job, "abcdefghwxyz/reviews.jsonl.out", OUTPUT[::-1])
    assert bbq("download", job, str(tmp_path)).code == 0
    assert files(tmp_path)["abcdefghwxyz/reviews.jsonl.out"] == OUTPUT[::-1]


def test_a_part_that_is_too_long_is_begun_again(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    things, _ = download._outputs(deployed.deployment, deployed.job(job))
    for thing in things:
        part = tmp_path / thing.path.parent / download._part_name(thing)
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"x" * (thing.size_bytes + 1))
    assert bbq("download", job, str(tmp_path)).code == 0
    assert files(tmp_path) == WHOLE


def test_an_object_that_changes_while_it_is_fetched_is_not_mixed(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = download._continue

    def change(*arguments: Any) -> None:
        put(deployed, job, "abcdefghwxyz/reviews.jsonl.out", OUTPUT[::-1])
        real(*arguments)

    monkeypatch.setattr(download, "_continue", change)
    result = bbq("download", job, str(tmp_path))
    assert result.code == 1
    assert "run the command again" in result.err
    assert "abcdefghwxyz/reviews.jsonl.out" not in files(tmp_path)


def test_a_connection_that_always_breaks_is_given_up(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Breaking(monkeypatch, after=0, times=99)
    result = bbq("download", job, str(tmp_path))
    assert (result.code, len(broken.ranges)) == (4, download.MAX_TRIES)
    assert "Traceback" not in result.err


def test_a_server_that_does_not_know_ranges_sends_all_of_it(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Breaking(patch, after=1_000_000, times=9, error=KeyboardInterrupt())
        bbq("download", job, str(tmp_path))
    s3 = cli_deployment.client("s3")
    real = s3._make_api_call

    def call(operation: str, arguments: Any) -> Any:
        arguments.pop("Range", None)
        return real(operation, arguments)

    monkeypatch.setattr(s3, "_make_api_call", call)
    assert bbq("download", job, str(tmp_path)).code == 0
    assert files(tmp_path) == WHOLE


@pytest.mark.parametrize(
    "key",
    [
        "../outside",
        "a/../../outside",
        "/outside",
        "a//b",
        ".",
        "a\\..\\b",
        "C:x",
        "a\x07b",
        f"{'x' * 300}",
    ],
)
def test_no_key_leads_out_of_the_directory(
    deployed: Deployed,
    bbq: Bbq,
    job: str,
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    assert download.local_path(key) is None
    inside = tmp_path / "a" / "b"
    real = download._listed

    # moto itself does not keep every such key
    def listed(bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        yield from real(bucket, prefix)
        yield {"Key": prefix + key, "ETag": '"x"', "Size": 4}

    monkeypatch.setattr(download, "_listed", listed)
    result = bbq("download", job, str(inside))
    assert result.code == 1
    assert "left out" in result.err
    assert files(tmp_path) == {f"a/b/{name}": data for name, data in WHOLE.items()}


def test_a_link_in_the_directory_does_not_lead_out_of_it(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "abcdefghwxyz").symlink_to(outside)
    result = bbq("download", job, str(inside))
    assert result.code == 2
    assert "leads out of" in result.err
    assert files(outside) == {}


def test_a_link_of_a_files_name_is_replaced_and_not_followed(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    inside = tmp_path / "inside" / "abcdefghwxyz"
    inside.mkdir(parents=True)
    (inside / "manifest.json.out").symlink_to(precious)
    assert bbq("download", job, str(tmp_path / "inside"), "--force").code == 0
    assert precious.read_bytes() == b"mine"
    assert files(tmp_path / "inside") == WHOLE


def test_a_part_file_that_is_a_link_is_not_followed(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    things, _ = download._outputs(deployed.deployment, deployed.job(job))
    inside = tmp_path / "inside" / "abcdefghwxyz"
    inside.mkdir(parents=True)
    for thing in things:
        (inside / download._part_name(thing)).symlink_to(precious)
    result = bbq("download", job, str(tmp_path / "inside"))
    assert result.code == 2
    assert "cannot be written" in result.err
    assert precious.read_bytes() == b"mine"


def test_a_file_that_is_in_the_way_is_kept(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    (tmp_path / "abcdefghwxyz").mkdir()
    (tmp_path / "abcdefghwxyz" / "reviews.jsonl.out").write_bytes(b"mine")
    result = bbq("download", job, str(tmp_path))
    assert result.code == 2
    assert "--force" in result.err
    assert files(tmp_path) == {"abcdefghwxyz/reviews.jsonl.out": b"mine"}
    assert bbq("download", job, str(tmp_path), "--force").code == 0
    assert files(tmp_path) == WHOLE


def test_a_job_that_is_not_over_has_no_whole_output(
    deployed: Deployed, bbq: Bbq, tmp_path: Path
) -> None:
    job = deployed.upload("haiku/a.jsonl")
    result = bbq("download", job, str(tmp_path))
    assert result.code == 8
    assert f"job {job} is Submitted" in result.err


def test_what_only_tried_permissions_is_no_output(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    failed = deployed.upload("haiku/a.jsonl")
    deployed.report(failed, "Failed", message="no access to the bucket")
    for name in (".write_access_check_file.tmp", "amazon-bedrock-permission-check"):
        put(deployed, failed, name, b"")
        put(deployed, job, name, b"")
    assert bbq("download", failed, str(tmp_path / "x")).code == 1
    assert bbq("download", job, str(tmp_path / "y")).code == 0
    assert files(tmp_path / "y") == WHOLE


def test_a_job_without_output_says_why(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    failed = deployed.upload("haiku/a.jsonl")
    deployed.report(failed, "Failed", message="no access to the bucket")
    result = bbq("download", failed, str(tmp_path / "x"))
    assert result.code == 1
    assert "is over (Failed) and left no output: no access to the bucket" in result.err
    rejected = deployed.reject("haiku/b.jsonl", e.Problem(line=1, text="is not JSON"))
    assert bbq("download", rejected, str(tmp_path / "x")).code == 1
    assert not (tmp_path / "x").exists()


def test_nobodys_job_is_not_found(deployed: Deployed, bbq: Bbq, tmp_path: Path) -> None:
    assert bbq("download", "a" * 26, str(tmp_path)).code == 3
    assert bbq("download", "reviews.jsonl", str(tmp_path)).code == 3


def test_a_directory_that_cannot_be_written_is_said(
    deployed: Deployed, bbq: Bbq, job: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = bbq("download", job, str(tmp_path / "file"))
    assert result.code in {1, 2}
    assert "file" in result.err
    assert "Error" not in result.err
