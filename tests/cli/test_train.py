"""`tidemill train`, as the README has it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.training.corpus import write_csv

ROOT = Path(__file__).resolve().parents[2]


def tidemill(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    values = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "services.cli", *words]
    return subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True, timeout=300, check=False)


def test_the_documented_command_makes_a_model_live(tmp_path: Path, postgres: str) -> None:
    """From a CSV of texts and labels to the ledger; beside it, the encoder that is trained in seconds."""
    found = re.search(r"`tidemill (train intent --labels my.csv [^`]*)`", (ROOT / "README.md").read_text())
    assert found is not None
    write_csv(tmp_path / "my.csv")
    values = {"TIDEMILL_POSTGRES": postgres, "TIDEMILL_MODELS": str(tmp_path / "models")}
    done = tidemill(tmp_path, *shlex.split(found[1]), "--encoder", "chars", **values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is live: ledger entry 1, approved by ana" in done.stdout


def test_labels_given_as_the_stack_are_one_clear_line(tmp_path: Path) -> None:
    """`--data` is the stack's folder with every command of `tidemill`."""
    write_csv(tmp_path / "my.csv", 1)
    done = tidemill(tmp_path, "train", "intent", "--data", "my.csv")
    assert done.returncode == 1
    assert "my.csv is a file: --data names the folder of a local stack" in done.stderr
    assert "Traceback" not in done.stderr
