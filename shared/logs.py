"""Logs of a process: one line an event, to stderr, and libraries kept from repeating themselves."""

import logging
import sys
import time

EVERY = 10.0  # seconds between two lines of one library module at one level
CHATTY = ("aiokafka", "faust", "mode", "shared.stream.offsets")  # the last: what Faust says through our consumer


class Sparing(logging.Filter):
    """Lets a chatty library's warnings through once in a while: a broker that is down is worth one line, not thirty a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(CHATTY):
            return True
        kind, now = (record.name, record.levelno), time.monotonic()
        if now - self._last.get(kind, -EVERY) < EVERY:
            return False
        self._last[kind] = now
        return True


def start() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sparing())
    logging.basicConfig(handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
