"""What a run tells a person (a table) and a program (RESULT lines)."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.training import metrics
from services.training.candidate import Answers, Candidate
from services.training.case import Report
from services.training.several.table import COLUMNS, list_labels

_SHOWN = {
    "accuracy": "accuracy",
    "overlap": "overlap",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "map": "mean AP",
    "ece": "ECE",
    "ece_chance": "by chance",
    "out_of_scope_recall": "OOS recall",
    "in_scope_retention": "retention",
    "auroc": "AUROC",
}
_MARKS = {"pass": "[green]pass[/]", "fail": "[red]fail[/]", "insufficient evidence": "[yellow]insufficient evidence[/]"}

Figures = Mapping[str, Mapping[str, float]]


def figures(candidate: Candidate, answers: Answers) -> dict[str, Figures]:
    """ "test", "test baseline" and, where there are any, "cross" and "cross baseline", the same by cross-validation of the other parts."""
    asked = candidate.typical
    items = [candidate.items[row] for row in asked]
    found: dict[str, Figures] = {
        "test": metrics.measure(items, answers.take(asked), candidate.heads),
        "test baseline": metrics.measure(items, candidate.baseline.take(asked), candidate.heads),
    }
    if candidate.tuning is not None:
        tuning = candidate.tuning
        known = [row for row, item in enumerate(tuning.items) if not item.judged]
        items = [tuning.items[row] for row in known]
        found["cross"] = metrics.measure(items, tuning.model.take(known), candidate.heads)
        found["cross baseline"] = metrics.measure(items, tuning.baseline.take(known), candidate.heads)
    return found


def show_figures(console: Console, candidate: Candidate, found: Mapping[str, Figures]) -> None:
    title = f"{candidate.spec.model}: held-out test part"
    if "cross" in found:
        title += "; by 5-fold cross-validation of the other parts"
    table = Table(title=title, title_justify="left")
    for name in (
        "where",
        "n",
        "figure",
        "model",
        "baseline",
        *(("n", "model", "baseline") if "cross" in found else ()),
    ):
        table.add_column(name, justify="right" if name in ("n", "model", "baseline") else "left")
    for where, of_head in found["test"].items():
        for figure, name in _SHOWN.items():
            if figure in of_head:
                table.add_row(*_row(where, figure, name, found))
        table.add_section()
    console.print(table)


def show_labels(console: Console, candidate: Candidate, answers: Answers) -> None:
    """Of heads with several right labels, each label by itself."""
    for head, rows in list_labels(candidate, answers).items():
        table = Table(title=f"{candidate.spec.model}: labels of {head}, held-out test part", title_justify="left")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name == "label" else "right")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)


def _row(where: str, figure: str, name: str, found: Mapping[str, Figures]) -> list[str]:
    cells = [where, _count(found, "test", where, figure), name]
    cells += [_value(found, part, where, figure) for part in ("test", "test baseline")]
    if "cross" in found:
        cells += [_count(found, "cross", where, figure)]
        cells += [_value(found, part, where, figure) for part in ("cross", "cross baseline")]
    return cells


def _count(found: Mapping[str, Figures], part: str, where: str, figure: str) -> str:
    of_head = found[part].get(where, {})
    n = of_head.get("out_of_scope_n" if figure == "out_of_scope_recall" else "n")
    return "" if n is None else f"{n:.0f}"


def _value(found: Mapping[str, Figures], part: str, where: str, figure: str) -> str:
    value = found[part].get(where, {}).get(figure)
    return "" if value is None else f"{value:.3f}"


def results(model: str, found: Mapping[str, Figures]) -> list[str]:
    """ "RESULT train.<model>.<part>.<slice>.<head>.<figure>=<value>"."""
    return [
        f"RESULT train.{model}.{part.replace(' ', '_')}.{name}={value}"
        for part, of_part in found.items()
        for name, value in metrics.flat(of_part).items()
    ]


def headlines(candidate: Candidate, answers: Answers) -> list[str]:
    """One line for each slice of each head: its figures beside the baseline's."""
    found = figures(candidate, answers)
    return [_headline(where, of_head, found["test baseline"][where]) for where, of_head in found["test"].items()]


def _headline(where: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    named = {
        "accuracy": "accuracy",
        "micro_f1": "micro-F1",
        "macro_f1": "macro-F1",
        "ece": "ECE",
        "out_of_scope_recall": "out-of-scope recall",
    }
    parts = [
        f"{name} {ours[figure]:.3f} (baseline {theirs[figure]:.3f})" for figure, name in named.items() if figure in ours
    ]
    return f"{where}: {', '.join(parts)}, on {ours['n']:.0f} held-out answers"


def show_gate(console: Console, report: Report) -> None:
    table = Table(title="gate", title_justify="left")
    for name in ("criterion", "verdict", "why"):
        table.add_column(name)
    for criterion in report.criteria:
        table.add_row(criterion.name, _MARKS[criterion.verdict], criterion.detail)
    console.print(table)
