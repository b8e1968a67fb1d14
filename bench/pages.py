"""The generated parts of docs/benchmarks.md and docs/scale.md, from bench/results.json: `python -m bench.pages`
(tests/bench/test_pages.py checks that they are what the results say).

A table whose part was not measured yet says so.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import bench.charts
from bench import results
from bench.samples import percentile
from local.settings import ROOT

PAGES = (ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scale.md")
Parts = Mapping[str, Any]

# What AWS allows; docs/scale.md names the sources. Per second unless said otherwise.
PARTITION_UNITS = 1000
HINTS_CONCURRENCY, UPLOADS_CONCURRENCY, STREAM_LANES = 10, 50, 10  # terraform/variables.tf: in an account of a thousand
CREATE_SCHEDULE_LEAST, CREATE_SCHEDULE_MOST, DELETE_SCHEDULE = 250, 5000, 1000
ITEM_BYTES = 400 * 1024
TRANSACTION_SECONDS = 0.02  # the middle of what the simulation draws: UNVERIFIED
SHORTEST_JOB_SECONDS = 8.7 * 60  # seen in the field
QUOTA = 100


def write(parts: Parts) -> None:
    """Write the generated parts anew."""
    for page in PAGES:
        page.write_text(with_tables(page.read_text(), parts))


def with_tables(text: str, parts: Parts) -> str:
    """A page with its generated parts as the results say."""
    for name, (needs, table) in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        missing = [part for part in needs if part not in parts]
        said = f"Not measured yet: `make bench ARGS={missing[0]}`." if missing else table(parts)
        text = re.sub(f"{begin}.*?{end}", lambda _, new=f"{begin}\n{said}\n{end}": new, text, flags=re.DOTALL)  # type: ignore[misc] # a lambda with a default
    return text


# docs/benchmarks.md


def parts(_: Parts) -> str:
    """Which there are."""
    return _table(("part", "measures"), [(f"[{name}](../bench/{name}.py)", text) for name, text in results.parts().items()])


def targets(parts: Parts) -> str:
    """Every part's targets, met or missed."""
    rows = [
        (name, one["name"], number(one["value"]), _bound(one), "met" if one["met"] else "**missed**",
         one.get("kept", ""))
        for name, envelope in sorted(parts.items()) for one in envelope["result"].get("targets", ())
    ]  # fmt: skip
    return _table(("part", "what", "measured", "target", "", "kept by"), rows)


def measured(parts: Parts) -> str:
    """Where each part's numbers come from."""
    rows = [
        (f"`{one['command']}`", f"`{one['commit'][:12]}`" + (" and changes" if one["changed"] else ""), one["taken_at"],
         f"{one['seconds']:.0f} s", f"{one['machine']['cores']} {one['machine']['processor'] or 'cores'}",
         f"{one['machine']['load']:.1f}",
         f"Python {one['versions']['python']}")
        for _, one in sorted(parts.items())
    ]  # fmt: skip
    return _table(("command", "commit", "at (UTC)", "took", "machine", "load", "with"), rows)


def makespans(parts: Parts) -> str:
    """How full the slots were, and how long all of it took."""
    rows = [
        (*_cell(cell), *(number(cell[hand]["utilisation"], 5 if hand == "ours" else 3) for hand in HANDS),
         *(number(cell[hand]["makespan_to_ideal"], 5 if hand == "ours" else 3) for hand in HANDS),
         number(cell["ours"]["makespan_to_bound"], 3), number(cell["ideal"]["makespan_to_bound"], 3))
        for cell in parts["scheduling"]["result"]["cells"]
    ]  # fmt: skip
    return _table(
        ("jobs of", "slots", "jobs", "utilisation: ours", "1 min", "15 min", "makespan / ideal: ours", "1 min", "15 min",
         "/ lower bound: ours", "ideal"), rows,
    )  # fmt: skip


def waits(parts: Parts) -> str:
    """How long slots stood free, and how long jobs waited."""
    rows = [
        (*_cell(cell), *(number(cell["ours"][gap], 2) for gap in ("gap_mean", "gap_p50", "gap_p99")),
         *(number(cell[hand][gap], 0) for hand in HANDS[1:] for gap in ("gap_mean", "gap_p50")),
         number(cell["ours"]["first_job"], 1),
         *(number(cell[hand]["first_job"], 0) for hand in HANDS[1:]),
         *(number(cell[hand]["mean_wait"] / 3600, 2) for hand in (*HANDS, "ideal")))
        for cell in parts["scheduling"]["result"]["cells"]
    ]  # fmt: skip
    return _table(
        ("jobs of", "slots", "jobs", "gap: ours, mean (s)", "p50", "p99", "1 min, mean", "p50", "15 min, mean", "p50",
         "first job: ours (s)", "1 min", "15 min", "mean wait: ours (h)", "1 min", "15 min", "ideal"), rows,
    )  # fmt: skip


