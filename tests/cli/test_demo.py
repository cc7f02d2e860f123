"""The demo's events and sums. What it does with a whole stack, tests/whole shows piece by piece; `make demo ONCE=1` runs it."""

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from services.cli.counts import Counts
from services.cli.demo import lesson, retraining, summary
from services.cli.demo.answers import _shows_well
from services.cli.demo.cast import SHARES, TWICE, cast, records
from services.cli.problem import Problem
from services.training import split
from shared.chain import Entry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def events():
    return cast("demo/a", seed=1)


def test_the_cast_has_at_least_300_events_of_all_domains_and_some_that_are_wrong(events):
    """So many of each, ten that cannot succeed for ten reasons, five repeats; every one fits on its topic."""
    names = Counter(name for name, _ in events)
    assert set(names) == {"imaging", "intent", "risk"}
    assert sum(SHARES.values()) >= 300
    assert len(events) == sum(SHARES.values()) + TWICE + 10
    keys = Counter(sent.event for sent in records(events))
    assert sorted(keys.values(), reverse=True)[: TWICE + 1] == [2] * (TWICE + 1)  # and one id used for another text
    assert {name for name, draft in events if _shows_well(draft)} == set(SHARES)


def test_an_odd_event_never_comes_before_the_one_it_copies(events):
    """A repeat must be the second of its id, or nothing would be shown by it."""
    requests = [draft for _, draft in events]
    twice = [draft for draft in requests if sum(draft is other for other in requests) == 2]
    assert len({id(draft) for draft in twice}) == TWICE


def test_another_run_is_another_source_and_the_same_seed_the_same_events(events):
    """Running the demo twice on one folder makes new events, not repeats."""
    first, second = ([sent.event for sent in records(sending)] for sending in (events, cast("demo/b", seed=1)))
    assert [event.id for event in first] == [event.id for event in second]
    assert not set(first) & set(second)


def test_no_question_of_the_lesson_is_taught_and_none_is_training_data():
    """What is asked before and after was never corrected, and the starters have never seen any of it."""
    taught = lesson.lockers()
    rows = (ROOT / "data/intent/utterances.jsonl").read_text(encoding="utf-8").splitlines()
    known = {json.loads(row)["text"] for row in rows}
    assert len(taught.taught) >= 30
    assert taught.asked
    assert not set(taught.taught) & set(taught.asked)
    assert not known & {*taught.taught, *taught.asked}


def test_a_later_run_corrects_little_because_judgements_are_kept():
    """Everything the first time; then a few more of the same texts, other ones at each run."""
    taught = lesson.lockers()
    assert lesson.portion(taught, 0, "demo/a") == taught.taught
    later = {source: tuple(lesson.portion(taught, 79, source)) for source in ("demo/a", "demo/b")}
    assert all(0 < len(texts) < 10 and set(texts) <= set(taught.taught) for texts in later.values())
    assert later["demo/a"] != later["demo/b"]


def test_enough_corrections_are_held_out_for_the_gate_to_tell():
    """The gate asks for five gains without a loss, on judgements that the split keeps from training."""
    held_out = [text for text in lesson.lockers().taught if split.part(split.text_entity(text)) == "test"]
    assert len(held_out) >= 10


def test_the_gates_report_is_read_from_the_ledger():
    """Every criterion with its verdict and why; the training's own tables are left out of the demo's screen."""
    criterion = {"name": "calibrated", "verdict": "pass", "detail": "ECE 0.09"}
    entry = Entry(1, "intent", "v1", "promote", "d", {"gate": {"criteria": [criterion]}}, "demo", "now", "p")
    (drawn := Console(file=io.StringIO(), width=100)).print(retraining.gate_table(entry))
    for words in ("calibrated", "pass", "ECE 0.09"):
        assert words in drawn.file.getvalue()
    assert retraining._is_report("│ calibrated │ pass │")
    assert retraining._is_report("RESULT train.intent=1")
    assert not retraining._is_report("intent v1 is not promoted")


def counted(accepted, results, dead=0):
    return Counts(
        accepted_kafka=accepted, accepted_grpc=0, results=results, dead_letters=dead, repeats=0, refused=0, returned=0, lag=0
    )  # fmt: skip


def test_sums_are_of_what_this_run_added():
    """Judgements are counted apart from events; what was there before does not count."""
    before = {"intent": counted(10, 10), "risk": counted(0, 0), "feedback": counted(5, 5)}
    after = {"intent": counted(30, 28, 2), "risk": counted(5, 5), "feedback": counted(9, 9)}
    sums = summary.totals(summary.grown(before, after))
    assert (sums["events_accepted"], sums["results"], sums["dead_letters"], sums["feedback"]) == (25, 23, 2, 4)
    assert sums["pending"] == 0


def test_a_missing_event_fails_the_demo():
    """Accepted but neither answered nor a dead letter: the demo says so and does not end well."""
    before = {"intent": counted(0, 0), "feedback": counted(0, 0)}
    after = {"intent": counted(3, 2), "feedback": counted(0, 0)}
    with pytest.raises(Problem, match="'intent': 1"):
        summary.totals(summary.grown(before, after))
