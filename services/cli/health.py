"""Whether a gRPC server serves, by grpc.health.v1."""

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.broker import refused
from services.cli.problem import Problem

# Without a pool of its own, a server that was down is asked again only after gRPC's backoff.
_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


def probe(address: str, within: float = 1) -> str:
    """What is missing at ``host:port``; nothing if it serves."""
    if refused(address, within):
        return "it does not listen yet"
    with grpc.insecure_channel(address, _OPTIONS) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=within)
        except grpc.RpcError as error:
            return f"{address} does not answer ({error.code().name})"
    status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else f"it says {status}"


def health(address: str = typer.Argument(help="HOST:PORT of any Tidemill process.")) -> None:
    """Ask one process whether it serves (grpc.health.v1); the exit status tells, for container health checks.

    Example:  [bold]tidemill health 127.0.0.1:50051[/bold]
    """
    if missing := probe(address, within=3):
        raise Problem(f"{address} does not serve: {missing}")
    typer.echo("SERVING")
