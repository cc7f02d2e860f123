"""Public DICOM files, each with what should become of it and why: the table of docs/imaging.md."""

import re
from pathlib import Path

import pytest

from bench import public
from services.imaging.fitness import find_objection
from shared.errors import Reject
from shared.picture.reading import read

ROOT = Path(__file__).resolve().parents[2]
FILES = public.locate("dicom")
ABSENT = public.explain("dicom")
ROW = re.compile(r"^\| `([^`]+)` \| `([A-Z_0-9]+)` \| (.+) \|$", re.MULTILINE)
TABLE = {name: outcome for name, outcome, _ in ROW.findall((ROOT / "docs/imaging.md").read_text())}


def outcome(data: bytes) -> str:
    """The code of the rejection, of the objection, or ASSESSABLE: the model is asked."""
    try:
        objection = find_objection(read(data).facts)
    except Reject as reject:
        return reject.reason
    return objection.code if objection else "ASSESSABLE"


@pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_public_file_becomes_what_the_table_says(name: str) -> None:
    """The documentation's table is true."""
    assert outcome((FILES / name).read_bytes()) == TABLE[name]


@pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
def test_the_table_names_every_file() -> None:
    """No file is left out."""
    assert TABLE.keys() == {path.name for path in FILES.iterdir()}
