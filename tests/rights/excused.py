"""Rights that nothing on the emulator misses, each with the reason why it stays, and what holds it
in place instead.

A run takes all of them away at once and expects that nothing is refused: an excuse that is no
longer true fails.
"""

from fnmatch import fnmatchcase

from tests.rights.mutation import Right

POLLS = (
    "Lambda's poller needs it on AWS; MiniStack's polls without asking. Plan test of the exact "
    "rights."
)
LOGS = (
    "Lambda writes logs with the role on AWS; MiniStack writes them itself. Plan test of the exact "
    "rights."
)
TRACES = (
    "Lambda sends traces with the role on AWS; MiniStack sends none. Plan test of the exact rights."
)
TIMER = (
    "EventBridge Scheduler wears the role on AWS; MiniStack's wears none. Plan test of the exact "
    "rights."
)
PASS = (
    "AWS checks iam:PassRole when a schedule is made; MiniStack does not. Plan tests of the exact "
    "rights and of the role passed."
)
NOT_FOUND = (
    "S3 answers 403 instead of 404 without it; MiniStack answers 404 anyway. Unit test of what is "
    "lost."
)

GROUP = (
    "MiniStack takes every schedule to be in the default group, so only that one is missed there. "
    "Plan test of the exact rights."
)
LIST = (
    "AWS asks for it in its documented role; the simulator reads the one object it is told of. "
    "Plan test of the exact rights."
)
ABORT = (
    "the SDK's error path alone: an upload in parts that breaks off is taken back. Plan test of "
    "the exact rights."
)
PATHS = "MiniStack allows GetParametersByPath on * alone. Plan test of the exact rights."

# who, statement, action or resource (each may end in a star) -> why
EXCUSED = {
    ("*", "Log", "*"): LOGS,
    ("*", "Trace", "*"): TRACES,
    ("intake", "ReceiveUploads", "sqs:DeleteMessage"): POLLS,
    ("intake", "ReceiveUploads", "sqs:GetQueueAttributes"): POLLS,
    ("intake", "ReceiveUploads", "sqs:ReceiveMessage"): POLLS,
    ("scheduler", "FollowEvents", "*"): POLLS,
    ("scheduler", "FindStream", "*"): POLLS,
    ("scheduler", "HandleHints", "sqs:DeleteMessage"): POLLS,
    ("scheduler", "HandleHints", "sqs:GetQueueAttributes"): POLLS,
    ("scheduler", "HandleHints", "sqs:ReceiveMessage"): POLLS,
    ("scheduler", "SetAside", "*"): POLLS,
    ("scheduler", "PassTimerRole", "*"): PASS,
    ("scheduler", "ArmTimers", "*:schedule/bbq-local/*"): GROUP,
    ("intake", "TellMissingFromForbidden", "*"): NOT_FOUND,
    ("viewer", "FindDeployment", "ssm:GetParametersByPath"): PATHS,
    ("viewer", "FindDeployment", "*:parameter/bedrock-batch-queue"): PATHS,
    ("viewer", "FindDeployment", "*:parameter/bedrock-batch-queue/"): PATHS,
    ("operator", "Upload", "s3:AbortMultipartUpload"): ABORT,
    ("bedrock", "List", "*"): LIST,
    ("timers", "*", "*"): TIMER,
}


def excuse(right: Right) -> str:
    """Why nothing misses it; empty for all others."""
    fits = [
        why
        for (who, sid, what), why in EXCUSED.items()
        if fnmatchcase(right.who, who)
        and fnmatchcase(right.sid, sid)
        and fnmatchcase(str(right), what)
    ]
    return fits[0] if fits else ""
