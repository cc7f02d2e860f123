"""PNG and JPEG."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from shared.errors import Reject
from shared.picture import grey
from shared.picture.picture import MAX_PIXELS, Facts, Values

# Pillow only warns of a bomb at 89.5 MP and refuses at twice that. `read` has its own, lower cap, which names the size.
Image.MAX_IMAGE_PIXELS = None

_DEEP = {"I", "F"}  # modes beyond 8 bits, together with all that begin with "I;"


def read(data: bytes, kind: str) -> tuple[Values, Facts]:
    """Grey values [h, w], averaged down where the image is large, and the facts.

    Args:
        kind: ``PNG`` or ``JPEG``; no other decoder of Pillow is ever tried.

    Raises:
        Reject: ``IMAGE_TOO_LARGE``, ``IMAGE_TRUNCATED``, ``IMAGE_DECODE_FAILED``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                width, height = image.size
                check_size(width, height)
                frames = int(getattr(image, "n_frames", 1))
                values, colour = _decode(image)
    except (Reject, MemoryError):
        raise
    except Exception as error:  # whatever Pillow raises on hostile bytes, they cannot be decoded
        raise _refuse(kind, error) from error
    facts = Facts(kind, width, height, frames=frames, spread=grey.spread(values), colour=colour)
    return values, facts


def check_size(width: int, height: int) -> None:
    """
    Raises:
        Reject: ``IMAGE_TOO_LARGE``: the header names more pixels than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise Reject(
            "IMAGE_TOO_LARGE",
            f"the image has {width:,} x {height:,} pixels; the limit is {MAX_PIXELS:,} in all",
            "image",
        )


def _decode(image: Image.Image) -> tuple[Values, float]:
    image.draft(None, (grey.WORKING_SIDE, grey.WORKING_SIDE))  # None keeps the mode; JPEG only
    if image.mode in _DEEP or image.mode.startswith("I;"):  # Pillow's own conversion to 8 bits clips these
        return grey.shrink(np.asarray(image)), 0.0
    upright = ImageOps.exif_transpose(image)
    if upright.mode in {"1", "P", "PA"}:  # neighbouring palette entries are not neighbouring colours
        upright = upright.convert("L" if upright.mode == "1" else "RGBA")
    small = upright.reduce(max(1, min(max(upright.size) // grey.WORKING_SIDE, *upright.size)))
    if small.mode in {"RGBA", "LA", "La", "RGBa"}:
        small = Image.alpha_composite(Image.new("RGBA", small.size, "black"), small.convert("RGBA"))
    if small.mode == "L":
        return np.asarray(small, np.float32), 0.0
    return grey.flatten(np.asarray(small.convert("RGB"), np.float32))


def _refuse(kind: str, error: Exception) -> Reject:
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return Reject("IMAGE_TRUNCATED", f"the {kind} ends before its image does", "image")
    return Reject(
        "IMAGE_DECODE_FAILED", f"the bytes are not a {kind} that can be decoded ({type(error).__name__})", "image"
    )
