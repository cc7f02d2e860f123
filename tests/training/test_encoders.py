"""Encoders: where they come from, what they pool, and that a bad one is refused."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from services.training import chars, e5, encoders
from services.training.examples import DataError, Example
from services.training.features import embed
from shared.nn.encoder import load_network, load_tokenizer
from shared.nn.tokens import pack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A random BERT of two layers and a vocabulary of whole words."""
    return write_bert(tmp_path / "bert")


def write_bert(folder: Path, words: str = "nordhavn and orvanta sink rise money back") -> Path:
    torch.manual_seed(0)
    size = write_tokenizer(folder, words)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=size, **shape)).save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, words: str) -> int:
    """One of whole words; how many tokens it has."""
    vocabulary = {token: at for at, token in enumerate(["[PAD]", "[UNK]", "[MASK]", *words.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[MASK]"])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def vectors(made: encoders.Made, texts: list[str], pairs: list[str] | None = None) -> np.ndarray:
    network, tokenizer = load_network(made.folder, made.spec), load_tokenizer(made.folder, made.spec)
    with torch.inference_mode():
        return np.asarray(network(pack(tokenizer.encode(texts, pairs))))


def test_an_encoder_from_a_folder_is_made_once(source: Path, tmp_path: Path) -> None:
    """It ends in the store by its content, with two layers and the target's own tokens pooled."""
    made = encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    assert (made.spec.layers, made.spec.pooling, made.spec.target, made.spec.width) == (
        (2, 2),
        "mean+target",
        "[MASK]",
        32,
    )
    before = (tmp_path / "scratch" / "encoders.json").stat().st_mtime_ns
    assert encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch").digest == made.digest
    assert (tmp_path / "scratch" / "encoders.json").stat().st_mtime_ns == before


def test_other_weights_in_the_same_folder_are_another_encoder(source: Path, tmp_path: Path) -> None:
    """Who trains an encoder further where it lies gets heads on what is there now, not on what was."""
    made = encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    BertModel(BertConfig.from_pretrained(source)).save_pretrained(source)
    other = encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    assert other.digest != made.digest
    assert (other.folder / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


def test_a_note_cut_short_by_a_kill_is_made_again(source: Path, tmp_path: Path) -> None:
    """Half of a file of notes costs the work that it spoke of, and not every later run."""
    made = encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    kept = tmp_path / "scratch" / "encoders.json"
    kept.write_text(kept.read_text()[:7])
    assert encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch").digest == made.digest
    assert made.digest in kept.read_text()


def test_the_answer_depends_on_whose_it_is(source: Path, tmp_path: Path) -> None:
    """One headline, two issuers, two vectors; and the name itself does not matter, only where it stands."""
    made = encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    headline = "nordhavn sink and orvanta rise"
    one, other = vectors(made, ["nordhavn", "orvanta"], [headline, headline])
    assert np.abs(one - other).max() > 0.01
    renamed = vectors(made, ["unheard"], ["unheard sink and orvanta rise"])[0]
    assert np.abs(one - renamed).max() < 1e-6


def test_any_transformers_model_serves(tmp_path: Path) -> None:
    """An architecture without a network of ours is loaded through transformers, and packed like the rest."""
    torch.manual_seed(0)
    size = write_tokenizer(tmp_path / "source", "nordhavn and orvanta sink rise money back")
    config = DistilBertConfig(vocab_size=size, dim=8, n_layers=2, n_heads=2, hidden_dim=16)
    DistilBertModel(config).save_pretrained(tmp_path / "source")
    made = encoders.obtain(str(tmp_path / "source"), tmp_path / "store", tmp_path / "scratch")
    texts = ["nordhavn", "orvanta sink and money rise back", "money back"]
    alone = np.concatenate([vectors(made, [text]) for text in texts])
    assert alone.shape == (3, made.spec.width) == (3, 8)
    np.testing.assert_allclose(vectors(made, texts), alone, atol=1e-5, rtol=1e-4)


def test_what_cannot_be_had_is_said(source: Path, tmp_path: Path) -> None:
    """A folder without weights names the file; one whose network has no width that is known says so."""
    config = json.loads((source / "config.json").read_bytes())
    del config["hidden_size"]
    (source / "config.json").write_text(json.dumps({**config, "model_type": "another"}))
    with pytest.raises(DataError, match=r"config\.json has no hidden_size"):
        encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"model\.safetensors"):
        encoders.obtain(str(tmp_path / "empty"), tmp_path / "store", tmp_path / "scratch")


def test_character_n_grams_hold_what_tf_idf_knows(tmp_path: Path) -> None:
    """Without a label they tell apart what shares no characters, and a target from its neighbour."""
    texts = ["我要退款", "请退款给我", "怎么登录", "登录不了", "密码忘了", "退款多久到"]
    names = ["甲", "乙"]
    made = encoders.obtain(
        "chars",
        tmp_path,
        tmp_path / "scratch",
        lambda folder: chars.write([*texts, *names], [""] * 6 + ["甲涨乙跌"] * 2, folder, 16, 4096),
    )
    found = vectors(made, texts)
    near, far = found[0] @ found[5], found[0] @ found[2]
    assert near > far + 0.05
    assert np.abs(np.subtract(*vectors(made, names, ["甲涨乙跌"] * 2))).max() > 1e-3


def test_features_outlive_a_killed_run(source: Path, tmp_path: Path) -> None:
    """What was computed is not computed again; a half-written file is not read."""
    made = encoders.obtain(str(source), tmp_path / "store", tmp_path / "scratch")
    rows = [Example(str(n), str(n), "en", "money back " * (n + 1), {}) for n in range(40)]
    embed(rows[:32], made, tmp_path)
    shelf = tmp_path / "features" / made.digest
    (shelf / "broken.part").write_bytes(b"half")
    before = {file.name: file.read_bytes() for file in shelf.glob("*.npz")}
    told: list[int] = []
    whole = embed(rows, made, tmp_path, told.append)
    assert told == [32, 8]
    assert before.items() <= {file.name: file.read_bytes() for file in shelf.glob("*.npz")}.items()
    assert np.abs(whole - vectors(made, [row.text for row in rows])).max() < 1e-5


def test_four_bit_weights_are_read(tmp_path: Path) -> None:
    """Byte j of a block holds weight j in its low half and weight j + 16 in its high half; 8 is zero."""
    block = struct.pack("<e", 0.5) + bytes([0x80 | 9] + [0x88] * 15)
    header = b"E5S1" + bytes(4) + bytes(28) + bytes(4) + bytes(4)
    vocabulary = (
        struct.pack("<5i", 1, 0, 0, 0, 0)
        + struct.pack("<Q", 1)
        + struct.pack("<2I", 0, 1)
        + struct.pack("<f", -1)
        + b"a"
    )
    entry = struct.pack("<H", 1) + b"w" + struct.pack("<BIQQ", 1, 32, 0, 18)
    head = header + vocabulary + struct.pack("<iI", 0, 0) + struct.pack("<i", 1)
    entry = struct.pack("<H", 1) + b"w" + struct.pack("<BIQQ", 1, 32, len(head) + len(entry), 18)
    file = tmp_path / "tiny.bin"
    file.write_bytes(head + entry + block)
    packed = e5.unpack(file)
    assert (packed.pieces, packed.scores.tolist()) == (["a"], [-1.0])
    assert packed.floats("w", 32).tolist() == [0.5, *[0.0] * 31]
    with pytest.raises(ValueError, match="tensor 'w' has 18 bytes"):
        packed.floats("w", 64)
    file.write_bytes(json.dumps({}).encode())
    with pytest.raises(ValueError, match="not an E5S1 file"):
        e5.unpack(file)
