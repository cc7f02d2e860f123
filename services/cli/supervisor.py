"""The process that brings a stack up, keeps it running, and ends it: from its lock to its last child's end."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.cli import stale, state
from services.cli.crew import Crew
from services.cli.problem import Problem


async def supervise(
    data: Path, rise: Callable[[Crew], Awaitable[None]], say: Callable[[str], None], ready_fd: int = -1
) -> None:
    """Brings the stack up by `rise`, keeps it until SIGINT, SIGTERM or SIGHUP, and ends it.

    Args:
        ready_fd: gets the word ``ready`` once everything is; below 0: nobody waits for it.

    Raises:
        Problem: the stack did not come up, or another supervisor has it.
    """
    held = state.lock(data)
    if held is None:
        raise Problem(f"another supervisor has just started in {data}")
    if left := stale.sweep(data):
        say(f"ended what an earlier supervisor left: {', '.join(left)}")
    crew = Crew(data, say)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    rising, ending = asyncio.ensure_future(rise(crew)), asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({rising, ending}, return_when=asyncio.FIRST_COMPLETED)
        if rising.done():
            rising.result()
            crew.phase = "ready"
            _announce(data, say, ready_fd)
            await ending
        else:
            raise Problem("stopped before the stack was ready")
    finally:
        for task in (rising, ending):
            task.cancel()
        await asyncio.gather(rising, ending, return_exceptions=True)
        say("stopping")
        await crew.stop()
        held.close()


def _announce(data: Path, say: Callable[[str], None], ready_fd: int) -> None:
    say(f"ready: {data}/stack.env has the addresses")
    if ready_fd >= 0:
        os.write(ready_fd, b"ready")
        os.close(ready_fd)
