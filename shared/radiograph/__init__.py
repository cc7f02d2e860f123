"""Synthetic chest radiographs: drawn, not taken, of nobody. Every one says SYNTHETIC in its corner and in its file.

They give the imaging domain something to train on, to test with and to show, without anyone's data. What a model learns from them
says nothing about how it would do on people.
"""

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from shared.radiograph import anatomy, exposure
from shared.radiograph.anatomy import Grey

FINDINGS = ("normal", "opacity", "effusion")
MARK = "SYNTHETIC"
NOTE = f"{MARK} chest radiograph drawn by Tidemill; not of a person"


def compose(finding: str, seed: int, side: int = 256) -> Grey:
    """uint16 [side, <= side] of 12 bits, bright is dense: one of `FINDINGS`, the same for the same seed."""
    chance = np.random.default_rng((seed, FINDINGS.index(finding)))
    return _mark(exposure.expose(anatomy.draw(finding, chance, side), chance))


def compose_poor(seed: int, side: int = 256) -> Grey:
    """Like `compose`, but one that nobody should judge: blurred, wrongly exposed, turned, cut off, a negative, or no chest at all."""
    chance = np.random.default_rng((seed, len(FINDINGS)))
    finding = FINDINGS[chance.integers(len(FINDINGS))]
    return _mark(exposure.spoil(anatomy.draw(finding, chance, side), chance))


def draw(finding: str, seed: int, side: int = 256) -> bytes:
    """A PNG of 8 bits, `finding` being one of `FINDINGS` or "poor"."""
    image = compose_poor(seed, side) if finding == "poor" else compose(finding, seed, side)
    return to_png(image)


def to_png(image: Grey) -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Description", NOTE)
    file = io.BytesIO()
    Image.fromarray((image >> 4).astype(np.uint8)).save(file, "PNG", pnginfo=note)
    return file.getvalue()


def write_study(folder: Path, n: int, seed: int, poor: float = 0.1) -> list[tuple[Path, str]]:
    """Writes `n` images, PNG and DICOM (DX and CR, MONOCHROME1 and 2) in turn; returns (path, finding or "poor") of each.

    Args:
        poor: share of images that nobody should judge.
    """
    from shared.radiograph.dicom import to_dicom  # late: only files need pydicom

    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(f"study/{seed}")
    written = []
    for number in range(1, n + 1):
        finding = "poor" if chance.random() < poor else chance.choice(FINDINGS)
        image_seed = chance.randrange(1 << 31)
        image = compose_poor(image_seed) if finding == "poor" else compose(finding, image_seed)
        kind = number % 3
        data = (
            to_dicom(image, image_seed, "DX" if chance.random() < 0.5 else "CR", negative=kind == 1)
            if kind
            else to_png(image)
        )
        path = folder / f"synthetic-{number:04}.{'dcm' if kind else 'png'}"
        path.write_bytes(data)
        written.append((path, finding))
    return written


def _mark(image: Grey) -> Grey:
    """The word burnt into the lower left corner, below the lungs."""
    height, width = image.shape
    canvas = Image.new("L", (width, height))
    size = max(6, height // 24)
    ImageDraw.Draw(canvas).text((size // 4, height - size * 1.4), MARK, fill=255, font=ImageFont.load_default(size))
    return np.where(np.asarray(canvas) > 96, np.uint16(4095), image)
