"""The suite passes ours, passes another server that is right, and fails each fault in the cases that are about it."""

from fnmatch import fnmatch
from typing import Any

import numpy as np
import pytest

from protos import inference_pb2 as oip
from services.cli.conformance.case import Level, Outcome
from services.cli.conformance.run import Result, choose, run
from services.cli.conformance.target import Target, discover
from services.inference.tensors import TensorSpec
from tests.inference.identity import MODELS, NOT_SERVING, SERVING, Fault, Models, refuse_parameters, running_identity

KINDS = (
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES",
)  # fmt: skip
BY_KIND: Models = {kind.lower(): (TensorSpec("x", kind, (-1, 2) if kind != "BYTES" else (-1,)),) for kind in KINDS}


def judge(
    fault: Fault, models: Models = MODELS, only: tuple[str, ...] = (), load: bool = False, bare: bool = False
) -> list[Result]:
    with running_identity(fault, models, bare) as address, Target(address, deadline=10) as target:
        target.reach(10)
        return list(run(target, discover(target, list(models), {}), choose(list(Level), only, load)))


def failed(results: list[Result]) -> set[str]:
    return {each.case for each in results if each.outcome is Outcome.FAIL}


def explain(results: list[Result]) -> str:
    return "\n".join(f"{each.case} {each.model}: {each.seen}" for each in results if each.outcome is Outcome.FAIL)


def test_a_server_that_is_right_passes_every_datatype() -> None:
    """A server that is not ours, with a model for each datatype of the protocol."""
    results = judge(Fault(), BY_KIND)
    assert failed(results) == set(), explain(results)
    passed = {each.case for each in results if each.outcome is Outcome.PASS}
    assert {f"datatype.{kind}" for kind in KINDS} <= passed
    assert {f"datatype.wrong.{kind}" for kind in KINDS} <= passed
    assert {"datatype.nan", "datatype.range", "shape.fixed"} <= passed


def clear(*fields: str) -> Any:
    """Empties these fields of a message."""
    return lambda answer: [answer.ClearField(name) for name in fields]


def spoil_typed(request: oip.ModelInferRequest) -> None:
    """Reads typed contents as if they were others."""
    for tensor in request.inputs:
        for _, values in tensor.contents.ListFields():
            values[0] = (
                b"other" if isinstance(values[0], bytes) else (not values[0] if isinstance(values[0], bool) else 9)
            )


def reverse_rows(response: oip.ModelInferResponse) -> None:
    """Only of numbers in more than one row."""
    for at, output in enumerate(response.outputs):
        if output.datatype == "FP32" and output.shape[0] > 1:
            values = np.frombuffer(response.raw_output_contents[at], "<f4").reshape(tuple(output.shape))
            response.raw_output_contents[at] = values[::-1].tobytes()


def drift(response: oip.ModelInferResponse, seen: list[int] = []) -> None:  # noqa: B006 - it remembers
    """Answers another number each time."""
    seen.append(1)
    for at, output in enumerate(response.outputs):
        if output.datatype == "FP32":
            response.raw_output_contents[at] = np.full(tuple(output.shape), len(seen), "<f4").tobytes()


def mislabel(response: oip.ModelInferResponse) -> None:
    response.outputs[0].datatype = "INT64"


def reverse_outputs(response: oip.ModelInferResponse) -> None:
    pairs = sorted(zip(response.outputs, response.raw_output_contents, strict=True), key=lambda pair: pair[0].name)
    pairs = [
        (oip.ModelInferResponse.InferOutputTensor.FromString(each.SerializeToString()), raw) for each, raw in pairs
    ]
    response.ClearField("outputs")
    response.ClearField("raw_output_contents")
    for each, raw in pairs:
        response.outputs.append(each)
        response.raw_output_contents.append(raw)


def lose_rank(response: oip.ModelInferResponse) -> None:
    """One number instead of rows of them."""
    for at, output in enumerate(response.outputs):
        if output.datatype == "FP32" and output.shape[0] > 1:
            output.ClearField("shape")
            response.raw_output_contents[at] = response.raw_output_contents[at][:4]


def ignore_version(request: oip.ModelInferRequest) -> None:
    request.model_version = ""


def ignore_outputs(request: oip.ModelInferRequest) -> None:
    request.ClearField("outputs")


def refuse_nan(request: oip.ModelInferRequest) -> None:
    raw = b"".join(request.raw_input_contents)
    if np.array(np.nan, "<f4").tobytes() in raw:
        raise ValueError("not a number")


def reject_priority(request: oip.ModelInferRequest) -> None:
    if "priority" in request.parameters:
        raise ValueError("unknown")


def name_extensions(answer: oip.ServerMetadataResponse) -> None:
    answer.extensions.extend(["timeout", "priority"])


