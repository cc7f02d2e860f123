"""Many LoRA adapters on one encoder: each text is answered as by an encoder that its adapter was merged into, in one pass for all."""

import asyncio
import copy
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import DistilBertConfig, DistilBertModel

from services.inference.engine import Call, Engine
from services.inference.load import Loader
from services.inference.served import Answer, Served
from services.inference.units import Batch
from shared.bundle import MAX_RANK, Adapter, BundleError, Encoder, PrecisionName, Route, publish
from shared.nn import adapter as adapters
from shared.nn.adapter import adapt, load_adapter, merge, save_adapter
from shared.nn.charngram import CharNgrams, NgramConfig
from shared.nn.encoder import Pooled, load_network, save_weights
from shared.nn.foreign import Foreign
from shared.nn.precision import list_precisions, lower
from shared.nn.tokens import Tokens, pack
from tests.inference.bundles import ADAPTER, draw_pairs, publish_encoder, publish_text, sentence
from tests.inference.conftest import INTENT
from tests.inference.test_encoder import texts, tiny
from tests.inference.test_lowered import FAR, far
from tests.inference.test_memory import held

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[adapters.Adapter | None]:
    """None, and three adapters for `tiny()`."""
    folder, network = tmp_path_factory.mktemp("adapters"), tiny()
    found: list[adapters.Adapter | None] = [None]
    for seed in range(3):
        save_adapter(draw_pairs(seed), folder / f"{seed}.safetensors")
        found.append(load_adapter(folder / f"{seed}.safetensors", ADAPTER, network))
    return found


@pytest.fixture(scope="module")
def alone(made: list[adapters.Adapter | None]) -> list[torch.Tensor]:
    """What the encoder reads in each text by itself, with each of `made` merged into it."""
    with torch.inference_mode():
        return [torch.cat([network(pack([text])) for text in texts(12)]) for network in map(merged, made)]


def merged(adapter: adapters.Adapter | None) -> Any:
    network = copy.deepcopy(tiny())
    if adapter is not None:
        merge(network, adapter)
    return network


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=12, max_size=12), st.permutations(range(12)))
def test_each_text_is_read_as_by_the_merged_encoder(
    made: list[adapters.Adapter | None], alone: list[torch.Tensor], which: list[int], order: list[int]
) -> None:
    """Whatever the others have, in whatever order."""
    batch = texts(12)
    with torch.inference_mode():
        together = tiny()(adapt(pack([batch[i] for i in order]), [made[which[i]] for i in order]))
    expected = torch.stack([alone[which[i]][i] for i in order])
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("precision", list_precisions(CPU)[1:])
def test_adapters_go_on_top_of_a_lowered_encoder(made: list[adapters.Adapter | None], precision: PrecisionName) -> None:
    """Near to what fp32 says, and a text's vector is nearly the same in any company."""
    network, batch = tiny(), texts(12)
    which = [made[i % 4] for i in range(12)]
    lowered = [each and each.to(CPU, precision) for each in which]
    exact, together = network(adapt(pack(batch), which)), lower(network, precision)(adapt(pack(batch), lowered))
    assert 0 < far(together, exact) <= FAR[precision]
    pairs = zip(batch, lowered, strict=True)
    alone = torch.cat([lower(network, precision)(adapt(pack([text]), [each])) for text, each in pairs])
    assert far(together, alone) <= FAR[precision] / 2


