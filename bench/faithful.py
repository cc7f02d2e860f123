"""Whether heat maps are true: `python -m bench.faithful [--bundle FOLDER] [--rows N] [--seed S]`.

Draws people in pairs, with a sign and without, and asks the newest imaging version of the store (TIDEMILL_MODELS), or a bundle. Of the
pictures that it calls by their sign, cells are replaced, hottest first (deletion), and put into what replaces them the same way (insertion;
Petsiuk et al. 2018, RISE): a true map makes the probability fall at once, and rise at once. They are replaced by the healthy twin's, so
that nothing but the sign goes, or by a blurred copy's, as where nobody knows a twin; but a blurred patch can look like a sign itself.
Beside it, what other orders of cells do.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from bench.machine import describe, result
from bench.twins import Pixels, Twins, draw_twins
from services.inference.heat import HeatDevice
from services.inference.launcher import Host
from services.inference.picture import ImageDevice
from services.inference.units import Lane, Unit
from shared.bundle import Bundle, load
from shared.nn.image import build
from shared.radiograph import FINDINGS
from shared.radiograph.exposure import blur
from shared.settings import Settings

HEAD = "finding"
SIDE = 96
CHUNK = 128
STEPS = 16  # in which cells are replaced
BLUR = 0.09  # of a side, the standard deviation
ON_SIGN = 0.25  # share of the hottest cell that the sign must cover for a hit

Floats = NDArray[np.float32]


class Subject:
    """What is asked: a bundle's network, as inference runs it."""

    def __init__(self, folder: Path) -> None:
        spec = load(folder, Bundle)
        if spec.kind != "image-classifier" or spec.image is None:
            raise SystemExit(f"{folder}: a {spec.kind} has no heat maps")
        network = build(spec)
        network.load_state_dict(load_file(folder / spec.weights))
        kinds = {head: each.kind for head, each in spec.heads.items()}
        self.plain = ImageDevice(network.eval(), spec.image, spec.temperature, kinds, torch.device("cpu"), Host())
        self.heat = HeatDevice(self.plain)
        self.labels = spec.heads[HEAD].labels
        counts = [len(each.labels) for each in spec.heads.values()]
        start = sum(counts[: list(spec.heads).index(HEAD)])
        self._span, self._width = slice(start, start + len(self.labels)), sum(counts)

    def judge(self, pictures: Pixels) -> Floats:
        """Probabilities [n, labels]."""
        found = [self.plain.run([_unit(self.plain, each) for each in part]) for part in _chunks(pictures)]
        return np.stack([row for rows in found for row in rows])[:, self._span]

    def explain(self, pictures: Pixels) -> Floats:
        """Maps [n, h, w]."""
        found = [self.heat.run([_unit(self.heat, (each, HEAD)) for each in part]) for part in _chunks(pictures)]
        return np.stack([row for rows in found for row in rows])[:, self._width :].reshape(-1, *self.heat.grid)


def _unit(lane: Lane, payload: object) -> Unit:
    return Unit(lane, 1, 0.0, payload=payload)


def _chunks(pictures: Pixels) -> list[Pixels]:
    return [pictures[start : start + CHUNK] for start in range(0, len(pictures), CHUNK)]


def rank_cells(twins: Twins, heat: Floats, chance: np.random.Generator) -> dict[str, Floats]:
    """Ways to choose cells: a score for each, [n, h, w]."""
    height, width = heat.shape[1:]
    down, across = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    centre = np.broadcast_to(-(down**2 + across**2), heat.shape).astype(np.float32)
    return {
        "heat map": heat,
        "another picture's heat map": np.roll(heat, 1, axis=0),
        "centre first": centre + chance.random(heat.shape, np.float32) * np.float32(1e-4),
        "chance": chance.random(heat.shape, np.float32),
        "where the sign is": cover(twins.sign, (height, width))
        + chance.random(heat.shape, np.float32) * np.float32(1e-4),
    }


