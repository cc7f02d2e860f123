"""ModelStatistics, Triton's extension: the figures must be those of the calls. Nobody else may use the server meanwhile."""

import contextlib
from collections import Counter

import grpc

from protos import inference_pb2 as oip
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.metadata import UNKNOWN
from services.cli.conformance.cases.refusals import judge
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target

_CALLS, _ROWS, _BAD = 7, 3, 2


def count(target: Target, model: Model) -> "Counter[str]":
    """The counters of all versions of a model.

    Raises:
        Inapplicable: the server has none.
    """
    found = target.optional("ModelStatistics", oip.ModelStatisticsRequest(name=model.name))
    if not found.model_stats:
        raise Inapplicable("no statistics of this model")
    counted: Counter[str] = Counter()
    for each in found.model_stats:
        stats = each.inference_stats
        counted.update(
            success=stats.success.count,
            fail=stats.fail.count,
            hits=stats.cache_hit.count,
            rows=each.inference_count,
            passes=each.execution_count,
            passed=sum(batch.batch_size * batch.compute_infer.count for batch in each.batch_stats),
        )
    return counted


@model_case(
    "statistics.reconcile", Level.EXTENSION, "successes, rows and passes grow by what was called; failures by no more"
)
def check_reconcile(target: Target, model: Model) -> str:
    rows = min(model.rows_within(_ROWS), _ROWS)
    before = count(target, model)
    for _ in range(_CALLS):
        target.infer(model.new(rows))
    for _ in range(_BAD):
        with contextlib.suppress(grpc.RpcError):
            target.infer(model.request([]))
    grown = count(target, model)
    grown.subtract(before)
    every, hits = rows * _CALLS, grown["hits"]
    fits = (
        grown["success"] == _CALLS
        and 0 <= grown["fail"] <= _BAD
        and grown["rows"]
        in {every, every - hits, every - rows * hits}  # what a cache knew may count, by rows or by calls
        and min(grown["rows"], 1)
        <= grown["passes"]
        <= grown["rows"]  # a call may be divided, but no pass is without a row
        and grown["passed"] in ({grown["rows"]} if before["passed"] else {grown["rows"], 0})
    )
    seen = ", ".join(f"{name} {grown[name]}" for name in ("success", "fail", "rows", "passes", "passed", "hits"))
    if not fits:
        raise Failed(f"{seen}; {_CALLS} calls of {rows} rows, {_BAD} bad ones")
    return seen


@model_case("statistics.unknown", Level.EXTENSION, "NOT_FOUND")
def check_unknown(target: Target, model: Model) -> str:
    count(target, model)
    try:
        target.stub.ModelStatistics(oip.ModelStatisticsRequest(name=UNKNOWN), timeout=target.deadline)
    except grpc.RpcError as error:
        return judge(error, grpc.StatusCode.NOT_FOUND)
    raise Failed("there are statistics")
