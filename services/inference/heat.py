"""Where in a picture the label that won was seen: an output of image classifiers that is computed for those who ask for it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.engine import Call, Work
from services.inference.refusal import invalid
from services.inference.served import Identity, finite
from services.inference.tensors import TensorSpec
from services.inference.units import Unit
from shared.nn.attribution import contrast
from shared.nn.heatmap import spread

if TYPE_CHECKING:
    from services.inference.picture import ImageDevice, Pixels

HEAT_MAP = "heat_map"
MAX_CELLS = 1 << 19  # of all rows of a call: 2 MiB, half of what a gRPC client takes unless it is told otherwise
EFFORT = 1.25  # cost of a pixel, where one of a picture that is only classified costs 1


class HeatDevice:
    """An image network's other lane: passes of plain pictures stay as they are, and what these take is learned apart."""

    def __init__(self, plain: "ImageDevice") -> None:
        self._plain, self.precision, self.budget = plain, plain.precision, plain.budget
        with torch.inference_mode(), plain.launcher.turn():
            height, width = plain.network.maps(plain.read(plain.stage([plain.sample]))).shape[2:]
        self.grid = int(height), int(width)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """None where the last maps have a single cell, which would say nothing."""
        return (TensorSpec(HEAT_MAP, "FP32", (-1, *self.grid), optional=True),) if math.prod(self.grid) > 1 else ()

    def ask(self, cost: int, image: NDArray[np.uint8], head: str) -> Work:
        """One picture, what it costs when it is only classified, and which head's answer is to be explained."""
        return Work(self, math.ceil(EFFORT * cost), (image, head))

    @torch.inference_mode()
    def run(self, units: Sequence[Unit]) -> list[NDArray[np.float32]]:
        """For each unit (payload: uint8 [height, width], a head), what a plain pass says and, behind it, the map's cells, row by row."""
        pixels = self._plain.stage([unit.payload[0] for unit in units])
        with self._plain.launcher.turn():
            wait = self._plain.launcher.fetch(self._compute(pixels, [unit.payload[1] for unit in units]))
        return list(finite(wait().numpy()))

    def _compute(self, pixels: "Pixels", asked: Sequence[str]) -> torch.Tensor:
        """asked: of each picture, the head. [n, labels of all heads and cells]."""
        network = self._plain.network
        maps = network.maps(self._plain.read(pixels))
        pooled = network.pool(maps)
        logits = network.classify(pooled)
        direction = torch.empty_like(pooled)
        rows_of: dict[str, list[int]] = {}
        for row, head in enumerate(asked):
            rows_of.setdefault(head, []).append(row)
        for head, rows in rows_of.items():
            temperature = self._plain.temperature(head)
            _, coefficients = contrast(logits[head][rows] / temperature, self._plain.kinds[head])
            direction[rows] = coefficients @ cast(torch.nn.Linear, network.heads[head]).weight / temperature
        return torch.cat([self._plain.calibrate(logits), spread(maps, direction).flatten(1)], 1)

    def proven(self, payload: tuple[NDArray[np.uint8], str]) -> tuple[NDArray[np.uint8], str]:
        """The picture is one that the network has answered, though without a map."""
        return self._plain.proven(payload[0]), payload[1]

    def padding(self, units: Sequence[Unit]) -> int:
        return self._plain.padding(units)


def begin(identity: Identity, grid: tuple[int, int], rows: int, call: Call) -> str:
    """The head to explain; empty where `call` asks for no map.

    Raises:
        Refusal: INVALID_ARGUMENT, naming output or parameter: too many rows for maps of this `grid`, or no such head.
    """
    if HEAT_MAP not in call.asked:
        return ""
    if rows > (most := MAX_CELLS // math.prod(grid)):
        detail = f"{rows:,} rows of {grid[0]} x {grid[1]} cells; with this output at most {most:,} rows are allowed"
        raise invalid("ROWS_OUT_OF_RANGE", f"outputs[{HEAT_MAP}]", detail)
    return identity.find_head(call)
