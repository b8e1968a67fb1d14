"""Serve the stand-in: `python -m tests.standin --port 4999 --seed 7`. It uses the emulator's S3 and
EventBridge, which AWS_ENDPOINT_URL names.
"""

import argparse
import contextlib
import os

from tests.standin.bedrock import Bedrock
from tests.standin.server import S3Files, Standin, emulated

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.standin", description="A Bedrock stand-in, from recordings."
    )
    parser.add_argument("--port", type=int, default=4999, help="on 127.0.0.1 (4999)")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (1)")
    parser.add_argument(
        "--quota", type=int, default=100, help="jobs of a model alive at once (100)"
    )
    parser.add_argument(
        "--phase-seconds", default="0.3-1.2", help="shortest and longest stay in a status (0.3-1.2)"
    )
    parser.add_argument(
        "--event-source", default="local.bedrock", help="of the state changes (local.bedrock)"
    )
    options = parser.parse_args()
    shortest, longest = map(float, options.phase_seconds.split("-"))
    url = os.environ.get("AWS_ENDPOINT_URL") or "http://127.0.0.1:4566"
    region = os.environ.get("AWS_REGION") or "us-east-1"
    bedrock = Bedrock(
        S3Files(emulated("s3", url, region)),
        seed=options.seed,
        region=region,
        quota=options.quota,
        phase_seconds=(shortest, longest),
    )
    events = emulated("events", url, region)
    standin = Standin(bedrock, port=options.port, events=events, event_source=options.event_source)
    print(f"Bedrock's stand-in answers on {standin.url}, seed {options.seed}", flush=True)  # noqa: T201 - a program for a terminal
    with contextlib.suppress(KeyboardInterrupt):
        standin.wait()
