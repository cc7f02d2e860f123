"""DICOM: one frame of pixels, brought to the meaning "bright is dense"."""

import io
import logging
import re
import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from shared.errors import Reject
from shared.picture import grey, terms
from shared.picture.lut import display
from shared.picture.picture import Facts, Values
from shared.picture.raster import check_size

logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # its warnings quote values, which may name a person

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NATIVE = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, UID("1.2.840.10008.1.2.1.99")}
_VR = re.compile(rb"[A-Z]{2}")


def find(data: bytes) -> int | None:
    """Where the DICOM file begins in `data`; None if it is not one.

    Files cut off from their preamble and meta header are taken when their first element is one of those that a data set
    begins with, at most one padding byte of the lost header before it.
    """
    if data[128:132] == b"DICM":
        return 0
    return next((start for start in (0, 1) if _begins(data[start : start + 8], len(data))), None)


def _begins(element: bytes, size: int) -> bool:
    if len(element) < 8:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(element[:2], order)
        number = int.from_bytes(element[2:4], order)
        length = int.from_bytes(element[4:], order)
        if group in {0x0002, 0x0008} and number <= 0x0018:
            return bool(_VR.match(element, 4)) or (order == "little" and length < size)
    return False


def read(data: bytes, start: int = 0) -> tuple[Values, Facts]:
    """The middle frame's values [h, w] after modality LUT, VOI LUT and inversion of MONOCHROME1, and the facts.

    Raises:
        Reject: ``DICOM_NO_PIXELS``, ``DICOM_ATTRIBUTE_INVALID``, ``DICOM_SYNTAX_UNSUPPORTED``, ``IMAGE_TOO_LARGE``,
            ``IMAGE_TRUNCATED``, ``IMAGE_DECODE_FAILED``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _parse(data, start)
            layout = _lay_out(dataset)
            return _render(dataset, layout)
    except (Reject, MemoryError):
        raise
    except EOFError as error:
        raise Reject("IMAGE_TRUNCATED", "the DICOM file ends inside an element", "image") from error
    except Exception as error:  # whatever pydicom or a codec raises on hostile bytes, they cannot be decoded
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    raise Reject(
        "IMAGE_DECODE_FAILED", f"the DICOM file's pixels cannot be decoded ({type(error).__name__})", "image"
    ) from error


def _parse(data: bytes, start: int) -> Dataset:
    dataset = dcmread(io.BytesIO(data[start:] if start else data), force=True)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        implicit, little = dataset.original_encoding
        dataset.file_meta = FileMetaDataset()
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


@dataclass(frozen=True, slots=True)
class _Layout:
    width: int
    height: int
    frames: int
    modality: str
    photometric: str


def _lay_out(dataset: Dataset) -> _Layout:
    """The header's account of the pixels, checked before any of them is decoded."""
    modality = terms.defined(dataset.get("Modality"), terms.MODALITIES)
    if not any(name in dataset for name in _PIXELS):
        what = "a structured report" if modality == "SR" else "a DICOM object"
        raise Reject("DICOM_NO_PIXELS", f"{what} without pixel data cannot be read as an image", "image")
    width, height = _whole(dataset, "Columns"), _whole(dataset, "Rows")
    check_size(width, height)
    photometric = terms.defined(dataset.get("PhotometricInterpretation"), terms.PHOTOMETRICS)
    if not photometric or photometric == terms.OTHER:
        raise Reject("DICOM_ATTRIBUTE_INVALID", "PhotometricInterpretation is missing or not a defined term", "image")
    syntax = dataset.file_meta.TransferSyntaxUID
    _check_syntax(syntax)
    frames = _count_frames(dataset, width * height) if syntax in _NATIVE else _frames(dataset) or 1
    return _Layout(width, height, frames, modality, photometric)


def _whole(dataset: Dataset, name: str) -> int:
    try:
        value = int(dataset.get(name))
    except (TypeError, ValueError):
        value = 0
    if value < 1:
        raise Reject("DICOM_ATTRIBUTE_INVALID", f"{name} must be a whole number of 1 or more", "image")
    return value


def _frames(dataset: Dataset) -> int:
    """NumberOfFrames, or 0 if it is missing or no number."""
    try:
        return max(0, int(dataset.get("NumberOfFrames") or 0))
    except (TypeError, ValueError):
        return 0


def _count_frames(dataset: Dataset, pixels: int) -> int:
    """Frames of uncompressed pixel data, whose length must bear them out. Mends a NumberOfFrames that is no number."""
    bits = pixels * _whole(dataset, "SamplesPerPixel") * _bits(dataset)
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3  # chroma is stored for every other pixel only
    held = len(next(dataset[name].value or b"" for name in _PIXELS if name in dataset)) * 8
    frames = _frames(dataset) or max(1, held // bits)
    if held < frames * bits:
        raise Reject(
            "IMAGE_TRUNCATED",
            f"the pixel data has {held // 8:,} bytes; {frames:,} frames of {pixels:,} pixels need {-(-frames * bits // 8):,}",
            "image",
        )
    dataset.NumberOfFrames = frames
    return frames


def _bits(dataset: Dataset) -> int:
    if "FloatPixelData" in dataset:
        return 32
    return 64 if "DoubleFloatPixelData" in dataset else _whole(dataset, "BitsAllocated")


def _check_syntax(syntax: UID) -> None:
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:  # pydicom's word for a transfer syntax that it does not know at all
        available = False
    if not available:
        name = syntax.name if not syntax.is_private and syntax.name != str(syntax) else "a private transfer syntax"
        raise Reject("DICOM_SYNTAX_UNSUPPORTED", f"pixel data in {name} cannot be decoded here", "image")


def _render(dataset: Dataset, layout: _Layout) -> tuple[Values, Facts]:
    frame = layout.frames // 2
    pixels: NDArray[Any] = pixel_array(dataset, index=frame)
    colour = 0.0
    if layout.photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        stored, colour = grey.flatten(grey.shrink(pixels) * np.float32(255 / np.iinfo(pixels.dtype).max))
        values = stored
    else:
        stored = grey.shrink(_without_padding(pixels, dataset, layout))
        values = display(stored, dataset)
        if layout.photometric == "MONOCHROME1":
            values = -values
    facts = Facts(
        "DICOM",
        layout.width,
        layout.height,
        frames=layout.frames,
        frame=frame,
        modality=layout.modality,
        photometric=layout.photometric,
        body_part=terms.defined(dataset.get("BodyPartExamined"), terms.BODY_PARTS),
        view=terms.defined(dataset.get("ViewPosition"), terms.VIEWS),
        spread=grey.spread(stored),
        colour=colour,
    )
    return values, facts


def _without_padding(pixels: NDArray[Any], dataset: Dataset, layout: _Layout) -> NDArray[Any]:
    """Padding around the picture (PS3.3 C.7.5.1.1.2) becomes the darkest of what is displayed, not an outlier."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return pixels
    last = dataset.get("PixelPaddingRangeLimit", first)
    padding = (pixels >= min(first, last)) & (pixels <= max(first, last))
    if not padding.any() or padding.all():
        return pixels
    inside = pixels[~padding]
    return np.where(padding, inside.max() if layout.photometric == "MONOCHROME1" else inside.min(), pixels)