def forget_rows(answer: oip.ModelStatisticsResponse) -> None:
    answer.model_stats[0].inference_count = 0


def recall_every_row(answer: oip.ModelStatisticsResponse) -> None:
    """As of a cache that knew all of them: there was no pass."""
    found = answer.model_stats[0]
    found.inference_stats.cache_hit.count, found.inference_count, found.execution_count = found.inference_count, 0, 0
    found.ClearField("batch_stats")


def count_recalled_passes(answer: oip.ModelStatisticsResponse) -> None:
    """More than there were rows."""
    recall_every_row(answer)
    answer.model_stats[0].execution_count = answer.model_stats[0].inference_stats.cache_hit.count


FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "dead": (Fault(methods={"ServerLiveResponse": clear("live")}), ("server.live",)),
    "unready": (Fault(methods={"ServerReadyResponse": clear("ready")}), ("server.ready",)),
    "nameless": (Fault(methods={"ServerMetadataResponse": clear("name")}), ("server.metadata",)),
    "unhealthy": (Fault(health=lambda name: SERVING if name else NOT_SERVING), ("server.health",)),
    "unhealthy models": (Fault(health=lambda name: NOT_SERVING if name else SERVING), ("model.health",)),
    "knows everyone": (Fault(knows_everyone=True), ("server.health.unknown", "model.metadata.unknown", "statistics.unknown")),
    "no model ready": (Fault(methods={"ModelReadyResponse": clear("ready")}), ("model.ready",)),
    "every model ready": (
        Fault(methods={"ModelReadyResponse": lambda answer: setattr(answer, "ready", True)}), ("model.ready.unknown",)
    ),
    "nameless metadata": (Fault(methods={"ModelMetadataResponse": clear("name")}), ("model.metadata",)),
    "empty index": (Fault(methods={"RepositoryIndexResponse": clear("models")}), ("model.index",)),
    "one version": (Fault(request=ignore_version), ("model.versions", "infer.version.unknown")),
    "any model": (
        Fault(lenient=("MODEL_NOT_FOUND",)),
        ("infer.model.unknown", "infer.model.hostile", "infer.version.unknown", "stream.error"),
    ),
    "forgets ids": (Fault(response=clear("id")), ("infer.id", "calls.concurrent", "stream.answers")),
    "forgets names": (Fault(response=clear("model_name")), ("infer.names",)),
    "mislabels": (Fault(response=mislabel), ("infer.answer",)),
    "drifts": (Fault(response=drift), ("infer.repeat",)),
    "reverses rows": (Fault(response=reverse_rows), ("infer.rows",)),
    "loses the rank of rows": (Fault(response=lose_rank), ("infer.rows",)),
    "metadata without outputs": (Fault(methods={"ModelMetadataResponse": clear("outputs")}), ("infer.answer", "model.metadata")),
    "metadata without inputs": (Fault(methods={"ModelMetadataResponse": clear("inputs")}), ("infer.answer", "model.metadata")),
    "refuses parameters": (Fault(request=refuse_parameters), ("infer.parameters",)),
    "small messages": (Fault(limit=4 << 20), ("infer.large",)),
    "misreads typed contents": (Fault(request=spoil_typed), ("datatype.BYTES", "datatype.FP32", "datatype.UINT8")),
    "any datatype": (Fault(lenient=("DATATYPE_WRONG",)), ("datatype.wrong.*", "datatype.unknown")),
    "any value": (Fault(lenient=("VALUE_OUT_OF_RANGE",)), ("datatype.range",)),
    "dies of NaN": (Fault(request=refuse_nan), ("datatype.nan",)),
    "all outputs": (Fault(request=ignore_outputs), ("outputs.subset", "outputs.order", "outputs.unknown")),
    "outputs by name": (Fault(response=reverse_outputs), ("outputs.order",)),
    "missing inputs": (Fault(lenient=("INPUT_MISSING",)), ("inputs.none", "statistics.reconcile")),
    "dies of missing inputs": (Fault(crash=("INPUT_MISSING",)), ("inputs.none", "inputs.missing")),
    "unknown inputs": (Fault(lenient=("INPUT_UNKNOWN",)), ("inputs.unknown",)),
    "inputs twice": (Fault(lenient=("INPUT_TWICE",)), ("inputs.twice",)),
    "any shape": (Fault(lenient=("SHAPE_WRONG",)), ("shape.rank", "shape.fixed")),
    "any rows": (
        Fault(lenient=("ROWS_OUT_OF_RANGE",)), ("shape.negative", "shape.huge", "rows.zero", "rows.many")
    ),
    "rows differ": (Fault(lenient=("ROWS_DIFFER",)), ("rows.differ",)),
    "mixed contents": (Fault(lenient=("CONTENTS_MIXED",)), ("contents.mixed",)),
    "any contents": (
        Fault(lenient=("CONTENTS_MISMATCH",)),
        (
            "contents.none", "contents.raw.*", "contents.typed.*", "contents.bytes.*", "contents.mixed",
        ),
    ),
    "dies of contents": (
        Fault(crash=("CONTENTS_MISMATCH",)),
        (
            "contents.none", "contents.raw.*", "contents.typed.*", "contents.bytes.*", "contents.mixed",
        ),
    ),
    "no priority": (Fault(request=reject_priority), ("calls.priority",)),
    "no timeout": (Fault(methods={"ServerMetadataResponse": name_extensions}), ("calls.timeout",)),
    "loses answers of streams": (Fault(stream=lambda answers: answers[:-1]), ("stream.*",)),
    "ends streams": (Fault(stream_ends=True), ("stream.error",)),
    "still statistics": (Fault(methods={"ModelStatisticsResponse": forget_rows}), ("statistics.reconcile",)),
    "passes without rows": (Fault(methods={"ModelStatisticsResponse": count_recalled_passes}), ("statistics.reconcile",)),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_cases_and_no_others(name: str) -> None:
    """A case that cannot fail says nothing; one that fails for another's fault misleads."""
    fault, patterns = FAULTS[name]
    results = judge(fault)
    applicable = {each.case for each in results if each.outcome is not Outcome.INAPPLICABLE}
    expected = {case for case in applicable if any(fnmatch(case, pattern) for pattern in patterns)}
    assert expected
    assert failed(results) == expected, explain(results)


