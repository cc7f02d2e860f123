"""A process that no longer moves ends itself."""

import threading
import time

from shared.stream.watchdog import Watchdog


def test_what_goes_silent_is_noticed() -> None:
    """Also when the event loop is blocked: the watchdog is a thread."""
    ended = threading.Event()
    watchdog = Watchdog(ended.set, every=0.01)
    watchdog.watch("the batch", 0.2)
    watchdog.start()
    assert ended.wait(10)


def test_what_beats_or_is_forgotten_is_left_alone() -> None:
    """Waiting in place beats, so a long outage of a dependency is no stall."""
    ended = threading.Event()
    watchdog = Watchdog(ended.set, every=0.01)
    watchdog.watch("the batch", 5.0)
    watchdog.watch("polling", 0.5)
    watchdog.forget("polling")
    watchdog.start()
    for _ in range(8):
        watchdog.beat("the batch")
        time.sleep(0.1)
    watchdog.stop()
    assert not ended.is_set()
