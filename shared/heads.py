"""The heads that each domain's handler reads: a model without them is neither promoted nor served.

Training, inference and the handlers share nothing else that could say so, and a handler that misses a head fails on every event.
"""

from collections.abc import Mapping, Sequence

# domain -> head -> labels that the handler asks for by name, the head that matters most first
NEEDED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "intent": {"intent": ()},
    "risk": {"sentiment": ("negative",), "severity": ()},
    "imaging": {"finding": ()},
}


def lacking(model: str, labels: Mapping[str, Sequence[str]]) -> list[str]:
    """What a model with these heads and labels lacks for the domain of its name, in words; nothing of a model that is no domain's."""
    found = []
    for head, names in NEEDED.get(model, {}).items():
        if head not in labels:
            found.append(f"head {head!r}")
        else:
            found += [f"label {name!r} of head {head!r}" for name in names if name not in labels[head]]
    return found
