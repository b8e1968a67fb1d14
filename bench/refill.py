"""How long a slot stands free: from the Bedrock simulator ending a job to its accepting the next
one, on the emulator.

The yardstick runs beside it, on the same emulator, at the same time: a rule, a function and a role
of its own, whose handler does nothing but call Create when a job of its own has ended. Both gaps
are taken by the simulator's own clock, from the same kind of event. What our queue does in between
is a message in SQS, the record of the end, the look at slots and line, a timer and a claim; the
ratio says what that costs *here*, where EventBridge takes a millisecond and each of our calls
three.

Once there are as many processes of each function as it takes, three times: `quiet`, one slot at a
time on a machine that does little else; `load`, all jobs on ten slots; `traced`, as `load`, by a
function that notes each of its calls. The targets are about `load`; what a first start costs is
bench/cold.py's matter.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3

from bbq.shared.job import OVER
from bench.emulator import deployed, lined_up, store_of, traced, until, zipped
from bench.table import Table, percentile, rounded, target
from local.demo import refill_gaps
from local.deployment import LocalDeployment, records, simulator
from local.settings import EVENT_SOURCE, bedrock_endpoint_of

LOAD, CALM, BARE = "bench.load-v1:0", "bench.calm-v1:0", "bench.bare-v1:0"
WARMING_ROUNDS = 4  # of jobs on all slots
CHAINS = 2  # bare jobs that follow one another, at any time
P50_AT_MOST, P99_AT_MOST = 2.0, 4.0
MILLISECONDS = 1000.0

BARE_HANDLER = """
import os
import boto3

bedrock = boto3.client("bedrock")


def handler(event, context):
    before = event["detail"]["batchJobArn"][-12:]
    bedrock.create_model_invocation_job(
        jobName=f"bare-{before}",
        clientRequestToken=f"bare-{before}",
        roleArn=os.environ["ROLE"],
        modelId=os.environ["MODEL"],
        inputDataConfig={
            "s3InputDataConfig": {"s3Uri": os.environ["INPUT"], "s3InputFormat": "JSONL"}
        },
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": os.environ["OUTPUT"]}},
        timeoutDurationInHours=24,
    )
"""


def run(*, quick: bool) -> dict[str, Any]:
    """Gaps in milliseconds, ours and the bare function's, and the steps of the traced refills."""
    jobs, slots = (30, 3) if quick else (200, 10)
    calm_jobs, traced_jobs = (5, 10) if quick else (30, 60)
    models = {"load": {"model_id": LOAD, "limit": slots}, "calm": {"model_id": CALM, "limit": 1}}
    with deployed(models, ("--job-seconds", "1-3")) as (deployment, work):
        bare = _Bare(deployment)
        bare.start()
        phases: dict[str, tuple[float, float]] = {}
        _run_jobs(deployment, "load", LOAD, WARMING_ROUNDS * slots)
        warmed = simulator("jobs")["jobs"]
        phases["quiet"] = _phase(lambda: _run_jobs(deployment, "calm", CALM, calm_jobs))
        phases["load"] = _phase(lambda: _run_jobs(deployment, "load", LOAD, jobs))
        loaded = simulator("jobs")["jobs"]
        trace = work / "trace.jsonl"
        traced(deployment, "scheduler", trace)
        phases["traced"] = _phase(lambda: _run_jobs(deployment, "load", LOAD, traced_jobs))
        bare.stop()
        made = simulator("jobs")["jobs"]
        steps = _steps(trace.read_text().splitlines(), made)
    gaps = {
        "quiet": _milliseconds(refill_gaps(loaded, CALM, 1)),
        "load": _milliseconds(refill_gaps(_without(loaded, warmed), LOAD, slots)),
        "traced": _milliseconds(refill_gaps(_without(made, loaded), LOAD, slots)),
    }
    bare_gaps = {name: _milliseconds(_bare_gaps(made, *times)) for name, times in phases.items()}
    ratios = {
        name: {
            f"p{p}": round(percentile(gaps[name], p) / percentile(bare_gaps[name], p), 3)
            for p in (50, 99)
        }
        for name in gaps
    }
    p99 = percentile(gaps["load"], 99)
    targets = [
        target("refill p50 / bare p50, under load", ratios["load"]["p50"], at_most=P50_AT_MOST),
        target(
            "refill p99 / bare p50, under load",
            round(p99 / percentile(bare_gaps["load"], 50), 3),
            at_most=P99_AT_MOST,
        ),
    ]
    return {
        "targets": targets,
        "ratios": ratios,
        "samples": {"refill": gaps, "bare": bare_gaps, "steps": steps},
    }


