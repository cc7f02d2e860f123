"""FIFO-32, the yardstick: the loop that anyone would write first, in one process, on the same model.

Eager Hugging Face forward in fp32, torch threads = cores, texts in arrival order, batches of 32 padded to the longest, tokenised in the
same loop, no cache; then the model's heads and their softmax. `python -m bench.bare MODELS` runs a round for each line of its standard
input, which names a JSON file with a list of texts, and answers with the seconds that the round took.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModel, PreTrainedTokenizerFast

from shared.bundle import Bundle, Encoder, PrecisionName, load
from shared.nn.precision import quantise

BATCH = 32
LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Round:
    """batches: seconds that each took. answers: by text, the index of the first head's likeliest label."""

    batches: list[float]
    answers: list[int]

    @property
    def seconds(self) -> float:
        return sum(self.batches)


class Bare:
    """The newest version of a model of a bundle store, as a plain loop."""

    def __init__(
        self,
        models: Path,
        version: str = "",
        *,
        model: str = "intent",
        device: str = "cpu",
        precision: PrecisionName = "fp32",
    ) -> None:
        """precision: of its linear layers if int8, with our kernel; of the whole network else."""
        folder = models / model / version if version else _newest(models / model)
        bundle = load(folder, Bundle)
        route = bundle.routes.get(LANGUAGE, bundle.routes["*"])
        place = models / "encoders" / route.encoder
        self._device, self._spec = device, load(place, Encoder)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._network = AutoModel.from_pretrained(place, local_files_only=True, dtype=dtype).eval().to(device)
        if precision == "int8":
            quantise(self._network)
        self._tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(place / "tokenizer.json"), pad_token="[PAD]", model_max_length=self._spec.max_tokens
        )
        weights = {name: tensor.to(device) for name, tensor in load_file(folder / route.weights).items()}
        self._heads = [
            (weights[f"{head}.weight"], weights[f"{head}.bias"], route.temperature.get(head, 1.0))
            for head in bundle.heads
        ]

    def round(self, texts: Sequence[str], batch: int = BATCH, window: int = 0) -> Round:
        """Answers `texts` in batches of `batch`.

        Args:
            window: 0: in order of arrival. Else that many waiting texts at a time are sorted by length before they are cut into batches.
        """
        seconds: list[float] = []
        answers = [0] * len(texts)
        with torch.inference_mode():
            for rows in _batches(texts, batch, window):
                started = time.perf_counter()
                for row, likeliest in zip(rows, self._answer([texts[row] for row in rows]), strict=True):
                    answers[row] = likeliest
                seconds.append(time.perf_counter() - started)
        return Round(seconds, answers)

    def _answer(self, texts: list[str]) -> list[int]:
        tokens = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(self._device)
        pooled = self._pool(tokens).float()
        logits = ((pooled @ weight.T + bias) / heat for weight, bias, heat in self._heads)
        probabilities = [each.softmax(-1).tolist() for each in logits]
        return [row.index(max(row)) for row in probabilities[0]]

    def _pool(self, tokens: Any) -> torch.Tensor:
        """[texts, width], as the encoder's spec says."""
        layers = self._spec.layers
        output = self._network(**tokens, output_hidden_states=bool(layers))
        hidden = [output.hidden_states[layer] for layer in layers] if layers else [output.last_hidden_state]
        if self._spec.pooling == "cls":
            return torch.cat([layer[:, 0] for layer in hidden], 1)
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        mean = torch.cat([(layer * mask).sum(1) / mask.sum(1) for layer in hidden], 1)
        return torch.cat([mean, mean], 1) if self._spec.pooling == "mean+target" else mean  # intents have no target


def _batches(texts: Sequence[str], batch: int, window: int) -> Iterator[list[int]]:
    """Rows of `texts`, a batch at a time."""
    for first in range(0, len(texts), window or batch):
        rows = list(range(first, min(first + (window or batch), len(texts))))
        if window:
            rows.sort(key=lambda row: len(texts[row]))
        for start in range(0, len(rows), batch):
            yield rows[start : start + batch]


def _newest(folder: Path) -> Path:
    versions = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return max(versions, key=lambda path: path.stat().st_mtime)


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    bare = Bare(Path(sys.argv[1]))
    bare.round(["warm up, with a text of ordinary length, please"] * BATCH)
    print("ready", flush=True)
    for line in sys.stdin:
        texts = json.loads(Path(line.strip()).read_text(encoding="utf-8"))
        print(bare.round(texts).seconds, flush=True)


if __name__ == "__main__":
    main()
