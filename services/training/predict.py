"""What any text bundle says of examples: the candidate's bytes and the live model's are run by the same code."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from services.training import encoders
from services.training.candidate import Answers, Floats
from services.training.encoders import Added, Made
from services.training.examples import Example
from services.training.features import embed
from shared.bundle import Bundle, PrecisionName, Route
from shared.calibration import sigmoid, softmax


def answer(
    examples: Sequence[Example],
    folder: Path,
    spec: Bundle,
    store: Path,
    scratch: Path,
    precision: PrecisionName = "fp32",
) -> Answers:
    """Calibrated probabilities of every head, by the route of each example's language.

    Raises:
        BundleError: an encoder that the bundle names is not in the store, or is damaged.
    """
    labels = {head: each.labels for head, each in spec.heads.items()}
    found = {head: np.zeros((len(examples), len(names))) for head, names in labels.items()}
    routes = [route_name(spec, example.language) for example in examples]
    for name in sorted(set(routes)):
        rows = [row for row, each in enumerate(routes) if each == name]
        asked, route = [examples[row] for row in rows], spec.routes[name]
        vectors = embed(asked, _find(route, folder, store), scratch, precision=precision)
        for head, logits in _score(vectors.astype(np.float64), folder, route):
            if head in found:
                calibrate = sigmoid if head in spec.several else softmax
                found[head][rows] = calibrate(logits, route.temperature.get(head, 1.0))
    return Answers(labels, found, spec.thresholds, frozenset(spec.several))


def _find(route: Route, folder: Path, store: Path) -> Made:
    """The encoder of a route, with what this model adds to it."""
    made = encoders.find(route.encoder, store)
    return replace(made, added=Added(route.adapter, folder / route.adapter.weights)) if route.adapter else made


def route_name(spec: Bundle, language: str) -> str:
    """The route that the inference service takes: "zh-TW" has that of "zh-tw", else of "zh", else of "*"."""
    by_lower = {name.lower(): name for name in spec.routes}
    tag = language.lower()
    return by_lower.get(tag) or by_lower.get(tag.partition("-")[0]) or "*"


def _score(vectors: Floats, folder: Path, route: Route) -> list[tuple[str, Floats]]:
    """Of each head, logits [n, labels]."""
    from safetensors.numpy import load_file

    weights = load_file(folder / route.weights)
    heads = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
    return [(head, vectors @ weights[f"{head}.weight"].T + weights[f"{head}.bias"]) for head in heads]
