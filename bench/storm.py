"""One storm: load, kills in the middle of it, and how long each silence lasted.

Each kill takes one process of the stack while a burst of events is in its hands. The time to the first new result is counted from the kill
to the moment at which Postgres shows the outcome of an event that was *sent after* the kill, through every door that the process serves:
a killed stream worker must answer by Kafka, a killed server by gRPC, killed inference by all three domains' streams (the slowest counts).
"""

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass, field

from bench.doors import Doors
from bench.events import ROUTES, Door, Traffic
from bench.history import History
from bench.local import INFRASTRUCTURE, Local
from bench.outcomes import Watch

GIVE_UP = 60.0  # s after which a kill counts as never recovered from
WARM = 40  # events before the first kill; feedback judges them
BURST = 0.4  # share of a kill's events that are offered just before it, half of them to the process that is killed
AIM = 0.15  # s after the burst within which the kill comes

Way = tuple[str, Door]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    events: int
    kills: int
    seed: int
    infrastructure: float = 0.1  # share of kills that hit Kafka, Postgres or Valkey
    pace: float = 4.5  # s over which a kill's events are spread
    source: str = field(
        default_factory=lambda: f"chaos/{time.time_ns()}"
    )  # of its events, in a stack that may hold others


@dataclass(frozen=True, slots=True)
class Kill:
    target: str
    seconds: float  # to the first new result
    unsettled: int  # events offered and without an outcome at the moment of the kill


def ways(target: str) -> list[Way]:
    """The doors that must answer again before the kill of `target` counts as survived."""
    domain, _, role = target.rpartition("-")
    if role == "stream":
        return [(domain, "kafka")]
    if role == "serve":
        return [(domain, "grpc")]
    if target == "inference":
        return [(name, "kafka") for name in ROUTES if name != "feedback"]
    return [(name, "kafka") for name in ROUTES]


class Storm:
    """One run: load, kills, measurements."""

    def __init__(self, stack: Local, order: Order, doors: Doors, watch: Watch, history: History) -> None:
        self._stack = stack
        self._order = order
        self._doors = doors
        self._watch = watch
        self._history = history
        self._chance = random.Random(f"storm/{order.seed}")
        self.traffic = Traffic(order.source, order.seed)
        self._services = stack.services()
        self._killed: dict[str, int] = {}

    async def warm(self) -> None:
        """The first events, all intents: afterwards there are predictions to judge."""
        planned = [self.traffic.draw("intent") for _ in range(WARM)]
        for each in planned:
            self._doors.send(each)
        if not await self._watch.until(lambda: all(each.key in self._watch.seen for each in planned), GIVE_UP):
            raise RuntimeError(
                f"the stack in {self._stack.data} does not answer before anything was killed; see its logs"
            )
        self.traffic.judged = [each.key for each in planned if not each.reason]

    async def kill(self, number: int) -> Kill:
        """One kill with its share of the events."""
        order = self._order
        left = order.events - WARM
        share = left * (number + 1) // order.kills - left * number // order.kills
        target = self._choose()
        burst, mine = int(share * BURST), ways(target)
        for i in range(burst):
            self._doors.send(self.traffic.draw(*mine[i // 2 % len(mine)]) if i % 2 else self.traffic.draw())
        await asyncio.sleep(self._chance.random() * AIM)
        unsettled = len(self._doors.begun) - len(self._watch.seen)
        at = await self._strike(target)
        await asyncio.gather(self._load(target, share - burst), self._recover(target, at))
        seconds = self._first(target, at)
        self._history.add("recovered", target=target, seconds=round(seconds, 3), unsettled=unsettled)
        return Kill(target, seconds, unsettled)

    def _choose(self) -> str:
        if self._chance.random() < self._order.infrastructure:
            return self._chance.choice(sorted(INFRASTRUCTURE))
        return self._chance.choice(self._services)

    async def _strike(self, target: str) -> float:
        """Kills the process that runs now under this name, never one that is dead already."""
        deadline = time.monotonic() + GIVE_UP
        while (pid := self._stack.processes().get(target)) is None or pid == self._killed.get(target):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{target} was not started again within {GIVE_UP:.0f} s")
            await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        at = time.time()
        self._killed[target] = pid
        self._history.add("kill", target=target, pid=pid)
        return at

    async def _load(self, target: str, count: int) -> None:
        """The events after the kill: one through each door in question at once, the others over the pace; one more now and then."""
        probes = ways(target)
        for i in range(count):
            if i < len(probes) or i % 10 == 0:
                self._doors.send(self.traffic.draw(*probes[i % len(probes)]))
            else:
                self._doors.send(self.traffic.draw())
            if i >= len(probes):
                await asyncio.sleep(self._order.pace / count)

    async def _recover(self, target: str, at: float) -> None:
        await self._watch.until(lambda: self._first(target, at) < float("inf"), GIVE_UP)

    def _first(self, target: str, at: float) -> float:
        """Seconds from the kill until the slowest of its ways had its first new result; infinite before."""
        return max(self._answered(way, at) for way in ways(target)) - at

    def _answered(self, way: Way, at: float) -> float:
        doors = self._doors
        moments = (
            seen
            for key, seen in self._watch.seen.items()
            if key.domain == way[0] and doors.planned[key].door == way[1] and doors.begun[key] > at
        )
        return min(moments, default=float("inf"))
