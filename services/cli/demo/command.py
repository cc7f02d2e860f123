"""`tidemill demo`."""

import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from services.cli import counts
from services.cli.demo import lesson, summary
from services.cli.demo.answers import show_answers
from services.cli.demo.stage import act, raised
from services.cli.demo.streaming import stream, stream_on
from services.cli.demo.teaching import teach
from services.cli.problem import Problem
from services.cli.stack import DEFAULT, Data, Stack


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End with the summary; else go on streaming until Ctrl-C.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the events that are made up.")] = 1,
    data: Data = DEFAULT,
) -> None:
    """Run the main job before your eyes, on this machine.

    Starts the stack (the first time: fetches Kafka and trains the starter
    models, minutes), streams events of every domain, shows answers with why, lets
    people correct a confusion, retrains, and shows the changed answer, without a
    restart. What it started, it ends. Exit status 1 if anything did not work.

      tidemill demo
      tidemill demo --once --data /tmp/mill
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console, began = Console(), time.monotonic()
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    act(console, 1, "The stack")
    with raised(data, console) as stack:
        values = play(stack, console, f"demo/{run}", seed)
        summary.show_results({**values, "seconds": round(time.monotonic() - began)}, console)
        if values["answer_after"] != lesson.LABEL:
            raise Problem("the corrections did not change the answer")
        if not once:
            console.print("\nstreaming on, gently; Ctrl-C ends it")
            with suppress(KeyboardInterrupt):
                stream_on(stack, console, f"demo/{run}")


def play(stack: Stack, console: Console, source: str, seed: int) -> Mapping[str, object]:
    """Every act on a running stack; returns what the summary says."""
    before = counts.count(stack.settings)
    act(console, 2, "Events in, answers out")
    events = stream(stack, console, source, seed)
    act(console, 3, "What, how sure, and why: the same events by gRPC")
    show_answers(stack, console, events)
    learned = teach(stack, console, source)
    act(console, 7, "Nothing lost, nothing twice")
    changes = summary.settled(before, stack.settings)
    summary.show_counts(changes, console)
    return {**summary.totals(changes), **learned}
