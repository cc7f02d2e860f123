"""Passes side by side, with a device that is not one: it notes on how many cores it was asked, and waits to be told to end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.inference import engine as engines
from services.inference.engine import Engine
from services.inference.units import Unit
from tests.inference.test_engine import call, work

CORES = 4
ALONE = 3  # cores of a lone pass: its thread and two helpers, beside the other thread and its one


@dataclass(eq=False)
class Device:
    """`passes`: what each computed, by the thread that made it; they end one for each release of `ends`."""

    budget: int = 100
    ends: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    passes: list[tuple[str, list[Any]]] = field(default_factory=list)
    precision: str = "fp32"

    def run(self, units: Sequence[Unit]) -> list[Any]:
        payloads = [unit.payload for unit in units]
        self.passes.append((threading.current_thread().name, payloads))
        assert self.ends.acquire(timeout=30)
        return payloads

    def padding(self, units: Sequence[Unit]) -> int:
        return 0

    def proven(self, payload: Any) -> Any:
        return payload

    async def begun(self, count: int) -> None:
        """Until so many passes have."""
        async with asyncio.timeout(30):
            while len(self.passes) < count:  # noqa: ASYNC110 - other threads append to it
                await asyncio.sleep(0.001)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of cores that passes were given, in order."""
    given: list[int] = []
    monkeypatch.setattr(engines, "use_cores", given.append)
    return given


@pytest.fixture
async def engine(asked: list[int]) -> AsyncIterator[Engine]:
    made = Engine()
    made.start()
    made.share(CORES)
    yield made
    await made.stop()


async def test_what_waits_is_divided_among_two_passes_side_by_side(engine: Engine, asked: list[int]) -> None:
    """Each on half of the cores; every row is answered in its place."""
    device = Device()
    task = asyncio.create_task(engine.compute(work(device, *range(100)), call()))
    await device.begun(2)
    assert {name for name, _ in device.passes} == {"device-0", "device-1"}
    assert [len(payloads) for _, payloads in device.passes] == [50, 50]
    assert asked == [CORES // 2] * 2
    device.ends.release(2)
    assert (await task).results == list(range(100))


async def test_a_pass_that_is_alone_has_all_cores(engine: Engine, asked: list[int]) -> None:
    """What comes meanwhile waits for it to end, and is then made side by side; when that is done, the next lone one has all again."""
    device = Device()
    first = asyncio.create_task(engine.compute(work(device, 0), call()))
    await device.begun(1)
    others = [asyncio.create_task(engine.compute(work(device, *range(40)), call())) for _ in range(2)]
    while engine.waiting < 80:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)
    assert len(device.passes) == 1
    device.ends.release()
    await first
    await device.begun(3)
    device.ends.release(2)
    await asyncio.gather(*others)
    device.ends.release()
    await engine.compute(work(device, 0), call())
    assert asked == [ALONE, CORES // 2, CORES // 2, ALONE]


async def test_only_the_first_thread_ever_has_all_cores(engine: Engine, asked: list[int]) -> None:
    """A lone row goes to it, however often: another thread with helpers would take the spinning from both."""
    device = Device()
    for _ in range(20):
        device.ends.release()
        await engine.compute(work(device, 0), call())
    assert asked == [ALONE] * 20
    assert {name for name, _ in device.passes} == {"device-0"}


async def test_one_core_is_not_divided(asked: list[int]) -> None:
    """Nor is anything said of cores then."""
    engine, device = Engine(), Device()
    engine.start()
    engine.share(1)
    device.ends.release(100)
    await engine.compute(work(device, *range(300)), call())
    await engine.stop()
    assert [len(payloads) for _, payloads in device.passes] == [100] * 3
    assert asked == []


async def test_the_second_thread_goes_on_while_the_first_is_held_up(engine: Engine) -> None:
    """By a pass that takes long: the others' rows are all computed meanwhile."""
    slow, quick = Device(), Device()
    long = asyncio.create_task(engine.compute(work(slow, *range(200)), call()))
    await slow.begun(2)
    rows = asyncio.create_task(engine.compute(work(quick, *range(300)), call()))
    quick.ends.release(100)
    slow.ends.release()
    await rows
    assert not long.done()
    slow.ends.release(10)
    await long


async def test_what_waits_is_computed_before_the_threads_end(asked: list[int]) -> None:
    """And no thread is left."""
    engine, device = Engine(), Device()
    engine.start()
    engine.share(CORES)
    task = asyncio.create_task(engine.compute(work(device, *range(400)), call()))
    await device.begun(2)
    device.ends.release(100)
    await engine.stop()
    assert (await task).results == list(range(400))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("device-")]


async def test_the_busy_share_counts_half_of_the_cores_as_half(engine: Engine) -> None:
    """Two passes side by side keep the device busy once, not twice."""
    shares: list[float] = []
    engine.on_batch = lambda batch, seconds: shares.append(batch.share)
    device = Device()
    device.ends.release()
    await engine.compute(work(device, 0), call())
    both = asyncio.create_task(engine.compute(work(device, *range(100)), call()))
    await device.begun(3)
    device.ends.release(2)
    await both
    assert shares == [1.0, 0.5, 0.5]
