"""From a candidate to what is live: sealed and published, judged by the gate against the live model, written into the ledger."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from services.training import card, gate, metrics, precision
from services.training.candidate import Answers, Candidate
from services.training.case import Case, Report
from shared import bundle
from shared.bundle import Bundle
from shared.ledger import Entry, Ledger
from shared.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
NOBODY = "gate"  # the approver where no person is named: it passed, and nobody had to answer for anything new


@dataclass(frozen=True, slots=True)
class Sealed:
    """A candidate in the store; not live by that."""

    candidate: Candidate
    version: str
    digest: str
    folder: Path
    answers: Answers


async def find_live(settings: Settings, model: str) -> Entry | None:
    """Raises `Unavailable` where Postgres cannot be reached, `Broken` where the ledger was tampered with."""
    ledger = Ledger.open(settings)
    try:
        return await ledger.live(model)
    finally:
        await ledger.close()


def classes(live: Entry, store: Path) -> set[tuple[str, str]]:
    """Every (head, label) that the live model tells.

    Raises:
        BundleError: it is not in the store, or is damaged.
    """
    spec = bundle.load(store / live.model / live.version, Bundle, live.bundle_digest)
    return {(head, label) for head, each in spec.heads.items() for label in each.labels}


def seal(candidate: Candidate, store: Path, budget: float = precision.BUDGET) -> Sealed:
    """Measures the very bytes that will be served, writes the card, and publishes. The same run gives the same digest.

    budget: points of accuracy that serving may lose by computing in another precision than fp32.
    """
    answers = candidate.measure(candidate.folder, candidate.spec)
    candidate = precision.record(candidate, answers, budget)
    (candidate.folder / "card.md").write_text(card.compose(candidate, answers), encoding="utf-8")
    digest = bundle.seal(candidate.folder, candidate.spec)
    version = f"{datetime.now(UTC):%Y%m%d}-{digest[:8]}"
    place, digest = bundle.publish(candidate.folder, candidate.spec, store, version)
    return Sealed(candidate, version, digest, place, answers)


def judge(sealed: Sealed, live: Entry | None, store: Path, *, with_feedback: bool, approver: str) -> Report:
    """The gate's report on the held-out items.

    Raises:
        BundleError: the live model, which it must be compared with, is not in the store, or is damaged.
    """
    candidate = sealed.candidate
    reference, changed = None, float("inf")
    if live is not None:
        place = store / live.model / live.version
        spec = bundle.load(place, Bundle, live.bundle_digest)
        reference = candidate.measure(place, spec)
        changed = largest_difference((place, spec), (sealed.folder, candidate.spec))
    return gate.examine(
        Case(
            items=candidate.items,
            heads=candidate.heads,
            candidate=sealed.answers,
            baseline=candidate.baseline,
            baseline_name=candidate.baseline_name,
            live=reference,
            changed=changed,
            domain=candidate.spec.model,
            with_feedback=with_feedback,
            approver=approver,
        )
    )


async def promote(
    settings: Settings, sealed: Sealed, report: Report, live: Entry | None, *, approver: str, reason: str = ""
) -> Entry:
    """Appends to the ledger, which inference follows.

    Raises:
        Refused: the ledger does not take it: `live`, which the gate judged it against, is live no more, or this very bundle was rolled
            back before and there is no `reason`.
    """
    ledger = Ledger.open(settings)
    try:
        return await ledger.promote(
            sealed.candidate.spec.model,
            sealed.version,
            sealed.digest,
            approver=approver or NOBODY,
            evidence=evidence(sealed, report, live),
            expected=live.hash if live else "",
            force=bool(reason),
            reason=reason,
        )
    finally:
        await ledger.close()


def evidence(sealed: Sealed, report: Report, live: Entry | None) -> dict[str, Any]:
    """What vouches for the version, as JSON: model digest <- run <- data set <- code <- the version it replaces <- gate."""
    candidate = sealed.candidate
    return {
        "verdict": "provisional" if report.provisional else report.verdict,
        "metrics": headline(sealed),
        "gate": report.as_json(),
        "dataset": dict(candidate.data),
        "run": {**candidate.run, "code": code_version()},
        "base": None if live is None else {"version": live.version, "digest": live.bundle_digest},
        "thresholds": dict(candidate.spec.thresholds),
    }


def headline(sealed: Sealed) -> dict[str, float]:
    """A handful of figures for lists: the first head's accuracy and ECE, by slice."""
    candidate = sealed.candidate
    first = candidate.heads[0]
    rows = candidate.typical
    found = metrics.measure([candidate.items[row] for row in rows], sealed.answers.take(rows), (first,))
    return {
        f"{where.removesuffix('.' + first)} {name}": round(of_head[name], 4)
        for where, of_head in found.items()
        for name in ("accuracy", "ece")
    }


def largest_difference(live: tuple[Path, Bundle], other: tuple[Path, Bundle]) -> float:
    """The largest absolute difference between weights of the same name; inf where names, shapes, encoders or adapters' specs differ."""
    routes = [
        {name: (route.encoder, route.adapter) for name, route in spec.routes.items()} for _, spec in (live, other)
    ]
    if routes[0] != routes[1]:
        return float("inf")
    mine, theirs = _tensors(live[0]), _tensors(other[0])
    if {name: each.shape for name, each in mine.items()} != {name: each.shape for name, each in theirs.items()}:
        return float("inf")
    return max((float(np.abs(mine[name] - theirs[name]).max(initial=0)) for name in mine), default=0.0)


def _tensors(folder: Path) -> Mapping[str, Any]:
    from safetensors.numpy import load_file

    return {
        f"{file.name}/{name}": each for file in folder.glob("*.safetensors") for name, each in load_file(file).items()
    }


def code_version(root: Path = _ROOT) -> str:
    """The commit that trained it, with "+changes" where files differ from it; outside a checkout what TIDEMILL_COMMIT says, else "unknown".

    An image has neither git nor a checkout: deploy/Dockerfile takes the commit as a build argument.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 - fixed arguments
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        ours = git("rev-parse", "--show-toplevel") == str(root)  # and not somebody's in whose folder we are installed
        commit = git("rev-parse", "HEAD") if ours else ""
        if commit:
            return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except OSError:
        pass  # no git
    return os.environ.get("TIDEMILL_COMMIT") or "unknown"