def cover(sign: NDArray[np.bool_], grid: tuple[int, int]) -> Floats:
    """[n, h, w]: the share of each cell that the sign covers."""
    rows, columns = (np.arange(SIDE) * cells // SIDE for cells in grid)
    found = np.zeros((len(sign), *grid), np.float32)
    count = np.zeros(grid, np.float32)
    np.add.at(count, (rows[:, None], columns[None, :]), 1)
    for each, mask in zip(found, sign, strict=True):
        np.add.at(each, (rows[:, None], columns[None, :]), mask)
    return found / count


def replace(
    judge: Callable[[Pixels], Floats], label: int, into: Pixels, from_: Pixels, scores: Floats
) -> tuple[float, float]:
    """The label's mean probability once `into` has taken over the best eighth of the cells, and that over all shares from none to all."""
    n, height, width = scores.shape
    order = np.argsort(np.argsort(-scores.reshape(n, -1), 1), 1).reshape(
        scores.shape
    )  # of each cell, when its turn comes
    rows, columns = (np.arange(SIDE) * cells // SIDE for cells in (height, width))
    turn = order[:, rows[:, None], columns[None, :]]
    counts = [round(step) for step in np.linspace(0, height * width, STEPS + 1)]
    means = [float(judge(np.where(turn < count, from_, into))[:, label].mean()) for count in counts]
    return means[STEPS // 8], float(np.mean(means))


def measure(subject: Subject, finding: str, rows: int, seed: int) -> None:
    drawn = draw_twins(finding, range(seed, seed + rows), SIDE)
    label = subject.labels.index(finding)
    known = np.flatnonzero(subject.judge(drawn.ill).argmax(1) == label)
    print(f"{finding}: called so in {len(known)} of {rows}")
    if not len(known):
        return
    twins = Twins(drawn.ill[known], drawn.well[known], drawn.sign[known])
    blurred = np.stack(
        [np.clip(blur(each.astype(np.float32), BLUR * SIDE), 0, 255).astype(np.uint8) for each in twins.ill]
    )
    others = {"twin": twins.well, "blur": blurred} if twins.sign.any() else {"blur": blurred}
    chances = {
        name: float(subject.judge(pixels)[:, label].mean()) for name, pixels in {"itself": twins.ill, **others}.items()
    }
    print("  mean probability: " + ", ".join(f"{name} {chance:.3f}" for name, chance in chances.items()))
    covered = cover(twins.sign, subject.heat.grid).reshape(len(known), -1)
    for way, scores in rank_cells(twins, subject.explain(twins.ill), np.random.default_rng(seed)).items():
        told = []
        for name, pixels in others.items():
            first, deleted = replace(subject.judge, label, twins.ill, pixels, scores)
            _, inserted = replace(subject.judge, label, pixels, twins.ill, scores)
            told.append(f"by the {name} {first:.3f} after an eighth, {deleted:.3f} and {inserted:.3f} over all")
            result(f"faithful.{finding}.{name}.{way.replace(' ', '_')}.fall", round(chances["itself"] - first, 3))
            result(f"faithful.{finding}.{name}.{way.replace(' ', '_')}.area", round(inserted - deleted, 3))
        hottest = scores.reshape(len(known), -1).argmax(1)
        hits = float((covered[np.arange(len(known)), hottest] >= ON_SIGN).mean())
        print(f"  {way:28} deletion and insertion {'; '.join(told)}; hottest cell on the sign {hits:.3f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rows", type=int, default=300, help="pictures of each finding")
    parser.add_argument("--seed", type=int, default=0)
    wish = parser.parse_args(arguments)
    store = Settings().models / "imaging"
    folder = wish.bundle or max(store.iterdir(), key=lambda path: path.stat().st_mtime)
    subject = Subject(folder)
    print(f"{describe(wish.seed)}; {folder.name}, {subject.heat.grid[0]} x {subject.heat.grid[1]} cells")
    for finding in FINDINGS:
        measure(subject, finding, wish.rows, wish.seed)


if __name__ == "__main__":
    main()
