"""`tidemill`: the person's door. Each command is a module of its own; here they only get their names."""

import sys

import typer
from rich.console import Console

from services.cli.down import down
from services.cli.health import health
from services.cli.problem import Problem
from services.cli.provision import provision
from services.cli.status import status
from services.cli.up import up

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Streams of events in, calibrated and explained answers out, people's corrections back into better models.\n\n"
    "Start with [bold]tidemill up[/bold], look with [bold]tidemill status[/bold], end with [bold]tidemill down[/bold]. "
    "Every command explains itself with --help.",
)
for command in (up, down, status, provision, health):
    app.command()(command)


def main() -> None:
    """Runs the command line; what a person can do something about is said in one line, with exit status 1."""
    try:
        app()
    except Problem as problem:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {problem}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
