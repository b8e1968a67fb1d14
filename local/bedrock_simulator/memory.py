"""What the simulator knows, in a file, so that Bedrock can "go down" (by SIGKILL even) and come
back with its jobs.

One row for each job, written when it changes, and one for the rest: the cost does not grow with
history. Events that were not yet sent are lost, as best effort allows. A file of ours only: it
holds pickles.
"""

from __future__ import annotations

import pickle
import sqlite3
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from local.bedrock_simulator.rules import Bedrock

REST = ""  # no job has this id


class Memory:
    """Used under the driver's lock."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode = WAL")
        # outlives the process; the machine may forget
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("CREATE TABLE IF NOT EXISTS known (id TEXT PRIMARY KEY, value BLOB)")
        self._rest = b""

    def recall(self, bedrock: Bedrock) -> None:
        """Tell a new `bedrock` all that was kept; nothing, where the file is new."""
        known = {
            name: pickle.loads(value)  # noqa: S301 - a file of our own
            for name, value in self._file.execute("SELECT id, value FROM known")
        }
        if rest := known.pop(REST, None):
            (
                bedrock.faults,
                bedrock.passing_faults,
                bedrock.quotas,
                bedrock.counts,
                bedrock.largest_alive,
            ) = rest
        bedrock.restore(sorted(known.values(), key=attrgetter("sequence")))

    def keep(self, bedrock: Bedrock) -> None:
        """Write what changed since the last call."""
        rows = {name: pickle.dumps(job) for name, job in bedrock.touched.items()}
        bedrock.touched.clear()
        rest = pickle.dumps(
            (
                bedrock.faults,
                bedrock.passing_faults,
                bedrock.quotas,
                bedrock.counts,
                bedrock.largest_alive,
            )
        )
        if rest != self._rest:
            self._rest = rows[REST] = rest
        if rows:
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", rows.items())
