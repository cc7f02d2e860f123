"""A model under test: what its metadata says, and requests that should therefore be answered."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protos import inference_pb2 as oip
from services.cli.conformance.answer import Answer, read_tensors
from services.cli.conformance.case import Inapplicable
from services.cli.conformance.tensor import Tensor, make
from shared.inference.datatypes import DATATYPES

OPEN_SIZE = 32  # what a dimension of -1 is given, beyond the rows
MESSAGE = 3 << 20  # bytes: below every server's default limit of 4 MiB


@dataclass(slots=True)
class Model:
    """`given`: tensors that someone who knows the model wrote down; else they are made from the metadata."""

    name: str
    metadata: oip.ModelMetadataResponse
    given: tuple[Tensor, ...] = ()
    usual: Answer | None = None  # to one row of `tensors`; None: it was refused
    steady: bool = True  # the same request has the same answer
    refusal: str = ""
    asked: int = 1000  # the next row that nobody asked about yet

    @property
    def batched(self) -> bool:
        """Whether every input leaves the number of rows open."""
        inputs = self.metadata.inputs
        return bool(inputs) and all(each.shape and each.shape[0] == -1 for each in inputs)

    def tensors(self, rows: int = 1, first: int = 0) -> list[Tensor]:
        """Every input, `rows` rows from the row `first` on; where the rows are fixed, that many.

        Raises:
            Inapplicable: more rows are asked for than the model leaves open; a datatype is unknown; what was given has no rows.
        """
        if rows > 1 and not self.batched:
            raise Inapplicable("the number of rows is fixed")
        if self.given:
            return [_repeat(each, rows, first) if self.batched else each for each in self.given]
        made = []
        for each in self.metadata.inputs:
            if each.datatype not in DATATYPES:
                raise Inapplicable(f"input {each.name} has the datatype {each.datatype!r}")
            sizes = [size if size >= 0 else OPEN_SIZE for size in each.shape]
            shape = [rows, *sizes[1:]] if self.batched else sizes
            made.append(make(each.name, each.datatype, shape, first))
        return made

    def request(self, tensors: Sequence[Tensor] | None = None, typed: bool = False) -> oip.ModelInferRequest:
        """One row of everything, unless other tensors are given.

        Raises:
            Inapplicable: `typed`, but a datatype has no typed contents.
        """
        request = oip.ModelInferRequest(model_name=self.name)
        for tensor in self.tensors() if tensors is None else tensors:
            added = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            if not typed:
                request.raw_input_contents.append(tensor.raw)
                continue
            try:
                added.contents.CopyFrom(tensor.typed())
            except KeyError:
                raise Inapplicable(f"{tensor.datatype} has no typed contents") from None
        return request

    def new(self, rows: int = 1) -> oip.ModelInferRequest:
        """Rows that were not asked about before, so that no cache knows them; where the rows are fixed, the usual ones."""
        if not self.batched:
            return self.request()
        self.asked += rows
        return self.request(self.tensors(rows, self.asked - rows))

    def rows_within(self, most: int) -> int:
        """How many rows, at most `most`, fit into a message that every server takes; 1 where the rows are fixed."""
        if not self.batched:
            return 1
        one = self.request(self.tensors()).ByteSize()
        return max(1, min(most, MESSAGE // max(one, 1)))

    def change_first(self, **changes: object) -> list[Tensor]:
        """All inputs, the first of them changed."""
        first, *others = self.tensors()
        return [first.but(**changes), *others]


def read_given(request: oip.ModelInferRequest) -> tuple[Tensor, ...]:
    """Raises ValueError: contents that are not what they claim to be."""
    return tuple(read_tensors(request.inputs, request.raw_input_contents))


def _repeat(tensor: Tensor, rows: int, first: int) -> Tensor:
    """Rows `first` to `first + rows` of the tensor, over and over.

    Raises:
        Inapplicable: it has none.
    """
    if not tensor.shape or not tensor.shape[0]:
        raise Inapplicable(f"the input {tensor.name} that was given has no rows")
    have, width = tensor.shape[0], len(tensor.values) // tensor.shape[0]
    places = [row * width + at for row in (np.arange(first, first + rows) % have).tolist() for at in range(width)]
    values = [tensor.values[place] for place in places] if isinstance(tensor.values, list) else tensor.values[places]
    return tensor.but(shape=(rows, *tensor.shape[1:]), values=values)
