"""Known issuers, and where a headline names them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_WORD = re.compile(r"\w", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mention:
    issuer: str  # its id, or the name itself where we do not know it
    name: str  # as it stands in the headline


class Issuers:
    """Names of issuers, by which headlines and callers refer to them.

    Args:
        names: issuer id -> every name it goes by, in any language.
    """

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        self._by_name: dict[str, str] = {}
        for issuer, known in names.items():
            for name in (issuer, *known):
                self._by_name[name.casefold()] = issuer
        # Longest first, so that "Nordhavn Shipping" is not read as "Nordhavn". Ids are no names: "ALLY" is a word.
        spoken = {name for known in names.values() for name in known}
        longest = sorted(spoken, key=len, reverse=True)
        self._spoken = [self._by_name[name.casefold()] for name in longest]
        self._pattern = re.compile("|".join(map(_bounded, longest)) or r"(?!)", re.IGNORECASE)

    @classmethod
    def read(cls, path: Path) -> "Issuers":
        """From JSON lines of `{"issuer": id, "names": {language: [name, ...]}}`.

        Raises:
            OSError, ValueError: the file is missing or malformed; the message names file and line.
        """
        names: dict[str, list[str]] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                names[row["issuer"]] = [name for known in row["names"].values() for name in known]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}:{number}: not an issuer: {error}") from error
        return cls(names)

    def find(self, headline: str) -> list[Mention]:
        """Each issuer the headline names, once, in order of appearance."""
        found: dict[str, Mention] = {}
        for match in self._pattern.finditer(headline):
            # Which name it was, the group says; not the text: "İ" matches "i", but does not fold to it.
            issuer = self._spoken[(match.lastindex or 1) - 1]
            found.setdefault(issuer, Mention(issuer, match.group()))
        return list(found.values())

    def resolve(self, named: Iterable[str], headline: str) -> list[Mention]:
        """The mentions of those a caller named, by id or by name; one we do not know is taken at its word."""
        spoken = {mention.issuer: mention for mention in self.find(headline)}
        found: dict[str, Mention] = {}
        for name in named:
            issuer = self._by_name.get(name.casefold(), name)
            found.setdefault(issuer, spoken.get(issuer, Mention(issuer, name)))
        return list(found.values())


def _bounded(name: str) -> str:
    """The name as a group that does not match inside a longer Latin word; Chinese has no such bounds."""
    before = r"(?<![A-Za-z0-9])" if _WORD.match(name[0]) else ""
    after = r"(?![A-Za-z0-9])" if _WORD.match(name[-1]) else ""
    return f"({before}{re.escape(name)}{after})"
