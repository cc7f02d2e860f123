"""kill -9 of every service, three times, while events are in hand."""

import asyncio
import os
import signal
import time
from pathlib import Path

from bench.doors import Doors
from bench.events import ROUTES, Traffic
from bench.history import History
from bench.local import Local
from bench.outcomes import Watch
from bench.storm import ways
from bench.verdict import verdict
from tests.whole.sending import PATIENCE, new_source

ROUNDS = 3


async def test_every_service_killed_three_times_under_load(stack: Local, tmp_path: Path) -> None:
    """No event is lost or stored twice, each killed service answers again through its own door, and the books balance."""
    values, source = stack.values(), new_source()
    addresses = {domain: values[f"TIDEMILL_{domain.upper()}"] for domain in ROUTES}
    traffic = Traffic(source, seed=3)
    with History(tmp_path / "history.jsonl") as history:
        async with (
            Doors(values["TIDEMILL_KAFKA"], addresses, history) as doors,
            Watch(values["TIDEMILL_POSTGRES"], source, list(ROUTES)) as watch,
        ):
            first = [traffic.draw("intent") for _ in range(20)]
            for each in first:
                doors.send(each)
            assert await watch.until(lambda: all(each.key in watch.seen for each in first), PATIENCE)
            traffic.judged = [each.key for each in first if not each.reason]
            for _ in range(ROUNDS):
                for service in stack.services():
                    await kill(stack, service, traffic, doors)
                await answer_again(stack, traffic, doors, watch)
            assert await doors.rest(PATIENCE), f"{doors.waiting} events were never accepted"
            await watch.until(lambda: doors.planned.keys() <= watch.seen.keys(), PATIENCE)
            end = await verdict(stack, source, doors)
    assert end.violations == []
    assert end.outcomes == len(doors.planned)


async def kill(stack: Local, service: str, traffic: Traffic, doors: Doors) -> None:
    """A burst of events, and the process dies in the middle of it; others may be on their way up still."""
    for _ in range(12):
        doors.send(traffic.draw())
    for way in ways(service):
        doors.send(traffic.draw(*way))
    deadline = time.monotonic() + PATIENCE
    while (pid := stack.processes().get(service)) is None:
        assert time.monotonic() < deadline, f"{service} was not started again"
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.02 * (pid % 7))
    os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(0.3)


async def answer_again(stack: Local, traffic: Traffic, doors: Doors, watch: Watch) -> None:
    """Every door of every service has an outcome for an event that was sent after the last kill."""
    probes = [traffic.draw(*way) for way in {way for service in stack.services() for way in ways(service)}]
    for probe in probes:
        doors.send(probe)
    assert await watch.until(lambda: all(probe.key in watch.seen for probe in probes), PATIENCE), [
        f"{probe.key.domain} by {probe.door}" for probe in probes if probe.key not in watch.seen
    ]
