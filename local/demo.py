"""The demo: start everything, deploy, upload, watch, show what the tables say, check it, stop.

Twelve good files for two models with limits 3 and 2, one bad file, and one good file whose
notification comes twice. Writes `.local/demo.json` and exits non-zero if anything is not as it
should be. Run by `make demo`.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from local import build, deploy, stack
from local.deployment import Deployment, records, simulator
from local.emulators import TITLES, UnknownEmulator, chosen
from local.function_python import missing
from local.settings import ROOT, STATE

GOOD = {"haiku": 7, "nova": 5}
LIMITS = {"haiku": 3, "nova": 2}  # as local.tfvars says
MODEL_IDS = {
    "haiku": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "nova": "amazon.nova-lite-v1:0",
}
BAD_KEY = "to-process/haiku/broken.jsonl"
PATIENCE_SECONDS = 90.0
OVER = {"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired", "Cancelled", "Rejected"}
STYLES = {"Completed": "green", "Rejected": "yellow", "Failed": "red", "InProgress": "cyan"}

PLAIN_WIDTH = 130  # of the tables where there is no terminal

console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def main() -> int:
    """Run it; the exit code."""
    began = time.monotonic()
    stack.stop_on_sigterm()
    with _step("building the two functions"):
        build.build(ROOT, ROOT / ".build")
    if warning := missing():
        console.print(warning, highlight=False)
    with _step(f"starting {TITLES[chosen()]} and the Bedrock simulator"):
        stack.up(["--job-seconds", "3-5"])
    try:
        with _step("terraform apply, the very files that deploy to AWS"):
            work = STATE / "demo-terraform"
            # a new emulator is empty, whatever an earlier run left here
            (work / "terraform.tfstate").unlink(missing_ok=True)
            outputs = deploy.apply(work=work, quiet=True)
        result, problems = _run(Deployment(outputs))
    finally:
        with _step("stopping what was started"):
            stack.down()
    result["seconds"] = round(time.monotonic() - began, 1)
    path = STATE / "demo.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    console.print(
        f"\nnumbers: {path.relative_to(ROOT)}  {json.dumps(result)}",
        soft_wrap=True,
        highlight=False,
    )
    for problem in problems:
        console.print(f"[red]not as it should be:[/red] {problem}")
    if not problems:
        console.print(
            "[green]all is as it should be:[/green] good files ran once, the bad one was rejected, "
            "no limit was passed"
        )
    return 1 if problems else 0


def _run(deployment: Deployment) -> tuple[dict[str, Any], list[str]]:
    jobs = _upload(deployment)
    views = _watch(deployment, jobs)
    _show(deployment, views)
    _show_history(deployment, next(job for job, key in jobs.items() if key != BAD_KEY))
    return _judge(deployment, views)


def _upload(deployment: Deployment) -> dict[str, str]:
    """job id -> key."""
    jobs = {}
    for model, count in GOOD.items():
        for number in range(1, count + 1):
            key = f"to-process/{model}/reviews-{number:02d}.jsonl"
            jobs[deployment.upload(key, records(converse=model == "nova"))] = key
    jobs[
        deployment.upload(
            BAD_KEY, records() + b'{"recordId": "CALL0000001", "modelInput": []}\nnot json\n'
        )
    ] = BAD_KEY
    deployment.notify_again("to-process/haiku/reviews-01.jsonl")
    console.print(
        f"uploaded {len(jobs)} files with {sum(GOOD.values())} good ones; one notification was "
        "sent twice\n"
    )
    return jobs


def _watch(deployment: Deployment, jobs: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Follow the views until every job is over, or patience is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    views: dict[str, dict[str, Any]] = {}
    with Live(console=console, refresh_per_second=8, transient=not console.is_terminal) as live:
        while time.monotonic() < deadline:
            views = {job: deployment.view(job) for job in jobs}
            live.update(_progress(deployment, views))
            if all(view.get("status") in OVER and _settled(view) for view in views.values()):
                break
            time.sleep(0.25)
    return {
        job: view or {"job": job, "status": "nowhere", "sources": [{"key": jobs[job]}]}
        for job, view in views.items()
    }


def _settled(view: Mapping[str, Any]) -> bool:
    return view["status"] == "Rejected" or "processed_records" in view


def _progress(deployment: Deployment, views: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2))
    for title in ("model", "slots", "in line", "at Bedrock", "done"):
        table.add_column(title)
    for model, limit in LIMITS.items():
        statuses = [view.get("status", "") for view in views.values() if view.get("model") == model]
        holders = len(deployment.slots(model).get("holders", {}))
        running = [status for status in statuses if status not in OVER | {"Queued", ""}]
        done = sum(status in OVER for status in statuses)
        bar = "[green]" + "■" * holders + "[/green]" + "□" * (limit - holders)
        table.add_row(
            model,
            f"{bar} {holders}/{limit}",
            str(statuses.count("Queued")),
            " ".join(sorted(running)),
            str(done),
        )
    return table


def _show(deployment: Deployment, views: Mapping[str, Mapping[str, Any]]) -> None:
    """The jobs, as the projections table's status index gives them."""
    table = Table(
        title=f"jobs, from {deployment.outputs['projections_table']}",
        title_justify="left",
        caption_justify="left",
    )
    for title in ("file", "model", "status", "records", "waited", "ran", "why"):
        table.add_column(title, overflow="fold")
    for status_key in sorted(
        {view["status_key"] for view in views.values() if "status_key" in view}
    ):
        for view in sorted(
            deployment.by_status(status_key), key=lambda view: str(view["queued_at"])
        ):
            status = view["status"]
            counts = (
                f"{view['succeeded_records']}/{view['records']}"
                if "succeeded_records" in view
                else ""
            )
            table.add_row(
                view["sources"][0]["key"].removeprefix("to-process/"),
                view["model"],
                f"[{STYLES.get(status, 'white')}]{status}[/]",
                counts,
                _between(view, "queued_at", "claimed_at"),
                _between(view, "submitted_at", "ended_at"),
                view.get("reason", ""),
            )
    console.print(table)


