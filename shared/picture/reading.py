"""Which format the bytes are, and the way from them to a picture. Runs where a crash is affordable: see `decoders`."""

from shared.errors import Reject
from shared.picture import dicom, grey, raster
from shared.picture.picture import Picture

_KINDS = (  # what else people send, so that the refusal can say so
    (b"GIF8", "a GIF"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"BM", "a bitmap"),
    (b"RIFF", "a WebP or another RIFF file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\0\0\0\x0cjP", "a bare JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a bare JPEG 2000"),
    (b"<", "markup"),
)


def read(data: bytes) -> Picture:
    """The picture that the bytes hold.

    Raises:
        Reject: they can never be decoded: ``IMAGE_EMPTY``, ``IMAGE_FORMAT_UNKNOWN``, ``IMAGE_TOO_LARGE``, ``IMAGE_TRUNCATED``,
            ``IMAGE_DECODE_FAILED``, ``DICOM_NO_PIXELS``, ``DICOM_SYNTAX_UNSUPPORTED``, ``DICOM_ATTRIBUTE_INVALID``.
    """
    if not data:
        raise Reject("IMAGE_EMPTY", "the image has no bytes", "image")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        values, facts = raster.read(data, "PNG")
    elif data.startswith(b"\xff\xd8\xff"):
        values, facts = raster.read(data, "JPEG")
    elif (start := dicom.find(data)) is not None:
        values, facts = dicom.read(data, start)
    else:
        guess = next((f"; it looks like {name}" for magic, name in _KINDS if data.startswith(magic)), "")
        raise Reject("IMAGE_FORMAT_UNKNOWN", f"the image must be PNG, JPEG or DICOM{guess}", "image")
    return Picture(facts, grey.letterbox(grey.stretch(values)))
