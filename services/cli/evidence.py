"""What vouches for a model, in one line."""

from collections.abc import Mapping
from typing import Any


def figures(evidence: Mapping[str, Any]) -> str:
    """The verdict of the gate and the figures over all languages, where there are several; of a rollback, its reason."""
    if reason := evidence.get("reason"):
        return str(reason)
    metrics = {name: value for name, value in evidence.get("metrics", {}).items() if isinstance(value, float)}
    overall = {name: value for name, value in metrics.items() if name.startswith("all ")} or metrics
    shown = [f"{name.rpartition(' ')[2]} {value:.3f}" for name, value in overall.items()]
    return ", ".join(filter(None, [str(evidence.get("verdict", "")), *shown]))
