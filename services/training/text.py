"""A text model from a corpus: one route a language, assembled into the files of one bundle."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from services.training import baseline, predict, routes, thresholds
from services.training.candidate import Answers, Candidate, Item, Tuning
from services.training.examples import OUT_OF_SCOPE, Corpus, DataError, Example
from services.training.precision import list_lowered
from services.training.regression import Floats, Ints, Vectors
from services.training.routes import Advance, Branch, Plan
from shared.bundle import Bundle, Head, PrecisionName, Route
from shared.calibration import softmax


def train(corpus: Corpus, plan: Plan, folder: Path, advance: Advance) -> Candidate:
    """Trains every route and writes the bundle's weights into `folder`.

    Raises:
        DataError: there is too little to train or to test on, or an encoder cannot be had.
    """
    asked = corpus.where("test")
    if not asked:
        raise DataError(
            f"none of {len(corpus.examples)} rows falls into the test part: more different texts are needed"
        )
    branches = [routes.train(corpus, languages, plan, advance) for languages in routes.find_routes(corpus)]

    def measure(place: Path, bundle: Bundle, precision: PrecisionName = "fp32") -> Answers:
        return predict.answer(asked, place, bundle, plan.store, plan.scratch, precision)

    return Candidate(
        folder=folder,
        spec=_assemble(corpus, branches, folder),
        items=[_item(example) for example in asked],
        baseline=_baseline(corpus, branches, asked),
        baseline_name=baseline.NAME,
        measure=measure,
        data=corpus.manifest(),
        run={
            "method": plan.method,
            "seed": plan.seed,
            "command": plan.command,
            "routes": {"/".join(branch.languages): _describe(branch) for branch in branches},
        },
        heads=tuple(corpus.labels),
        tuning=_tuning(corpus, branches),
        lowered={
            name: partial(measure, precision=name) for name in list_lowered([branch.encoder for branch in branches])
        },
    )


def _describe(branch: Branch) -> dict[str, object]:
    spec = branch.encoder.spec
    return {
        "encoder": spec.name,
        "revision": spec.revision,
        "digest": branch.encoder.digest,
        "strength": {head: each.strength for head, each in branch.fitted.items()},
    }


def _assemble(corpus: Corpus, branches: Sequence[Branch], folder: Path) -> Bundle:
    from safetensors.numpy import save_file

    found: dict[str, Route] = {}
    limits: dict[str, float] = {}
    for branch in branches:
        tensors: dict[str, Vectors] = {}
        for head, each in branch.fitted.items():
            tensors |= {f"{head}.weight": each.head.weight, f"{head}.bias": each.head.bias}
        file = f"{branch.languages[0]}.safetensors"
        save_file(tensors, folder / file)
        temperature = {head: each.temperature for head, each in branch.fitted.items()}
        route = Route(encoder=branch.encoder.digest, weights=file, temperature=temperature)
        found |= dict.fromkeys(branch.languages, route)
        found.setdefault("*", route)
        limits |= _limits(corpus, branch)
    first = next(iter(corpus.labels))
    for name in ("scope.out_of_scope", f"{first}.confident"):  # for languages that have no threshold of their own
        if values := [value for key, value in limits.items() if key.startswith(f"{name}.")]:
            limits[name] = max(values)
    return Bundle(
        kind="text-classifier",
        model=corpus.domain,
        heads={head: Head(labels=labels) for head, labels in corpus.labels.items()},
        routes=found,
        thresholds=dict(sorted(limits.items())),
    )


def _limits(corpus: Corpus, branch: Branch) -> dict[str, float]:
    """Thresholds of one route, from rows that the deciding fit has not seen."""
    first = next(iter(corpus.labels))
    each = branch.fitted[first]
    sure = thresholds.confident(softmax(each.logits, each.temperature), each.truth)
    found = dict.fromkeys((f"{first}.confident.{language}" for language in branch.languages), sure)
    if (scope := branch.fitted.get("scope")) is not None:
        scores = softmax(scope.logits, scope.temperature)[:, corpus.labels["scope"].index(OUT_OF_SCOPE)]
        found |= _scope_limit(corpus, branch, scores, scope.rows)
    return found


def _scope_limit(corpus: Corpus, branch: Branch, scores: Floats, rows: Ints) -> dict[str, float]:
    inside = np.array([branch.learned[row].labels["scope"] != OUT_OF_SCOPE for row in rows])
    limit = thresholds.out_of_scope(scores, inside)
    return dict.fromkeys((f"scope.out_of_scope.{language}" for language in branch.languages), limit)


def _baseline(corpus: Corpus, branches: Sequence[Branch], asked: Sequence[Example]) -> Answers:
    """What the baseline says of the test rows; its out-of-scope threshold is set by the same rule as the model's."""
    where = {example.id: row for row, example in enumerate(asked)}
    found = {head: np.zeros((len(asked), len(labels))) for head, labels in corpus.labels.items()}
    for branch in branches:
        rows = [where[example.id] for example in branch.asked]
        for head, each in branch.baseline.items():
            found[head][rows] = each.asked
    return Answers(corpus.labels, found, _baseline_limits(corpus, branches))


def _baseline_limits(corpus: Corpus, branches: Sequence[Branch]) -> dict[str, float]:
    limits: dict[str, float] = {}
    for branch in branches:
        if (scope := branch.fitted.get("scope")) is not None:
            scores = branch.baseline["scope"].known[:, corpus.labels["scope"].index(OUT_OF_SCOPE)]
            limits |= _scope_limit(corpus, branch, scores, scope.known)
    return limits


def _tuning(corpus: Corpus, branches: Sequence[Branch]) -> Tuning:
    """The out-of-fold answers of model and baseline, side by side."""
    learned = [example for branch in branches for example in branch.learned]
    ours, theirs = (
        {head: np.zeros((len(learned), len(labels))) for head, labels in corpus.labels.items()} for _ in range(2)
    )
    known: list[set[str]] = [set() for _ in learned]
    limits: dict[str, float] = {}
    start = 0
    for branch in branches:
        for head, each in branch.fitted.items():
            ours[head][start + each.rows] = softmax(each.logits, each.temperature)
            theirs[head][start + each.known] = branch.baseline[head].known
            for row in each.rows:
                known[start + row].add(head)
        limits |= _limits(corpus, branch)
        start += len(branch.learned)
    items = [
        Item(e.id, e.entity, e.language, {head: e.labels[head] for head in e.labels if head in of}, bool(e.judgements))
        for e, of in zip(learned, known, strict=True)
    ]
    return Tuning(
        items,
        Answers(corpus.labels, ours, limits),
        Answers(corpus.labels, theirs, _baseline_limits(corpus, branches)),
    )


def _item(example: Example) -> Item:
    return Item(example.id, example.entity, example.language, example.labels, judged=bool(example.judgements))
