"""A stack that has what a command needs, or a word on how to get one."""

from pathlib import Path

from services.cli.problem import Problem
from services.cli.stack import PREFIX, Stack, env_file, open_stack


def stack_with(data: Path, *parts: str) -> Stack:
    """The stack of folder `data`, or the one that the environment names.

    Args:
        parts: what must be known of it: ``kafka``, ``postgres``, ``redis``, ``inference``, ``feedback`` or a domain.

    Raises:
        Problem: one of them is not known.
    """
    stack = open_stack(data)
    missing = [PREFIX + part.upper() for part in parts if PREFIX + part.upper() not in stack.values]
    if missing and not env_file(data).exists():
        raise Problem(f"no stack at {data}: run `tidemill up`, or set {', '.join(missing)}")
    if missing:
        raise Problem(f"{env_file(data)} does not say {', '.join(missing)}: run `tidemill up` again, or set it")
    return stack
