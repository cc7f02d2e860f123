"""Arguments that several commands share."""

from typing import Annotated

import typer

from services.cli.contract import Contract, contracts
from services.cli.problem import Problem


def _complete(incomplete: str) -> list[str]:
    return [name for name in contracts() if name.startswith(incomplete)]


DomainName = Annotated[
    str, typer.Argument(metavar="DOMAIN", help=f"One of: {', '.join(contracts())}.", autocompletion=_complete)
]
Deadline = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Give up after so long.")]
Address = Annotated[str, typer.Option(metavar="HOST:PORT", help="Of the service, where it is not the stack's.")]
Reply = Annotated[bool, typer.Option("--json", help="The whole reply in JSON.")]


def contract_of(domain: str) -> Contract:
    """The contract of a domain that a person named.

    Raises:
        Problem: there is no such domain.
    """
    if domain not in contracts():
        raise Problem(f"there is no domain {domain!r}; the domains are {', '.join(contracts())}")
    return contracts()[domain]
