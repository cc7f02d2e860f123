"""Synthetic chest radiographs: drawn, not taken, of nobody. Every one says SYNTHETIC in its corner and in its file.

They give the imaging domain something to train on, to test with and to show, without anyone's data. What a model learns from them
says nothing about how it would do on people.
"""

import io
import random

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


def draw_any(finding: str, seed: int) -> bytes:
    """Like `draw`, as a file of one of the kinds that come in, which `seed` chooses: PNG, or DICOM (DX or CR, MONOCHROME1 or 2)."""
    from shared.radiograph.dicom import to_dicom  # late: only such files need pydicom

    chance = random.Random(f"file/{seed}")
    image = compose_poor(seed) if finding == "poor" else compose(finding, seed)
    modality = chance.choice(("", "DX", "CR"))
    return to_dicom(image, seed, modality, negative=chance.random() < 0.5) if modality else to_png(image)


def _mark(image: Grey) -> Grey:
    """The word burnt into the lower left corner, below the lungs."""
    height, width = image.shape
    canvas = Image.new("L", (width, height))
    size = max(6, height // 24)
    ImageDraw.Draw(canvas).text((size // 4, height - size * 1.4), MARK, fill=255, font=ImageFont.load_default(size))
    return np.where(np.asarray(canvas) > 96, np.uint16(4095), image)
