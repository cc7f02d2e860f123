"""Every command that the documents tell a person to type exists, with the options that they name."""

import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import typer

from services.cli.__main__ import app
from services.training.__main__ import app as training
from shared import heads

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def lines(document: str) -> list[str]:
    """What stands in shell blocks, without comments, and between single backquotes."""
    text = (ROOT / document).read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    typed = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [*typed, *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)]


COMMANDS = sorted(
    {each[each.index("tidemill ") :] for name in DOCUMENTS for each in lines(name) if "tidemill " in each}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_documented_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed, not run; what `train` passes on is parsed by the training program."""
    monkeypatch.setitem(cast(dict[str, Any], heads.NEEDED), "spam", {"spam": ()})  # the domain of the walk-through
    name, *arguments = shlex.split(line)[1:]
    context = command(app, name).make_context(name, arguments)
    if name == "train":
        command(training, name).make_context(name, [context.params["domain"], *context.args])
    else:
        assert not context.args


def command(program: typer.Typer, name: str) -> Any:
    group = typer.main.get_group(program)
    found = group.get_command(typer.Context(group), name)
    assert found is not None, f"there is no command {name!r}"
    return found


def test_a_documented_make_target_exists() -> None:
    """`make X` for each X that is named."""
    named = {line.split()[1] for name in DOCUMENTS for line in lines(name) if line.startswith("make ")}
    assert named >= {"setup", "check", "test", "demo"}
    assert named <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
