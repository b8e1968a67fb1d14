"""Names derived from uploads: the same upload always has the same, and no raw key text ever gets
into one.
"""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.services.scheduler.timers import _name as timer_name
from bbq.shared import names

# The service's own patterns (from botocore's service model).
S3_URI = (
    r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?"
)
JOB_NAME = r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}"
TOKEN = r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}"
SCHEDULE_NAME = r"[0-9a-zA-Z-_.]{1,64}"  # EventBridge Scheduler user guide

KEYS = st.text(min_size=0, max_size=400).map(lambda text: f"to-process/{text}.jsonl")


@given(KEYS, st.text(max_size=40))
def test_every_legal_key_gives_uris_that_bedrock_accepts(key: str, version: str) -> None:
    job = names.job_id("bucket", key, version, "", "")
    assert names.is_job_id(job)
    for made in (names.staged_key(job, key), names.output_prefix(job, key)):
        uri = names.s3_uri("my-bucket", made)
        assert re.fullmatch(S3_URI, uri), uri
        assert len(uri) <= 1024
        assert "/../" not in uri
        assert job in uri
    assert names.staged_key(job, key).endswith(".jsonl")


@given(st.lists(st.tuples(KEYS, st.text(max_size=8)), min_size=2, max_size=6, unique=True))
def test_two_different_uploads_never_share_a_job(uploads: list[tuple[str, str]]) -> None:
    ids = {names.job_id("bucket", key, version, "1", "etag") for key, version in uploads}
    assert len(ids) == len(uploads)


def test_look_alike_keys_are_different_jobs() -> None:
    keys = ["a b", "a+b", "a%2Bb", "a-b", "caf\u00e9", "cafe\u0301", "x/../y", "y"]
    assert len({names.job_id("b", key, "1", "", "") for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("first", "second"), [(("b", "a\0", "v"), ("b", "a", "\0v")), (("b", "k", ""), ("b", "k", "v"))]
)
def test_the_parts_of_an_upload_are_kept_apart(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    assert names.job_id(*first, "s", "e") != names.job_id(*second, "s", "e")


def test_without_versions_the_sequencer_and_etag_tell_uploads_apart() -> None:
    ids = {
        names.job_id("b", "k", "", sequencer, etag)
        for sequencer in ("1", "2")
        for etag in ("a", "b")
    }
    assert len(ids) == 4


@given(st.from_regex(r"[a-z][a-z0-9-]{1,22}[a-z0-9]", fullmatch=True), st.integers(1, 999))
def test_an_attempts_name_fits_bedrock_and_is_read_back(deployment: str, attempt: int) -> None:
    job = names.job_id("b", "k", "v", "", "")
    name = names.attempt_name(deployment, job, attempt)
    assert re.fullmatch(JOB_NAME, name)
    assert re.fullmatch(TOKEN, name)
    assert len(name) <= 63
    assert names.parse_attempt_name(deployment, name) == (job, attempt)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "bbq",
        "bbq-x-1",
        "other-I-1",
        "bbq-I",
        "bbq-I-0",
        "bbq-J-1",
        "bbq-I-1\n",
        "xbbq-I-1",
        "bbq-bbq-I-1",
        "bbq-I-\u0661",
    ],
)
def test_a_strangers_job_name_is_nobody_of_ours(name: str) -> None:
    assert (
        names.parse_attempt_name("bbq", name.replace("I", "a" * 26).replace("J", "A" * 26)) is None
    )


def test_a_holder_is_read_back() -> None:
    assert names.parse_holder(names.holder("abc", 12)) == ("abc", 12)


def test_an_uploads_path_stays_readable() -> None:
    job = names.job_id("b", "to-process/haiku/2026/rev iews.jsonl", "v", "", "")
    assert (
        names.staged_key(job, "to-process/haiku/2026/rev iews.jsonl")
        == f"staged/{job}/rev-iews.jsonl"
    )
    assert (
        names.output_prefix(job, "to-process/haiku/2026/rev iews.jsonl")
        == f"processed/haiku/2026/rev-iews/{job}/"
    )


def test_the_longest_name_of_a_timer_fits_scheduler() -> None:
    due = datetime(2999, 12, 31, tzinfo=UTC)
    job = names.job_id("b", "k", "v", "", "")
    for whose in (f"{job}-999", "model-" + "a" * 20):
        assert re.fullmatch(SCHEDULE_NAME, timer_name(whose, due))
