"""Fit, thresholds, folds and figures of several right labels, against scikit-learn and known values."""

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from services.training import curves, metrics
from services.training.candidate import Answers, Item
from services.training.regression import fit
from services.training.several import limits
from services.training.several import metrics as figures
from services.training.several.folds import stratify
from services.training.several.truth import mark, overlap
from services.training.thresholds import NEVER
from shared.calibration import sigmoid

LABELS = ("a", "b", "c")


@pytest.fixture
def told() -> figures.Told:
    """Three labels of 200 rows, told better than by chance, with ties."""
    chance = np.random.default_rng(0)
    truth = chance.random((200, 3)) < (0.5, 0.2, 0.05)
    believed = np.clip(np.round(truth * 0.3 + chance.random(truth.shape) * 0.6, 2), 0.01, 0.99)
    return figures.Told(LABELS, truth, believed, believed >= 0.45)


def test_the_fit_is_one_logistic_regression_a_label() -> None:
    """The same probabilities as scikit-learn's one-vs-rest, of a label that few rows have, too."""
    chance = np.random.default_rng(3)
    vectors = chance.normal(0, 1, (150, 30)).astype(np.float32)
    truth = (vectors[:, :3] + chance.normal(0, 1, (150, 3)) > (0, 1, 2)).astype(np.int64)
    theirs = OneVsRestClassifier(LogisticRegression(C=0.3, tol=1e-8, max_iter=5000)).fit(vectors, truth)
    ours = sigmoid(fit(vectors, truth, 3, np.ones(150), 0.3).logits(vectors))
    assert np.abs(ours - theirs.predict_proba(vectors)).max() < 0.005


def test_figures_are_scikit_learns(told: figures.Told) -> None:
    """F1 both ways, exact matches, overlap, average precision and AUROC."""
    found = figures.measure(told)
    expected = {
        "accuracy": reference.accuracy_score(told.truth, told.said),
        "overlap": reference.jaccard_score(told.truth, told.said, average="samples", zero_division=1),
        "micro_f1": reference.f1_score(told.truth, told.said, average="micro"),
        "macro_f1": reference.f1_score(told.truth, told.said, average="macro"),
        "map": reference.average_precision_score(told.truth, told.probabilities, average="macro"),
        "auroc": reference.roc_auc_score(told.truth, told.probabilities, average="macro"),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert np.isnan(curves.average_precision(told.probabilities[:, 0], np.zeros(200, bool)))


def test_calibration_errors_of_labels_do_not_cancel() -> None:
    """One label said too often and one too seldom are right on average, and wrong each; chance is known with the rows."""
    truth = np.tile([[True, False], [False, True]], (500, 1))
    believed = np.tile([0.6, 0.4], (1000, 1))
    assert figures.ece(believed, truth) == pytest.approx(0.1)
    drawn = np.random.default_rng(1).random((1000, 2)) < believed
    assert figures.ece(believed, drawn) < figures.noise(believed) < 0.1


def test_the_threshold_of_the_best_f1() -> None:
    """No other threshold does better on these rows; it lies between scores, and a rare label shares that of all together."""
    chance = np.random.default_rng(0)
    truth = chance.random((400, 2)) < (0.3, 0.01)
    believed = np.clip(truth * 0.2 + chance.random(truth.shape) * 0.7, 0, 1)
    common, rare = limits.find_limits(believed, truth)
    tried = [reference.f1_score(truth[:, 0], believed[:, 0] >= at) for at in np.linspace(0, 1, 1001)]
    assert reference.f1_score(truth[:, 0], believed[:, 0] >= common) >= max(tried)
    assert common not in believed
    assert rare == limits.find_f1(believed.ravel(), truth.ravel()) != limits.find_f1(believed[:, 1], truth[:, 1])


@pytest.mark.parametrize("recall", [0.5, 0.8, 0.95, 1.0])
def test_the_threshold_of_a_recall(told: figures.Told, recall: float) -> None:
    """Each label's share is found, and not by a threshold that is lower than it must be."""
    found = limits.find_limits(told.probabilities, told.truth, recall)
    for at, limit in enumerate(found):
        mine = told.probabilities[told.truth[:, at], at]
        above = mine[mine >= limit]
        assert len(above) / len(mine) >= recall
        assert (mine > above.min()).mean() < recall


def test_a_label_that_no_row_has_is_never_said() -> None:
    """Whatever the aim."""
    truth, believed = np.array([[True, False], [True, False]]), np.full((2, 2), 0.5)
    assert limits.find_limits(believed, truth)[1] == NEVER
    assert limits.find_limits(believed, truth, 0.9)[1] == NEVER


def test_folds_share_out_rare_labels_and_keep_entities_whole() -> None:
    """Five entities of a label in five folds, each in another; the order of rows changes nothing."""
    chance = np.random.default_rng(0)
    entities = [f"e{at // 2}" for at in range(400)]
    truth = np.repeat(chance.random((200, 4)) < (0.5, 0.2, 0.1, 0), 2, axis=0)
    truth[:10, 3] = True  # five entities
    found = stratify(entities, truth, 5)
    assert all(found[at] == found[at + 1] for at in range(0, 400, 2))
    assert sorted(found[:10:2]) == [0, 1, 2, 3, 4]
    shares = np.array([[truth[found == fold, label].sum() for fold in range(5)] for label in range(4)])
    assert (np.ptp(shares, axis=1) <= 2 * 2).all()
    assert np.ptp(np.bincount(found)) <= 8
    shuffled = chance.permutation(400)
    again = stratify([entities[at] for at in shuffled], truth[shuffled], 5)
    assert (again == found[shuffled]).all()


def test_a_label_that_the_model_does_not_know_is_never_said() -> None:
    """It costs in overlap and recall; what is right or not goes by each slice's own threshold."""
    items = [Item("1", "1", "en", {"topic": "a|new"}), Item("2", "2", "zh", {"topic": "|"})]
    answers = Answers(
        {"topic": ("a", "b")},
        {"topic": np.array([[0.6, 0.3], [0.6, 0.3]])},
        {"topic.a.zh": 0.7, "topic.a": 0.5},
        frozenset({"topic"}),
    )
    found = metrics.measure(items, answers, ["topic"])["all.topic"]
    assert (found["n"], found["accuracy"], found["overlap"]) == (2, 0.5, 0.75)
    assert metrics.by_label(items, answers, ["topic"])["topic"]["new"]["recall"] == 0
    assert metrics.right(items, answers, "topic", [0, 1], of_several=True).tolist() == [0.5, 1]


def test_no_label_right_and_none_said_is_right() -> None:
    """The overlap of two empty sets is whole; labels that are not asked about are left out."""
    truth = mark(["|", "a", "a|zz"], LABELS)
    assert truth.sum(axis=1).tolist() == [0, 1, 1]
    assert overlap(truth, mark(["|", "b", "a"], LABELS)).tolist() == [1, 0, 1]
