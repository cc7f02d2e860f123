"""Runs the real supervisor over two small listeners: `small_stack.py DIR READY_FD`."""

import asyncio
import socket
import sys
from functools import partial
from pathlib import Path

from services.cli import stack
from services.cli.crew import Crew
from services.cli.local import port
from services.cli.part import Part
from services.cli.supervisor import supervise

LISTENER = Path(__file__).with_name("listener.py")


def listener(name: str, *words: str) -> Part:
    """A part that is ready once it listens."""
    number = port.free()

    def probe() -> str:
        try:
            socket.create_connection(("127.0.0.1", number), 0.5).close()
        except OSError:
            return "nothing listens"
        return ""

    return Part(name, (sys.executable, "-S", str(LISTENER), str(number), *words), f"127.0.0.1:{number}", probe)


async def rise(crew: Crew) -> None:
    await crew.ready([crew.start(listener(name)) for name in ("one", "two")], 60)
    stack.write(stack.env_file(crew.data), "TIDEMILL_KAFKA=nowhere:1\n")


if __name__ == "__main__":
    asyncio.run(supervise(Path(sys.argv[1]), rise, partial(print, flush=True), int(sys.argv[2])))
