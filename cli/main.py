"""`bbq`: the options that every command shares, and all commands."""

import os
from typing import Annotated

import typer

import cli.acts
import cli.cost
import cli.download
import cli.jobs
import cli.mend
import cli.show
import cli.status
import cli.submit
import cli.timeline
import cli.watch  # noqa: F401 - as the ones above: what is imported registers its commands
from cli import deployment
from cli.app import app, run

__all__ = ["app", "run"]


@app.callback()
def options(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="Name of the deployment. [dim]BBQ_NAME[/dim]", metavar="NAME")] = None,
    region: Annotated[str | None, typer.Option(help="AWS Region.")] = None,
    profile: Annotated[str | None, typer.Option(help="AWS profile.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Where AWS is, for an emulator.")] = None,
) -> None:
    """Say what every command shares."""
    deployment.settle(region=region, profile=profile, endpoint_url=endpoint_url)
    context.obj = name or os.environ.get("BBQ_NAME") or None


if __name__ == "__main__":
    run()
