"""What is said of models, those that are there and those that are not."""

import grpc

from protos import inference_pb2 as oip
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case, server_case
from services.cli.conformance.cases.refusals import expect_refusal, judge
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target
from shared.inference.datatypes import DATATYPES

UNKNOWN = "no-such-model"
NO_VERSION = "999999999"
_NOT_FOUND = grpc.StatusCode.NOT_FOUND


@model_case("model.ready", Level.REQUIRED, "ready", asks=False)
def check_ready(target: Target, model: Model) -> str:
    if not target.stub.ModelReady(oip.ModelReadyRequest(name=model.name), timeout=target.deadline).ready:
        raise Failed("not ready")
    return "ready"


@server_case("model.ready.unknown", Level.REQUIRED, "not ready, or NOT_FOUND")
def check_unknown_is_not_ready(target: Target) -> str:
    try:
        ready = target.stub.ModelReady(oip.ModelReadyRequest(name=UNKNOWN), timeout=target.deadline).ready
    except grpc.RpcError as error:
        return judge(error, _NOT_FOUND)
    if ready:
        raise Failed("ready")
    return "not ready"


@model_case("model.metadata", Level.REQUIRED, "its name; inputs and outputs with datatypes of the protocol", asks=False)
def check_metadata(target: Target, model: Model) -> str:
    found = model.metadata
    if found.name != model.name:
        raise Failed(f"the name is {found.name!r}")
    if not found.inputs or not found.outputs:
        raise Failed(f"{len(found.inputs)} inputs, {len(found.outputs)} outputs")
    for tensors in (found.inputs, found.outputs):
        if len({each.name for each in tensors}) != len(tensors):
            raise Failed("a name is there twice")
        for each in tensors:
            if each.datatype not in DATATYPES or any(size < -1 for size in each.shape):
                raise Failed(f"{each.name}: {each.datatype!r} {list(each.shape)}")
    return f"{len(found.inputs)} inputs, {len(found.outputs)} outputs"


@server_case("model.metadata.unknown", Level.REQUIRED, "NOT_FOUND")
def check_metadata_of_unknown(target: Target) -> str:
    try:
        target.stub.ModelMetadata(oip.ModelMetadataRequest(name=UNKNOWN), timeout=target.deadline)
    except grpc.RpcError as error:
        return judge(error, _NOT_FOUND)
    raise Failed("there is metadata")


@model_case("model.index", Level.EXTENSION, "RepositoryIndex lists the model as READY", asks=False)
def check_index(target: Target, model: Model) -> str:
    index = target.optional("RepositoryIndex", oip.RepositoryIndexRequest())
    states = [each.state for each in index.models if each.name == model.name]
    if "READY" not in states:
        raise Failed(f"states: {', '.join(states) or 'none'}")
    return "READY"


@model_case("model.versions", Level.REQUIRED, "each version of the metadata answers, as itself")
def check_versions(target: Target, model: Model) -> str:
    if not model.metadata.versions:
        raise Inapplicable("the metadata names no versions")
    for version in model.metadata.versions:
        request = model.request()
        request.model_version = version
        answered = target.infer(request).model_version
        if answered != version:
            raise Failed(f"version {version} was asked, {answered!r} answered")
    return ", ".join(model.metadata.versions)


@model_case("infer.model.unknown", Level.REQUIRED, "NOT_FOUND")
def check_infer_of_unknown(target: Target, model: Model) -> str:
    request = model.request()
    request.model_name = UNKNOWN
    return expect_refusal(target, request, _NOT_FOUND)


@model_case(
    "infer.model.hostile",
    Level.REQUIRED,
    "NOT_FOUND or INVALID_ARGUMENT for a name that is a path, empty or 64 KiB long",
)
def check_hostile_names(target: Target, model: Model) -> str:
    seen = set()
    for name in ("../../../etc/passwd", "", "m" * 65_536, "\x00\n"):
        request = model.request()
        request.model_name = name
        seen.add(expect_refusal(target, request, _NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT))
    return ", ".join(sorted(seen))


@model_case("infer.version.unknown", Level.REQUIRED, "NOT_FOUND")
def check_unknown_version(target: Target, model: Model) -> str:
    request = model.request()
    request.model_version = NO_VERSION
    return expect_refusal(target, request, _NOT_FOUND)
