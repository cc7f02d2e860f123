"""Temperature, ECE, Brier and NLL against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared import calibration


def test_softmax_is_stable_and_divides_by_the_temperature() -> None:
    """Huge logits neither overflow nor lose their difference."""
    assert calibration.softmax([[1000.0, 1000.0]]).tolist() == [[0.5, 0.5]]
    assert calibration.softmax([[2.0, 0.0]], 2.0)[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_ece_by_hand() -> None:
    """Two rows at .9, one right, and one at .6, right: |.5 - .9| * 2/3 + |1 - .6| / 3 = .4."""
    assert calibration.ece([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], [0, 1, 1]) == pytest.approx(0.4)


def test_ece_of_certainty() -> None:
    """Confidence 1 falls into the last bin; right it costs nothing, wrong it costs all."""
    assert calibration.ece([[1.0, 0.0]], [0]) == 0
    assert calibration.ece([[1.0, 0.0]], [1]) == 1


def test_brier_and_nll_by_hand() -> None:
    """Brier's own definition sums over the classes, so that it reaches 2."""
    assert calibration.brier([[0.8, 0.2]], [0]) == pytest.approx(0.08)
    assert calibration.brier([[1.0, 0.0]], [1]) == 2
    assert calibration.nll([[0.5, 0.5], [0.25, 0.75]], [0, 0]) == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert calibration.nll([[0.5, 0.5], [0.25, 0.75]], [0, 0], [1, 0]) == pytest.approx(np.log(2))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(true: float) -> None:
    """Labels drawn from softmax(z) and logits given as true * z ask for the temperature `true`."""
    chance = np.random.default_rng(1)
    z = chance.normal(0, 2, (4000, 5))
    labels = np.array([chance.choice(5, p=row) for row in calibration.softmax(z)])
    assert calibration.fit_temperature(true * z, labels) == pytest.approx(true, rel=0.06)


@given(some.integers(0, 2**32 - 1))
def test_temperature_never_raises_the_nll_it_is_fitted_on(seed: int) -> None:
    """Doing nothing (temperature 1) is among what it chooses from."""
    chance = np.random.default_rng(seed)
    logits, labels = chance.normal(0, 5, (20, 3)), chance.integers(3, size=20)
    found = calibration.fit_temperature(logits, labels)
    assert 0.2 <= found <= 20
    best = calibration.nll(calibration.softmax(logits, found), labels)
    assert best <= calibration.nll(calibration.softmax(logits), labels) + 1e-6


def test_chance_alone_makes_an_ece() -> None:
    """A calibrated model's ECE is far from zero on few rows, and shrinks with more."""
    few, many = (calibration.noise(np.full(n, 0.7)) for n in (30, 3000))
    assert few > 0.1 > many > 0
