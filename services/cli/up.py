"""`tidemill up`: starts the local stack, here or as a process of its own."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli import log as logs
from services.cli import stack, state
from services.cli.problem import Problem
from services.cli.rise import Wish, rise
from services.cli.supervisor import supervise


def up(
    data: stack.Data = stack.DEFAULT,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once all is ready; end it with `tidemill down`.")
    ] = False,
    starters: Annotated[
        bool, typer.Option("--starters/--no-starters", help="Train the starter models where none is live yet.")
    ] = True,
    within: Annotated[float, typer.Option(help="Seconds that the processes may take to be ready.")] = 300,
    ready_fd: Annotated[int, typer.Option(hidden=True)] = -1,
) -> None:
    """Start the local stack: Kafka, Postgres, Valkey, inference, and every domain; no Docker, no root.

    What TIDEMILL_KAFKA, TIDEMILL_POSTGRES, TIDEMILL_REDIS or TIDEMILL_INFERENCE name is used instead of being started.
    The first start fetches Kafka (45 MB) and trains the starter models (minutes); later ones take seconds. Everything but Kafka
    itself (~/.cache/tidemill) lives in one folder; addresses are in DIR/stack.env, pids in DIR/processes.json, logs in DIR/logs. A part
    that dies is started again.

    Examples:  [bold]tidemill up[/bold] (Ctrl-C ends it)   [bold]tidemill up --detach --data /tmp/mill[/bold]
    """
    data = data.resolve()
    if (running := state.supervisor(data)) is not None and ready_fd < 0:
        _say_running(data, running)
        return
    if detach:
        _detach(data, starters, within)
        return
    console = Console(soft_wrap=True)
    wish = Wish(data, starters, within)
    say = partial(console.print, highlight=False, markup=False)
    asyncio.run(supervise(data, partial(rise, wish), say, ready_fd))


def _say_running(data: Path, pid: int) -> None:
    phase = state.read(data).get("phase", "starting")
    if phase != "ready":
        raise Problem(f"a stack is {phase} in {data} already (supervisor {pid}); see `tidemill status --data {data}`")
    typer.echo(f"the stack in {data} is running already (supervisor {pid}); `tidemill down --data {data}` ends it")


def _detach(data: Path, starters: bool, within: float) -> None:
    """Starts the supervisor as a process of its own, and repeats what it says until it is ready."""
    log = data / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "services.cli", "up", "--data", str(data), "--within", str(within)]
    command += ["--starters" if starters else "--no-starters", "--ready-fd", str(write_end)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(write_end,),
        )
    os.close(write_end)
    try:
        ready = _follow(log, read_end)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise Problem("stopped before the stack was ready; nothing is left running") from None
    if not ready:
        raise Problem(f"the stack did not come up; see {log}")


def _follow(log: Path, ready: int) -> bool:
    os.set_blocking(ready, False)
    seen = 0
    while True:
        word = None
        with suppress(BlockingIOError):
            word = os.read(ready, 16)
        seen = logs.follow(log, seen, typer.echo)
        if word is not None:  # said, or ended without a word
            return word == b"ready"
        time.sleep(0.1)
