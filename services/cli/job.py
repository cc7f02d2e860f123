"""A program that runs once and must succeed before the rest goes on."""

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path

from services.cli import child
from services.cli import log as logs
from services.cli.keeper import describe
from services.cli.part import Part
from services.cli.problem import Problem


async def run(part: Part, log: Path, say: Callable[[str], None], within: float = math.inf) -> None:
    """Runs it to its end, saying each line that it logs.

    Raises:
        Problem: it ended with another status than 0, or had not ended after `within` seconds.
    """
    seen = logs.size(log)
    process = child.start(part, log)

    def tell(line: str) -> None:
        say(f"{part.name}: {line}")

    deadline = time.monotonic() + within
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise Problem(f"{part.name} has not ended in {within:.0f} s; see {log}:\n{logs.tail(log)}")
            await asyncio.sleep(0.2)
            seen = logs.follow(log, seen, tell)
    finally:
        await asyncio.to_thread(child.stop, part, process)
    logs.follow(log, seen, tell)
    if process.returncode:
        raise Problem(f"{part.name} {describe(process.returncode)}; see {log}:\n{logs.tail(log)}")
