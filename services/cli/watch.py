"""`tidemill watch`."""

import asyncio
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from services.cli.board.board import Board
from services.cli.board.view import View, plain
from services.cli.needs import stack_with
from services.cli.stack import DEFAULT, Data


def watch(
    every: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Between two drawings; of --plain: lines.")
    ] = 1,
    seconds: Annotated[float, typer.Option("--for", min=0, metavar="SECONDS", help="End by itself; 0: at Ctrl-C.")] = 0,
    as_lines: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a screen; so it is without a terminal.")
    ] = False,
    data: Data = DEFAULT,
) -> None:
    """Watch the streams live.

    For each domain: outcomes a second, the time from arrival to stored outcome
    (median and 95th percentile of the last 20 s), lag, and what was accepted and
    became of it; below, the latest decisions with why, and every process.

      tidemill watch
      tidemill watch --plain --every 10 | tee watch.log
    """
    board, console = Board(stack_with(data, "kafka", "postgres", "redis")), Console()
    with suppress(KeyboardInterrupt):
        asyncio.run(_watch(board, console, every, seconds or None, as_lines or not console.is_terminal))


async def _watch(board: Board, console: Console, every: float, seconds: float | None, as_lines: bool) -> None:
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(board.keep())
            await (_lines(board, every) if as_lines else _screen(board, console, every))
    except TimeoutError:
        return


async def _screen(board: Board, console: Console, every: float) -> None:
    with Live(View(board), console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.refresh()
            await asyncio.sleep(every)


async def _lines(board: Board, every: float) -> None:
    await board.measure()
    while True:
        for line in plain(board):
            typer.echo(line)
        await asyncio.sleep(every)
