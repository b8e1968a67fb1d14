"""Work per job when nothing goes wrong: invocations, requests and units of the tables, for
histories of different lengths.

The production code runs in the simulation (tests/simulation), on a virtual clock, without faults;
`units.CountingTables` counts by DynamoDB's rules. The history before it is written straight into
the store. On the emulator the same work is counted by another's rules: MiniStack's own
ConsumedCapacity. Beside it, what a queue reads that scans all rows every 15 minutes and asks
Bedrock about each active one.

Then a day on which nothing happens.
"""

import gc
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bbq.shared.memory import MemoryTables
from bbq.shared.rows import VIEW_KEY, view_pk
from bench.counted import CountedRun
from bench.emulator import deployed, traced, until
from bench.prices import PRICES
from bench.table import Table, rounded, target
from bench.units import READ_BYTES, item_bytes
from local.deployment import LocalDeployment, records, simulator
from tests.simulation.kernel import T0
from tests.support.samples import LINE

LIMIT = 10
HISTORIES, QUICK_HISTORIES = (100, 10_000, 1_000_000), (100, 10_000)
JOBS, QUICK_JOBS, EMULATOR_JOBS = 100, 30, 100
# the item of all holders is written with each of them
LIMITS, QUICK_LIMITS = (10, 20, 50, 100), (10, 20)
UPLOAD_EVERY_SECONDS = 60.0
# What Lambda asks each of the two queues by itself, whether or not anything is in it: not a request
# of ours, but billed as one. Five pollers: Lambda developer guide, "Using Lambda with Amazon SQS";
# that each waits for 20 s is UNVERIFIED.
LAMBDA_POLLERS, LAMBDA_POLL_SECONDS = 5, 20.0
POLL_MINUTES = 15
DAY_SECONDS = 86_400.0
POLLS_A_DAY = round(2 * LAMBDA_POLLERS * DAY_SECONDS / LAMBDA_POLL_SECONDS)
INVOCATIONS_AT_MOST, WRITE_UNITS_AT_MOST, READ_UNITS_AT_MOST, GROWTH_AT_MOST = (
    12.0,
    60.0,
    45.0,
    1.05,
)

# Seconds and GB of an invocation. Seconds are guesses, some ten calls of 10 ms and a copy:
# UNVERIFIED; GB as in terraform/.
SECONDS_AND_GB = {"scheduler": (0.12, 1.0), "intake": (0.4, 1769 / 1024)}


