"""What rows of a model usually take."""

import pytest

from services.inference.habits import CAUTION, Habits


class Model:
    pass


def test_rows_count_not_calls() -> None:
    """One long text to a call says no more of a row than any of sixty-four short ones."""
    habits, model = Habits(), Model()
    for _ in range(50):
        habits.learn(model, 1, 0.5)
        habits.learn(model, 64, 1.0)
    assert habits.guess(model, 65) == pytest.approx(CAUTION * 1.5, rel=0.1)


def test_what_is_usual_changes() -> None:
    """Texts become longer: a few dozen calls later, that is usual."""
    habits, model = Habits(), Model()
    for seconds in (0.1, 0.4):
        for _ in range(50):
            habits.learn(model, 8, seconds)
        assert habits.guess(model, 8) == pytest.approx(CAUTION * seconds, rel=0.05)


def test_nothing_is_guessed_of_what_was_never_asked() -> None:
    """Another model, rows that are to be explained too, or no model at all."""
    habits, model = Habits(), Model()
    habits.learn(model, 8, 1.0)
    habits.learn(None, 8, 1.0)
    assert habits.guess(model, 8) > 0
    assert (habits.guess(Model(), 8), habits.guess(model, 8, more=True), habits.guess(None, 8)) == (0.0, 0.0, 0.0)
