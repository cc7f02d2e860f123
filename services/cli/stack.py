"""Which stack a command means, and where its parts are: `DIR/stack.env`, in which the environment's own variables win."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from services.cli.problem import Problem
from shared.settings import Settings

DEFAULT = Path(".tidemill")
PREFIX = "TIDEMILL_"

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
        """The settings with which a process of this stack would run."""
        known = {
            name: self.values[PREFIX + name.upper()]
            for name in Settings.model_fields
            if PREFIX + name.upper() in self.values
        }
        blobs = json.loads(known.pop("blobs", "{}"))
        return Settings.model_validate({**known, "blobs": blobs})

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


def env_file(data: Path) -> Path:
    return data / "stack.env"


def read(file: Path) -> dict[str, str]:
    """NAME=value, one a line; nothing if there is no such file.

    Raises:
        Problem: it cannot be read; its folder may be a file.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise Problem(
            f"{file.parent} is a file: --data names the folder of a local stack (`tidemill train` takes labelled data as --labels)"
        ) from error
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}") from error
    return dict(line.split("=", 1) for line in lines if "=" in line)


def write(file: Path, text: str) -> None:
    """Replaces the file at once: a reader sees the old text or the new one. Only its owner can read it, for it may hold passwords."""
    scratch = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as output:
        output.write(text)
    scratch.replace(file)
