"""`torch.compile` for encoders: of what each token needs no other one for. Attention stays as it is: it depends on lengths."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from shared.nn.bert import Bert, finish

# Passes are made on all cores or on half of them; without this, code is written for as many as there were when it was.
_OPTIONS = {"cpp.dynamic_threads": True}
_VARIANTS = 256  # of one function, before torch compiles no more


def compile_layers(network: nn.Module, backend: str | Callable[..., Any] = "inductor") -> nn.Module:
    """A twin of an encoder that shares its weights; the network itself where it is no BERT.

    What is wrong, as where there is no C++ compiler, shows in its first pass, as a RuntimeError. That pass takes seconds.
    """
    if not isinstance(getattr(network, "body", None), Bert):
        return network
    shared = {id(each): each for each in (*network.parameters(), *_list_tensors(network))}
    twin = copy.deepcopy(network, shared)
    assert isinstance(twin.body, Bert)
    options: Any = _OPTIONS if backend == "inductor" else None
    # All encoders share one function, and what is compiled holds for one number of cores: two or three a precision of each encoder.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
    compiled = torch.compile(finish, dynamic=True, backend=backend, options=options)
    for layer in twin.body.layers:
        object.__setattr__(layer, "finish", compiled)  # which refers to no layer: models that leave must hold no cycles
    return twin.eval()


def _list_tensors(network: nn.Module) -> list[torch.Tensor]:
    """Those that are no parameters: weights in 8 bits."""
    return [each for module in network.modules() for each in vars(module).values() if isinstance(each, torch.Tensor)]
