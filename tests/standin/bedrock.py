"""Amazon Bedrock's batch inference as it was recorded: the jobs, their life, and the answers to the
four calls.

Written from recordings of the real service, and from its documentation where nothing was recorded.
It shares no code with the simulator in local/ or with the services, so that an error of theirs is
not confirmed by itself. The main recordings: cloud-custodian PR #10611 (Create, Get, List and Stop,
March 2026), aws-samples/amazon-bedrock-samples, the notebook
batch-inference-launch-and-compare-jobs (List, output and manifest, January 2025),
terraform-provider-aws PR #49877 (Get may not know a new job, September 2026), litellm PR #38744
(counts, July 2026), prowler PR #12801 (an account without batch, September 2026). Where both are
silent, `Weather` has a switch.

Pure but for `Files`: the time is an argument (seconds since 1970), and chance comes from the seed
and the job's name alone, so that the order of parallel calls changes nothing. Not here: folders as
input, expiry, tags.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Protocol

ALIVE = ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping")
LIFE = ("Validating", "Scheduled", "InProgress", "Completed")
MIN_RECORDS = 100
MAX_PAGE = 1000
NOT_FOUND = "The provided batch inference job was not found."
ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:model-invocation-job/[a-z0-9]{12}"
)
# what ids of cross-Region profiles begin with
PROFILE = re.compile(r"(us|us-gov|eu|apac|au|jp|ca|global)\.")
HTTP_STATUS = {
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ThrottlingException": 429,
    "InternalServerException": 500,
}  # fmt: skip - every other error is 400, ServiceQuotaExceededException too

# Create's own limits (Bedrock API reference): name -> pattern.
NAME = r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}"
ROLE = r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+"
TOKEN = r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}"
S3_URI = (
    r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?"
)

# Refusals of Create that hit a whole account: code and text. All recorded but the last two, which
# are the API reference's.
REFUSALS = {
    "account": (
        "ValidationException",
        (
            "Your account is not authorized to perform this action. Please create a support case with "
            "AWS Support."
        ),
    ),
    "unsupported": (
        "ValidationException",
        "Batch inference is not supported for the requested model.",
    ),
    "unsupported-here": (
        "ValidationException",
        "Batch inference is not supported for model {model} in region {region}",
    ),
    "region": ("ValidationException", "The provided ARN is invalid for the service region"),
    "pass-role": (
        "AccessDeniedException",
        (
            "User: arn:aws:sts::{account}:assumed-role/caller/session is not authorized to "
            "perform: iam:PassRole on resource: "
            "{role} because no identity-based policy allows the iam:PassRole action"
        ),
    ),
    "quota": (
        "ServiceQuotaExceededException",
        (
            "Your account has reached the quota for number of concurrent invoke-model jobs in "
            "progress."
        ),
    ),
    "throttled": (
        "ThrottlingException",
        "The number of requests exceeds the limit. Resubmit your request later.",
    ),
    "internal": (
        "InternalServerException",
        "An internal server error occurred. Retry your request.",
    ),
}

# How accepted jobs fail for a reason of the account: the status they fail in, and the text (all
# recorded).
FAILURES = {
    "get-object": (
        "Validating",
        "Could not validate GetObject permissions to access S3 bucket {bucket}",
    ),
    "list-bucket": ("Validating", "Could not validate ListBucket permissions for S3URI: {uri}"),
    "invoke-model": ("InProgress", "Customer doesn't have permissions to invokeModel"),
}

# What happens to a Create that gets no answer: its job is made; it is not; it is made and no event
# tells of it, ever.
LOSSES = ("made", "unmade", "unheard")


class Refusal(Exception):
    """An error answer. `code` is the exception's name in the API reference."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Lost(Exception):
    """The call gets no answer. The job may have been made."""


class Files(Protocol):
    """S3."""

    def read(self, uri: str) -> bytes:
        """Raises FileNotFoundError if there is no such object, or no right to read it."""

    def write(self, uri: str, body: bytes) -> None:
        """Put an object. Raises FileNotFoundError if there is no such bucket, or no right to write
        to it.
        """


