"""Images made on the spot: sound ones of every kind that we read, and hostile ones."""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID

from shared.radiograph import compose
from shared.radiograph.dicom import to_dicom

CHEST = compose("normal", 1)  # uint16 of 12 bits, bright is dense


def png(image: Image.Image | NDArray[Any], **options: Any) -> bytes:
    return _save(image, "PNG", **options)


def jpeg(image: Image.Image | NDArray[Any], **options: Any) -> bytes:
    return _save(image, "JPEG", **options)


def _save(image: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def grey8() -> NDArray[np.uint8]:
    return (CHEST >> 4).astype(np.uint8)


def dataset(**tags: Any) -> Dataset:
    """A synthetic radiograph with some of its tags changed; None removes one."""
    made = dcmread(io.BytesIO(to_dicom(CHEST, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests want what the standard forbids
        for name, value in tags.items():
            if value is None:
                del made[name]
            else:
                setattr(made, name, value)
                if made[name].VR == "US or SS":
                    made[name].VR = "US"
    return made


def dicom(**tags: Any) -> bytes:
    return written(dataset(**tags))


def written(made: Dataset) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def dicom_of(pixels: NDArray[Any], photometric: str, **tags: Any) -> bytes:
    """8-bit pixels [frames, h, w(, 3)] or [h, w(, 3)] as they are, under another photometric interpretation."""
    colour = pixels.shape[-1] == 3
    frames = pixels.shape[0] if pixels.ndim - colour == 3 else 1
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    shape = {"Rows": rows, "Columns": columns, "NumberOfFrames": frames, "SamplesPerPixel": 3 if colour else 1}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "WindowCenter": None, "WindowWidth": None}
    if colour:
        shape["PlanarConfiguration"] = 0
    body = pixels.tobytes()
    return dicom(
        **shape, **depth, PhotometricInterpretation=photometric, PixelData=body + b"\0" * (len(body) % 2), **tags
    )


def transcoded(syntax: UID) -> bytes:
    """The synthetic radiograph in another transfer syntax."""
    made = dataset()
    if not syntax.is_compressed:
        made.file_meta.TransferSyntaxUID = syntax
        little, file = syntax.is_little_endian, io.BytesIO()
        made.PixelData = CHEST.astype("<u2" if little else ">u2").tobytes()
        dcmwrite(file, made, implicit_vr=syntax.is_implicit_VR, little_endian=little, force_encoding=True)
        return file.getvalue()
    made.compress(syntax, generate_instance_uid=False)
    return written(made)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its few bytes hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def scan_bomb(side: int, scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan: a few bytes each, a pass over all the pixels each."""
    sound = jpeg(np.full((side, side), 77, np.uint8), progressive=True)
    scan = sound[sound.rindex(b"\xff\xda") : -2]
    return sound[:-2] + scan * scans + b"\xff\xd9"
