"""Labelled data: what is read, and what is refused with the place at fault."""

import json
from pathlib import Path

import pytest

from services.training import sources
from services.training.examples import DataError
from tests.training.corpus import write_csv


@pytest.mark.parametrize(
    ("domain", "heads"), [("intent", ["intent", "scope", "sentiment"]), ("risk", ["sentiment", "severity", "event"])]
)
def test_the_starter_sets(domain: str, heads: list[str]) -> None:
    """Both languages, every head, both halves of a pair in the same part."""
    corpus = sources.read(domain)
    assert list(corpus.labels) == heads
    assert set(corpus.languages) == {"en", "zh"}
    assert "out_of_scope" not in corpus.labels.get("intent", ())
    assert all(len({e.part for e in corpus.examples if e.entity == entity}) == 1 for entity in PAIRS[domain])
    manifest = corpus.manifest()
    assert sum(manifest["parts"].values()) == manifest["rows"] == len(corpus.examples)
    assert json.loads(json.dumps(manifest)) == manifest


PAIRS = {"intent": ("order_status-001", "refund_request-003"), "risk": ("h-0001", "h-0005")}


def test_every_risk_row_names_its_issuer_as_it_stands_in_the_headline() -> None:
    """So that the encoder finds the target."""
    assert all(e.text in e.text_pair for e in sources.read("risk").examples)


@pytest.mark.parametrize(
    ("headline", "names", "found"),
    [
        ("Nordhavn Shipping sinks", ["Nordhavn", "Nordhavn Shipping"], "Nordhavn Shipping"),
        ("Why nordhavn and Nordhavn Shipping differ", ["Nordhavn", "Nordhavn Shipping"], "nordhavn"),
        ("Nobody is named", ["Nordhavn"], "Nordhavn"),
    ],
)
def test_the_mention_is_the_one_that_serving_finds(headline: str, names: list[str], found: str) -> None:
    """The first in the headline, the longest that begins there, as it is written there."""
    assert sources.mention(headline, names) == found


def test_a_csv(tmp_path: Path) -> None:
    """Texts and labels in any order of columns; "oos" is no intent."""
    file = tmp_path / "mine.csv"
    file.write_text("category,text\nrefund,我要退款\noos,who won?\nhelp,help me\n", encoding="utf-8")
    corpus = sources.read("intent", file)
    assert corpus.labels == {"intent": ("help", "refund"), "scope": ("in_scope", "out_of_scope")}
    assert [e.language for e in corpus.examples] == ["zh", "en", "en"]
    assert corpus.examples[1].labels == {"scope": "out_of_scope"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,reply\nhello,hi\n", "the first line must name"),
        ("a.csv", "text,label\nhello,\n", "a.csv:2"),
        ("a.csv", "text,label\nhello,a\nbye,a\n", "no two labels"),
        ("a.jsonl", '{"id": "1", "pair": "1"}\n', "a.jsonl:1: KeyError"),
        ("a.jsonl", "nonsense\n", "a.jsonl:1: JSONDecodeError"),
        ("a.jsonl", "", "no rows"),
    ],
)
def test_bad_data_is_refused_by_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    """Nothing is skipped silently."""
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        sources.read("intent", tmp_path / name)


def test_what_is_not_there(tmp_path: Path) -> None:
    """A missing file and an unknown domain say so."""
    with pytest.raises(DataError, match="no such file"):
        sources.read("intent", tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="domain must be one of"):
        sources.read("weather")
    with pytest.raises(DataError, match="can train intent only"):
        sources.read("risk", write_csv(tmp_path / "a.csv"))
