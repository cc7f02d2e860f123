"""Drawn radiographs in pairs: with a sign and, of the same person, without it; so that where the sign is, is known."""

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.picture.grey import HIGH, LOW, letterbox
from shared.radiograph import FINDINGS, anatomy, exposure

Pixels = NDArray[np.uint8]
VISIBLE = 0.05  # of density: what the sign must add to be called there


@dataclass(frozen=True, slots=True)
class Twins:
    """n pairs, all [n, side, side]. sign: whether it is there."""

    ill: Pixels
    well: Pixels
    sign: NDArray[np.bool_]


def draw_twins(finding: str, seeds: range, side: int = 96) -> Twins:
    """One pair for each of `seeds`, of people that no training has drawn: theirs are large random numbers."""
    drawn = [_draw(finding, seed, side) for seed in seeds]
    return Twins(*(np.stack(each) for each in zip(*drawn, strict=True)))


def _draw(finding: str, seed: int, side: int) -> tuple[Pixels, Pixels, NDArray[np.bool_]]:
    """Signs are drawn last, and both bodies are exposed alike: they differ in the sign alone."""
    start = (seed, FINDINGS.index(finding))
    chance = np.random.default_rng(start)
    bodies = anatomy.draw(finding, chance, side), anatomy.draw("normal", np.random.default_rng(start), side)
    seen = [exposure.expose(body, copy.deepcopy(chance)).astype(np.float32) for body in bodies]
    low, high = np.percentile(seen[0], (LOW, HIGH))
    ill, well = (np.rint(np.clip((each - low) * (255 / (high - low)), 0, 255)).astype(np.uint8) for each in seen)
    sign = (np.abs(bodies[0] - bodies[1]) > VISIBLE).astype(np.uint8) * np.uint8(255)
    return letterbox(ill, side), letterbox(well, side), letterbox(sign, side) > 127
