"""English customer texts to measure with: Banking77's, where a copy lies beside the checkout, else the project's own."""

import csv
import random
from pathlib import Path

from bench.events import shipped

BANKING = Path(__file__).resolve().parents[2] / "shared" / "data" / "banking77" / "train.csv"


def load(count: int, seed: int) -> tuple[str, list[str]]:
    """(where they come from, `count` texts in random order; from a small collection each comes more than once)."""
    if BANKING.is_file():
        with BANKING.open(encoding="utf-8", newline="") as file:
            name, texts = "Banking77", [row["text"] for row in csv.DictReader(file)]
    else:
        name, texts = (
            "data/intent",
            [row["text"] for row in shipped("intent/utterances.jsonl") if row["language"] == "en"],
        )
    chance = random.Random(seed)
    chance.shuffle(texts)
    return name, [texts[i % len(texts)] for i in range(count)]
