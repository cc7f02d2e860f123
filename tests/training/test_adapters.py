"""LoRA that stays beside its encoder: sealed, measured and served from the same bytes, and no other model than if it were merged."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.inference.engine import Call, Engine
from services.inference.load import Loader
from services.training import sources
from services.training.encoders import find
from services.training.features import embed
from services.training.job import Done, Wish, run
from services.training.promotion import largest_difference
from shared import bundle
from shared.bundle import Bundle
from tests.training.corpus import write_csv
from tests.training.test_encoders import write_bert
from tests.training.test_train import at, program, quiet, wish

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("apart")


@pytest.fixture(scope="module")
def asked(folder: Path) -> Wish:
    source = str(write_bert(folder / "bert"))
    return wish(folder, encoders={"*": source}, data=write_csv(folder / "small.csv", 40), method="lora", epochs=1)


@pytest.fixture(scope="module")
def done(folder: Path, asked: Wish) -> Done:
    return asyncio.run(run(asked, at(folder), quiet))


def test_the_adapter_is_in_the_bundle_and_the_encoder_is_the_shared_one(folder: Path, asked: Wish, done: Done) -> None:
    """That which heads alone would have; the card names the adapter, and every byte of it is sealed."""
    spec = bundle.load(done.sealed.folder, Bundle, done.sealed.digest)
    route = spec.routes["*"]
    plain = asyncio.run(run(replace(asked, method="head"), at(folder), quiet))
    assert route.encoder == plain.sealed.candidate.spec.routes["*"].encoder
    assert route.adapter is not None
    file = done.sealed.folder / route.adapter.weights
    assert bundle.sha256(file)[:16] in (done.sealed.folder / "card.md").read_text()
    assert done.sealed.candidate.run["routes"]["en"]["adapter"] == {"rank": 16, "sha256": bundle.sha256(file)}
    other = (plain.sealed.folder, plain.sealed.candidate.spec)
    assert largest_difference((done.sealed.folder, spec), other) == float("inf")
    assert largest_difference((done.sealed.folder, spec), (done.sealed.folder, spec)) == 0


def test_it_is_not_trained_twice(folder: Path, asked: Wish, done: Done) -> None:
    """A second run finds what the first one learned, and gives the same bytes."""
    steps: list[str] = []
    again = asyncio.run(run(asked, at(folder), lambda step, now, of: steps.append(step)))
    assert again.sealed.digest == done.sealed.digest
    assert not [step for step in steps if "fine-tuning" in step]


async def test_merged_it_is_an_encoder_of_its_own_with_the_same_answers(folder: Path, asked: Wish, done: Done) -> None:
    """`--merge`: another encoder in the store, and no adapter."""
    merged = await run(replace(asked, merge=True), at(folder), quiet)
    route = merged.sealed.candidate.spec.routes["*"]
    assert route.adapter is None
    assert "lora" in find(route.encoder, folder / "models").spec.revision
    for head, expected in merged.sealed.answers.probabilities.items():
        np.testing.assert_allclose(done.sealed.answers.probabilities[head], expected, atol=1e-3)


async def test_what_was_measured_is_what_is_served(folder: Path, done: Done) -> None:
    """In every precision of this machine, by the inference service's own loader: probabilities of the held-out texts."""
    candidate = done.sealed.candidate
    rows = [example.text for example in sources.read("intent", folder / "small.csv").where("test")]
    assert len(rows) == len(candidate.items)
    assert candidate.spec.precision is not None
    for precision, measure in {"fp32": candidate.measure, **candidate.lowered}.items():
        expected = measure(done.sealed.folder, candidate.spec)
        engine = Engine()
        engine.start()
        loader = Loader(folder / "models", engine, precision)
        model = loader.load("intent", done.sealed.version, done.sealed.digest)
        answer = await model.answer(len(rows), {"text": [row.encode() for row in rows]}, Call(1e12, model=model))
        await engine.stop()
        for head, probabilities in expected.probabilities.items():
            found = np.asarray(answer.tensors[f"{head}.probabilities"])
            np.testing.assert_allclose(found, probabilities, atol=0.02 if precision == "bf16" else 1e-3)
    assert set(candidate.spec.precision.loss) == set(candidate.lowered)


def test_features_are_kept_apart_by_adapter(folder: Path, done: Done) -> None:
    """The plain encoder's vectors are never taken for the adapted one's."""
    route = done.sealed.candidate.spec.routes["*"]
    shelves = [shelf.name for shelf in (folder / "data" / "training" / "features").iterdir()]
    assert [name for name in shelves if name.startswith(f"{route.encoder}-")]
    assert embed([], find(route.encoder, folder / "models"), folder).shape[0] == 0


def test_only_lora_is_merged(tmp_path: Path) -> None:
    """Asked for with another method, it is a mistake that is named."""
    done = program(tmp_path, "train", "intent", "--merge", "--no-promote")
    assert done.returncode == 2
    assert "--merge" in done.stderr
