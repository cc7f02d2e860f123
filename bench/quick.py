"""Models with the starters' architectures whose heads are fitted in one stroke: for tests that need the work done, not the quality.

`python -m bench.quick MODELS` publishes one bundle a domain there and prints model -> digest as JSON. MiniLM reads every language, heads
are least squares on its vectors, the image network is as it was born.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.events import shipped
from bench.prior import heads
from services.training.encoders import obtain
from shared.bundle import Bundle, Head, ImageInput, Route, publish
from shared.nn.encoder import load_network, load_tokenizer
from shared.nn.heads import Heads, save_heads
from shared.nn.image import build
from shared.nn.tokens import pack

VERSION = "quick-1"
ROWS = 240  # that heads are fitted on
_SHARP = 8.0  # logits a unit of the regression's target: a plausible confidence


def main() -> None:
    models = Path(sys.argv[1])
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        made = {name: make(Path(scratch) / name, models) for name, make in _MAKERS.items()}
    json.dump(made, sys.stdout)


def intent(folder: Path, models: Path) -> str:
    rows = shipped("intent/utterances.jsonl")[:: len(shipped("intent/utterances.jsonl")) // ROWS]
    named = [row for row in rows if row["intent"] in heads("intent")["intent"]]
    truth = {
        "intent": [row["intent"] for row in named],
        "scope": ["in_scope"] * len(named),
        "sentiment": [row["sentiment"] for row in named],
    }
    return text("intent", folder, models, [row["text"] for row in named], None, truth)


def risk(folder: Path, models: Path) -> str:
    names = {row["issuer"]: row["names"]["en"][0] for row in shipped("risk/issuers.jsonl")}
    rows = [row for row in shipped("risk/headlines.jsonl") if row["issuers"]][:ROWS]
    first = [row["issuers"][0] for row in rows]
    truth = {head: [each[head] for each in first] for head in ("sentiment", "severity")}
    return text("risk", folder, models, [names[each["issuer"]] for each in first], [row["text"] for row in rows], truth)


def text(
    model: str,
    folder: Path,
    models: Path,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    truth: dict[str, list[str]],
) -> str:
    """Publishes a text classifier; its digest."""
    folder.mkdir()
    encoder = obtain("minilm", models, folder.with_suffix(".scratch"))
    vectors = embed(encoder.folder, encoder.spec, texts, pairs)
    labels = {head: names for head, names in heads(model).items() if head in truth}
    fitted = Heads(encoder.spec.width, {head: len(names) for head, names in labels.items()})
    for head, names in labels.items():
        weight, bias = solve(vectors, torch.tensor([names.index(each) for each in truth[head]]), len(names))
        fitted.load_state_dict(fitted.state_dict() | {f"{head}.weight": weight, f"{head}.bias": bias})
    save_heads(fitted, folder / "heads.safetensors")
    bundle = Bundle(
        kind="text-classifier",
        model=model,
        heads={head: Head(labels=names) for head, names in labels.items()},
        routes={"*": Route(encoder=encoder.digest, weights="heads.safetensors")},
    )
    return publish(folder, bundle, models, VERSION)[1]


@torch.inference_mode()
def embed(folder: Path, spec: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> Tensor:
    """[texts, width]."""
    network, tokenizer = load_network(folder, spec), load_tokenizer(folder, spec)
    tokens = tokenizer.encode(texts, pairs)
    return torch.cat([network(pack(tokens[start : start + 32])) for start in range(0, len(tokens), 32)])


def solve(vectors: Tensor, truth: Tensor, labels: int) -> tuple[Tensor, Tensor]:
    """(weight [labels, width], bias [labels]) of ridge regression on one-hot targets, scaled to logits."""
    centre = vectors.mean(0)
    x = vectors - centre
    y = torch.nn.functional.one_hot(truth, labels).float() - 1 / labels
    weight = torch.linalg.solve(x.T @ x + x.var() * 30 * torch.eye(x.shape[1]), x.T @ y).T * _SHARP
    return weight.contiguous(), -(weight @ centre)


def imaging(folder: Path, models: Path) -> str:
    bundle = Bundle(
        kind="image-classifier",
        model="imaging",
        heads={head: Head(labels=names) for head, names in heads("imaging").items()},
        image=ImageInput(size=96),
        weights="model.safetensors",
    )
    folder.mkdir()
    save_file(build(bundle).state_dict(), folder / bundle.weights)
    return publish(folder, bundle, models, VERSION)[1]


_MAKERS = {"intent": intent, "risk": risk, "imaging": imaging}


if __name__ == "__main__":
    main()
