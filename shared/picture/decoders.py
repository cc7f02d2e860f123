"""A few limited child processes that decode: a bomb or a decoder's crash costs one image and one child, never the worker.

The children persist, so that an image pays for two copies through a pipe, not for a start of Python.
"""

import asyncio
import logging
import queue
from concurrent.futures import ThreadPoolExecutor

from shared.errors import Reject
from shared.picture.parent import Died, Parent
from shared.picture.picture import Picture
from shared.picture.pipe import Limits

TRIES = 3  # a child may also have been killed from outside: an image is to blame only if it brings down several

log = logging.getLogger(__name__)


class Decoders:
    """At most `size` images are decoded at once; the rest wait.

    `await decoders.read(data)` may be called from any event loop: threads speak to the children. A context manager, which closes.
    """

    def __init__(self, size: int = 2, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="decoder")
        self._idle: queue.SimpleQueue[Parent] = queue.SimpleQueue()

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def read(self, data: bytes) -> Picture:
        """The picture that the bytes hold.

        Raises:
            Reject: see `shared.picture.reading.read`; also ``IMAGE_DECODE_TIMEOUT``, ``IMAGE_DECODE_FAILED`` when decoders crash on
                it, and ``IMAGE_TOO_LARGE`` when one needs more memory than it may have.
            Unavailable: no child can be started, or it gets no processor time.
        """
        held = [data]
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, held)
        finally:
            held.clear()  # a caller who has left: its call waits in the pool's queue until a thread is free, its image need not

    def close(self) -> None:
        """Ends the children, after those at work have answered."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().end()

    def _read(self, held: list[bytes]) -> Picture:
        [data] = held
        for attempt in range(1, TRIES + 1):
            child = self._take(fresh=attempt > 1)
            try:
                return child.read(data)
            except Died as died:
                log.warning("an image decoder ended (%s), attempt %d of %d", died, attempt, TRIES)
            finally:
                if child.alive:
                    self._idle.put(child)
                else:
                    child.end()
        raise Reject("IMAGE_DECODE_FAILED", f"{TRIES} decoders in a row ended while they read the image", "image")

    def _take(self, fresh: bool) -> Parent:
        if not fresh:
            try:
                return self._idle.get_nowait()
            except queue.Empty:
                pass
        return Parent(self._limits)
