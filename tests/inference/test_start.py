"""What a restart costs: seconds of imports are seconds without answers."""

import subprocess
import sys
from types import ModuleType

import pytest

from services.inference.engine import Engine
from services.inference.load import Loader
from tests.inference.conftest import Store

PROGRAM = """
import asyncio, sys
from pathlib import Path
from services.inference.engine import Engine
from services.inference.lifecycle import warm
from services.inference.load import Loader

async def main():
    engine = Engine()
    engine.start()
    store = Path(sys.argv[1])
    for model in sys.argv[2:]:
        await warm(Loader(store, engine).load(model, "v1", ""))
    await engine.stop()

asyncio.run(main())
print(*[name for name in ("torch", "transformers", "sympy", "pandas", "sklearn", "scipy") if name in sys.modules])
"""


def imported(store: Store, *models: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(store.place), *models]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout.split()


def test_text_models_need_torch_alone(store: Store) -> None:
    """Neither transformers nor what torch imports on demand is loaded on the way to the first answer."""
    assert imported(store, "intent", "risk", "imaging") == ["torch"]


def test_priors_need_not_even_torch(store: Store) -> None:
    """The no-op models of benchmarks start in an instant."""
    assert imported(store, "imaging") == []


def test_what_is_released_before_torch_is_there_asks_nothing_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that needs none may be live while another thread has begun to import it: the process must not end of that."""
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    loader = Loader(store.place, Engine())
    assert loader.load("imaging", "v1", store.digests["imaging"]).name == "imaging"
    loader.release()
    assert vars(sys.modules["torch"]).keys() == vars(ModuleType("torch")).keys()
