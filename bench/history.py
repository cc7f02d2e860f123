"""What happened, one JSON object a line, in the order in which the measurement saw it."""

import json
import time
from pathlib import Path
from typing import Any, Self


class History:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, what: str, **facts: Any) -> None:
        self._file.write(json.dumps({"at": round(time.time(), 3), "what": what, **facts}) + "\n")
