"""Several right labels as people write them in files, as the one text that `shared.several` joins them to."""

import json
from collections.abc import Sequence
from typing import Any

from shared.several import SEPARATOR, check, join, parse

_LOOK_LIKE_SEPARATORS = ",;"


def read_cell(text: str) -> str:
    """A CSV's cell: labels joined by "|" ("|" alone: none is right), or a JSON list of them.

    Raises:
        ValueError: it could mean several things; says how to write what was meant.
    """
    if text.startswith("["):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{text[:40]!r} begins like a JSON list and is none: {error}") from error
        return read_list(value)
    labels = parse(text)
    for label in labels:
        if any(sign in label for sign in _LOOK_LIKE_SEPARATORS):
            raise ValueError(
                f"{label[:40]!r} may be one label or several: join labels by {SEPARATOR!r}, or write a JSON list of them"
            )
    return join(labels)


def read_list(value: Any) -> str:
    """A JSON value.

    Raises:
        ValueError: it is no list of labels.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f'every right label belongs into a list of texts, such as ["a", "b"] or [], not {value!r:.40}')
    return join(check(value))


def read_columns(columns: Sequence[str], head: str) -> str:
    """The one column that holds them.

    Raises:
        ValueError: there are two, or none.
    """
    found = [name for name in ("labels", "label", head) if name in columns]
    if len(set(found)) != 1:
        said = f"the columns {' and '.join(found)}" if found else "no column 'labels'"
        raise ValueError(f"the first line names {said}; every right label of a row belongs into one column, 'labels'")
    return found[0]
