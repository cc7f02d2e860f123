"""Models come and go while calls go on."""

import asyncio
import gc
import os
import shutil
import sys
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from safetensors.torch import load_file, save_file

from protos import inference_pb2 as oip
from services.inference.engine import Engine
from services.inference.load import Loader
from services.inference.served import Loaded, Served
from services.inference.tensors import pack_bytes
from services.inference.threads import LOW, LOWEST
from shared import bundle as bundles
from shared.bundle import Bundle, BundleError, Encoder, Head, Route, publish
from shared.nn.subwords import SubwordTokenizer
from shared.settings import Settings
from tests.inference.bundles import publish_encoder, publish_text, sentence
from tests.inference.conftest import INTENT, Running, Store, Turning, serving, until


def ask(texts: list[str], version: str = "") -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="intent", model_version=version)
    request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
    request.raw_input_contents.append(pack_bytes([text.encode() for text in texts]))
    return request


def publish_next(store: Store, version: str, seed: int, encoder: str = "") -> str:
    return publish_text(store.scratch, store.place, "intent", version, {"*": encoder or store.encoder}, INTENT, seed)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
async def test_loading_gives_way_to_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is live at the start is loaded as fast as can be; later ones in the time that passes and callers leave."""
    build, given, own = Loader._build, list[int](), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def watch(self: Loader, *arguments: Any) -> Loaded:
        given.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return build(self, *arguments)

    monkeypatch.setattr(Loader, "_build", watch)
    ledger = Turning()
    digests = [publish_next(store, version, 1) for version in ("early", "late")]
    ledger.point("intent", "early", digests[0])
    async with serving(Settings(models=store.place), ledger) as server:
        await until(lambda: server.registry.ready)
        ledger.point("intent", "late", digests[1])
        await server.until_live("intent", "late")
    assert given == [own, min(own + LOW, LOWEST)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


async def test_the_thread_that_loads_ends(running: Running, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that computed and stays keeps a team of OpenMP's workers, beside which the device's would no longer spin."""
    load, threads = Loader.load, list[threading.Thread]()

    def watch(self: Loader, *arguments: str, **how: bool) -> Served:
        threads.append(threading.current_thread())
        return load(self, *arguments, **how)

    monkeypatch.setattr(Loader, "load", watch)
    running.ledger.point("intent", "v2", publish_next(store, "v2", 11))
    await running.until_live("intent", "v2")
    (thread,) = threads
    assert thread is not threading.main_thread()
    await until(lambda: not thread.is_alive())


async def test_a_swap_under_load_fails_no_call(running: Running, store: Store) -> None:
    """Three promotions and a way back while callers go on; each answer is wholly one version's."""
    versions: Counter[str] = Counter()
    stop = asyncio.Event()

    async def keep_calling(seed: int) -> None:
        while not stop.is_set():
            response = await running.stub.ModelInfer(ask([sentence(1 + (seed + i) % 12, i) for i in range(8)]))
            versions[response.model_version] += 1

    callers = [asyncio.ensure_future(keep_calling(i)) for i in range(6)]
    digests = {"v1": store.digests["intent"]}
    for seed, version in enumerate(("v2", "v3", "v4"), start=10):
        digests[version] = publish_next(store, version, seed, publish_encoder(store.scratch, store.place, seed))
        running.ledger.point("intent", version, digests[version])
        await running.until_live("intent", version)
        await until(lambda version=version: versions[version] > 3)  # type: ignore[misc]
    running.ledger.point("intent", "v3", digests["v3"])
    await running.until_live("intent", "v3")
    stop.set()
    await asyncio.gather(*callers)
    assert set(versions) == {"v1", "v2", "v3", "v4"}
    assert not running.lifecycle.done()


