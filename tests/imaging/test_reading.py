"""Every kind of image that we read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from shared.picture.grey import letterbox, stretch
from shared.picture.picture import SIDE, Picture
from shared.picture.reading import read
from tests.imaging import samples


def expected() -> np.ndarray[Any, Any]:
    return letterbox(stretch(samples.CHEST.astype(np.float32)))


def distance(picture: Picture) -> float:
    """Mean difference from the synthetic radiograph, in grey levels."""
    return float(np.abs(picture.pixels.astype(int) - expected()).mean())


def rgb() -> Image.Image:
    return Image.fromarray(samples.grey8()).convert("RGB")


RASTERS: dict[str, Callable[[], bytes]] = {
    "8-bit grey PNG": lambda: samples.png(samples.grey8()),
    "16-bit grey PNG": lambda: samples.png(samples.CHEST * 16),
    "RGB PNG of grey": lambda: samples.png(rgb()),
    "palette PNG": lambda: samples.png(Image.fromarray(samples.grey8()).convert("P")),
    "PNG with alpha": lambda: samples.png(rgb().convert("RGBA")),
    "grey PNG with alpha": lambda: samples.png(Image.fromarray(samples.grey8()).convert("LA")),
    "grey JPEG": lambda: samples.jpeg(samples.grey8(), quality=95),
    "colour JPEG of grey": lambda: samples.jpeg(rgb(), quality=95),
    "CMYK JPEG": lambda: samples.jpeg(rgb().convert("CMYK"), quality=95),
    "progressive JPEG": lambda: samples.jpeg(samples.grey8(), quality=95, progressive=True),
}


@pytest.mark.parametrize("kind", RASTERS)
def test_png_and_jpeg_of_every_mode_give_the_same_picture(kind: str) -> None:
    """Whatever the mode, the chest comes out as it went in, and its facts are right."""
    picture = read(RASTERS[kind]())
    assert picture.pixels.shape == (SIDE, SIDE)
    assert picture.pixels.dtype == np.uint8
    assert distance(picture) < 2.5
    assert (picture.facts.height, picture.facts.width) == samples.CHEST.shape
    assert picture.facts.format == ("JPEG" if "JPEG" in kind else "PNG")
    assert picture.facts.colour == 0


def test_a_bilevel_png_is_read() -> None:
    """One bit a pixel is black and white."""
    picture = read(samples.png(Image.fromarray(samples.grey8()).convert("1")))
    assert set(np.unique(picture.pixels)) >= {0, 255}


def test_a_jpeg_is_turned_upright() -> None:
    """A camera's orientation tag is obeyed."""
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = samples.jpeg(samples.grey8()[::-1, ::-1], exif=exif, quality=95)
    assert distance(read(turned)) < 2.5


def test_a_colour_photograph_is_known_as_one() -> None:
    """The share of coloured pixels is told apart from a grey image in RGB."""
    photo = np.zeros((100, 100, 3), np.uint8)
    photo[:50, :, 0] = 200
    photo[50:, :] = np.arange(100, dtype=np.uint8)[:, None]
    assert read(samples.png(photo)).facts.colour == pytest.approx(0.5)


def test_a_large_image_is_averaged_down() -> None:
    """Beyond the working size the picture is still the whole image."""
    large = np.kron(samples.grey8(), np.ones((12, 12), np.uint8))
    picture = read(samples.png(large))
    assert picture.facts.height == 256 * 12
    assert distance(picture) < 6


SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_every_lossless_syntax_gives_the_same_picture(syntax: Any) -> None:
    """Byte order and compression leave no trace."""
    picture = read(samples.transcoded(syntax))
    assert distance(picture) == 0
    assert (picture.facts.modality, picture.facts.photometric) == ("DX", "MONOCHROME2")
    assert (picture.facts.body_part, picture.facts.view) == ("CHEST", "PA")


def test_monochrome1_is_inverted() -> None:
    """Where the lowest value is white, the picture still shows dense as bright."""
    stored = {"PhotometricInterpretation": "MONOCHROME1", "PixelData": (4095 - samples.CHEST).tobytes()}
    assert distance(read(samples.dicom(**stored))) < 1


def test_rescale_with_a_negative_slope_turns_the_values() -> None:
    """The modality LUT is applied before the window."""
    inverted = samples.dicom(
        RescaleSlope=-1, RescaleIntercept=4095, PixelData=(4095 - samples.CHEST).astype("<u2").tobytes()
    )
    assert distance(read(inverted)) < 1


def test_the_window_of_the_file_is_used() -> None:
    """What lies outside the window is cut off, as the person who set it meant."""
    picture = read(samples.dicom(WindowCenter=1000, WindowWidth=200))
    assert ((picture.pixels == 0) | (picture.pixels == 255)).mean() > 0.6


