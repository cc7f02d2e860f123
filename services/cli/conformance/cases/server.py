"""Is somebody there, and who."""

import grpc
from grpc_health.v1 import health_pb2

from protos import inference_pb2 as oip
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case, server_case
from services.cli.conformance.cases.refusals import judge
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOBODY = "no-such-service"


@server_case("server.live", Level.REQUIRED, "live")
def check_live(target: Target) -> str:
    if not target.stub.ServerLive(oip.ServerLiveRequest(), timeout=target.deadline).live:
        raise Failed("not live, but it answers")
    return "live"


@server_case("server.ready", Level.REQUIRED, "ready")
def check_ready(target: Target) -> str:
    if not target.stub.ServerReady(oip.ServerReadyRequest(), timeout=target.deadline).ready:
        raise Failed("not ready")
    return "ready"


@server_case("server.metadata", Level.REQUIRED, "a name and a version")
def check_metadata(target: Target) -> str:
    found = target.stub.ServerMetadata(oip.ServerMetadataRequest(), timeout=target.deadline)
    if not found.name or not found.version:
        raise Failed(f"name {found.name!r}, version {found.version!r}")
    return f"{found.name} {found.version}"


@server_case("server.health", Level.COMMON, "grpc.health.v1 says SERVING")
def check_health(target: Target) -> str:
    return _ask_health(target, "")


@server_case("server.health.unknown", Level.COMMON, "grpc.health.v1 says NOT_FOUND of a service that is not there")
def check_health_of_nobody(target: Target) -> str:
    try:
        _ask_health(target, _NOBODY)
    except grpc.RpcError as error:
        return judge(error, grpc.StatusCode.NOT_FOUND)
    raise Failed("it is said to serve")


@model_case("model.health", Level.EXTENSION, "grpc.health.v1 says SERVING of the model's name", asks=False)
def check_health_of_model(target: Target, model: Model) -> str:
    try:
        return _ask_health(target, model.name)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise Inapplicable("health is not told by model") from error
        raise


def _ask_health(target: Target, service: str) -> str:
    try:
        answer = target.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=target.deadline)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            raise Inapplicable("the server has no grpc.health.v1") from error
        raise
    said: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if answer.status != _SERVING:
        raise Failed(said)
    return said
