"""Labelled pictures: drawn ones, MedMNIST's, and those that people judged."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from services.training.split import Part, part
from shared.picture.grey import letterbox, stretch
from shared.radiograph import FINDINGS, compose, compose_poor

QUALITIES = ("good", "poor")
UNKNOWN = -1  # no label for this head: the sample does not count there
SIDE = 96  # pixels, of pictures to learn from
_POOR = 0.15  # share of drawn pictures that nobody should judge


@dataclass(frozen=True, slots=True)
class Samples:
    """n pictures and their labels; a label is an index into `labels` of its head, or `UNKNOWN`."""

    pixels: NDArray[np.uint8]  # [n, side, side]
    labels: Mapping[str, tuple[str, ...]]  # of each head
    truth: dict[str, NDArray[np.int64]]  # by head, [n]
    entities: tuple[str, ...]  # whose picture: one entity never lies on both sides of a split
    weights: NDArray[np.float32]  # [n], of each one's loss
    origins: tuple[str, ...]  # "synthetic", "medmnist" or "judged"

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Samples":
        index = np.asarray(rows, np.int64)
        truth = {head: values[index] for head, values in self.truth.items()}
        entities, origins = (tuple(names[row] for row in index) for names in (self.entities, self.origins))
        return Samples(self.pixels[index], self.labels, truth, entities, self.weights[index], origins)

    def known(self, head: str) -> "Samples":
        """Those that have a label for `head`."""
        return self.take(np.flatnonzero(self.truth[head] != UNKNOWN))


def synthetic(n: int, seed: int, side: int = SIDE) -> Samples:
    """`n` drawn radiographs, a person each. Disjoint seeds give disjoint people."""
    chance = np.random.default_rng(seed)
    pixels = np.zeros((n, side, side), np.uint8)
    finding, quality = np.full(n, UNKNOWN, np.int64), np.zeros(n, np.int64)
    seeds = chance.integers(1 << 62, size=n)
    for row, image_seed in enumerate(seeds.tolist()):
        if chance.random() < _POOR:
            quality[row] = QUALITIES.index("poor")
            image = compose_poor(image_seed, side)
        else:
            finding[row] = chance.integers(len(FINDINGS))
            image = compose(FINDINGS[finding[row]], image_seed, side)
        pixels[row] = letterbox(stretch(image.astype(np.float32)), side)
    labels = {"finding": FINDINGS, "quality": QUALITIES}
    entities = tuple(f"synthetic/{image_seed}" for image_seed in seeds.tolist())
    truth = {"finding": finding, "quality": quality}
    return Samples(pixels, labels, truth, entities, np.ones(n, np.float32), ("synthetic",) * n)


def gather(path: Path | None, n: int, seed: int) -> tuple[Samples, dict[str, Any]]:
    """The samples of a file, or `n` drawn ones, and what is to be recorded of them."""
    if path is None:
        return synthetic(n, seed), {"source": "synthetic", "n": n, "seed": seed}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return medmnist(path), {"source": path.name, "sha256": digest}


def medmnist(path: Path) -> Samples:
    """PneumoniaMNIST (Yang et al. 2023) from its npz file, train and val together; label 1 is pneumonia.

    It names no patients, so equal pictures are all that can be kept on one side of a split.

    Raises:
        ValueError: the file lacks an array, or one has another shape than MedMNIST's.
    """
    with np.load(path, allow_pickle=False) as arrays:
        parts = [name for name in ("train", "val") if f"{name}_images" in arrays]
        if not parts:
            raise ValueError(f"{path}: no train_images or val_images; is it PneumoniaMNIST's npz file?")
        pixels = np.concatenate([arrays[f"{name}_images"] for name in parts])
        truth = np.concatenate([arrays[f"{name}_labels"].reshape(-1) for name in parts]).astype(np.int64)
    if pixels.ndim != 3 or pixels.dtype != np.uint8 or len(pixels) != len(truth) or not set(truth.tolist()) <= {0, 1}:
        raise ValueError(f"{path}: expected uint8 images [n, side, side] and as many labels 0 or 1")
    entities = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels)
    n = len(pixels)
    labels = {"finding": ("normal", "pneumonia")}
    return Samples(pixels, labels, {"finding": truth}, entities, np.ones(n, np.float32), ("medmnist",) * n)


def split(samples: Samples) -> dict[Part, Samples]:
    """Training, validation and test, by a hash of the entity: the same for ever, however the data grow."""
    parts = np.array([part(entity) for entity in samples.entities])
    return {name: samples.take(np.flatnonzero(parts == name)) for name in get_args(Part)}


def join(first: Samples, second: Samples) -> Samples:
    """Both, one after another, with the first one's labels, and its side of pictures."""
    side = first.pixels.shape[1]
    pixels = [letterbox(picture, side) for picture in second.pixels]
    truth = {head: np.concatenate([values, second.truth[head]]) for head, values in first.truth.items()}
    return Samples(
        np.concatenate([first.pixels, np.stack(pixels)]) if pixels else first.pixels,
        first.labels,
        truth,
        first.entities + second.entities,
        np.concatenate([first.weights, second.weights]),
        first.origins + second.origins,
    )
