"""How the helpers of a thread that computes wait, and who may have helpers at all.

A pass of one short text is fifty small operations, each shared out among OpenMP's workers. A worker that sleeps between two of them takes
longer to wake than it then works; one that spins on after the pass takes a core from the event loop and from whoever calls. So workers
spin for a moment. libgomp has them spin at all only while its threads are no more than the cores (`gomp_throttled_spin_count_var`), and it
keeps a team of workers for every thread that ever computed with several: so only one thread may do so and stay (the first of `crew`).
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TypeVar, TypeVarTuple

# Some tenths of a millisecond. Measured in docs/benchmarks.md: one client's p50, and texts a second with callers on the same cores.
WAITING = MappingProxyType({"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "5000"})

LOW, LOWEST = 10, 19  # steps of nice: how far a thread gives way, and the end of them

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


def set_waiting() -> None:
    """Before torch is imported, which reads it then. Where a deployment has set how workers wait, that stays."""
    if not any(name in os.environ for name in WAITING):
        os.environ.update(WAITING)


def use_cores(count: int) -> None:
    """What this thread computes next, it does on so many. (MKL takes the number for all threads in some builds: so say it each time.)"""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def give_way() -> None:
    """This thread does the rest of its work in the time that others leave, or in a tenth of a core where they leave none."""
    if sys.platform == "linux":  # elsewhere threads have no priorities of their own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + LOW, LOWEST))


async def run_apart(work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """What `work` returns or raises, from a thread that ends with it. If the caller is cancelled, it goes on, and then ends."""
    executor = ThreadPoolExecutor(1, "apart")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)
    finally:
        executor.shutdown(wait=False)
