"""`bbq`: the options that every command shares, and all commands.

It never ends with a traceback: `run` turns whatever rises into a sentence and an exit code.
"""

import os
import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.text import Text

# What is imported registers its commands, and they are listed in this order.
# isort: off
import bbq.cli.status
import bbq.cli.jobs
import bbq.cli.show
import bbq.cli.watch
import bbq.cli.timeline
import bbq.cli.cost
import bbq.cli.submit
import bbq.cli.download
import bbq.cli.acts
import bbq.cli.repair_commands  # noqa: F401 - as the ones above

# isort: on
from bbq.cli import deployment
from bbq.cli.app import app
from bbq.cli.faults import Exit, explain
from bbq.cli.output import answer, err, nobody_reads

__all__ = ["app", "run"]


def say_version(asked: bool) -> None:
    """For --version."""
    if asked:
        answer(f"bbq {metadata.version('bedrock-batch-queue')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Option(help="Name of the deployment. [dim]BBQ_NAME[/dim]", metavar="NAME")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS Region.")] = None,
    profile: Annotated[str | None, typer.Option(help="AWS profile.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Where AWS is, for an emulator.")] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version of bbq.", callback=say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Say what every command shares."""
    deployment.settle(region=region, profile=profile, endpoint_url=endpoint_url)
    context.obj = name or os.environ.get("BBQ_NAME") or None


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


if __name__ == "__main__":
    run()
