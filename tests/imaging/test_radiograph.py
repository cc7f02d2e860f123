"""Synthetic radiographs: the same for the same seed, labelled as synthetic, and with signs to find."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from services.imaging.fitness import find_objection
from shared.picture.reading import read
from shared.radiograph import FINDINGS, MARK, anatomy, compose, compose_poor, draw, draw_any
from shared.radiograph.dicom import to_dicom


@pytest.mark.parametrize("finding", FINDINGS)
def test_the_same_seed_draws_the_same_image(finding: str) -> None:
    """And another seed another one."""
    assert np.array_equal(compose(finding, 7), compose(finding, 7))
    assert not np.array_equal(compose(finding, 7)[:, :200], compose(finding, 8)[:, :200])
    assert draw(finding, 7) == draw(finding, 7)


@pytest.mark.parametrize("side", [128, 256])
def test_images_have_twelve_bits_and_the_wanted_height(side: int) -> None:
    """Widths vary as plates do."""
    images = [compose("normal", seed, side) for seed in range(5)]
    assert {image.dtype for image in images} == {np.dtype(np.uint16)}
    assert all(image.max() <= 4095 and image.shape[0] == side and image.shape[1] <= side for image in images)


def test_findings_add_density_where_they_belong() -> None:
    """The same person with an opacity is denser in a patch of a lung; with an effusion, at the bottom of one."""
    for seed in range(20):
        normal, opacity, effusion = (anatomy.draw(f, np.random.default_rng(seed), 64) for f in FINDINGS)
        patch, fluid = opacity - normal, effusion - normal
        assert patch.max() > 0.1
        assert (patch > 0.05).mean() < 0.2
        assert fluid.max() > 0.2
        assert np.average(np.arange(64), weights=fluid.sum(1)) > 32


def test_every_image_says_that_it_is_synthetic() -> None:
    """In its lower left corner, in the PNG's text and in the DICOM's tags."""
    image = compose("normal", 3)
    corner = image[-14:, :60]
    assert (corner == 4095).sum() > 50
    assert MARK in Image.open(io.BytesIO(draw("normal", 3))).info["Description"]
    tags = dcmread(io.BytesIO(to_dicom(image, 3)))
    for value in (tags.PatientName, tags.PatientID, tags.StudyDescription, tags.ImageComments):
        assert MARK in str(value)
    assert (tags.BurnedInAnnotation, tags.PatientIdentityRemoved) == ("YES", "YES")


@pytest.mark.parametrize("modality", ["DX", "CR"])
@pytest.mark.parametrize("negative", [False, True])
def test_both_photometric_interpretations_show_the_same(modality: str, negative: bool) -> None:
    """MONOCHROME1 and MONOCHROME2 of one image are one picture, without a warning of pydicom."""
    image = compose("effusion", 4)
    data = to_dicom(image, 4, modality, negative=negative)
    assert data == to_dicom(image, 4, modality, negative=negative)
    assert np.array_equal(read(data).pixels, read(to_dicom(image, 4)).pixels)
    assert read(data).facts.photometric == ("MONOCHROME1" if negative else "MONOCHROME2")


def test_files_are_of_every_kind_that_comes_in() -> None:
    """PNG and DICOM, DX and CR, both photometric interpretations, the same for the same seed; and header and pixels raise no objection."""
    files = [draw_any(FINDINGS[seed % 3], seed) for seed in range(24)]
    assert files[:6] == [draw_any(FINDINGS[seed % 3], seed) for seed in range(6)]
    facts = [read(data).facts for data in files]
    assert {each.format for each in facts} == {"PNG", "DICOM"}
    assert {(each.modality, each.photometric) for each in facts if each.format == "DICOM"} == {
        (modality, photometric) for modality in ("DX", "CR") for photometric in ("MONOCHROME1", "MONOCHROME2")
    }
    assert [find_objection(each) for each in facts] == [None] * len(files)
    assert read(draw_any("poor", 1)).pixels.std() > 0


def test_poor_images_are_poor_in_many_ways() -> None:
    """They differ from each other more than sound ones do."""
    poor = np.stack([compose_poor(seed, 64)[:, :50].astype(float) for seed in range(40)])
    sound = np.stack([compose("normal", seed, 64)[:, :50].astype(float) for seed in range(40)])
    assert poor.std(0).mean() > 1.5 * sound.std(0).mean()
