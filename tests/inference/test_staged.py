"""Models on a device that takes whole passes, from their bundles to their answers: everything that a GPU would do, but for the GPU."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest
import torch

from services.inference import precision
from services.inference.engine import Call, Engine
from services.inference.lifecycle import warm
from services.inference.load import Loader
from services.inference.served import Served
from services.inference.threads import run_apart
from shared.nn.varlen import by_text
from tests.inference.bundles import sentence
from tests.inference.conftest import Store
from tests.inference.recording import Tape


class StagedLoader(Loader):
    """Takes this machine for one with a GPU."""

    tape: Tape

    def _find_device(self) -> Any:
        self._engine.overlap()
        return torch.device("cpu"), self.tape


async def probabilities(model: Served, texts: list[str], *asked: str) -> dict[str, Any]:
    call = Call(time.monotonic() + 60, model=model, asked=frozenset(asked))
    return dict((await model.answer(len(texts), {"text": [text.encode() for text in texts]}, call)).tensors)


async def load(loader: Loader, store: Store, *models: str) -> list[Served]:
    found = [await run_apart(loader.load, model, "v1", store.digests[model]) for model in models]
    for model in found:
        await warm(model)
    return found


async def test_answers_are_those_of_a_cpu(store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two models at once that share passes, in calls of every size, with vectors and explanations for those who ask."""
    texts = [[sentence(1 + (i * j) % 20, 20 * i + j) for j in range(1 + i % 7)] for i in range(40)]
    usual = Engine()
    usual.start()
    plain = await load(Loader(store.place, usual), store, "intent", "risk")
    expected = [await probabilities(plain[i % 2], rows, "embedding") for i, rows in enumerate(texts)]
    explained = await probabilities(plain[0], texts[6], "attribution")
    await usual.stop()

    monkeypatch.setattr(precision, "find_kernel", lambda *_: by_text)
    StagedLoader.tape = tape = Tape()
    loader = StagedLoader(store.place, engine)
    loader._gpu = tape  # type: ignore[assignment] # which records
    staged = await load(loader, store, "intent", "risk")
    assert len(tape.outputs) == 17
    before = tape.plays
    found = await asyncio.gather(*(probabilities(staged[i % 2], rows, "embedding") for i, rows in enumerate(texts)))
    assert tape.plays > before
    for right, got in zip(expected, found, strict=True):
        assert right.keys() == got.keys()
        for name, tensor in right.items():
            np.testing.assert_allclose(got[name], tensor, atol=1e-4)
    again = await probabilities(staged[0], texts[6], "attribution")
    assert [len(each) > 0 for each in again["attribution"]] == [True] * len(texts[6])
    np.testing.assert_allclose(again["intent.probabilities"], explained["intent.probabilities"], atol=1e-4)