def _show_history(deployment: Deployment, job: str) -> None:
    table = Table(
        title=f"history of job {job}, from {deployment.outputs['events_table']}",
        title_justify="left",
    )
    for title in ("version", "at", "event", "what it says"):
        table.add_column(title, overflow="fold")
    for event in deployment.history(job):
        said = json.loads(event["data"])
        text = " ".join(
            str(said[name]) for name in ("status", "arn", "job_name", "input_uri") if said.get(name)
        )
        if event["name"] == "job-tallied":
            text = (
                f"{said['succeeded_records']} of {said['total_records']} records, "
                f"{said['output_tokens']} tokens out"
            )
        table.add_row(str(event["version"]), event["at"][11:23], event["name"], text)
    console.print(table)


def _judge(
    deployment: Deployment, views: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The numbers, and what is wrong with them."""
    stats, made = simulator("stats"), simulator("jobs")["jobs"]
    statuses = [view["status"] for view in views.values()]
    gaps = [
        gap for model, limit in LIMITS.items() for gap in refill_gaps(made, MODEL_IDS[model], limit)
    ]
    percentiles = (
        quantiles(gaps, n=100, method="inclusive") if len(gaps) > 1 else [float("nan")] * 99
    )
    good = sum(GOOD.values())
    alive = {
        model: stats["largest_alive"].get(MODEL_IDS[model], {}).get("total", 0) for model in LIMITS
    }
    result = {
        "uploaded": len(views),
        "completed": statuses.count("Completed"),
        "rejected": statuses.count("Rejected"),
        "creates": stats["accepted"],
        "limits": LIMITS,
        "max_in_flight": alive,
        "refill_seconds": {"p50": round(percentiles[49], 3), "p99": round(percentiles[98], 3)},
    }
    depths = {
        url.rpartition("/")[2]: deployment.queue_depth(url)
        for url in deployment.outputs["dead_letter_queue_urls"].values()
    }
    checks: dict[str, bool] = {
        f"{good} good files should be Completed: {statuses}": result["completed"] == good,
        f"the bad file should be Rejected: {statuses}": result["rejected"] == 1,
        f"one Create for each good file, not {stats['accepted']}": stats["accepted"] == good
        and stats["token_replays"] == 0,
        f"as many alive as the limit and never more: {alive}": alive == LIMITS,
        "every completed job's output should be in S3": _outputs_exist(deployment, views),
        f"the dead-letter queues should be empty: {depths}": not any(depths.values()),
    }
    return result, [problem for problem, fine in checks.items() if not fine]


def refill_gaps(made: list[dict[str, Any]], model_id: str, limit: int) -> list[float]:
    """Seconds from each end of a job to the Create that took its slot, while somebody waited: the
    k-th end frees the slot that the (limit + k)-th Create takes.
    """
    jobs = [job["epoch_seconds"] for job in made if job["modelId"] == model_id]
    creates = sorted(times["Submitted"] for times in jobs)
    ends = sorted(time for times in jobs for status, time in times.items() if status in OVER)
    return [create - end for create, end in zip(creates[limit:], ends, strict=False)]


def _outputs_exist(deployment: Deployment, views: Mapping[str, Mapping[str, Any]]) -> bool:
    keys = deployment.keys("processed/")
    completed = [view for view in views.values() if view["status"] == "Completed"]
    return all(
        any(view["job"] in key and key.endswith(".jsonl.out") for key in keys) for view in completed
    )


def _between(view: Mapping[str, Any], start: str, end: str) -> str:
    if start not in view or end not in view:
        return ""
    seconds = (
        datetime.fromisoformat(view[end]) - datetime.fromisoformat(view[start])
    ).total_seconds()
    return f"{seconds:.1f} s"


class _step:  # noqa: N801 - reads as a statement
    """Say what is being done, and how long it took."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock

    def __enter__(self) -> None:
        self._began = self._clock()
        console.print(f"{datetime.now(UTC):%H:%M:%S}  {self._what} …", highlight=False)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            console.print(
                f"          done in {self._clock() - self._began:.1f} s",
                highlight=False,
                style="dim",
            )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (stack.StackError, deploy.DeployError, build.BuildError, UnknownEmulator) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; what was started has been stopped")
