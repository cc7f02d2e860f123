"""The import contracts hold, and would catch a violation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(folder)}
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the source that a test may deface."""
    for name in ("protos", "services", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(house: Path) -> None:
    """services -> shared -> protos, services apart, torch only where it belongs."""
    done = lint(house)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("services/intent/planted.py", "import services.risk.handler"),
        ("services/risk/planted.py", "import torch"),
        ("shared/planted.py", "import services.intent.handler"),
        ("protos/planted.py", "import shared.errors"),
        ("services/cli/planted.py", "import shared.nn"),
        ("shared/planted.py", "import shared.nn"),
        ("services/spam/planted.py", "import services.risk.handler"),
        ("services/spam/planted.py", "import torch"),
        ("services/intent/planted.py", "import services.spam"),
    ],
)
def test_a_planted_violation_fails(house: Path, file: str, line: str) -> None:
    """Each contract is broken once; a check that cannot fail is no check. A service that is new is bound by all of them."""
    (house / "services/spam").mkdir()
    (house / "services/spam/__init__.py").write_text('"""A new domain."""\n')
    (house / file).write_text(f"{line}\n")
    done = lint(house)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
