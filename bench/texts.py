"""English customer texts to measure with: Banking77's, where this machine keeps public data, else the project's own."""

import csv
import random

from bench import public
from bench.events import shipped

BANKING = "banking77/train.csv"  # of the public data


def labelled(seed: int) -> tuple[str, list[tuple[str, str]]]:
    """(where they come from, every text with its intent, in random order).

    Raises:
        FileNotFoundError: TIDEMILL_PUBLIC_DATA names a folder that has no Banking77.
    """
    if found := public.choose(BANKING):
        with found.open(encoding="utf-8", newline="") as file:
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