def order(parts: Parts) -> str:
    """Makespans of batches under both orders."""
    rows = [
        (one["slots"], one["jobs"], one["order"], number(one["correlation"], 1), number(one["makespan_to_bound"], 4),
         number(one["without_delay"]["p50"], 4), number(one["without_delay"]["p99"], 4))
        for one in parts["order"]["result"]["batches"]
    ]  # fmt: skip
    seeds = parts["order"]["result"]["seeds"]
    return _table(
        ("slots", "jobs", "order", "correlation", "ours", f"without delay, {seeds} batches: p50", "p99"), rows
    )  # fmt: skip


def starvation(parts: Parts) -> str:
    """The small job among large ones without end."""
    said = parts["order"]["result"]["stream"]
    return (
        f"For {said['hours']} hours, {number(said['large_jobs_to_capacity'], 2)} times as many large jobs came as "
        f"{said['slots']} slots can do. The small one waited {number(said['small_job_waited_hours'], 1)} h. Of the "
        f"{said['large_jobs_that_came_after_it']} that came after it, {said['overtaken_by']} overtook it, the last of them "
        f"uploaded {number(said['latest_upload_that_overtook_hours'], 2)} h after it."
    )


def scale(parts: Parts) -> str:
    """Time of a job, at the beginning and at the end."""
    said = parts["scale"]["result"]
    blocks = said["milliseconds_per_job"]
    rows = [
        ("jobs", f"{said['jobs']:,} over {said['models']} models, {said['slots']} slots and {said['waiting']} in line each"),
        (f"processor time of a job, first {said['block']:,}", f"{number(blocks[0], 2)} ms"),
        (f"last {said['block']:,}", f"{number(blocks[-1], 2)} ms"),
        ("least and most of any block", f"{number(min(blocks), 2)} and {number(max(blocks), 2)} ms"),
        ("last tenth to first tenth", number(said["growth"], 3)),
        ("items in the tables at the end", f"{said['items_kept']:,}"),
        ("memory at most", f"{said['peak_mib']} MiB"),
    ]
    return _table(("", ""), rows)


def refill(parts: Parts) -> str:
    """Gaps of slots, beside the bare function's, and what the steps of a refill take."""
    said = parts["refill"]["result"]
    rows = [
        (phase, *(number(percentile(said["samples"][who][phase], p), 1) for p in (50, 90, 99) for who in ("refill", "bare")),
         number(said["ratios"][phase]["p50"], 1), number(said["ratios"][phase]["p99"], 1))
        for phase in ("quiet", "load", "traced")
    ]  # fmt: skip
    return _table(
        ("", "p50: refill (ms)", "bare", "p90: refill", "bare", "p99: refill", "bare", "p50 / p50", "p99 / p99"), rows
    )  # fmt: skip


def steps(parts: Parts) -> str:
    """Where the time of a refill goes, in the order of the steps that most refills take."""
    samples = parts["refill"]["result"]["samples"]["steps"]
    everyone = len(samples.get("(all, up to the answer of Create)", ()))
    rows = [
        (name, number(percentile(each, 50), 1), number(percentile(each, 90), 1))
        for name, each in samples.items() if len(each) > everyone / 2
    ]  # fmt: skip
    return _table(("step", "p50 (ms)", "p90"), rows)


def work(parts: Parts) -> str:
    """Work of one job, by the length of history; by the emulator's count; and the poller's."""
    said = parts["work"]["result"]
    histories = sorted(said["by_history"], key=int)
    names = [name for name in said["by_history"][histories[0]]["per_job"] if not name.endswith("_invocations")]
    rows: list[tuple[str, ...]] = [
        (name.replace("_", " "), *(number(said["by_history"][history]["per_job"][name], 1) for history in histories),
         number(said["emulator"].get(name), 1))
        for name in names
    ]  # fmt: skip
    for name, title in (("read_units", "a poller's read units"), ("bedrock_gets", "a poller's calls of Get")):
        rows.append((title, *(number(said["by_history"][history]["poller"][name], 1) for history in histories), ""))
    return _table(("a job", *(f"{int(history):,} jobs before" for history in histories), "emulator"), rows)


def by_limit(parts: Parts) -> str:
    """Write units of one job, by how many slots its model has."""
    said = parts["work"]["result"]["by_limit"]
    limits = sorted(said, key=int)
    return _table(("slots", *limits), [("write units of a job", *(number(said[limit], 1) for limit in limits))])


