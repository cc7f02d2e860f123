"""Every way in which bytes fail to be an image: a stable code, a sentence, and never a person's name."""

import zlib
from collections.abc import Callable

import pytest
from PIL import Image
from pydicom.uid import JPEGLSLossless, RLELossless

from shared.errors import Reject
from shared.picture.reading import read
from tests.imaging import samples

HOPELESS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "nothing": (lambda: b"", "IMAGE_EMPTY", "no bytes"),
    "text": (lambda: b"hello, this is no image" * 20, "IMAGE_FORMAT_UNKNOWN", "PNG, JPEG or DICOM"),
    "a PDF": (lambda: b"%PDF-1.7 ...", "IMAGE_FORMAT_UNKNOWN", "looks like a PDF"),
    "a GIF": (lambda: b"GIF89a" + bytes(20), "IMAGE_FORMAT_UNKNOWN", "looks like a GIF"),
    "a PNG of 3.6 gigapixels": (lambda: samples.png_header(60_000, 60_000), "IMAGE_TOO_LARGE", "60,000 x 60,000"),
    "a PNG of one endless row": (lambda: samples.png_header(2**31 - 1, 1), "IMAGE_TOO_LARGE", "2,147,483,647 x 1 "),
    "a JPEG of 4.3 gigapixels": (
        lambda: samples.jpeg(samples.grey8()).replace(b"\x08\x01\x00\x00", b"\x08\xff\xff\xff", 1),
        "IMAGE_TOO_LARGE",
        "65,",
    ),
    "a PNG without its pixels": (lambda: samples.png_header(500, 500), "IMAGE_TRUNCATED", "ends before"),
    "half a PNG": (lambda: samples.png(samples.grey8())[:9000], "IMAGE_TRUNCATED", "ends before"),
    "half a JPEG": (lambda: samples.jpeg(samples.grey8())[:3000], "IMAGE_TRUNCATED", "ends before"),
    "a PNG's first bytes": (lambda: samples.png(samples.grey8())[:20], "IMAGE_", "PNG"),
    "a PNG of noise": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "IMAGE_DECODE_FAILED", "PNG"),
    "a structured report": (
        lambda: samples.dicom(Modality="SR", PixelData=None),
        "DICOM_NO_PIXELS",
        "structured report",
    ),
    "DICOM without pixels": (lambda: samples.dicom(PixelData=None), "DICOM_NO_PIXELS", "without pixel data"),
    "half a DICOM": (lambda: samples.dicom()[:-20_000], "IMAGE_TRUNCATED", "need"),
    "DICOM cut in its header": (lambda: samples.dicom()[:400], "DICOM_NO_PIXELS", "without pixel data"),
    "DICOM that lies about its size": (
        lambda: samples.dicom(Rows=9_000, Columns=9_000),
        "IMAGE_TOO_LARGE",
        "9,000 x 9,000",
    ),
    "DICOM that lies about its frames": (
        lambda: samples.dicom(NumberOfFrames=2_000_000_000),
        "IMAGE_TRUNCATED",
        "frames",
    ),
    "DICOM without Rows": (lambda: samples.dicom(Rows=None), "DICOM_ATTRIBUTE_INVALID", "Rows"),
    "DICOM of no columns": (lambda: samples.dicom(Columns=0), "DICOM_ATTRIBUTE_INVALID", "Columns"),
    "DICOM of unknown photometry": (
        lambda: samples.dicom(PhotometricInterpretation="HSV"),
        "DICOM_ATTRIBUTE_INVALID",
        "PhotometricInterpretation",
    ),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_can_never_be_decoded_is_rejected(name: str) -> None:
    """Each has a stable code and a sentence that names the matter."""
    make, reason, words = HOPELESS[name]
    with pytest.raises(Reject) as caught:
        read(make())
    assert caught.value.reason.startswith(reason)
    assert words in caught.value.detail
    assert caught.value.field == "image"


def test_a_syntax_without_a_decoder_is_named() -> None:
    """The operator learns which decoder is missing."""
    made = samples.dataset()
    made.compress(RLELossless, generate_instance_uid=False)
    made.file_meta.TransferSyntaxUID = JPEGLSLossless
    with pytest.raises(Reject, match=r"DICOM_SYNTAX_UNSUPPORTED.*JPEG-LS"):
        read(samples.written(made))


def test_no_error_repeats_what_the_file_says() -> None:
    """A name in the header stays out of the message, whatever goes wrong."""
    for cut in (900, 1500, 5000):
        data = samples.dicom(PatientName="DOE^JANE", BodyPartExamined="DOE^JANE")[:cut]
        with pytest.raises(Reject) as caught:
            read(data)
        assert "DOE" not in str(caught.value)


def test_a_zip_bomb_in_a_png_chunk_is_refused() -> None:
    """A text chunk that would unpack to 50 MB does not."""
    sound = samples.png(Image.fromarray(samples.grey8()))
    bomb = sound[:33] + samples.chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000), 9)) + sound[33:]
    with pytest.raises(Reject, match="IMAGE_DECODE_FAILED"):
        read(bomb)
