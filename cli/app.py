"""The command-line tool `bbq`: its app, and the groups of its commands.

Each command lives in the file of its subject and registers itself with `app`; `main.py` imports
them all, and runs it.
"""

import inspect
import os
from collections.abc import Callable
from typing import Any, TypeVar

import typer

# The groups of commands in `bbq --help`, in their order.
LOOK, SUBMIT, ON_JOBS, ON_MODELS, REPAIR = (
    "Look",
    "Submit and fetch",
    "Act on jobs",
    "Act on models",
    "Repair",
)

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
