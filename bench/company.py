"""Bad rows among good ones in one call: each is told what is wrong with it, and the good ones have the answers that they have alone."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.contents import bad_values, unpack
from bench.judging import judge_answer
from bench.mutate import Request, pack, sentence
from protos import inference_pb2 as oip

MODELS = {"intent": "intent.probabilities", "risk": "severity.probabilities"}
KNOWN = 24  # texts of each model
NEAR = 2e-3  # of numbers in an explanation, which are rounded to four digits and sum what is rounded
_DTYPES = {"FP32": "<f4", "BOOL": "?"}


def tensors(response: oip.ModelInferResponse) -> dict[str, Any]:
    """Arrays; lists of bytes."""
    pairs = zip(response.outputs, response.raw_output_contents, strict=True)
    return {
        each.name: list(unpack(raw))
        if each.datatype == "BYTES"
        else np.frombuffer(raw, _DTYPES[each.datatype]).reshape(tuple(each.shape))
        for each, raw in pairs
    }


@dataclass
class Known:
    """What each of these texts is answered with: output -> [texts, ...]. `learn` it from the server before anything bad is sent."""

    model: str
    texts: list[bytes]
    outputs: dict[str, Any] = field(default_factory=dict)

    def ask(self) -> bytes:
        return _ask(self.model, self.texts, [MODELS[self.model], "embedding", "attribution", "row_error"])

    def learn(self, response: oip.ModelInferResponse) -> None:
        self.outputs = tensors(response)


def knowns(chance: random.Random) -> list[Known]:
    return [Known(model, [sentence(chance) for _ in range(KNOWN)]) for model in MODELS]


@dataclass(frozen=True)
class Company:
    """One call. `places`: row -> which of the known texts; the other rows: reasons."""

    known: Known
    raw: bytes
    places: Mapping[int, int]
    reasons: Mapping[int, str]

    @property
    def rows(self) -> int:
        return len(self.places) + len(self.reasons)

    def judge(self, response: oip.ModelInferResponse) -> str:
        """What is wrong with its answer; nothing if it is right. First whether it is whole: nothing that is missing could be wrong."""
        if wrong := judge_answer(self.raw, response):
            return wrong
        found = tensors(response)
        for name, values in found.items():
            if len(values) != self.rows:
                return f"{name} holds {len(values)} rows of {self.rows}"
        return self._compare(found)

    def _compare(self, found: dict[str, Any]) -> str:
        told = [each.decode().partition(": ")[0] for each in found.pop("row_error")]
        if told != [self.reasons.get(row, "") for row in range(self.rows)]:
            return f"row_error says {told}; bad are {dict(self.reasons)}"
        for name, values in found.items():
            for row, value in enumerate(values):
                expected = self.known.outputs[name][self.places[row]] if row in self.places else None
                if not _agrees(value, expected):
                    return f"{name} of row {row} is not what it is alone"
        return ""


def company(known: Sequence[Known], chance: random.Random) -> Company:
    one = chance.choice(known)
    rows = [(one.texts[at], at, "") for at in chance.sample(range(KNOWN), chance.randint(1, 6))]
    for _ in range(chance.randint(1, 6)):
        reason, value = chance.choice(bad_values("text"))
        rows.append((value, -1, reason))
    chance.shuffle(rows)
    wanted = chance.sample([MODELS[one.model], "embedding", "attribution"], chance.randint(1, 3))
    raw = _ask(one.model, [value for value, _, _ in rows], [*wanted, "row_error"])
    places = {row: at for row, (_, at, reason) in enumerate(rows) if not reason}
    return Company(one, raw, places, {row: reason for row, (_, _, reason) in enumerate(rows) if reason})


def _ask(model: str, texts: Sequence[bytes], outputs: Sequence[str]) -> bytes:
    request = Request(model_name=model)
    request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
    request.raw_input_contents.append(pack(list(texts)))
    for name in outputs:
        request.outputs.add(name=name)
    raw: bytes = request.SerializeToString()
    return raw


def _agrees(value: Any, expected: Any) -> bool:
    """expected: None where the row is bad, whose outputs are empty or zero."""
    if isinstance(value, bytes):
        return not value if expected is None else _near(json.loads(value), json.loads(expected))
    if expected is None:
        return not np.any(value)
    return np.shape(value) == np.shape(expected) and bool(np.allclose(value, expected, atol=1e-4))


def _near(value: Any, expected: Any) -> bool:
    """Whether an explanation is another one but for its last digits: the same names, labels and places, and all scores."""
    if type(value) is not type(expected):
        return False
    if isinstance(expected, dict):
        return value.keys() == expected.keys() and all(_near(value[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(value) == len(expected) and all(map(_near, value, expected))
    return abs(value - expected) < NEAR if isinstance(expected, float) else bool(value == expected)
