"""The parts that one supervisor keeps running, and what it says of them on disk."""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from services.cli import log as logs
from services.cli import state
from services.cli.keeper import Keeper
from services.cli.part import Part
from services.cli.problem import Problem

_REMIND = 5.0  # s between lines that say what is still awaited


class Crew:
    """Every part of the stack in folder `data`; needs a running event loop in the main thread.

    Args:
        say: takes a line for a person.
    """

    def __init__(self, data: Path, say: Callable[[str], None]) -> None:
        self.data = data
        self.say = say
        self._phase = "starting"
        self._keepers: list[Keeper] = []

    @property
    def phase(self) -> str:
        """``starting``, ``training``, ``ready`` or ``stopping``, as `tidemill status` shows it."""
        return self._phase

    @phase.setter
    def phase(self, phase: str) -> None:
        self._phase = phase
        self._show()

    def log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def start(self, part: Part) -> Keeper:
        """Keeps the part running from now on."""
        keeper = Keeper(part, self.log(part.name), self._show, self.say)
        self._keepers.append(keeper)
        keeper.start()
        return keeper

    async def ready(self, keepers: Iterable[Keeper], within: float) -> None:
        """Returns once all of them are ready, saying meanwhile which are and what is awaited.

        Raises:
            Problem: `within` seconds passed; says of each that is missing why, with the end of its log.
        """
        began = told = time.monotonic()
        waiting = list(keepers)
        while waiting:
            for keeper in [keeper for keeper in waiting if keeper.ready]:
                waiting.remove(keeper)
                self.say(
                    f"{keeper.part.name} is ready ({place(keeper.part.address)}, {time.monotonic() - began:.1f} s)"
                )
            now = time.monotonic()
            if waiting and now - began > within:
                raise Problem(
                    "\n".join(f"{_why(keeper)}; see {keeper.log}:\n{logs.tail(keeper.log)}" for keeper in waiting)
                )
            if waiting and now - told > _REMIND:
                told = now
                self.say("waiting for " + _group(waiting))
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Ends every part, after those that use it."""
        self.phase = "stopping"
        for layer in sorted({keeper.part.layer for keeper in self._keepers}):
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers if keeper.part.layer == layer))
        state.forget(self.data)

    def _show(self) -> None:
        state.show(self.data, self._phase, self._keepers)


def place(address: str) -> str:
    """An address without the password in it."""
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _why(keeper: Keeper) -> str:
    often = f", started {keeper.restarts + 1} times" if keeper.restarts else ""
    return f"{keeper.part.name} ({keeper.missing}{often})"


def _group(keepers: Iterable[Keeper]) -> str:
    """Names by what they lack."""
    lacking: dict[str, list[str]] = {}
    for keeper in keepers:
        lacking.setdefault(keeper.missing, []).append(keeper.part.name)
    return "; ".join(f"{', '.join(names)} ({missing})" for missing, names in lacking.items())
