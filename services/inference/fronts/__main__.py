"""`python -m services.inference.fronts DESCRIPTOR NUMBER`, started by the process with the device."""

import logging
import socket
import sys

import uvloop

from services.inference.fronts.front import Front
from shared import telemetry
from shared.settings import Settings


def main(descriptor: int, number: int) -> int:
    """descriptor: of this front's end of the pipe. Exit status 1 where the other end was lost."""
    form = f"%(asctime)s %(levelname)s %(name)s front {number}: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)
    settings = Settings()
    telemetry.start("inference", f"{settings.instance}/front-{number}")
    try:
        orderly = uvloop.run(Front(settings).run(socket.socket(fileno=descriptor)))
    finally:
        telemetry.stop()
    return 0 if orderly else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
