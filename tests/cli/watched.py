"""A process for `test_watch.py` to look at: `bbq watch` on a deployment under moto. Not a test.

`python -m tests.cli.watched [fail]`: with `fail` the tables are gone after the first reading.
"""

import os
import sys
import threading
from datetime import timedelta
from unittest.mock import patch

from moto import mock_aws

from bbq.cli import progress, times
from bbq.cli.deployment import client
from bbq.cli.main import run
from tests.cli.conftest import NOW, Deployed, publish


def main() -> None:
    """Two jobs run on haiku, two wait; one runs on nova."""
    deployed = Deployed(publish(), time=NOW - timedelta(minutes=90))
    first = deployed.upload("haiku/running.jsonl", records=200)
    for name in ("second", "waiting", "last"):
        deployed.upload(f"haiku/{name}.jsonl")
    deployed.upload("nova/other.jsonl", "nova")
    deployed.report(first, "InProgress")
    deployed.processed[deployed.job(first).arn or ""] = 37
    patch.object(times, "now", lambda: NOW).start()
    patch.object(progress, "client", lambda: deployed).start()
    if "fail" in sys.argv:
        names = (deployed.deployment.events_table, deployed.deployment.projections_table)
        threading.Timer(
            1.5, lambda: [client("dynamodb").delete_table(TableName=name) for name in names]
        ).start()
    sys.argv = ["bbq", "watch", "--interval", "0.5"]
    run()


if __name__ == "__main__":
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with mock_aws():
        main()
