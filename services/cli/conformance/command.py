"""`tidemill conformance`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console

from protos import inference_pb2 as oip
from services.cli.conformance import report
from services.cli.conformance.case import Level
from services.cli.conformance.model import read_given
from services.cli.conformance.run import Result, choose, run
from services.cli.conformance.target import Target, discover
from services.cli.conformance.tensor import Tensor
from services.cli.problem import Problem

_REACH = 10.0  # seconds


def conformance(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="A gRPC server of the protocol.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Ask this model; may repeat. Else all that RepositoryIndex lists.")
    ] = None,
    request: Annotated[
        list[Path] | None,
        typer.Option(help="A ModelInferRequest as JSON that its model answers, where none can be guessed; may repeat."),
    ] = None,
    level: Annotated[
        list[Level] | None, typer.Option(help="Only cases that bind so; may repeat. Else all three.")
    ] = None,
    case: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only cases whose names begin so; may repeat.")
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Also what shows under load: keeps the server busy for some seconds.")
    ] = False,
    deadline: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Of each call.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Every result, of every model, in JSON.")] = False,
) -> None:
    """Test any Open Inference Protocol (KServe V2) server over gRPC.

    Models' tensors are read from ModelMetadata, requests made from them, well
    formed and not. Exit status 1 if a case fails. How a case binds:

    [bold]required[/]   the protocol's public definition says so
    [bold]common[/]     it leaves this open, but clients rely on it: status codes, health
    [bold]extension[/]  Triton's: RepositoryIndex, ModelStatistics, ModelStreamInfer

    A server without an extension does not fail: its cases are not applicable.
    Nobody else should use the server meanwhile: its statistics are compared.

      tidemill conformance 127.0.0.1:8001
      tidemill conformance triton:8001 --model resnet --level required
      tidemill conformance 127.0.0.1:8001 --case contents --case shape --json
    """
    given = dict(_read(path) for path in request or [])
    names = [*(model or []), *(name for name in given if name not in (model or []))]
    with Target(address, deadline) as target:
        target.reach(_REACH)
        models = discover(target, names, given)
        chosen = choose(level or list(Level), case or [], load)
        if not chosen:
            raise Problem(f"no case begins with {', '.join(case or [])}")
        with Console(stderr=True).status("") as status:
            results = list(run(target, models, chosen, status.update))
    _print(address, [each.name for each in models], results, as_json)
    if report.failures(results):
        raise typer.Exit(1)


def _read(path: Path) -> tuple[str, tuple[Tensor, ...]]:
    """(model, its tensors).

    Raises:
        Problem: the file is no such request.
    """
    try:
        request = json_format.Parse(path.read_bytes(), oip.ModelInferRequest())
        return request.model_name, read_given(request)
    except (OSError, ValueError, OverflowError, json_format.ParseError) as error:
        raise Problem(f"{path} is no ModelInferRequest: {error}") from error


def _print(address: str, models: Sequence[str], results: Sequence[Result], as_json: bool) -> None:
    if as_json:
        typer.echo(report.record(address, models, results))
        return
    console = Console()
    console.print(report.table(results, models))
    console.print(f"{address}, {', '.join(models)}: {report.summary(results)}", highlight=False)
