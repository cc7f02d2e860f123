"""A text model from a corpus: one route a language, assembled into the files of one bundle."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from services.training import baseline, limits, predict, routes
from services.training.candidate import Answers, Candidate, Item, Tuning
from services.training.examples import Corpus, DataError, Example
from services.training.precision import list_lowered
from services.training.regression import Vectors
from services.training.routes import Advance, Branch, Plan
from shared.bundle import Adapter, Bundle, Head, PrecisionName, Route, sha256


def train(corpus: Corpus, plan: Plan, folder: Path, advance: Advance) -> Candidate:
    """Trains every route and writes the bundle's weights into `folder`.

    Raises:
        DataError: there is too little to train or to test on, an encoder cannot be had, or the plan asks for what no head can do.
    """
    if plan.recall is not None and not corpus.several:
        raise DataError(
            f"--recall {plan.recall:g}: no head of these data has several right labels, so it would have no effect ({corpus.domain})"
        )
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
        spec=_assemble(corpus, branches, folder, plan.recall),
        items=[_item(example) for example in asked],
        baseline=_baseline(corpus, branches, asked, plan.recall),
        baseline_name=baseline.NAME,
        measure=measure,
        data=corpus.manifest(),
        run={
            "method": plan.method,
            "seed": plan.seed,
            "command": plan.command,
            **({"recall": plan.recall} if plan.recall is not None else {}),
            "routes": {"/".join(branch.languages): _describe(branch) for branch in branches},
        },
        heads=tuple(corpus.labels),
        tuning=_tuning(corpus, branches, plan.recall),
        learned=_learned(corpus, branches),
        lowered={
            name: partial(measure, precision=name) for name in list_lowered([branch.encoder for branch in branches])
        },
    )


def _describe(branch: Branch) -> dict[str, object]:
    made = branch.encoder
    spec, added = made.spec, made.added
    return {
        "encoder": spec.name,
        "revision": spec.revision,
        "digest": made.digest,
        **({"adapter": {"rank": added.spec.rank, "sha256": sha256(added.file)}} if added else {}),
        "strength": {head: each.strength for head, each in branch.fitted.items()},
    }


def _assemble(corpus: Corpus, branches: Sequence[Branch], folder: Path, recall: float | None) -> Bundle:
    from safetensors.numpy import save_file

    found: dict[str, Route] = {}
    for branch in branches:
        tensors: dict[str, Vectors] = {}
        for head, each in branch.fitted.items():
            tensors |= {f"{head}.weight": each.head.weight, f"{head}.bias": each.head.bias}
        file = f"{branch.languages[0]}.safetensors"
        save_file(tensors, folder / file)
        temperature = {head: each.temperature for head, each in branch.fitted.items()}
        adapter = _take_adapter(branch, folder)
        route = Route(encoder=branch.encoder.digest, adapter=adapter, weights=file, temperature=temperature)
        found |= dict.fromkeys(branch.languages, route)
        found.setdefault("*", route)
    return Bundle(
        kind="text-classifier",
        model=corpus.domain,
        heads={
            head: Head(labels=labels, kind="sigmoid" if head in corpus.several else "softmax")
            for head, labels in corpus.labels.items()
        },
        routes=found,
        thresholds=limits.find_all(corpus, branches, recall),
    )


def _take_adapter(branch: Branch, folder: Path) -> Adapter | None:
    """Its file becomes one of the bundle's."""
    if (added := branch.encoder.added) is None:
        return None
    file = f"{branch.languages[0]}.adapter.safetensors"
    shutil.copyfile(added.file, folder / file)
    return added.spec.model_copy(update={"weights": file})


def _baseline(corpus: Corpus, branches: Sequence[Branch], asked: Sequence[Example], recall: float | None) -> Answers:
    """What the baseline says of the test rows; its thresholds are set by the same rules as the model's."""
    where = {example.id: row for row, example in enumerate(asked)}
    found = {head: np.zeros((len(asked), len(labels))) for head, labels in corpus.labels.items()}
    for branch in branches:
        rows = [where[example.id] for example in branch.asked]
        for head, each in branch.baseline.items():
            found[head][rows] = each.asked
    return Answers(corpus.labels, found, limits.find_baseline(corpus, branches, recall), corpus.several)


def _learned(corpus: Corpus, branches: Sequence[Branch]) -> dict[str, dict[str, int]]:
    """Rows of each label that heads were fitted on, all routes together."""
    counts = {
        head: np.concatenate([branch.fitted[head].learned_truth for branch in branches]).sum(axis=0)
        for head in corpus.several
    }
    return {head: dict(zip(corpus.labels[head], each.tolist(), strict=True)) for head, each in counts.items()}


def _tuning(corpus: Corpus, branches: Sequence[Branch], recall: float | None) -> Tuning:
    """The out-of-fold answers of model and baseline, side by side."""
    learned = [example for branch in branches for example in branch.learned]
    ours, theirs = (
        {head: np.zeros((len(learned), len(labels))) for head, labels in corpus.labels.items()} for _ in range(2)
    )
    known: list[set[str]] = [set() for _ in learned]
    found: dict[str, float] = {}
    start = 0
    for branch in branches:
        for head, each in branch.fitted.items():
            ours[head][start + each.rows] = each.probabilities
            theirs[head][start + each.known] = branch.baseline[head].known
            for row in each.rows:
                known[start + row].add(head)
        found |= limits.find(corpus, branch, recall)
        start += len(branch.learned)
    items = [
        Item(e.id, e.entity, e.language, {head: e.labels[head] for head in e.labels if head in of}, bool(e.judgements))
        for e, of in zip(learned, known, strict=True)
    ]
    return Tuning(
        items,
        Answers(corpus.labels, ours, found, corpus.several),
        Answers(corpus.labels, theirs, limits.find_baseline(corpus, branches, recall), corpus.several),
    )


def _item(example: Example) -> Item:
    return Item(example.id, example.entity, example.language, example.labels, judged=bool(example.judgements))
