"""Every file, folder and module that a document names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("data/*/*.md"))]
FOLDERS = "bench|data|deploy|docs|protos|services|shared|tests"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*[\w/]")
MODULE = re.compile(r"(?<![\w.])(?:shared|services|bench)(?:\.[a-z_]+)+")
LINK = re.compile(r"\]\(([^)#:]+)\)")
MADE = re.compile(r"\b(services|protos|deploy/k8s/domains)/spam")  # by the reader


def module_is_there(name: str) -> bool:
    """The module itself, or something in a module."""
    parts = name.split(".")
    return any((ROOT.joinpath(*parts[:end])).with_suffix(".py").is_file() for end in (len(parts), len(parts) - 1)) or (
        ROOT.joinpath(*parts).is_dir()
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    """After a file was moved, nobody is sent to where it was."""
    text = document.read_text()
    paths = {each.rstrip(".") for each in PATH.findall(text) if not MADE.search(each)}
    assert {each for each in paths if not (ROOT / each).exists()} == set()
    assert {each for each in LINK.findall(text) if not (document.parent / each).exists()} == set()
    assert {each for each in MODULE.findall(text) if not module_is_there(each)} == set()
