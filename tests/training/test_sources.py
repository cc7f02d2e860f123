"""Labelled data: what is read, and what is refused with the place at fault."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from services.training import sources
from services.training.examples import DataError
from shared import heads
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


def test_a_new_domain_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what its handler reads; a CSV, and JSON lines as intent's, train it, and "none" is a label as any other."""
    monkeypatch.setitem(cast(dict[str, Any], heads.NEEDED), "spam", {"spam": ()})
    (tmp_path / "mine.csv").write_text("text,label\nbuy now,spam\nsee you,none\n", encoding="utf-8")
    (tmp_path / "texts.jsonl").write_text(
        '{"id": "1", "pair": "1", "language": "en", "text": "buy now", "spam": "spam"}\n'
        '{"id": "2", "pair": "2", "language": "en", "text": "see you", "spam": "none"}\n'
    )
    for path in (tmp_path / "mine.csv", tmp_path):
        corpus = sources.read("spam", path)
        assert corpus.labels == {"spam": ("none", "spam")}
        assert [(e.text, e.labels) for e in corpus.examples] == [
            ("buy now", {"spam": "spam"}),
            ("see you", {"spam": "none"}),
        ]
    with pytest.raises(DataError, match="no starter data come with spam"):
        sources.read("spam")


def test_data_without_a_head_that_the_handler_reads_are_refused(tmp_path: Path) -> None:
    """Headlines with sentiments and no severities would make a risk model that fails on every event."""
    row = '{{"id": "{0}", "pair": "{0}", "language": "en", "text": "A", "issuers": [{{"issuer": "A", "sentiment": "{1}"}}]}}\n'
    (tmp_path / "mine.jsonl").write_text(row.format(1, "negative") + row.format(2, "positive"))
    with pytest.raises(DataError, match="no two labels of 'severity'"):
        sources.read("risk", tmp_path / "mine.jsonl")


def test_a_severity_that_the_handler_has_no_number_for_is_refused(tmp_path: Path) -> None:
    """It would be trained, go live, and count as harmless."""
    rows = [
        {
            "id": str(n),
            "pair": str(n),
            "language": "en",
            "text": "A",
            "issuers": [{"issuer": "A", "sentiment": ("negative", "positive")[n], "severity": said}],
        }
        for n, said in enumerate(("none", "critical"))
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="severity must be one of none, low, medium, high, not 'critical'"):
        sources.read("risk", tmp_path / "mine.jsonl")


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
    with pytest.raises(DataError, match="names no issuers"):
        sources.read("risk", write_csv(tmp_path / "a.csv"))
