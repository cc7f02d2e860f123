"""What waits in a worker is bounded in bytes, whatever the number of events."""

import asyncio
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer

from shared.stream.load import Load
from tests.stack import Process, Stack, headers, request, wait_until

SIZE = 4_000_000
MOST = 350  # MiB: a worker that kept all of them in memory would have 500


async def test_it_is_full_until_enough_of_it_was_taken() -> None:
    """The one that reaches the limit is let in, the next one waits."""
    load = Load(100)
    for offset in (0, 1):
        await asyncio.wait_for(load.room(), 5)
        load.add("p0", offset, 60)
    waiting = asyncio.ensure_future(load.room())
    await asyncio.sleep(0)
    assert load.full
    assert not waiting.done()
    load.drop("p0", 0)
    await asyncio.wait_for(waiting, 5)


async def test_what_is_skipped_falls_away_with_the_next() -> None:
    """Of its own partition alone; after a rebalance everything does."""
    load = Load(100)
    for partition, offset in (("p0", 0), ("p0", 1), ("p1", 0)):
        load.add(partition, offset, 40)
    load.drop("p0", 1)
    load.add("p0", 2, 50)
    assert not load.full
    load.add("p0", 3, 50)
    waiting = asyncio.ensure_future(load.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    load.clear()
    await asyncio.wait_for(waiting, 5)
    assert not load.full


def test_a_backlog_of_large_events_waits_in_the_topic(stack: Stack) -> None:
    """Behind an event that waits for something that is down memory takes a few of them; later every one has its outcome."""
    asyncio.run(send_large(stack, 100))
    with stack.run("stream") as worker:
        wait_until(lambda: "waiting for inference" in worker.said(), "the first event waits")
        wait_until(lambda: settled(worker), "it reads no further")
        assert megabytes(worker) < MOST
        stack.folder.joinpath("up").touch()
        wait_until(lambda: stack.count() == 101, "every event has its outcome")
        assert megabytes(worker) < 2 * MOST


def test_a_rebalance_finds_a_worker_that_is_full(stack: Stack) -> None:
    """It reads no further, and yet gives its partitions up: nothing is lost, and nothing stands still."""
    asyncio.run(send_large(stack, 40))
    with stack.run("stream", "a", ECHO_REVOKE_PATIENCE="2") as worker:
        wait_until(lambda: "waiting for inference" in worker.said(), "the first event waits")
        wait_until(lambda: settled(worker), "it reads no further")
        with stack.run("stream", "b") as other:
            other.await_serving()
            stack.folder.joinpath("up").touch()
            wait_until(lambda: stack.count() == 41, "every event has its outcome")
            wait_until(lambda: sum(stack.committed().values()) == 41, "everything is committed")
            assert stack.unfinished_but_committed() == []
        assert worker.popen.poll() is None


async def send_large(stack: Stack, number: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.settings.kafka, max_request_size=2 * SIZE)
    await producer.start()
    try:
        first = request(f"until {stack.folder / 'up'}")
        await producer.send_and_wait(stack.requests, first, headers=headers("first"), partition=0)
        large = request(f"reject {'x' * SIZE}")
        for n in range(number):
            await producer.send_and_wait(stack.requests, large, headers=headers(str(n)), partition=n % 2)
    finally:
        await producer.stop()


def settled(worker: Process) -> bool:
    before = megabytes(worker)
    time.sleep(2)
    return megabytes(worker) == before


def megabytes(worker: Process) -> int:
    """The most memory that it ever had."""
    said = Path(f"/proc/{worker.popen.pid}/status").read_text()
    return int(said.partition("VmHWM:")[2].split()[0]) >> 10