async def test_the_version_before_stays_warm_and_older_ones_go(running: Running, store: Store) -> None:
    """The one before can be asked for by name; what is older, with an encoder that nobody else uses, leaves memory."""
    second = publish_next(store, "v2", 11, publish_encoder(store.scratch, store.place, 11))
    running.ledger.point("intent", "v2", second)
    await running.until_live("intent", "v2")
    assert (await running.stub.ModelInfer(ask(["refund"], "v1"))).model_version == "v1"
    explained = ask(["refund"], "v2")
    for output in ("attribution", "embedding"):
        explained.outputs.add(name=output)
    await running.stub.ModelInfer(explained)
    encoder = weakref.ref(running.registry.find("intent")._branches["*"].encoder)  # type: ignore[attr-defined]
    for version, seed in (("v3", 12), ("v4", 13)):
        running.ledger.point("intent", version, publish_next(store, version, seed))
        await running.until_live("intent", version)
    with pytest.raises(grpc.aio.AioRpcError, match=r"no version 'v2' in memory; it has v4, v3"):
        await running.stub.ModelInfer(ask(["refund"], "v2"))
    gc.collect()
    assert encoder() is None


# A bundle whose sums are right and whose content is not; the others are not what was sealed.
SEALED = ("not numbers", "other shapes", "no safetensors", "no tokenizer")


