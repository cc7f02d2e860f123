"""Where each command is. Its module is imported when the command is named: a container's health check must not load everything."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

# command -> module.function of this package, in the order of `tidemill --help`
COMMANDS = {
    "up": "up.up",
    "down": "down.down",
    "status": "status.status",
    "watch": "watch.watch",
    "demo": "demo.command.demo",
    "send": "send.send",
    "tail": "tail.tail",
    "ask": "ask.ask",
    "feedback": "feedback.feedback",
    "train": "train.train",
    "models": "models.models",
    "conformance": "conformance.command.conformance",
    "rebuild-redis": "rebuild.rebuild_redis",
    "provision": "provision.provision",
    "health": "health.health",
}
_PASSES_ON = {"train"}  # options that are not its own go to the program that it runs


class Commands(TyperGroup):
    """The commands as click asks for them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].rpartition(".")
        function = getattr(importlib.import_module(f"services.cli.{module}"), name)
        settings = {"allow_extra_args": True, "ignore_unknown_options": True} if cmd_name in _PASSES_ON else {}
        alone = typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_show_locals=False)
        alone.command(cmd_name, context_settings=settings)(function)
        return typer.main.get_command(alone)
