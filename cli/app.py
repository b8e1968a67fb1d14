"""The command-line tool `bbq`: its options, its exit codes, and how whatever goes wrong is said.

Each command lives in the file of its subject and registers itself with `app`; `main.py` imports
them all. A command prints its result to standard output and everything else to standard error. It
never ends with a traceback: `run` turns whatever rises into one sentence that says what to do, and
an exit code.
"""

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any, TypeVar

import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from pynamodb.exceptions import PynamoDBException
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bbq.shared.events import UnknownEvent, text_of
from bbq.shared.tables import Contended

PLAIN_WIDTH = 120  # of tables where there is no terminal to ask
# The groups of commands in `bbq --help`, in their order.
LOOK, SUBMIT, ON_JOBS, ON_MODELS, REPAIR = (
    "Look",
    "Submit and fetch",
    "Act on jobs",
    "Act on models",
    "Repair",
)


class Exit(IntEnum):
    """The exit codes, which scripts may rely on."""

    OK = 0
    FAILED = 1  # the job failed, or the check found something
    USAGE = 2  # usage, or bad input
    NOT_FOUND = 3
    NO_ACCESS = 4  # AWS denied it, knows no credentials, or could not be reached
    PENDING = 8  # still under way


class Fault(Exception):
    """Something to tell the user: one sentence with the next step. Ends the command with `code`."""

    code = Exit.USAGE


class NotFound(Fault):
    """What was named does not exist."""

    code = Exit.NOT_FOUND


class Failed(Fault):
    """The job or the check failed."""

    code = Exit.FAILED


Function = TypeVar("Function", bound=Callable[..., Any])


class _Commands(typer.Typer):
    """Typer shows each line of a docstring as a line of its own: here a paragraph is one, and wraps
    at the terminal's width.
    """

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """See Typer."""
        register = super().command(name, **options)

        def registered(function: Function) -> Function:
            paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
            function.__doc__ = "\n\n".join(" ".join(text.split()) for text in paragraphs)
            return register(function)

        return registered


app = _Commands(
    name="bbq",
    help="The queue for Amazon Bedrock batch inference: submit files, look at jobs, act on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def console(**options: Any) -> Console:
    """The only way to a terminal. What is printed holds words of other people: no text is markup,
    `:100:` is no emoji, and nothing is coloured but by a style of ours.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)


def out() -> Console:
    """Where results go. No colour and no redraw where this is not a terminal, or with NO_COLOR
    (rich knows both).
    """
    return console(
        width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", PLAIN_WIDTH))
    )


def err() -> Console:
    """Where everything else goes: progress, questions, hints about what to do next."""
    return console(stderr=True)


def bars() -> Progress:
    """Bars for what takes long, on standard error. None where that is not a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err(), transient=True, disable=not err().is_terminal)


def answer(text: str) -> None:
    """One line of the result, as it is: nothing in it is markup, and no line is broken."""
    out().print(text, soft_wrap=True)


def say(text: str) -> None:
    """One line about the result, to standard error, as it is."""
    err().print(text, soft_wrap=True)


def nobody_reads() -> None:
    """Standard output is closed at its other end: what is still in its buffer goes nowhere, without
    a word.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before acting on much; without a terminal `--yes` must have been said. Raises Fault."""
    if yes:
        return
    if not interactive():
        raise Fault(f"{question} Say --yes to do it without being asked.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.USAGE)


def print_json(document: object) -> None:
    """One JSON document, as --json promises: stable names, times as ISO 8601 in UTC."""
    sys.stdout.write(_json(document, indent=2) + "\n")


def print_jsonl(documents: Sequence[object]) -> None:
    """One JSON document a line."""
    for document in documents:
        sys.stdout.write(_json(document) + "\n")
    sys.stdout.flush()


def _json(document: object, indent: int | None = None) -> str:
    """JSON that a terminal may show: names are other people's, and JSON leaves DEL, C1 and what
    turns text around as they are.
    """
    text = json.dumps(plain(document), indent=indent, ensure_ascii=False)
    return "".join(
        letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1]
        for letter in text
    )


def plain(value: object) -> Any:
    """What JSON can hold: dataclasses as objects, times and money as text, sets and tuples as
    lists.
    """
    if isinstance(value, datetime):
        return text_of(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def who() -> str:
    """Who acts, for the events: the name this machine knows, unless BBQ_USER says better. At most
    64 characters.
    """
    name = (
        os.environ.get("BBQ_USER")
        or os.environ.get("USER")
        or os.environ.get("USERNAME")
        or "operator"
    )
    return "".join(letter for letter in name if letter.isprintable())[:64]


def run() -> None:
    """The entry point of `bbq`."""
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = Exit.USAGE
    except KeyboardInterrupt:
        code = 130  # as shells say it
    except BrokenPipeError:
        nobody_reads()  # `bbq jobs | head` is no fault
        code = Exit.OK
    except Exception as error:  # the last place where anything can be said properly
        code, sentence = explain(error)
        if sentence:
            err().print(Text.assemble(("bbq:", "red"), f" {sentence}"), soft_wrap=True)
        if os.environ.get("BBQ_DEBUG"):
            raise
    sys.exit(int(code or 0))


def explain(error: Exception) -> tuple[int, str]:  # noqa: C901 - a table of what can go wrong
    """(exit code, one sentence with the next step) of anything that went wrong."""
    if isinstance(error, PynamoDBException) and isinstance(error.cause, Exception):
        error = error.cause
    match error:
        case Fault():
            return error.code, str(error)
        case NoCredentialsError():
            return (
                Exit.NO_ACCESS,
                (
                    "AWS knows no credentials here: sign in (aws configure, aws sso login) or name "
                    "a --profile"
                ),
            )
        case NoRegionError():
            return Exit.USAGE, "no AWS Region is set: say --region, or set AWS_REGION"
        case ProfileNotFound():
            return Exit.USAGE, f"{error}: say another --profile, or set AWS_PROFILE"
        case EndpointConnectionError():
            return (
                Exit.NO_ACCESS,
                f"{error} Check --endpoint-url or AWS_ENDPOINT_URL, and the network",
            )
        case ClientError():
            return _of_aws(error)
        case BotoCoreError():
            return Exit.NO_ACCESS, f"AWS could not be asked: {error}"
        case Contended():
            return (
                Exit.FAILED,
                "others write to the same rows at this moment: try again in a minute",
            )
        case UnknownEvent():
            return Exit.FAILED, f"{error}"
        case OSError() if error.strerror:
            return Exit.FAILED, f"{error.filename or 'a file'}: {error.strerror}"
    # click's own
    if (code := getattr(error, "exit_code", None)) is not None and hasattr(error, "format_message"):
        return int(code), error.format_message()  # empty for bare `bbq`, which has printed its help
    return Exit.FAILED, f"{type(error).__name__}: {error} (BBQ_DEBUG=1 shows where)"


_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "403",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
}


def _of_aws(error: ClientError) -> tuple[int, str]:
    code = error.response.get("Error", {}).get("Code", "")
    said = error.response.get("Error", {}).get("Message", "")
    if code in _DENIED:
        return Exit.NO_ACCESS, (
            f"AWS denied {error.operation_name} ({code}: {said}). docs/operating.md lists the "
            "rights; "
            "the policies <name>-<region>-operator and -viewer hold them"
        )
    return Exit.FAILED, f"AWS answered {error.operation_name} with {code}: {said}"
