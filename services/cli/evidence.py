"""What vouches for a model, in one line."""

from collections.abc import Mapping
from typing import Any


def figures(evidence: Mapping[str, Any]) -> str:
    """The verdict of the gate and the headline figures, or the reason of a rollback."""
    if reason := evidence.get("reason"):
        return str(reason)
    verdict = evidence.get("verdict", "")
    metrics = evidence.get("metrics", {})
    return ", ".join(
        filter(None, [str(verdict), *(f"{k} {v:.3f}" for k, v in metrics.items() if isinstance(v, float))])
    )
