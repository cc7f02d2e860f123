"""`tidemill train`."""

import os
import subprocess
import sys

import typer

from services.cli.argument import DomainName, contract_of
from services.cli.needs import stack_with
from services.cli.stack import DEFAULT, Data, Stack


def train(
    context: typer.Context,
    domain: DomainName,
    with_feedback: bool = typer.Option(False, "--with-feedback", help="Learn from people's corrections too."),
    data: Data = DEFAULT,
) -> None:
    """Train a domain's model anew, and let the gate decide whether it goes live.

    Runs `python -m services.training train DOMAIN` with the stack's environment;
    further options are that program's (see them with `-- --help`). Exit status
    and output are its own.

      tidemill train intent --with-feedback
      tidemill train risk --with-feedback --approver ada
    """
    contract_of(domain)
    stack = stack_with(data, "postgres", "models")
    arguments = [domain, *(["--with-feedback"] if with_feedback else []), *context.args]
    raise typer.Exit(training(stack, "train", *arguments).wait())


def training(stack: Stack, *arguments: str, stdout: int | None = None) -> "subprocess.Popen[str]":
    """The training program as a child process, in the stack's environment.

    Args:
        stdout: as `subprocess.Popen` takes it; stderr goes the same way where it is a pipe.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "services.training", *arguments],
        env={**os.environ, **stack.values},
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout is not None else None,
        text=True,
    )
