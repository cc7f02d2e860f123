"""Any encoder that transformers can load, as a folder that can be published as an encoder bundle. Importing transformers takes seconds."""

import shutil
from pathlib import Path

from shared.bundle import Encoder
from shared.nn.encoder import CONFIG, read_config

_FILES = (CONFIG, "model.safetensors", "tokenizer.json")


def adopt(source: str, folder: Path, *, name: str = "", pooling: str = "mean", max_tokens: int = 256) -> Encoder:
    """Fills `folder` and returns the spec to publish it with.

    Args:
        source: a folder in transformers' layout, or a hub id, which is then downloaded.
        name: where it came from, for the record; empty: `source`.

    Raises:
        OSError: there is no such model.
        ValueError: it has no tokenizer.json and none can be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if all((Path(source) / file).is_file() for file in _FILES):
        for file in _FILES:
            shutil.copyfile(Path(source) / file, folder / file)
    else:
        _convert(source, folder)
    config = read_config(folder)
    width = config.get("hidden_size") or config["dim"]  # DistilBERT calls it dim
    return Encoder.model_validate(
        {
            "architecture": "transformer",
            "name": name or source,
            "revision": config.get("_commit_hash") or "",
            "pooling": pooling,
            "width": width,
            "max_tokens": max_tokens,
        }
    )


def _convert(source: str, folder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(source, trust_remote_code=False, dtype="float32")
    model.save_pretrained(folder, safe_serialization=True, max_shard_size="100GB")
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, use_fast=True)
    if not tokenizer.is_fast:
        raise ValueError(f"{source} has no tokenizer.json, and its tokenizer cannot be written as one")
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
