"""What fine-tuning ends with: an encoder of its own, or an adapter beside the one that it began with; found again by the next run."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from services.training import encoders
from services.training.encoders import Added, Made
from services.training.leftover import recall, remember
from shared import bundle
from shared.bundle import ADAPTED, Adapter
from shared.nn.adapter import Place, load_adapter, merge, save_adapter
from shared.nn.encoder import load_network, save_weights

SPEC = Adapter(weights="adapter.safetensors", rank=16, scale=2.0, linears=ADAPTED)
_DONE = "done.json"


def find_tuned(place: Path, encoder: Made, store: Path, *, merged: bool) -> Made | None:
    """What an earlier run of the same ended with, as far as it is still there: else it is made again.

    merged: an encoder is wanted; a killed run may have left no more than the adapter that was to be merged into it.
    """
    done, file = recall(place / _DONE), place / SPEC.weights
    if not merged and (adapter := done.get("adapter")) and file.is_file() and bundle.sha256(file) == adapter:
        return replace(encoder, added=Added(SPEC, file))
    try:
        return encoders.find(done["digest"], store) if "digest" in done else None
    except bundle.BundleError:
        return None  # gone from the store


def keep_adapter(pairs: Mapping[Place, tuple[Tensor, Tensor]], encoder: Made, place: Path) -> Made:
    """The encoder with what LoRA learned beside it. pairs: as `save_adapter` takes them."""
    file = place / SPEC.weights
    save_adapter(pairs, file)
    remember(place / _DONE, {"adapter": bundle.sha256(file)})
    return replace(encoder, added=Added(SPEC, file))


def merge_adapter(made: Made) -> nn.Module:
    """The encoder with what is beside it added to its weights."""
    assert made.added is not None
    network = load_network(made.folder, made.spec)
    merge(network, load_adapter(made.added.file, made.added.spec, network))
    return network


def publish_tuned(tuned: nn.Module, encoder: Made, change: str, place: Path, store: Path) -> Made:
    """An encoder of its own. change: what was done to `encoder`, to be said in its revision."""
    folder = place / "encoder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_weights(tuned, folder / encoder.spec.weights)
    for name in ("config.json", "tokenizer.json"):
        if (encoder.folder / name).is_file():
            shutil.copyfile(encoder.folder / name, folder / name)
    revision = f"{encoder.spec.revision}; {change}".removeprefix("; ")
    spec = encoder.spec.model_copy(update={"revision": revision})
    where, digest = bundle.publish(folder, spec, store)
    remember(place / _DONE, {"digest": digest[:16]})
    return Made(spec, digest[:16], where)
