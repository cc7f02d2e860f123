"""What the demo came to: for a person as a table, for a program as RESULT lines."""

import time
from collections.abc import Mapping
from dataclasses import fields

from rich.console import Console
from rich.table import Table

from services.cli.counts import Counts, count
from services.cli.problem import Problem
from shared.settings import Settings

_SHOWN = ("accepted", "results", "dead_letters", "repeats", "refused", "returned", "pending")


def settled(before: Mapping[str, Counts], settings: Settings, within: float = 30) -> dict[str, Counts]:
    """By how much the counts have grown, once nothing is pending. Servers note the calls that they took every few seconds."""
    deadline = time.monotonic() + within
    changes = grown(before, count(settings))
    while any(row.pending for row in changes.values()) and time.monotonic() < deadline:
        time.sleep(0.5)
        changes = grown(before, count(settings))
    return changes


def grown(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, Counts]:
    """By how much each domain's counts grew; its lag is what it is now."""
    names = [field.name for field in fields(Counts) if field.name != "lag"]
    return {
        domain: Counts(lag=row.lag, **{name: getattr(row, name) - getattr(before[domain], name) for name in names})
        for domain, row in after.items()
    }


def show_counts(counts: Mapping[str, Counts], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("domain", style="bold")
    for column in _SHOWN:
        table.add_column(column.replace("_", " "), justify="right")
    for domain, row in counts.items():
        table.add_row(domain, *(f"{getattr(row, column):,}" for column in _SHOWN))
    console.print(table)


def totals(counts: Mapping[str, Counts]) -> dict[str, int]:
    """The sums over the domains; judgements are counted apart, as `feedback`.

    Raises:
        Problem: events are missing or were counted twice.
    """
    rows = [row for domain, row in counts.items() if domain != "feedback"]
    found = {name: sum(getattr(row, name) for row in rows) for name in _SHOWN}
    found["feedback"] = counts["feedback"].results
    if pending := {domain: row.pending for domain, row in counts.items() if row.pending}:
        raise Problem(f"not every event has exactly one outcome: {pending} pending; see `tidemill status`")
    return {"events_accepted": found.pop("accepted"), **found}


def show_results(values: Mapping[str, object], console: Console) -> None:
    """One line each, which a program can read."""
    for name, value in values.items():
        console.print(f"RESULT {name}={value}", highlight=False, soft_wrap=True, markup=False)
