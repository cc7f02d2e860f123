"""From values of any range to one grey picture. Serving and training both go through here, so they see the same pixels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.picture.picture import SIDE, Grey, Values

LOW, HIGH = 0.5, 99.5  # percentiles that become black and white
WORKING_SIDE = 1024  # pixels: larger images are averaged down before any arithmetic, which bounds its memory
_CLEARLY = 32  # 8-bit levels between a pixel's strongest and weakest channel from which it is not grey
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def shrink(values: NDArray[np.generic]) -> Values:
    """Means over square blocks, so that the longer side is below 2 x `WORKING_SIDE`. Takes [h, w] or [h, w, channels]."""
    height, width = values.shape[:2]
    by = max(1, min(max(height, width) // WORKING_SIDE, height, width))
    if by == 1:
        return values.astype(np.float32)
    whole = values[: height // by * by, : width // by * by]
    blocks = whole.reshape(height // by, by, width // by, by, *values.shape[2:])
    means: Values = blocks.mean((1, 3), dtype=np.float32)
    return means


def flatten(colours: Values) -> tuple[Values, float]:
    """Luma of RGB [h, w, 3] in 0-255, and the share of pixels that are clearly coloured."""
    chroma = colours.max(2) - colours.min(2)
    return colours @ _LUMA, float((chroma > _CLEARLY).mean())


def spread(values: Values) -> float:
    """How far the values reach, outliers set aside."""
    low, high = np.percentile(values, (LOW, HIGH))
    return float(high - low)


def stretch(values: Values) -> Grey:
    """uint8 of the same shape: the `LOW` and `HIGH` percentiles become 0 and 255. Constant values become 0."""
    low, high = np.percentile(values, (LOW, HIGH))
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    scaled = (values - np.float32(low)) * np.float32(255 / (high - low))
    levels: Grey = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return levels


def letterbox(grey: Grey, side: int = SIDE) -> Grey:
    """uint8 [side, side]: the whole image, its proportions kept, centred on black."""
    height, width = grey.shape
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))  # antialiased when it shrinks
    picture = np.zeros((side, side), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    picture[top : top + size[1], left : left + size[0]] = fitted
    return picture
