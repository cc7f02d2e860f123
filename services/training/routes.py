"""One route of a text model: an encoder, heads on it, and the baseline on the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from services.training import chars, encoders, split
from services.training.baseline import Baseline, Compared
from services.training.encoders import Made
from services.training.examples import Corpus, DataError, Example
from services.training.features import embed
from services.training.heads import Fitted, Trainer
from services.training.regression import FOLDS, Floats, Ints, Vectors, is_known
from services.training.several.folds import stratify
from services.training.several.truth import mark
from shared.several import SEPARATOR

MIN_ROWS = 40  # of the training and validation parts, for a language to have a route of its own

Advance = Callable[[str, int, int], None]  # told what is being done, how much of it is done, and of how much


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run was asked to do.

    store: the bundle store. scratch: what a killed run leaves for the next.
    method: "head" trains heads on frozen encoders; "lora" and "full" fine-tune the encoder first.
    merge: what LoRA learned is added to a copy of the encoder, instead of being kept apart.
    sources: language -> encoder, as `encoders.obtain` takes it, "*" for all others; a language without one has its default.
    """

    store: Path
    scratch: Path
    method: str = "head"
    merge: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    epochs: int = 4
    command: str = ""
    recall: float | None = (
        None  # of heads with several right labels: thresholds that find so much of each label; None: the best F1
    )


@dataclass(frozen=True, slots=True)
class Branch:
    """One route, with all that was found while making it.

    learned: rows of the training and validation parts. asked: rows of the test part.
    """

    languages: tuple[str, ...]
    encoder: Made
    learned: Sequence[Example]
    asked: Sequence[Example]
    fitted: Mapping[str, Fitted]  # by head
    baseline: Mapping[str, Compared]


def find_routes(corpus: Corpus) -> list[tuple[str, ...]]:
    """Languages by route; the first route serves every language that has none of its own.

    Raises:
        DataError: no language has enough rows.
    """
    enough = [
        name for name in corpus.languages if len(corpus.where("training", "validation", language=name)) >= MIN_ROWS
    ]
    if not enough:
        raise DataError(
            f"{len(corpus.examples)} rows are too few: one language needs {MIN_ROWS} of the training and validation parts"
        )
    rest = tuple(name for name in corpus.languages if name not in enough)
    return [(enough[0], *rest), *((name,) for name in enough[1:])]


def train(corpus: Corpus, languages: tuple[str, ...], plan: Plan, advance: Advance) -> Branch:
    """Raises DataError if its encoder cannot be had."""
    name = "/".join(languages)
    learned = [e for e in corpus.where("training", "validation") if e.language in languages]
    asked = [e for e in corpus.where("test") if e.language in languages]
    encoder = _encoder(corpus.domain, languages[0], learned, plan)
    if plan.method != "head":
        from services.training.finetune import run  # imports torch

        encoder = run(corpus, learned, encoder, plan, lambda now, of: advance(f"{name}: fine-tuning", now, of))
    total, done = len(learned) + len(asked), 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        advance(f"{name}: reading texts", done, total)

    vectors = embed(learned, encoder, plan.scratch, count)
    embed(asked, encoder, plan.scratch, count)
    # Matrices this small cost more in waking threads than in arithmetic: thirty times more on a machine that is busy.
    with threadpool_limits(1, "blas"):
        fitted, compared = _fit(
            corpus, learned, asked, vectors, plan, encoder, lambda now, of: advance(f"{name}: fitting heads", now, of)
        )
    return Branch(languages, encoder, learned, asked, fitted, compared)


def _fit(
    corpus: Corpus,
    learned: Sequence[Example],
    asked: Sequence[Example],
    vectors: Vectors,
    plan: Plan,
    encoder: Made,
    advance: Callable[[int, int], None],
) -> tuple[dict[str, Fitted], dict[str, Compared]]:
    folds = _folds(corpus, learned)
    # An encoder that was itself fitted on these texts knows them too well to be calibrated on them: validation was kept from it.
    fitted_here = plan.method != "head" or encoder.spec.architecture == "char-ngram"
    validation = np.array([e.part == "validation" for e in learned]) if fitted_here else None
    heads, other = Trainer(vectors, folds, validation), Baseline(learned, asked, folds)
    corrected = np.array([bool(e.judgements) for e in learned])
    fitted: dict[str, Fitted] = {}
    compared: dict[str, Compared] = {}
    for number, (head, labels) in enumerate(corpus.labels.items(), 1):
        truth, weights = targets(learned, head, labels, several=head in corpus.several)
        _check(head, learned, truth, folds, validation)
        fitted[head] = heads.fit(truth, len(labels), weights, corrected)
        compared[head] = other.predict(truth, len(labels), weights)
        advance(number, len(corpus.labels))
    return fitted, compared


def _folds(corpus: Corpus, learned: Sequence[Example]) -> Ints:
    """By a hash of the entity; where several labels may be right, dealt out so that every fold has its share of each."""
    if not corpus.several:
        return np.array([split.fold(e.entity, FOLDS) for e in learned], np.int64)
    marks = [
        targets(learned, head, corpus.labels[head], several=True)[0] > 0
        for head in corpus.labels
        if head in corpus.several
    ]
    return stratify([e.entity for e in learned], np.concatenate(marks, axis=1), FOLDS)


def _check(
    head: str, learned: Sequence[Example], truth: Ints, folds: Ints, validation: NDArray[np.bool_] | None
) -> None:
    """Raises DataError if the route has too few rows to learn this head from some and judge it on others."""
    known = is_known(truth)
    sides = folds if validation is None else validation
    if min(len(np.unique(folds[known])), len(np.unique(sides[known]))) < 2:
        languages = ", ".join(sorted({example.language for example in learned}))
        raise DataError(
            f"{known.sum()} of {len(learned)} rows ({languages}) say what their {head} is, which is too few:"
            f" label more of them, or none of the data's"
        )


def targets(
    examples: Sequence[Example], head: str, labels: Sequence[str], *, several: bool = False
) -> tuple[Ints, Floats]:
    """(truth as `services.training.regression` says, weight) of each row."""
    weights = np.array([e.weight for e in examples])
    if several:
        known = np.array([head in e.labels for e in examples])
        marked = mark([e.labels.get(head, SEPARATOR) for e in examples], labels)
        return np.where(known[:, None], marked.astype(np.int64), -1), weights
    truth = [labels.index(e.labels[head]) if head in e.labels else -1 for e in examples]
    return np.array(truth, np.int64), weights


def _encoder(domain: str, language: str, learned: Sequence[Example], plan: Plan) -> Made:
    source = plan.sources.get(language) or plan.sources.get("*") or encoders.default_for(domain, language)
    seen = [e for e in learned if e.part == "training"]
    texts, pairs = [e.text for e in seen], [e.text_pair for e in seen]
    return encoders.obtain(source, plan.store, plan.scratch, lambda folder: chars.write(texts, pairs, folder))
