"""How work gets onto a GPU: the only file that launches, copies and records there. Everything else takes a `Launcher` and does not know.

There is one stream, so whatever was launched first is done first. Texts need no other one for their copies: those of a full pass are
400 KB, microseconds on the bus. What takes time before a pass, and is done while the other one is computed, is the host's part.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Recorded:
    """Work that can be done again by `play`, on whatever its inputs hold by then; `output` is overwritten each time."""

    play: Callable[[], None]
    output: Tensor


class Launcher(Protocol):
    def host(self, size: int, dtype: torch.dtype = torch.int32) -> Tensor:
        """[size] on the host, where the device can read it by itself."""
        ...

    def settle(self) -> None:
        """Returns when what was given to the device in any way, weights above all, is there."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Within it, this thread launches, and waits for nothing that it launched."""
        ...

    def fetch(self, result: Tensor) -> Callable[[], Tensor]:
        """Begins, within a turn, to copy a result to the host. What is returned waits for it, outside of the turn."""
        ...


class Recorder(Launcher, Protocol):
    """Turns are taken by one thread at a time."""

    def record(self, work: Callable[[], Tensor], pool: Any) -> Recorded:
        """Within a turn. `work` must not look at what the device computes. It is done once before it is recorded: first passes allocate.

        Raises:
            RuntimeError: it cannot be recorded.
        """
        ...

    def pool(self) -> Any:
        """Memory that several recordings use in turn: nothing of one but its output is needed when another is played."""
        ...

    def held(self) -> int:
        """Bytes of the device that this process has."""
        ...


class Host:
    """Where the device is the host itself: threads compute side by side, and what is launched is done."""

    def host(self, size: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.empty(size, dtype=dtype)

    def settle(self) -> None:
        return

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def fetch(self, result: Tensor) -> Callable[[], Tensor]:
        return lambda: result


class Cuda:
    """The recorder of one GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._turn = device, threading.Lock()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def host(self, size: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.empty(size, dtype=dtype, pin_memory=True)

    def settle(self) -> None:
        torch.cuda.synchronize(self._device)

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._turn, torch.cuda.stream(self._stream):
            yield

    def fetch(self, result: Tensor) -> Callable[[], Tensor]:
        host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        host.copy_(result, non_blocking=True)
        # It sleeps while it waits: whoever prepares the next pass needs the core.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(self._stream)

        def wait() -> Tensor:
            done.synchronize()
            return host

        return wait

    def record(self, work: Callable[[], Tensor], pool: Any) -> Recorded:
        work()
        graph = torch.cuda.CUDAGraph()
        # In "global" mode another thread that pins memory, for the next pass, would spoil the recording.
        with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
            output = work()
        return Recorded(graph.replay, output)

    def pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def held(self) -> int:
        return torch.cuda.memory_reserved(self._device)
