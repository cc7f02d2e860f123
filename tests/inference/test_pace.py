"""What a pass will take, from those that were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.pace import COLD, KNOWN, MARGIN, Pace


def taught(*passes: tuple[int, float]) -> Pace:
    pace = Pace(1000)
    for cost, seconds in passes:
        pace.learn(cost, seconds)
    return pace


def test_nothing_is_promised_before_enough_is_known() -> None:
    """And the first passes, which allocate, are not counted at all."""
    pace = taught(*[(100, 9.0)] * COLD, *[(100, 0.01)] * (KNOWN - 1))
    assert (pace.seconds(1e6), pace.room(0.0)) == (0.0, float("inf"))
    pace.learn(100, 0.01)
    assert 0.01 <= pace.seconds(100) <= 0.01 * (1 + MARGIN * 0.25) + 1e-9


@given(st.floats(0, 0.05), st.floats(1e-6, 1e-3), st.lists(st.integers(1, 2000), min_size=20, max_size=60))
def test_a_steady_device_is_learned(fixed: float, each: float, costs: list[int]) -> None:
    """Estimates are never below the truth and, where passes of several sizes were seen, soon little above it."""
    pace = taught(*[(cost, fixed + each * cost) for cost in [*range(100, 2000, 100)] * 3 + costs])
    for cost in (100, 1000, 1900):
        truth = fixed + each * cost
        assert truth * 0.98 <= pace.seconds(cost) <= truth * 1.15
        assert pace.room(pace.seconds(cost)) == pytest.approx(cost, rel=1e-6)
    assert pace.whole(500) == pytest.approx((fixed + each * 1000) / 2, rel=0.02)


def test_one_pause_changes_little() -> None:
    """The machine slept for a minute; the next rows are not refused for that."""
    pace = taught(*[(500, 0.05)] * 40, (500, 60.0))
    assert pace.seconds(500) < 0.2


def test_a_slower_device_is_noticed() -> None:
    """Within a few passes."""
    pace = taught(*[(500, 0.05)] * 40, *[(500, 0.2)] * 20)
    assert pace.seconds(500) > 0.15


def test_what_any_pass_takes_is_not_forgotten_among_passes_alike() -> None:
    """They cannot tell it from what each row takes, only that the device is half as fast now."""
    pace = taught(*[(cost, 0.01 + 1e-4 * cost) for cost in range(50, 1000, 50)])
    for speed in (1, 2):
        for i in range(200):
            pace.learn(250 + i % 7, speed * (0.01 + 1e-4 * 250) * (0.9 + 0.2 * (i % 2)))
    assert pace.fixed / pace.each == pytest.approx(100, rel=0.3)
    assert pace.fixed + pace.each * 250 == pytest.approx(0.07, rel=0.05)


def test_an_estimate_that_forbids_everything_fades() -> None:
    """Nothing is computed that could correct it."""
    pace = taught(*[(500, 5.0)] * 40)
    for _ in range(60):
        pace.fade()
    assert pace.seconds(500) < 0.05
    pace.learn(500, 0.04)
    assert pace.seconds(500) < 0.1
