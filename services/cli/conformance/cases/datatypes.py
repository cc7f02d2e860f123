"""Every datatype, where a model takes it and where it does not."""

from collections.abc import Callable

import numpy as np

from services.cli.conformance.answer import differ
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.refusals import expect_answer_or_refusal, expect_refusal
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target
from services.cli.conformance.tensor import FLOATS, make
from shared.inference.datatypes import DATATYPES

_TYPED = "raw and typed contents have the same answer"
_UNTYPED = "raw contents are answered; typed ones, which it does not have, INVALID_ARGUMENT"
_NARROW = {"INT8": 1_000, "INT16": 100_000, "UINT8": 1_000, "UINT16": 100_000}  # a typed value that does not fit


def _taken(datatype: str) -> Callable[[Target, Model], str]:
    def check(target: Target, model: Model) -> str:
        """16-bit floats have no typed contents: those of 32 bits are not theirs."""
        tensors = model.tensors()
        at = next((at for at, each in enumerate(tensors) if each.datatype == datatype), None)
        if at is None:
            raise Inapplicable("no input has this datatype")
        raw = target.answer(model.request())
        if not DATATYPES[datatype].field:
            request = model.request(tensors)
            request.ClearField("raw_input_contents")
            request.inputs[at].contents.fp32_contents.extend([0.0] * len(tensors[at].values))
            return f"raw; typed: {expect_refusal(target, request)}"
        typed = target.answer(model.request(typed=True))
        if model.steady and (name := differ(raw, typed)):
            raise Failed(f"{name} differs between raw and typed contents")
        return "raw and typed"

    return check


def _refused(datatype: str) -> Callable[[Target, Model], str]:
    def check(target: Target, model: Model) -> str:
        """Contents are right for the datatype that is claimed: only the metadata says that it is wrong."""
        first, *others = model.tensors()
        if first.datatype == datatype:
            raise Inapplicable("the first input has this datatype")
        return expect_refusal(target, model.request([make(first.name, datatype, first.shape), *others]))

    return check


for _datatype in DATATYPES:
    model_case(f"datatype.{_datatype}", Level.REQUIRED, _TYPED if DATATYPES[_datatype].field else _UNTYPED)(
        _taken(_datatype)
    )
for _datatype in DATATYPES:
    model_case(f"datatype.wrong.{_datatype}", Level.COMMON, "INVALID_ARGUMENT where the metadata has another")(
        _refused(_datatype)
    )


@model_case("datatype.unknown", Level.COMMON, "INVALID_ARGUMENT for a datatype that the protocol does not have")
def check_unknown(target: Target, model: Model) -> str:
    request = model.request()
    request.inputs[0].datatype = "TEXT"
    return expect_refusal(target, request)


@model_case("datatype.range", Level.COMMON, "INVALID_ARGUMENT for a typed value that its datatype cannot hold")
def check_range(target: Target, model: Model) -> str:
    tensors = model.tensors()
    at = next((at for at, each in enumerate(tensors) if each.datatype in _NARROW), None)
    if at is None:
        raise Inapplicable("no input of 8 or 16 bits")
    tensors[at] = tensors[at].but(values=np.full(len(tensors[at].values), _NARROW[tensors[at].datatype]))
    return expect_refusal(target, model.request(tensors, typed=True))


@model_case("datatype.nan", Level.COMMON, "NaN and infinities are answered or INVALID_ARGUMENT, and harm nobody else")
def check_nan(target: Target, model: Model) -> str:
    floats = [each.name for each in model.tensors() if each.datatype in FLOATS]
    if not floats:
        raise Inapplicable("no input of floats")
    seen = set()
    for value in (np.nan, np.inf, -np.inf):
        tensors = [
            each.but(values=np.full_like(each.values, value)) if each.name in floats else each
            for each in model.tensors()
        ]
        seen.add(expect_answer_or_refusal(target, model.request(tensors)))
    return ", ".join(sorted(seen))
