"""Pooled vectors of texts, computed once: kept on disk by encoder and text, so that a killed run goes on where it stopped."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.encoders import Made
from services.training.examples import Example
from shared.bundle import PrecisionName, sha256

BATCH = 32
Vectors = NDArray[np.float32]


def embed(
    examples: Sequence[Example],
    encoder: Made,
    scratch: Path,
    advance: Callable[[int], None] = lambda rows: None,
    precision: PrecisionName = "fp32",
) -> Vectors:
    """[n, width], in the examples' order: what the inference service will compute for these rows, by the same code.

    Args:
        scratch: holds `features/<encoder>/*.npz`, one file a batch; with an adapter `<encoder>-<its digest>`; of other precisions than
            fp32 `<the same>-<precision>`.
        advance: told how many more rows are done.
    """
    shelf = scratch / "features" / _name(encoder, precision)
    shelf.mkdir(parents=True, exist_ok=True)
    keys = [key_of(example) for example in examples]
    known = _read(shelf, encoder.spec.width)
    missing = {key: example for key, example in zip(keys, examples, strict=True) if key not in known}
    if len(missing) < len(keys):
        advance(sum(key not in missing for key in keys))
    if missing:
        known |= _compute(missing, encoder, shelf, lambda done: advance(sum(key in done for key in keys)), precision)
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, encoder.spec.width), np.float32)


def _name(encoder: Made, precision: PrecisionName) -> str:
    parts = [encoder.digest]
    if encoder.added:
        spec = encoder.added.spec.model_copy(update={"weights": "-.safetensors"})  # the same under any name
        whole = f"{spec.model_dump_json()}\x1f{sha256(encoder.added.file)}"
        parts.append(hashlib.sha256(whole.encode()).hexdigest()[:16])
    return "-".join(parts if precision == "fp32" else [*parts, precision])


def key_of(example: Example) -> str:
    row = f"{example.text}\x1f{example.text_pair}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(row).hexdigest()[:32]


def _read(shelf: Path, width: int) -> dict[str, Vectors]:
    known: dict[str, Vectors] = {}
    for file in shelf.glob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            if arrays["vectors"].shape[1:] == (width,):
                known.update(zip(arrays["keys"].tolist(), arrays["vectors"], strict=True))
    return known


def _compute(
    missing: dict[str, Example],
    encoder: Made,
    shelf: Path,
    done: Callable[[list[str]], None],
    precision: PrecisionName,
) -> dict[str, Vectors]:
    import torch

    from shared.nn.adapter import adapt, load_adapter
    from shared.nn.encoder import load_network, load_tokenizer
    from shared.nn.precision import lower
    from shared.nn.tokens import pack

    network, tokenizer = load_network(encoder.folder, encoder.spec), load_tokenizer(encoder.folder, encoder.spec)
    adapter = None
    if encoder.added:
        adapter = load_adapter(encoder.added.file, encoder.added.spec, network).to(torch.device("cpu"), precision)
    network = lower(network, precision)
    texts, pairs = [e.text for e in missing.values()], [e.text_pair for e in missing.values()]
    rows = sorted(zip(missing, tokenizer.encode(texts, pairs), strict=True), key=lambda row: len(row[1]))
    found: dict[str, Vectors] = {}
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        keys, packed = [key for key, _ in batch], pack([tokens for _, tokens in batch])
        with torch.inference_mode():
            vectors = network(adapt(packed, [adapter] * len(batch)) if adapter else packed).float().numpy()
        _write(shelf, keys, vectors)
        found.update(zip(keys, vectors, strict=True))
        done(keys)
    return found


def _write(shelf: Path, keys: list[str], vectors: Vectors) -> None:
    """All or nothing, also when the process is killed."""
    with tempfile.NamedTemporaryFile(dir=shelf, suffix=".part", delete=False) as file:
        np.savez(file, keys=np.array(keys), vectors=vectors)
    os.replace(file.name, shelf / f"{keys[0]}.npz")
