"""What is known of an image once it is read. No patient's name, number or date is ever among it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 256  # pixels: pictures are SIDE x SIDE
MAX_PIXELS = 64_000_000  # of one frame; checked on the header, before anything is decoded

Grey = NDArray[np.uint8]
Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Facts:
    """Strings are defined terms of the formats, never free text; empty where the format has none."""

    format: str  # PNG, JPEG, DICOM
    width: int  # pixels
    height: int  # pixels
    frames: int = 1
    frame: int = 0  # the one that was read: the middle one
    modality: str = ""
    photometric: str = ""
    body_part: str = ""
    view: str = ""
    spread: float = 0.0  # stored grey levels between the 0.5th and the 99.5th percentile
    colour: float = 0.0  # share of pixels that are clearly not grey, 0 to 1


@dataclass(frozen=True, slots=True)
class Picture:
    """`pixels` is uint8 [SIDE, SIDE]: bright is dense, contrast stretched, letterboxed with black."""

    facts: Facts
    pixels: Grey
