"""One pass prepared while another is computed: who takes what when, and what is learned of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.inference.engine import Engine
from services.inference.refusal import Refusal
from services.inference.scheduler import Scheduler
from services.inference.timeline import Timeline
from services.inference.units import Unit
from tests.inference.simulation import Lane
from tests.inference.test_crew import Device
from tests.inference.test_engine import call, work


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    made.start()
    made.overlap()
    yield made
    await made.stop()


async def until_waiting(engine: Engine, rows: int) -> None:
    async with asyncio.timeout(30):
        while engine.waiting != rows:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


async def test_a_full_pass_is_prepared_while_another_is_computed(engine: Engine) -> None:
    """But only one: the rest waits until the device has done one."""
    device = Device()
    task = asyncio.create_task(engine.compute(work(device, *range(300)), call()))
    await device.begun(2)
    assert {name for name, _ in device.passes} == {"device-0", "device-1"}
    assert [len(payloads) for _, payloads in device.passes] == [100, 100]
    await until_waiting(engine, 100)
    device.ends.release()
    await device.begun(3)
    device.ends.release(2)
    assert (await task).results == list(range(300))


async def test_what_is_little_waits_until_the_device_is_free(engine: Engine) -> None:
    """It may become more; then it is one pass."""
    device = Device()
    first = asyncio.create_task(engine.compute(work(device, 0), call()))
    await device.begun(1)
    others = [asyncio.create_task(engine.compute(work(device, *range(8)), call())) for _ in range(4)]
    await until_waiting(engine, 32)
    await asyncio.sleep(0.05)
    assert len(device.passes) == 1
    device.ends.release(2)
    await asyncio.gather(first, *others)
    assert [len(payloads) for _, payloads in device.passes] == [1, 32]


async def test_what_waits_is_computed_before_the_threads_end() -> None:
    """Also what is too little to be prepared."""
    engine, device = Engine(), Device()
    engine.start()
    engine.overlap()
    tasks = [asyncio.create_task(engine.compute(work(device, *range(rows)), call())) for rows in (1, 230)]
    await device.begun(1)
    device.ends.release(100)
    await engine.stop()
    assert [len((await task).results) for task in tasks] == [1, 230]


async def test_a_pass_that_is_prepared_is_reckoned_from_when_the_device_is_free(engine: Engine) -> None:
    """Rows that would be in time if it were free now are shed, and never computed: what is in hand takes too long."""
    device = Device()
    for _ in range(10):
        engine._scheduler.learn(
            device, 100, 1000.0
        )  # seconds: a device so slow that this test's own time is nothing beside it
    first = asyncio.create_task(engine.compute(work(device, *range(100)), call(seconds=1e5)))
    await device.begun(1)
    with pytest.raises(Refusal, match="deadline"):
        await engine.compute(work(device, *range(20)), call(seconds=500))
    device.ends.release()
    await first
    assert len(device.passes) == 1
    device.ends.release()
    assert len((await engine.compute(work(device, *range(20)), call(seconds=500))).results) == 20


def test_a_pass_had_the_device_from_when_it_was_free() -> None:
    """By a clock that is a number: the second was taken at 1, while the first, begun at 0, had it until 10."""
    line = Timeline()
    assert line.free(5.0) == 5.0
    line.begin(0.0, 8.0)
    assert line.free(1.0) == 8.0
    line.begin(1.0, 4.0)
    assert line.free(1.0) == 12.0
    assert line.end(0.0, 10.0) == 10.0
    assert line.free(10.0) == 14.0
    assert line.end(1.0, 13.0) == 3.0
    assert line.free(13.0) == 13.0
    line.begin(20.0, 1.0)
    line.begin(20.5, 9.0)
    line.drop(20.5)
    assert line.free(20.5) == 21.0
    assert line.end(20.0, 22.0) == 2.0


def test_a_pass_that_takes_longer_than_expected_ends_now_at_the_soonest() -> None:
    """No pass is reckoned to begin in the past."""
    line = Timeline()
    line.begin(0.0, 1.0)
    assert line.free(5.0) == 5.0


def test_enough_waits_when_a_pass_of_it_would_use_the_device_well() -> None:
    """A full one while nothing is known of the device; of one whose passes take long whatever is in them, a large one; else a small one."""

    def ample(fixed: float, cost: int) -> bool:
        scheduler, lane = Scheduler(), Lane(budget=1000)
        for size in range(100, 1100, 100):
            if fixed:
                scheduler.learn(lane, size, fixed + 0.001 * size)
        scheduler.add([Unit(lane, cost, deadline=1e9)])
        return scheduler.is_ample()

    assert [ample(0.0, cost) for cost in (999, 1000)] == [False, True]
    assert [ample(0.2, cost) for cost in (300, 600)] == [False, True]
    assert [ample(0.01, cost) for cost in (50, 150)] == [False, True]
