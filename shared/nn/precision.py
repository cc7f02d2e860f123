"""An encoder in fewer bits: bf16 throughout its layers, or 8-bit integers in its matrix products. Embeddings and heads stay as they are.

What that costs in accuracy depends on the model, so `training` measures it; what it gains depends on the machine, so `inference` does.
"""

import copy

import torch
from torch import Tensor, nn

from shared.bundle import PrecisionName
from shared.nn.bert import Bert

PRECISIONS: tuple[PrecisionName, ...] = ("fp32", "bf16", "int8")  # the most precise first
_LARGEST = 127.0
_CENTRE = 128
_TINY = 1e-12  # so that rows of zeros are not divided by zero


def list_precisions(device: torch.device) -> tuple[PrecisionName, ...]:
    """Which of `PRECISIONS` there are on this device.

    int8 needs a CPU that sums products of 8-bit integers exactly (AVX512-VNNI): older kernels saturate, so that what was measured elsewhere
    would not be true there.
    """
    if device.type != "cpu":
        return ("fp32", "bf16")
    return PRECISIONS if torch.cpu.get_capabilities().get("avx512_vnni") else ("fp32", "bf16")


def can_lower(network: nn.Module) -> bool:
    """Whether it is of an architecture that has more than one precision."""
    return isinstance(getattr(network, "body", None), Bert)


def lower(network: nn.Module, precision: PrecisionName) -> nn.Module:
    """A twin of an encoder that computes in `precision` and shares with it whatever it does not change; vectors stay float32.

    The network itself where that is fp32, or where it is no BERT: there is nothing to lower then.
    """
    if precision == "fp32" or not can_lower(network):
        return network
    twin = copy.deepcopy(network, {id(each): each for each in network.parameters()})
    body = twin.body
    assert isinstance(body, Bert)
    if precision == "bf16":
        body.layers = nn.ModuleList(copy.deepcopy(layer).to(torch.bfloat16) for layer in body.layers)
        body.dtype = torch.bfloat16
    else:
        quantise(body.layers)
    return twin.eval()


def quantise(network: nn.Module) -> None:
    """Replaces every linear layer in it by one in 8 bits."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))


class Int8Linear(nn.Module):
    """x W' + b with both factors in 8 bits: W by output channel, once; x by row, as it comes, so that a row's result does not depend on its
    neighbours (vector-wise symmetric quantisation: Dettmers et al. 2022, section 3.1).

    The kernel takes one scale and one zero point for all of x: they are 1 and 128, and each row's own scale is applied to its result.
    `forward` takes and returns float32 [..., width]. It cannot be trained.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale = weight.abs().amax(1).clamp(min=_TINY) / _LARGEST
        self.centres = torch.zeros(len(weight), dtype=torch.int32)  # of the weights: they are symmetric
        whole = (weight / self.scale[:, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(whole, None)
        self.bias = linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        # |x| is not written down, and sums are separate from products: broadcasting, torch computes either several times as fast
        largest = torch.maximum(x.amax(-1, keepdim=True), -x.amin(-1, keepdim=True))
        step = largest.clamp_(min=_TINY).div_(_LARGEST)
        # 1 to 255; what turns into an integer is cut off, so half a step more rounds
        whole = (x / step).add_(_CENTRE + 0.5).to(torch.uint8)
        sums = torch.ops.onednn.qlinear_pointwise(
            whole, 1.0, _CENTRE, self.weight, self.scale, self.centres, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return torch.addcmul(self.bias, sums, step)
