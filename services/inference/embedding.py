"""The vector that heads read: an output of text classifiers that is handed out to those who ask for it. It costs nothing: it is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from services.inference.tensors import TensorSpec
from shared.nn.adapter import Adapter

if TYPE_CHECKING:
    from services.inference.text import Branch

EMBEDDING = "embedding"


def describe_embedding(widths: Iterable[int]) -> tuple[TensorSpec, ...]:
    """The output, as metadata names it; none where routes have vectors of several widths, which are no tensor."""
    (width, *others) = set(widths)
    return () if others else (TensorSpec(EMBEDDING, "FP32", (-1, width), optional=True),)


@dataclass(frozen=True, eq=False, slots=True)
class Embedding:
    """A branch whose rows share passes with all others, and get their vector behind their probabilities."""

    branch: "Branch"

    @property
    def adapter(self) -> Adapter | None:
        return self.branch.adapter

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """[n, width] to [n, labels of all heads + width]."""
        return torch.cat([self.branch.classify(pooled), pooled], 1)
