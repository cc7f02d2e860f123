"""Ends a process that no longer moves, saying why: nothing was committed, so nothing is lost, and its successor goes on."""

import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


def exit_at_once() -> None:
    logging.shutdown()
    os._exit(1)


class Watchdog:
    """A thread, so that it also sees a blocked event loop. Each watched name must `beat` before its limit is over.

    Args:
        end: how the process ends; tests put something gentler here.
    """

    def __init__(self, end: Callable[[], None] = exit_at_once, every: float = 1.0) -> None:
        self._limits: dict[str, float] = {}
        self._beats: dict[str, float] = {}
        self._end = end
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def watch(self, name: str, limit: float) -> None:
        """From now on `name` must beat at least every `limit` seconds."""
        self._beats[name] = time.monotonic()
        self._limits[name] = limit

    def beat(self, name: str) -> None:
        self._beats[name] = time.monotonic()

    def forget(self, name: str) -> None:
        self._limits.pop(name, None)

    def _watch(self) -> None:
        while not self._stopped.wait(self._every):
            now = time.monotonic()
            for name, limit in list(self._limits.items()):
                silent = now - self._beats[name]
                if silent > limit:
                    log.critical(
                        "no progress of %s for %.0f s (limit %.0f s): ending this process; nothing unfinished was committed",
                        name, silent, limit,
                    )  # fmt: skip
                    self._end()
                    return
