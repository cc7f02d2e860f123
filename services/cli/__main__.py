"""`tidemill`: the person's door. Each command is a module of its own; `commands` says which."""

import sys

import typer

from services.cli.commands import Commands
from services.cli.problem import Problem

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Streams of events in, calibrated and explained answers out, people's corrections back into better models.\n\n"
    "Start with [bold]tidemill up[/bold], look with [bold]tidemill status[/bold], end with [bold]tidemill down[/bold]. "
    "Every command explains itself with --help.",
)


@app.callback()
def _tidemill() -> None:
    pass


def main() -> None:
    """Runs the command line; what a person can do something about is said in one line, with exit status 1."""
    try:
        app()
    except Problem as problem:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(problem))}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