@dataclass(frozen=True, kw_only=True)
class Spell:
    """A trouble that lasts until a time. `what` is a key of REFUSALS or FAILURES; `model` is an id,
    or empty for all models.
    """

    what: str
    until: float
    model: str = ""

    def hits(self, model: str, now: float) -> bool:
        return now < self.until and self.model in ("", model)


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Every fault, and every switch for what no recording and no documentation says."""

    refuse: Spell | None = None  # every Create
    fail: Spell | None = None  # every job that is in the fatal status at that time
    lose: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # by model, for each Create that would be taken: "" or of LOSSES
    drop_events: float = 0.0  # shares of all events
    double_events: float = 0.0
    late_events_seconds: float = 0.0  # each by a time of its own up to this, which reorders them
    # Get and Stop know no job that is younger than a time of its own up to this
    get_behind_seconds: float = 0.0
    list_behind_seconds: float = 0.0  # recorded: List has it within the second
    failed_records: float = 0.05  # share of the records of each job
    # Switches.
    replay_tokens: bool = True  # a repeated token gets its job's ARN; else the name is in use
    ended_names_stay_taken: bool = True  # as recorded for sister calls
    name_in_use_code: str = "ValidationException"  # as recorded for sister calls
    filter_before_paging: bool = True  # List; else a page may be empty and not the last


@dataclass(kw_only=True)
class Job:
    """One job. Times in seconds since 1970. `plan` is when it enters each status to come; `heard`
    is whether events tell of it.
    """

    arn: str
    request: Mapping[str, Any]
    submitted: float
    plan: list[tuple[float, str]]
    heard: bool
    modified: float
    status: str = "Submitted"
    message: str = ""
    ended: float | None = None
    # total, processed, succeeded, failed; zeros are a placeholder
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    history: list[str] = field(default_factory=lambda: ["Submitted"])

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def model(self) -> str:
        """The id, also if an ARN was sent."""
        return str(self.request["modelId"]).rpartition("/")[2]

    @property
    def input_uri(self) -> str:
        return str(self.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])

    @property
    def alive(self) -> bool:
        return self.status in ALIVE


@dataclass(frozen=True, kw_only=True)
class Event:
    """A state change for EventBridge, to be sent at a time."""

    due: float
    detail: Mapping[str, str]


class Bedrock:
    """The service in one Region. Not safe under threads: the caller holds a lock."""

    def __init__(
        self,
        files: Files,
        *,
        seed: int,
        region: str = "us-east-1",
        quota: int = 100,
        phase_seconds: tuple[float, float] = (0.3, 1.2),
    ) -> None:
        """`quota` is how many jobs of a model may be alive at once, `phase_seconds` the shortest
        and longest stay in a status.
        """
        self.weather = Weather()
        self._files, self._seed, self._region, self._quota, self._phase_seconds = (
            files,
            seed,
            region,
            quota,
            phase_seconds,
        )
        self._jobs: list[Job] = []  # oldest first
        self._events: list[Event] = []
        self._count: Counter[str] = Counter()
        self._creates: Counter[str] = Counter()  # calls by token
        self._most_alive: Counter[str] = Counter()  # by model
        self._processed: Counter[str] = Counter()  # by input URI

    # The four calls. Answers are the JSON bodies.

    def create(self, request: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Raises Refusal or Lost."""
        self._creates[str(request.get("clientRequestToken"))] += 1
        try:
            self._may_create(request, now)
        except Refusal as refusal:
            self._count[f"refused {refusal.code}"] += 1
            raise
        if known := self._replayed(request):
            self._count["replayed"] += 1
            return {"jobArn": known.arn}
        fate = self._fate(str(request["modelId"]))
        if fate == "unmade":
            self._count["lost unmade"] += 1
            raise Lost
        job = self._make(request, now, heard=fate != "unheard")
        self._count["made"] += 1
        if fate:
            self._count[f"lost {fate}"] += 1
            raise Lost
        return {"jobArn": job.arn}

    def get(self, identifier: str, now: float) -> dict[str, Any]:
        """Raises Refusal."""
        return self._described(self._find(identifier, now))

    def list_jobs(self, query: Mapping[str, str], now: float) -> dict[str, Any]:
        """Newest first, `query` as in the URL. A summary never has token, message, counts or VPC
        (recorded). Raises Refusal.
        """
        jobs = [
            job
            for job in reversed(self._jobs)
            if not self._behind(job, self.weather.list_behind_seconds, "list", now)
        ]
        if query.get("sortOrder") == "Ascending":
            jobs.reverse()
        if self.weather.filter_before_paging:
            jobs = [job for job in jobs if _matches(job, query)]
        try:
            start, size = (
                int(query.get("nextToken", "0")),
                int(query.get("maxResults", str(MAX_PAGE))),
            )
        except ValueError:
            raise Refusal(
                "ValidationException", "The provided nextToken or maxResults is invalid"
            ) from None
        if not 1 <= size <= MAX_PAGE:
            raise Refusal("ValidationException", f"maxResults must be 1 to {MAX_PAGE}")
        page = [self._described(job) for job in jobs[start : start + size] if _matches(job, query)]
        left_out = {"clientRequestToken", "message", "vpcConfig", *_COUNTS}
        answer: dict[str, Any] = {
            "invocationJobSummaries": [
                {key: value for key, value in job.items() if key not in left_out} for job in page
            ]
        }
        return answer | ({"nextToken": str(start + size)} if start + size < len(jobs) else {})

    def stop(self, identifier: str, now: float) -> dict[str, Any]:
        """Raises Refusal. That an ended job's is a ValidationException is recorded, that a stopping
        one's is, too, is not.
        """
        job = self._find(identifier, now)
        if not job.alive or job.status == "Stopping":
            raise Refusal(
                "ValidationException",
                f"The batch inference job cannot be stopped. State was: {job.status}",
            )
        job.plan = [(now + self._chance(job.name, "stop").uniform(*self._phase_seconds), "Stopped")]
        self._enter(job, "Stopping", now)
        return {}

    # The life of the jobs.

    def advance(self, now: float) -> list[Event]:
        """Whatever is due. The events that are to be sent, some of them later."""
        for job in self._jobs:
            while job.plan and job.plan[0][0] <= now:
                following = job.plan[0][1]
                message = self._failure(job, now)
                if not message and following == "Completed":
                    message = self._process(job)
                if message:
                    job.plan, job.message = [], message
                    self._enter(job, "Failed", now)
                    break
                job.plan.pop(0)  # only now: if S3 does not answer, the step is tried again
                self._enter(job, following, now)
        events, self._events = self._events, []
        return events

    def change_weather(self, changes: Mapping[str, Any], now: float) -> None:
        """Set fields of Weather; spells as {"what", "seconds", "model"}. Raises ValueError for what
        is unknown.
        """
        known = {field.name for field in fields(Weather)}
        if unknown := set(changes) - known:
            raise ValueError(f"no such weather: {sorted(unknown)}; there is {sorted(known)}")
        values = dict(changes)
        for name, troubles in (("refuse", REFUSALS), ("fail", FAILURES)):
            if spell := values.get(name):
                if spell["what"] not in troubles:
                    raise ValueError(f"{name} must be one of {sorted(troubles)}")
                values[name] = Spell(
                    what=spell["what"], until=now + spell["seconds"], model=spell.get("model", "")
                )
        losses = values.get("lose", {}).values()
        if wrong := {loss for of_model in losses for loss in of_model} - {"", *LOSSES}:
            raise ValueError(f"lose must be of {LOSSES}, not {sorted(wrong)}")
        self.weather = replace(self.weather, **values)

    def ledger(self) -> dict[str, Any]:
        """What happened: each job with its life; by input, how many jobs were made of it and how
        many processed it; by model, the most jobs alive at once; by token, the calls of Create; and
        counts of answers and events.
        """
        jobs = [
            {
                "arn": job.arn,
                "name": job.name,
                "token": job.request["clientRequestToken"],
                "model": job.model,
                "input": job.input_uri,
                "status": job.status,
                "message": job.message,
                "history": job.history,
            }
            for job in self._jobs
        ]
        made = Counter(job.input_uri for job in self._jobs)
        inputs = {
            uri: {"made": count, "processed": self._processed[uri]} for uri, count in made.items()
        }
        return {
            "jobs": jobs,
            "inputs": inputs,
            "most_alive": dict(self._most_alive),
            "creates": dict(self._creates),
            "count": dict(+self._count),
            "weather": asdict(self.weather),
        }

    def _may_create(self, request: Mapping[str, Any], now: float) -> None:
        _check(request)
        model = str(request["modelId"]).rpartition("/")[2]
        account = request["roleArn"].split(":")[4]
        spell = self.weather.refuse
        if spell is not None and spell.hits(model, now):
            code, text = REFUSALS[spell.what]
            raise Refusal(
                code,
                text.format(
                    model=model, region=self._region, account=account, role=request["roleArn"]
                ),
            )
        if self._replayed(request):
            return
        if any(
            job.name == request["jobName"] and (job.alive or self.weather.ended_names_stay_taken)
            for job in self._jobs
        ):
            raise Refusal(
                self.weather.name_in_use_code, "The provided job name is currently in use."
            )
        if self._alive(model) >= self._quota:
            raise Refusal(*REFUSALS["quota"])

    def _replayed(self, request: Mapping[str, Any]) -> Job | None:
        """Documented: a repeated token is ignored without an error. What is answered is not; the
        ARN is a required member.
        """
        token = request["clientRequestToken"]
        known = (job for job in self._jobs if job.request["clientRequestToken"] == token)
        return next(known, None) if self.weather.replay_tokens else None

    def _fate(self, model: str) -> str:
        """What happens to the answer of a Create that is taken: the next of the model's losses."""
        fate, *rest = self.weather.lose.get(model) or ("",)
        self.weather = replace(self.weather, lose={**self.weather.lose, model: rest})
        return fate

    def _make(self, request: Mapping[str, Any], now: float, *, heard: bool) -> Job:
        name = request["jobName"]
        chance = self._chance(name, sum(job.name == name for job in self._jobs))
        account = request["roleArn"].split(":")[4]
        last = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=12))
        due, plan = now, []
        for status in LIFE:
            due += chance.uniform(*self._phase_seconds)
            plan.append((due, status))
        arn = f"arn:aws:bedrock:{self._region}:{account}:model-invocation-job/{last}"
        job = Job(
            arn=arn, request=dict(request), submitted=now, modified=now, plan=plan, heard=heard
        )
        self._jobs.append(job)
        self._most_alive[job.model] = max(self._most_alive[job.model], self._alive(job.model))
        self._tell(job, now)
        return job

    def _alive(self, model: str) -> int:
        return sum(job.alive and job.model == model for job in self._jobs)

    def _enter(self, job: Job, status: str, now: float) -> None:
        job.status, job.modified = status, now
        job.history.append(status)
        if status in {"Completed", "Failed"}:  # recorded: a Stopped job has no endTime
            job.ended = now - 0.1  # recorded: 28 ms to 1.3 s before lastModifiedTime
        self._tell(job, now)

    def _failure(self, job: Job, now: float) -> str:
        """Why the job cannot leave its status; empty if it can."""
        spell = self.weather.fail
        bucket, uri = job.input_uri.removeprefix("s3://").partition("/")[0], job.input_uri
        if (
            spell is not None
            and spell.hits(job.model, now)
            and FAILURES[spell.what][0] == job.status
        ):
            return FAILURES[spell.what][1].format(bucket=bucket, uri=uri)
        if job.status != "Validating":
            return ""
        try:
            lines = _lines(self._files.read(uri))
        except FileNotFoundError:
            return FAILURES["get-object"][1].format(bucket=bucket)
        for number, line in enumerate(lines, 1):
            if not _is_record(line):  # the real text is not known
                return f"Batch job {job.arn} has an invalid record on line {number}"
        if len(lines) < MIN_RECORDS:
            return (
                f"Batch job {job.arn} contains less records ({len(lines)}) than the required "
                f"minimum of: {MIN_RECORDS}"
            )
        return ""

    def _process(self, job: Job) -> str:
        """Write `<output>/<last 12 of the ARN>/<input>.jsonl.out`, in no order, and
        `manifest.json.out` beside it. Returns why that cannot be; empty if it is done.
        """
        try:
            lines = _lines(self._files.read(job.input_uri))
        except FileNotFoundError:  # deleted since it was validated; the real text is not known
            return "The input cannot be read"
        chance = self._chance(job.name, "records")
        answers = []
        for line in lines:
            record = json.loads(line)
            failed = chance.random() < self.weather.failed_records
            said: dict[str, Any] = (
                {"error": dict(_RECORD_ERROR)} if failed else {"modelOutput": _output(job)}
            )
            # Bedrock adds one
            given = record.get("recordId") or "".join(chance.choices("0123456789ABCDEF", k=11))
            answers.append({"modelInput": record["modelInput"], **said, "recordId": given})
        total, bad = len(answers), sum("error" in answer for answer in answers)
        chance.shuffle(answers)
        manifest = {
            "totalRecordCount": total,
            "processedRecordCount": total,
            "successRecordCount": total - bad,
            "errorRecordCount": bad,
            "inputTokenCount": 12 * (total - bad),
            "outputTokenCount": 3 * (total - bad),
        }
        place = f"{job.request['outputDataConfig']['s3OutputDataConfig']['s3Uri'].rstrip('/')}/{job.arn[-12:]}"
        body = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        try:
            self._files.write(f"{place}/{job.input_uri.rpartition('/')[2]}.out", body.encode())
            self._files.write(f"{place}/manifest.json.out", json.dumps(manifest).encode())
        except FileNotFoundError:  # as above
            return "The output cannot be written"
        job.counts = (total, total, total - bad, bad)
        self._processed[job.input_uri] += 1
        return ""

    def _tell(self, job: Job, now: float) -> None:
        """The event that the Bedrock user guide shows. It says no order: some come late, twice or
        not at all.
        """
        chance = self._chance(job.name, job.arn, job.status)
        if not job.heard or chance.random() < self.weather.drop_events:
            self._count["events dropped"] += 1
            return
        detail = {
            "version": "0.0",
            "accountId": job.arn.split(":")[4],
            "batchJobName": job.name,
            "batchJobArn": job.arn,
            "batchModelId": self._model_arn(job),
            "status": job.status,
            "failureMessage": job.message,
            "creationTime": datetime.fromtimestamp(job.submitted, UTC).strftime(
                "%b %-d, %Y, %-I:%M:%S %p"
            ),
        }
        copies = 2 if chance.random() < self.weather.double_events else 1
        self._count["events doubled"] += copies - 1
        for _ in range(copies):
            self._count["events"] += 1
            self._events.append(
                Event(due=now + chance.uniform(0, self.weather.late_events_seconds), detail=detail)
            )

    def _find(self, identifier: str, now: float) -> Job:
        """Recorded: only the full ARN will do, neither the id alone nor the name."""
        if not ARN.fullmatch(identifier):
            raise Refusal("ValidationException", "The provided ARN is invalid")
        job = next((job for job in self._jobs if job.arn == identifier), None)
        if job is None or self._behind(job, self.weather.get_behind_seconds, "get", now):
            raise Refusal("ResourceNotFoundException", NOT_FOUND)
        return job

    def _behind(self, job: Job, seconds: float, what: str, now: float) -> bool:
        return (
            now < job.submitted + self._chance(job.arn, what).uniform(0, seconds)
            if seconds
            else False
        )

    def _described(self, job: Job) -> dict[str, Any]:
        """What Get answers. Recorded: ARN of the model, owner of the buckets, timeout, expiry and
        type, though not sent.
        """
        account = job.arn.split(":")[4]
        request = job.request
        source = request["inputDataConfig"]["s3InputDataConfig"]
        target = request["outputDataConfig"]["s3OutputDataConfig"]
        hours = request.get("timeoutDurationInHours", 24)
        shown = {
            "jobArn": job.arn,
            "jobName": job.name,
            "modelId": self._model_arn(job),
            "clientRequestToken": request["clientRequestToken"],
            "roleArn": request["roleArn"],
            "status": job.status,
            "message": job.message or None,
            "submitTime": _time(job.submitted),
            "lastModifiedTime": _time(job.modified),
            "endTime": _time(job.ended) if job.ended is not None else None,
            "inputDataConfig": {
                "s3InputDataConfig": {
                    **source,
                    "s3BucketOwner": source.get("s3BucketOwner", account),
                }
            },
            "outputDataConfig": {
                "s3OutputDataConfig": {
                    **target,
                    "s3BucketOwner": target.get("s3BucketOwner", account),
                }
            },
            "vpcConfig": request.get("vpcConfig"),
            "timeoutDurationInHours": hours,
            "jobExpirationTime": _time(job.submitted + hours * 3600),
            "modelInvocationType": request.get("modelInvocationType", "InvokeModel"),
            **dict(zip(_COUNTS, job.counts, strict=True)),
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _model_arn(self, job: Job) -> str:
        sent = str(job.request["modelId"])
        if sent.startswith("arn:"):
            return sent
        if PROFILE.match(sent):
            return (
                f"arn:aws:bedrock:{self._region}:{job.arn.split(':')[4]}:inference-profile/{sent}"
            )
        return f"arn:aws:bedrock:{self._region}::foundation-model/{sent}"

    def _chance(self, *of: object) -> random.Random:
        return random.Random("/".join(map(str, (self._seed, *of))))


_COUNTS = ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount")
# The text of an output file of January 2026 (AAKevin8450/aquaticartists-video,
# debug_batch_record.json and its logs).
_RECORD_ERROR = {
    "errorCode": 400,
    "errorMessage": "Provided S3 URI is invalid",
    "expired": False,
    "retryable": False,
}


def _check(request: Mapping[str, Any]) -> None:
    """Raises Refusal. The SDK checks no patterns, the service does."""
    source = request.get("inputDataConfig", {}).get("s3InputDataConfig", {})
    target = request.get("outputDataConfig", {}).get("s3OutputDataConfig", {})
    for name, value, pattern, most in (
        ("jobName", request.get("jobName"), NAME, 63),
        ("roleArn", request.get("roleArn"), ROLE, 2048),
        ("clientRequestToken", request.get("clientRequestToken"), TOKEN, 256),
        ("modelId", request.get("modelId"), r"\S+", 2048),
        ("inputDataConfig.s3InputDataConfig.s3Uri", source.get("s3Uri"), S3_URI, 1024),
        ("outputDataConfig.s3OutputDataConfig.s3Uri", target.get("s3Uri"), S3_URI, 1024),
        (
            "modelInvocationType",
            request.get("modelInvocationType", "InvokeModel"),
            "InvokeModel|Converse",
            20,
        ),
        (
            "timeoutDurationInHours",
            str(request.get("timeoutDurationInHours", 24)),
            "2[4-9]|[3-9][0-9]|1[0-5][0-9]|16[0-8]",
            3,
        ),
    ):
        if not isinstance(value, str) or len(value) > most or not re.fullmatch(pattern, value):
            problem = (
                f"Value at '{name}' failed to satisfy constraint: Member must satisfy regular "
                f"expression pattern: {pattern}"
            )
            raise Refusal("ValidationException", f"1 validation error detected: {problem}")


def _matches(job: Job, query: Mapping[str, str]) -> bool:
    after, before = query.get("submitTimeAfter"), query.get("submitTimeBefore")
    return (
        query.get("nameContains", "") in job.name
        and query.get("statusEquals", job.status) == job.status
        and (after is None or job.submitted > datetime.fromisoformat(after).timestamp())
        and (before is None or job.submitted < datetime.fromisoformat(before).timestamp())
    )


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line.strip()]


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and isinstance(record.get("modelInput"), dict)


def _output(job: Job) -> dict[str, Any]:
    """Claude's own shape, else Nova's and Converse's."""
    if (
        "anthropic." in job.model
        and job.request.get("modelInvocationType", "InvokeModel") == "InvokeModel"
    ):
        return {
            "id": "msg_bdrk_EXAMPLE",
            "type": "message",
            "role": "assistant",
            "model": job.model,
            "content": [{"type": "text", "text": "Yes."}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 12, "output_tokens": 3},
        }
    message = {"role": "assistant", "content": [{"text": "Yes."}]}
    usage = {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}


def _time(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
