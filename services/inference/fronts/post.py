"""The process of one front: started, watched, and started again when it ends."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from services.inference.fronts.hall import Hall
from services.inference.fronts.link import Link
from services.inference.fronts.pipe import Kind
from shared.patience import pauses

log = logging.getLogger(__name__)

STEADY = 30.0  # seconds that a front must have lived for the next one to be started at once
SILENT = 60.0  # seconds without a word, after which a front is taken for hung
LOOK = 5.0  # seconds between two looks at that


class Post:
    """`keep` it manned until told to `leave`."""

    def __init__(self, number: int, environment: Mapping[str, str], hall: Hall) -> None:
        """environment: of the process, besides that of this one."""
        self._number, self._environment, self._hall = number, {**os.environ, **environment}, hall
        self._link: Link | None = None
        self._leaving = False

    def leave(self) -> None:
        """The front is to answer the calls in hand, and to end."""
        self._leaving = True
        if self._link is not None:
            self._link.pipe.send(Kind.LEAVE)

    async def keep(self) -> None:
        """Returns when the front has ended and was told to leave. One that ends of itself is followed by another."""
        waits = pauses()
        while not self._leaving:
            began = time.monotonic()
            try:
                status = await self._man()
            except Exception:  # whatever it is, such as a machine without another process for us, it may pass
                log.exception("front %d cannot be started", self._number)
            else:
                if self._leaving:
                    return
                log.error("front %d ended with status %d; another one is started", self._number, status)
            if time.monotonic() - began > STEADY:
                waits = pauses()
            await asyncio.sleep(next(waits))

    async def _man(self) -> int:
        """One process from its start to its end; its exit status."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-m", "services.inference.fronts", str(theirs.fileno()), str(self._number))
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, env=self._environment, pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL
                )
            except BaseException:
                ours.close()
                raise
        link = self._hall.link(partial(_kill, process))
        try:
            await link.connect(ours)
            self._link = link
            self._hall.enter(link)
            if self._leaving:
                self.leave()
            return await self._watch(process, link)
        finally:
            self._link = None
            _kill(process)
            await process.wait()

    async def _watch(self, process: asyncio.subprocess.Process, link: Link) -> int:
        ending = asyncio.ensure_future(process.wait())
        try:
            while not (await asyncio.wait([ending], timeout=LOOK))[0]:
                if time.monotonic() - link.heard > SILENT:
                    log.error("front %d has said nothing for %.0f s; it is ended", self._number, SILENT)
                    _kill(process)
            return ending.result()
        finally:
            ending.cancel()


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
