"""The chest as layers of density over a unit square: x to the viewer's right, y downwards, both from -1 to 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Density = NDArray[np.float32]
Grey = NDArray[np.uint16]
Chance = np.random.Generator


def draw(finding: str, chance: Chance, side: int) -> Density:
    """Float [side, width] of densities, about 0 (air) to 1 (bone over heart), with the signs of `finding`."""
    x, y = _place(chance, side)
    build = _build(chance)
    torso = _step(build["girth"] * (1 - 0.12 * y) + 0.25 * _step(y, -0.55, 0.1) - np.abs(x), 0, 0.04)
    torso *= np.maximum(_step(y, -0.72 - 0.25 * np.exp(-((x / 0.3) ** 2)), 0.06), 0)
    lungs = [_lung(x, y, sign, build) for sign in (-1, 1)]
    both = np.maximum(*lungs)
    density = torso * (0.62 - 0.06 * np.abs(x) ** 2) - 0.42 * both * torso
    density += both * _vessels(x, y, chance)
    density += _ribs(x, y, build, chance) * torso
    density += _middle(x, y, build, chance)
    density += _distractors(x, y, both, chance)
    if finding == "opacity":
        density += _opacities(x, y, lungs, chance)
    elif finding == "effusion":
        density += _effusion(x, y, lungs, build, chance)
    return np.clip(density, 0, 1.2).astype(np.float32)


def _place(chance: Chance, side: int) -> tuple[Density, Density]:
    """Coordinates of each pixel after the patient's turn, shift, distance and the plate's proportions."""
    width = int(side * chance.uniform(0.82, 1.0))
    rows, columns = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, width) * width / side, indexing="ij")
    turn, zoom = chance.normal(0, 0.05), chance.uniform(0.9, 1.12)
    cos, sin = np.cos(turn) / zoom, np.sin(turn) / zoom
    x = cos * columns + sin * rows + chance.normal(0, 0.05)
    y = cos * rows - sin * columns + chance.normal(0, 0.05)
    return x.astype(np.float32), y.astype(np.float32)


def _build(chance: Chance) -> dict[str, Any]:
    """This person's measures, in units of half the image."""
    inspiration = chance.normal(0, 0.07)
    return {
        "girth": chance.uniform(0.78, 0.95),
        "lung_x": chance.uniform(0.38, 0.44),
        "lung_width": chance.uniform(0.27, 0.33),
        "apex": chance.uniform(-0.78, -0.66),
        "floor": {-1: 0.36 + inspiration + chance.normal(0, 0.03), 1: 0.42 + inspiration + chance.normal(0, 0.03)},
        "heart": chance.uniform(0.24, 0.36),
        "ribs": chance.uniform(0.03, 0.08),
    }


def _lung(x: Density, y: Density, sign: int, build: dict[str, Any]) -> Density:
    """0 to 1: where the lung on one side (-1: the viewer's left) is, down to the dome of its diaphragm."""
    across = (x * sign - build["lung_x"] - 0.05 * y) / (build["lung_width"] * (0.86 + 0.22 * (y + 0.2)))
    tapered = 1 - across**2 - np.clip((-0.2 - y) / (-0.2 - build["apex"]), 0, 2) ** 2
    dome = build["floor"][sign] - 0.16 * (1 - across**2)  # lowest at the rim: the costophrenic angle
    return _step(tapered, 0, 0.08) * _step(dome + 0.14 - y, 0, 0.025)


