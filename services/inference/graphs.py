"""Passes of one network, recorded once for each of a few shapes: a small pass takes the host longer to launch, operation by operation,
than the device to compute, unless it is launched as a whole (a CUDA graph)."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from services.inference.buckets import Lengths, Shape, find
from services.inference.launcher import Recorded, Recorder
from services.inference.precision import measure_distance
from services.inference.staging import Sheet
from shared.nn.tokens import Tokens

log = logging.getLogger(__name__)

MEMORY = 2 << 30  # bytes of the device that all recordings of one network may take, before no more are made
FAR = 0.1  # of a vector's length: a recording whose vectors are further from those of the same pass, launched as usual, is broken


@dataclass(frozen=True, slots=True)
class Graph:
    """input: the row of integers that `recorded` reads; order: a part of it. Its output: vectors [texts of the shape, width]."""

    sheet: Sheet
    input: Tensor
    order: Tensor
    recorded: Recorded


class Graphs:
    """Empty until `record`, and again if that fails: every pass is then launched as usual."""

    def __init__(self, network: nn.Module, recorder: Recorder, device: torch.device, name: str = "") -> None:
        self._network, self._recorder, self._device, self._name = network, recorder, device, name
        self._made: dict[Shape, Graph] = {}

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(self._made)

    def find(self, lengths: Sequence[int]) -> Graph | None:
        """For a pass of such texts."""
        shape = find(self.shapes, sum(lengths), len(lengths), max(lengths))
        return None if shape is None else self._made[shape]

    @torch.inference_mode()
    def record(self, shapes: Sequence[Shape], words: int) -> None:
        """Makes them, smallest first, as many as there is memory for. Passes of others are made between two of them.

        Args:
            words: ids that there are.
        """
        began, pool, before = time.monotonic(), self._recorder.pool(), self._recorder.held()
        made: dict[Shape, Graph] = {}
        try:
            for shape in shapes:
                with self._recorder.turn():
                    graph = self._record(Sheet(shape), pool)
                    self._prove(graph, words)
                made[shape] = graph
                if self._recorder.held() - before > MEMORY:
                    log.warning("encoder %s: passes of more than %d tokens are not recorded", self._name, shape.tokens)
                    break
        except (RuntimeError, ArithmeticError) as error:
            log.warning("encoder %s: passes cannot be recorded and are launched as usual: %s", self._name, error)
            return
        self._made = made
        held, seconds = (self._recorder.held() - before) >> 20, time.monotonic() - began
        log.info("encoder %s: %d shapes of passes recorded in %.1f s, %d MiB", self._name, len(made), seconds, held)

    def _record(self, sheet: Sheet, pool: object) -> Graph:
        row = torch.zeros(sheet.size, dtype=torch.int32, device=self._device)
        network, (packed, order) = self._network, sheet.read(row)
        self._fill(row, sheet, [Tokens(np.zeros(1, np.int64))])
        return Graph(sheet, row, order, self._recorder.record(lambda: network(packed), pool))

    def _prove(self, graph: Graph, words: int) -> None:
        """Plays it on other texts than it was recorded with.

        Raises:
            ArithmeticError: their vectors are not those of a pass that is launched as usual.
        """
        chance = np.random.default_rng(graph.sheet.shape.tokens)
        batch = [Tokens(chance.integers(0, words, length)) for length in _draw(graph.sheet.shape, chance)]
        self._fill(graph.input, graph.sheet, batch)
        graph.recorded.play()
        found = graph.recorded.output[: len(batch)]
        usual = self._network(graph.sheet.read(graph.input.clone())[0])[: len(batch)]
        off = measure_distance(found, usual)
        if not off <= FAR:
            raise ArithmeticError(f"one of {graph.sheet.shape.tokens} tokens is off by {off:.2f}")

    def _fill(self, row: Tensor, sheet: Sheet, batch: Sequence[Tokens]) -> None:
        host = torch.zeros(sheet.size, dtype=torch.int32)
        sheet.write(host.numpy(), batch, range(len(batch)))
        row.copy_(host)


def _draw(shape: Shape, chance: np.random.Generator) -> Lengths:
    """Lengths of texts that nearly fill it, the first as long as may be."""
    first = min(shape.longest, shape.tokens - 2)
    others = chance.integers(2, min(shape.longest, 24) + 1, shape.texts)
    lengths = np.array([first, *others])
    count = int((lengths.cumsum() <= shape.tokens - 1).sum())
    return lengths[: max(min(count, shape.texts - 1), 1)]
