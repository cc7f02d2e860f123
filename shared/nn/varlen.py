"""Attention over texts that lie end to end, in one kernel and without padding: what a GPU does best.

A kernel takes query, key and value, each [tokens, heads, width of a head], the bounds of the texts (int32 [texts + 1], on the device) and
the most tokens that one of them may have; each text attends to itself. Lengths are read on the device, so that a pass can be recorded once
and played again with other texts. A text may have no tokens.
"""

import logging
import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from shared.nn.tokens import Places

log = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]

FAR = 0.05  # of a result's length: a kernel that is further from the reference is broken here
_LENGTHS = (3, 17, 1, 64, 0, 130, 5, 0)  # of the texts that a kernel is tried with
_AMPERE = (8, 0)


def flash(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """Flash attention: fp16 and bf16, heads of 8, 16, ... 256, GPUs since Ampere (torch 2.13: flash_api.cpp, `mha_varlen_fwd`)."""
    from torch.nn.attention.varlen import varlen_attn

    mixed = varlen_attn(query, key, value, bounds, bounds, longest, longest)
    assert isinstance(mixed, Tensor)  # no auxiliary output was asked for
    return mixed


def efficient(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """Memory-efficient attention: fp32 too, and older GPUs. It is what torch computes nested tensors with, and has no public name."""
    batch = (each[None] for each in (query, key, value))
    return torch.ops.aten._efficient_attention_forward(*batch, None, bounds, bounds, longest, longest, 0.0, 0)[0][0]  # type: ignore[no-any-return]


def by_text(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """The reference: one text after another, on any device."""
    ends = bounds.tolist()
    if any(end - start > longest for start, end in pairwise(ends)):
        raise ValueError(f"a text has more than {longest} tokens")
    mixed = torch.zeros_like(query)
    for start, end in pairwise(ends):
        if end > start:
            q, k, v = (each[start:end].transpose(0, 1)[None] for each in (query, key, value))
            mixed[start:end] = functional.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)
    return mixed


def find_kernel(device: torch.device, dtype: torch.dtype, heads: int, width: int) -> Kernel | None:
    """What is fit for this device, and gives what the reference does; None: nothing is, and attention goes on as without it.

    Args:
        width: of all heads together.
    """
    if device.type != "cuda":
        return None
    half = dtype in (torch.bfloat16, torch.float16)
    ampere = torch.cuda.get_device_capability(device) >= _AMPERE
    fits_flash = half and ampere and (width // heads) % 8 == 0 and width // heads <= 256
    kernel = flash if fits_flash else efficient
    try:
        off = measure_error(kernel, device, dtype, heads, width)
    except RuntimeError as error:  # also where torch has no such kernel for this device
        log.warning("%s attention without padding does not work on %s: texts are padded; %s", dtype, device, error)
        return None
    if off <= FAR:
        return kernel
    log.warning("%s attention without padding is off by %.2f on %s: texts are padded", dtype, off, device)
    return None


@torch.inference_mode()
def measure_error(kernel: Kernel, device: torch.device, dtype: torch.dtype, heads: int, width: int) -> float:
    """How far its result is from the reference's, over the length of that; infinite where it is no number."""
    ends = torch.tensor([0, *_LENGTHS], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(int(ends[-1]), 3, heads, width // heads, generator=generator)
    q, k, v = qkv.unbind(1)
    right = by_text(q, k, v, ends, max(_LENGTHS))
    q, k, v = qkv.to(device, dtype).unbind(1)
    found = kernel(q, k, v, ends.to(device), 2 * max(_LENGTHS)).float().cpu()
    off = float((found - right).norm() / right.norm())
    return off if math.isfinite(off) else math.inf


def attend(qkv: Tensor, heads: int, places: Places, kernel: Kernel) -> Tensor:
    """[tokens, 3 * width] to [tokens, width]."""
    query, key, value = qkv.view(len(qkv), 3, heads, -1).unbind(1)
    return kernel(query, key, value, places.bounds, places.longest).reshape(len(qkv), -1)