@torch.inference_mode()
def test_passes_at_once_keep_their_adapters_apart(made: list[adapters.Adapter | None]) -> None:
    """Two threads through one network, each with adapters of its own, get what they get one after the other."""
    network, batch = tiny(), texts(8)
    asked = [adapt(pack(batch), [made[1], made[2]] * 4), adapt(pack(batch), [made[3], None] * 4)]
    expected = [network(each) for each in asked]
    wrong: list[float] = []

    @torch.inference_mode()
    def work(side: int) -> None:
        wrong.extend(float((network(asked[side]) - expected[side]).abs().max()) for _ in range(100))

    threads = [threading.Thread(target=work, args=(side,)) for side in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 200
    assert max(wrong) <= 1e-5


async def put(model: Served, lines: Sequence[str], *asked: str) -> Answer:
    call = Call(1e12, model=model, asked=frozenset(asked))
    return await model.answer(len(lines), {"text": [line.encode() for line in lines]}, call)


def publish_merged(scratch: Path, store: Path, encoder: str, seed: int) -> str:
    """An encoder of its own, with the adapter of that seed in it."""
    source = store / "encoders" / encoder
    spec = Encoder.model_validate_json((source / "bundle.json").read_bytes())
    network = load_network(source, spec)
    save_adapter(draw_pairs(seed), scratch / "pairs.safetensors")
    merge(network, load_adapter(scratch / "pairs.safetensors", ADAPTER, network))
    folder = scratch / f"merged-{seed}"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    save_weights(network, folder / spec.weights)
    return publish(folder, spec, store)[0].name


async def test_models_with_adapters_and_without_share_one_pass(tmp_path: Path) -> None:
    """Probabilities, embeddings and attributions are those of models whose encoders were merged, which share nothing."""
    store, engine, passes, lines = tmp_path / "models", Engine(), list[Batch](), [sentence(3 + i, i) for i in range(5)]
    encoder = publish_encoder(tmp_path, store)
    engine.start()
    loader = Loader(store, engine, "fp32")
    shared, alone = {}, {}
    for seed in (None, 0, 1):
        name = f"m{seed}".lower()
        digest = publish_text(tmp_path, store, name, "apart", {"*": encoder}, INTENT, seed=7, adapter=seed)
        shared[seed] = loader.load(name, "apart", digest)
        own = encoder if seed is None else publish_merged(tmp_path, store, encoder, seed)
        alone[seed] = loader.load(
            name, "merged", publish_text(tmp_path, store, name, "merged", {"*": own}, INTENT, seed=7)
        )
    engine.on_batch = lambda batch, seconds: passes.append(batch)
    outputs = ("embedding",), ("embedding", "attribution")
    for asked in outputs:
        passes.clear()
        with engine._lock:  # the device threads wait while all of them arrive
            asking = [asyncio.ensure_future(put(model, lines, *asked)) for model in shared.values()]
            while engine.waiting < 15:  # noqa: ASYNC110 - tokenisers' threads add to it
                await asyncio.sleep(0.001)
        answers = dict(zip(shared, await asyncio.gather(*asking), strict=True))
        mixed = [{unit.owner.model for unit in batch.units} for batch in passes]
        assert asked != ("embedding",) or max(map(len, mixed)) > 1  # who explains has a lane for each model
        for seed, model in alone.items():
            expected = await put(model, lines, *asked)
            same(answers[seed], expected)
    seen = [np.asarray(each.tensors["intent.probabilities"]) for each in answers.values()]
    assert min(np.abs(seen[i] - seen[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.01
    await engine.stop()


def same(found: Answer, expected: Answer) -> None:
    for name, tensor in expected.tensors.items():
        if name == "attribution":
            for one, other in zip(found.tensors[name], tensor, strict=True):
                assert loosely(one) == loosely(other)
        else:
            np.testing.assert_allclose(np.asarray(found.tensors[name]), np.asarray(tensor), atol=1e-4)


def loosely(attribution: Any) -> Any:
    """With scores to the third digit."""
    return json.loads(attribution, parse_float=lambda digits: pytest.approx(float(digits), abs=1e-3))


async def test_what_an_adapter_took_is_given_back(tmp_path: Path) -> None:
    """A route that two languages have is in memory once; without its model the adapter is gone, and the encoder stays."""
    store, engine = tmp_path / "models", Engine()
    encoder = publish_encoder(tmp_path, store)
    loader = Loader(store, engine)
    plain = loader.load(
        "plain", "v1", publish_text(tmp_path, store, "plain", "v1", {"*": encoder}, {"intent": ("a", "b")})
    )
    size = sum(4 * each.numel() for pair in draw_pairs(0).values() for each in pair)
    before = held()
    digest = publish_text(tmp_path, store, "more", "v1", {"*": encoder}, {"intent": ("a", "b")}, adapter=0)
    model: Served | None = loader.load("more", "v1", digest)
    assert model is not None
    assert size <= held() - before <= 1.1 * size
    del model
    assert held() == before
    assert plain.name == "plain"


def spoil(file: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(file)
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        del tensors[key]
        if tensor is not None:
            tensors[key] = tensor
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers__1__mix__b": None}, r"it has no layers\.1\.mix\.b"),
        ({"layers__0__qkv__a": torch.zeros(4, 31)}, r"layers\.0\.qkv\.a is F32 \[4, 31\].* want a float tensor \[4, 32\]"),
        ({"layers__0__qkv__b": torch.zeros(96, 8)}, r"layers\.0\.qkv\.b is F32 \[96, 8\].*`adapter\.rank` 4"),
        ({"layers__0__mix__a": torch.zeros(4, 32, dtype=torch.int32)}, r"layers\.0\.mix\.a is I32"),
        ({"layers__0__mix__a": torch.full((4, 32), torch.nan)}, r"layers\.0\.mix is not all finite"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """The file and the tensor are named, before the device sees any of it."""
    file = tmp_path / ADAPTER.weights
    save_adapter(draw_pairs(0), file)
    spoil(file, **changes)
    with pytest.raises(BundleError, match=rf"adapter\.safetensors: {said}"):
        load_adapter(file, ADAPTER, tiny())


def test_layers_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    """By number, and where the spec does not name them; a file that is not there is named too."""
    pairs = draw_pairs(0)
    file = tmp_path / ADAPTER.weights
    with pytest.raises(
        BundleError, match=r"adapter\.safetensors: missing; bundle\.json names it as `adapter\.weights`"
    ):
        load_adapter(file, ADAPTER, tiny())
    save_adapter({**pairs, (2, "mix"): draw_pairs(1)[1, "mix"]}, file)
    with pytest.raises(BundleError, match=r"layers\.2\.mix\.a is nothing to adapt: the encoder computes layers 0 to 1"):
        load_adapter(file, ADAPTER, tiny())
    save_adapter(pairs, file)
    with pytest.raises(BundleError, match=r"layers\.0\.mix\.a is nothing to adapt: .*`adapter\.linears` is qkv"):
        load_adapter(file, ADAPTER.model_copy(update={"linears": ("qkv",)}), tiny())


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rank", MAX_RANK + 1, "rank\n.*less than or equal to 64"),
        ("rank", 0, "rank\n.*greater than or equal to 1"),
        ("scale", 0, "scale\n.*greater than 0"),
        ("scale", float("nan"), "scale\n"),
        ("weights", "../other.safetensors", "weights\n.*match pattern"),
        ("linears", (), "linears\n"),
        ("linears", ("mix", "mix"), "`linears` names one twice"),
        ("linears", ("embeddings",), r"linears\.0\n"),
    ],
)
def test_a_spec_out_of_bounds_is_refused(field: str, value: object, said: str) -> None:
    """The field and its limit are named; a route without an adapter is valid, as all were before there were any."""
    with pytest.raises(ValidationError, match=said):
        Adapter.model_validate({**ADAPTER.model_dump(), field: value})
    assert Route.model_validate({"encoder": "0" * 16, "weights": "heads.safetensors"}).adapter is None


def test_other_architectures_take_none(tmp_path: Path) -> None:
    """Neither character n-grams nor what runs through transformers: refused, saying so."""
    config = DistilBertConfig(vocab_size=64, dim=8, n_layers=1, n_heads=2, hidden_dim=16)
    DistilBertModel(config).save_pretrained(tmp_path / "distil")
    for network in (CharNgrams(NgramConfig(100, 8)), Pooled(Foreign(tmp_path / "distil"), "mean")):
        with pytest.raises(BundleError, match="none of the BERT family, which alone takes adapters"):
            load_adapter(tmp_path / "adapter.safetensors", ADAPTER, network)


def test_a_pass_without_adapters_is_the_plain_one() -> None:
    """Nothing is said of adapters then, so that nothing is computed for them."""
    assert pack([Tokens(np.arange(3))]).adapted == ()


def test_a_route_without_one_is_written_as_ever() -> None:
    """Releases that know no adapters read its bundle, and its digest is the one that it always had."""
    assert Route(encoder="0" * 16, weights="a.safetensors").model_dump() == {
        "encoder": "0" * 16,
        "weights": "a.safetensors",
        "temperature": {},
    }
