"""Results for a person and for a program."""

import json
from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from services.cli.conformance.case import Level, Outcome
from services.cli.conformance.run import Result

_STYLE = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INAPPLICABLE: "dim"}


def failures(results: Sequence[Result]) -> list[Result]:
    return [each for each in results if each.outcome is Outcome.FAIL]


def table(results: Sequence[Result], models: Sequence[str]) -> Table:
    """A line a case; where models differ, a line for each outcome, with the models that had it."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("case", "binding", "outcome"):
        made.add_column(column, no_wrap=True)
    made.add_column("seen", overflow="fold")
    cases: dict[str, list[Result]] = {}
    for each in results:
        cases.setdefault(each.case, []).append(each)
    for name, found in cases.items():
        for outcome in (Outcome.FAIL, Outcome.PASS, Outcome.INAPPLICABLE):
            if alike := [each for each in found if each.outcome is outcome]:
                everywhere = len(alike) == len(found)
                if outcome is not Outcome.INAPPLICABLE or everywhere:
                    _add_line(made, name, alike, everywhere or len(models) == 1)
    return made


def _add_line(made: Table, name: str, alike: Sequence[Result], everywhere: bool) -> None:
    first = alike[0]
    seen = Text("" if everywhere else ", ".join(each.model for each in alike) + ": ", "cyan")
    seen.append("; ".join(dict.fromkeys(each.seen for each in alike)), "")
    if first.outcome is Outcome.FAIL:
        seen.append(f"\nexpected: {first.expected}", "dim")
    made.add_row(name, first.level, Text(first.outcome, _STYLE[first.outcome]), seen)


def summary(results: Sequence[Result]) -> str:
    """One line: cases by outcome, and failures by how binding they are."""
    outcome: dict[str, Outcome] = {}
    for each in results:  # a case fails if it fails anywhere, and passes if it passes somewhere
        rank = (Outcome.INAPPLICABLE, Outcome.PASS, Outcome.FAIL)
        outcome[each.case] = max(outcome.get(each.case, Outcome.INAPPLICABLE), each.outcome, key=rank.index)
    counted = Counter(outcome.values())
    said = f"{len(outcome)} cases: " + ", ".join(f"{counted[kind]} {kind}" for kind in Outcome)
    failed = Counter(level for level, _ in {(each.level, each.case) for each in failures(results)})
    by_level = ", ".join(f"{failed[level]} {level}" for level in Level if failed[level])
    return f"{said} ({by_level} failed)" if by_level else said


def record(address: str, models: Sequence[str], results: Sequence[Result]) -> str:
    """JSON: the server's address, its models, every result, and how many failed."""
    return json.dumps(
        {
            "address": address,
            "models": list(models),
            "results": [each.record() for each in results],
            "failed": len(failures(results)),
        },
        ensure_ascii=False,
    )
