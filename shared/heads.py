"""The heads and labels that each domain's handler reads: a model that does not fit is neither promoted nor served, nor believed.

Training, inference and the handlers share nothing else that could say so, and a handler that misses a head fails on every event; one
that misses a label, or meets one that it does not know, would answer wrongly.
"""

from collections.abc import Collection, Mapping, Sequence

Heads = Mapping[str, tuple[str, ...]]

# domain -> head -> labels that the handler asks for by name, the head that matters most first
NEEDED: Mapping[str, Heads] = {
    "intent": {"intent": ()},
    "risk": {"sentiment": ("negative",), "severity": ("none", "low", "medium", "high")},
    "imaging": {"finding": ()},
}

# the same, of heads that a model may be without
_USED: Mapping[str, Heads] = {
    "intent": {"sentiment": (), "scope": ("out_of_scope",)},
    "imaging": {"quality": ("poor",)},
}

# heads of the two above whose labels may each be right or not, whatever the others are (in bundles: kind "sigmoid"): the handler reads
# `Inference.chosen`. Of all other heads exactly one label is right, and the handler reads `Inference.ranking`.
SEVERAL: Mapping[str, Collection[str]] = {}

# heads that have no labels but those above: the handler has a number for each
_CLOSED: Mapping[str, Collection[str]] = {"risk": ("severity",)}


def explainable(domain: str) -> tuple[str, ...]:
    """The heads whose answers a domain explains to those who ask: all that its handler reads, the one that matters most first.

    Services and whoever asks them read it here, so that a mistyped head is found before anything is sent.
    """
    return (*NEEDED.get(domain, ()), *_USED.get(domain, ()))


def misfit(model: str, labels: Mapping[str, Sequence[str]], several: Collection[str] = ()) -> str:
    """Why the domain of that name cannot read a model with these heads and labels, to be said after "it has"; empty if it can.

    Nothing is asked of a model that is no domain's.

    Args:
        several: those of the heads whose labels may each be right or not.
    """
    lacking, strange, odd = [], [], []
    needed = NEEDED.get(model, {})
    for head, names in {**needed, **_USED.get(model, {})}.items():
        if head in labels:
            odd += _of_other_kind(model, head, head in several)
            lacking += [f"no label {name!r} of head {head!r}" for name in names if name not in labels[head]]
            strange += [f"the label {name!r} of head {head!r}" for name in strangers(model, head, labels[head])]
        elif head in needed:
            lacking.append(f"no head {head!r}")
    said = [f"{' and '.join(lacking)}, which {model} cannot do without"] if lacking else []
    said += [f"{' and '.join(strange)}, which {model} does not know"] if strange else []
    return "; ".join([*said, *odd])


def _of_other_kind(model: str, head: str, several: bool) -> list[str]:
    if several == (head in SEVERAL.get(model, ())):
        return []
    kinds = ("one right label", "several right labels")
    return [f"{kinds[several]} an answer of head {head!r}, of which {model} reads {kinds[not several]}"]


def strangers(domain: str, head: str, labels: Collection[str]) -> list[str]:
    """Those of the labels that the domain's handler could make nothing of."""
    if head not in _CLOSED.get(domain, ()):
        return []
    known = NEEDED[domain][head]
    return sorted(label for label in labels if label not in known)
