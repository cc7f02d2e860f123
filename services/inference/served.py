"""What the servicer asks of a model, whatever its kind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference.engine import Call
from services.inference.passes import Ticket
from services.inference.refusal import invalid
from services.inference.tensors import Tensor, TensorSpec
from shared.bundle import Bundle

TRUNCATED = TensorSpec("truncated", "BOOL")
ROW_ERROR = TensorSpec("row_error", "BYTES", optional=True)
EXPLANATIONS = frozenset({"attribution", "heat_map"})  # outputs that tell of one head of a row's answer


@dataclass(slots=True)
class Answer:
    """tensors: every output that the model can give. errors: row -> "CODE: why", for rows that could not be answered.

    The durations are in seconds: waiting for the device, preparing the input, computing, looking into the cache (None: there is none).
    repeatable: the same version would answer the same rows with the same again. recalled: rows that were not computed, but in the cache.
    """

    tensors: dict[str, Tensor]
    errors: dict[int, str] = field(default_factory=dict)
    waited: float = 0.0
    preparing: float = 0.0
    computing: float = 0.0
    on_device: bool = True
    repeatable: bool = True
    recalled: int = 0
    recalling: float | None = None


class Served(Protocol):
    """One version of one model, in the memory of this process or of another one that answers for it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def platform(self) -> str: ...
    @property
    def card(self) -> str: ...
    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...
    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...
    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        """Answers `rows` rows, whose tensors fit `inputs`.

        Raises:
            Refusal: none of them can be answered.
        """
        ...


class Loaded(Served, Protocol):
    """A version that is in the memory of this process."""

    def sample(self) -> tuple[int, dict[str, Tensor]]:
        """(rows, tensors): something to warm up with."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What every kind of model says of itself."""

    name: str
    version: str
    card: str
    labels: Mapping[str, tuple[str, ...]]  # of each head, in the bundle's order

    @classmethod
    def of(cls, bundle: Bundle, version: str) -> "Identity":
        labels = {head: spec.labels for head, spec in bundle.heads.items()}
        card: dict[str, Any] = {
            "model": bundle.model,
            "version": version,
            "labels": labels,
            "thresholds": bundle.thresholds,
        }
        if bundle.several:
            card["multi_label"] = list(bundle.several)
        return cls(bundle.model, version, _write(card), labels)

    def tell(self, precision: Mapping[str, str]) -> str:
        """The card, saying besides in which precision rows of each language are answered."""
        return _write({**json.loads(self.card), "precision": precision})

    @property
    def heads(self) -> dict[str, int]:
        """Number of labels."""
        return {head: len(names) for head, names in self.labels.items()}

    def find_head(self, call: Call) -> str:
        """The head whose answer `call` wants to have explained.

        Raises:
            Refusal: INVALID_ARGUMENT: there is no such head.
        """
        if call.head and call.head not in self.labels:
            raise invalid("HEAD_UNKNOWN", "parameters[head]", f"the model has {', '.join(self.labels)}")
        return call.head or next(iter(self.labels))

    def outputs(self, *others: TensorSpec) -> tuple[TensorSpec, ...]:
        heads = (TensorSpec(f"{head}.probabilities", "FP32", (-1, count)) for head, count in self.heads.items())
        return (*heads, *others, ROW_ERROR)

    @property
    def width(self) -> int:
        """Labels of all heads."""
        return sum(self.heads.values())

    def split(self, vectors: NDArray[np.float32]) -> dict[str, Tensor]:
        """[n, all labels] as one tensor a head."""
        tensors: dict[str, Tensor] = {}
        start = 0
        for head, count in self.heads.items():
            tensors[f"{head}.probabilities"] = vectors[:, start : start + count]
            start += count
        return tensors


def _write(card: Mapping[str, Any]) -> str:
    return json.dumps(card, ensure_ascii=False, separators=(",", ":"))


def collect(ticket: Ticket, width: int) -> NDArray[np.float32]:
    """[rows of the ticket, width]: zeros where the model fails on a row."""
    vectors = np.zeros((len(ticket.results), width), np.float32)
    good = [row for row in range(len(ticket.results)) if row not in ticket.bad]
    if good:
        vectors[good] = [ticket.results[row] for row in good]
    return vectors


def finite(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same vectors.

    Raises:
        FloatingPointError: one holds NaN or infinity: its row has no answer, and whose fault that is is found out like any other failure.
    """
    if not np.isfinite(vectors).all():
        raise FloatingPointError("the model's answer is no number")
    return vectors


def list_errors(rows: int, errors: Mapping[int, str]) -> list[bytes]:
    """The `row_error` output: empty where a row is fine."""
    return [errors.get(row, "").encode() for row in range(rows)]
