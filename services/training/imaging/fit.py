"""Fits the image network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.training.imaging.samples import UNKNOWN, Samples
from shared.bundle import ImageInput
from shared.nn.image import prepare

Logits = Mapping[str, Tensor]  # by head, [n, labels]
_CHUNK = 256  # rows of a forward pass without gradients


@dataclass(frozen=True, slots=True)
class Recipe:
    epochs: int = 14
    batch: int = 32
    rate: float = 2e-3  # the peak of one cycle (Smith 2018)
    decay: float = 0.02
    weights: Mapping[str, float] | None = None  # of each head's loss; None: finding 1, others 0.5
    anchor: float = 0.0  # weight of staying close to the first network's answers, when fine-tuning (distillation)


def fit(
    network: nn.Module, samples: Samples, spec: ImageInput, recipe: Recipe, seed: int, tell: Callable[[str], None]
) -> None:
    """Trains in place, by AdamW with one cycle of the rate; each epoch tells its loss.

    Pictures are mirrored and moved a little. Samples without a label for a head do not count there.
    """
    torch.manual_seed(seed)
    inputs = prepare(torch.from_numpy(samples.pixels), spec)
    truth = {head: torch.from_numpy(values) for head, values in samples.truth.items()}
    weights = torch.from_numpy(samples.weights)
    before = infer(network, samples, spec) if recipe.anchor else {}
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    steps = max(1, len(samples) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.epochs * steps)
    network.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        for rows in torch.randperm(len(samples)).chunk(steps):
            logits = network(augment(inputs[rows]))
            loss = _loss(logits, {head: values[rows] for head, values in truth.items()}, weights[rows], recipe)
            for head, old in before.items():
                loss = loss + recipe.anchor * functional.cross_entropy(logits[head], old[rows].softmax(1))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        tell(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / steps:.3f}")
    network.eval()


def _loss(logits: Logits, truth: Mapping[str, Tensor], weights: Tensor, recipe: Recipe) -> Tensor:
    total = torch.zeros(())
    for head, values in truth.items():
        of_head = (recipe.weights or {}).get(head, 1.0 if head == "finding" else 0.5)
        each = functional.cross_entropy(logits[head], values, ignore_index=UNKNOWN, reduction="none")
        total = total + of_head * (each * weights).sum() / weights[values != UNKNOWN].sum().clamp_min(1e-6)
    return total


def augment(inputs: Tensor) -> Tensor:
    """Half of the pictures mirrored, all of them moved by up to 1/16 of a side and a little brighter or darker."""
    n, _, side, _ = inputs.shape
    mirrored = torch.where(torch.rand(n, 1, 1, 1) < 0.5, inputs.flip(3), inputs)
    reach = max(1, side // 16)
    padded = functional.pad(mirrored, (reach,) * 4, mode="replicate")
    down, across = (int(torch.randint(2 * reach + 1, ())) for _ in range(2))
    moved = padded[:, :, down : down + side, across : across + side]
    return moved * (1 + 0.1 * torch.randn(n, 1, 1, 1)) + 0.1 * torch.randn(n, 1, 1, 1)


@torch.inference_mode()
def infer(network: nn.Module, samples: Samples, spec: ImageInput) -> dict[str, Tensor]:
    """Logits [n, labels] of each head."""
    network.eval()
    chunks = [
        network(prepare(torch.from_numpy(samples.pixels[start : start + _CHUNK]), spec))
        for start in range(0, len(samples), _CHUNK)
    ]
    return {head: torch.cat([chunk[head] for chunk in chunks]).clone() for head in chunks[0]}
