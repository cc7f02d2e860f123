"""One process that starts the local stack, keeps every part of it running, and ends it in order."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path

from services.cli import counts, job, parts, stack, state, topics
from services.cli.contract import contracts
from services.cli.keeper import Keeper
from services.cli.log import tail
from services.cli.part import Part
from services.cli.problem import Problem

_REMIND = 5.0  # s between lines that say what is still awaited


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for."""

    data: Path
    starters: bool = True  # train the starter models where none is live
    within: float = 300  # s that all processes may take to be ready, training not counted


class Supervisor:
    """Call `up`, then wait, then `down`; all in one event loop, in the main thread."""

    def __init__(self, wish: Wish, say: Callable[[str], None]) -> None:
        self._wish = wish
        self._data = wish.data
        self._say = say
        self._keepers: list[Keeper] = []
        self._phase = "starting"
        self._values = {**parts.folders(self._data), **parts.external(self._data)}

    async def up(self) -> None:
        """Returns once everything is ready and DIR/stack.env is written.

        Raises:
            Problem: something did not come up; says what, why, and where its log is.
        """
        external = parts.external(self._data)
        for name, value in external.items():
            self._say(f"using {name.removeprefix(stack.PREFIX).lower()} at {place(value)}, as {name} says")
        await _together(*(self._serve(name) for name in parts.SERVERS if name not in external))
        await _together(self._migrate(), self._provision())
        if self._wish.starters:
            await self._train()
        listening = parts.addresses(self._data)
        self._values = {"TIDEMILL_INFERENCE": listening["inference"], **self._values, **parts.variables(listening)}
        own = "TIDEMILL_INFERENCE" not in external
        keepers = [self._add(part) for part in parts.processes(self._data, self._values, listening, own)]
        self._say(f"starting {len(keepers)} processes of Tidemill")
        await self._await(keepers, self._wish.within)
        self._write_env()
        self._phase = "ready"
        self._show()

    async def down(self) -> None:
        """Ends every part, those that use others first."""
        self._phase = "stopping"
        servers = [keeper for keeper in self._keepers if keeper.part.name in {"kafka", "postgres", "valkey"}]
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers if keeper not in servers))
        await asyncio.gather(*(keeper.stop() for keeper in servers))
        state.forget(self._data)

    async def _serve(self, variable: str) -> None:
        name, prepare = parts.SERVERS[variable]
        self._say(f"starting {name}")
        try:
            part = await asyncio.to_thread(prepare, self._data / name, self._say)
        except (ModuleNotFoundError, RuntimeError, OSError) as error:
            raise Problem(f"{name}: {error}") from error
        self._values[variable] = part.address
        await self._await([self._add(part)], 120)

    async def _migrate(self) -> None:
        self._say("bringing the database schema up to date")
        command = (sys.executable, "-m", "shared.store", "migrate")
        await job.run(self._job("migrate", command), self._log("migrate"), lambda line: None)

    async def _provision(self) -> None:
        self._say("making the topics")
        await asyncio.to_thread(topics.provision, stack.Stack(self._data, self._values).settings, topics.topics())

    async def _train(self) -> None:
        live = await counts.live_models(stack.Stack(self._data, self._values).settings)
        missing = sorted(set(contracts()) - live)
        if not missing:
            return
        self._phase = "training"
        self._say(
            f"no live model for {', '.join(missing)}: training the starters, once (minutes; --no-starters skips it)"
        )
        command = (sys.executable, "-m", "services.training", "starters")
        await job.run(self._job("starters", command), self._log("starters"), self._say)
        self._phase = "starting"

    def _job(self, name: str, command: tuple[str, ...]) -> Part:
        return Part(name, command, "", lambda: "", dict(self._values))

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"

    def _add(self, part: Part) -> Keeper:
        keeper = Keeper(part, self._log(part.name), self._show, self._say)
        self._keepers.append(keeper)
        keeper.start()
        return keeper

    def _show(self) -> None:
        state.show(self._data, self._phase, self._keepers)

    async def _await(self, keepers: Iterable[Keeper], within: float) -> None:
        began = told = time.monotonic()
        waiting = list(keepers)
        while waiting:
            for keeper in [keeper for keeper in waiting if keeper.ready]:
                waiting.remove(keeper)
                self._say(
                    f"{keeper.part.name} is ready ({place(keeper.part.address)}, {time.monotonic() - began:.1f} s)"
                )
            now = time.monotonic()
            if waiting and now - began > within:
                raise Problem(
                    "\n".join(f"{self._why(keeper)}; see {keeper.log}:\n{tail(keeper.log)}" for keeper in waiting)
                )
            if waiting and now - told > _REMIND:
                told = now
                self._say("waiting for " + "; ".join(self._why(keeper) for keeper in waiting))
            await asyncio.sleep(0.05)

    def _why(self, keeper: Keeper) -> str:
        often = f", started {keeper.restarts + 1} times" if keeper.restarts else ""
        return f"{keeper.part.name} ({keeper.missing}{often})"

    def _write_env(self) -> None:
        text = "".join(f"{name}={value}\n" for name, value in sorted(self._values.items()))
        stack.write(stack.env_file(self._data), text)


async def _together(*tasks: Coroutine[None, None, None]) -> None:
    """Runs them at the same time; the first problem ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except* Problem as problems:
        raise problems.exceptions[0] from None


def place(address: str) -> str:
    """An address without the password in it."""
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
