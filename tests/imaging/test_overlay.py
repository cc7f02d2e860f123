"""Heat maps as people see them."""

import io

import numpy as np
import pytest
from PIL import Image

from shared.picture.overlay import LEAST, overlay

GREY = np.full((64, 64), 100, np.uint8)


def paint(heat: list[list[float]], picture: np.ndarray = GREY) -> np.ndarray:
    """The picture's part of what is shown, [LEAST, LEAST, 3]."""
    shown = Image.open(io.BytesIO(overlay(picture, np.array(heat, np.float32), "effusion 98 %"))).convert("RGB")
    left = (shown.width - LEAST) // 2
    return np.asarray(shown, np.int64)[:LEAST, left : left + LEAST]


def test_cells_have_the_colour_of_their_sign_and_the_strength_of_their_score() -> None:
    """For a label orange, against it blue; the strongest most, zero not at all; each as coarse as it is."""
    shown = paint([[2.0, 1.0], [0.0, -2.0]])
    half = LEAST // 2
    for_, less, none, against = (
        shown[row : row + half, column : column + half] for row in (0, half) for column in (0, half)
    )
    assert all((cell == cell[0, 0]).all() for cell in (for_, less, none, against))
    assert none[0, 0].tolist() == [100, 100, 100]
    assert for_[0, 0, 0] > less[0, 0, 0] > 100 > less[0, 0, 2] > for_[0, 0, 2]
    assert against[0, 0, 2] > 100 > against[0, 0, 0]


def test_the_picture_stays_visible() -> None:
    """Also under the strongest cell; a map of zeros changes nothing; any proportions will do."""
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    shown = paint([[1.0]], ramp)
    assert shown[0, -1, 1] - shown[0, 0, 1] > 80
    assert (paint([[0.0, 0.0]], ramp)[..., 0] == np.kron(ramp, np.ones((8, 8), np.uint8))).all()
    wide = Image.open(io.BytesIO(overlay(np.zeros((30, 1000), np.uint8), np.ones((4, 4), np.float32), "x")))
    assert wide.width == 1000


def test_words_are_below_the_picture() -> None:
    """What it shows, and what it must not be taken for, cannot be cut off unseen."""
    few = Image.open(io.BytesIO(overlay(GREY, np.ones((2, 2), np.float32), "")))
    much = Image.open(io.BytesIO(overlay(GREY, np.ones((2, 2), np.float32), "effusion 98 %")))
    below = [np.asarray(image.convert("L"))[LEAST:] for image in (few, much)]
    assert 0 < (below[0] < 128).sum() < (below[1] < 128).sum()
    assert (below[0][:, -4:] == 255).all()


@pytest.mark.parametrize(
    ("picture", "heat", "said"),
    [
        (np.zeros((0, 4), np.uint8), np.ones((1, 1)), "picture: 0 x 4"),
        (np.zeros((2, 5000), np.uint8), np.ones((1, 1)), "4,096"),
        (np.zeros((4, 4), np.uint8), np.ones((5, 4)), "does not divide"),
        (np.zeros((4, 4), np.uint8), np.ones(4), "does not divide"),
        (np.zeros((4, 4), np.uint8), np.ones((0, 4)), "does not divide"),
        (np.zeros((4, 4), np.uint8), np.full((2, 2), np.nan), "no number"),
    ],
)
def test_what_cannot_be_shown_is_told(picture: np.ndarray, heat: np.ndarray, said: str) -> None:
    """By the argument at fault."""
    with pytest.raises(ValueError, match=said):
        overlay(picture, heat.astype(np.float32), "x")
