"""Linear heads on pooled vectors, and calibrated probabilities from their logits."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shared.bundle import HeadKind


class Heads(nn.ModuleDict):
    """One linear layer a head; `forward(pooled)` returns {head: logits [n, labels]}.

    Its state dict is what a route's weights file holds: "<head>.weight" [labels, width] and "<head>.bias" [labels].
    """

    def __init__(self, width: int, labels: Mapping[str, int]) -> None:
        super().__init__({head: nn.Linear(width, count) for head, count in labels.items()})

    def forward(self, pooled: Tensor) -> dict[str, Tensor]:
        return {name: head(pooled) for name, head in self.items()}


def load_heads(path: Path, width: int, labels: Mapping[str, int]) -> Heads:
    """Heads in evaluation mode.

    Raises:
        RuntimeError: names or shapes are not those of `labels`; the message names them.
    """
    heads = Heads(width, labels)
    heads.load_state_dict(load_file(path))
    return heads.eval()


def save_heads(heads: Heads, path: Path) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in heads.state_dict().items()}, path)


def calibrate(logits: Tensor, temperature: float = 1.0, kind: HeadKind = "softmax") -> Tensor:
    """Probabilities [n, labels]: softmax(logits / temperature), after Guo et al. 2017; of a multi-label head, the sigmoid of each."""
    scaled = logits.float() / temperature
    return scaled.sigmoid() if kind == "sigmoid" else scaled.softmax(-1)
