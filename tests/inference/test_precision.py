"""Which precision serves a model: what it allows, the fastest of it here, or what the deployment asks for."""

import json
import logging
import time
from collections import Counter

import numpy as np
import pytest
import torch
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.inference import metrics, recall
from services.inference.cache import Cache
from services.inference.engine import Call, Engine
from services.inference.load import Loader
from services.inference.precision import Networks, choose, compare, sample
from services.inference.served import Served
from services.inference.text import EncoderDevice, TextModel
from shared.bundle import MANIFEST, Precision, PrecisionName, sha256
from shared.nn.charngram import CharNgrams, NgramConfig
from shared.nn.precision import list_precisions
from shared.settings import Settings
from tests.inference.bundles import publish_text, sentence
from tests.inference.conftest import INTENT, RISK, Running, Store, Turning, serving, until
from tests.inference.test_encoder import tiny
from tests.inference.test_server import ask, tensors

CPU = torch.device("cpu")
HERE = list_precisions(CPU)
ALL = frozenset(HERE)


def test_the_more_precise_one_stays_unless_another_is_clearly_faster() -> None:
    """A quarter is more than a short measurement can be wrong by."""
    names: list[PrecisionName] = ["fp32", "bf16", "int8"]
    assert choose(names, {"fp32": 1.0, "bf16": 1.05, "int8": 3.0}) == "int8"
    assert choose(names, {"fp32": 1.0, "bf16": 1.05, "int8": 1.02}) == "fp32"
    assert choose(names, {"fp32": 1.0, "bf16": 2.0, "int8": 2.1}) == "bf16"
    assert choose(names[:1], {}) == "fp32"
    assert choose(names, {"fp32": 1.0, "bf16": 0.8, "int8": 0.0}) == "fp32"


def test_broken_kernels_are_never_chosen() -> None:
    """A network whose vectors are far from those of fp32 counts as unusable however fast it is."""
    good, other = tiny(0), tiny(1)
    speed = compare({"fp32": good, "bf16": good, "int8": other}, sample(good))
    assert speed["int8"] == 0.0 < speed["bf16"]
    assert speed["fp32"] == 1.0


def test_each_precision_is_measured_once() -> None:
    """What is allowed differs from model to model; the machine does not. What a model does not allow is never chosen."""
    networks = Networks(tiny(), CPU, "tiny")
    assert (networks.choose({"fp32"}), networks.speed) == ("fp32", {})
    chosen = networks.choose(ALL)
    measured = dict(networks.speed)
    assert tuple(measured) == HERE
    assert networks.choose({"fp32"}) == "fp32"
    assert (networks.choose(ALL), networks.speed) == (chosen, measured)


def test_what_the_deployment_asks_for_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    """Without a measurement, and whatever the models allow; what the machine does not have is said and is fp32."""
    networks = Networks(tiny(), CPU, "tiny")
    assert (networks.choose({"fp32"}, "bf16"), networks.speed) == ("bf16", {})
    assert networks.choose(ALL, "fp32") == "fp32"
    ngrams = Networks(CharNgrams(NgramConfig(100, 8)), CPU, "ngrams")
    with caplog.at_level(logging.WARNING):
        assert ngrams.choose(ALL, "int8") == "fp32"
    assert "ngrams has no int8 on this machine" in caplog.text
    assert ngrams.choose(ALL) == "fp32"


def test_weights_that_cannot_be_measured_are_left_to_the_warm_up(caplog: pytest.LogCaptureFixture) -> None:
    """A network that fails is not this module's to refuse: it says so, and it is fp32."""
    network = tiny()
    network.body.layers[0].qkv.weight = torch.nn.Parameter(torch.zeros(3, 5))  # type: ignore[union-attr, index]
    with caplog.at_level(logging.WARNING):
        assert Networks(network, CPU, "bent").choose(ALL) == "fp32"
    assert "bent runs in fp32; other precisions cannot be measured" in caplog.text


def test_the_budget_decides_what_is_allowed() -> None:
    """Losing exactly the budget is within it; what was not measured is not allowed."""
    record = Precision(budget=0.5, loss={"bf16": -0.1, "int8": 0.6})
    assert record.allowed == {"fp32", "bf16"}
    assert Precision(loss={"int8": 0.5}).allowed == {"fp32", "int8"}
    assert Precision().allowed == {"fp32"}


async def told(server: Running, model: str) -> object:
    """The precision of each language in the card that comes with an answer."""
    request = ask(model, "refund")
    request.parameters["card"].bool_param = True
    response = await server.stub.ModelInfer(request)
    return json.loads(response.parameters["card"].string_param).get("precision")


async def test_bundles_without_a_record_are_served_in_fp32(running: Running) -> None:
    """And the card says so; models without an encoder have nothing to say."""
    assert await told(running, "intent") == {"*": "fp32"}
    assert await told(running, "imaging") is None


