"""`make chaos`: kill -9 at random, under load, and afterwards account for every event.

Each kill takes one process of the stack while a burst of events is in its hands. The time to the first new result is counted from the kill
to the moment at which Postgres shows the outcome of an event that was *sent after* the kill, through every door that the process serves:
a killed stream worker must answer by Kafka, a killed server by gRPC, killed inference by all three domains' streams (the slowest counts).
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import machine
from bench.doors import Doors
from bench.events import ROUTES, Door, Traffic
from bench.history import History
from bench.local import INFRASTRUCTURE, Local, running
from bench.outcomes import Watch
from bench.verdict import Verdict, verdict

LIMIT = 10.0  # s from a kill to the first new result
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
        self.traffic = Traffic(f"chaos/{order.seed}", order.seed)
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


async def storm(stack: Local, order: Order, console: Console) -> int:
    """Runs it and prints what came out; the exit status."""
    values = stack.values()
    addresses = {domain: values[f"TIDEMILL_{domain.upper()}"] for domain in ROUTES}
    source = f"chaos/{order.seed}"
    async with AsyncExitStack() as held:
        history = held.enter_context(History(stack.data / "history.jsonl"))
        doors = await held.enter_async_context(Doors(values["TIDEMILL_KAFKA"], addresses, history))
        seen = Watch(values["TIDEMILL_POSTGRES"], source, list(ROUTES), lambda key: history.add("seen", event=key.id))
        watch = await held.enter_async_context(seen)
        run = Storm(stack, order, doors, watch, history)
        await run.warm()
        began = time.monotonic()
        kills = await _kills(run, order, console)
        taken = await doors.rest(GIVE_UP)
        await watch.until(lambda: doors.planned.keys() <= watch.seen.keys(), GIVE_UP)
        lasted = time.monotonic() - began
        violations = [] if taken else [f"{doors.waiting} events were never accepted"]
        end = await verdict(stack, source, doors)
        violations += end.violations
        violations += [
            f"{kill.target}: first new result after {kill.seconds:.1f} s" for kill in kills if kill.seconds > LIMIT
        ]
        for violation in violations:
            history.add("violation", text=violation)
    _report(order, kills, violations, doors, end, lasted)
    console.print(f"history: {history.path}", highlight=False)
    return 1 if violations else 0


async def _kills(run: Storm, order: Order, console: Console) -> list[Kill]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    kills: list[Kill] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("kills", total=order.kills, last="")
        for number in range(order.kills):
            kill = await run.kill(number)
            kills.append(kill)
            said = f"{kill.target} {kill.seconds:.1f} s"
            progress.update(task, advance=1, last=said)
            if not console.is_terminal and (number % 10 == 9 or kill.seconds > LIMIT):
                console.print(f"{number + 1}/{order.kills} kills; last: {said}", highlight=False)
    return kills


def _report(
    order: Order, kills: Sequence[Kill], violations: Sequence[str], doors: Doors, end: Verdict, lasted: float
) -> None:
    for target in sorted({kill.target for kill in kills}):
        mine = [kill.seconds for kill in kills if kill.target == target]
        print(f"{target:16} {len(mine):3} kills, first new result after {machine.spread(mine, ' s')}")
    for said, times in sorted(doors.failed.items()):
        print(f"tried again {times} times after {said}")
    for violation in violations[:50]:
        print(f"VIOLATION {violation}")
    seconds = [kill.seconds for kill in kills]
    machine.result("chaos_seed", order.seed)
    machine.result("chaos_events", len(doors.planned))
    machine.result("chaos_outcomes", end.outcomes)
    machine.result("chaos_published_repeats", end.repeats)
    machine.result("chaos_kills", len(kills))
    machine.result("chaos_infrastructure_kills", sum(kill.target in INFRASTRUCTURE for kill in kills))
    machine.result("chaos_unsettled_at_kill_median", statistics.median(kill.unsettled for kill in kills))
    machine.result("chaos_first_result_median_s", statistics.median(seconds))
    machine.result("chaos_first_result_max_s", max(seconds))
    machine.result("chaos_seconds", lasted)
    machine.result("chaos_violations", len(violations))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="kill -9 at random under load")
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, help="default: a fresh one, printed")
    parser.add_argument(
        "--infrastructure", type=float, default=0.1, metavar="SHARE",
        help="share of the kills that hit Kafka, Postgres or Valkey instead of a service (default 0.1)",
    )  # fmt: skip
    parser.add_argument("--pace", type=float, default=4.5, help="seconds over which the events of one kill are spread")
    parser.add_argument("--data", type=Path, help="folder of the stack; default: a temporary one")
    given = parser.parse_args()
    if given.events < WARM + given.kills * 10 or given.kills < 1:
        parser.error(f"at least 10 events a kill and {WARM} before the first are needed")
    seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    order = Order(given.events, given.kills, seed, given.infrastructure, given.pace)
    data = given.data or Path(tempfile.mkdtemp(prefix="tidemill-chaos-"))
    console = Console(stderr=True, soft_wrap=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own client sees the broker die, which is the point
    print(machine.describe(seed), flush=True)
    console.print(f"starting a stack in {data}", highlight=False)
    with running(data.resolve()) as stack:
        sys.exit(asyncio.run(storm(stack, order, console)))


if __name__ == "__main__":
    main()