@pytest.mark.parametrize(
    "window", [{"WindowWidth": 0}, {"WindowCenter": 60_000, "WindowWidth": 2}, {"WindowCenter": None}]
)
def test_a_useless_window_is_ignored(window: dict[str, Any]) -> None:
    """A broken window, or one that leaves nothing visible, gives way to the values themselves."""
    assert distance(read(samples.dicom(**window))) < 1


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_window_functions_keep_the_order(function: str) -> None:
    """Exact and sigmoid windows show the same chest, a little brighter or darker."""
    assert distance(read(samples.dicom(VOILUTFunction=function))) < 20


def test_the_first_of_several_windows_counts() -> None:
    """A file with a soft-tissue and a bone window is shown in the first."""
    several = read(samples.dicom(WindowCenter=[2048, 100], WindowWidth=[4096, 10]))
    assert distance(several) == 0


def test_a_modality_table_is_used() -> None:
    """A modality LUT goes before the window."""
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "US"
    table.LUTData = (4095 - np.arange(4096, dtype=np.uint16)).tobytes()
    table["LUTData"].VR, table["LUTDescriptor"].VR = "OW", "US"
    changes = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}
    negative = (4095 - samples.CHEST).astype("<u2").tobytes()
    picture = read(samples.dicom(ModalityLUTSequence=Sequence([table]), PixelData=negative, **changes))
    assert distance(picture) < 1


def test_a_voi_table_is_used() -> None:
    """A VOI LUT sequence goes before a window."""
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4096, 0, 16], "inverted"
    table.LUTData = (65535 - np.arange(4096, dtype=np.uint16) * 16).tobytes()
    table["LUTData"].VR = "OW"
    table["LUTDescriptor"].VR = "US"
    picture = read(samples.dicom(VOILUTSequence=Sequence([table])))
    assert np.abs(picture.pixels.astype(int)[:, 100] + expected().astype(int)[:, 100] - 255).mean() < 3


def test_padding_is_no_outlier() -> None:
    """Padding values outside the picture do not eat up its contrast."""
    padded = samples.CHEST.copy()
    padded[:, :40] = 65_000
    picture = read(samples.dicom(PixelPaddingValue=65_000, BitsStored=16, HighBit=15, PixelData=padded.tobytes()))
    assert picture.pixels[:, 128].max() > 180
    assert picture.pixels[100, 30] == 0


def test_colour_dicom_becomes_grey() -> None:
    """RGB, YBR and palette data end as luma."""
    colours = np.asarray(rgb())
    assert distance(read(samples.dicom_of(colours, "RGB"))) < 2
    ybr = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    assert distance(read(samples.dicom_of(ybr, "YBR_FULL"))) < 2.5
    ramp = (np.arange(256, dtype=np.uint16) * 257).tobytes()
    names = ("Red", "Green", "Blue")
    tables: dict[str, Any] = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
    tables |= {f"{name}PaletteColorLookupTableData": ramp for name in names}
    assert distance(read(samples.dicom_of(samples.grey8(), "PALETTE COLOR", **tables))) < 2


def test_the_middle_frame_is_read() -> None:
    """Of several frames one is read, and the facts say which."""
    frames = np.zeros((5, *samples.CHEST.shape), np.uint8)
    frames[2] = samples.grey8()
    picture = read(samples.dicom_of(frames, "MONOCHROME2"))
    assert (picture.facts.frames, picture.facts.frame) == (5, 2)
    assert distance(picture) < 2


@pytest.mark.parametrize("padding", [b"", b" "])
def test_a_file_without_its_meta_header_is_read(padding: bytes) -> None:
    """Some archives cut the header off, and sometimes leave one byte of it."""
    whole = samples.transcoded(ImplicitVRLittleEndian)
    start = whole.index(b"\x08\x00\x08\x00", 132)
    assert distance(read(padding + whole[start:])) == 0


def test_a_person_is_never_among_the_facts() -> None:
    """Free text in coded attributes, as some sites write it, is not passed on."""
    facts = read(samples.dicom(BodyPartExamined="DOE^JANE", ViewPosition="DOE^JANE")).facts
    assert "DOE" not in repr(facts)
    assert (facts.body_part, facts.view) == ("OTHER", "OTHER")


def _odd_character_set() -> bytes:
    made = samples.dataset(SpecificCharacterSet=["ISO 2022 IR 87", "no such set"])
    return samples.written(made).replace(b"SYNTHETIC^TIDEMILL", b"\x1b$B\xff\xfe\x80^TIDEMIL")


def test_an_odd_character_set_does_not_matter() -> None:
    """Names are never decoded, so a broken one cannot stop the image."""
    assert distance(read(_odd_character_set())) == 0
