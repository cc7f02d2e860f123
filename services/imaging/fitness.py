"""Whether the model may judge a picture at all, as far as its facts tell. The model is for frontal chest radiographs."""

from dataclasses import dataclass

from shared.picture.picture import Facts

MIN_SIDE = 64  # pixels
MAX_RATIO = 3  # of the longer to the shorter side
MIN_SPREAD = 8  # stored grey levels
MAX_COLOUR = 0.10  # share of clearly coloured pixels

_RADIOGRAPHY = {"DX", "CR", "RG", "OT", ""}  # OT, other: what scanned and converted images carry
_OTHER_VIEWS = {"LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT", "OBLIQUE", "CC", "MLO", "ML", "LM"}
_CHEST = {
    "CHEST",
    "THORAX",
    "LUNG",
    "CHESTABDOMEN",
    "OTHER",
    "",
}  # OTHER: local names, which name the chest as often as not


@dataclass(frozen=True, slots=True)
class Objection:
    """Why the model must not judge: a stable code, and a sentence for a person."""

    code: str
    sentence: str


def find_objection(facts: Facts) -> Objection | None:
    """The first thing that is wrong, the most telling ones first."""
    if facts.modality not in _RADIOGRAPHY:
        return Objection(
            "WRONG_MODALITY", f"the modality is {facts.modality}; this model is for chest radiographs (DX, CR)"
        )
    if facts.body_part not in _CHEST:
        return Objection("WRONG_BODY_PART", f"the body part is {facts.body_part}; this model is for the chest")
    if facts.view in _OTHER_VIEWS:
        return Objection("WRONG_VIEW", f"the view is {facts.view}; this model is for frontal views (PA, AP)")
    shorter, longer = sorted((facts.width, facts.height))
    if shorter < MIN_SIDE:
        size = f"{facts.width:,} x {facts.height:,} pixels"
        return Objection("TOO_SMALL", f"the image has {size}; a side needs at least {MIN_SIDE}")
    if longer > MAX_RATIO * shorter:
        return Objection("WRONG_SHAPE", f"one side is more than {MAX_RATIO} times the other; a chest radiograph is not")
    if facts.colour > MAX_COLOUR:
        return Objection("COLOUR_IMAGE", f"{facts.colour:.0%} of the image is coloured; a radiograph is grey")
    if facts.spread < MIN_SPREAD:
        return Objection("BLANK_IMAGE", f"the image is nearly uniform: fewer than {MIN_SPREAD} grey levels")
    return None
