"""LoRA (Hu et al. 2021) kept apart from the encoder that it was learned on, so that texts of many adapters share one pass through it.

A pass computes the encoder's own linear layers over all tokens at once, and then adds to each stretch of tokens what its adapter makes of
them: y[stretch] += (x[stretch] a') b'. That is the segmented product (SGMV) of Punica (Chen et al. 2023, section 4) and S-LoRA (Sheng et
al. 2023), as a loop over the stretches: on a CPU nearly all of its time is reading `a` and `b`. Nothing is kept on a module, so passes
with any adapters run side by side.

Arithmetic: `scale` is multiplied into `b` once, in float32. In fp32 and int8 the adapter computes in float32 on what the layer was given
and adds to what it gave; in bf16 x, a, b and y are bfloat16, and products are summed in float32 and rounded after each of the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from shared import bundle
from shared.bundle import AdaptedName, BundleError, PrecisionName
from shared.nn.tokens import Packed

Place = tuple[int, AdaptedName]  # a linear layer: of which layer, counted from 0, and which of it
Shapes = Mapping[Place, tuple[int, int]]  # (inputs, outputs) of each
_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, eq=False, slots=True)
class Adapter:
    """pairs: of each linear layer that it adapts, a' [inputs, rank] and scale * b' [rank, outputs]."""

    pairs: Mapping[Place, tuple[Tensor, Tensor]]

    def to(self, device: torch.device, precision: PrecisionName) -> "Adapter":
        """As it is added to an encoder of that precision."""
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return Adapter({place: (a.to(device, dtype), b.to(device, dtype)) for place, (a, b) in self.pairs.items()})


Run = tuple[int, Adapter | None]  # so many tokens, and what is added to them


def adapt(packed: Packed, adapters: Sequence[Adapter | None]) -> Packed:
    """The same texts, each with its adapter. The fewer times these change from a text to the next, the less a pass costs."""
    texts = zip(adapters, packed.lengths, strict=True)
    runs = tuple((sum(length for _, length in same), each) for each, same in groupby(texts, lambda text: text[0]))
    return replace(packed, adapted=runs)


def add(runs: Sequence[Run], place: Place, x: Tensor, y: Tensor) -> Tensor:
    """`y` [tokens, outputs], which it changes: what the linear layer at `place` made of x [tokens, inputs]."""
    sizes = [tokens for tokens, _ in runs]
    for (_, adapter), given, made in zip(runs, torch.split(x, sizes), torch.split(y, sizes), strict=True):
        if adapter is not None and (pair := adapter.pairs.get(place)) is not None:
            made.addmm_(given @ pair[0], pair[1])
    return y


def load_adapter(file: Path, spec: bundle.Adapter, network: nn.Module) -> Adapter:
    """The adapter in `file`, of a verified bundle, in float32. Names and shapes are looked at before any tensor is read.

    Args:
        network: the encoder that it is for, in fp32.

    Raises:
        BundleError: it does not fit the encoder or its own spec; the message names file and tensor.
    """
    shapes = list_linears(network)
    if not shapes:
        raise BundleError(f"{file}: `adapter`: its encoder is none of the BERT family, which alone takes adapters")
    if not file.is_file():
        raise BundleError(f"{file}: missing; {bundle.SPEC} names it as `adapter.weights`")
    with safe_open(file, framework="pt") as tensors:
        _check(tensors, file, spec, shapes)
        pairs = {place: _read(tensors, _name(place), spec.scale) for place in shapes if place[1] in spec.linears}
    for place, pair in pairs.items():
        if not all(each.isfinite().all() for each in pair):
            raise BundleError(f"{file}: {_name(place)} is not all finite numbers")
    return Adapter(pairs)


def save_adapter(pairs: Mapping[Place, tuple[Tensor, Tensor]], file: Path) -> None:
    """pairs: of each linear layer, a [rank, inputs] and b [outputs, rank], without the scale."""
    ends = (".a", ".b")
    save_file(
        {
            _name(place) + end: each.detach().cpu().to(torch.float32).contiguous()
            for place, pair in pairs.items()
            for end, each in zip(ends, pair, strict=True)
        },
        file,
    )


@torch.no_grad()
def merge(network: nn.Module, adapter: Adapter) -> None:
    """Changes the weights of an encoder in fp32 so that it answers as it does with the adapter, at no further cost."""
    linears = _find_linears(network)
    for place, (a, b) in adapter.pairs.items():
        linears[place].weight += (a @ b).T


def list_linears(network: nn.Module) -> Shapes:
    """Those of an encoder in fp32 that can be adapted, of the layers that it computes; none where it is no BERT."""
    return {place: (each.in_features, each.out_features) for place, each in _find_linears(network).items()}


def _find_linears(network: nn.Module) -> dict[Place, nn.Linear]:
    from shared.nn.bert import Bert

    body = getattr(network, "body", None)
    if not isinstance(body, Bert):
        return {}
    names: tuple[AdaptedName, ...] = bundle.ADAPTED
    return {(i, name): getattr(layer, name) for i, layer in enumerate(body.layers[: body.depth]) for name in names}


def _check(tensors: Any, file: Path, spec: bundle.Adapter, shapes: Shapes) -> None:
    wanted: dict[str, tuple[int, int]] = {}
    for place, (inputs, outputs) in shapes.items():
        if place[1] in spec.linears:
            wanted |= {f"{_name(place)}.a": (spec.rank, inputs), f"{_name(place)}.b": (outputs, spec.rank)}
    found = set(tensors.keys())
    if strange := sorted(found - wanted.keys()):
        depth = 1 + max(layer for layer, _ in shapes)
        detail = f"the encoder computes layers 0 to {depth - 1}, and `adapter.linears` is {', '.join(spec.linears)}"
        raise BundleError(f"{file}: {strange[0]} is nothing to adapt: {detail}")
    if lacking := sorted(wanted.keys() - found):
        raise BundleError(f"{file}: it has no {lacking[0]}")
    for name, shape in wanted.items():
        part = tensors.get_slice(name)
        if tuple(part.get_shape()) != shape or part.get_dtype() not in _FLOATS:
            is_, should = f"{part.get_dtype()} {part.get_shape()}", f"a float tensor {list(shape)}"
            raise BundleError(f"{file}: {name} is {is_}; its encoder and `adapter.rank` {spec.rank} want {should}")


def _read(tensors: Any, name: str, scale: float) -> tuple[Tensor, Tensor]:
    """Copies: what safetensors gives is the file itself, mapped into memory, which may change after it was verified."""
    a, b = (tensors.get_tensor(f"{name}.{which}").to(torch.float32, copy=True).T.contiguous() for which in "ab")
    return a, b * scale


def _name(place: Place) -> str:
    return f"layers.{place[0]}.{place[1]}"
