"""Several right labels in files: what is read, and what could mean several things and is refused by row and field."""

import json
from pathlib import Path

import pytest

from services.training import sources
from services.training.examples import DataError
from services.training.several.cells import read_cell, read_list
from tests.training.several.corpus import DOMAIN, HEAD, declare


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("card", "card"),
        ("refund | card", "card|refund"),
        ("|", "|"),
        ('["refund", "card, lost"]', "card, lost|refund"),
        ("[]", "|"),
    ],
)
def test_a_cell(cell: str, found: str) -> None:
    """Joined by bars or a JSON list, in any order; a bar alone, or an empty list, says that none is right."""
    assert read_cell(cell) == found


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("card, refund", "may be one label or several"),
        ("card;refund", "may be one label or several"),
        ("card|", "a label is empty"),
        ("card|card", "'card' is there twice"),
        ('["card"', "begins like a JSON list and is none"),
        ('["card", 3]', "belongs into a list of texts"),
        ('["a|b"]', r"'a\|b' holds '\|'"),
        ('[" card"]', "space at an end"),
        ("x" * 129, "129 bytes; the limit is 128"),
        ("|".join(f"l{n}" for n in range(65)), "65 labels are right; the limit is 64"),
    ],
)
def test_what_could_mean_several_things_is_refused(cell: str, said: str) -> None:
    """It says how to write what was meant."""
    with pytest.raises(ValueError, match=said):
        read_cell(cell)


def test_a_json_value_must_be_a_list() -> None:
    """A text alone may be one label, or several that somebody joined."""
    with pytest.raises(ValueError, match="belongs into a list"):
        read_list("card")


def test_a_csv(tmp_path: Path) -> None:
    """One column of all right labels."""
    file = tmp_path / "mine.csv"
    file.write_text('text,labels\nwhere is my card,card\n"refund, and a card",refund|card\nhello,|\n')
    corpus = sources.read(DOMAIN, file)
    assert (corpus.labels, corpus.several) == ({HEAD: ("card", "refund")}, {HEAD})
    assert [e.labels[HEAD] for e in corpus.examples] == ["card", "card|refund", "|"]
    assert corpus.manifest()["multi_label"] == [HEAD]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,labels,label\na,b,c\n", "names the columns labels and label"),
        ("text,tags\na,b\n", "no column 'labels'"),
        ("text,labels\na,b\nc,\n", r":3: text and labels must not be empty; where none is right, labels is '\|'"),
        ('text,labels\na,b\nc,"b,d"\n', r":3: topic: 'b,d' may be one label or several"),
        ("text,labels\na,b\na,c\n", r"rows mine/2 and mine/3 are of one text, and topic is 'b' and 'c'"),
    ],
)
def test_a_csv_that_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The row and the field are named; a row for each label of a text is not taken for several texts."""
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        sources.read(DOMAIN, tmp_path / "mine.csv")


def test_json_lines_name_row_and_field(tmp_path: Path) -> None:
    """As everywhere: file, line, head."""
    file = tmp_path / "texts.jsonl"
    row = {"id": "1", "pair": "1", "language": "en", "text": "a"}
    file.write_text("\n".join(json.dumps(row | {"id": str(at), HEAD: value}) for at, value in enumerate([["b"], "c"])))
    with pytest.raises(DataError, match=r"texts.jsonl:2: ValueError: topic: every right label"):
        sources.read(DOMAIN, file)


def test_an_ordinary_head_beside_it_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its column may be empty: of such a row it learns nothing."""
    monkeypatch.setitem(sources.NEEDED, DOMAIN, {HEAD: (), "tone": ()})  # type: ignore[index]
    file = tmp_path / "mine.csv"
    file.write_text("text,labels,tone\na,x|y,good\nb,|,bad\nc,y,\n")
    corpus = sources.read(DOMAIN, file)
    assert corpus.labels == {HEAD: ("x", "y"), "tone": ("bad", "good")}
    assert corpus.several == {HEAD}
    assert corpus.examples[2].labels == {HEAD: "y"}
