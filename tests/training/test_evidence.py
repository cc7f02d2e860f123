"""Which code trained a model, as its evidence says it."""

import subprocess
from pathlib import Path

import pytest

from services.training.promotion import code_version


def git(folder: Path, *arguments: str) -> str:
    """Runs git as somebody, whoever runs the tests."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_names_its_commit_and_that_it_was_changed(tmp_path: Path) -> None:
    """A file that differs from the commit is said, for then the commit alone does not tell what ran."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert code_version(tmp_path) == commit
    (tmp_path / "code.py").write_text("two")
    assert code_version(tmp_path) == commit + "+changes"


def test_an_image_says_what_it_was_built_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a checkout the environment says it, and where that is silent the evidence says so."""
    monkeypatch.setenv("TIDEMILL_COMMIT", "0123abc")
    assert code_version(tmp_path) == "0123abc"
    for silent in ("", None):
        if silent is None:
            monkeypatch.delenv("TIDEMILL_COMMIT")
        else:
            monkeypatch.setenv("TIDEMILL_COMMIT", silent)
        assert code_version(tmp_path) == "unknown"


def test_somebody_elses_checkout_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed below another project's checkout, we are not of its commit."""
    monkeypatch.delenv("TIDEMILL_COMMIT", raising=False)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    (tmp_path / "site-packages").mkdir()
    assert code_version(tmp_path / "site-packages") == "unknown"
