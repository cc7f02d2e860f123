"""People's judgements as examples: what they said of real events, weighed by how they came to say it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from importlib import import_module

from protos import risk_pb2
from services.training import split
from services.training.examples import Corpus, Example, heads_of, order_labels
from services.training.several.truth import names
from services.training.sources import ISSUERS, STARTERS, labels_of, mention, read_issuers
from shared.errors import Reject
from shared.heads import SEVERAL
from shared.language import detect, primary
from shared.settings import Settings
from shared.several import parse
from shared.store.engine import make_engine
from shared.store.labels import PER_ANNOTATOR, Label, labels
from shared.store.postgres import Store

# Whoever confirms an answer has seen it, and agrees more easily than they would have said it: it weighs less than a correction.
CORRECTED, CONFIRMED = 1.0, 0.5


async def read(
    settings: Settings,
    domain: str,
    approved: Collection[str] = (),
    per_annotator: int = PER_ANNOTATOR,
    until: datetime | None = None,
    told: Collection[tuple[str, str]] = (),
) -> list[Label]:
    """The domain's agreed labels, as they stand at `until`; None: now. approved, told: as in `labels`.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    store = Store(make_engine(settings.postgres, connections=1))
    try:
        return await labels(store, domain, until=until, approved=approved, told=told, per_annotator=per_annotator)
    finally:
        await store.close()


def sift(domain: str, judged: Iterable[Label]) -> tuple[list[Label], list[Label]]:
    """(labels that can be read, others): a head may have become one with several right labels after somebody said "a||b" of it."""
    readable: list[Label] = []
    others: list[Label] = []
    for label in judged:
        try:
            if label.head in SEVERAL.get(domain, ()):
                parse(label.label)
            readable.append(label)
        except ValueError:
            others.append(label)
    return readable, others


def join(corpus: Corpus, judged: Sequence[Label]) -> Corpus:
    """The corpus with people's labels added.

    A text that the corpus holds already keeps the entity it has there, and so its side of the split. A head that the corpus does not
    have is not learned: people judge where the model errs, and nothing else could calibrate it.
    """
    known = {_identity(e): e.entity for e in corpus.examples}
    added = [
        replace(example, entity=known.get(_identity(example), example.entity))
        for example in (_within(corpus, each) for each in examples(corpus.domain, judged))
        if example.labels
    ]
    first = next(iter(corpus.labels))
    said = [example.labels[first] for example in added if first in example.labels]
    fresh = [
        label
        for label in (sorted(names(said)) if first in corpus.several else said)
        if label not in corpus.labels[first]
    ]
    together = [*corpus.examples, *added]
    return replace(corpus, examples=together, labels=order_labels(corpus.domain, together, fresh))


def _within(corpus: Corpus, example: Example) -> Example:
    return replace(example, labels={head: label for head, label in example.labels.items() if head in corpus.labels})


def examples(domain: str, judged: Iterable[Label]) -> list[Example]:
    """One example for each event (and issuer) that people judged, with all heads that they judged.

    The entity is the text itself, so that the same text judged twice never lies on both sides of the split.
    """
    make = _headline if domain == "risk" else partial(_utterance, domain)
    found: dict[tuple[str, str], Example] = {}
    for label in judged:
        example = make(label)
        before = found.get((label.prediction_id, label.target))
        if before is not None:
            example = replace(
                example,
                labels={**before.labels, **example.labels},
                judgements=(*before.judgements, *example.judgements),
                weight=max(before.weight, example.weight),
                corrects=before.corrects or example.corrects,
            )
        found[label.prediction_id, label.target] = example
    return list(found.values())


def weigh(label: Label) -> float:
    """How much a label counts, 1 being a row of the data set: less where people disagree, and where they only confirmed."""
    return (CONFIRMED if label.confirmed else CORRECTED) * label.agreement


def _utterance(domain: str, label: Label) -> Example:
    """Of a domain whose request has `text` and, if its callers can tell, `language`."""
    messages = import_module(f"protos.{domain}_pb2")
    request = getattr(messages, f"{domain.capitalize()}Request").FromString(label.request)
    said = labels_of(domain, label.label) if label.head == heads_of(domain)[0] else {label.head: label.label}
    language = getattr(request, "language", "")
    return _example(label, split.text_entity(request.text), language, request.text, "", said)


def _headline(label: Label) -> Example:
    request = risk_pb2.RiskRequest.FromString(label.request)
    names = _issuers().get(label.target, [label.target])
    name = mention(request.headline, names)
    entity = split.text_entity(request.headline)
    return _example(label, entity, request.language, name, request.headline, {label.head: label.label})


@cache
def _issuers() -> dict[str, list[str]]:
    """The names that the risk service knows issuers by."""
    return read_issuers(STARTERS / "risk" / ISSUERS)


def _example(label: Label, entity: str, language: str, text: str, pair: str, said: dict[str, str]) -> Example:
    try:
        tongue = primary(language, pair or text)
    except Reject:
        tongue = detect(pair or text)
    return Example(
        f"feedback/{label.prediction_id}/{label.target}",
        entity,
        tongue,
        text,
        said,
        text_pair=pair,
        weight=weigh(label),
        judgements=label.judgement_ids,
        corrects=not label.confirmed,
    )


def _identity(example: Example) -> str:
    return split.text_entity(example.text_pair or example.text)
