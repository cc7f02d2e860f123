"""The engine with a device that is not one: it sleeps, fails or blocks as a test needs it."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from services.inference.engine import Call, Engine, Work
from services.inference.refusal import Refusal
from services.inference.units import Unit


@dataclass(eq=False)
class Device:
    """Answers each payload with its double, after `hold` is released."""

    budget: int = 100
    hold: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Any]] = field(default_factory=list)
    fails: Callable[[Any], bool] = lambda payload: False
    precision: str = "fp32"

    def run(self, units: Sequence[Unit]) -> list[Any]:
        payloads = [unit.payload for unit in units]
        self.batches.append(payloads)
        assert self.hold.wait(30)
        if any(self.fails(payload) for payload in payloads):
            raise RuntimeError("out of memory")
        return [2 * payload for payload in payloads]

    def padding(self, units: Sequence[Unit]) -> int:
        return 0

    def proven(self, payload: Any) -> Any:
        return 0


def call(seconds: float = 30, priority: int = 5) -> Call:
    return Call(time.monotonic() + seconds, "", priority)


def work(device: Device, *payloads: Any) -> list[Work]:
    return [Work(device, 1, payload) for payload in payloads]


async def started(device: Device) -> None:
    """Until the device holds a batch."""
    async with asyncio.timeout(30):
        while not device.batches:  # noqa: ASYNC110 - another thread appends to it
            await asyncio.sleep(0.001)


def keep_the_loop_busy(until: Callable[[], bool]) -> None:
    """And a little longer."""
    while not until():
        time.sleep(0.001)
    time.sleep(0.02)


async def test_what_piles_up_meanwhile_is_one_batch(engine: Engine) -> None:
    """Each request gets its own rows' results, in its order."""
    device = Device()
    first = asyncio.ensure_future(engine.compute(work(device, 0), call()))
    await started(device)
    others = [asyncio.ensure_future(engine.compute(work(device, i, 10 * i), call())) for i in range(1, 6)]
    await asyncio.sleep(0.01)
    device.hold.set()
    assert (await first).results == [0]
    assert [(await each).results for each in others] == [[2 * i, 20 * i] for i in range(1, 6)]
    assert [len(batch) for batch in device.batches] == [1, 10]


async def test_the_event_loop_stays_free_while_the_device_works(engine: Engine) -> None:
    """A pass runs elsewhere."""
    device = Device()
    task = asyncio.ensure_future(engine.compute(work(device, 1), call()))
    await started(device)
    turns = 0
    for _ in range(100):
        await asyncio.sleep(0)
        turns += 1
    assert turns == 100
    assert not task.done()
    device.hold.set()
    await task


async def test_a_deadline_that_passes_in_the_queue_is_told_at_once_and_never_computed(engine: Engine) -> None:
    """The caller does not wait for the batch before it."""
    device = Device()
    busy = asyncio.ensure_future(engine.compute(work(device, 1), call()))
    await started(device)
    with pytest.raises(Refusal) as caught:
        await engine.compute(work(device, 7), call(0.05))
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    device.hold.set()
    await busy
    await engine.compute(work(device, 2), call())
    assert 7 not in [payload for batch in device.batches for payload in batch]


async def test_a_caller_who_leaves_takes_its_rows_along(engine: Engine) -> None:
    """Cancelled in the queue: not computed."""
    device = Device()
    busy = asyncio.ensure_future(engine.compute(work(device, 1), call()))
    await started(device)
    leaving = asyncio.ensure_future(engine.compute(work(device, 7, 8), call()))
    await asyncio.sleep(0.01)
    assert engine.waiting == 2
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert engine.waiting == 0
    device.hold.set()
    await busy
    assert device.batches == [[1]]


async def test_callers_who_left_teach_nothing_about_how_long_a_pass_takes(engine: Engine) -> None:
    """Their rows may be taken before the event loop drops them: they are not computed, which takes no time."""
    device = Device()
    busy = asyncio.ensure_future(engine.compute(work(device, 1), call()))
    await started(device)
    leaving = asyncio.ensure_future(engine.compute(work(device, *range(10)), call()))
    await asyncio.sleep(0.01)
    leaving.cancel()
    device.hold.set()
    keep_the_loop_busy(lambda: engine.waiting == 0)
    await asyncio.gather(busy, leaving, return_exceptions=True)
    assert device.batches == [[1]]
    assert engine._scheduler._pace(device).passes == 1


async def test_a_deadline_that_has_passed_is_not_put_down_to_the_device(engine: Engine) -> None:
    """While the rows were prepared, say: what they would take has nothing to do with it, and is no less believed for it."""
    device = Device()
    for _ in range(10):
        engine._scheduler.learn(device, 100, 1.0)
    with pytest.raises(Refusal) as caught:
        await engine.compute(work(device, 1), call(-0.01))
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert engine._scheduler._pace(device).trust == 1
    assert engine.waiting == 0


