"""Events onto the streams, with the live view on screen until each has its outcome."""

import asyncio
import itertools
from collections.abc import Iterator

from rich.console import Console

from services.cli.contract import contracts
from services.cli.demo.cast import SHARES, TWICE, Sending, cast, records
from services.cli.demo.screen import live_view
from services.cli.problem import Problem
from services.cli.sending.draft import Record
from services.cli.sending.generate import generate
from services.cli.sending.intake import Options
from services.cli.sending.produce import produce
from services.cli.sending.settled import Tally, await_settled
from services.cli.stack import Stack

_RATE = 30.0  # events a second: slow enough to look at
_GENTLY = 2.0
_WITHIN = 180.0  # seconds for the last outcome


def stream(stack: Stack, console: Console, source: str, seed: int) -> list[Sending]:
    """Sends the demo's events and waits for their outcomes; returns what was sent.

    Raises:
        Problem: an event was not acknowledged, or has no outcome in time.
    """
    events = cast(source, seed)
    shares = ", ".join(f"{count} of {name}" for name, count in SHARES.items())
    console.print(
        f"{len(events)} events: {shares}; {TWICE} of them sent twice; {_odd(events)} that are wrong on purpose"
    )
    with live_view(stack, console):
        sent = produce(stack.settings.kafka, records(events), _RATE)
        tally = asyncio.run(await_settled(stack.settings.postgres, sent.places, _WITHIN))
    if sent.acknowledged < len(events) or tally.pending:
        lost = len(events) - sent.acknowledged
        raise Problem(f"{lost} events were not acknowledged, {tally.pending} have no outcome: see `tidemill status`")
    _report(tally, console)
    return events


def _odd(events: list[Sending]) -> int:
    return len(events) - sum(SHARES.values()) - TWICE


def _report(tally: Tally, console: Console) -> None:
    console.print(
        f"{tally.results} results, {tally.repeats} repeats answered with what was stored the first time, dead letters:"
    )
    for reason, number in sorted(tally.dead_letters.items()):
        console.print(f"  [red]{number} × {reason}[/]", highlight=False)


def stream_on(stack: Stack, console: Console, source: str) -> None:
    """A gentle stream of all domains, with the live view, until the person interrupts."""
    with live_view(stack, console):
        produce(stack.settings.kafka, records_for_ever(source), _GENTLY)


def records_for_ever(source: str) -> Iterator[Record]:
    """One event of each domain in turn, without end."""
    for seed in itertools.count():
        for name, contract in contracts().items():
            (draft,) = generate(contract, 1, seed, Options(source=f"{source}/{seed}"))
            yield from records([(name, draft)])
