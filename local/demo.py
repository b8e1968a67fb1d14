"""The demo: start everything, deploy, upload, watch, show what the tables say, check it, stop.

Twelve good files for two models with limits 3 and 2, one bad file, and one good file whose
notification comes twice. Writes `.local/demo.json` and exits non-zero if anything is not as it
should be. Run by `make demo`. What it shows is what `bbq status`, `bbq jobs` and `bbq show` show.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from bbq.cli import deployment as bbq
from bbq.cli import queries, status, times
from bbq.cli.jobs import job_lines
from bbq.cli.show import tell_history
from bbq.cli.tables import show_lines
from bbq.cli.views import View
from bbq.shared.job import OVER, REJECTED
from local import build, deploy, stack
from local.deployment import LocalDeployment, records, simulator
from local.emulators import TITLES, UnknownEmulator, chosen
from local.function_python import missing
from local.settings import ROOT, STATE, become, local_environment

GOOD = {"haiku": 7, "nova": 5}
LIMITS = {"haiku": 3, "nova": 2}  # as local.tfvars says
MODEL_IDS = {
    "haiku": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "nova": "amazon.nova-lite-v1:0",
}
BAD_KEY = "to-process/haiku/broken.jsonl"
PATIENCE_SECONDS = 90.0

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
        result, problems = _run(LocalDeployment(outputs))
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


def _run(deployment: LocalDeployment) -> tuple[dict[str, Any], list[str]]:
    become(local_environment())  # for `bbq`
    here, began = bbq.find(None), times.now()
    jobs = _upload(deployment)
    views = _watch(here, jobs)
    _show(here, began, next(job for job, key in jobs.items() if key != BAD_KEY))
    return _judge(deployment, jobs, views)


def _upload(deployment: LocalDeployment) -> dict[str, str]:
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


def _watch(here: bbq.Deployment, jobs: Mapping[str, str]) -> dict[str, View]:
    """Follow the views until every job is over, or patience is; those that there are."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    views: dict[str, View] = {}
    with Live(console=console, refresh_per_second=8, transient=not console.is_terminal) as live:
        while time.monotonic() < deadline:
            found = [queries.view(here, job) for job in jobs]
            views = {view.job: view for view in found if view is not None}
            seen = status.read(here, [*here.models])
            live.update(Group(*status.status_lines(seen, console.width)))
            if len(views) == len(jobs) and all(_settled(view) for view in views.values()):
                break
            time.sleep(0.25)
    return views


def _settled(view: View) -> bool:
    return view.over and (view.status == REJECTED or view.processed_records is not None)


def _show(here: bbq.Deployment, began: datetime, job: str) -> None:
    """All jobs, as the projections table's status index gives them, and what happened to one."""
    console.print(f"\njobs, from {here.projections_table}", style="italic")
    views = queries.over_views(here, [*here.models, queries.NO_MODEL], began)
    show_lines(console, job_lines(views, times.now(), console.width))
    console.print(f"\nhistory of job {job}, from {here.events_table}", style="italic")
    tell_history(console, queries.history(here, job))


def _judge(
    deployment: LocalDeployment, jobs: Mapping[str, str], views: Mapping[str, View]
) -> tuple[dict[str, Any], list[str]]:
    """The numbers, and what is wrong with them."""
    stats, made = simulator("stats"), simulator("jobs")["jobs"]
    statuses = [views[job].status if job in views else "nowhere" for job in jobs]
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
        "uploaded": len(jobs),
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


def _outputs_exist(deployment: LocalDeployment, views: Mapping[str, View]) -> bool:
    outputs = [key for key in deployment.keys("processed/") if key.endswith(".jsonl.out")]
    completed = [job for job, view in views.items() if view.status == "Completed"]
    return all(any(job in key for key in outputs) for job in completed)


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
