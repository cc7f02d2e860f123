"""From densities to what a detector stores: exposure, scatter, blur and noise; and the ways in which that goes wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.radiograph.anatomy import Chance, Density, Grey, smooth_noise

_WHITE = 4095  # of 12 bits


def expose(density: Density, chance: Chance, noise: float = 1.0) -> Grey:
    """uint16 of 12 bits, the same shape; `noise` 1 is usual."""
    height = density.shape[0]
    scatter = 0.08 * smooth_noise(density.shape, 2, chance)
    seen = blur(density, height * chance.uniform(0.001, 0.005)) * chance.uniform(0.75, 1.05) + scatter + 0.08
    seen = np.clip(seen, 0, 1.3) ** chance.uniform(0.75, 1.35)
    grain = (
        chance.normal(size=seen.shape) * noise * chance.uniform(0.01, 0.04) * height / 256
    )  # finer pixels are noisier
    return _store(seen * chance.uniform(0.7, 0.95) + grain)


def spoil(density: Density, chance: Chance) -> Grey:
    """Like `expose`, but spoilt in one of `_WAYS`."""
    return _WAYS[chance.integers(len(_WAYS))](density, chance)


def blur(image: Density, pixels: float) -> Density:
    """Gaussian blur with a standard deviation of `pixels`, by its transfer function exp(-2 (pi f sigma)^2)."""
    height, width = image.shape
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    pass_through = np.exp(-2 * (np.pi * pixels) ** 2 * (down**2 + across**2))
    return np.fft.irfft2(np.fft.rfft2(image) * pass_through, s=image.shape).astype(np.float32)


def _moved(density: Density, chance: Chance) -> Grey:
    return expose(blur(density, density.shape[0] * chance.uniform(0.035, 0.08)), chance)


def _too_few_photons(density: Density, chance: Chance) -> Grey:
    return expose(density * chance.uniform(0.2, 0.5), chance, noise=chance.uniform(8, 16))


def _burnt_out(density: Density, chance: Chance) -> Grey:
    """Nearly all of it black, or nearly all white."""
    shift = chance.uniform(0.45, 0.6) if chance.random() < 0.5 else chance.uniform(-0.75, -0.55)
    return _store((density + shift) * chance.uniform(1.2, 1.6) + chance.normal(size=density.shape) * 0.01)


def _turned(density: Density, chance: Chance) -> Grey:
    angle = chance.uniform(40, 320)
    return expose(_resample(density, angle, (0, 0, *density.shape[::-1])), chance)


def _cut_off(density: Density, chance: Chance) -> Grey:
    """A corner fills the image."""
    height, width = density.shape
    part = chance.uniform(0.25, 0.45)
    left = 0 if chance.random() < 0.5 else int(width * (1 - part))
    top = 0 if chance.random() < 0.5 else int(height * (1 - part))
    box = (left, top, left + int(width * part), top + int(height * part))
    return expose(_resample(density, 0, box), chance)


def _negative(density: Density, chance: Chance) -> Grey:
    """The header and the pixels disagree on what is white."""
    return np.asarray(_WHITE - expose(density, chance), np.uint16)


def _no_chest(density: Density, chance: Chance) -> Grey:
    """Gratings, discs and clouds: whatever else people may send."""
    height, width = density.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    image = chance.uniform(0.1, 0.6) + 0.3 * smooth_noise(density.shape, int(chance.integers(2, 20)), chance)
    for _ in range(chance.integers(1, 5)):
        far = np.hypot((x - chance.uniform(-0.8, 0.8)) * chance.uniform(0.5, 2), y - chance.uniform(-0.8, 0.8))
        image = np.where(far < chance.uniform(0.1, 0.7), chance.uniform(0, 1), image)
    if chance.random() < 0.4:
        image += 0.3 * np.sin(chance.uniform(5, 40) * x + chance.uniform(5, 40) * y)
    return _store(blur(image.astype(np.float32), height * chance.uniform(0.001, 0.01)))


def _resample(density: Density, angle: float, box: tuple[float, float, float, float]) -> Density:
    size = density.shape[1], density.shape[0]
    turned = Image.fromarray(density).rotate(angle, Image.Resampling.BILINEAR)
    return np.asarray(turned.resize(size, Image.Resampling.BILINEAR, box=box), np.float32)


def _store(seen: NDArray[np.floating[Any]]) -> Grey:
    return np.asarray(np.rint(np.clip(seen, 0, 1) * _WHITE), np.uint16)


_WAYS: tuple[Callable[[Density, Chance], Grey], ...] = (
    *(_moved, _too_few_photons, _burnt_out),
    *(_turned, _cut_off, _negative, _no_chest),
)