def run(*, quick: bool) -> dict[str, Any]:
    """Everything per job, by how many jobs there were before."""
    jobs = QUICK_JOBS if quick else JOBS
    found: dict[str, Any] = {"jobs": jobs, "by_history": {}}
    for history in QUICK_HISTORIES if quick else HISTORIES:
        found["by_history"][history] = _worked(jobs, history)
        gc.collect()
    found["by_limit"] = {
        limit: _worked(jobs * limit // LIMIT, 0, limit=limit)["per_job"]["write_units"]
        for limit in (QUICK_LIMITS if quick else LIMITS)
    }
    first, last = (
        found["by_history"][history]
        for history in (min(found["by_history"]), max(found["by_history"]))
    )
    growth = [
        (name, last["per_job"][name] / first["per_job"][name])
        for name in ("invocations", "write_units", "read_units")
    ]
    found["idle_day"] = _idle_day()
    found["emulator"] = {} if quick else _on_the_emulator(EMULATOR_JOBS)
    found["dollars_per_million_jobs"] = dollars = _dollars(last["per_job"])
    found["total_dollars_per_million_jobs"] = round(sum(dollars.values()), 2)
    found["targets"] = [
        target("invocations per job", last["per_job"]["invocations"], at_most=INVOCATIONS_AT_MOST),
        target("write units per job", last["per_job"]["write_units"], at_most=WRITE_UNITS_AT_MOST),
        target("read units per job", last["per_job"]["read_units"], at_most=READ_UNITS_AT_MOST),
        *(
            target(f"{name}, longest history / shortest", round(ratio, 4), at_most=GROWTH_AT_MOST)
            for name, ratio in growth
        ),
        target(
            "invocations and requests of an idle day", sum(found["idle_day"].values()), at_most=0
        ),
    ]
    return found


def _worked(jobs: int, history: int, *, limit: int = LIMIT) -> dict[str, Any]:
    """So many uploads, one after another and often enough to fill the slots, beside so many jobs of
    the past.
    """
    world, every = CountedRun(limit), UPLOAD_EVERY_SECONDS * LIMIT / limit
    template = _one_life(world)
    _remember(world.tables, history, *template)
    before, began = world.totals(), world.kernel.time
    for number in range(jobs):
        key, due = f"to-process/haiku/{number}.jsonl", number * every
        world.kernel.after(due, partial(world.upload, key, LINE, fit=True))  # type: ignore[arg-type] # its answer is not needed
    world.until(began + jobs * every + DAY_SECONDS)
    done = sum(job.tallied for job in world.watch.jobs.values()) - 1
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs came to their end")
    after = world.totals()
    per_job = {name: round((after[name] - before[name]) / jobs, 3) for name in after}
    return {"per_job": per_job, "poller": _poller(world, jobs, history, began)}


def _one_life(world: CountedRun) -> tuple[str, dict[str, Any]]:
    """One job from upload to tally, before the counting: what the rows of history look like. (id,
    its view)
    """
    job = world.upload("to-process/haiku/first.jsonl", LINE, fit=True).job
    world.until(world.kernel.time + DAY_SECONDS)
    view = world.tables.peek("projections", view_pk(job), VIEW_KEY)
    if view is None:
        raise RuntimeError("the first job has no view")
    return job, view


def _remember(tables: MemoryTables, history: int, job: str, view: Mapping[str, Any]) -> None:
    """Jobs of the past, all like this one: their events and their view, under keys of their own,
    and what they add to the counts.

    The rows of one job are those of all: a million of them would not fit in memory otherwise, and
    their sizes are right.
    """
    items = tables._items
    life = dict(items["events"][f"job#{job}"])
    rows: dict[str | int, Any] = {VIEW_KEY: dict(view)}
    for number in range(history):
        name = f"past{number:022d}"
        items["events"][f"job#{name}"] = life
        items["projections"][view_pk(name)] = rows
    for days in (days for pk, days in items["projections"].items() if pk.startswith("counts#")):
        for sk, row in days.items():
            if not str(sk).startswith("waiting#"):
                days[sk] = {name: _more(value, history) for name, value in row.items()}


def _more(value: Mapping[str, Any], history: int) -> dict[str, Any]:
    """A number of the counts after so many jobs more."""
    return {"N": str(int(value["N"]) * (1 + history))} if "N" in value else dict(value)


def _poller(world: CountedRun, jobs: int, history: int, began: float) -> dict[str, float]:
    """What a scan of all jobs' rows every 15 minutes, and a Get of each active one, would have read
    while these jobs ran.
    """
    views = [
        item
        for pk, rows in world.tables._items["projections"].items()
        if pk.startswith("job#")
        for item in rows.values()
    ]
    size = item_bytes(views[-1])
    spans = [
        tuple(
            (datetime.fromisoformat(view[name]["S"]) - T0).total_seconds()
            for name in ("queued_at", "submitted_at", "ended_at")
        )
        for view in views
        if (datetime.fromisoformat(view["queued_at"]["S"]) - T0).total_seconds() >= began
    ]
    units, gets, at = 0.0, 0, began
    while at <= max(span[2] for span in spans):
        rows = history + sum(queued <= at for queued, _, _ in spans)
        # a scan is eventually consistent unless it is asked not to be
        units += rows * size / READ_BYTES / 2
        gets += sum(submitted <= at < ended for _, submitted, ended in spans)
        at += timedelta(minutes=POLL_MINUTES).total_seconds()
    return {"read_units": round(units / jobs, 3), "bedrock_gets": round(gets / jobs, 3)}


def _idle_day() -> dict[str, int]:
    """A job has come and gone; then a day passes."""
    world = CountedRun(LIMIT)
    _one_life(world)
    before, at = world.totals(), world.kernel.time
    world.until(at + DAY_SECONDS)
    if world.kernel.time - at < DAY_SECONDS and world.kernel.next_at() is not None:
        raise RuntimeError("the day did not pass")
    after = world.totals()
    return {name: after[name] - before[name] for name in after if not name.endswith("_units")}


def _on_the_emulator(jobs: int) -> dict[str, Any]:
    """The same work by another's count: MiniStack's ConsumedCapacity of every call that the
    functions made.
    """
    models = {"haiku": {"model_id": "bench.work-v1:0", "limit": LIMIT}}
    with deployed(models, ("--job-seconds", "1-3")) as (deployment, work):
        for service in ("intake", "scheduler"):
            traced(deployment, service, work / f"{service}.jsonl")
        deployment.client("lambda").invoke(
            FunctionName=deployment.outputs["scheduler_function"],
            Payload=json.dumps({"wake": "all", "limits": {"haiku": LIMIT}}),
        )
        (work / "scheduler.jsonl").write_text("")
        ids = [deployment.upload(f"haiku/{number:03d}.jsonl", records()) for number in range(jobs)]
        until(
            lambda: all(_tallied(deployment, job) for job in reversed(ids)),
            f"all {jobs} jobs are tallied",
        )
        lines = {
            service: [
                json.loads(line) for line in (work / f"{service}.jsonl").read_text().splitlines()
            ]
            for service in ("intake", "scheduler")
        }
        stats = simulator("stats")
    if stats["accepted"] != jobs:
        raise RuntimeError(f"{stats['accepted']} creates for {jobs} jobs")
    return _metered([line for each in lines.values() for line in each], jobs)


def _tallied(deployment: LocalDeployment, job: str) -> bool:
    return "processed_records" in deployment.view(job)


def _metered(lines: Sequence[Mapping[str, Any]], jobs: int) -> dict[str, float]:
    """Invocations and MiniStack's units, per job."""
    counted: defaultdict[str, float] = defaultdict(float, invocations=len(lines))
    for operation, _, _, consumed in (call for line in lines for call in line["calls"]):
        for one in consumed if isinstance(consumed, list) else [consumed] if consumed else []:
            kind = "read_units" if operation in {"GetItem", "Query"} else "write_units"
            counted[kind] += one["CapacityUnits"]
            if kind == "write_units":
                indexes = one.get("GlobalSecondaryIndexes", {}).values()
                counted["index_write_units"] += sum(each["CapacityUnits"] for each in indexes)
    return {name: round(count / jobs, 3) for name, count in counted.items()}


def _dollars(per_job: Mapping[str, float]) -> dict[str, float]:
    """For a million jobs, by service. Not in it: Bedrock itself, storage, logs, traces, metrics,
    and what S3 keeps.
    """
    gb_seconds = sum(
        per_job[f"{name}_invocations"] * seconds * gb
        for name, (seconds, gb) in SECONDS_AND_GB.items()
    )
    amounts = {
        "Lambda requests": per_job["invocations"] * PRICES["lambda_request"],
        "Lambda time (guessed seconds)": gb_seconds * PRICES["lambda_gb_second_arm"],
        "DynamoDB writes": per_job["write_units"] * PRICES["dynamodb_write_unit"],
        "DynamoDB reads": per_job["read_units"] * PRICES["dynamodb_read_unit"],
        "SNS": per_job["sns_requests"] * PRICES["sns_request"],
        "SQS": per_job["sqs_requests"] * PRICES["sqs_request"],
        "EventBridge Scheduler": per_job["timers_fired"] * PRICES["scheduler_invocation"],
        "S3": per_job["s3_puts"] * PRICES["s3_put"] + per_job["s3_gets"] * PRICES["s3_get"],
    }
    return {name: round(amount * 1_000_000, 2) for name, amount in amounts.items()}


def report(result: Mapping[str, Any]) -> dict[str, Table | str]:
    """Work of one job, by the length of history and by the emulator's count, and the poller's;
    write units by how many slots the model has; dollars of a million jobs; and an idle day.
    """
    by_history, by_limit = result["by_history"], result["by_limit"]
    histories, limits = sorted(by_history, key=int), sorted(by_limit, key=int)
    rows = [
        (
            name.replace("_", " "),
            *(rounded(by_history[history]["per_job"][name], 1) for history in histories),
            rounded(result["emulator"].get(name), 1),
        )
        for name in by_history[histories[0]]["per_job"]
        if not name.endswith("_invocations")
    ]
    for name, title in (
        ("read_units", "a poller's read units"),
        ("bedrock_gets", "a poller's calls of Get"),
    ):
        rows.append(
            (title, *(rounded(by_history[history]["poller"][name], 1) for history in histories), "")
        )
    limit_row = ("write units of a job", *(rounded(by_limit[limit], 1) for limit in limits))
    dollars = [
        (name, rounded(amount, 2)) for name, amount in result["dollars_per_million_jobs"].items()
    ]
    dollars.append(("**all**", f"**{rounded(result['total_dollars_per_million_jobs'], 2)}**"))
    polling = rounded(POLLS_A_DAY * PRICES["sqs_request"], 3)
    columns = ("a job", *(f"{int(history):,} jobs before" for history in histories), "emulator")
    return {
        "work": Table("work of one job", columns, rows),
        "by-limit": Table(
            "write units, by the limit of the model", ("slots", *limits), [limit_row]
        ),
        "dollars": Table("the bill", ("a million jobs", "dollars"), dollars),
        "idle-day": f"Lambda itself polls the two queues {POLLS_A_DAY:,} times in such a day, "
        f"which costs {polling} dollars.",
    }