def _without(
    jobs: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    seen = {job["jobArn"] for job in known}
    return [dict(job) for job in jobs if job["jobArn"] not in seen]


class _Bare:
    """The function that only calls Create. Each of its jobs is named after the one whose end it
    follows.
    """

    NAME = "bench-bare"

    def __init__(self, deployment: LocalDeployment) -> None:
        self._deployment = deployment
        self._events = deployment.client("events")

    def start(self) -> None:
        """Make it, and begin its chains."""
        self._make()
        for number in range(CHAINS):
            self._create(f"bare-first{number}")

    def stop(self) -> None:
        """Nothing follows the next ends."""
        self._events.disable_rule(Name=self.NAME)

    def _make(self) -> None:
        iam, functions = self._deployment.client("iam"), self._deployment.client("lambda")
        bucket = self._deployment.outputs["bucket"]
        self._input = f"s3://{bucket}/staged/bare/input.jsonl"
        self._output = f"s3://{bucket}/processed/bare/"
        self._deployment.s3.put_object(Bucket=bucket, Key="staged/bare/input.jsonl", Body=records())
        trust = _policy(
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        )
        role = iam.create_role(RoleName=self.NAME, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        rights = _policy(
            {
                "Effect": "Allow",
                "Action": ["bedrock:CreateModelInvocationJob", "iam:PassRole"],
                "Resource": "*",
            }
        )
        iam.put_role_policy(RoleName=self.NAME, PolicyName="create", PolicyDocument=rights)
        environment = {
            "ROLE": self._deployment.outputs["bedrock_role_arn"],
            "MODEL": BARE,
            "INPUT": self._input,
            "OUTPUT": self._output,
            "AWS_ENDPOINT_URL_BEDROCK": bedrock_endpoint_of(),
        }
        function = functions.create_function(
            FunctionName=self.NAME,
            Runtime="python3.13",
            Role=role,
            Handler="bare.handler",
            Timeout=30,
            MemorySize=1024,
            Code={"ZipFile": zipped({"bare.py": BARE_HANDLER})},
            Environment={"Variables": environment},
        )["FunctionArn"]
        pattern = {
            "source": [EVENT_SOURCE],
            "detail": {"status": ["Completed"], "batchJobName": [{"prefix": "bare-"}]},
        }
        rule = self._events.put_rule(Name=self.NAME, EventPattern=json.dumps(pattern))["RuleArn"]
        functions.add_permission(
            FunctionName=self.NAME,
            StatementId="rule",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule,
        )
        self._events.put_targets(Rule=self.NAME, Targets=[{"Id": "function", "Arn": function}])

    def _create(self, name: str) -> None:
        client = boto3.client("bedrock")
        client.create_model_invocation_job(
            jobName=name,
            clientRequestToken=name,
            roleArn=self._deployment.outputs["bedrock_role_arn"],
            modelId=BARE,
            inputDataConfig={"s3InputDataConfig": {"s3Uri": self._input, "s3InputFormat": "JSONL"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": self._output}},
            timeoutDurationInHours=24,
        )


def _policy(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _run_jobs(deployment: LocalDeployment, alias: str, model_id: str, count: int) -> None:
    """All jobs wait in line before the first begins: so that at every end but the last ones
    somebody waits.
    """
    store, done = store_of(deployment), _ended(model_id)
    with lined_up(store, alias, count):
        for number in range(count):
            deployment.upload(f"{alias}/bench-{done}-{number:03d}.jsonl", records())
    until(lambda: _ended(model_id) == done + count, f"{count} jobs are over")
    until(
        lambda: not (slots := store.slots(alias)) or not slots.holders, "every slot is free again"
    )


def _ended(model_id: str) -> int:
    return sum(
        job["status"] in OVER for job in simulator("jobs")["jobs"] if job["modelId"] == model_id
    )


def _phase(act: Callable[[], None]) -> tuple[float, float]:
    """When it began and ended, in seconds since 1970."""
    began = time.time()
    act()
    return began, time.time()


def _bare_gaps(made: Sequence[Mapping[str, Any]], since: float, until: float) -> list[float]:
    """From the end of a bare job to the Create of the one that is named after it, of the jobs that
    ended in a phase.
    """
    creates = {
        job["jobName"]: job["epoch_seconds"]["Submitted"] for job in made if job["modelId"] == BARE
    }
    ends = {
        f"bare-{job['jobId']}": job["epoch_seconds"].get("Completed")
        for job in made
        if job["modelId"] == BARE
    }
    return [
        creates[name] - end
        for name, end in ends.items()
        if end is not None and name in creates and since <= end <= until
    ]


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [round(each * MILLISECONDS, 3) for each in seconds]


def _steps(lines: Sequence[str], made: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Milliseconds of each step of the invocations that learned of an end and created a job, in the
    order of the steps.

    A call of our own is a step by its name and how often it had been called; what lies between the
    calls is `own work`.
    """
    ends = {
        job["jobArn"]: max(job["epoch_seconds"].values()) for job in made if job["status"] in OVER
    }
    steps: dict[str, list[float]] = defaultdict(list)
    for line in map(json.loads, lines):
        create = next(
            (call for call in line["calls"] if call[0] == "CreateModelInvocationJob"), None
        )
        detail = json.loads(line["body"] or "{}").get("detail", {})
        if create is None or detail.get("status") not in OVER or detail["batchJobArn"] not in ends:
            continue
        end, sent = ends[detail["batchJobArn"]], int(line["sent"]) / MILLISECONDS
        first = "first of its process" if line["nth"] == 1 else "EventBridge to SQS"
        if first != "EventBridge to SQS":
            steps["(invocations that had to start a process, in all)"].append(
                (create[2] - end) * MILLISECONDS
            )
            continue
        steps[first].append((sent - end) * MILLISECONDS)
        steps["SQS to the handler"].append((line["began"] - sent) * MILLISECONDS)
        counts: dict[str, int] = defaultdict(int)
        own, last = 0.0, line["began"]
        for name, began, ended, _ in line["calls"]:
            own += began - last
            last = ended
            counts[name] += 1
            steps[f"{name} {counts[name]}"].append((ended - began) * MILLISECONDS)
            if name == "CreateModelInvocationJob":
                break
        steps["own work, up to the answer of Create"].append(own * MILLISECONDS)
        steps["(all, up to the answer of Create)"].append((create[2] - end) * MILLISECONDS)
    return {name: [round(each, 3) for each in samples] for name, samples in steps.items()}


def report(result: Mapping[str, Any]) -> dict[str, Table]:
    """Gaps of slots beside the bare function's, and the time of each step that most refills
    have.
    """
    samples = result["samples"]
    gaps = [
        (
            phase,
            *(
                rounded(percentile(samples[who][phase], p), 1)
                for p in (50, 90, 99)
                for who in ("refill", "bare")
            ),
            rounded(result["ratios"][phase]["p50"], 1),
            rounded(result["ratios"][phase]["p99"], 1),
        )
        for phase in ("quiet", "load", "traced")
    ]
    columns = (
        "",
        "p50: refill (ms)",
        "bare",
        "p90: refill",
        "bare",
        "p99: refill",
        "bare",
        "p50 / p50",
        "p99 / p99",
    )
    most = len(samples["steps"].get("(all, up to the answer of Create)", ())) / 2
    steps = [
        (name, rounded(percentile(each, 50), 1), rounded(percentile(each, 90), 1))
        for name, each in samples["steps"].items()
        if len(each) > most
    ]
    return {
        "refill": Table("from an end to the next Create", columns, gaps),
        "steps": Table("steps of a refill", ("step", "p50 (ms)", "p90"), steps),
    }
