"""The suite comes to its end, whatever a server answers and whatever request a person gives it."""

from typing import Any

import numpy as np
import pytest

from protos import inference_pb2 as oip
from services.cli.conformance.case import Case, Level, Outcome
from services.cli.conformance.run import choose, run
from services.cli.conformance.target import Target, discover
from services.cli.conformance.tensor import Tensor
from tests.inference.identity import MODELS, Fault, running_identity
from tests.inference.test_conformance import clear, explain, failed, name_extensions


def move_on(answer: oip.ModelStatisticsResponse, seen: list[int] = []) -> None:  # noqa: B006 - it remembers
    """As if others used the server all the time."""
    seen.append(1)
    answer.model_stats[0].inference_count += len(seen)


def test_a_case_that_makes_no_sense_of_an_answer_fails_alone() -> None:
    """Whatever it stumbles over: the suite goes on and says what it was."""

    def stumble(target: Target, model: Any) -> str:
        nothing: dict[str, str] = {}
        return nothing["shape"]

    cases = [Case("stumbles", Level.COMMON, "anything", stumble), *choose(list(Level), ("infer.id",), False)]
    with running_identity(Fault(), MODELS) as address, Target(address, deadline=10) as target:
        target.reach(10)
        results = list(run(target, discover(target, ["numbers"], {}), cases))
    assert [(each.case, each.outcome) for each in results] == [("stumbles", Outcome.FAIL), ("infer.id", Outcome.PASS)]
    assert "KeyError: 'shape'" in results[0].seen


GIVEN = {
    "of which the metadata know nothing": (Fault(methods={"ModelMetadataResponse": clear("inputs")}), (2,), set()),
    "without rows": (Fault(), (0,), {"infer.answer"}),
    "without a rank": (Fault(), (), {"infer.answer"}),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_request_that_was_given_may_be_anything(name: str) -> None:
    """What a person wrote down need not fit the metadata; the suite comes to its end."""
    fault, shape, expected = GIVEN[name]
    tensor = Tensor("x", "FP32", shape, np.zeros(shape, "<f4").reshape(-1))
    with running_identity(fault, MODELS) as address, Target(address, deadline=10) as target:
        target.reach(10)
        results = list(
            run(target, discover(target, ["numbers"], {"numbers": (tensor,)}), choose(list(Level), ("infer",), False))
        )
    assert failed(results) == expected, explain(results)


def test_counters_that_never_rest_are_not_waited_for() -> None:
    """Others use the server: then the case says nothing, and ends."""
    methods = {"ServerMetadataResponse": name_extensions, "ModelStatisticsResponse": move_on}
    with (
        running_identity(Fault(slowness=0.03, methods=methods), MODELS) as address,
        Target(address, deadline=1) as target,
    ):
        target.reach(10)
        (result,) = run(target, discover(target, ["numbers"], {}), choose(list(Level), ("load.expired",), True))
    assert result.outcome is Outcome.INAPPLICABLE
    assert "somebody else uses the server" in result.seen
