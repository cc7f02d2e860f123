"""Arguments that several commands share."""

from typing import Annotated

import typer

from services.cli.contract import Contract, contracts
from services.cli.problem import Problem
from shared.heads import explainable


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


def head_of(contract: Contract, named: str, option: str) -> str:
    """The head to be explained: the one that a person named by this option, else the domain's first.

    Raises:
        BadParameter: the domain does not explain it.
    """
    known = explainable(contract.name) if "explain" in contract.call.DESCRIPTOR.fields_by_name else ()
    if not known:
        raise typer.BadParameter(f"{contract.name} explains none of its answers", param_hint=option)
    if named and named not in known:
        heads = ", ".join(known)
        raise typer.BadParameter(f"{contract.name} explains {heads}; {named!r} is none of them", param_hint=option)
    return named or known[0]
