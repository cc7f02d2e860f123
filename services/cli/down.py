"""`tidemill down`: ends the local stack."""

import os
import signal
import time

import typer

from services.cli import stack, stale, state
from services.cli.problem import Problem

_WITHIN = 90.0  # s


def down(data: stack.Data = stack.DEFAULT) -> None:
    """End the local stack in order; its data stays, and the next `up` goes on from there.

    Example:  [bold]tidemill down --data /tmp/mill[/bold]
    """
    data = data.resolve()
    pid = state.supervisor(data)
    if pid is None:
        left = stale.sweep(data) if data.is_dir() else []
        typer.echo(f"no stack runs in {data}" + (f"; ended what was left of one: {', '.join(left)}" if left else ""))
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _WITHIN
    while state.supervisor(data) == pid:
        if time.monotonic() > deadline:
            raise Problem(
                f"supervisor {pid} has not ended in {_WITHIN:.0f} s; see {data}/logs, or end it with kill -9 {pid}"
            )
        time.sleep(0.1)
    typer.echo(f"the stack in {data} is down")
