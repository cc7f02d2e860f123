"""What is to be sent, as drafts of events: from files, from standard input, or made up."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.contract import Contract
from services.cli.problem import Problem
from services.cli.sending import images, intake
from services.cli.sending.draft import Draft
from services.cli.sending.generate import generate
from services.cli.sending.intake import Options
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: files (or "-"), or so many made-up events."""

    files: Sequence[str] = ()
    generated: int = 0
    seed: int = 0
    kind: str = ""  # of the files; empty: by their names
    claim: bool = False
    count: int = 0  # at most; 0: all


def drafts(contract: Contract, plan: Plan, options: Options, settings: Settings) -> Iterator[Draft]:
    """Every event of the plan.

    Raises:
        Problem: nothing is named, or a file cannot be read; events of earlier lines have been yielded by then.
    """
    if bool(plan.files) == bool(plan.generated):
        raise Problem("name the files to send (or - for standard input), or --generate N; see `tidemill send --help`")
    if plan.generated:
        found: Iterator[Draft] = generate(contract, plan.generated, plan.seed, options)
    elif not contract.text_field:
        found = images.read([Path(file) for file in plan.files], settings.blobs, plan.claim, options)
    else:
        found = itertools.chain.from_iterable(_file(contract, file, plan.kind, options) for file in plan.files)
    return itertools.islice(found, plan.count or None)


def _file(contract: Contract, file: str, kind: str, options: Options) -> Iterator[Draft]:
    if file == "-":
        yield from intake.read(contract, sys.stdin, "stdin", kind or "txt", options)
        return
    path = Path(file)
    kind = kind or path.suffix.lstrip(".").lower()
    if kind not in intake.KINDS:
        known = ", ".join(f".{known}" for known in intake.KINDS)
        raise Problem(
            f"{file}: cannot tell what it holds; {contract.name} takes {known}, or say --as {intake.KINDS[0]}"
        )
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            yield from intake.read(contract, lines, file, kind, options)
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Problem(f"{file}: not UTF-8 at byte {error.start}") from error
