"""In which precision an encoder answers for a model: the fastest here of those that the model can afford. Machines differ, so it measures.

What a precision costs in accuracy is recorded in each model's bundle, by training; a bundle without such a record is served in fp32.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from shared.bundle import PrecisionName
from shared.nn.bert import Bert
from shared.nn.compiling import compile_layers
from shared.nn.encoder import Pooled
from shared.nn.precision import can_lower, list_precisions, lower
from shared.nn.tokens import Packed, Tokens, pack
from shared.nn.varlen import find_kernel

log = logging.getLogger(__name__)

MEASURING = 0.3  # seconds for all precisions of one encoder, after one warm-up pass of each
ROUNDS = 3  # at least, however long they take
# Tokens of the texts to measure with: short ones, as customers write, and as many as a CPU has in a full pass.
LENGTHS = (6, 8, 10, 10, 12, 12, 14, 16, 18, 22, 28, 44) * 5
# Times as fast as a more precise one, or it is not worth being less precise: one measurement differs from the next by a tenth either way.
ADVANTAGE = 1.25
FAR = 0.25  # of a vector's length: kernels whose result is further from fp32 than this are broken


class Networks:
    """One encoder in the precisions of this machine. Used by one thread at a time: the one that loads models."""

    def __init__(self, network: nn.Module, device: torch.device, name: str = "", *, compiled: bool = False) -> None:
        self.name, self._device, self._compiled = name, device, compiled
        self._exact = network.to(device)
        self._offered = list_precisions(device) if can_lower(network) else ("fp32",)
        self.speed: dict[PrecisionName, float] = {}  # times as fast as fp32; 0: unusable here

    @property
    def exact(self) -> nn.Module:
        """The encoder as it was loaded, in fp32."""
        return self._exact

    def choose(self, allowed: Iterable[str], wanted: str = "auto") -> PrecisionName:
        """`wanted`, if this machine has it; with "auto" the fastest of those allowed."""
        if wanted != "auto":
            return self._find(wanted)
        names = [name for name in self._offered if name in allowed]
        if not all(name in self.speed for name in names[1:]):
            self.speed = self.speed | self._measure(names)
        return choose(names, self.speed)

    def get(self, precision: PrecisionName) -> nn.Module:
        network = lower(self._exact, precision)
        body = getattr(network, "body", None)
        if isinstance(body, Bert):
            body.kernel = find_kernel(self._device, body.dtype, body.shape.heads, body.shape.width)
        return self._compile(network) if self._compiled and isinstance(body, Bert) else network

    def _compile(self, network: nn.Module) -> nn.Module:
        twin, packed = compile_layers(network), sample(network).to(self._device)
        try:
            with torch.inference_mode():
                off = measure_distance(twin(packed), network(packed))
        except RuntimeError as error:
            log.warning("encoder %s cannot be compiled here and runs as it is: %s", self.name, str(error).strip())
            return network
        if off <= FAR:
            return twin
        log.warning("encoder %s runs as it is: compiled, its vectors are off by %.2f", self.name, off)
        return network

    def _find(self, wanted: str) -> PrecisionName:
        for name in self._offered:
            if name == wanted:
                return name
        log.warning("encoder %s has no %s on this machine and runs in fp32", self.name, wanted)
        return "fp32"

    def _measure(self, names: Sequence[PrecisionName]) -> dict[PrecisionName, float]:
        try:
            twins = {name: self.get(name) for name in names}
            speed = compare(twins, sample(self._exact).to(self._device))
        except RuntimeError as error:
            # torch has no kernel for it here; or the weights are broken, which the warm-up tells
            log.warning("encoder %s runs in fp32; other precisions cannot be measured: %s", self.name, error)
            return dict.fromkeys(names[1:], 0.0)
        told = ", ".join(f"{name} {times:.2f}" for name, times in speed.items())
        log.info("encoder %s, times as fast as fp32: %s", self.name, told)
        return speed


def choose(names: Sequence[PrecisionName], speed: Mapping[PrecisionName, float]) -> PrecisionName:
    """The fastest of `names`, which are the most precise first."""
    chosen = names[0]
    for name in names[1:]:
        if speed[name] >= ADVANTAGE * speed.get(chosen, 1.0):
            chosen = name
    return chosen


def sample(network: nn.Module) -> Packed:
    """Tokens of many ids, in texts of ordinary lengths, shortest first as the scheduler has them."""
    assert isinstance(network, Pooled)
    assert isinstance(network.body, Bert)  # only BERTs have more than one precision
    words = network.body.words.num_embeddings
    chance = np.random.default_rng(0)
    lengths = [min(length, network.body.shape.positions // 2) for length in sorted(LENGTHS)]
    return pack([Tokens(chance.integers(words // 2, words, length)) for length in lengths])


@torch.inference_mode()
def compare(networks: Mapping[PrecisionName, nn.Module], packed: Packed) -> dict[PrecisionName, float]:
    """How many times as fast as fp32 each is, by its best pass of interleaved rounds; 0 where its vectors are not near those of fp32."""
    vectors = {name: network(packed) for name, network in networks.items()}
    best = dict.fromkeys(networks, float("inf"))
    end, rounds = time.monotonic() + MEASURING, 0
    while rounds < ROUNDS or time.monotonic() < end:
        rounds += 1
        for name, network in networks.items():
            began = time.perf_counter()
            network(packed).cpu()
            best[name] = min(best[name], time.perf_counter() - began)
    exact = vectors["fp32"]
    far = {name: measure_distance(each, exact) for name, each in vectors.items()}
    return {name: best["fp32"] / best[name] if name == "fp32" or far[name] <= FAR else 0.0 for name in networks}


def measure_distance(found: torch.Tensor, right: torch.Tensor) -> float:
    """The furthest of some vectors [n, width] from what they should be, over the length of that."""
    return float(((found - right).norm(dim=1) / right.norm(dim=1)).max())