def test_a_cache_that_knew_every_row_is_no_fault() -> None:
    """No row was computed, and no pass was made."""
    results = judge(Fault(methods={"ModelStatisticsResponse": recall_every_row}), only=("statistics.reconcile",))
    assert {each.outcome for each in results if each.case == "statistics.reconcile"} == {Outcome.PASS}, explain(results)


LASTING: dict[str, tuple[Fault, Models, tuple[str, ...], bool]] = {
    "falls over": (Fault(harm=("INPUT_MISSING",)), MODELS, ("inputs.none",), False),
    "dies of deadlines": (Fault(left=True, slowness=0.005), MODELS, ("calls.deadline",), False),
    "dies of cancelled calls": (Fault(left=True, slowness=0.005), MODELS, ("calls.cancel",), False),
    "one after another": (
        Fault(slowness=0.03, methods={"ServerMetadataResponse": name_extensions}), MODELS, ("load.priority", "load.expired"), True
    ),
    "breaks when full": (Fault(slowness=0.03, most=8), MODELS, ("load.full",), True),
    "misreads every typed datatype": (
        Fault(request=spoil_typed), BY_KIND, tuple(f"datatype.{kind}" for kind in KINDS if kind not in {"FP16", "BF16"}), False
    ),
    "typed halves": (Fault(lenient=("CONTENTS_MISMATCH",)), BY_KIND, ("datatype.FP16", "datatype.BF16"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_fault_fails_each_of_its_cases(name: str) -> None:
    """Each case alone: after such a fault nothing else would be answered."""
    fault, models, cases, load = LASTING[name]
    for case in cases:
        results = [each for each in judge(fault, models, (case,), load) if each.case == case]
        assert failed(results) == {case}, [each.seen for each in results]


def test_every_case_is_failed_by_some_fault() -> None:
    """The two tests above leave out no case."""
    patterns = [pattern for _, cases in FAULTS.values() for pattern in cases]
    patterns += [case for _, _, cases, _ in LASTING.values() for case in cases]
    names = [each.name for each in choose(list(Level), (), True)]
    assert [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert len(set(names)) == len(names)


def test_a_wrong_status_binds_less_than_no_refusal() -> None:
    """The protocol asks for a status that is not OK; INVALID_ARGUMENT is common usage."""
    crashing = judge(Fault(crash=("CONTENTS_MISMATCH",)), only=("contents.raw.long",))
    lenient = judge(Fault(lenient=("CONTENTS_MISMATCH",)), only=("contents.raw.long",))
    assert {each.level for each in crashing} == {Level.COMMON}
    assert {each.level for each in lenient} == {Level.REQUIRED}


def test_extensions_that_are_not_there_do_not_fail() -> None:
    """A server of the protocol's six methods alone."""
    results = judge(Fault(), bare=True)
    assert failed(results) == set(), explain(results)
    outcomes = {each.case: each.outcome for each in results}
    for case in ("model.index", "server.health", "stream.answers", "statistics.reconcile"):
        assert outcomes[case] is Outcome.INAPPLICABLE