@pytest.mark.parametrize("harm", ["changed byte", "missing encoder", "not a bundle", *SEALED])
async def test_a_bad_new_bundle_is_refused_and_the_old_one_serves(
    running: Running, store: Store, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    """Loudly, once, with the reason; a good one after it is taken."""
    digest = publish_next(store, "v2", 11) if harm != "missing encoder" else publish_next(store, "v2", 11, "0" * 16)
    folder = store.place / "intent" / "v2"
    if harm == "changed byte":
        weights = bytearray((folder / "heads-any.safetensors").read_bytes())
        weights[-1] ^= 1
        (folder / "heads-any.safetensors").write_bytes(weights)
    elif harm in SEALED:
        digest = publish_broken(store, harm)
    elif harm == "not a bundle":
        (folder / "manifest.json").write_text("[]")
    running.ledger.point("intent", "v3" if harm in SEALED else "v2", digest)
    await until(lambda: "v1 stays live" in caplog.text)
    assert running.registry.find("intent").version == "v1"
    assert (await running.stub.ModelInfer(ask(["refund"]))).model_version == "v1"
    index = (await running.stub.RepositoryIndex(oip.RepositoryIndexRequest())).models
    assert [each.state for each in index if each.name == "intent"] == ["READY", "UNAVAILABLE"]
    running.ledger.point("intent", "v9", publish_next(store, "v9", 19))
    await running.until_live("intent", "v9")
    assert not running.lifecycle.done()


def publish_broken(store: Store, harm: str) -> str:
    """A bundle whose sums are right and whose weights are not."""
    folder, encoder = store.scratch / "intent-v2", store.encoder
    weights = load_file(folder / "heads-any.safetensors")
    if harm == "not numbers":
        weights["intent.weight"][0, 0] = float("nan")
    elif harm == "other shapes":
        weights["intent.weight"] = weights["intent.weight"][:, :-1].clone()
    save_file(weights, folder / "heads-any.safetensors")
    if harm == "no safetensors":
        (folder / "heads-any.safetensors").write_bytes(b"not a header" * 8)
    elif harm == "no tokenizer":
        encoder = publish_broken_encoder(store)
    spec = Bundle(
        kind="text-classifier",
        model="intent",
        heads={head: Head(labels=tuple(labels)) for head, labels in INTENT.items()},
        routes={"*": Route(encoder=encoder, weights="heads-any.safetensors")},
    )
    return publish(folder, spec, store.place, "v3")[1]


def publish_broken_encoder(store: Store) -> str:
    """An encoder whose tokenizer no library can read."""
    good = store.place / "encoders" / publish_encoder(store.scratch, store.place, seed=7)
    folder = store.scratch / "broken-encoder"
    shutil.copytree(good, folder)
    (folder / "tokenizer.json").write_text('{"model": "none"}')
    return publish(folder, bundles.load(good, Encoder), store.place)[0].name


async def test_a_panic_while_loading_costs_that_version_alone(
    running: Running, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tokenizers' Rust raises then is no Exception: it would end the process with all its models."""

    class Panic(BaseException):
        pass

    def fail(*_: object) -> None:
        raise Panic("range end index 1 out of range")

    with monkeypatch.context() as patch:
        patch.setattr(SubwordTokenizer, "encode", fail)
        encoder = publish_encoder(store.scratch, store.place, 10)
        running.ledger.point("intent", "v2", publish_next(store, "v2", 10, encoder))
        await until(lambda: bool(running.registry.models["intent"].trouble) or running.lifecycle.done())
    assert not running.lifecycle.done()
    assert (await running.stub.ModelInfer(ask(["my card"]))).model_version == "v1"


async def test_a_new_model_joins_while_others_serve(store: Store) -> None:
    """Nothing is live at first, which is waited for; then one after another."""
    ledger = Turning()
    async with serving(Settings(models=store.place), ledger) as server:
        assert not (await server.stub.ServerReady(oip.ServerReadyRequest())).ready
        with pytest.raises(grpc.aio.AioRpcError, match="no live model 'intent' is here; live: none"):
            await server.stub.ModelInfer(ask(["refund"]))
        ledger.point("risk", "v1", store.digests["risk"])
        await until(lambda: server.registry.ready)
        ledger.point("intent", "v1", store.digests["intent"])
        await until(lambda: "intent" in server.registry.live())
        assert (await server.stub.ModelInfer(ask(["refund"]))).model_version == "v1"


async def test_languages_take_their_routes(store: Store) -> None:
    """A language with its own encoder is answered by it, also under a region; every other one by "*"."""
    other = publish_encoder(store.scratch, store.place, seed=5)
    digest = publish_text(store.scratch, store.place, "talk", "v1", {"*": store.encoder, "zh": other}, INTENT)
    ledger = Turning()
    ledger.point("talk", "v1", digest)
    async with serving(Settings(models=store.place), ledger) as server:
        await until(lambda: server.registry.ready)
        request = ask(["my card"] * 5)
        request.model_name = "talk"
        request.inputs.add(name="language", datatype="BYTES", shape=[5])
        request.raw_input_contents.append(pack_bytes([b"en", b"zh", b"zh-TW", b"ZH", b""]))
        response = await server.stub.ModelInfer(request)
        rows = [response.raw_output_contents[0][i * 12 : (i + 1) * 12] for i in range(5)]
        assert rows[1] == rows[2] == rows[3] != rows[0] == rows[4]


def test_a_bundle_of_another_model_is_refused(store: Store) -> None:
    """The folder's name is not believed; nor is a name that would leave the store."""
    loader = Loader(store.place, Engine())
    (store.place / "risk" / "v1").rename(store.place / "intent" / "v5")
    with pytest.raises(BundleError, match="it is a bundle of 'risk', not of 'intent'"):
        loader.load("intent", "v5", store.digests["risk"])
    for model, version in (("..", "v1"), ("intent", "../risk"), ("intent", "/etc")):
        with pytest.raises(BundleError, match="is not a valid model or version name"):
            loader.load(model, version, "")


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ({"sentiment": ["negative", "positive"]}, "it has no head 'severity', which risk cannot do without"),
        (
            {"sentiment": ["bad", "good"], "severity": ["none", "low", "medium", "high"]},
            "it has no label 'negative' of head 'sentiment'",
        ),
        (
            {"sentiment": ["negative", "positive"], "severity": ["none", "low", "medium", "high", "critical"]},
            "it has the label 'critical' of head 'severity', which risk does not know",
        ),
    ],
)
def test_a_bundle_must_have_the_heads_that_its_domain_reads(
    store: Store, heads: dict[str, list[str]], said: str
) -> None:
    """Else every event of the domain would fail, for as long as it is live."""
    digest = publish_text(store.scratch, store.place, "risk", "v2", {"*": store.encoder}, heads)
    with pytest.raises(BundleError, match=said):
        Loader(store.place, Engine()).load("risk", "v2", digest)


def test_an_encoder_must_be_the_one_its_folder_names(store: Store, tmp_path: Path) -> None:
    """Its digest is its name: another encoder in its place is noticed."""
    other = publish_encoder(store.scratch, store.place, seed=5)
    (store.place / "encoders" / store.encoder).rename(tmp_path / "away")
    (store.place / "encoders" / other).rename(store.place / "encoders" / store.encoder)
    with pytest.raises(BundleError, match=f"its sha256 does not begin with {store.encoder}"):
        Loader(store.place, Engine()).load("intent", "v1", store.digests["intent"])
