"""The gate: passes what is shown to be good, refuses the rest, and never takes few items for proof."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from services.training import bounds, gate
from services.training.candidate import Answers, Item
from services.training.case import Case, Policy, Report

LABELS = ("a", "b", "c")


def answers(truth: list[str], right: float, seed: int, labels: tuple[str, ...] = LABELS, sure: float = 0.8) -> Answers:
    """A model that is right on a share of the items, and as sure as it says."""
    chance = np.random.default_rng(seed)
    rows = np.full((len(truth), len(labels)), (1 - sure) / (len(labels) - 1))
    for row, label in enumerate(truth):
        at = labels.index(label) if label in labels else 0
        if chance.random() >= right:
            at = (at + 1) % len(labels)
        rows[row, at] = sure
    return Answers({"intent": labels}, {"intent": rows})


def case(n: int = 400, candidate: float = 0.8, live: float | None = 0.8, base: float = 0.5, **given: Any) -> Case:
    chance = np.random.default_rng(0)
    truth = [LABELS[index] for index in chance.integers(3, size=n)]
    items = [Item(str(row), str(row // 2), ("en", "zh")[row % 2], {"intent": label}) for row, label in enumerate(truth)]
    return replace(
        Case(
            items,
            ("intent",),
            answers(truth, candidate, 1),
            answers(truth, base, 2, sure=0.5),
            live=None if live is None else answers(truth, live, 3),
            changed=0.1,
        ),
        **given,
    )


def verdicts(report: Report) -> dict[str, str]:
    return {criterion.name: criterion.verdict for criterion in report.criteria}


def test_a_better_model_passes() -> None:
    """Better than the live model and the baseline, calibrated, on enough items."""
    truth = [item.labels["intent"] for item in case().items]
    report = gate.examine(replace(case(), candidate=answers(truth, 0.95, 1, sure=0.95)))
    assert report.verdict == "pass", report


def test_a_worse_model_fails() -> None:
    """Ten points less than the live model is shown to be less."""
    assert gate.examine(case(800, candidate=0.7, live=0.9)).verdict == "fail"


def test_the_first_promotion_is_measured_against_the_baseline() -> None:
    """With nothing live, being clearly better than the baseline is what counts; being as good is not enough."""
    assert verdicts(gate.examine(case(live=None)))["better than the baseline"] == "pass"
    assert verdicts(gate.examine(case(live=None, base=0.8)))["better than the baseline"] == "insufficient evidence"
    assert gate.examine(case(live=None, candidate=0.4, base=0.8)).verdict == "fail"


@given(some.integers(1, 25), some.integers(0, 10))
@settings(deadline=None)
def test_few_items_are_never_a_pass(n: int, seed: int) -> None:
    """However good the candidate, and even if both models agree on every item."""
    small = case(n, candidate=1.0, live=1.0)
    perfect = answers([item.labels["intent"] for item in small.items], 1.0, seed)
    assert gate.examine(replace(small, candidate=perfect, live=perfect)).verdict != "pass"


def test_the_same_model_again_is_no_success() -> None:
    """Weights that did not change fail, whatever else is good."""
    same = case()
    report = gate.examine(replace(same, candidate=same.live, changed=0.0))
    assert verdicts(report)["really another model"] == "fail"


def test_one_bad_language_is_enough_to_refuse() -> None:
    """Good on the whole and worse in one slice is no pass."""
    whole = case(1200, candidate=0.95, live=0.9)
    broken = whole.candidate.probabilities["intent"].copy()
    zh = [row for row, item in enumerate(whole.items) if item.slice == "zh"]
    broken[zh] = np.roll(broken[zh], 1, axis=1)
    found = verdicts(gate.examine(replace(whole, candidate=Answers(whole.candidate.labels, {"intent": broken}))))
    assert found["no worse: zh"] == "fail"
    assert found["no worse: en"] == "pass"


def test_overconfidence_fails() -> None:
    """Right four times in five and sure of .99 is not calibrated."""
    truth = [item.labels["intent"] for item in case().items]
    report = gate.examine(replace(case(live=None), candidate=answers(truth, 0.8, 1, sure=0.99)))
    assert verdicts(report)["calibrated"] == "fail"


def test_chance_does_not_fail_a_calibrated_model() -> None:
    """A model as calibrated as the live one passes on nearly every sample, whichever of the two was the luckier."""
    found = []
    for seed in range(20):
        plain = case()
        truth = [item.labels["intent"] for item in plain.items]
        pair = replace(plain, candidate=answers(truth, 0.85, seed), live=answers(truth, 0.85, seed + 100))
        found.append(verdicts(gate.examine(pair))["calibrated"])
    assert found.count("fail") <= 1


def test_a_new_class_needs_a_name_to_answer_for_it() -> None:
    """It goes live as provisional, and not without an approver."""
    old = case()
    assert old.live is not None
    truth = [item.labels["intent"] for item in old.items]
    wider = answers(truth, 0.8, 1, (*LABELS, "d"))
    report = gate.examine(replace(old, candidate=wider))
    assert verdicts(report)["new classes"] == "insufficient evidence"
    report = gate.examine(replace(old, candidate=wider, approver="ada"))
    assert verdicts(report)["new classes"] == "pass"
    assert report.provisional == ("intent d",)


def two_headed(case: Case) -> Answers:
    """The live model, which tells the sentiment, too."""
    assert case.live is not None
    half = np.full((len(case.items), 2), 0.5)
    return Answers(
        {**case.live.labels, "sentiment": ("negative", "positive")}, {**case.live.probabilities, "sentiment": half}
    )


def test_a_lost_head_needs_a_name_to_answer_for_it() -> None:
    """What the live model tells and the candidate does not is seen, though no other criterion looks at it."""
    plain = case(domain="intent")
    fewer = replace(plain, live=two_headed(plain))
    found = {criterion.name: criterion for criterion in gate.examine(fewer).criteria}["no head is lost"]
    assert found.verdict == "insufficient evidence"
    assert "the live model also has sentiment" in found.detail
    assert verdicts(gate.examine(replace(fewer, approver="ada")))["no head is lost"] == "pass"
    assert verdicts(gate.examine(plain))["no head is lost"] == "pass"


def test_a_lost_class_needs_a_name_to_answer_for_it() -> None:
    """A candidate of data with fewer classes is judged on items of those alone: that it cannot tell the others is seen all the same."""
    plain = case(domain="intent")
    assert plain.live is not None
    known = plain.live.probabilities["intent"]
    wider = Answers({"intent": (*LABELS, "d", "e")}, {"intent": np.pad(known, ((0, 0), (0, 2)))})
    fewer = replace(plain, live=wider)
    found = {criterion.name: criterion for criterion in gate.examine(fewer).criteria}["no class is lost"]
    assert found.verdict == "insufficient evidence"
    assert "the live model also tells intent d, intent e" in found.detail
    assert verdicts(gate.examine(replace(fewer, approver="ada")))["no class is lost"] == "pass"
    assert verdicts(gate.examine(plain))["no class is lost"] == "pass"


@pytest.mark.parametrize("live", [None, 0.8])
def test_a_head_that_the_domain_reads_is_never_given_up(live: float | None) -> None:
    """Whoever answers for it, and also where nothing is live yet: each event of the domain would fail."""
    report = gate.examine(case(live=live, domain="risk", approver="ada"))
    assert verdicts(report)["no head is lost"] == "fail"
    assert "no head 'sentiment' and no head 'severity'" in report.criteria[0].detail


def test_a_head_that_a_handler_would_misread_is_refused() -> None:
    """Whoever answers for it: an intent model with a scope head of other labels would fail on each event."""
    plain = case(domain="intent", approver="ada")
    half = np.full((len(plain.items), 2), 0.5)
    odd = Answers({**plain.candidate.labels, "scope": ("in", "out")}, {**plain.candidate.probabilities, "scope": half})
    report = gate.examine(replace(plain, candidate=odd))
    assert report.verdict == "fail"
    found = {criterion.name: criterion for criterion in report.criteria}["no head is lost"]
    assert found.verdict == "fail"
    assert "no label 'out_of_scope' of head 'scope'" in found.detail


@pytest.mark.parametrize(
    ("judged", "verdict"), [(0, "insufficient evidence"), (4, "insufficient evidence"), (5, "pass")]
)
def test_corrections_must_be_followed_where_they_were_not_trained_on(judged: int, verdict: str) -> None:
    """Five held-out corrections that all come right are the least that is no accident (p = 1/32)."""
    plain = case()
    assert plain.live is not None
    items = [*plain.items, *(Item(f"j{n}", f"j{n}", "en", {"intent": "a"}, judged=True) for n in range(judged))]
    right, wrong = np.tile([0.8, 0.1, 0.1], (judged, 1)), np.tile([0.1, 0.8, 0.1], (judged, 1))

    def longer(model: Answers, rows: Any) -> Answers:
        return Answers(model.labels, {"intent": np.concatenate([model.probabilities["intent"], rows])})

    asked = replace(
        plain, items=items, candidate=longer(plain.candidate, right), live=longer(plain.live, wrong),
        baseline=longer(plain.baseline, wrong), with_feedback=True,
    )  # fmt: skip
    assert verdicts(gate.examine(asked))["follows the corrections"] == verdict


def test_one_text_corrected_many_times_is_one_correction() -> None:
    """The same held-out text, sent and corrected five times, shows no more than once would."""
    plain = case()
    assert plain.live is not None
    items = [*plain.items, *(Item(f"j{n}", "one text", "en", {"intent": "a"}, judged=True) for n in range(5))]

    def longer(model: Answers, row: list[float]) -> Answers:
        rows = np.tile(row, (5, 1))
        return Answers(model.labels, {"intent": np.concatenate([model.probabilities["intent"], rows])})

    wrong = [0.1, 0.8, 0.1]
    asked = replace(
        plain, items=items, candidate=longer(plain.candidate, [0.8, 0.1, 0.1]), live=longer(plain.live, wrong),
        baseline=longer(plain.baseline, wrong), with_feedback=True,
    )  # fmt: skip
    found = {criterion.name: criterion for criterion in gate.examine(asked).criteria}["follows the corrections"]
    assert found.verdict == "insufficient evidence"
    assert (found.figures["held_out"], found.figures["gains"]) == (5, 1)


def scoped(recall: float, retention: float, n: int = 400) -> tuple[list[Item], Answers]:
    """Half of the items out of scope, of which a share is caught, and a share of the others kept."""
    items, scores = [], []
    for row in range(n):
        outside = row % 2 == 0
        hit = (row // 2) / (n / 2) < (recall if outside else 1 - retention)
        items.append(Item(str(row), str(row), "en", {"scope": "out_of_scope" if outside else "in_scope"}))
        scores.append(0.9 if hit else 0.1)
    table = np.stack([1 - np.array(scores), np.array(scores)], axis=1)
    return items, Answers({"scope": ("in_scope", "out_of_scope")}, {"scope": table}, {"scope.out_of_scope.en": 0.5})


@pytest.mark.parametrize(
    ("recall", "retention", "name"), [(0.9, 0.8, "in scope stays in scope"), (0.3, 0.97, "out of scope is caught")]
)
def test_abstention_is_judged_on_both_sides(recall: float, retention: float, name: str) -> None:
    """A model may neither turn people away nor answer what it should not."""
    items, candidate = scoped(recall, retention)
    _, live = scoped(0.8, 0.97)
    found = verdicts(gate.examine(Case(items, ("scope",), candidate, live, live=live, changed=1.0)))
    assert found[name] == "fail"


def test_the_report_is_json_and_names_its_policy() -> None:
    """What goes into the ledger can be read back without this code."""
    found = gate.examine(case()).as_json()
    assert found["policy"]["margin"] == Policy().margin
    assert {criterion["name"] for criterion in found["criteria"]} >= {"no worse: overall", "calibrated"}


@given(some.lists(some.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=60))
def test_bounds_hold_the_mean_and_mirror(differences: list[float]) -> None:
    """Swapping the models swaps the bounds."""
    names = [str(n) for n in range(len(differences))]
    one, other = (bounds.paired(sign * np.array(differences), names) for sign in (1, -1))
    assert one.low <= one.mean <= one.high or abs(one.mean) == 1
    assert one.low == pytest.approx(-other.high)


def test_copies_of_an_item_are_no_evidence() -> None:
    """Paraphrases of one pair count as one cluster: the bound is wider than if they were independent."""
    differences = np.repeat(np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 100), 4)
    apart = bounds.paired(differences, [str(n) for n in range(400)])
    together = bounds.paired(differences, [str(n // 4) for n in range(400)])
    assert together.high - together.low > 1.8 * (apart.high - apart.low)


def test_resampling_agrees_with_what_is_known() -> None:
    """The bound of a mean by resampling clusters is that by the formula."""
    differences = np.repeat(np.random.default_rng(2).choice([-1.0, 0.0, 1.0], 200), 2)
    clusters = [str(n // 2) for n in range(400)]
    drawn, known = (
        bounds.resampled(lambda rows: float(differences[rows].mean()), clusters),
        bounds.paired(differences, clusters),
    )
    assert (drawn.mean, drawn.n) == (known.mean, known.n)
    assert drawn.low == pytest.approx(known.low, abs=0.02)
    assert drawn.high == pytest.approx(known.high, abs=0.02)


def test_coverage_of_the_bound() -> None:
    """In at least nineteen of twenty samples the lower bound lies below the truth."""
    chance = np.random.default_rng(4)
    names = [str(n) for n in range(80)]
    below = [bounds.paired(chance.choice([-1.0, 0, 1], 80, p=[0.05, 0.8, 0.15]), names).low <= 0.1 for _ in range(800)]
    assert np.mean(below) > 0.93
