"""Labelled data from files: the starter sets' JSON lines, or a CSV of texts and labels."""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from services.training import split
from services.training.examples import OUT_OF_SCOPE, Corpus, DataError, Example, heads_of, order_labels
from services.training.several.cells import read_cell, read_columns, read_list
from shared.bundle import sha256
from shared.heads import NEEDED, SEVERAL
from shared.language import detect
from shared.several import SEPARATOR

MAX_FILE_BYTES = 512 * 1024 * 1024
STARTERS = Path(__file__).parents[2] / "data"
ISSUERS = "issuers.jsonl"
_FILES = {"intent": "utterances.jsonl", "risk": "headlines.jsonl"}  # other domains': texts.jsonl
_OUT_OF_SCOPE_NAMES = {"oos", "ood", "out_of_scope", "out-of-scope", "none"}


def read(domain: str, path: Path | None = None) -> Corpus:
    """The domain's labelled data.

    Args:
        domain: any whose model is one of texts.
        path: a folder like data/<domain>, a .jsonl file of the same rows, or (but for risk, whose rows name issuers) a .csv with a text
            and a label column; None: the starter set.

    Raises:
        DataError: there is nothing to train on, or a row is malformed; the message names file and line.
    """
    if domain not in NEEDED:
        raise DataError(f"domain must be one of {', '.join(sorted(NEEDED))}, not {domain!r}")
    if path is None and not has_starters(domain):
        raise DataError(f"no starter data come with {domain}; name a file of labelled texts")
    path = path or STARTERS / domain
    file = path / _FILES.get(domain, "texts.jsonl") if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"{file}: more than {MAX_FILE_BYTES:,} bytes")
    files = {file.name: sha256(file)}
    if file.suffix == ".csv":
        if domain == "risk":
            raise DataError(
                f"{file}: a CSV of texts and labels names no issuers; risk needs rows like {_FILES[domain]}'s"
            )
        examples = list(_csv(file, domain))
    else:
        read_row = _headline_reader(file.parent / ISSUERS) if domain == "risk" else partial(_utterance, domain)
        if domain == "risk" and (issuers := file.parent / ISSUERS).is_file():
            files[ISSUERS] = sha256(issuers)
        examples = [example for row in _rows(file, read_row) for example in row]
    if not examples:
        raise DataError(f"{file}: no rows")
    _check_whole(file, examples, SEVERAL.get(domain, ()))
    return Corpus(domain, order_labels(domain, examples), examples, files)


def has_starters(domain: str) -> bool:
    return (STARTERS / domain).is_dir()


