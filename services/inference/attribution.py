"""Which tokens spoke for the label that won: an output of text classifiers that is computed for those who ask for it."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.adapted import pack_units, run_together
from services.inference.engine import Call, Work
from services.inference.refusal import invalid
from services.inference.served import Identity, finite
from services.inference.tensors import TensorSpec
from services.inference.units import Unit
from shared.nn.adapter import Adapter
from shared.nn.attribution import contrast, divide, pool, read_tokens
from shared.nn.located import gather
from shared.nn.tokens import Tokenizer, Tokens

if TYPE_CHECKING:
    from services.inference.text import Branch, EncoderDevice

log = logging.getLogger(__name__)

ATTRIBUTION = TensorSpec("attribution", "BYTES", optional=True)
MAX_ROWS = 128  # a call: describing one takes a tenth of a millisecond that nobody else has Python in
EFFORT = 1.5  # cost of a token, where one that is only classified costs 1
DIGITS = 4  # of a score, after the point
_INPUTS = ("text", "text_pair")


class Reader(Protocol):
    """What is wanted of pooled vectors."""

    @property
    def adapter(self) -> Adapter | None:
        """That its rows pass through."""
        ...

    def classify(self, pooled: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Attributed:
    """One row. vector: what it is answered with. lead, scores: `label`'s lead over its rivals, and each token's part of it."""

    vector: NDArray[np.float32]
    label: int
    lead: float
    scores: NDArray[np.float32]


class AttributingDevice:
    """An encoder's other lane: passes of plain rows stay as they are, and what these take is learned apart."""

    def __init__(self, encoder: "EncoderDevice") -> None:
        self._encoder, self.tokenizer = encoder, encoder.tokenizer
        self.precision, self.budget = encoder.precision, encoder.budget

    def ask(self, tokens: Tokens, reader: Reader, branch: "Branch", head: str) -> Work:
        """One row, and which head's answer is to be explained."""
        return Work(self, math.ceil(EFFORT * len(tokens)), (tokens, reader, branch, head))

    @torch.inference_mode()
    def run(self, units: Sequence[Unit]) -> list[Attributed]:
        """For each unit (payload: its tokens, its reader, its branch and the head that is explained)."""
        with self._encoder.turn():
            return run_together(units, self._run)

    def _run(self, units: Sequence[Unit]) -> list[Attributed]:
        network = self._encoder.network
        packed = pack_units(units).to(self._encoder.device)
        hidden = read_tokens(network, packed)
        pooled = pool(network, hidden, packed)
        direction = torch.empty_like(pooled)
        found: list[tuple[NDArray[np.float32], int, float]] = [(_NOTHING, 0, 0.0)] * len(units)
        rows_of: dict[tuple[Reader, Branch, str], list[int]] = {}
        for row, unit in enumerate(units):
            rows_of.setdefault(unit.payload[1:], []).append(row)
        for (reader, branch, head), rows in rows_of.items():
            labels, leads, direction[rows] = _contrast(branch, head, pooled[rows])
            vectors = finite(reader.classify(pooled[rows]).cpu().numpy())
            for row, each in zip(rows, zip(vectors, labels.tolist(), leads.tolist(), strict=True), strict=True):
                found[row] = each
        parts = finite(divide(network, hidden, packed, direction).cpu().numpy())
        scores = np.split(parts, np.cumsum(packed.lengths)[:-1])
        return [Attributed(*each, scores=mine) for each, mine in zip(found, scores, strict=True)]

    def proven(self, payload: "tuple[Tokens, Reader, Branch, str]") -> "tuple[Tokens, Reader, Branch, str]":
        """The text is one that the encoder has answered, though without an explanation."""
        tokens, reader, branch, head = payload
        tokens, _ = self._encoder.proven((tokens, reader))
        return tokens, reader, branch, head

    def padding(self, units: Sequence[Unit]) -> int:
        return self._encoder.padding_apart(units)


_NOTHING = np.zeros(0, np.float32)


def _contrast(branch: "Branch", head: str, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(label [n], its lead [n], the direction [n, width] in which the lead grows)."""
    layer = cast(torch.nn.Linear, branch.heads[head])
    temperature = branch.temperature.get(head, 1.0)
    logits = layer(pooled) / temperature
    labels, coefficients = contrast(logits, branch.kinds[head])
    return labels, (coefficients * logits).sum(1), coefficients @ layer.weight / temperature


def begin(identity: Identity, rows: int, call: Call) -> str:
    """The head to explain; empty where `call` asks for no attribution.

    Raises:
        Refusal: INVALID_ARGUMENT, naming output or parameter: too many rows, or no such head.
    """
    if ATTRIBUTION.name not in call.asked:
        return ""
    if rows > MAX_ROWS:
        detail = f"{rows:,} rows; with this output at most {MAX_ROWS} are allowed"
        raise invalid("ROWS_OUT_OF_RANGE", f"outputs[{ATTRIBUTION.name}]", detail)
    return identity.find_head(call)


def describe(
    rows: Sequence[tuple[Tokenizer, str, str, Attributed]], head: str, labels: Sequence[str]
) -> list[bytes | None]:
    """The output's elements: JSON, UTF-8. None for a row that this fails on."""
    found: list[bytes | None] = []
    for tokenizer, text, pair, answer in rows:
        try:
            told = {"head": head, "label": labels[answer.label], **_describe(tokenizer, text, pair, answer)}
            found.append(json.dumps(told, ensure_ascii=False, allow_nan=False).encode())
        except BaseException:  # a panic of tokenizers' Rust is no Exception: it would end the call without an answer
            log.exception("tokens that were computed cannot be located in their text")
            found.append(None)
    return found


def _describe(tokenizer: Tokenizer, text: str, pair: str, answer: Attributed) -> dict[str, object]:
    """Tokens are located only now: what waits for the device is kept small."""
    found, _ = gather(tokenizer.locate(text, pair), answer.scores.tolist())
    pieces: dict[str, list[tuple[int, int, float]]] = {name: [] for name in _INPUTS[: 2 if pair else 1]}
    for (which, start, end), score in found.items():
        pieces[_INPUTS[which]].append((start, end, round(score, DIGITS)))
    listed = sum(score for of_input in pieces.values() for _, _, score in of_input)
    return {"lead": round(answer.lead, DIGITS), "rest": round(answer.lead - listed, DIGITS), **pieces}
