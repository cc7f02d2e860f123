"""What the stored values mean (modality LUT) and which of them are to be seen (VOI LUT), as PS3.3 C.11.1 and C.11.2 define them."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi

from shared.picture import grey
from shared.picture.picture import Values

# What pydicom and numpy raise over tables whose values contradict each other; pydicom has no error of its own for them.
_BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError, StopIteration)


def display(stored: Values, dataset: Dataset) -> Values:
    """Values of any range, to be stretched. LUTs that are broken, or leave nothing visible, are left out."""
    values = stored
    try:
        whole = np.rint(stored).astype(np.int64) if "ModalityLUTSequence" in dataset else stored
        values = _sound(apply_modality_lut(whole, dataset), values)
        if "VOILUTSequence" in dataset:
            return _sound(apply_voi(np.rint(values).astype(np.int64), dataset), values)
        if "WindowCenter" in dataset:
            return _sound(_window(values, dataset), values)
    except _BROKEN:
        pass  # the picture is shown as far as its tables can be read
    return values


def _sound(seen: np.ndarray[tuple[int, ...], np.dtype[np.generic]], before: Values) -> Values:
    after = np.asarray(seen, np.float32)
    return after if np.isfinite(after).all() and grey.spread(after) > 0 else before


def _window(values: Values, dataset: Dataset) -> Values:
    """The first window, as far as it selects: the stretch that follows makes its output range irrelevant.

    Not pydicom's: with a negative rescale slope that one turns the picture into its negative.
    """
    centre, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    if width <= 0:
        return values
    kind = dataset.get("VOILUTFunction") or "LINEAR"
    if kind == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60))), np.float32)
    if kind == "LINEAR":  # its limits are those of whole numbers
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return np.asarray(np.clip(values, centre - width / 2, centre + width / 2), np.float32)


def _first(value: object) -> float:
    """Windows are often several, as (soft tissue, bone); the first is the default."""
    return float(value if isinstance(value, (str, float, int)) else next(iter(value)))  # type: ignore[call-overload]
