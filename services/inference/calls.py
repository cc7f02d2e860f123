"""What a call brings besides its tensors: a deadline, a priority, a name."""

import time
from collections.abc import Sequence
from typing import Any

from protos import inference_pb2 as oip
from services.inference.engine import Call
from services.inference.refusal import invalid
from services.inference.served import Served
from services.inference.tensors import TensorSpec
from services.inference.units import DEFAULT_PRIORITY, LOWEST_PRIORITY
from shared.settings import Settings

CALLER = "tidemill-caller"
MAX_CALLER = 64
Context = Any  # grpc.aio.ServicerContext, untyped


def read_call(
    request: oip.ModelInferRequest,
    context: Context,
    served: Served,
    settings: Settings,
    outputs: Sequence[TensorSpec] = (),
) -> Call:
    """The deadline is the caller's, or a default; a request may cut it shorter with `timeout` (microseconds, as in Triton).

    Raises:
        Refusal: INVALID_ARGUMENT: a parameter is out of range.
    """
    remaining = context.time_remaining()
    seconds = settings.call_timeout if remaining is None else min(remaining, settings.call_timeout_max)
    if timeout := _whole_number(request, "timeout"):
        seconds = min(seconds, timeout / 1e6)
    priority = _whole_number(request, "priority") or DEFAULT_PRIORITY
    if priority > LOWEST_PRIORITY:
        detail = f"1 (most urgent) to {LOWEST_PRIORITY}; 0 stands for {DEFAULT_PRIORITY}"
        raise invalid("PRIORITY_OUT_OF_RANGE", "parameters[priority]", detail)
    asked = frozenset(spec.name for spec in outputs if spec.optional)
    head = request.parameters["head"].string_param if "head" in request.parameters else find_explained(request, served)
    return Call(time.monotonic() + seconds, read_caller(context), priority, served, asked, head)


def find_explained(request: oip.ModelInferRequest, served: Served) -> str:
    """The head whose answer is to be explained if there is one, by the parameter `explain`; empty: none."""
    head = request.parameters["explain"].string_param if "explain" in request.parameters else ""
    known = {spec.name for spec in served.outputs}
    return head if f"{head}.probabilities" in known else ""


def _whole_number(request: oip.ModelInferRequest, name: str) -> int:
    if name not in request.parameters:
        return 0
    parameter = request.parameters[name]
    value = parameter.uint64_param or parameter.int64_param
    if value < 0:
        raise invalid("PARAMETER_OUT_OF_RANGE", f"parameters[{name}]", "it must not be negative")
    return value


def read_caller(context: Context) -> str:
    """The caller's own name, else its host."""
    for key, value in context.invocation_metadata() or ():
        if key == CALLER:
            return str(value)[:MAX_CALLER]
    return str(context.peer() or "").rpartition(":")[0]
