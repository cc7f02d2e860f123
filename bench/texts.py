"""English customer texts to measure with: Banking77's, where a copy lies beside the checkout, else the project's own."""

import csv
import random
from pathlib import Path

from bench.events import shipped

BANKING = Path(__file__).resolve().parents[2] / "shared" / "data" / "banking77" / "train.csv"


def labelled(seed: int) -> tuple[str, list[tuple[str, str]]]:
    """(where they come from, every text with its intent, in random order)."""
    if BANKING.is_file():
        with BANKING.open(encoding="utf-8", newline="") as file:
            name, rows = "Banking77", [(row["text"], row["category"]) for row in csv.DictReader(file)]
    else:
        english = (row for row in shipped("intent/utterances.jsonl") if row["language"] == "en")
        name, rows = "data/intent", [(row["text"], row["intent"]) for row in english]
    random.Random(seed).shuffle(rows)
    return name, rows


def load(count: int, seed: int) -> tuple[str, list[str]]:
    """(where they come from, `count` texts in random order; from a small collection each comes more than once)."""
    name, rows = labelled(seed)
    return name, [rows[i % len(rows)][0] for i in range(count)]
