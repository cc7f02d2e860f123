"""Many models on one encoder cost little more than one; models that leave give back what they took."""

import asyncio
import gc
import shutil
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from services.inference.crew import SIZE
from services.inference.engine import Call, Engine
from services.inference.lifecycle import warm
from services.inference.load import Loader
from services.inference.registry import WARM
from services.inference.served import Served
from services.inference.text import TextModel
from services.inference.units import Batch
from shared.settings import Settings
from tests.inference import bundles
from tests.inference.bundles import publish_encoder, publish_text, sentence
from tests.inference.conftest import INTENT, Store, Turning, serving, until
from tests.inference.test_server import ask

REAL = (torch.Tensor, torch.nn.Parameter)  # what compilers leave behind has no memory
HEADS = 50
ROUNDS = 50
HALF = ROUNDS // 2
VOCABULARY = 1 << 15


def held() -> int:
    """Bytes of all tensors that Python can reach in this process, storages that are shared counted once."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if type(each) in REAL and not each.is_meta]
    return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}.values())


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def tidy(published: Path, scratch: Path) -> None:
    """Removes an encoder's files, once it is in memory: fifty would fill the disk."""
    for folder in (published, *scratch.glob("encoder-*")):
        shutil.rmtree(folder)


async def ask_one(model: Served, text: str) -> np.ndarray:
    answer = await model.answer(1, {"text": [text.encode()]}, Call(time.monotonic() + 60, model=model))
    return np.asarray(answer.tensors["intent.probabilities"])


async def test_fifty_heads_share_one_encoder_and_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.3 times the memory of one at most (the encoder is to its heads as MiniLM is to 77 labels), one pass for all, right answers."""
    monkeypatch.setitem(bundles.CONFIG, "vocab_size", 4096)
    store, engine, passes = tmp_path / "models", Engine(), list[Batch]()
    encoder = publish_encoder(tmp_path, store)
    digests = [publish_text(tmp_path, store, f"m{i}", "v1", {"*": encoder}, INTENT, seed=i) for i in range(HEADS)]
    engine.start()
    loader = Loader(store, engine)
    before = held()
    models = [loader.load("m0", "v1", digests[0])]
    one = held() - before
    models += [loader.load(f"m{i}", "v1", digests[i]) for i in range(1, HEADS)]
    assert one > 4096 * bundles.WIDTH * 4
    assert held() - before <= 1.3 * one

    await warm(models[0])
    engine.on_batch = lambda batch, seconds: passes.append(batch)
    with engine._lock:  # the device threads wait while all of them arrive
        asking = [asyncio.ensure_future(ask_one(model, sentence(5, i))) for i, model in enumerate(models)]
        async with asyncio.timeout(60):
            while engine.waiting < HEADS:  # noqa: ASYNC110 - tokenisers' threads add to it
                await asyncio.sleep(0.001)
    answers = await asyncio.gather(*asking)
    assert len(passes) <= SIZE  # side by side
    assert {unit.owner.model for batch in passes for unit in batch.units} == set(models)
    for i, model in enumerate(models):
        np.testing.assert_allclose(answers[i], await ask_one(model, sentence(5, i)), atol=1e-5)
    assert len({answer.tobytes() for answer in answers}) == HEADS
    await engine.stop()


async def test_what_is_unloaded_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty versions, each with an encoder of 4 MB of its own, come, answer and go: tensors of two stay, and memory is bounded.

    Tensors are counted exactly. Of the process's memory, of which its allocator keeps more and more at first, less than a quarter of
    what the second half loads may stay.
    """
    monkeypatch.setitem(bundles.CONFIG, "vocab_size", VOCABULARY)
    size, before = 4 * VOCABULARY * bundles.WIDTH, held()
    early, late, grown = await turn_over(tmp_path)
    assert early - before > WARM * size
    assert late <= early + size // 2
    assert grown < (ROUNDS - HALF) * size / 4
    assert held() - before < size


async def test_a_model_that_leaves_needs_no_collector(tmp_path: Path) -> None:
    """Nothing in a model that has answered refers to itself in a circle: what was live at the start is exempt from collection."""
    store, engine = tmp_path / "models", Engine()
    encoder = publish_encoder(tmp_path, store)
    digest = publish_text(tmp_path, store, "intent", "v1", {"*": encoder}, INTENT)
    engine.start()
    gc.collect()
    gc.disable()
    try:
        model = Loader(store, engine).load("intent", "v1", digest)
        await warm(model)
        assert isinstance(model, TextModel)
        device = model._branches["*"].encoder
        left = [weakref.ref(each) for each in (model, device, device.shared, device.network)]
        del model, device
        await engine.stop()
        assert [each() for each in left] == [None] * len(left)
    finally:
        gc.enable()


async def test_a_stopped_engine_holds_no_model(store: Store) -> None:
    """Whatever still holds the engine when a server has ended, as the thread that it was stopped in does for a moment, holds no model."""
    engine, model = await come_and_go(store)
    gc.collect()
    assert model() is None
    assert engine.waiting == 0


async def come_and_go(store: Store) -> "tuple[Engine, weakref.ref[Served]]":
    ledger = Turning()
    ledger.point("intent", "v1", store.digests["intent"])
    async with serving(Settings(models=store.place), ledger) as server:
        await until(lambda: server.registry.ready)
        return server.engine, weakref.ref(server.registry.find("intent"))


async def turn_over(scratch: Path) -> tuple[int, int, int]:
    """(tensors' bytes after the first few versions, after the last, and by how much the process grew in the second half)."""
    store, ledger, early, memory = scratch / "models", Turning(), 0, 0
    async with serving(Settings(models=store), ledger) as server:
        for i in range(ROUNDS):
            encoder = publish_encoder(scratch, store, seed=i)
            ledger.point("intent", f"v{i}", publish_text(scratch, store, "intent", f"v{i}", {"*": encoder}, INTENT))
            await until(lambda: "intent" in server.registry.models)
            await server.until_live("intent", f"v{i}")
            assert (await server.stub.ModelInfer(ask("intent", "refund"))).model_version == f"v{i}"
            tidy(store / "encoders" / encoder, scratch)
            if i == WARM:
                early = held()
            if i == HALF - 1:
                memory = resident()
        return early, held(), resident() - memory
