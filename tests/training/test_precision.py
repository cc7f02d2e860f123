"""What fewer bits cost is measured on the bytes that are served, and written where serving reads it."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch

from services.training.candidate import Answers, Item
from services.training.job import Done, run
from services.training.precision import lose, record
from shared import bundle
from shared.bundle import Bundle
from shared.nn.precision import list_precisions
from tests.training.corpus import write_csv
from tests.training.test_encoders import write_bert
from tests.training.test_train import at, quiet, wish

LOWERED = list_precisions(torch.device("cpu"))[1:]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run with a tiny BERT for its encoder."""
    folder = tmp_path_factory.mktemp("precision")
    source = str(write_bert(folder / "bert"))
    asked = wish(folder, encoders={"*": source}, data=write_csv(folder / "small.csv", 40), accuracy_budget=0.25)
    return asyncio.run(run(asked, at(folder), quiet))


def test_each_precision_of_this_machine_is_recorded(done: Done) -> None:
    """In the sealed bundle, beside the budget that was asked for, and in the card."""
    spec = bundle.load(done.sealed.folder, Bundle, done.sealed.digest)
    assert spec.precision is not None
    assert spec.precision.budget == 0.25
    assert tuple(spec.precision.loss) == LOWERED
    card = (done.sealed.folder / "card.md").read_text()
    assert all(f"| {name} | {points:.2f} |" in card for name, points in spec.precision.loss.items())
    assert "loses at most 0.25" in card


def test_what_is_recorded_is_what_is_lost(done: Done) -> None:
    """Measured again on the published bytes: other vectors than in fp32, and the loss that was written down."""
    candidate, folder = done.sealed.candidate, done.sealed.folder
    assert candidate.spec.precision is not None
    for name, measure in candidate.lowered.items():
        answers = measure(folder, candidate.spec)
        head = candidate.heads[0]
        assert not np.array_equal(answers.probabilities[head], done.sealed.answers.probabilities[head])
        assert candidate.spec.precision.loss[name] == pytest.approx(
            lose(candidate, done.sealed.answers, answers), abs=1e-3
        )


def answers(said: str, of: str = "ab") -> Answers:
    rows = np.array([[float(letter == each) for each in of] for letter in said])
    return Answers({"one": tuple(of), "two": tuple(of)}, {"one": rows, "two": rows})


def test_the_head_that_loses_most_counts(done: Done) -> None:
    """By hand: head one keeps 3 of 4, head two, known of two items, goes from 2 to 1: 50 points."""
    items = [Item(str(row), str(row), "en", {"one": "a"} | ({"two": "a"} if row < 2 else {})) for row in range(4)]
    candidate = replace(done.sealed.candidate, items=items, heads=("one", "two"))
    assert lose(candidate, answers("aaab"), answers("abaa")) == 50
    assert lose(candidate, answers("abaa"), answers("aaab")) == 0
    assert lose(candidate, answers("abbb"), answers("aabb")) == -25


def test_what_has_one_precision_has_no_record(done: Done) -> None:
    """Images, character n-grams: the bundle stays as it is."""
    candidate = replace(done.sealed.candidate, lowered={}, spec=done.sealed.candidate.spec.model_copy())
    assert record(candidate, done.sealed.answers) is candidate
