"""`tidemill models`."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from services.cli import evidence
from services.cli.needs import stack_with
from services.cli.problem import Problem
from services.cli.stack import DEFAULT, Data
from shared import bundle
from shared.bundle import Bundle, BundleError
from shared.errors import Unavailable
from shared.ledger import Broken, Entry, Ledger, Refused
from shared.settings import Settings

T = TypeVar("T")


def models(
    history: Annotated[bool, typer.Option("--history", help="Every promotion and rollback, oldest first.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the ledger's chain, and every byte of the live bundles.")
    ] = False,
    rollback: Annotated[str, typer.Option(metavar="MODEL", help="Make its earlier version live again.")] = "",
    to: Annotated[str, typer.Option(metavar="VERSION", help="With --rollback: this version.")] = "",
    reason: Annotated[str, typer.Option(help="With --rollback: why; the ledger keeps it.")] = "",
    approver: Annotated[str, typer.Option(help="With --rollback: who decides; else your user name.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Ledger entries, one JSON object a line.")] = False,
    data: Data = DEFAULT,
) -> None:
    """Show which models are live, since when, by whose decision, how good.

    The ledger in Postgres says what is live, and inference follows it at once,
    without a restart. A version that was rolled back does not return by itself.

      tidemill models
      tidemill models --history
      tidemill models --verify
      tidemill models --rollback intent --reason "refunds answered as returns"
    """
    settings = stack_with(data, "postgres").settings
    if rollback:
        who = approver or getpass.getuser()
        entry = ask(settings, lambda ledger: ledger.rollback(rollback, approver=who, reason=reason, to=to))
        typer.echo(f"{entry.model} {entry.version} is live again (ledger entry {entry.seq})")
        return
    if verify:
        entries = ask(settings, lambda ledger: ledger.verify())
        if history and entries:
            Console().print(_table(entries, newest(entries)))
        check(entries, settings.models)
        return
    entries = ask(settings, lambda ledger: ledger.history())
    live = newest(entries)
    shown = entries if history else live
    if as_json:
        for entry in shown:
            typer.echo(json.dumps(asdict(entry)))
    elif not shown:
        raise Problem("no model is live yet: `tidemill up` trains the starters, `tidemill train DOMAIN` one of them")
    else:
        Console().print(_table(shown, live))


def ask(settings: Settings, question: Callable[[Ledger], Awaitable[T]]) -> T:
    """Asks the ledger.

    Raises:
        Problem: what went wrong, in a person's words.
    """

    async def run() -> T:
        ledger = Ledger.open(settings)
        try:
            return await question(ledger)
        finally:
            await ledger.close()

    try:
        return asyncio.run(run())
    except Refused as error:
        raise Problem(str(error)) from error
    except Broken as error:
        raise Problem(f"the ledger does not hold: {error}") from error
    except Unavailable as error:
        raise Problem(f"{error}; see `tidemill status`") from error


def check(entries: list[Entry], store: Path) -> None:
    """Reads every live bundle of a ledger whose chain holds, and compares it with its manifest and the ledger's digest.

    Raises:
        Problem: names every bundle that is wrong.
    """
    if entries and not any(store.glob("*/*")):
        raise Problem(
            f"there are no models in {store}; TIDEMILL_MODELS names the folder from which inference serves them"
        )
    typer.echo(f"ledger: {len(entries)} entries, chain unbroken, newest hash {entries[-1].hash if entries else 'none'}")
    faults = []
    for live in newest(entries):
        try:
            spec = bundle.load(store / live.model / live.version, Bundle, live.bundle_digest)
            for route in spec.routes.values():
                bundle.load(store / bundle.ENCODERS / route.encoder, bundle.Encoder)
        except (BundleError, OSError) as error:
            faults.append(f"{live.model} {live.version}: {error}")
        else:
            typer.echo(
                f"{live.model} {live.version}: every file is as the ledger's digest {live.bundle_digest[:12]}… says"
            )
    if faults:
        raise Problem("\n".join(faults))


def newest(entries: list[Entry]) -> list[Entry]:
    """What is live: the last entry of each model, by the model's name."""
    last = {entry.model: entry for entry in entries}
    return [last[model] for model in sorted(last)]


def _table(entries: list[Entry], live: list[Entry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("#", "model", "version", "", "recorded", "approver"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for entry in entries:
        state = "[green]live[/]" if entry in live else "[dim]was[/]"
        if entry.action == "rollback":
            state += " [yellow]rollback[/]"
        recorded = entry.recorded_at[5:16].replace("T", " ")
        table.add_row(
            str(entry.seq),
            entry.model,
            entry.version,
            state,
            recorded,
            entry.approver,
            evidence.figures(entry.evidence),
        )
    return table
