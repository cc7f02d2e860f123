"""Keeps one part running: starts it, asks whether it is ready, starts it again when it ends."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from services.cli import child
from services.cli.part import Part

_LOOK = 0.05  # s between looks at whether the process still runs
_PROBE = 0.2  # s between probes of one that is not ready
_PROBE_READY = 2.0  # s between probes of one that is
_QUICK = 3  # ends in a row after which it is started again at once
_SLOWEST = 10.0  # s to wait at most before another start
_SETTLED = 10.0  # s after which a process counts as having worked, ready or not


class Keeper:
    """One part and the process that runs it now.

    Args:
        changed: called whenever `pid`, `ready`, `missing` or `restarts` have another value.
        say: takes a line for a person.
    """

    def __init__(self, part: Part, log: Path, changed: Callable[[], None], say: Callable[[str], None]) -> None:
        self.part = part
        self.log = log
        self.ready = False
        self.missing = "it is not started"
        self.restarts = 0
        self._changed = changed
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begins to keep the part; needs a running event loop in the main thread, whose end would end the process."""
        self._task = asyncio.create_task(self._keep(), name=self.part.name)

    async def stop(self) -> None:
        """Ends the process in order and keeps it ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            if not await asyncio.to_thread(child.stop, self.part, self._process):
                self._say(f"{self.part.name} had not ended after {self.part.grace:.0f} s, and was killed")
            self._process = None
        self._show(ready=False, missing="it is stopped")

    async def _keep(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            worked, ending = await self._run()
            failures = 0 if worked or time.monotonic() - began > _SETTLED else failures + 1
            pause = backoff(failures)
            self.restarts += 1
            self._show(ready=False, missing=f"it {ending}", always=True)
            self._say(f"{self.part.name} {ending}; starting it again" + (f" in {pause:.1f} s" if pause >= 1 else ""))
            await asyncio.sleep(pause)

    async def _run(self) -> tuple[bool, str]:
        """One life of the process: whether it was ever ready, and how it ended."""
        self._process = child.start(self.part, self.log)
        self._show(ready=False, missing="it is starting", always=True)
        worked = await self._watch(self._process)
        child.kill_group(self._process.pid)  # what the process had started, and left
        ending = describe(self._process.returncode)
        self._process = None
        return worked, ending

    async def _watch(self, process: subprocess.Popen[bytes]) -> bool:
        """Returns when the process has ended: whether it had been ready."""
        probing = asyncio.create_task(self._ask())
        worked = False
        try:
            while process.poll() is None:
                worked = worked or self.ready
                await asyncio.sleep(_LOOK)
        finally:
            probing.cancel()
        return worked

    async def _ask(self) -> None:
        while True:
            missing = await asyncio.to_thread(self.part.probe)
            self._show(ready=not missing, missing=missing)
            await asyncio.sleep(_PROBE if missing else _PROBE_READY)

    def _show(self, *, ready: bool, missing: str, always: bool = False) -> None:
        if always or (ready, missing) != (self.ready, self.missing):
            self.ready, self.missing = ready, missing
            self._changed()


def backoff(failures: int) -> float:
    """Seconds before the next start: at once for what had worked, doubling to 10 s for what never does."""
    doublings = min(max(0, failures - _QUICK), 7)
    return min(0.1 * 2.0**doublings, _SLOWEST) if failures else 0.05


def describe(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
