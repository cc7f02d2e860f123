"""The threads that compute: which of them takes the next pass, and with how many of the cores.

Cores that share a pass wait for each other fifty times in it, and for each other's disturbances. So two passes side by side, each on half
of the cores, get more done than one after the other on all of them; but a pass that is alone ends sooner on all. OpenMP keeps a team of
helpers for every thread that had some, and lets none spin where teams outnumber the cores (`threads`): so lone passes are the first
thread's, and its team leaves room for the other's.

A GPU makes one pass after another, and the host's part of each takes time too. So there one thread waits for what the device computes, and
the other prepares the next pass, if enough waits for one: what is taken early cannot grow any more.
"""

import threading
from collections.abc import Callable

from services.inference.units import Batch

SIZE = 2  # threads, where there are cores for them


class Crew:
    """Before it is started, and while it works, rows come and go under `lock`."""

    def __init__(
        self,
        take: Callable[[int], Batch | None],
        waits: Callable[[], bool],
        compute: Callable[[Batch, int], Callable[[], object]],
        die: Callable[[BaseException], None],
        ample: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            take: the next batch, where so many threads are free, or None; called under the lock.
            waits: whether anything does; called under the lock.
            compute: makes the pass, on so many cores (0: as many as it likes), and returns what tells of it.
            die: told what ended a thread that was to go on.
            ample: whether enough waits for a pass to be taken before the device is free; called under the lock.
        """
        self.lock = threading.RLock()
        self._take, self._waits, self._compute, self._die, self._ample = take, waits, compute, die, ample
        self._threads: list[threading.Thread] = []
        self._calls: list[threading.Condition] = []
        self._idle: set[int] = set()
        self.cores = 0  # that passes share; 0: unknown, or too few
        self._overlaps = False  # one pass is prepared while another is computed
        self._alone = False  # a pass is on all cores: until it ends, no other begins
        self._busy = 0  # passes under way
        self._stopping = False

    @property
    def size(self) -> int:
        return len(self._threads)

    @property
    def half(self) -> int:
        """Cores of a pass beside another."""
        return self.cores // self.size

    @property
    def most(self) -> int:
        """Cores of a pass that is alone: a team of helpers stays with each thread, and all teams together must not outnumber the cores."""
        return self.cores + 1 - self.half if self.cores else 0

    def start(self) -> None:
        """One thread, which leaves the cores to whatever computes."""
        self._add()

    def share(self, cores: int) -> None:
        """From now on, passes share these cores."""
        with self.lock:
            if self.cores or cores < SIZE or self._stopping:
                return
            self.cores = cores
            while self.size < SIZE:
                self._add()

    def overlap(self) -> None:
        """From now on, one pass is prepared while another is computed."""
        with self.lock:
            if self._overlaps or self._stopping:
                return
            self._overlaps = True
            while self.size < SIZE:
                self._add()

    def wake(self) -> None:
        """Something waits. Under the lock."""
        if self._idle and not self._alone and (not self._overlaps or self._is_time()):
            self._calls[min(self._idle)].notify()

    def stop(self) -> None:
        """Returns when all that waits is computed."""
        with self.lock:
            self._stopping = True
            for call in self._calls:
                call.notify()
        for thread in self._threads:
            thread.join()

    def _add(self) -> None:
        number = self.size
        self._calls.append(threading.Condition(self.lock))
        self._threads.append(threading.Thread(target=self._work, args=(number,), name=f"device-{number}", daemon=True))
        self._idle.add(number)  # whatever is begun before it has come so far may count on it
        self._threads[number].start()

    def _work(self, number: int) -> None:
        try:
            while self._step(number):
                pass
        except BaseException as error:
            self._die(error)
            raise

    def _step(self, number: int) -> bool:
        """One pass. Nothing of it is held when this returns: a model that is unloaded meanwhile must not stay in memory until the next."""
        found = self._next(number)
        if found is None:
            return False
        tell = self._compute(*found)
        with self.lock:  # before anyone is told: who hears of it asks for the next pass, which this thread is free for
            self._alone = False
            self._busy -= 1
            self._idle.add(number)
            if self._stopping:
                self._calls[0].notify()  # rows of a pass that failed may wait again
        tell()
        return True

    def _next(self, number: int) -> tuple[Batch, int] | None:
        """Waits for a batch; None: the crew stops, and nothing is left to do for this thread."""
        with self.lock:
            self._idle.add(number)
            while not (self._stopping and number):
                free = 1 if self._overlaps else len(self._idle)
                batch = self._take(free) if self._is_next(number) else None
                if batch is not None:
                    self._idle.discard(number)
                    alone = not number and len(self._idle) == self.size - 1 and not self._waits()
                    self._alone = alone and not self._overlaps
                    self.wake()
                    self._busy += 1
                    return batch, self.most if self._alone else self.half
                if self._stopping and not self._alone and not self._busy:
                    return None
                self._calls[number].wait()
            self._idle.discard(number)
            return None

    def _is_next(self, number: int) -> bool:
        if self._overlaps:
            return self._is_time()
        return not self._alone and (number == 0 or 0 not in self._idle)

    def _is_time(self) -> bool:
        """Whether a pass is to be taken: the device is free, or enough waits."""
        return len(self._idle) == self.size or self._stopping or self._ample()
