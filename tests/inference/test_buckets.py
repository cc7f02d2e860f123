"""The shapes of recorded passes: arithmetic."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.inference.buckets import LARGEST, SHORT, Shape, find, list_shapes

SHAPES = list_shapes(512)


@given(st.lists(st.integers(2, 512), min_size=1, max_size=300))
def test_whatever_fits_is_filled_up_exactly(lengths: list[int]) -> None:
    """To the shape's tokens and texts, none longer than the shape says, the pass's own first and unchanged."""
    shape = find(SHAPES, sum(lengths), len(lengths), max(lengths))
    if shape is None:
        assert sum(lengths) > LARGEST or sum(lengths) < 8 * len(lengths)
        return
    filled = shape.fill(np.array(lengths))
    assert filled[: len(lengths)].tolist() == lengths
    assert (filled.sum(), len(filled)) == (shape.tokens, shape.texts)
    assert 0 <= filled.min() <= filled.max() <= shape.longest


@given(st.integers(16, LARGEST), st.integers(4, 24))
def test_little_is_computed_in_vain(tokens: int, mean: int) -> None:
    """A pass of ordinary texts is filled up by at most half of it."""
    texts = max(tokens // mean, 1)
    shape = find(SHAPES, tokens, texts, min(tokens, 60))
    assert shape is not None
    assert shape.tokens <= max(1.5 * tokens, 16)
    assert shape.longest <= SHORT


def test_there_are_few() -> None:
    """Smallest first, so that memory that runs out costs the largest."""
    assert len(SHAPES) == len(set(SHAPES)) == 27
    assert [shape.tokens for shape in SHAPES] == sorted(shape.tokens for shape in SHAPES)
    assert SHAPES[-1] == Shape(LARGEST, LARGEST // 4 + 1, 512)
    assert {shape.longest for shape in list_shapes(64)} == {16, 24, 32, 48, 64}


def test_what_is_odd_has_no_shape() -> None:
    """Too many tokens, or more texts than there are tokens for."""
    assert find(SHAPES, LARGEST + 1, 9, 500) is None
    assert find(SHAPES, 2 * 1026, 1026, 2) is None
    assert find(SHAPES, 2 * 1025, 1025, 2) is None  # nothing would be left to fill it up with
    assert find(SHAPES, 300, 1, 300) == Shape(384, 97, 384)
