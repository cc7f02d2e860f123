"""May this candidate go live? Pure functions over answers to the same held-out items.

Every criterion ends in one of three verdicts. Only "pass" counts: too few items are "insufficient evidence", never a pass. What live
model there is, is the reference; the first promotion is measured against the TF-IDF baseline (for images: pixels) alone.
The policy is fixed here, before any training, and is written into each report.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from services.training import beliefs, bounds, metrics
from services.training.bounds import Bound
from services.training.candidate import Answers, Floats
from services.training.case import Case, Criterion, Policy, Report
from services.training.several import classes
from services.training.verdict import Verdict, fail_if, missing, non_inferior, points, superior, worst
from services.training.vocabulary import approved, keeps_classes, keeps_heads, new_classes


def examine(case: Case, policy: Policy | None = None) -> Report:
    """Judges the candidate."""
    policy = policy or Policy()
    reference = case.live or case.baseline
    known = [row for row, item in enumerate(case.items) if not item.judged]
    criteria = [keeps_heads(case), _beats_baseline(case, known)]
    if case.live is not None:
        criteria += [keeps_classes(case), _changed(case)]
        criteria.append(_no_worse("overall", compare(case, case.live, known), policy.margin))
        criteria += _slices(case, case.live, known, policy)
        criteria += _classes(case, case.live, known, policy)
    criteria.append(_calibrated(case, reference, known, policy))
    if "scope" in case.heads:
        criteria += _scope(case, reference, known, policy)
    if case.with_feedback:
        criteria.append(_follows(case, policy))
    fresh = new_classes(case)
    if fresh:
        criteria.append(approved(case, fresh))
    return Report(tuple(criteria), tuple(fresh), policy)


def _right(case: Case, answers: Answers, rows: Sequence[int]) -> Floats:
    """For each row the share of its known heads that the model answers rightly, as `metrics.right` counts it."""
    hits, known = np.zeros(len(case.items)), np.zeros(len(case.items))
    for head in case.heads:
        mine = [row for row in rows if head in case.items[row].labels]
        hits[mine] += metrics.right(case.items, answers, head, mine, of_several=head in case.candidate.several)
        known[mine] += 1
    return (hits / np.maximum(known, 1))[list(rows)]


def compare(case: Case, other: Answers, rows: Sequence[int]) -> Bound:
    """How much more of the items the candidate answers rightly."""
    difference = _right(case, case.candidate, rows) - _right(case, other, rows)
    return bounds.paired(difference, [case.items[row].entity for row in rows])


def _beats_baseline(case: Case, rows: Sequence[int]) -> Criterion:
    bound = compare(case, case.baseline, rows)
    verdict = superior(bound)
    detail = f"{points(bound)} than {case.baseline_name} on {bound.n} held-out items"
    return Criterion("better than the baseline", verdict, detail + missing(verdict), bound.as_json())


def _no_worse(name: str, bound: Bound, margin: float) -> Criterion:
    verdict = non_inferior(bound, margin)
    detail = f"{points(bound)} than the live model on {bound.n} held-out items; the margin is {100 * margin:.0f} points"
    return Criterion(f"no worse: {name}", verdict, detail + missing(verdict), {**bound.as_json(), "margin": margin})


def _slices(case: Case, other: Answers, rows: Sequence[int], policy: Policy) -> list[Criterion]:
    names = sorted({case.items[row].slice for row in rows})
    return [
        _no_worse(name, compare(case, other, [r for r in rows if case.items[r].slice == name]), policy.slice_margin)
        for name in (names if len(names) > 1 else [])
    ]


def _classes(case: Case, other: Answers, rows: Sequence[int], policy: Policy) -> list[Criterion]:
    """Classes of the first head that have enough items, each alone; the others together, so that rare ones are not left out."""
    head = case.heads[0]
    if head in case.candidate.several:
        mine = [row for row in rows if head in case.items[row].labels]
        of_each = classes.compare(case.items, case.candidate, other, head, mine, policy.class_items)
        return [_no_worse(name, bound, policy.class_margin) for name, bound in of_each.items()]
    counts = Counter(case.items[row].labels[head] for row in rows if head in case.items[row].labels)
    of_head = Case(case.items, (head,), case.candidate, case.baseline)
    alone = sorted(label for label, count in counts.items() if count >= policy.class_items)
    groups = {f"{head} {label}": {label} for label in alone}
    if rare := set(counts) - set(alone):
        groups[f"{len(rare)} classes of {head} with fewer than {policy.class_items} items, pooled"] = rare
    return [
        _no_worse(
            name,
            compare(of_head, other, [r for r in rows if case.items[r].labels.get(head) in labels]),
            policy.class_margin,
        )
        for name, labels in groups.items()
    ]


def _calibrated(case: Case, reference: Answers, rows: Sequence[int], policy: Policy) -> Criterion:
    """Each head's Brier score is no worse than the reference's, and its ECE is not shown to be.

    An ECE of a few hundred items moves by two points from sample to sample, so no margin of use could be shown to hold: that is left to
    the Brier score, which is proper and paired. The ECE fails where it is more than chance allows a calibrated model *and* more than
    the reference's by its bound.
    """
    parts, verdicts, figures = [], [], {}
    for head in case.heads:
        mine = [row for row in rows if head in case.items[row].labels]
        if not mine or head not in reference.labels:
            continue
        entities = [case.items[row].entity for row in mine]
        found = beliefs.compare(case.items, case.candidate, reference, head, mine)
        error, chance = found.error, found.chance
        score = bounds.paired(found.gain, entities)
        worse = bounds.resampled(found.more, entities)
        shown = error > chance and worse.low > policy.calibration_margin
        verdicts.append("fail" if shown else non_inferior(score, policy.brier_margin))
        parts.append(
            f"{head} ECE {error:.3f} (reference {error - worse.mean:.3f}, chance allows {chance:.3f}, "
            f"worse by at least {max(worse.low, 0):.3f}), Brier score {-score.mean:+.3f} (at most {-score.low:+.3f})"
        )
        figures[head] = {"ece": error, "ece_worse": worse.as_json(), "chance": chance, "brier_gain": score.as_json()}
    verdict: Verdict = worst(verdicts)
    return Criterion("calibrated", verdict, "; ".join(parts) + missing(verdict), figures)


def _scope(case: Case, reference: Answers, rows: Sequence[int], policy: Policy) -> list[Criterion]:
    """What is in scope stays so, and what is not is still caught."""
    known = [row for row in rows if "scope" in case.items[row].labels]
    outside = [row for row in known if case.items[row].labels["scope"] == metrics.OUT_OF_SCOPE]
    inside = [row for row in known if row not in set(outside)]
    ours, theirs = metrics.refused(case.items, case.candidate), metrics.refused(case.items, reference)
    kept = bounds.share(int((~ours[inside]).sum()), len(inside))
    verdict: Verdict = "pass" if kept.low >= policy.retention else fail_if(kept.high < policy.retention)
    detail = f"{kept.mean:.1%} of {kept.n} in-scope items stay in scope (at least {kept.low:.1%})"
    found = [Criterion("in scope stays in scope", verdict, detail + missing(verdict), kept.as_json())]
    if outside:
        caught = ours[outside].astype(float) - theirs[outside].astype(float)
        bound = bounds.paired(caught, [case.items[row].entity for row in outside])
        verdict = non_inferior(bound, policy.scope_margin)
        detail = f"{ours[outside].mean():.1%} of {len(outside)} out-of-scope items are caught"
        detail += f" (by the reference: {theirs[outside].mean():.1%})"
        found.append(Criterion("out of scope is caught", verdict, detail + missing(verdict), bound.as_json()))
    return found


def _changed(case: Case) -> Criterion:
    """A training that changed nothing must not look like a success (opacus issue 820: 45 GPU hours)."""
    assert case.live is not None
    moved = 0.0
    for head in case.heads:
        if case.live.labels.get(head) == case.candidate.labels.get(head) and head in case.live.labels:
            moved = max(moved, float(np.abs(case.candidate.probabilities[head] - case.live.probabilities[head]).max()))
        else:
            moved = 1.0
    real = case.changed > 1e-7 and moved > 1e-6
    detail = f"weights differ by up to {case.changed:.3g}, probabilities by up to {moved:.3g}"
    figures = {"weights": min(case.changed, 1e9), "probabilities": moved}
    return Criterion("really another model", "pass" if real else "fail", detail, figures)


def _follows(case: Case, policy: Policy) -> Criterion:
    """On judgements held out from training, the candidate follows people more often than the live model does.

    People correct what is wrong, so these items are no sample of all events: they show that the corrections were learned, and say
    nothing of overall quality, which the other criteria judge on items that nobody chose. What was sent and corrected several times is
    one case, which a model gains or loses once.
    """
    rows = [row for row, item in enumerate(case.items) if item.judged]
    reference = case.live or case.baseline
    names, member = np.unique(np.array([case.items[row].entity for row in rows], str), return_inverse=True)
    gained = _right(case, case.candidate, rows) - _right(case, reference, rows)
    difference = np.bincount(member, gained, minlength=len(names))
    gains, losses = int((difference > 1e-9).sum()), int((difference < -1e-9).sum())
    chance = bounds.sign_test(gains, losses) if rows else 1.0
    figures = {"held_out": len(rows), "cases": len(names), "gains": gains, "losses": losses, "p": chance}
    detail = (
        f"of {len(rows)} held-out judgements, on {len(names)} different cases, the candidate gets {gains} cases right"
    )
    detail += f" that the live model got wrong, and loses {losses}"
    if chance <= policy.significance:
        return Criterion("follows the corrections", "pass", f"{detail} (sign test p = {chance:.3f})", figures)
    if rows and bounds.sign_test(losses, gains) <= policy.significance:
        return Criterion("follows the corrections", "fail", detail, figures)
    more = "; 5 gains without a loss would do, which takes some 30 consistent corrections (a fifth is held out)"
    return Criterion(
        "follows the corrections", "insufficient evidence", f"{detail} (sign test p = {chance:.3f}){more}", figures
    )
