"""Who is in training, validation and test: decided by a hash of the entity, once and for ever.

An entity is whatever must not be seen on both sides: a pair of paraphrases, a patient, near-duplicates of one text. Adding data never
moves what was there.
"""

import hashlib
import unicodedata
from typing import Literal

Part = Literal["training", "validation", "test"]

TEST, VALIDATION = 0.20, 0.15
RULE = f"sha256('split/1', entity): test below {TEST}, validation below {TEST + VALIDATION:.2f}, else training"


def part(entity: str) -> Part:
    at = fraction("split/1", entity)
    if at < TEST:
        return "test"
    return "validation" if at < TEST + VALIDATION else "training"


def fold(entity: str, folds: int, salt: str = "fold/1") -> int:
    """Which of `folds` parts the entity belongs to in cross-validation; independent of `part`."""
    return int(fraction(salt, entity) * folds)


def fraction(salt: str, entity: str) -> float:
    """A number in [0, 1) that only `salt` and `entity` decide."""
    value = hashlib.sha256(f"{salt}\x1f{entity}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(value[:7], "big") / (1 << 56)


def text_entity(text: str) -> str:
    """The entity of a text that names none: texts that differ in case, punctuation, spaces or digits alone share it."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join("0" if character.isdigit() else character for character in folded if character.isalnum())
    return "text:" + hashlib.sha256((kept or folded).encode("utf-8", "surrogatepass")).hexdigest()[:32]
