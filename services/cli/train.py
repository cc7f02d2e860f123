"""`tidemill train`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.argument import DomainName, contract_of
from services.cli.needs import stack_with
from services.cli.stack import DEFAULT, Data, Stack


def train(
    context: typer.Context,
    domain: DomainName,
    with_feedback: Annotated[
        bool, typer.Option("--with-feedback", help="Learn from people's judgements, too.")
    ] = False,
    approver: Annotated[str, typer.Option(help="Who answers for the promotion, and for labels that are new.")] = "",
    labels: Annotated[
        Path | None, typer.Option(help="Labelled data instead of the starter set: a file or folder.")
    ] = None,
    data: Data = DEFAULT,
) -> None:
    """Train a domain's model anew, and let the gate decide whether it goes live.

    Runs `python -m services.training train DOMAIN` with the stack's environment,
    where `python -m services.training train --help` explains more options: they
    are passed on. Exit status 0: promoted; 3: trained, and refused by the gate;
    1: nothing was trained.

      tidemill train intent --with-feedback --approver ada
      tidemill train intent --labels banking77/train.csv --encoder minilm --approver ada
      tidemill train risk --method lora --epochs 3
    """
    contract_of(domain)
    stack = stack_with(data, "postgres", "models")
    options = {"--approver": approver, "--data": str(labels) if labels else ""}
    given = [word for option, value in options.items() if value for word in (option, value)]
    with training(
        stack, "train", domain, *(["--with-feedback"] if with_feedback else []), *given, *context.args
    ) as job:
        raise typer.Exit(job.wait())


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
