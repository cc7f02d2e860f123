"""Proposes a candidate for the imaging model: fit, calibrate, set thresholds, measure."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from services.training.candidate import Answers, Candidate, Floats, Item
from services.training.imaging import thresholds
from services.training.imaging.figures import auc_interval, linear_baseline, measure
from services.training.imaging.fit import Recipe, fit, infer
from services.training.imaging.samples import UNKNOWN, Samples, split
from services.training.split import RULE
from shared.bundle import Bundle, Head, ImageInput, Network
from shared.calibration import ece, fit_temperature, softmax
from shared.nn.image import build

WEIGHTS = "model.safetensors"
NETWORK = Network(widths=(16, 32, 64), blocks=(1, 1, 2))  # 8 x 8 cells of 64 x 64 pixels: opacities are lost in 4 x 4
AFRESH = Recipe()
FINE = Recipe(
    epochs=6, rate=1e-3, anchor=0.2
)  # all samples, old and new, and near to the old answers: nothing is forgotten


def propose(
    samples: Samples,
    folder: Path,
    *,
    seed: int,
    data: Mapping[str, Any],
    run: Mapping[str, Any],
    size: int = 64,
    recipe: Recipe | None = None,
    network: Network | None = None,
    base: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Candidate:
    """Learns from the training part, calibrates and sets thresholds on validation; the test part becomes the gate's items.

    Args:
        folder: an empty folder, to be filled with the weights.
        data, run: what is known of the samples and the method, to which counts and settings are added.
        size: pixels a side of the network's input.
        base: weights to start from, as a bundle's `weights`; those of another network are not used.
        tell: takes a line at a time: progress, then figures of the test part as ``RESULT name=value``.
    """
    parts = split(samples)
    spec = _specify(parts["training"], size, network)
    torch.manual_seed(seed)  # the first weights are drawn, too
    made = build(spec)
    fine = base is not None and adopt(made, base)
    recipe = recipe or (FINE if fine else AFRESH)
    assert spec.image is not None
    fit(made, parts["training"], spec.image, recipe, seed, tell)
    spec = _calibrate(made, spec, parts["validation"])
    save_file({name: tensor.contiguous() for name, tensor in made.state_dict().items()}, folder / WEIGHTS)
    baseline = Answers(samples.labels, linear_baseline(parts["training"], parts["test"], seed))
    figures = _measure(made, spec, parts["test"], baseline, seed)
    for name, value in figures.items():
        tell(f"RESULT imaging.{name}={value:.4f}")
    counts = {name: len(part) for name, part in parts.items()}
    return Candidate(
        folder=folder,
        spec=spec,
        items=[_item(parts["test"], row) for row in range(len(parts["test"]))],
        baseline=baseline,
        baseline_name="logistic regression on pixels",
        measure=lambda place, bundle: answers(place, bundle, parts["test"]),
        data={**data, "split": RULE, "counts": counts},
        run={**run, "seed": seed, "epochs": recipe.epochs, "size": size, "base": fine},
        heads=tuple(samples.labels),
        notes=_notes(figures, set(samples.origins)),
    )


def adopt(network: nn.Module, base: Path) -> bool:
    """Takes the weights over if they are there and of this very network."""
    if not base.is_file():
        return False
    weights, own = load_file(base), network.state_dict()
    if {name: value.shape for name, value in weights.items()} != {name: value.shape for name, value in own.items()}:
        return False
    network.load_state_dict(weights)
    return True


def answers(folder: Path, spec: Bundle, samples: Samples) -> Answers:
    """What any imaging bundle says of the samples, by its own bytes."""
    labels = {head: each.labels for head, each in spec.heads.items()}
    if spec.kind == "prior":
        rows = {head: np.tile(np.asarray(shares), (len(samples), 1)) for head, shares in spec.prior.items()}
        return Answers(labels, rows, spec.thresholds)
    network = build(spec)
    network.load_state_dict(load_file(folder / spec.weights))
    return Answers(labels, probabilities(network, spec, samples), spec.thresholds)


def probabilities(network: nn.Module, spec: Bundle, samples: Samples, *, calibrated: bool = True) -> dict[str, Floats]:
    """Of each head, float64 [n, labels]."""
    assert spec.image is not None
    return {
        head: softmax(logits.numpy(), spec.temperature.get(head, 1.0) if calibrated else 1.0)
        for head, logits in infer(network, samples, spec.image).items()
    }


def _specify(training: Samples, size: int, network: Network | None) -> Bundle:
    mean, std = float(training.pixels.mean()) / 255, float(training.pixels.std()) / 255
    return Bundle(
        kind="image-classifier",
        model="imaging",
        heads={head: Head(labels=labels) for head, labels in training.labels.items()},
        image=ImageInput(size=size, mean=round(mean, 4), std=round(std, 4)),
        network=network or NETWORK,
        weights=WEIGHTS,
    )


def _calibrate(network: nn.Module, spec: Bundle, validation: Samples) -> Bundle:
    assert spec.image is not None
    known = {head: validation.known(head) for head in spec.heads}
    logits = {head: infer(network, each, spec.image)[head].numpy() for head, each in known.items()}
    truth = {head: each.truth[head] for head, each in known.items()}
    temperature = {head: round(fit_temperature(logits[head], truth[head]), 4) for head in spec.heads}
    shares = {head: softmax(logits[head], temperature[head]) for head in spec.heads}
    limits = thresholds.choose(validation.labels, shares, truth)
    return spec.model_copy(update={"temperature": temperature, "thresholds": limits})


def _measure(network: nn.Module, spec: Bundle, test: Samples, baseline: Answers, seed: int) -> dict[str, float]:
    known = np.flatnonzero(test.truth["finding"] != UNKNOWN)
    truth, labels = test.truth["finding"][known], test.labels["finding"]
    normal = labels.index("normal")
    found = probabilities(network, spec, test)
    finding = found["finding"][known]
    figures = measure(finding, truth, normal)
    figures["auc_low"], figures["auc_high"] = auc_interval(finding, truth, normal, seed)
    raw = probabilities(network, spec, test.take(known), calibrated=False)["finding"]
    figures["ece_before"] = ece(raw, truth)
    linear = measure(baseline.probabilities["finding"][known], truth, normal)
    figures |= {f"linear_{name}": linear[name] for name in ("accuracy", "auc", "ece")}
    limits = np.array([spec.thresholds[f"finding.report.{label}"] for label in labels])
    reported = finding.max(1) >= limits[finding.argmax(1)]
    figures["reported"] = float(reported.mean())
    figures["reported_accuracy"] = float((finding.argmax(1) == truth)[reported].mean()) if reported.any() else 0.0
    if "quality" in found:
        column = test.labels["quality"].index("poor")
        poor, good = test.truth["quality"] == column, test.truth["quality"] == 1 - column
        refused = found["quality"][:, column] >= spec.thresholds["quality.poor"]
        figures |= {"poor_refused": float(refused[poor].mean()), "good_refused": float(refused[good].mean())}
    return figures


def _item(samples: Samples, row: int) -> Item:
    truth = {
        head: samples.labels[head][values[row]] for head, values in samples.truth.items() if values[row] != UNKNOWN
    }
    origin = samples.origins[row]
    identity = hashlib.sha256(samples.pixels[row].tobytes()).hexdigest()[:32]
    return Item(identity, samples.entities[row], origin, truth, judged=origin == "judged")


def _notes(figures: Mapping[str, float], origins: set[str]) -> tuple[str, ...]:
    drawn = "Trained on drawn radiographs, which show nobody: its figures say nothing about people."
    return (
        "Research use, not a medical device. For frontal chest radiographs alone.",
        *((drawn,) if "synthetic" in origins else ()),
        f"AUC of abnormal against normal {figures['auc']:.3f} (95 % bootstrap {figures['auc_low']:.3f} to {figures['auc_high']:.3f}); "
        f"logistic regression on pixels {figures['linear_auc']:.3f}.",
        f"Of the test part {figures['reported']:.0%} would be reported, right in {figures['reported_accuracy']:.1%}; the rest is referred. "
        "A threshold of 1.01 means that validation was too small to prove 90 % precision.",
    )
