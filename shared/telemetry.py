"""Log lines and metrics: a constant word for what happened, counted and logged with its fields; and
what was measured.

Metrics are written by Powertools as EMF log lines, namespace POWERTOOLS_METRICS_NAMESPACE, one
value under each of its sets of dimensions: the service; the service and the model; and for what
METRICS says so, one dimension more. docs/metrics.md lists them.
"""

import json
from collections import defaultdict
from collections.abc import Mapping

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

COUNT, SECONDS, MILLISECONDS = MetricUnit.Count, MetricUnit.Seconds, MetricUnit.Milliseconds
# name -> its unit. What is not listed is only logged.
METRICS: Mapping[str, MetricUnit] = {
    **dict.fromkeys(
        (
            "JobQueued",
            "JobRejected",
            "UploadKnown",
            "UploadIgnored",
            "UploadUnreadable",
            "MessageFailed",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        ("SlotClaimed", "JobSubmitted", "SubmissionRefused", "ModelHeld", "SubmissionUnknown"),
        COUNT,
    ),
    **dict.fromkeys(
        ("JobEnded", "JobCancelled", "LeaseTakenOver", "EventMissed", "StrayStopped"), COUNT
    ),
    **dict.fromkeys(("SlotOverdue", "JobUnreadable", "JobUnknown"), COUNT),
    "CeilingReached": COUNT,
    **dict.fromkeys(
        (
            "HintFailed",
            "HintIgnored",
            "StreamRecordFailed",
            "ModelNotConfigured",
            "ForeignJobWithOurName",
        ),
        COUNT,
    ),
    "PublishFailed": COUNT,
    **dict.fromkeys(
        ("SlotsHeld", "SlotLimit", "JobsWaiting", "OnHold", "FreeSlotsWhileWaiting"), COUNT
    ),
    **dict.fromkeys(("InputTokens", "OutputTokens", "RecordsSucceeded", "RecordsFailed"), COUNT),
    **dict.fromkeys(("OldestWait", "WaitTime", "SlotTime"), SECONDS),
    "RefillTime": MILLISECONDS,
}
# name -> the field of the note that is one dimension more, and what that dimension is called
FURTHER: Mapping[str, tuple[str, str]] = {
    "SubmissionRefused": ("kind", "reason"),
    "ModelHeld": ("kind", "reason"),
    "JobEnded": ("status", "status"),
}

MAX_ERROR = 500  # characters

_Dimensions = tuple[tuple[str, str], ...]


def said(error: Exception) -> str:
    """An error for a log line: its kind and its sentence. Not its repr: that of a UnicodeError
    holds the bytes it was about.
    """
    inner = (
        f" ({'; '.join(map(said, error.exceptions))})" if isinstance(error, ExceptionGroup) else ""
    )
    return f"{type(error).__name__}: {error}{inner}"[:MAX_ERROR]


def _ascii(line: object) -> str:
    """With escapes for all that is not ASCII: what is half a character is written too, and no
    terminal obeys what it is shown.
    """
    return json.dumps(line, default=str, separators=(",", ":"))


class Telemetry:
    """What one function logs and measures. `flush` at the end of every invocation writes the
    metrics.
    """

    def __init__(self) -> None:
        self._logger = Logger(json_serializer=_ascii)
        self._values: dict[_Dimensions, list[tuple[str, float]]] = defaultdict(list)

    def note(self, name: str, **fields: object) -> None:
        """Log that it happened, and count it. Powertools writes JSON, so no field can break a
        line.
        """
        self._logger.info(name, extra={"about": fields})
        if name not in METRICS:
            return
        dimensions = [("model", str(fields["model"]))] if fields.get("model") else []
        if name in FURTHER and dimensions:
            field, dimension = FURTHER[name]
            dimensions.append((dimension, str(fields[field])))
        self._values[tuple(dimensions)].append((name, 1))

    def measure(self, model: str, **values: float) -> None:
        """Values of a model, by the name of the metric."""
        self._values[("model", model),].extend(values.items())

    def flush(self) -> None:
        """Write what was counted and measured: one EMF line for each combination of dimensions."""
        values, self._values = self._values, defaultdict(list)
        for dimensions, measured in values.items():
            metrics = EphemeralMetrics()
            for end in range(1, len(dimensions) + 1):
                metrics.add_dimensions(service=str(metrics.service), **dict(dimensions[:end]))
            for name, value in measured:
                metrics.add_metric(name=name, unit=METRICS[name], value=value)
            metrics.flush_metrics()
