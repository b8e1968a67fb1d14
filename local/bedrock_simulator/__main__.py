"""`python -m local.bedrock_simulator`: see `--help`. Exit code 2 when the port is taken or an
argument is wrong.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import random
import secrets
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from local.bedrock_simulator.access import Access
from local.bedrock_simulator.driver import Driver
from local.bedrock_simulator.events import Events
from local.bedrock_simulator.faults import Faults, UnknownFaultError, changed
from local.bedrock_simulator.files import S3Clients
from local.bedrock_simulator.jobs import Settings
from local.bedrock_simulator.memory import Memory
from local.bedrock_simulator.server import App, serve
from local.settings import AWS_URL, EVENT_SOURCE, become, local_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

    from local.bedrock_simulator.events import EventBus


def main(arguments: Sequence[str] | None = None) -> int:
    # S3 and EventBridge are an emulator's: what the shell knows of a real account is forgotten
    become(local_environment())
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="bedrock-simulator: %(message)s")
    try:
        listener = socket.create_server((options.host, options.port), backlog=128)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(
            f"Port {options.port} is in use: stop what listens there, or give another --port.",
            file=sys.stderr,
        )
        return 2
    with listener:
        _run(options, listener)
    return 0


def _run(options: argparse.Namespace, listener: socket.socket) -> None:
    session, region = boto3.Session(), os.environ["AWS_REGION"]
    settings = Settings(
        region=region,
        seed=options.seed,
        quota=options.quota,
        model_quotas=dict(options.model_quota),
        job_seconds=options.job_seconds,
        stage_seconds=options.stage_seconds,
        stopping_seconds=options.stopping_seconds,
        min_records=options.min_records,
        max_records=options.max_records,
    )
    chance = random.Random(f"{options.seed}/faults")  # noqa: S311 - repeatable on purpose
    chance_of_events = random.Random(options.seed)  # noqa: S311 - as above
    events = Events(settings, options.event_source, lambda: _event_bus(session), chance_of_events)
    memory = Memory(options.state) if options.state else None
    driver = Driver(
        settings,
        options.faults,
        S3Clients(session, assume_role=options.assume_role),
        events,
        memory,
    )
    access = Access(session) if options.enforce_iam else None
    server = serve(App(driver, events, chance, access), listener)
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for serve_forever, which this very thread runs.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(
        f"Bedrock simulator on http://127.0.0.1:{listener.getsockname()[1]} ({region}, seed "
        f"{options.seed})",
        flush=True,
    )
    try:
        server.serve_forever()
    finally:
        driver.close()
        events.close()


_session_lock = threading.Lock()


def _event_bus(session: boto3.Session) -> EventBus:
    with _session_lock:  # clients may be shared between threads, making them may not
        config = Config(
            connect_timeout=2,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 4},
        )
        client = session.client("events", config=config)

    def put(entries: list[PutEventsRequestEntryTypeDef]) -> int:
        return client.put_events(Entries=entries)["FailedEntryCount"]

    return put


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.bedrock_simulator",
        description="Amazon Bedrock's batch inference, simulated on 127.0.0.1. S3 and "
        f"EventBridge are an emulator's, at AWS_ENDPOINT_URL or {AWS_URL}.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on, if containers are to reach it"
    )
    parser.add_argument("--port", type=int, default=4567)
    parser.add_argument("--quota", type=int, default=100, help="jobs alive at once per model id")
    parser.add_argument(
        "--model-quota", type=_model_quota, action="append", default=[], metavar="MODEL=N"
    )
    parser.add_argument(
        "--job-seconds", type=_range, default=(1.0, 3.0), metavar="LOW-HIGH", help="time InProgress"
    )
    parser.add_argument(
        "--stage-seconds",
        type=_range,
        default=(0.05, 0.2),
        metavar="LOW-HIGH",
        help="in each status before InProgress",
    )
    parser.add_argument("--stopping-seconds", type=_range, default=(0.05, 0.2), metavar="LOW-HIGH")
    parser.add_argument("--min-records", type=int, default=100)
    parser.add_argument("--max-records", type=int, default=100_000)
    parser.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(1_000_000),
        help="repeats ids, durations and faults",
    )
    parser.add_argument("--event-source", default=os.environ.get("BBQ_EVENT_SOURCE", EVENT_SOURCE))
    parser.add_argument(
        "--faults",
        type=_faults,
        default=Faults(),
        metavar="JSON",
        help="as POST /_simulator/faults",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="keep jobs, quotas, faults in it; go on with what it holds",
    )
    parser.add_argument(
        "--assume-role", action="store_true", help="read and write S3 under each job's roleArn"
    )
    parser.add_argument(
        "--enforce-iam",
        action="store_true",
        help="refuse what MiniStack's IAM does not let the caller do",
    )
    return parser


def _range(text: str) -> tuple[float, float]:
    """`1-3`, or `2` for always two."""
    low, _, high = text.partition("-")
    seconds = float(low), float(high or low)
    if not 0 <= seconds[0] <= seconds[1]:
        raise ValueError(text)
    return seconds


def _model_quota(text: str) -> tuple[str, int]:
    model, _, limit = text.rpartition("=")
    if not model:
        raise ValueError(text)
    return model, int(limit)


def _faults(text: str) -> Faults:
    try:
        return changed(Faults(), json.loads(text))
    except UnknownFaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
