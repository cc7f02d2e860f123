"""A heat map over its picture, for people to look at."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shared.picture.picture import Grey

LEGEND = "orange: for it; blue: against it"
WARNING = "What the model went by, not the outline of a lesion. Research use, not a medical device."
LEAST = 512  # pixels a side, below which the picture is enlarged
MAX_SIDE = 4096
OPACITY = 0.6  # of the strongest cell
FOR, AGAINST = np.array([255, 140, 0], np.float32), np.array([0, 110, 255], np.float32)
_MARGIN, _LINE = 8, 20  # pixels


def overlay(picture: Grey, heat: NDArray[np.float32], said: str) -> bytes:
    """A PNG: the picture in colours, under it `said`, the legend and what it must not be taken for.

    Cells are shown as coarse as they are: smooth ones would seem to outline something.

    Args:
        picture: uint8 [height, width].
        heat: [h, w], whose cells divide the picture evenly, as `heat_map` of the inference service.
        said: what the map is of, such as "effusion 98 %".

    Raises:
        ValueError: a side of the picture is 0 or beyond `MAX_SIDE`, there is no cell, there are more than pixels, or a score is no number.
    """
    height, width = picture.shape
    if not 0 < min(height, width) <= max(height, width) <= MAX_SIDE:
        raise ValueError(f"picture: {height} x {width} pixels; a side may have 1 to {MAX_SIDE:,}")
    if heat.ndim != 2 or not heat.size or heat.shape[0] > height or heat.shape[1] > width:
        raise ValueError(f"heat: shape {heat.shape} does not divide a picture of {height} x {width} pixels")
    if not np.isfinite(heat).all():
        raise ValueError("heat: a score is no number")
    by = -(-LEAST // max(height, width))
    grey = np.kron(picture, np.ones((by, by), np.uint8)).astype(np.float32)[..., None]
    cells = _enlarge(heat, grey.shape[0], grey.shape[1])[..., None]
    strength = np.abs(cells) * np.float32(OPACITY / (np.abs(heat).max() or 1))
    mixed = grey * (1 - strength) + np.where(cells > 0, FOR, AGAINST) * strength
    return _caption(Image.fromarray(np.rint(mixed).astype(np.uint8)), [said, LEGEND, WARNING])


def _enlarge(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    rows = np.arange(height) * heat.shape[0] // height
    columns = np.arange(width) * heat.shape[1] // width
    found: NDArray[np.float32] = heat[rows[:, None], columns[None, :]]
    return found


def _caption(picture: Image.Image, lines: list[str]) -> bytes:
    font = ImageFont.load_default(12)
    below = picture.height + _MARGIN
    widest = max(int(font.getlength(line)) for line in lines) + 2 * _MARGIN
    canvas = Image.new("RGB", (max(picture.width, widest), below + _LINE * len(lines) + _MARGIN), "white")
    canvas.paste(picture, ((canvas.width - picture.width) // 2, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, below + _LINE * number), line, fill="black", font=font)
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()
