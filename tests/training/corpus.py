"""A made-up language in which what a text is about stands inside its words: character n-grams see it, whole words do not."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from services.training import split

SIGNS = {"refund": "zorp", "delivery": "quix", "login": "blen"}
_LETTERS = "acdeghiklmnostuvw"


def word(chance: random.Random, sign: str = "") -> str:
    letters = "".join(chance.choices(_LETTERS, k=4))
    at = chance.randrange(len(letters))
    return letters[:at] + sign + letters[at:]


def texts(sign: str, n: int, seed: int = 0) -> Iterator[str]:
    """`n` texts with the sign (empty: with none) in two of three words."""
    chance = random.Random(f"{sign}/{seed}")
    for _ in range(n):
        words = [word(chance), word(chance, sign), word(chance, sign)]
        chance.shuffle(words)
        yield " ".join(words)


def write_csv(path: Path, n: int = 180) -> Path:
    """`n` texts of each intent and of none."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for label, sign in [*SIGNS.items(), ("out_of_scope", "")]:
            rows.writerows((text, label) for text in texts(sign, n))
    return path


def held_out(sign: str, n: int, seed: int = 0) -> int:
    """How many of `texts` the split keeps from training."""
    return sum(split.part(split.text_entity(text)) == "test" for text in texts(sign, n, seed))
