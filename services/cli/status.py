"""`tidemill status`: what came in, what became of it, and which processes run."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.cli import counts, stack, state
from services.cli.counts import Counts
from services.cli.problem import Problem

_COLUMNS = ("accepted", "results", "dead_letters", "repeats", "refused", "returned", "pending", "lag")


def status(
    data: stack.Data = stack.DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Show what every domain has accepted and what became of it, and which processes are ready.

    [bold]accepted[/bold] is counted at the doors (records on the request topic, calls that servers took), so
    accepted = results + dead letters + repeats + refused + returned + pending, and pending is 0 when all is done.
    [bold]refused[/bold]: the id was used before with another payload. [bold]lag[/bold]: records not yet committed by the stream worker.
    Where a producer writes in transactions, Kafka's own markers count too: read accepted, pending and lag as "at most".

    Examples:  [bold]tidemill status[/bold]   [bold]tidemill status --json | jq .domains.intent.pending[/bold]
    """
    running = state.supervisor(data) is not None
    opened = stack.open_stack(data)
    if not running and "TIDEMILL_POSTGRES" not in opened.values:
        raise Problem(f"no stack runs in {data}: start one with `tidemill up --data {data}`")
    shown = state.read(data)
    if running and "TIDEMILL_POSTGRES" not in opened.values:
        found: dict[str, Counts] = {}  # on its way up: there is nothing to count yet
    else:
        found = counts.count(opened.settings)
    processes = shown.get("processes", {}) if running else {}
    if as_json:
        typer.echo(json.dumps(_as_json(found, processes, shown.get("phase", "") if running else "down")))
        return
    console = Console()
    console.print(_domains(found))
    console.print(_processes(processes) if running else f"no supervisor runs in {data}", highlight=False)


def _as_json(found: dict[str, Counts], processes: dict[str, Any], phase: str) -> dict[str, Any]:
    domains = {
        name: {**asdict(row), "accepted": row.accepted, "pending": row.pending} for name, row in sorted(found.items())
    }
    kept = {
        name: {key: process[key] for key in ("pid", "ready", "restarts", "missing")}
        for name, process in processes.items()
    }
    return {"phase": phase, "domains": domains, "processes": kept}


def _domains(found: dict[str, Counts]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("domain", style="bold")
    for column in _COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    for name, row in sorted(found.items()):
        table.add_row(name, *(f"{getattr(row, column):,}" for column in _COLUMNS))
    return table


def _processes(processes: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("process", "pid", "state", "restarts"):
        table.add_column(column, justify="right" if column in {"pid", "restarts"} else "left")
    for name, process in processes.items():
        health = "[green]ready[/]" if process["ready"] else f"[yellow]{process['missing']}[/]"
        table.add_row(name, str(process["pid"] or "–"), health, str(process["restarts"]))
    return table