def dollars(parts: Parts) -> str:
    """Of a million jobs."""
    said = parts["work"]["result"]
    rows = [(name, number(amount, 2)) for name, amount in said["dollars_per_million_jobs"].items()]
    return _table(("a million jobs", "dollars"), [*rows, ("**all**", f"**{number(said['total_dollars_per_million_jobs'], 2)}**")])


def cold(parts: Parts) -> str:
    """Cold starts beside their floor."""
    said = parts["cold"]["result"]
    rows = [
        (service, ", ".join(said["clients"][service]), *(number(median(samples[f"{who}, cpu"]), 0) for who in (service, "floor")),
         number(median(samples[f"{service}, cpu"]) / median(samples["floor, cpu"]), 2),
         number(said["instructions"][service].get(service, 0) / said["instructions"][service].get("floor", 1), 2),
         f"{said['zip_bytes'][service]:,}")
        for service, samples in said["samples"].items()
    ]  # fmt: skip
    return _table(("function", "clients", "CPU (ms)", "floor", "ratio", "by instructions", "zip (bytes)"), rows)


def throughput(parts: Parts) -> str:
    """Inspection, file by file."""
    rows = [
        (name, *(number(each["mb_per_second"][who], 0) for who in ("inspection", "json.loads", "wc -l")),
         number(each["ratio_to_loop"], 2), number(median(each["samples"]["inspection"]["bytes"]) / 1e6, 0))
        for name, each in parts["throughput"]["result"]["inspection"].items()
    ]  # fmt: skip
    return _table(("records of", "inspection (MB/s)", "json.loads", "wc -l", "ratio to json.loads", "memory (MB)"), rows)


def rates(parts: Parts) -> str:
    """Events and bursts."""
    said = parts["throughput"]["result"]
    events, burst, here = said["fold"]["events_per_second"], said["burst"], said["emulator"]
    rows = [
        (f"events {name} in memory, a second", f"{events[name]:,}") for name in ("read", "fold", "rebuild")
    ]  # fmt: skip
    rows += [(f"{name} on the emulator, a second", number(rate, 0)) for name, rate in here["per_second"].items()]
    rows.append(
        (f"{burst['jobs']:,} uploads in three seconds, all in line after (virtual time)", f"{burst['virtual_seconds']} s")
    )
    rows.append((f"{here['burst']['jobs']:,} uploads on the emulator, all in line after", f"{here['burst']['seconds']} s"))
    return _table(("", ""), rows)


def chart(name: str, title: str) -> Callable[[Parts], str]:
    """The picture, once there is one."""
    return lambda _: f"![{title}]({name}.svg)"


# docs/scale.md


def costs(parts: Parts) -> str:
    """What one job costs, by kind of row, for few and for many slots."""
    few, many = parts["costs"]["result"]["costs"]
    kinds = sorted({*many["reads"], *many["writes"]})
    rows = [
        (kind, *(number(many[what].get(kind, 0), 1) for what in ("reads", "writes", "transactions")),
         number(few["write_units"].get(kind, 0), 1), number(many["write_units"].get(kind, 0), 1))
        for kind in kinds
    ]  # fmt: skip
    index = sum(many["index_units"].values())
    rows.append(("status index", "", "", "", number(sum(few["index_units"].values()), 1), number(index, 1)))
    sums = [sum(one["write_units"].values()) + sum(one["index_units"].values()) for one in (few, many)]
    rows.append(("**all**", "", "", "", *(f"**{number(one, 0)}**" for one in sums)))
    return _table(
        ("rows", "reads", "writes", "in transactions", f"write units, {few['slots']} slots", f"{many['slots']} slots"), rows
    )  # fmt: skip


def limits(parts: Parts) -> str:
    """Which limit binds at which rate, the lowest first."""
    rows = sorted(_limits(parts), key=lambda row: row[3])
    return _table(
        ("limit", "AWS allows", "a job needs", "jobs a second", "for"),
        [(what, allows, needs, f"**{number(rate, 2 if rate < 1 else 0)}**", whose) for what, allows, needs, rate, whose in rows],
    )


def slots_item(parts: Parts) -> str:
    """How many slots fit into one item, and what a write of it costs."""
    few, many = parts["costs"]["result"]["costs"]
    each = (many["slots_item_bytes"] - few["slots_item_bytes"]) / (many["slots"] - few["slots"])
    return (
        f"With {many['slots']} holders the slots item has {many['slots_item_bytes']:,} bytes, {number(each, 0)} for each; "
        f"{number(ITEM_BYTES / each, 0)} slots would fill the 400 KB of an item."
    )


