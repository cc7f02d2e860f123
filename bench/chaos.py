"""`make chaos`: kill -9 at random, under load, and afterwards account for every event. What is measured: `bench.storm`."""

import argparse
import asyncio
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import machine
from bench.doors import Doors
from bench.events import ROUTES
from bench.history import History
from bench.local import INFRASTRUCTURE, Local, running
from bench.outcomes import Watch
from bench.storm import GIVE_UP, WARM, Kill, Order, Storm
from bench.verdict import Verdict, verdict

LIMIT = 10.0  # s from a kill to the first new result


async def storm(stack: Local, order: Order, console: Console) -> int:
    """Runs it and prints what came out; the exit status."""
    values = stack.values()
    addresses = {domain: values[f"TIDEMILL_{domain.upper()}"] for domain in ROUTES}
    async with AsyncExitStack() as held:
        history = held.enter_context(History(stack.data / "history.jsonl"))
        doors = await held.enter_async_context(Doors(values["TIDEMILL_KAFKA"], addresses, history))
        seen = Watch(
            values["TIDEMILL_POSTGRES"], order.source, list(ROUTES), lambda key: history.add("seen", event=key.id)
        )
        watch = await held.enter_async_context(seen)
        run = Storm(stack, order, doors, watch, history)
        await run.warm()
        began = time.monotonic()
        kills = await _kills(run, order, console)
        taken = await doors.rest(GIVE_UP)
        await watch.until(lambda: doors.planned.keys() <= watch.seen.keys(), GIVE_UP)
        lasted = time.monotonic() - began
        violations = [] if taken else [f"{doors.waiting} events were never accepted"]
        end = await verdict(stack, order.source, doors)
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
