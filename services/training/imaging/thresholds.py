"""Decision thresholds of the imaging model, fixed on validation data and shipped with the version."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from services.training.candidate import Floats
from services.training.thresholds import confident

GOOD_KEPT = 0.98  # share of good pictures that must stay assessable


def choose(
    labels: Mapping[str, tuple[str, ...]], probabilities: Mapping[str, Floats], truth: Mapping[str, NDArray[np.int64]]
) -> dict[str, float]:
    """`finding.report`, `finding.report.<label>` for each finding and, where there is that head, `quality.poor`.

    One for each finding, because a wrong "normal" is not made up for by many right effusions.
    """
    findings = probabilities["finding"]
    chosen = {"finding.report": confident(findings, truth["finding"])}
    for index, label in enumerate(labels["finding"]):
        of_label = findings.argmax(axis=1) == index
        chosen[f"finding.report.{label}"] = confident(findings[of_label], truth["finding"][of_label])
    if "quality" in probabilities:
        poor = labels["quality"].index("poor")
        good = probabilities["quality"][truth["quality"] != poor, poor]
        chosen["quality.poor"] = max(0.5, float(np.quantile(good, GOOD_KEPT))) if len(good) else 0.5
    return {name: round(value, 6) for name, value in chosen.items()}
