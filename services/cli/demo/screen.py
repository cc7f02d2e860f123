"""The live view beneath what the demo says, while something goes on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from services.cli.board.board import Board
from services.cli.board.view import View, plain
from services.cli.stack import Stack

_LINES = 10  # latest decisions shown
_EVERY = 5.0  # seconds between plain lines, where there is no terminal


@contextmanager
def live_view(stack: Stack, console: Console) -> Iterator[Board]:
    """The board, kept fresh and on screen until the block ends; where there is no terminal, as lines."""
    board = Board(stack)
    with _kept(board):
        if console.is_terminal:
            with Live(View(board, _LINES), console=console, refresh_per_second=4):
                yield board
        else:
            with _said(board, console):
                yield board


@contextmanager
def _kept(board: Board) -> Iterator[None]:
    """The board's reading, in a thread of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(board.keep())

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, name="board", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(timeout=15)


@contextmanager
def _said(board: Board, console: Console) -> Iterator[None]:
    ended = threading.Event()

    def say() -> None:
        while not ended.wait(_EVERY):
            for line in plain(board):
                console.print(line, highlight=False, soft_wrap=True)

    thread = threading.Thread(target=say, name="lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=_EVERY)
