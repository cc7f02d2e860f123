"""A swap while callers ask for everything there is, some rows are bad and some callers leave."""

import asyncio
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from protos import inference_pb2 as oip
from shared.calibration import softmax
from shared.nn.bert import Bert
from tests.inference.bundles import publish_encoder
from tests.inference.conftest import INTENT, Running, Store, until
from tests.inference.test_explained import told, wanting
from tests.inference.test_faults import GOOD, POISON, TOKEN
from tests.inference.test_lifecycle import publish_next
from tests.inference.test_server import ask, tensors

OUTPUTS = ("row_error", "attribution", "embedding", "intent.probabilities")


def check(response: oip.ModelInferResponse, texts: list[str], store: Store) -> None:
    """Vector, probabilities and explanation of each row are of that row, and of the one version that says it answered."""
    weights = load_file(store.place / "intent" / response.model_version / "heads-any.safetensors")
    found: dict[str, Any] = tensors(response)
    for row, text in enumerate(texts):
        if POISON in text:
            assert found["row_error"][row].startswith(b"MODEL_FAILED")
            assert not found["intent.probabilities"][row].any()
            continue
        logits = found["embedding"][row] @ weights["intent.weight"].T + weights["intent.bias"]
        np.testing.assert_allclose(found["intent.probabilities"][row], softmax(logits[None], 1.7)[0], atol=1e-4)
        one = told(found, row)
        assert one["label"] == INTENT["intent"][int(logits.argmax())]
        assert [text[start:end] for start, end, _ in one["text"]] == text.split()


async def test_every_answer_is_wholly_one_versions(
    running: Running, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else goes on; and when the last caller is gone, nothing is left inside."""
    forward, stop, versions = Bert.forward, asyncio.Event(), set[str]()

    def fail(self: Bert, packed: Any) -> Any:
        if TOKEN in packed.ids:
            raise RuntimeError("an index is out of range")
        return forward(self, packed)

    monkeypatch.setattr(Bert, "forward", fail)

    async def keep_calling(seed: int) -> None:
        chance = np.random.default_rng(seed)
        while not stop.is_set():
            texts = [" ".join(chance.choice(GOOD, chance.integers(1, 9))) for _ in range(chance.integers(1, 7))]
            if chance.random() < 0.2:
                texts[-1] += f" {POISON}"
            answering = running.stub.ModelInfer(wanting(ask("intent", *texts), *OUTPUTS), timeout=60)
            if chance.random() < 0.2:
                await asyncio.sleep(0.03 * chance.random())
                answering.cancel()
                continue
            response = await answering
            check(response, texts, store)
            versions.add(response.model_version)

    callers = [asyncio.ensure_future(keep_calling(seed)) for seed in range(6)]
    await until(lambda: "v1" in versions or any(each.done() for each in callers))
    for seed, version in ((10, "v2"), (11, "v3")):
        encoder = publish_encoder(store.scratch, store.place, seed)
        running.ledger.point("intent", version, publish_next(store, version, seed, encoder))
        await until(lambda version=version: version in versions or any(each.done() for each in callers))  # type: ignore[misc]
    stop.set()
    await asyncio.gather(*callers)
    assert versions == {"v1", "v2", "v3"}
    await until(lambda: not (running.engine.admission.rows or running.engine.waiting))
    assert (running.engine.admission.bytes, running.engine._scheduler.cost) == (0, 0)
