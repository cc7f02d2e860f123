"""Reads what people have - text, tables, JSON lines, images - as drafts of events."""

import csv
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from google.protobuf import json_format
from google.protobuf.message import Message

from services.cli.contract import Contract
from services.cli.problem import Problem
from services.cli.sending.draft import Draft, numbered
from shared.event import PROTOBUF

KINDS = ("txt", "csv", "jsonl")
_ENVELOPE = ("id", "source", "caller", "subject", "time")  # of a JSON line: the event's own attributes


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for every event of one sending."""

    source: str = ""  # empty: "cli/" and the file's name
    caller: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)  # of the request's fields, where a line does not say
    column: str = ""  # that holds the text; empty: the request's own name for it, or "text"
    content_type: str = PROTOBUF
    ignore_unknown: bool = False


def read(contract: Contract, file: TextIO, name: str, kind: str, options: Options) -> Iterator[Draft]:
    """Drafts of a text domain's events, in the file's order; lines without text are passed over.

    Args:
        name: the file's name, for the source and for messages.
        kind: one of `KINDS`.

    Raises:
        Problem: a line cannot be read; it names the file and the line.
    """
    lines = {"txt": _texts, "csv": _rows, "jsonl": _objects}[kind](contract, file, name, options)
    for number, fields, envelope in lines:
        defaults = {name: value for name, value in options.defaults.items() if name in contract.plain_fields}
        request = _request(contract, defaults | dict(fields), f"{name}:{number}", options)
        yield Draft(
            source=envelope.get("source") or options.source or f"cli/{Path(name).name}",
            id=envelope.get("id") or numbered(number, request),
            request=request,
            caller=envelope.get("caller") or options.caller,
            subject=envelope.get("subject", ""),
            content_type=options.content_type,
            **({"time": moment} if (moment := _moment(envelope.get("time", ""), f"{name}:{number}")) else {}),
        )


Line = tuple[int, Mapping[str, Any], Mapping[str, str]]  # number from 1, the request's fields, the event's attributes


def _texts(contract: Contract, file: Iterable[str], name: str, options: Options) -> Iterator[Line]:
    for number, line in enumerate(file, 1):
        if text := line.strip():
            yield number, {contract.text_field: text}, {}


def _rows(contract: Contract, file: Iterable[str], name: str, options: Options) -> Iterator[Line]:
    """A column fills the field of its name; `--column` names the one that holds the text; other columns are labels and the like."""
    rows = csv.DictReader(file)
    column = options.column or contract.text_field
    if column not in (rows.fieldnames or ()):
        known = ", ".join(rows.fieldnames or ()) or "none"
        raise Problem(
            f"{name}: there is no column {column!r} (columns: {known}); say which holds the text: --column NAME"
        )
    for number, row in enumerate(rows, 1):
        fields = {name: row[name] for name in contract.plain_fields if row.get(name)}
        fields[contract.text_field] = row[column] or ""
        if fields[contract.text_field].strip():
            yield number, fields, {"id": row["id"]} if row.get("id") else {}


def _objects(contract: Contract, file: Iterable[str], name: str, options: Options) -> Iterator[Line]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise Problem(f"{name}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise Problem(f'{name}:{number}: a line must be a JSON object, such as {{"{contract.text_field}": ...}}')
        envelope = {key: str(row.pop(key)) for key in _ENVELOPE if key in row and key not in _own(contract)}
        yield number, _body(contract, row, options), envelope


def _own(contract: Contract) -> Container[str]:
    names: Container[str] = contract.request.DESCRIPTOR.fields_by_name
    return names


def _body(contract: Contract, row: dict[str, Any], options: Options) -> dict[str, Any]:
    """The request's own fields; the text under its name there."""
    column, text = options.column or "text", contract.text_field
    if column in row and column not in _own(contract):
        row[text] = row.pop(column)
    if not options.ignore_unknown:
        return row
    return {key: value for key, value in row.items() if key == text or _fits(contract, key, value)}


def _fits(contract: Contract, key: str, value: Any) -> bool:
    """Whether the request has such a field: labelled data may use its name for something else."""
    try:
        json_format.ParseDict({key: value}, contract.request())
    except json_format.ParseError:
        return False
    return True


def _request(contract: Contract, fields: Mapping[str, Any], place: str, options: Options) -> Message:
    try:
        return json_format.ParseDict(dict(fields), contract.request())
    except json_format.ParseError as error:
        text = " ".join(str(error).split())[:300]
        hint = " (--ignore-unknown drops such fields)" if "no field named" in text else ""
        raise Problem(f"{place}: not a {contract.request.DESCRIPTOR.full_name}: {text}{hint}") from error


def _moment(text: str, place: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Problem(f"{place}: `time` must be RFC 3339, such as 2026-01-31T09:30:00Z, not {text!r}") from error
    return moment if moment.tzinfo else moment.astimezone()
