"""Text classifiers: one encoder in memory for all models that name it, and each model's own small heads."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference.blame import FAULT
from services.inference.engine import Call, Engine, Work
from services.inference.precision import Networks
from services.inference.sentences import INPUTS, Sentences, read_sentences
from services.inference.served import TRUNCATED, Answer, Identity, collect, finite
from services.inference.tensors import Tensor
from services.inference.tokenising import WARM, tokenise
from services.inference.units import Unit
from shared.bundle import PrecisionName
from shared.nn.heads import Heads, calibrate
from shared.nn.tokens import Tokenizer, Tokens, pack

# Tokens a pass: enough to keep the device's arithmetic busy. More only makes what arrives meanwhile wait.
BUDGET = {"cpu": 1024, "cuda": 32_768}
SHORT = 512  # characters of a request that are tokenised on the event loop, in less time than it takes to hand them to a thread


@dataclass(frozen=True, eq=False)
class SharedEncoder:
    """One encoder and its tokeniser, in memory once for all models that name it."""

    networks: Networks
    tokenizer: Tokenizer
    width: int
    device: torch.device


class EncoderDevice:
    """An encoder in one precision. All rows of all models that are answered in it, of whatever version, can share a pass."""

    def __init__(self, shared: SharedEncoder, precision: PrecisionName) -> None:
        self.shared, self.precision = shared, precision
        self.tokenizer, self.width, self.device = shared.tokenizer, shared.width, shared.device
        self.budget = BUDGET[shared.device.type]
        self._network = shared.networks.get(precision)
        (self._proven,) = shared.tokenizer.encode([WARM])
        self._pads = bool(getattr(self._network, "pads", False))

    @torch.inference_mode()
    def run(self, units: Sequence[Unit]) -> list[NDArray[np.float32]]:
        """For each unit (payload: its tokens and its route), the probabilities of all labels of all heads, one after another."""
        packed = pack([unit.payload[0] for unit in units]).to(self.device)
        pooled = self._network(packed)
        results: list[NDArray[np.float32]] = [_NOTHING] * len(units)
        rows_of: dict[Branch, list[int]] = {}
        for row, unit in enumerate(units):
            rows_of.setdefault(unit.payload[1], []).append(row)
        for branch, rows in rows_of.items():
            vectors = branch.classify(pooled if len(rows) == len(units) else pooled[rows]).cpu().numpy()
            for row, vector in zip(rows, finite(vectors), strict=True):
                results[row] = vector
        return results

    def proven(self, payload: "tuple[Tokens, Branch]") -> "tuple[Tokens, Branch]":
        return self._proven, payload[1]

    def padding(self, units: Sequence[Unit]) -> int:
        """Tokens: none where texts are packed, but architectures that are not our own pad to the longest."""
        return _pad(units) if self._pads else 0


def _pad(units: Sequence[Unit]) -> int:
    costs = [unit.cost for unit in units]
    return len(costs) * max(costs) - sum(costs)


_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """A model's heads on one encoder: how rows of one language, or of every other language, are answered."""

    encoder: EncoderDevice
    heads: Heads
    temperature: Mapping[str, float]

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """[n, width] to [n, labels of all heads]."""
        logits = self.heads(pooled)
        return torch.cat([calibrate(each, self.temperature.get(head, 1.0)) for head, each in logits.items()], 1)


class TextModel:
    platform = "tidemill_text_classifier"
    inputs = INPUTS

    def __init__(
        self, identity: Identity, branches: Mapping[str, Branch], engine: Engine, tokenising: Executor
    ) -> None:
        self.name, self.version = identity.name, identity.version
        self.card = identity.tell({language: branch.encoder.precision for language, branch in branches.items()})
        self.outputs = identity.outputs(TRUNCATED)
        self._identity, self._branches = identity, branches
        self._engine, self._tokenising = engine, tokenising

    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        began = time.monotonic()
        sentences = read_sentences(rows, tensors)
        work: list[Work] = []
        places: list[int] = []
        truncated = np.zeros(rows, np.bool_)
        for branch, members in self._route(sentences).items():
            for row, tokens in zip(members, await self._tokenise(branch.encoder, sentences, members), strict=True):
                if tokens is None:
                    sentences.errors[row] = FAULT
                    continue
                work.append(Work(branch.encoder, len(tokens), (tokens, branch)))
                places.append(row)
                truncated[row] = tokens.truncated
        prepared = time.monotonic()
        vectors = np.zeros((rows, self._identity.width), np.float32)
        answer = Answer({TRUNCATED.name: truncated}, sentences.errors, preparing=prepared - began)
        if work:
            ticket = await self._engine.compute(work, call)
            vectors[places] = collect(ticket, self._identity.width)
            answer.errors |= {places[index]: FAULT for index in ticket.bad}
            answer.waited, answer.computing = ticket.waited, ticket.computing
        answer.tensors |= self._identity.split(vectors)
        return answer

    def sample(self) -> tuple[int, dict[str, Tensor]]:
        """Rows of several lengths for every branch."""
        texts = [" ".join([WARM] * length).encode() for length in (1, 4, 16)]
        languages = [language.encode() for language in self._branches for _ in texts]
        return len(languages), {"text": texts * len(self._branches), "language": languages}

    def _route(self, sentences: Sentences) -> dict[Branch, list[int]]:
        """Good rows by the branch of their language: "zh-TW" takes "zh-tw", else "zh", else "*"."""
        members: dict[Branch, list[int]] = {}
        for row, language in enumerate(sentences.languages):
            if row in sentences.errors:
                continue
            tag = language.lower()
            branch = self._branches.get(tag) or self._branches.get(tag.partition("-")[0]) or self._branches["*"]
            members.setdefault(branch, []).append(row)
        return members

    async def _tokenise(
        self, encoder: EncoderDevice, sentences: Sentences, rows: Sequence[int]
    ) -> Sequence[Tokens | None]:
        texts = [sentences.texts[row] for row in rows]
        pairs = [sentences.pairs[row] for row in rows] if sentences.pairs is not None else None
        if sum(map(len, texts)) + sum(map(len, pairs or ())) <= SHORT:
            return tokenise(encoder.tokenizer, texts, pairs)
        return await asyncio.get_running_loop().run_in_executor(
            self._tokenising, tokenise, encoder.tokenizer, texts, pairs
        )
