"""Metrics, thresholds and the fit behind heads and baseline, against known values and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from services.training import curves, metrics, thresholds
from services.training.candidate import Answers, Item
from services.training.examples import Example
from services.training.heads import Trainer
from services.training.regression import cross_fit, find_space, fit
from shared.calibration import softmax


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """120 vectors of 40 numbers in 3 classes that overlap."""
    chance = np.random.default_rng(3)
    truth = chance.integers(3, size=120)
    return (chance.normal(0, 1, (120, 40)) + np.eye(3, 40)[truth]).astype(np.float32), truth


def test_the_fit_is_logistic_regression(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """The same probabilities as scikit-learn's, weights of rows included."""
    vectors, truth = rows
    weights = np.linspace(0.5, 2, len(truth))
    theirs = LogisticRegression(C=0.3, tol=1e-8, max_iter=5000).fit(vectors, truth, sample_weight=weights)
    ours = softmax(fit(vectors, truth, 3, weights, 0.3).logits(vectors))
    assert np.abs(ours - theirs.predict_proba(vectors)).max() < 0.005


def test_fitting_in_the_span_is_fitting_in_full(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """Rows of many columns: as many coordinates as rows lose nothing, and the head that is lifted back answers the same."""
    _, truth = rows
    wide = np.random.default_rng(5).normal(0, 1, (120, 300)).astype(np.float32)
    space = find_space(wide)
    inside = fit(space.project(wide), truth, 3, np.ones(120), 0.1)
    standard = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    full = fit(standard.astype(np.float32), truth, 3, np.ones(120), 0.1)
    assert np.abs(softmax(space.lift(inside).logits(wide)) - softmax(full.logits(standard))).max() < 0.005


def test_no_row_is_judged_by_a_fit_that_saw_its_fold(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """Labels that are pure chance are not predicted out of fold, though a fit in this width learns them by heart."""
    wide = np.random.default_rng(5).normal(0, 1, (120, 300)).astype(np.float32)
    truth = np.random.default_rng(6).integers(2, size=120)
    apart = cross_fit(wide, truth, 2, np.ones(120), np.arange(120) % 5, 1.0, {})
    by_heart = fit(wide, truth, 2, np.ones(120), 1.0).logits(wide)
    assert (by_heart.argmax(axis=1) == truth).mean() == 1
    assert (apart.argmax(axis=1) == truth).mean() < 0.65


def test_macro_f1_and_auroc_are_scikit_learns() -> None:
    """Ties and labels that are never predicted included."""
    chance = np.random.default_rng(0)
    truth, said = (chance.choice(list("abcd"), 60).tolist() for _ in range(2))
    assert metrics.macro_f1(truth, said) == pytest.approx(reference.f1_score(truth, said, average="macro"))
    positive, scores = chance.random(60) < 0.4, chance.integers(5, size=60).astype(float)
    assert curves.auroc(scores, positive) == pytest.approx(reference.roc_auc_score(positive, scores))
    assert np.isnan(curves.auroc(scores, np.zeros(60, bool)))


def test_what_is_told_apart_easily_costs_nothing() -> None:
    """Where no row lies between, the threshold does not press against the in-scope rows."""
    scores = np.array([0.01, 0.02, 0.03, 0.9, 0.95])
    assert thresholds.out_of_scope(scores, scores < 0.5) == pytest.approx(0.465)


@pytest.mark.parametrize("n", [1, 19, 20, 21, 400])
def test_the_scope_threshold_keeps_what_it_promises(n: int) -> None:
    """At least 95 % of the in-scope rows lie below it, and a lower one would not keep them."""
    scores = np.random.default_rng(n).random(n)
    limit = thresholds.out_of_scope(scores, np.ones(n, bool))
    assert (scores < limit).mean() >= 0.95
    assert (scores < np.nextafter(limit, 0)).mean() < (scores < limit).mean()


def test_confidence_that_cannot_be_proven_is_never_reached() -> None:
    """Ten right answers of ten do not prove nine of ten; a hundred do."""
    table = np.tile([0.9, 0.1], (100, 1))
    assert thresholds.confident(table[:10], np.zeros(10, np.int64)) == thresholds.NEVER
    assert thresholds.confident(table, np.zeros(100, np.int64)) == pytest.approx(0.9)


def test_a_label_the_model_does_not_know_counts_as_wrong() -> None:
    """It is neither dropped from accuracy nor from calibration."""
    items = [Item("1", "1", "en", {"intent": "new"}), Item("2", "2", "en", {"intent": "a"})]
    answers = Answers({"intent": ("a", "b")}, {"intent": np.array([[0.9, 0.1], [0.9, 0.1]])})
    found = metrics.measure(items, answers, ["intent"])["en.intent"]
    assert (found["accuracy"], found["n"]) == (0.5, 2)
    assert found["ece"] == pytest.approx(0.4)


def test_all_heads_together_count_every_answer_once() -> None:
    """Pooled accuracy and ECE are those of the answers, not means of the heads' figures; macro-F1 is the heads' mean."""
    items = [Item(str(n), str(n), "en", {"intent": "a", "mood": "x"} if n < 2 else {"intent": "b"}) for n in range(8)]
    answers = Answers(
        {"intent": ("a", "b"), "mood": ("x", "y")},
        {"intent": np.tile([0.75, 0.25], (8, 1)), "mood": np.tile([0.97, 0.03], (8, 1))},
    )
    found = metrics.measure(items, answers, ["intent", "mood"])
    both = found["en.heads"]
    assert (both["n"], both["accuracy"]) == (10, 0.4)  # 2 of 8 and 2 of 2
    assert both["ece"] == pytest.approx((8 * 0.5 + 2 * 0.03) / 10)
    assert both["macro_f1"] == pytest.approx((found["en.intent"]["macro_f1"] + found["en.mood"]["macro_f1"]) / 2)
    assert "en.heads" not in metrics.measure(items, answers, ["intent"])


def test_examples_know_their_part() -> None:
    """Both halves of a pair are on one side, whatever their text."""
    both = [Example(id_, "refund-7", id_, text, {}) for id_, text in (("en", "money back"), ("zh", "退款"))]
    assert both[0].part == both[1].part


def test_a_part_that_holds_corrections_alone_still_calibrates(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """Where an encoder was trained here and validation has nothing but corrected rows, they are better than none."""
    vectors, truth = rows
    validation = np.arange(120) >= 100
    folds = np.arange(120) % 5
    fitted = Trainer(vectors, folds, validation).fit(truth, 3, np.ones(120), corrected=validation)
    assert len(fitted.rows) == 20
    assert 0.2 <= fitted.temperature <= 20
    assert np.isfinite(fitted.logits).all()
