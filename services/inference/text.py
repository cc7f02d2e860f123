"""Text classifiers: one encoder in memory for all models that name it, and each model's own small heads."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference import attribution
from services.inference.adapted import list_adapters, run_together
from services.inference.attribution import ATTRIBUTION, Attributed, AttributingDevice, Reader
from services.inference.blame import FAULT
from services.inference.embedding import EMBEDDING, Embedding, describe_embedding
from services.inference.engine import Call, Engine, Work
from services.inference.forward import Plain, open_forward
from services.inference.launcher import Launcher, Recorder
from services.inference.passes import Ticket
from services.inference.precision import Networks
from services.inference.sentences import INPUTS, Sentences, read_sentences
from services.inference.served import TRUNCATED, Answer, Identity, collect, finite
from services.inference.tensors import Tensor
from services.inference.tokenising import WARM, tokenise
from services.inference.units import Unit
from shared.bundle import HeadKind, PrecisionName
from shared.nn.adapter import Adapter
from shared.nn.attribution import can_attribute
from shared.nn.heads import Heads, calibrate
from shared.nn.tokens import Tokenizer, Tokens

# Tokens a pass: enough to keep the device's arithmetic busy. More only makes what arrives meanwhile wait (decision 18).
BUDGET = {"cpu": 320, "cuda": 32_768}
# Characters and texts of a request that are tokenised on the event loop: handing them to a thread takes about as long.
SHORT, FEW = 512, 8


@dataclass(frozen=True, eq=False)
class SharedEncoder:
    """One encoder and its tokeniser, in memory once for all models that name it."""

    networks: Networks
    tokenizer: Tokenizer
    width: int
    device: torch.device
    launcher: Launcher
    recorder: Recorder | None = None  # None: passes are not recorded


class EncoderDevice:
    """An encoder in one precision. All rows of all models that are answered in it, of whatever version, can share a pass."""

    def __init__(self, shared: SharedEncoder, precision: PrecisionName) -> None:
        self.shared, self.precision = shared, precision
        self.tokenizer, self.width, self.device = shared.tokenizer, shared.width, shared.device
        self.budget = BUDGET[shared.device.type]
        self.network = shared.networks.get(precision)
        self._forward = open_forward(
            self.network, shared.device, shared.launcher, shared.recorder, shared.networks.name
        )
        self._plain = Plain(self.network, shared.device, shared.launcher)  # for passes in which a row has an adapter
        (self._proven,) = shared.tokenizer.encode([WARM])
        self._pads = bool(getattr(self.network, "pads", False))

    @torch.inference_mode()
    def run(self, units: Sequence[Unit]) -> list[NDArray[np.float32]]:
        """For each unit (payload: its tokens and its route), the probabilities of all labels of all heads, one after another."""
        return run_together(units, self._run)

    def _run(self, units: Sequence[Unit]) -> list[NDArray[np.float32]]:
        rows_of: dict[Reader, list[int]] = {}
        for row, unit in enumerate(units):
            rows_of.setdefault(unit.payload[1], []).append(row)
        widths: list[int] = []

        def read(pooled: Sequence[torch.Tensor]) -> torch.Tensor:
            answers = [reader.classify(each) for reader, each in zip(rows_of, pooled, strict=True)]
            widths.extend(each.shape[1] for each in answers)
            return torch.cat([each.reshape(-1) for each in answers]) if len(answers) > 1 else answers[0].reshape(-1)

        batch, groups = [unit.payload[0] for unit in units], list(rows_of.values())
        if adapters := list_adapters(units):
            values = finite(self._plain.run(batch, groups, read, adapters))
        else:
            values = finite(self._forward.run(batch, groups, read))
        results: list[NDArray[np.float32]] = [_NOTHING] * len(units)
        start = 0
        for rows, width in zip(rows_of.values(), widths, strict=True):
            for row in rows:
                results[row] = values[start : start + width]
                start += width
        return results

    def turn(self) -> AbstractContextManager[None]:
        """To be held while anything else is computed with the network."""
        return self.shared.launcher.turn()

    def proven(self, payload: tuple[Tokens, Reader]) -> tuple[Tokens, Reader]:
        return self._proven, payload[1]

    def padding(self, units: Sequence[Unit]) -> int:
        """Tokens: none where texts are packed; but foreign architectures pad to the longest, and recorded passes are filled to a shape."""
        if self._pads or list_adapters(units):
            return self.padding_apart(units)
        return self._forward.padding([unit.cost for unit in units])

    def padding_apart(self, units: Sequence[Unit]) -> int:
        """The same of a pass that was not made by `run`."""
        return _pad(units) if self._pads else 0


def _pad(units: Sequence[Unit]) -> int:
    costs = [unit.cost for unit in units]
    return len(costs) * max(costs) - sum(costs)


_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """A model's heads on one encoder: how rows of one language, or of every other language, are answered.

    adapter: what is added to the encoder for its rows, in the encoder's precision; None: nothing.
    """

    encoder: EncoderDevice
    heads: Heads
    temperature: Mapping[str, float]
    kinds: Mapping[str, HeadKind]
    adapter: Adapter | None = None

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """[n, width] to [n, labels of all heads]."""
        logits = self.heads(pooled)
        calibrated = (
            calibrate(each, self.temperature.get(head, 1.0), self.kinds[head]) for head, each in logits.items()
        )
        return torch.cat([*calibrated], 1)


class TextModel:
    platform = "tidemill_text_classifier"
    inputs = INPUTS

    def __init__(
        self, identity: Identity, branches: Mapping[str, Branch], engine: Engine, tokenising: Executor
    ) -> None:
        self.name, self.version = identity.name, identity.version
        self.card = identity.tell({language: branch.encoder.precision for language, branch in branches.items()})
        self._identity, self._branches = identity, branches
        self._engine, self._tokenising = engine, tokenising
        self._embedding = {branch: Embedding(branch) for branch in branches.values()}
        encoders = {branch.encoder for branch in branches.values()}
        self._attributing = {encoder: AttributingDevice(encoder) for encoder in encoders}
        told = (ATTRIBUTION,) if all(can_attribute(encoder.network) for encoder in encoders) else ()
        self._width = max(encoder.width for encoder in encoders)
        self.outputs = identity.outputs(TRUNCATED, *describe_embedding(each.width for each in encoders), *told)

    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        began = time.monotonic()
        embeds = EMBEDDING in call.asked
        head = attribution.begin(self._identity, rows, call)
        sentences = read_sentences(rows, tensors)
        self._engine.turn_away(rows, call)
        asked = await self._prepare(rows, sentences, head, embeds=embeds)
        answer = Answer({TRUNCATED.name: asked.truncated}, sentences.errors, preparing=time.monotonic() - began)
        labels = self._identity.width
        vectors = np.zeros((rows, labels + (self._width if embeds else 0)), np.float32)
        described = [b""] * rows
        if asked.work:
            ticket = await self._engine.compute(asked.work, call)
            if head:
                await self._describe(sentences, head, asked, ticket, described)
            vectors[asked.places] = collect(ticket, vectors.shape[1])
            answer.errors |= {asked.places[index]: FAULT for index in ticket.bad}
            answer.waited, answer.computing = ticket.waited, ticket.computing
        answer.tensors |= self._identity.split(vectors)
        if embeds:
            answer.tensors[EMBEDDING] = vectors[:, labels:]
        if head:
            answer.tensors[ATTRIBUTION.name] = described
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

    async def _prepare(self, rows: int, sentences: Sentences, head: str, *, embeds: bool) -> "_Asked":
        asked = _Asked([], [], np.zeros(rows, np.bool_))
        for branch, members in self._route(sentences).items():
            reader = self._embedding[branch] if embeds else branch
            for row, tokens in zip(members, await self._tokenise(branch.encoder, sentences, members), strict=True):
                if tokens is None:
                    sentences.errors[row] = FAULT
                    continue
                if head:
                    work = self._attributing[branch.encoder].ask(tokens, reader, branch, head)
                else:
                    work = Work(branch.encoder, len(tokens), (tokens, reader))
                asked.work.append(work)
                asked.places.append(row)
                asked.truncated[row] = tokens.truncated
        return asked

    async def _describe(
        self, sentences: Sentences, head: str, asked: "_Asked", ticket: Ticket, described: list[bytes]
    ) -> None:
        """Fills in `described`, the output; rows that this fails on are bad too. Leaves vectors as the ticket's results."""
        explained: dict[int, Attributed] = {i: each for i, each in enumerate(ticket.results) if i not in ticket.bad}
        ticket.results = [each and each.vector for each in ticket.results]
        rows = [
            (
                cast(AttributingDevice, asked.work[index].device).tokenizer,
                sentences.texts[asked.places[index]],
                sentences.pairs[asked.places[index]] if sentences.pairs else "",
                result,
            )
            for index, result in explained.items()
        ]
        texts = await asyncio.get_running_loop().run_in_executor(
            self._tokenising, attribution.describe, rows, head, self._identity.labels[head]
        )
        for index, text in zip(explained, texts, strict=True):
            if text is None:
                ticket.bad.add(index)
            else:
                described[asked.places[index]] = text

    async def _tokenise(
        self, encoder: EncoderDevice, sentences: Sentences, rows: Sequence[int]
    ) -> Sequence[Tokens | None]:
        texts = [sentences.texts[row] for row in rows]
        pairs = [sentences.pairs[row] for row in rows] if sentences.pairs is not None else None
        if len(texts) <= FEW and sum(map(len, texts)) + sum(map(len, pairs or ())) <= SHORT:
            return tokenise(encoder.tokenizer, texts, pairs)
        return await asyncio.get_running_loop().run_in_executor(
            self._tokenising, tokenise, encoder.tokenizer, texts, pairs
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """The good rows of a call: `work` for each, which row it is; and of all rows, whether they were cut."""

    work: list[Work]
    places: list[int]
    truncated: NDArray[np.bool_]
