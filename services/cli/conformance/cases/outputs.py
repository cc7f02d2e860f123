"""Which outputs come back."""

from collections.abc import Sequence

from protos import inference_pb2 as oip
from services.cli.conformance.answer import same
from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.refusals import expect_refusal
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target


@model_case("outputs.subset", Level.REQUIRED, "each output that is asked for alone comes alone, as among the others")
def check_subset(target: Target, model: Model) -> str:
    assert model.usual is not None
    for output in model.metadata.outputs:
        answer = target.answer(_ask(model, [output.name]))
        if list(answer) != [output.name]:
            raise Failed(f"{output.name} was asked for, {', '.join(answer) or 'nothing'} came")
        if model.steady and output.name in model.usual and not same(model.usual[output.name], answer[output.name]):
            raise Failed(f"{output.name} is another when asked for alone")
    return f"{len(model.metadata.outputs)} outputs"


@model_case("outputs.order", Level.COMMON, "outputs come in the order in which they were asked for")
def check_order(target: Target, model: Model) -> str:
    names = [each.name for each in model.metadata.outputs]
    if len(names) < 2:
        raise Inapplicable("there is one output")
    for wanted in (names, names[::-1]):
        if (found := list(target.answer(_ask(model, wanted)))) != wanted:
            raise Failed(f"{', '.join(found)} for {', '.join(wanted)}")
    return "as asked"


@model_case("outputs.unknown", Level.REQUIRED, "INVALID_ARGUMENT")
def check_unknown(target: Target, model: Model) -> str:
    known = [each.name for each in model.metadata.outputs[:1]]
    return expect_refusal(target, _ask(model, [*known, "no-such-output"]))


def _ask(model: Model, names: Sequence[str]) -> oip.ModelInferRequest:
    request = model.request()
    for name in names:
        request.outputs.add(name=name)
    return request
