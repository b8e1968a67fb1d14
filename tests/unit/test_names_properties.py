"""No key that S3 allows can make a name that Bedrock refuses, that another upload has, or that is
anywhere but in its place.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote_plus, unquote_plus

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bbq.services.intake.uploads import Ignored, NotANotification, Upload, announced
from bbq.shared import names
from tests.support.payloads import s3_notification

# Bedrock's own patterns and limits (Bedrock API reference).
S3_URI = (
    r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?"
)
JOB_NAME = r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}"
TOKEN = r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}"

JOB = "abcdefghijklmnopqrstuvwxyz"
# terraform/variables.tf
DEPLOYMENTS = st.from_regex(r"[a-z][a-z0-9-]{1,22}[a-z0-9]", fullmatch=True)
BUCKETS = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", fullmatch=True)
NASTY = [
    "+",
    " ",
    "%2B",
    "%25",
    "%",
    "%00",
    "/",
    "//",
    "../",
    "./",
    "...",
    ".",
    "-",
    "\\",
    "\0",
    "\n",
    "\r\n",
    "\x7f",
    "\u202e",
    "\ufeff",
    "\u2028",
    "caf\u00e9",
    "cafe\u0301",
    "\u0661",
    "\uff0e\uff0e\uff0f",
    "\U0001f600",
    "\U0010ffff",
    "#",
    "?",
    "=",
    "&",
    "'",
    '"',
    "{}",
    "to-process/",
    "staged/",
    "processed/",
    ".jsonl",
    f"{JOB}/",
    f"job#{JOB}",
    "haiku/",
    "HAIKU/",
    "a",
    "B",
    "a/",
    "\u00e9/",
]
TEXT = st.text(max_size=20)  # any Unicode but lone surrogates, which UTF-8 cannot say
PIECE = st.sampled_from(NASTY) | TEXT
PIECES = st.lists(PIECE, max_size=8) | st.builds(
    lambda piece, n: [piece] * n, PIECE, st.integers(9, 1000)
)


def key_of(pieces: list[str]) -> str:
    """An S3 key of an input: at most 1,024 bytes of UTF-8."""
    room = 1024 - len(names.INPUT_PREFIX) - len(names.INPUT_SUFFIX)
    middle = "".join(pieces).encode()[:room].decode(errors="ignore")
    return names.INPUT_PREFIX + middle + names.INPUT_SUFFIX


KEYS = PIECES.map(key_of)
VERSIONS = st.sampled_from(["", "v1", "v2"]) | TEXT
UPLOADS = st.tuples(st.sampled_from(["bucket", "other"]), KEYS, VERSIONS, TEXT, TEXT)
LOOK_ALIKE: list[Callable[[str], str]] = [
    quote_plus,
    unquote_plus,
    str.lower,
    str.strip,
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFKC", text),
    lambda text: text.replace("//", "/"),
    lambda text: text.replace("../", ""),
    lambda text: re.sub(r"[^A-Za-z0-9._/-]+", "-", text),
    lambda text: text + " ",
    lambda text: text[:-1],
    lambda text: text + "\0",
]


@settings(max_examples=300)
@given(BUCKETS, KEYS, VERSIONS)
def test_every_legal_key_gives_uris_that_bedrock_accepts(
    bucket: str, key: str, version: str
) -> None:
    job = names.job_id(bucket, key, version, "", "")
    assert re.fullmatch(r"[a-z2-7]{26}", job)
    for made, area in (
        (names.staged_key(job, key), "staged/"),
        (names.output_prefix(job, key), "processed/"),
    ):
        uri = names.s3_uri(bucket, made)
        assert re.fullmatch(S3_URI, uri)
        assert len(uri) <= 1024
        assert made.startswith(area)
        assert not {".", "..", ""} & set(made.removesuffix("/").split("/"))
        assert names.split_s3_uri(uri) == (bucket, made)
    assert re.fullmatch(rf"staged/{job}/[^/]+\.jsonl", names.staged_key(job, key))
    assert names.output_prefix(job, key).endswith(f"/{job}/")


@given(KEYS)
def test_what_is_staged_or_written_is_never_taken_for_an_upload(key: str) -> None:
    for made in (names.staged_key(JOB, key), names.output_prefix(JOB, key) + "a.jsonl"):
        notification = json.dumps(s3_notification(quote_plus(made), bucket="b"))
        assert announced(notification, "b") == [Ignored("OtherPrefix")]


@given(st.lists(UPLOADS, max_size=3), UPLOADS)
def test_two_uploads_never_share_an_id_a_staged_key_or_an_output(
    strangers: list[tuple[str, ...]], one: tuple[str, ...]
) -> None:
    twins = [
        (*one[:which], twist(one[which]), *one[which + 1 :])
        for which in range(5)
        for twist in LOOK_ALIKE
    ]
    bucket, key, version, sequencer, etag = one
    shifted = [
        (bucket, key, sequencer, version, etag),
        (bucket, key, version, sequencer + etag, ""),
        (key, bucket, *one[2:]),
    ]
    uploads = [one, *twins, *shifted, *strangers]
    # the version says it all where there is one
    different = {upload[:3] if upload[2] else upload for upload in uploads}
    jobs = [(names.job_id(*upload), upload[1]) for upload in uploads]
    assert len({job for job, _ in jobs}) == len(different)
    assert len({names.staged_key(job, key) for job, key in jobs}) == len(different)
    assert len({names.output_prefix(job, key) for job, key in jobs}) == len(different)


@given(
    DEPLOYMENTS,
    st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26),
    st.integers(1, 999),
)
def test_an_attempts_name_is_a_legal_job_name_and_token_and_is_read_back(
    deployment: str, job: str, attempt: int
) -> None:
    name = names.attempt_name(deployment, job, attempt)
    assert re.fullmatch(JOB_NAME, name)
    assert re.fullmatch(TOKEN, name)
    assert len(name) <= 63
    assert names.parse_attempt_name(deployment, name) == (job, attempt)
    assert names.parse_holder(names.holder(job, attempt)) == (job, attempt)


@given(DEPLOYMENTS, st.text("abcxyz237018AB-_ \n\u0661", max_size=4), st.data())
def test_no_other_name_is_read_as_an_attempts(
    deployment: str, wedge: str, data: st.DataObject
) -> None:
    name = names.attempt_name(deployment, JOB, data.draw(st.integers(1, 1200)))
    cut = data.draw(st.integers(0, len(name)))
    skip = data.draw(st.integers(0, 2))
    for text in (
        name[:cut] + wedge + name[cut + skip :],
        wedge,
        f"{wedge}{name}",
        f"{name}{wedge}",
        name.upper(),
    ):
        found = names.parse_attempt_name(deployment, text)
        assert found is None or (
            names.attempt_name(deployment, *found) == text and 1 <= found[1] <= 999
        )
        assert found is None or re.fullmatch(r"[a-z2-7]{26}", found[0])


@given(DEPLOYMENTS, DEPLOYMENTS, st.text("ab-2", max_size=10))
def test_one_deployment_never_reads_anothers_attempts_as_its_own(
    one: str, other: str, more: str
) -> None:
    for stranger in (other, f"{one}{more}", f"{one}-{more}", f"{more}{one}"):
        assume(stranger != one and len(stranger) <= 24)
        assert names.parse_attempt_name(one, names.attempt_name(stranger, JOB, 1)) is None


@given(KEYS, st.sampled_from(["", "/", "/-_.!~*'()"]))
def test_a_key_comes_back_from_its_notification_exactly(key: str, unencoded: str) -> None:
    (upload,) = announced(
        json.dumps(s3_notification(quote_plus(key, safe=unencoded), bucket="b", version="v")), "b"
    )
    assert isinstance(upload, Upload)
    assert (upload.bucket, upload.key, upload.version_id) == ("b", key, "v")


FIRST = st.sampled_from(
    ["to-process/", "to-process/", " to-process/", "TO-PROCESS/", "/to-process/", "to-process", ""]
)
LAST = st.sampled_from([".jsonl", ".jsonl", ".jsonl ", ".JSONL", ".json", ".jsonl/", "/", ""])


@settings(max_examples=300)
@given(
    st.builds("{}{}{}".format, FIRST, PIECES.map("".join), LAST),
    st.sampled_from("bbc"),
    st.sampled_from(["ObjectCreated:Put", "s3:ObjectCreated:Copy", "x"]),
)
def test_only_an_input_in_its_place_is_an_upload_and_everything_else_is_ignored(
    key: str, bucket: str, name: str
) -> None:
    (found,) = announced(
        json.dumps(s3_notification(quote_plus(key), bucket=bucket, name=name)), "b"
    )
    if name != "x" and not 0 < len(key.encode()) <= 1024:
        assert isinstance(found, NotANotification)
        return
    reasons = [
        (name == "x", "OtherEvent"),
        (bucket != "b", "OtherBucket"),
        (not key.startswith("to-process/"), "OtherPrefix"),
        (key.endswith("/"), "FolderMarker"),
        (not key.endswith((".jsonl", ".JSONL", ".json")), "OtherSuffix"),
    ]
    expected = next((Ignored(reason) for wrong, reason in reasons if wrong), None)
    assert isinstance(found, Upload) if expected is None else found == expected


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1e999, -1e999])
    | st.floats()
    | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [
    ("Records",),
    ("Records", 0),
    ("Records", 0, "eventName"),
    ("Records", 0, "s3"),
    ("Records", 0, "s3", "bucket"),
    ("Records", 0, "s3", "bucket", "name"),
    ("Records", 0, "s3", "object"),
    *(
        ("Records", 0, "s3", "object", name)
        for name in ("key", "size", "eTag", "versionId", "sequencer")
    ),
]


def damaged(place: tuple[str | int, ...], anything: object) -> object:
    """The documented message with something else in one place."""
    message: object = s3_notification("to-process/a.jsonl", bucket="b")
    *parents, last = place
    inner: object = message
    for step in parents:
        inner = inner[step]  # type: ignore[index] # a place in the documented message
    inner[last] = anything  # type: ignore[index] # as above
    return message


@given(ANYTHING, st.text(max_size=20))
def test_a_damaged_notification_is_said_to_be_one_and_no_other_error_comes_of_it(
    anything: object, text: str
) -> None:
    for body in (
        *(json.dumps(damaged(place, anything)) for place in PLACES),
        json.dumps(anything),
        text,
    ):
        try:
            found = announced(body, "b")
        except NotANotification:
            continue
        for one in found:
            assert isinstance(one, Ignored | NotANotification | Upload)
            if isinstance(one, Upload):
                assert {
                    type(said) for said in (one.key, one.version_id, one.etag, one.sequencer)
                } == {str}
                assert (one.bucket, type(one.size_bytes)) == ("b", int)