def _limits(parts: Parts) -> Iterator[tuple[str, str, str, float, str]]:
    few, many = parts["costs"]["result"]["costs"]
    cell = max(parts["scheduling"]["result"]["cells"], key=lambda cell: (cell["slots"], cell["jobs"] <= 1000, cell["jobs"]))  # noqa: PLR2004
    seconds, timers = cell["seconds_per_job"], many["timers"]
    rate = QUOTA / SHORTEST_JOB_SECONDS
    yield (
        "Bedrock's quota of jobs",
        f"{QUOTA} at once",
        f"{SHORTEST_JOB_SECONDS / 60:.1f} min, the shortest seen",
        rate,
        "a model",
    )
    for mapping, concurrency, brought in (
        ("hints queue's function, `maximum_concurrency`", HINTS_CONCURRENCY, "hints"),
        ("stream's function, lanes of one shard", STREAM_LANES, "stream"),
        ("uploads queue's function, `maximum_concurrency`", UPLOADS_CONCURRENCY, "uploads"),
    ):
        needs = f"{number(seconds[brought], 2)} s of invocations"
        yield mapping, f"{concurrency} at once", needs, concurrency / seconds[brought], "a deployment"
    for costs in (few, many):
        units = costs["write_units"]["slots"]
        what = f"slots item, {costs['slots']} slots: write units of its partition"
        yield what, f"{PARTITION_UNITS} a second", f"{number(units, 1)} units", PARTITION_UNITS / units, "a model"
    ones = many["transactions"]["slots"]
    yield (
        "slots item: one transaction after another", f"{number(1 / TRANSACTION_SECONDS, 0)} a second (UNVERIFIED)",
        f"{number(ones, 1)} transactions", 1 / TRANSACTION_SECONDS / ones, "a model",
    )  # fmt: skip
    for kind, what in (
        ("line", "line: write units of its partition"),
        ("counts", "counts: write units, while they are one partition"),
    ):
        units = many["write_units"][kind]
        yield what, f"{PARTITION_UNITS} a second", f"{number(units, 1)} units", PARTITION_UNITS / units, "a model"
    status, units = max(many["index_units"].items(), key=lambda one: one[1])
    yield (
        f"status index: write units of one partition ({status})", f"{PARTITION_UNITS} a second", f"{number(units, 1)} units",
        PARTITION_UNITS / units, "a model",
    )  # fmt: skip
    for allowed in (CREATE_SCHEDULE_LEAST, CREATE_SCHEDULE_MOST):
        where = "us-east-1" if allowed == CREATE_SCHEDULE_MOST else "the smaller Regions"
        yield (
            f"Scheduler: CreateSchedule, {where}", f"{allowed} a second", f"{number(timers['armed'], 1)} calls",
            allowed / timers["armed"], "an account",
        )  # fmt: skip
    yield (
        "Scheduler: DeleteSchedule", f"{DELETE_SCHEDULE} a second", f"{number(timers['disarmed'], 1)} calls",
        DELETE_SCHEDULE / timers["disarmed"], "an account",
    )  # fmt: skip


HANDS = ("ours", "poller_1_min", "poller_15_min")
TABLES: dict[str, tuple[tuple[str, ...], Callable[[Parts], str]]] = {
    "parts": ((), parts),
    "targets": ((), targets),
    "measured": ((), measured),
    "chart-slots": (("scheduling",), chart("slots-in-use", "Slots in use over time, ours and the poller's")),
    "chart-makespans": (("scheduling",), chart("makespans", "How much longer than the ideal line each takes")),
    "chart-times": (("scale",), chart("time-per-job", "Time of a job, over all jobs")),
    "makespans": (("scheduling",), makespans),
    "waits": (("scheduling",), waits),
    "order": (("order",), order),
    "starvation": (("order",), starvation),
    "scale": (("scale",), scale),
    "chart-work": (("work",), chart("work-over-history", "Read units of a job over history, ours and the poller's")),
    "work": (("work",), work),
    "by-limit": (("work",), by_limit),
    "dollars": (("work",), dollars),
    "chart-refill": (("refill",), chart("refill-gaps", "How long slots stood free, beside the bare function")),
    "refill": (("refill",), refill),
    "steps": (("refill",), steps),
    "cold": (("cold",), cold),
    "throughput": (("throughput",), throughput),
    "rates": (("throughput",), rates),
    "costs": (("costs",), costs),
    "limits": (("costs", "scheduling"), limits),
    "slots-item": (("costs",), slots_item),
}


def number(value: float | None, places: int = 3) -> str:
    """As it stands in a table; nothing where there is none."""
    return "" if value is None else f"{value:,.{places}f}"


def _cell(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    return cell["length"], f"{cell['slots']:,}", f"{cell['jobs']:,}"


def _bound(one: Mapping[str, Any]) -> str:
    return f"≤ {one['at_most']:g}" if one["at_most"] is not None else f"≥ {one['at_least']:g}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    measured_parts = results.read()["parts"]
    write(measured_parts)
    bench.charts.write(measured_parts)
