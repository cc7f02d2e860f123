"""Corrections from Postgres change the answer, through the gate and the ledger; too few of them change nothing."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from protos import intent_pb2, risk_pb2
from services.training import feedback, report, sources
from services.training.job import Done, Wish, run
from shared.domain import Prediction
from shared.event import Key
from shared.ledger import Ledger, Refused
from shared.settings import Settings
from shared.store.labels import Label
from shared.store.outcome import Outcome
from shared.store.postgres import Store
from shared.store.tables import judgements
from tests.store.rows import MORNING, outcome
from tests.training.corpus import held_out, texts, write_csv
from tests.training.test_train import quiet

KNOWN = {"delivery": 0.6, "login": 0.3, "refund": 0.1}


@pytest.fixture
async def place(postgres: str, tmp_path: Path) -> Settings:
    """A database and a bundle store in which the first intent model is live."""
    settings = Settings(postgres=postgres, models=tmp_path / "models", data=tmp_path / "data")
    first = await train(settings, tmp_path)
    assert first.entry is not None, first.report
    return settings


async def train(settings: Settings, folder: Path, **given: object) -> Done:
    wish = Wish("intent", data=write_csv(folder / "made-up.csv"), encoders={"*": "chars"})
    return await run(replace(wish, **given), settings, quiet)  # type: ignore[arg-type]


async def judge(settings: Settings, said: Sequence[str], label: str, *, proposed: bool = False) -> None:
    """These texts were answered "delivery", and a person said `label`."""
    store = await Store.open(settings)
    rows: list[Outcome] = []
    for number, text in enumerate(said):
        request = intent_pb2.IntentRequest(text=text, language="en").SerializeToString()
        event = outcome(
            f"e{number}", text.encode(), request=request, predictions=(Prediction("intent", "delivery", KNOWN),)
        )
        judged = {
            "judgement_id": f"j{number}", "prediction_id": event.key.prediction_id, "head": "intent", "target": "",
            "domain": "intent", "label": label, "proposed": proposed, "annotator": f"ann{number % 3}", "caller": "console",
            "comment": "", "judged_at": MORNING,
        }  # fmt: skip
        fact = ((judgements, judged),)
        key = Key("feedback", "console", f"j{number}")
        rows += [event, outcome(key=key, place=f"feedback.v1:0:{number}", request=None, predictions=(), facts=fact)]
    await store.write(rows[::2])
    await store.write(rows[1::2])
    await store.close()


async def test_corrections_change_the_answer(place: Settings, tmp_path: Path) -> None:
    """Forty corrections of one confusion: retrained, judged on those that were held out, live, and all of it in the ledger."""
    said = list(texts("vund", 40))
    assert held_out("vund", 40) >= 5
    await judge(place, said, "refund")
    done = await train(place, tmp_path, with_feedback=True, approver="ada")
    assert done.entry is not None, done.report
    assert done.live is not None
    assert (done.entry.approver, done.entry.evidence["base"]["version"]) == ("ada", done.live.version)
    assert done.entry.evidence["dataset"]["judgements"] == sorted(f"j{number}" for number in range(40))
    assert {c["verdict"] for c in done.entry.evidence["gate"]["criteria"]} == {"pass"}
    answers = done.sealed.answers.predicted("intent")
    judged = [row for row, item in enumerate(done.sealed.candidate.items) if item.judged]
    assert len(judged) == held_out("vund", 40)
    assert sum(answers[row] == "refund" for row in judged) >= len(judged) - 1
    data = [item for item in done.sealed.candidate.items if not item.judged and "intent" in item.labels]
    measured = report.figures(done.sealed.candidate, done.sealed.answers)["test"]["en.intent"]
    assert measured["n"] == len(data)
    assert done.entry.evidence["metrics"]["en accuracy"] == round(measured["accuracy"], 4)
    card = (done.sealed.folder / "card.md").read_text()
    assert f"| en.intent | n | {len(data)} |" in card
    ledger = Ledger.open(place)
    assert len(await ledger.verify()) == 2
    await ledger.close()


async def test_too_few_corrections_change_nothing(place: Settings, tmp_path: Path) -> None:
    """Insufficient evidence is no pass: the live model stays, and what is missing is said."""
    await judge(place, list(texts("vund", 8)), "refund")
    done = await train(place, tmp_path, with_feedback=True)
    assert done.entry is None
    assert done.report.verdict == "insufficient evidence"
    missing = {c.name: c.detail for c in done.report.criteria if c.verdict != "pass"}
    assert "30 consistent corrections" in missing["follows the corrections"]
    ledger = Ledger.open(place)
    assert await ledger.live("intent") == done.live
    await ledger.close()


async def test_a_proposed_label_stays_out_until_somebody_answers_for_it(place: Settings, tmp_path: Path) -> None:
    """Approved by name, it goes live as provisional."""
    await judge(place, list(texts("vund", 40)), "voucher", proposed=True)
    with pytest.raises(Exception, match="nobody has judged"):
        await train(place, tmp_path, with_feedback=True)
    done = await train(place, tmp_path, with_feedback=True, approved_labels=("voucher",), approver="ada")
    assert done.report.provisional == ("intent voucher",)
    assert done.entry is not None, done.report
    assert done.entry.evidence["verdict"] == "provisional"
    asked = done.entry.evidence["dataset"]
    assert (asked["approved_labels"], asked["per_annotator"]) == (["voucher"], 500)
    assert datetime.fromisoformat(asked["judged_until"]) < datetime.fromisoformat(done.entry.recorded_at)
    again = await train(place, tmp_path, with_feedback=True)  # what is live needs no approval once more
    assert len(again.judged) == 40
    assert "voucher" in again.sealed.candidate.spec.heads["intent"].labels
    without = await train(place, tmp_path)
    missing = {c.name: c.detail for c in without.report.criteria if c.verdict == "insufficient evidence"}
    assert without.entry is None
    assert "the live model also tells intent voucher" in missing["no class is lost"]


async def test_what_became_live_meanwhile_is_not_replaced_unseen(place: Settings, tmp_path: Path) -> None:
    """A candidate that was judged against another version than the one now live does not go live."""
    await judge(place, list(texts("vund", 40)), "refund")

    def overtake(step: str, now: int, of: int) -> None:
        """Somebody else promotes while this run trains."""
        if now == of and "heads" in step:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, promote_another(place)).result()

    data = write_csv(tmp_path / "made-up.csv")
    wish = Wish("intent", data=data, encoders={"*": "chars"}, with_feedback=True, approver="ada")
    with pytest.raises(Refused, match=r"was judged against what is live no more: another \(entry 2\) is"):
        await run(wish, place, overtake)
    ledger = Ledger.open(place)
    assert [entry.version for entry in await ledger.history()][1:] == ["another"]
    await ledger.close()


async def promote_another(settings: Settings) -> None:
    ledger = Ledger.open(settings)
    await ledger.promote("intent", "another", "c" * 64, approver="mei", evidence={})
    await ledger.close()


async def test_the_same_again_is_refused(place: Settings, tmp_path: Path) -> None:
    """Training that changed nothing is no success."""
    done = await train(place, tmp_path)
    assert done.entry is None
    assert "really another model" in {c.name for c in done.report.criteria if c.verdict == "fail"}


def label(**given: object) -> Label:
    request = intent_pb2.IntentRequest(text="Where has my parcel got to?", language="en").SerializeToString()
    plain = Label(
        "p1", "intent", "", "refund_request", "order_status", Key("intent", "shop", "1"), request, MORNING, "v1", 1, 1, ("j1",), MORNING
    )  # fmt: skip
    return replace(plain, **given)  # type: ignore[arg-type]


def test_labels_weigh_by_how_they_came_about() -> None:
    """A correction more than a confirmation, an agreement more than a majority."""
    assert feedback.weigh(label()) == 1
    assert feedback.weigh(label(predicted="refund_request")) == 0.5
    assert feedback.weigh(label(votes=2, all_votes=3)) == pytest.approx(2 / 3)


def test_a_judged_text_of_the_data_set_keeps_its_side_of_the_split() -> None:
    """Else a held-out text would be learned from by way of feedback."""
    corpus = sources.read("intent")
    known = next(e for e in corpus.examples if e.text == "Where has my parcel got to?")
    joined = feedback.join(corpus, [label()])
    assert joined.examples[-1].entity == known.entity
    assert joined.examples[-1].labels == {"intent": "refund_request", "scope": "in_scope"}
    assert joined.manifest()["judgements"] == ["j1"]


def test_a_head_that_the_data_lack_is_not_learned_from_corrections_alone(tmp_path: Path) -> None:
    """Five judged sentiments beside a file of intents would be a head that nothing can calibrate, and once ended the run."""
    corpus = sources.read("intent", write_csv(tmp_path / "made-up.csv"))
    said = [
        label(prediction_id=f"p{n}", head="sentiment", label=("negative", "positive")[n % 2], predicted="neutral")
        for n in range(5)
    ]
    joined = feedback.join(corpus, [*said, label(prediction_id="p0")])
    assert list(joined.labels) == ["intent", "scope"]
    assert [example.labels for example in joined.examples[len(corpus.examples) :]] == [
        {"intent": "refund_request", "scope": "in_scope"}
    ]


def test_none_of_these_is_no_intent() -> None:
    """It teaches the scope alone."""
    (example,) = feedback.examples("intent", [label(label="out_of_scope")])
    assert example.labels == {"scope": "out_of_scope"}


def test_what_people_said_of_one_issuer_is_one_example() -> None:
    """Of several heads together, with the issuer's name as it stands in the headline."""
    request = risk_pb2.RiskRequest(headline="Nordhavn sinks, Orvanta rises").SerializeToString()
    shared = {"request": request, "target": "NRDH", "key": Key("risk", "wire", "1")}
    said = [label(head="sentiment", label="negative", **shared), label(head="severity", label="high", **shared)]
    (example,) = feedback.examples("risk", said)
    assert (example.text, example.text_pair, example.language) == ("Nordhavn", "Nordhavn sinks, Orvanta rises", "en")
    assert example.labels == {"sentiment": "negative", "severity": "high"}
