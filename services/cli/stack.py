"""Which stack a command means, and where its parts are: `DIR/stack.env`, in which the environment's own variables win."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer
from pydantic import ValidationError

from services.cli.problem import Problem
from shared.settings import Settings, explain

DEFAULT = Path(".tidemill")
PREFIX = "TIDEMILL_"
_OBJECTS = tuple(name for name, field in Settings.model_fields.items() if get_origin(field.annotation) is dict)

# The option that every command of a stack takes.
Data = Annotated[
    Path,
    typer.Option("--data", envvar="TIDEMILL_DATA", metavar="DIR", help="Folder of the local stack.", show_default=True),
]


@dataclass(frozen=True)
class Stack:
    """A stack's addresses by name: ``TIDEMILL_KAFKA`` and so on. Made by `open_stack`."""

    data: Path
    values: Mapping[str, str]

    @cached_property
    def settings(self) -> Settings:
        """The settings with which a process of this stack would run.

        Raises:
            Problem: a variable has a value that no process would take.
        """
        known = {
            name: self.values[PREFIX + name.upper()]
            for name in Settings.model_fields
            if PREFIX + name.upper() in self.values
        }
        given = {name: read_object(PREFIX + name.upper(), known[name]) for name in _OBJECTS if name in known}
        try:
            return Settings.model_validate({**known, **given})
        except ValidationError as error:
            raise Problem(explain(error)) from error

    def address(self, name: str) -> str:
        """``host:port`` of a gRPC service: a domain, ``inference`` or ``feedback``.

        Raises:
            Problem: neither stack.env nor the environment names it.
        """
        variable = PREFIX + name.upper()
        if variable not in self.values:
            raise Problem(
                f"where is {name}? Start the stack with `tidemill up --data {self.data}`, or set {variable}=HOST:PORT"
            )
        return self.values[variable]


def open_stack(data: Path = DEFAULT) -> Stack:
    """The stack of folder `data`, running or not; without one, what the environment names."""
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return Stack(data, {**read(env_file(data)), **own})


def read_object(variable: str, value: str) -> dict[str, Any]:
    """What a variable says that holds JSON by name.

    Raises:
        Problem: it does not hold that.
    """
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Problem(f'{variable} must be JSON like {{"name": ...}}, not {value!r}')
    return found


def env_file(data: Path) -> Path:
    return data / "stack.env"


def read(file: Path) -> dict[str, str]:
    """NAME=value, one a line, as `lines` makes them; nothing if there is no such file.

    Raises:
        Problem: it cannot be read; its folder may be a file.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise Problem(
            f"{file.parent} is a file: --data names the folder of a local stack (`tidemill train` takes labelled data as --labels)"
        ) from error
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}") from error
    pairs = (line.split("=", 1) for line in text.split("\n") if "=" in line)
    return {name: shlex.split(value)[0] if value.startswith("'") else value for name, value in pairs}


def lines(values: Mapping[str, str]) -> str:
    """NAME=value, one a line, as `read` and a shell's `.` take it: quoted where a shell would not take a value as it is.

    Raises:
        Problem: a value has a line break, which whoever reads line by line would cut.
    """
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            raise Problem(f"{name} has a line break in it, and stack.env has one value a line: {value!r}")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))


def write(file: Path, text: str) -> None:
    """Replaces the file at once: a reader sees the old text or the new one. Only its owner can read it, for it may hold passwords."""
    scratch = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as output:
        output.write(text)
    scratch.replace(file)
