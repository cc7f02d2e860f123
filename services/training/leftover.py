"""What one run leaves on disk for the next, which a kill may have cut short at any byte."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def remember(file: Path, facts: Mapping[str, str]) -> None:
    """Replaces the file at once: a reader finds what was there before, or all of this."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    scratch.replace(file)


def recall(file: Path) -> dict[str, str]:
    """What `remember` last wrote; nothing where that is not there or cannot be read, for it can be made again."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint of transformers' Trainer in `folder`; those that a kill left half-written are removed.

    The Trainer writes its state last, and would fail on a checkpoint without it at every later run.
    """
    by_step = sorted(folder.glob("checkpoint-*"), key=lambda place: int(place.name.rpartition("-")[2]))
    for place in reversed(by_step):
        if recall(place / "trainer_state.json"):
            return str(place)
        shutil.rmtree(place)
    return None