def _rows(file: Path, read_row: Callable[[dict[str, Any]], list[Example]]) -> Iterator[list[Example]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    yield read_row(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{file}:{number}: {type(error).__name__}: {error}") from error


def _utterance(domain: str, row: dict[str, Any]) -> list[Example]:
    first = heads_of(domain)[0]
    labels = labels_of(domain, _said(domain, first, row[first], read_list))
    for head in others_of(domain):
        # Of several right labels none may be right, which an empty list says; null, as a key that is not there, says nothing.
        if row.get(head) is not None if head in SEVERAL.get(domain, ()) else row.get(head):
            labels[head] = _said(domain, head, row[head], read_list)
    return [Example(str(row["id"]), str(row["pair"]), str(row["language"]), _text(row["text"]), labels)]


def others_of(domain: str) -> tuple[str, ...]:
    """Heads whose labels have a field of their own in files, beside the first head's."""
    return tuple(head for head in heads_of(domain)[1:] if head != "scope")  # which the intent says


def _said(domain: str, head: str, value: Any, read_several: Callable[[Any], str]) -> str:
    """Raises ValueError, naming the head."""
    if head not in SEVERAL.get(domain, ()):
        return str(value)
    try:
        return read_several(value)
    except ValueError as error:
        raise ValueError(f"{head}: {error}") from error


def labels_of(domain: str, label: str) -> dict[str, str]:
    """What one label of a text says for the domain's heads."""
    return scope_of(label) if domain == "intent" else {heads_of(domain)[0]: label}


def scope_of(intent: str) -> dict[str, str]:
    """What an intent label says for the heads `intent` and `scope`: "none of these" is no intent."""
    if intent.lower() in _OUT_OF_SCOPE_NAMES:
        return {"scope": OUT_OF_SCOPE}
    return {"intent": intent, "scope": "in_scope"}


def read_issuers(issuers: Path) -> dict[str, list[str]]:
    """Issuer -> all its names; none where there is no such file."""
    names: dict[str, list[str]] = {}
    for number, line in enumerate(issuers.read_text(encoding="utf-8").splitlines() if issuers.is_file() else [], 1):
        try:
            row = json.loads(line)
            names[row["issuer"]] = [name for known in row["names"].values() for name in known]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{issuers}:{number}: {type(error).__name__}: {error}") from error
    return names


def _headline_reader(issuers: Path) -> Callable[[dict[str, Any]], list[Example]]:
    names = read_issuers(issuers)

    def read_row(row: dict[str, Any]) -> list[Example]:
        headline = _text(row["text"])
        return [
            Example(
                f"{row['id']}/{judged['issuer']}",
                str(row["pair"]),
                str(row["language"]),
                mention(headline, names.get(judged["issuer"], [str(judged["issuer"])])),
                {head: str(judged[head]) for head in ("sentiment", "severity", "event") if judged.get(head)},
                text_pair=headline,
            )
            for judged in row["issuers"]
        ]

    return read_row


def mention(headline: str, names: list[str]) -> str:
    """The name that stands first in the headline, the longest of those that begin there; the first name if none stands in it.

    The risk service finds mentions in the same way, so training reads what serving will read.
    """
    folded = headline.casefold()
    found = [(folded.find(name.casefold()), -len(name), name) for name in names if name.casefold() in folded]
    if not found:
        return names[0]
    at, _, name = min(found)
    return headline[at : at + len(name)] if len(folded) == len(headline) else name


def _csv(file: Path, domain: str) -> Iterator[Example]:
    """Columns `text` and `label` (or `category`, `intent`; where several may be right `labels`), in any order; `language` and those of the
    domain's other heads, such as `sentiment`, if they are there."""
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        columns = reader.fieldnames or []
        label_column, several = _label_column(file, domain, columns), SEVERAL.get(domain, ())
        for number, row in enumerate(reader, 2):
            text, label = (row["text"] or "").strip(), (row[label_column] or "").strip()
            if not text or not label:
                none = (
                    f"; where none is right, {label_column} is {SEPARATOR!r}" if heads_of(domain)[0] in several else ""
                )
                raise DataError(f"{file}:{number}: text and {label_column} must not be empty{none}")
            try:
                labels = labels_of(domain, _said(domain, heads_of(domain)[0], label, read_cell))
                for head in others_of(domain):
                    if said := (row.get(head) or "").strip():
                        labels[head] = _said(domain, head, said, read_cell)
            except ValueError as error:
                raise DataError(f"{file}:{number}: {error}") from error
            language = row.get("language") or detect(text)
            yield Example(f"{file.stem}/{number}", split.text_entity(text), language, text, labels)


def _check_whole(file: Path, examples: Sequence[Example], heads: Collection[str]) -> None:
    """Raises DataError if two rows are of one text and say different labels: each would deny what the other says."""
    for head in heads:
        before: dict[tuple[str, str], Example] = {}
        for example in (each for each in examples if head in each.labels):
            other = before.setdefault((example.text, example.text_pair), example)
            if other.labels[head] != example.labels[head]:
                raise DataError(
                    f"{file}: rows {other.id} and {example.id} are of one text, and {head} is {other.labels[head]!r} and "
                    f"{example.labels[head]!r}: every right label of a text belongs into one row"
                )


def _label_column(file: Path, domain: str, columns: Sequence[str]) -> str:
    first = heads_of(domain)[0]
    if "text" in columns and first in SEVERAL.get(domain, ()):
        try:
            return read_columns(columns, first)
        except ValueError as error:
            raise DataError(f"{file}: {error}") from error
    found = next((name for name in ("label", "category", "intent") if name in columns), "")
    if "text" not in columns or not found:
        raise DataError(f"{file}: the first line must name a column 'text' and a column 'label'")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text must hold at least one visible character")
    return value
