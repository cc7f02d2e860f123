"""Compiled layers: the same answers, one compilation for all layers and lengths, and none where it does not work."""

import gc
import logging
import weakref
from collections.abc import Iterator

import pytest
import torch

from services.inference import precision
from services.inference.precision import Networks
from shared.nn.bert import Bert, finish
from shared.nn.compiling import compile_layers
from shared.nn.encoder import Pooled
from shared.nn.precision import lower
from shared.nn.tokens import pack
from tests.inference.test_encoder import texts, tiny

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield
    torch.compiler.reset()


def test_it_gives_the_same_and_compiles_once() -> None:
    """Through the tracer but not a C++ compiler, which need not be there: for batches of any size, and both layers, there is one graph."""
    made: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        made.append(graph)
        return graph.forward

    network = tiny()
    twin = compile_layers(network, backend)
    for count in (3, 12, 30):
        packed = pack(texts(count, count))
        torch.testing.assert_close(twin(packed), network(packed), atol=1e-5, rtol=1e-4)
    assert len(made) == 1


def test_a_twin_shares_its_weights() -> None:
    """And leaves the network as it is, of which twins in other precisions are made later."""
    network = tiny()
    twin = compile_layers(network, "eager")
    assert [id(each) for each in twin.parameters()] == [id(each) for each in network.parameters()]
    for each in (network, lower(network, "bf16")):
        assert isinstance(each, Pooled)
        assert isinstance(each.body, Bert)
        assert [vars(layer)["finish"] for layer in each.body.layers] == [finish, finish]


def test_one_that_is_replaced_leaves_no_cycle() -> None:
    """So that it leaves memory without a collection, also where what was live at the start is never collected."""
    gc.collect()
    gc.disable()
    try:
        network = tiny()
        twin = compile_layers(network, "eager")
        twin(pack(texts(5)))
        left = weakref.ref(twin.body)
        del network, twin
        assert left() is None
    finally:
        gc.enable()


def test_where_it_does_not_work_the_network_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With one warning that says why: as where there is no C++ compiler."""

    def backend(*_: object) -> object:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(precision, "compile_layers", lambda network: compile_layers(network, backend))
    network = tiny()
    with caplog.at_level(logging.WARNING):
        got = Networks(network, CPU, "tiny", compiled=True).get("fp32")
    assert got is network
    (told,) = caplog.messages
    assert told.startswith("encoder tiny cannot be compiled here and runs as it is")
    assert "No working C++ compiler found" in told