def _vessels(x: Density, y: Density, chance: Chance) -> Density:
    """Branches that thin out from the hila, and a fine texture."""
    texture = smooth_noise(x.shape, x.shape[0] // 26, chance) * 0.045
    for sign in (-1, 1):
        across, down = x * sign - 0.16, y + 0.08
        reach = np.exp(-((across / 0.3) ** 2) - (down / 0.4) ** 2)
        angle = np.arctan2(down, across)
        branches = np.clip(np.cos(angle * chance.uniform(7, 11) + chance.uniform(0, 6)), 0, 1) ** 6
        texture += reach * (0.1 * branches + 0.07 * np.exp(-((across / 0.09) ** 2) - (down / 0.16) ** 2))
    return np.asarray(texture, np.float32)


def _ribs(x: Density, y: Density, build: dict[str, Any], chance: Chance) -> Density:
    bands = np.zeros_like(x)
    gap, start = chance.uniform(0.15, 0.19), chance.uniform(-0.75, -0.62)
    for sign, slope in ((-1, 0.35), (1, 0.35)):
        outwards = np.clip(x * sign, 0, 1)
        behind = y - slope * outwards**2 * 2 + 0.25 * outwards
        phase = (behind - start) / gap
        bands += (
            build["ribs"] * np.exp(-(((phase - np.rint(phase)) * gap / 0.028) ** 2)) * (x * sign > 0.08) * (y < 0.75)
        )
    collar = 0.05 * np.exp(-(((y + 0.62 + 0.18 * np.abs(x)) / 0.03) ** 2)) * _step(0.62 - np.abs(x), 0, 0.05)
    return np.asarray(bands + collar, np.float32)


def _middle(x: Density, y: Density, build: dict[str, Any], chance: Chance) -> Density:
    """Spine, mediastinum and heart; the heart points to the viewer's right."""
    spine = 0.08 * _step(0.085 - np.abs(x), 0, 0.02) * (1 + 0.12 * np.cos(y * chance.uniform(38, 46)))
    vessels = 0.2 * _step(0.15 + 0.02 * np.sin(5 * y) - np.abs(x - 0.02), 0, 0.03) * _step(y, -0.75, 0.1)
    size = build["heart"]
    tilt = 0.45 * (y - 0.16)
    heart = 0.24 * _step(1 - ((x - 0.1 - tilt * 0.4) / size) ** 2 - ((y - 0.17) / (size * 1.05)) ** 2, 0, 0.12)
    air = 0.16 * np.exp(-((x / 0.035) ** 2)) * _step(-0.3 - y, 0, 0.05)  # the windpipe
    return np.asarray(spine + np.maximum(vessels, heart) - air, np.float32)


def _distractors(x: Density, y: Density, lungs: Density, chance: Chance) -> Density:
    """What is no finding and may look like one: soft tissue over the lower lungs, shoulder blades, leads, a device."""
    extra = np.zeros_like(x)
    if chance.random() < 0.5:
        amount, low = chance.uniform(0.04, 0.14), chance.uniform(0.05, 0.25)
        extra += amount * np.exp(-(((np.abs(x) - 0.42) / 0.3) ** 2) - ((y - low) / 0.26) ** 2)
    for sign in (-1, 1):
        blade = np.abs(x * sign - chance.uniform(0.72, 0.9) + 0.25 * (y + 0.3))
        extra += chance.uniform(0, 0.1) * _step(0.1 - blade, 0, 0.03) * _step(0.25 - np.abs(y + 0.25), 0, 0.05)
    for _ in range(chance.integers(0, 3)):
        slant, offset, bend = chance.normal(0, 0.6), chance.uniform(-0.6, 0.6), chance.normal(0, 0.3)
        extra += 0.16 * np.exp(-(((x - offset - slant * y - bend * y**2) / 0.008) ** 2))
    if chance.random() < 0.15:
        left, top = chance.uniform(0.25, 0.5), chance.uniform(-0.5, -0.3)
        extra += 0.4 * _step(0.09 - np.hypot(x - left, y - top), 0, 0.01)
    return np.asarray(extra, np.float32)


def _opacities(x: Density, y: Density, lungs: list[Density], chance: Chance) -> Density:
    """One or two ill-defined patches of consolidation inside a lung."""
    added = np.zeros_like(x)
    for _ in range(1 + (chance.random() < 0.3)):
        lung = lungs[chance.integers(2)]
        inside = np.argwhere(lung > 0.9)
        row, column = inside[chance.integers(len(inside))] if len(inside) else (0, 0)
        radius, stretch, turn = chance.uniform(0.12, 0.25), chance.uniform(0.6, 1.5), chance.uniform(0, np.pi)
        across, down = x - x[row, column], y - y[row, column]
        along = np.cos(turn) * across + np.sin(turn) * down
        beside = np.cos(turn) * down - np.sin(turn) * across
        ragged = smooth_noise(x.shape, x.shape[0] // 14, chance)
        reach = np.hypot(along * stretch, beside / stretch) / radius + 0.45 * ragged
        added += chance.uniform(0.22, 0.4) * _step(1 - reach, 0, 0.3) * (1 + 0.3 * ragged) * lung
    return np.asarray(added, np.float32)


def _effusion(x: Density, y: Density, lungs: list[Density], build: dict[str, Any], chance: Chance) -> Density:
    """Fluid at the bottom of one lung, now and then of both: its surface climbs towards the rim (the meniscus)."""
    added = np.zeros_like(x)
    sides = [-1, 1] if chance.random() < 0.2 else [(-1, 1)[chance.integers(2)]]
    for sign in sides:
        across = (x * sign - build["lung_x"]) / build["lung_width"]
        level = build["floor"][sign] + 0.05 - chance.uniform(0.08, 0.4)
        surface = level - chance.uniform(0.06, 0.16) * np.clip(across, -0.5, 1.2) ** 2
        added += chance.uniform(0.24, 0.38) * _step(y - surface, 0, chance.uniform(0.02, 0.06)) * lungs[(sign + 1) // 2]
    return np.asarray(added, np.float32)


def smooth_noise(shape: tuple[int, ...], cells: int, chance: Chance) -> Density:
    """Noise of about unit variance whose lumps are 1/`cells` of the image, by bilinear interpolation of a coarse grid."""
    cells = max(2, cells)
    coarse = chance.normal(size=(cells + 1, cells + 1)).astype(np.float32)
    rows, columns = np.linspace(0, cells - 1e-3, shape[0]), np.linspace(0, cells - 1e-3, shape[1])
    top, left = rows.astype(int), columns.astype(int)
    down, across = (rows - top).astype(np.float32)[:, None], (columns - left).astype(np.float32)[None, :]
    upper = coarse[top][:, left] * (1 - across) + coarse[top][:, left + 1] * across
    lower = coarse[top + 1][:, left] * (1 - across) + coarse[top + 1][:, left + 1] * across
    return np.asarray((upper * (1 - down) + lower * down) * 1.5, np.float32)


def _step(value: Any, edge: Any, softness: float) -> Density:
    """0 below `edge`, 1 above it, smooth over about `softness`."""
    return np.asarray(1 / (1 + np.exp(-np.clip((value - edge) * (4 / softness), -30, 30))), np.float32)
