"""Which tokens speak for a label. Exact, and without a gradient: our heads are linear in a mean over tokens, so a label's score *is* a sum
over them (the last linear step of layer-wise relevance propagation, Bach et al. 2015; class activation maps, Zhou et al. 2016, of texts).

A token's part is that of its vector in context, which knows of its neighbours; deleting the tokens with the largest parts is what shows
whether they matter (docs/inference.md).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.bundle import HeadKind
from shared.nn.charngram import CharNgrams
from shared.nn.encoder import Pooled
from shared.nn.tokens import Packed


def can_attribute(network: nn.Module) -> bool:
    """Whether its pooled vectors are weighted sums over all tokens: means are; a first token's vector and a projected mean are not."""
    return (isinstance(network, Pooled) and network.pooling != "cls") or (
        isinstance(network, CharNgrams) and network.project is None
    )


def read_tokens(network: nn.Module, packed: Packed) -> Tensor:
    """A vector for each token, [tokens, width of a token]: what `pool` makes the texts' vectors of.

    Raises:
        TypeError: the network is not one that `can_attribute`.
    """
    if isinstance(network, CharNgrams) and network.project is None:
        return functional.embedding(packed.ids, network.embedding.weight)
    if isinstance(network, Pooled):
        return network.body(packed)  # type: ignore[no-any-return]
    raise TypeError(f"the vectors of {type(network).__name__} are no sums over tokens")


def pool(network: nn.Module, hidden: Tensor, packed: Packed) -> Tensor:
    """[tokens, width of a token] to [texts, width], as the network's own forward does."""
    if isinstance(network, Pooled):
        return network.pool(hidden, packed)
    return torch.segment_reduce(hidden, "mean", lengths=_lengths(packed), axis=0)


def divide(network: nn.Module, hidden: Tensor, packed: Packed, direction: Tensor) -> Tensor:
    """[tokens]: each token's part of its text's `direction` · vector, which is their sum.

    Args:
        direction: [texts, width], in the space of the pooled vectors.
    """
    lengths = _lengths(packed)
    text = torch.repeat_interleave(lengths)  # of each token
    width, parts = hidden.shape[1], direction.shape[1] // hidden.shape[1]
    share = (1 / lengths)[text]
    parted = (hidden * direction[text, :width]).sum(1) * share
    if parts == 2:
        assert isinstance(network, Pooled)  # only its vectors have a second half: of the target's tokens
        assert network.target is not None
        marks = packed.ids.eq(network.target).to(hidden.dtype)
        count = torch.zeros_like(share[: len(lengths)]).index_add_(0, text, marks)[text]
        marked = torch.where(count > 0, marks / count.clamp(min=1), share)
        parted = parted + (hidden * direction[text, width:]).sum(1) * marked
    return parted


def contrast(logits: Tensor, kind: HeadKind = "softmax") -> tuple[Tensor, Tensor]:
    """(winning label [n], coefficients [n, labels]): coefficients · logits is the winner's lead over its rivals, each weighed by how
    probable it is beside the others. To first order that is what moves log(p / (1 - p)) of the winner.

    Args:
        logits: [n, labels], calibrated. Labels of a multi-label head have no rivals: the lead is the most probable one's own logit.
    """
    winner = logits.argmax(1)
    chosen = functional.one_hot(winner, logits.shape[1]).to(logits.dtype)
    if kind == "sigmoid":
        return winner, chosen
    rivals = logits.masked_fill(chosen.bool(), -torch.inf).softmax(1)
    return winner, chosen - rivals


def _lengths(packed: Packed) -> Tensor:
    return torch.tensor(packed.lengths, device=packed.ids.device)
