"""One training run, from labels to the ledger."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.training import feedback, promotion, sources, text
from services.training.candidate import Candidate
from services.training.case import Report
from services.training.examples import DataError
from services.training.precision import BUDGET
from services.training.promotion import Sealed
from services.training.routes import Advance, Plan
from shared.ledger import Entry
from shared.settings import Settings
from shared.store.labels import PER_ANNOTATOR, Label


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for; see `python -m services.training train --help`."""

    domain: str
    data: Path | None = None
    method: str = "head"
    merge: bool = False  # of lora: an encoder of its own instead of an adapter beside a shared one
    encoders: Mapping[str, str] = field(default_factory=dict)  # language or "*" -> source
    seed: int = 0
    epochs: int = 4
    with_feedback: bool = False
    approved_labels: Sequence[str] = ()  # proposed labels that the approver lets in
    per_annotator: int = PER_ANNOTATOR
    approver: str = ""
    promote: bool = True  # False: train and measure; neither ledger nor Postgres is needed
    reason: str = ""  # brings back a bundle that was rolled back
    samples: int = 3600  # imaging: drawn radiographs
    accuracy_budget: float = BUDGET  # points that serving may lose by computing in fewer bits
    recall: float | None = None  # of heads with several right labels, see `services.training.routes.Plan`
    command: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    sealed: Sealed
    report: Report
    live: Entry | None  # before this run
    entry: Entry | None  # None: not promoted
    judged: Sequence[Label] = ()


async def run(wish: Wish, settings: Settings, advance: Advance) -> Done:
    """Trains, seals, judges, and promotes what passes.

    Raises:
        DataError: there is nothing to train on, or too little.
        Unavailable: Postgres cannot be reached.
        Broken, Refused: the ledger was tampered with, or does not take the promotion.
        BundleError: the live model cannot be compared with.
    """
    live = await promotion.find_live(settings, wish.domain) if wish.promote else None
    judged, asked = await _judged(wish, settings, live, advance) if wish.with_feedback else ([], {})
    with tempfile.TemporaryDirectory(prefix="bundle-") as name:
        candidate = await _candidate(wish, settings, Path(name), judged, live, advance)
        candidate = replace(candidate, data={**candidate.data, **asked})
        sealed = promotion.seal(candidate, settings.models, wish.accuracy_budget)
    report = promotion.judge(sealed, live, settings.models, with_feedback=wish.with_feedback, approver=wish.approver)
    entry = None
    if wish.promote and report.verdict == "pass":
        entry = await promotion.promote(settings, sealed, report, live, approver=wish.approver, reason=wish.reason)
    return Done(sealed, report, live, entry, judged)


async def _judged(
    wish: Wish, settings: Settings, live: Entry | None, advance: Advance
) -> tuple[list[Label], dict[str, Any]]:
    """What people say, and how it was asked for.

    Raises:
        DataError: nobody says anything that can be learned from.
    """
    # What is live was approved before: its judgements stay, else the next training would forget the label again.
    told = promotion.classes(live, settings.models) if live else ()
    until = datetime.now(UTC)
    said = await feedback.read(settings, wish.domain, wish.approved_labels, wish.per_annotator, until, told)
    if not said:
        raise DataError(
            f"nobody has judged an answer of {wish.domain} yet: `tidemill feedback PREDICTION_ID LABEL`, then train again"
        )
    asked: dict[str, Any] = {"judged_until": until.isoformat(), "approved_labels": sorted(wish.approved_labels)}
    asked["per_annotator"] = wish.per_annotator
    judged, unreadable = feedback.sift(wish.domain, said)
    if unreadable:
        heads = ", ".join(sorted({label.head for label in unreadable}))
        left = f"{len(unreadable)} of {len(said)} judged answers are no lists of right labels ({heads})"
        if not judged:
            raise DataError(
                f"{left}, so that there is nothing to learn from: such a list is 'a|b', with each label once"
            )
        advance(f"{left} and are left out", 0, 0)
        asked["unreadable"] = sorted(id_ for label in unreadable for id_ in label.judgement_ids)
    return judged, asked


async def _candidate(
    wish: Wish, settings: Settings, folder: Path, judged: Sequence[Label], live: Entry | None, advance: Advance
) -> Candidate:
    if wish.domain == "imaging":
        return await _imaging(wish, settings, folder, judged, live, advance)
    corpus = sources.read(wish.domain, wish.data)
    if judged:
        corpus = feedback.join(corpus, judged)
    plan = Plan(
        store=settings.models,
        scratch=settings.data / "training",
        method=wish.method,
        merge=wish.merge,
        sources=wish.encoders,
        seed=wish.seed,
        epochs=wish.epochs,
        command=wish.command,
        recall=wish.recall,
    )
    return text.train(corpus, plan, folder, advance)


async def _imaging(
    wish: Wish, settings: Settings, folder: Path, judged: Sequence[Label], live: Entry | None, advance: Advance
) -> Candidate:
    from services.training.imaging import judged as pictures
    from services.training.imaging import proposal, samples
    from shared.claim import Claims
    from shared.picture.decoders import Decoders

    try:
        gathered, data = samples.gather(wish.data, wish.samples, wish.seed)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error
    facts: dict[str, Any] = {**data, "judgements": []}
    base = None
    if judged:
        with Decoders() as decoders:
            found = await pictures.judged(judged, gathered.labels, Claims(settings.blobs), decoders)
        gathered = samples.join(gathered, found.samples)
        facts |= {"judgements": list(found.judgements), "left_out": list(found.left_out)}
        base = settings.models / live.model / live.version / proposal.WEIGHTS if live is not None else None
    return proposal.propose(
        gathered,
        folder,
        seed=wish.seed,
        data=facts,
        run={"method": "full", "command": wish.command},
        base=base,
        tell=lambda line: advance(line, 0, 0),
    )
