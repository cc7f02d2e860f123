"""Heads whose labels are each right or not, whatever the others are."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from protos import inference_pb2 as oip
from services.inference.engine import Engine
from services.inference.lifecycle import warm
from services.inference.load import Loader
from services.training.examples import Example
from services.training.predict import answer
from shared.bundle import Bundle, BundleError, Head, Route, publish
from shared.calibration import fit_multi_label_temperature, multi_label_nll, sigmoid, softmax
from shared.inference.contract import Inference
from shared.inference.wire import read_response
from shared.settings import Settings
from tests.inference.bundles import WIDTH, publish_encoder
from tests.inference.conftest import Running, Turning, serving, until
from tests.inference.test_explained import told, wanting
from tests.inference.test_server import ask, tensors

TOPICS = ("card", "parcel", "refund")
TEXTS = ["where is my card", "refund the late parcel"]


def publish_topics(scratch: Path, store: Path, bias: float = 0.0) -> str:
    """A model with a multi-label head "topic" beside an ordinary one."""
    folder = scratch / "topics"
    folder.mkdir()
    chance = np.random.default_rng(0)
    shapes = {"topic": len(TOPICS), "tone": 2}
    weights = {
        f"{head}.weight": chance.normal(size=(count, WIDTH)).astype(np.float32) for head, count in shapes.items()
    }
    weights |= {f"{head}.bias": np.full(count, bias, np.float32) for head, count in shapes.items()}
    save_file(weights, folder / "heads.safetensors")
    route = Route(encoder=publish_encoder(scratch, store), weights="heads.safetensors", temperature={"topic": 2.0})
    spec = Bundle(
        kind="text-classifier",
        model="topics",
        heads={"topic": Head(labels=TOPICS, kind="sigmoid"), "tone": Head(labels=("good", "bad"))},
        routes={"*": route},
    )
    return publish(folder, spec, store, "v1")[1]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    ledger = Turning()
    ledger.point("topics", "v1", publish_topics(tmp_path, tmp_path / "models"))
    async with serving(Settings(models=tmp_path / "models"), ledger) as running:
        await until(lambda: running.registry.ready)
        yield running


async def test_each_label_has_a_probability_of_its_own(server: Running, tmp_path: Path) -> None:
    """The sigmoid of its calibrated logit; the head beside it still adds up to 1, and the card says which is which."""
    request = wanting(ask("topics", *TEXTS), "embedding", "topic.probabilities", "tone.probabilities")
    request.parameters["card"].bool_param = True
    response: oip.ModelInferResponse = await server.stub.ModelInfer(request)
    found: dict[str, Any] = tensors(response)
    weights = load_file(tmp_path / "models" / "topics" / "v1" / "heads.safetensors")
    logits = {head: found["embedding"] @ weights[f"{head}.weight"].T for head in ("topic", "tone")}
    np.testing.assert_allclose(found["topic.probabilities"], sigmoid(logits["topic"], 2.0), atol=1e-5)
    np.testing.assert_allclose(found["tone.probabilities"], softmax(logits["tone"]), atol=1e-5)
    assert not np.allclose(found["topic.probabilities"].sum(1), 1, atol=0.01)
    assert json.loads(response.parameters["card"].string_param)["multi_label"] == ["topic"]


async def test_a_domain_reads_which_labels_count_as_right(server: Running) -> None:
    """By the card's thresholds, of the language where there is one, most probable first; it may be none."""
    request = ask("topics", *TEXTS)
    request.parameters["card"].bool_param = True
    first, second = read_response(await server.stub.ModelInfer(request), len(TEXTS))
    assert isinstance(first, Inference)
    assert isinstance(second, Inference)
    assert first.card.several == {"topic"}
    ranking = first.ranking("topic")
    card = replace(first.card, thresholds={f"topic.{label}": 1.0 for label in TOPICS})
    assert replace(first, card=card).chosen("topic") == []
    card = replace(card, thresholds=card.thresholds | {f"topic.{label}.en": 0.0 for label, _ in ranking[:2]})
    assert replace(first, card=card).chosen("topic", "en") == ranking[:2]
    assert [p >= 0.5 for _, p in second.ranking("topic")].count(True) == len(second.chosen("topic"))


async def test_its_most_probable_label_is_explained_without_rivals(server: Running, tmp_path: Path) -> None:
    """Tokens and the rest add up to that label's own calibrated logit."""
    found: dict[str, Any] = tensors(
        await server.stub.ModelInfer(wanting(ask("topics", *TEXTS), "attribution", "topic.probabilities"))
    )
    for row in range(len(TEXTS)):
        one, probabilities = told(found, row), found["topic.probabilities"][row]
        assert one["label"] == TOPICS[probabilities.argmax()]
        assert sigmoid(one["lead"]) == pytest.approx(probabilities.max(), abs=1e-3)


async def test_training_says_of_it_what_inference_says(server: Running, tmp_path: Path) -> None:
    """Both read the kind of the head from the bundle."""
    folder = tmp_path / "models" / "topics" / "v1"
    spec = Bundle.model_validate_json((folder / "bundle.json").read_bytes())
    examples = [Example(text, text, "en", text, {}) for text in TEXTS]
    expected = answer(examples, folder, spec, tmp_path / "models", tmp_path / "scratch").probabilities
    found: dict[str, Any] = tensors(await server.stub.ModelInfer(ask("topics", *TEXTS)))
    for head in ("topic", "tone"):
        np.testing.assert_allclose(found[f"{head}.probabilities"], expected[head], atol=1e-4)


async def test_broken_weights_are_refused_in_any_kind_of_head(tmp_path: Path) -> None:
    """What is no number is no answer."""
    digest = publish_topics(tmp_path, tmp_path / "models", float("nan"))
    engine = Engine()
    engine.start()
    try:
        served = Loader(tmp_path / "models", engine).load("topics", "v1", digest)
        with pytest.raises(BundleError, match=r"topics v1 cannot answer"):
            await warm(served)
    finally:
        await engine.stop()


def test_its_temperature_is_the_one_that_the_logits_were_made_with() -> None:
    """Fitted on labels drawn with known odds, it finds by how much the logits are too sure, and lowers the loss."""
    chance = np.random.default_rng(0)
    odds = chance.normal(0, 1.5, (4000, 3))
    truth = chance.random(odds.shape) < sigmoid(odds)
    found = fit_multi_label_temperature(3 * odds, truth)
    assert found == pytest.approx(3, rel=0.1)
    assert multi_label_nll(sigmoid(3 * odds, found), truth) < multi_label_nll(sigmoid(3 * odds), truth)
    assert 0.2 <= fit_multi_label_temperature(odds[:2], np.ones((2, 3))) <= 20
