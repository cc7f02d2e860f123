"""What is served: two text classifiers on one MiniLM and an image classifier, made once for a seed and kept for the next run."""

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench.quick import embed, solve
from bench.texts import labelled
from services.training.encoders import Made, find, obtain
from shared import bundle
from shared.bundle import Bundle, Encoder, Head, ImageInput, Route
from shared.nn.heads import Heads, save_heads
from shared.nn.image import build

INTENT, TOPIC, IMAGING = "intent", "topic", "imaging"
IMAGE = 256  # pixels a side, of the images sent; the network's are 96
_HELD_OUT = 0.25  # of the texts, which the heads are not fitted on and everything is measured with


@dataclass(frozen=True, slots=True)
class Pointer:
    """A version in the store, as the ledger names it."""

    version: str
    digest: str


@dataclass(slots=True)
class Models:
    """texts: held out; `truth` are the indices of their intents. live: what to promote."""

    store: Path
    origin: str
    texts: list[str]
    truth: list[int]
    live: dict[str, Pointer] = field(default_factory=dict)


def prepare(folder: Path, seed: int, fitted: int) -> Models:
    """fitted: the most texts that heads are fitted on."""
    origin, rows = labelled(seed)
    held = int(len(rows) * _HELD_OUT)
    names = sorted({label for _, label in rows})
    measured, known = rows[:held], rows[held : held + fitted]
    models = Models(
        folder / "models", origin, [text for text, _ in measured], [names.index(each) for _, each in measured]
    )
    version = f"bench-{seed}-{len(known)}"
    encoder = obtain("minilm", models.store, folder / "scratch")
    if not (models.store / IMAGING / version).is_dir():  # the last one that is made
        torch.manual_seed(seed)
        vectors = embed(encoder.folder, encoder.spec, [text for text, _ in known], None)
        _publish_text(models.store, INTENT, version, encoder, vectors, [label for _, label in known])
        _publish_text(models.store, TOPIC, version, encoder, vectors, [_topic(label) for _, label in known])
        _publish_images(models.store, version)
    for model in (INTENT, TOPIC, IMAGING):
        models.live[model] = Pointer(version, bundle.sha256(models.store / model / version / bundle.MANIFEST))
    return models


def _topic(intent: str) -> str:
    """`card_arrival` is about cards."""
    return intent.lower().partition("_")[0]


def _publish_text(
    store: Path, model: str, version: str, encoder: Made, vectors: torch.Tensor, labels: list[str]
) -> None:
    names = sorted(set(labels))
    heads = Heads(encoder.spec.width, {model: len(names)})
    weight, bias = solve(vectors, torch.tensor([names.index(each) for each in labels]), len(names))
    heads.load_state_dict({f"{model}.weight": weight, f"{model}.bias": bias})
    spec = Bundle(
        kind="text-classifier",
        model=model,
        heads={model: Head(labels=tuple(names))},
        routes={"*": Route(encoder=encoder.digest, weights="heads.safetensors")},
    )
    with tempfile.TemporaryDirectory() as scratch:
        save_heads(heads, Path(scratch) / "heads.safetensors")
        bundle.publish(Path(scratch), spec, store, version)


def _publish_images(store: Path, version: str) -> None:
    """The network as it was born: what it says is not looked at."""
    spec = Bundle(
        kind="image-classifier",
        model=IMAGING,
        heads={"finding": Head(labels=("normal", "opacity", "effusion"))},
        image=ImageInput(size=96),
        weights="model.safetensors",
    )
    with tempfile.TemporaryDirectory() as scratch:
        save_file(build(spec).state_dict(), Path(scratch) / spec.weights)
        bundle.publish(Path(scratch), spec, store, version)


def renew(models: Models, version: str) -> Pointer:
    """Another version of the intent model, with an encoder of its own: the same weights under another digest, so that all is loaded."""
    place = models.store / INTENT / models.live[INTENT].version
    spec = bundle.load(place, Bundle)
    before = find(spec.routes["*"].encoder, models.store)
    with tempfile.TemporaryDirectory() as scratch:
        encoder = _copy(before.folder, Path(scratch) / "encoder")
        (encoder / "note.txt").write_text(version)
        after = bundle.publish(encoder, bundle.load(before.folder, Encoder), models.store)[0].name
        routes = {name: route.model_copy(update={"encoder": after}) for name, route in spec.routes.items()}
        heads = _copy(place, Path(scratch) / "heads")
        return Pointer(
            version, bundle.publish(heads, spec.model_copy(update={"routes": routes}), models.store, version)[1]
        )


def discard(models: Models, version: str) -> None:
    """Takes what `renew` made out of the store again."""
    place = models.store / INTENT / version
    encoder = json.loads((place / bundle.SPEC).read_bytes())["routes"]["*"]["encoder"]
    for folder in (place, models.store / bundle.ENCODERS / encoder):
        shutil.rmtree(folder)


def _copy(source: Path, folder: Path) -> Path:
    """Without its manifest, which is written when it is published."""
    return Path(shutil.copytree(source, folder, ignore=shutil.ignore_patterns(bundle.MANIFEST)))
