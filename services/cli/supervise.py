"""The life of a supervisor's process: from its lock to its last child's end."""

import asyncio
import os
import signal
from collections.abc import Callable

from services.cli import stale, state
from services.cli.problem import Problem
from services.cli.supervisor import Supervisor, Wish


async def supervise(wish: Wish, ready_fd: int, say: Callable[[str], None]) -> None:
    """Brings the stack up, keeps it until SIGINT, SIGTERM or SIGHUP, and ends it.

    Args:
        ready_fd: gets the word ``ready`` once everything is; below 0: nobody waits for it.

    Raises:
        Problem: the stack did not come up, or another supervisor has it.
    """
    held = state.lock(wish.data)
    if held is None:
        raise Problem(f"another supervisor has just started in {wish.data}")
    if left := stale.sweep(wish.data):
        say(f"ended what an earlier supervisor left: {', '.join(left)}")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    supervisor = Supervisor(wish, say)
    rising, ending = asyncio.create_task(supervisor.up()), asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({rising, ending}, return_when=asyncio.FIRST_COMPLETED)
        if rising.done():
            rising.result()
            say(f"ready: {wish.data}/stack.env has the addresses")
            if ready_fd >= 0:
                os.write(ready_fd, b"ready")
                os.close(ready_fd)
            await ending
    finally:
        rising.cancel()
        await asyncio.gather(rising, return_exceptions=True)
        say("stopping")
        await supervisor.down()
        held.close()
