"""What a case of the suite is, and the three ways in which it can end."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.cli.conformance.model import Model
    from services.cli.conformance.target import Target


class Level(StrEnum):
    """How binding a case is."""

    REQUIRED = "required"  # the public definition of the protocol says so
    COMMON = "common"  # it leaves this open, but clients rely on it: status codes, health, large messages
    EXTENSION = "extension"  # beyond it: RepositoryIndex, ModelStatistics, ModelStreamInfer and their parameters


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INAPPLICABLE = "not applicable"


class Failed(Exception):  # noqa: N818 - an outcome
    """The server did something else than the case expects; `level`: where that binds less than the case itself."""

    def __init__(self, seen: str, level: Level | None = None) -> None:
        super().__init__(seen)
        self.level = level


class Inapplicable(Exception):  # noqa: N818 - an outcome
    """The case says nothing about this server or model; the text is why."""


@dataclass(frozen=True, slots=True)
class Case:
    """`check` returns what was seen, or raises one of the above. Cases about the server are asked once, others of every model."""

    name: str
    level: Level
    expected: str
    check: "Callable[[Target, Model], str]"
    about_server: bool = False
    asks: bool = True  # needs a request that the model answers: where everything is refused, a refusal says nothing
    under_load: bool = False  # keeps the server busy for a second or more: only when asked for


CASES: list[Case] = []


def model_case(
    name: str, level: Level, expected: str, asks: bool = True, under_load: bool = False
) -> "Callable[[Callable[[Target, Model], str]], Callable[[Target, Model], str]]":
    """Registers a case that is asked of every model."""

    def register(check: "Callable[[Target, Model], str]") -> "Callable[[Target, Model], str]":
        CASES.append(Case(name, level, expected, check, False, asks, under_load))
        return check

    return register


def server_case(
    name: str, level: Level, expected: str
) -> "Callable[[Callable[[Target], str]], Callable[[Target], str]]":
    """Registers a case that is asked once, whatever models there are."""

    def register(check: "Callable[[Target], str]") -> "Callable[[Target], str]":
        CASES.append(Case(name, level, expected, lambda target, _: check(target), True, False))
        return check

    return register