def test_each_model_has_the_precision_that_it_can_afford(store: Store) -> None:
    """Of models on one encoder in memory once, one with a record is answered in fewer bits, one without in fp32, and none changes later."""
    free = Precision(loss=dict.fromkeys(HERE[1:], 0.0))
    for model, heads in (("intent", INTENT), ("risk", RISK)):
        for version, record in (("v2", free), ("v3", Precision(loss=dict.fromkeys(HERE[1:], 9.0)))):
            publish_text(store.scratch, store.place, model, version, {"*": store.encoder}, heads, precision=record)
    loader = Loader(store.place, Engine())
    before = loader.load("intent", "v1", store.digests["intent"])
    shared = device(before).shared
    shared.networks.speed = {"fp32": 1.0} | dict.fromkeys(HERE[1:-1], 1.0) | {HERE[-1]: 2.0}  # as if measured
    intent, risk = (loader.load(model, "v2", digest(store, model, "v2")) for model in ("intent", "risk"))
    poor = loader.load("risk", "v3", digest(store, "risk", "v3"))
    assert device(intent) is device(risk)
    assert device(before) is device(poor)
    assert (device(intent).precision, device(before).precision) == (HERE[-1], "fp32")
    assert device(intent).shared is shared
    assert json.loads(intent.card)["precision"] == {"*": HERE[-1]}
    assert json.loads(before.card)["precision"] == {"*": "fp32"}


def device(model: Served) -> EncoderDevice:
    assert isinstance(model, TextModel)
    return model._branches["*"].encoder


def digest(store: Store, model: str, version: str) -> str:
    return sha256(store.place / model / version / MANIFEST)


async def test_two_precisions_of_one_encoder_share_neither_pass_nor_cache(store: Store) -> None:
    """The same heads, asked the same in both: each answers as it does alone, and what one answered is not what the other is told."""
    free = Precision(loss=dict.fromkeys(HERE[1:], 0.0))
    publish_text(store.scratch, store.place, "intent", "v2", {"*": store.encoder}, INTENT, precision=free)
    engine, rows = Engine(), Counter[str]()
    engine.start()
    engine.on_batch = lambda batch, seconds: rows.update([batch.lane.precision] * len(batch.units))  # type: ignore[attr-defined]
    loader = Loader(store.place, engine)
    exact = loader.load("intent", "v1", store.digests["intent"])
    device(exact).shared.networks.speed = {"fp32": 1.0} | dict.fromkeys(HERE[1:], 2.0)
    lowered = loader.load("intent", "v2", digest(store, "intent", "v2"))
    texts, cache, found = [sentence(9, i).encode() for i in range(20)], Cache(1 << 20), []
    for model in (exact, lowered, exact, lowered):
        call = Call(time.monotonic() + 60, model=model)
        usual = [spec for spec in model.outputs if not spec.optional]
        answer = await recall.answer(cache, model, len(texts), {"text": texts}, call, usual)
        found.append((np.asarray(answer.tensors["intent.probabilities"]), answer.recalled))
    assert rows == {"fp32": 20, device(lowered).precision: 20}
    assert [recalled for _, recalled in found] == [0, 0, 20, 20]
    assert np.abs(found[0][0] - found[1][0]).max() > 0
    np.testing.assert_allclose(found[0][0], found[1][0], atol=0.03)
    for first, again in ((0, 2), (1, 3)):
        np.testing.assert_array_equal(found[first][0], found[again][0])
    await engine.stop()


@pytest.mark.parametrize("precision", HERE[1:])
async def test_a_deployment_can_ask_for_a_precision(
    running: Running, store: Store, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers are near to those of fp32, and as sure to be probabilities; metrics tell the rows of either apart."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "rows", provider.get_meter("test").create_histogram("rows"))
    ledger = Turning()
    ledger.point("intent", "v1", store.digests["intent"])
    request = ask("intent", *[sentence(1 + i % 14, i) for i in range(100)])
    exact = tensors(await running.stub.ModelInfer(request))["intent.probabilities"]
    async with serving(Settings(models=store.place, precision=precision), ledger) as server:  # type: ignore[arg-type]
        await until(lambda: server.registry.ready or server.lifecycle.done())
        assert await told(server, "intent") == {"*": precision}
        lowered = tensors(await server.stub.ModelInfer(request))["intent.probabilities"]
    data = reader.get_metrics_data()
    assert data is not None
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert {(point.attributes or {})["tidemill.precision"] for point in points} == {"fp32", precision}
    provider.shutdown()
    np.testing.assert_allclose(lowered, exact, atol=0.03)
    assert np.abs(np.subtract(lowered, exact)).max() > 0
    assert np.mean(np.argmax(lowered, 1) == np.argmax(exact, 1)) >= 0.9