async def test_who_has_work_to_do_first_is_turned_away_before_it(engine: Engine) -> None:
    """By what rows of its model usually take, behind what waits; never where nothing waits, or nothing of the kind was ever asked."""
    device, model = Device(), Device()
    for cost in (50, 100) * 5:
        engine._scheduler.learn(device, cost, cost / 100)

    def asks(model: Any, seconds: float) -> Call:
        return replace(call(seconds), model=model)

    with pytest.raises(Refusal, match="DEADLINE"):
        await engine.compute(work(device, *range(100)), asks(model, 0.5))
    engine.turn_away(100, asks(model, 0.5))
    busy = asyncio.ensure_future(engine.compute(work(device, 1), call()))
    await started(device)
    waiting = asyncio.ensure_future(engine.compute(work(device, *range(200)), call(2.3)))
    await asyncio.sleep(0.01)
    with pytest.raises(Refusal, match="OVERLOADED") as caught:
        engine.turn_away(100, asks(model, 2.5))
    engine.turn_away(100, asks(None, 2.5))
    engine.turn_away(100, replace(asks(model, 2.5), asked=frozenset({"attribution"})))
    engine.turn_away(100, asks(model, 3.5))
    device.hold.set()
    await asyncio.gather(busy, waiting, return_exceptions=True)
    assert caught.value.retry_after


async def test_a_device_that_was_slow_is_asked_again(engine: Engine) -> None:
    """Refused for what they alone would take, as if the machine were still busy elsewhere; it ends without other callers' help."""
    device = Device()
    device.hold.set()
    for _ in range(10):
        engine._scheduler.learn(device, 100, 60.0)
    reasons = list[str]()
    for _ in range(100):
        try:
            await engine.compute(work(device, *range(100)), call(30))
            reasons.append("")
        except Refusal as refused:
            reasons.append(refused.reason)
    assert reasons[0] == "DEADLINE_TOO_SHORT"
    assert reasons.count("") > 50


async def test_one_row_that_fails_costs_the_others_nothing(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """The rows of a failed batch are tried apart; the bad one has no result; what the device said is only in the log."""
    device = Device(fails=lambda payload: payload == 13)
    device.hold.set()
    good, bad = await asyncio.gather(
        engine.compute(work(device, 1, 2), call()), engine.compute(work(device, 13, 3), call())
    )
    assert (good.results, good.bad) == ([2, 4], set())
    assert (bad.results, bad.bad) == ([None, 6], {0})
    assert "out of memory" in caplog.text
    assert (await engine.compute(work(device, 3), call())).results == [6]


async def test_a_device_that_fails_on_everything_is_told_in_a_fixed_text(engine: Engine) -> None:
    """Nobody's row is blamed, and the next request finds the engine as it was."""
    device = Device(fails=lambda payload: True)
    device.hold.set()
    with pytest.raises(Refusal) as caught:
        await engine.compute(work(device, 1, 2), call())
    assert caught.value.code == grpc.StatusCode.INTERNAL
    assert "out of memory" not in str(caught.value)
    device.fails = lambda payload: False
    assert (await engine.compute(work(device, 3), call())).results == [6]


async def test_only_what_was_computed_counts(engine: Engine) -> None:
    """A pass that failed has no rows, and teaches nothing about how long one takes; those in which its good rows are answered do."""
    told: list[int] = []
    engine.on_batch = lambda batch, seconds: told.append(len(batch.units))
    device = Device(fails=lambda payload: payload == 13)
    device.hold.set()
    await engine.compute(work(device, 1, 13, 2), call())
    device.fails = lambda payload: True
    with pytest.raises(Refusal):
        await engine.compute(work(device, 1, 2), call())
    assert sum(told) == 2
    assert engine._scheduler._pace(device).passes == sum(map(bool, told)) == 2


async def test_a_request_ends_with_the_seconds_of_all_its_passes(engine: Engine) -> None:
    """Also where the event loop learns late of the first one, when the second is done too."""
    device = Device(budget=1)
    task = asyncio.ensure_future(engine.compute(work(device, 1, 2), call()))
    await started(device)
    passes: list[float] = []
    engine.on_batch = lambda batch, seconds: passes.append(seconds)
    device.hold.set()
    keep_the_loop_busy(lambda: len(device.batches) == 2)
    ticket = await task
    assert len(passes) == 2
    assert ticket.computing == pytest.approx(sum(passes))


@pytest.mark.parametrize("more", [-1, 1])
async def test_a_device_that_gives_another_number_of_results_fails(
    engine: Engine, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is taken for a row's: which would be whose cannot be known."""
    monkeypatch.setattr(Device, "run", lambda self, units: [0] * (len(units) + more))
    with pytest.raises(Refusal) as caught:
        await engine.compute(work(Device(), 1, 2), call())
    assert caught.value.reason == "COMPUTE_FAILED"
    assert engine.waiting == 0


async def test_rows_of_a_caller_who_leaves_are_not_searched(engine: Engine) -> None:
    """A failed batch costs no passes for whom nobody waits, nor do its rows wait again."""
    device = Device(budget=1000, fails=lambda payload: payload >= 0)
    leaving = asyncio.ensure_future(engine.compute(work(device, *range(200)), call()))
    await started(device)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    device.hold.set()
    assert (await engine.compute(work(device, -1), call())).results == [-2]
    assert len(device.batches) == 2
    assert engine.waiting == 0


async def test_a_dead_device_thread_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that ends the thread must end the process, not leave callers waiting."""
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    engine = Engine()
    engine.start()
    engine._scheduler.take = None  # type: ignore[method-assign,assignment]
    waiting = asyncio.ensure_future(engine.compute(work(Device(), 1), call()))
    with pytest.raises(TypeError):
        await asyncio.wait_for(engine.fault, 30)
    waiting.cancel()
    await engine.stop()
