"""From a batch of texts to numbers on the host: as the network has it, or packed for a GPU and launched as a whole."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from services.inference.buckets import Shape, list_shapes
from services.inference.graphs import Graph, Graphs
from services.inference.launcher import Launcher, Recorder
from services.inference.staging import Sheet
from shared.nn.adapter import Adapter, adapt
from shared.nn.bert import Bert
from shared.nn.tokens import Tokens, pack

Groups = Sequence[Sequence[int]]  # rows of a batch, each in one of them, by who reads their vectors
Read = Callable[[Sequence[Tensor]], Tensor]  # each group's vectors [n, width], to all that is wanted of them


class Forward(Protocol):
    def run(self, batch: Sequence[Tokens], groups: Groups, read: Read) -> NDArray[np.float32]:
        """What `read` makes of the vectors, on the host."""
        ...

    def padding(self, lengths: Sequence[int]) -> int:
        """Tokens that a pass of such texts computes besides theirs."""
        ...


class Plain:
    """As the network has it."""

    def __init__(self, network: nn.Module, device: torch.device, launcher: Launcher) -> None:
        self._network, self._device, self._launcher = network, device, launcher

    def run(
        self, batch: Sequence[Tokens], groups: Groups, read: Read, adapters: Sequence[Adapter | None] = ()
    ) -> NDArray[np.float32]:
        """adapters: of each text, what is added to the network for it; empty: nothing for any."""
        packed = adapt(pack(batch), adapters) if adapters else pack(batch)
        with self._launcher.turn():
            pooled = self._network(packed.to(self._device))
            wait = self._launcher.fetch(read([pooled] if len(groups) == 1 else [pooled[rows] for rows in groups]))
        return wait().numpy()

    def padding(self, lengths: Sequence[int]) -> int:
        return 0


class Staged:
    """The host writes a pass in one piece while the device computes the one before; it comes back in one piece too, and in between nothing
    waits. The network must ask for no more than `Packed.places`."""

    def __init__(self, network: nn.Module, device: torch.device, launcher: Launcher, graphs: Graphs | None) -> None:
        self._network, self._device, self._launcher, self._graphs = network, device, launcher, graphs

    def run(self, batch: Sequence[Tokens], groups: Groups, read: Read) -> NDArray[np.float32]:
        lengths = [len(tokens) for tokens in batch]
        graph = self._find(lengths)
        sheet = graph.sheet if graph else Sheet(Shape(sum(lengths), len(lengths), max(lengths)))
        row = self._launcher.host(sheet.size)
        sheet.write(row.numpy(), batch, list(chain.from_iterable(groups)))
        with self._launcher.turn():
            pooled, order = self._play(graph, row) if graph else self._launch(sheet, row, lengths)
            grouped = pooled.index_select(0, order[: len(batch)]) if len(groups) > 1 else pooled[: len(batch)]
            wait = self._launcher.fetch(read(torch.split(grouped, [len(rows) for rows in groups])))
        return wait().numpy()

    def padding(self, lengths: Sequence[int]) -> int:
        graph = self._find(lengths)
        return graph.sheet.shape.tokens - sum(lengths) if graph else 0

    def _find(self, lengths: Sequence[int]) -> Graph | None:
        return self._graphs.find(lengths) if self._graphs else None

    def _play(self, graph: Graph, row: Tensor) -> tuple[Tensor, Tensor]:
        graph.input.copy_(row, non_blocking=True)
        graph.recorded.play()
        return graph.recorded.output, graph.order

    def _launch(self, sheet: Sheet, row: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        packed, order = sheet.read(row.to(self._device, non_blocking=True), lengths)
        pooled: Tensor = self._network(packed)
        return pooled, order


def open_forward(
    network: nn.Module, device: torch.device, launcher: Launcher, recorder: Recorder | None, name: str = ""
) -> Forward:
    """The best that there is for this network here.

    Args:
        recorder: records its passes, which takes about a second; None: they are not.
    """
    launcher.settle()
    body = getattr(network, "body", None)
    if not isinstance(body, Bert) or body.kernel is None:
        return Plain(network, device, launcher)
    graphs = None
    if recorder:
        graphs = Graphs(network, recorder, device, name)
        graphs.record(list_shapes(body.shape.positions - body.shape.first_position), body.shape.vocabulary)
    return Staged(network, device, launcher, graphs)
