"""The model card: what a version is for, what it was made of and what it is worth. No dates, so that the same run gives the same bytes."""

from collections.abc import Mapping
from typing import Any

from services.training import metrics
from services.training.candidate import Answers, Candidate
from services.training.several.limits import FEW
from services.training.several.table import COLUMNS, list_labels
from shared.bundle import Bundle

_TASK = {"text-classifier": "text-classification", "image-classifier": "image-classification"}
_USE = {
    "intent": "Tells what customers want, how they feel, and whether it can tell at all. Answers are suggestions for a service desk.",
    "risk": "Tells what a headline means for each company it names. Not investment advice.",
    "imaging": "Sorts chest radiographs for a person to read. Research use, not a medical device.",
}
_SEVERAL = """Each label may be right or not. `accuracy`: the row's labels are all right and all there; `overlap`: of the labels that are
right or said, the share that is both; `map`: mean average precision; `ece`: the mean of the labels' own. The thresholds are those of {aim},
on rows that the deciding fit has not seen. A label that no such row has is never said."""
_FIGURES = (
    *("n", "accuracy", "overlap", "micro_f1", "macro_f1", "map", "ece", "ece_chance"),
    *("out_of_scope_recall", "in_scope_retention", "auroc"),
)


def compose(candidate: Candidate, answers: Answers) -> str:
    """Markdown with Hugging Face's metadata block."""
    spec, run, data = candidate.spec, candidate.run, candidate.data
    rows = candidate.typical
    items = [candidate.items[row] for row in rows]
    ours = metrics.measure(items, answers.take(rows), candidate.heads)
    theirs = metrics.measure(items, candidate.baseline.take(rows), candidate.heads)
    languages = "".join(f"\n- {name}" for name in data.get("languages", ()))
    routes = "\n".join(
        f"* `{name}`: {route['encoder']} {route['revision']} (`{route['digest']}`){_adapter(route)}"
        for name, route in run.get("routes", {}).items()
    )
    notes = "\n".join(f"* {note}" for note in candidate.notes)
    limits = "\n".join(f"| `{name}` | {value:.4f} |" for name, value in spec.thresholds.items())
    return f"""---
license: apache-2.0
pipeline_tag: {_TASK.get(spec.kind, spec.kind)}
library_name: tidemill{f"{chr(10)}language:{languages}" if languages else ""}
---

# {spec.model}

{_USE.get(spec.model, "")}

Heads: {", ".join(f"{head} ({len(each.labels)} labels)" for head, each in spec.heads.items())}.
Method `{run.get("method", "")}`, seed {run.get("seed", "")}.

{routes}

## Data

{_data(data)}

## On the held-out test part

{_table(ours, theirs, candidate.baseline_name)}

Calibration: a temperature for each head, fitted on rows that the deciding fit has not seen. ECE has 15 bins; with few items it is far from
zero by chance alone: in 95 % of samples, a perfectly calibrated model that is as sure stays below `ece_chance`. A model that says
much the same of everything is easily lower. `heads` pools the answers of all heads, which leaves less to chance.

{_several(candidate, answers)}{_precision(spec)}## Thresholds

| threshold | value |
|---|---|
{limits}

1.01 means that no answer is sure enough for what the threshold promises.

## Limits

{notes}
* Small held-out parts: read the figures with their n.
* Labels it was not trained on do not exist for it; texts unlike its data are what the out-of-scope threshold is for, not what it knows.
"""


def _several(candidate: Candidate, answers: Answers) -> str:
    """Each label by itself, of heads with several right labels."""
    found = "".join(
        f"""## Labels of {head}

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
{chr(10).join("| " + " | ".join(row) + " |" for row in rows)}

"""
        for head, rows in list_labels(candidate, answers).items()
    )
    if not found:
        return ""
    recall = candidate.run.get("recall")
    aim = (
        f"{100 * recall:g} % recall"
        if recall
        else f"the best F1 (where fewer than {FEW} rows have a label, of all labels)"
    )
    return f"{found}{_SEVERAL.format(aim=aim)}\n\n"


def _adapter(route: Mapping[str, Any]) -> str:
    if (adapter := route.get("adapter")) is None:
        return ""
    return f" with a LoRA adapter of this model's own, rank {adapter['rank']} (`{adapter['sha256'][:16]}`)"


def _precision(spec: Bundle) -> str:
    if spec.precision is None:
        return ""
    lines = "".join(f"| {name} | {points:.2f} |\n" for name, points in spec.precision.loss.items())
    return f"""## Precision

| computed in | points of accuracy lost against fp32, by the head that loses most |
|---|---|
{lines}
Served in the fastest that loses at most {spec.precision.budget:g}.

"""


def _data(data: Mapping[str, Any]) -> str:
    files = "\n".join(f"* `{name}` sha256 `{digest}`" for name, digest in data.get("files", {}).items())
    if data.get("source") == "synthetic":
        files = f"* {data['n']:,} radiographs drawn with seed {data['seed']}"
    elif "source" in data:
        files = f"* `{data['source']}` sha256 `{data['sha256']}`"
    judged = len(data.get("judgements", ()))
    people = f"\n* {judged} judgements of people, by id in the ledger's evidence" if judged else ""
    parts = ", ".join(f"{count:,} {name}" for name, count in data.get("parts", data.get("counts", {})).items())
    return f"{files}{people}\n\nParts: {parts}. Split rule: {data.get('split', '')}."


def _table(ours: Mapping[str, Mapping[str, float]], theirs: Mapping[str, Mapping[str, float]], baseline: str) -> str:
    lines = [f"| where | figure | model | {baseline} |", "|---|---|---|---|"]
    for where, figures in ours.items():
        for name in _FIGURES:
            if name in figures:
                other = theirs.get(where, {}).get(name)
                shown = "" if other is None or name == "n" else f"{other:.3f}"
                value = f"{figures[name]:.0f}" if name == "n" else f"{figures[name]:.3f}"
                lines.append(f"| {where} | {name} | {value} | {shown} |")
    return "\n".join(lines)
