"""Nothing is lost and nothing has two outcomes, wherever the worker is killed."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from protos import intent_pb2
from tests.stack import Process, Stack, headers, request, wait_until

KILLS = 6
EVENTS = 3_000
SESSION = "4"  # seconds: who joins waits as long for whoever left


def events(number: int, start: int = 0) -> list[tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]]:
    """Mostly fine, some slow, some refused, some repeated under another offset."""
    made = []
    for n in range(start, start + number):
        text = "reject" if n % 50 == 7 else "slow 0.05" if n % 50 == 9 else f"text {n}"
        made.append((b"c%d" % (n % 40), request(text), headers(str(n))))
    return made


@contextmanager
def sending(stack: Stack, number: int) -> Iterator[threading.Thread]:
    """Sends in the background, in portions."""

    def send() -> None:
        for start in range(0, number, 100):
            stack.send(events(100, start))
            time.sleep(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    yield thread
    thread.join()


def check(stack: Stack, number: int, dying: int = 0) -> None:
    """One outcome an event, each published, nothing committed that is unfinished.

    Args:
        dying: further events, that killed the worker the first time and are results since.
    """
    wait_until(lambda: stack.count() == number + dying, "every event has an outcome")
    kinds = stack.rows("SELECT kind, count(*) FROM outcomes WHERE domain = $1 GROUP BY kind")
    found = {row["kind"]: row["count"] for row in kinds}
    assert found == {"result": number - number // 50 + dying, "dead_letter": number // 50}
    wait_until(lambda: sum(stack.committed().values()) == number + dying, "everything is committed")
    results = stack.read("results", found["result"])
    ids = {intent_pb2.IntentResult.FromString(record.value).answer.event.id for record in results}
    assert len(ids) == found["result"], "every result is published, at least once"
    letters = {dict(record.headers)["ce_id"] for record in stack.read("dead-letters", found["dead_letter"])}
    assert len(letters) == found["dead_letter"]
    assert stack.unfinished_but_committed() == []


def test_kill_9_under_load(stack: Stack) -> None:
    """Killed again and again at any moment, also by its own events in mid-batch."""
    chance = random.Random(20260504)
    with stack.run("stream") as worker, sending(stack, EVENTS):
        for n in range(KILLS):
            before = stack.count()
            wait_until(
                lambda before=before: stack.count() > before or stack.count() >= EVENTS, "some events are settled"
            )
            time.sleep(chance.uniform(0, 0.5))
            if n % 2:
                stack.send([(b"die", request(f"die {stack.folder / str(n)}"), headers(f"die-{n}"))])
                wait_until(lambda: worker.popen.poll() is not None, "the worker dies of an event")
            worker.kill()
            assert stack.unfinished_but_committed() == []
            worker.start()
        check(stack, EVENTS, dying=KILLS // 2)


def test_workers_joining_and_leaving(stack: Stack) -> None:
    """Rebalances under load, some in order, some by kill -9: every partition's events are settled once."""
    chance = random.Random(20260505)
    with stack.run("stream", "a", ECHO_SESSION=SESSION), sending(stack, EVENTS):
        for n in range(4):
            with stack.run("stream", f"b{n % 2}", ECHO_SESSION=SESSION) as other:
                settle_in(other)
                time.sleep(chance.uniform(0, 1))
                if n % 2:
                    assert other.terminate() == 0
                else:
                    other.kill()
                assert stack.unfinished_but_committed() == []
        check(stack, EVENTS)


def settle_in(worker: Process) -> None:
    wait_until(lambda: worker.popen.poll() is not None or worker.serving(), "the other worker has joined")
    assert worker.popen.returncode is None, worker.said()
