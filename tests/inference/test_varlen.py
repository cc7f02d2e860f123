"""Attention without padding, with the reference in place of a GPU's kernel; and that these kernels can be called as we call them."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from shared.nn import varlen
from shared.nn.bert import Bert, Shape
from shared.nn.encoder import Pooled
from shared.nn.tokens import Packed, locate, pack
from shared.nn.varlen import by_text, efficient, find_kernel, flash, measure_error
from tests.inference.bundles import CONFIG, WIDTH
from tests.inference.test_encoder import texts, tiny

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield


def with_kernel(network: Pooled, kernel: varlen.Kernel = by_text) -> Pooled:
    assert isinstance(network.body, Bert)
    network.body.kernel = kernel
    return network


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_gives_what_groups_of_equal_length_give(pooling: str) -> None:
    """Whether the places of texts come with them or are made of their lengths."""
    packed = pack(texts(30))
    expected = tiny(pooling=pooling)(packed)
    network = with_kernel(tiny(pooling=pooling))
    torch.testing.assert_close(network(packed), expected, atol=1e-5, rtol=1e-4)
    placed = Packed(packed.ids.int(), packed.types.int(), (), locate(packed))
    torch.testing.assert_close(network(placed), expected, atol=1e-5, rtol=1e-4)


def test_a_target_is_pooled_alike() -> None:
    """The mean over marked tokens too, and where a text has none."""
    packed = pack(texts(30))
    network = Pooled(tiny().body, "mean+target", target=7).eval()
    expected = network(packed)
    placed = Packed(packed.ids.int(), packed.types.int(), (), locate(packed))
    torch.testing.assert_close(with_kernel(network)(placed), expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(expected[:, :WIDTH], expected[:, WIDTH:])


def test_what_is_located_is_where_it_is() -> None:
    """Positions restart with each text; a text without tokens starts at one that exists."""
    places = locate(Packed(torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.int64), (2, 3, 0)))
    assert places.positions.tolist() == [0, 1, 0, 1, 2]
    assert places.bounds.tolist() == [0, 2, 5, 5]
    assert places.starts.tolist() == [0, 2, 4]
    assert places.longest == 3


def test_a_kernel_is_measured_against_the_reference() -> None:
    """One that mixes texts is far off, one that gives no numbers infinitely; the reference itself is right, in bf16 nearly."""

    def mixing(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> Tensor:
        return by_text(query, key, value, bounds[[0, -1]], len(query))

    def broken(query: Tensor, *_: object) -> Tensor:
        return torch.full_like(query, torch.nan)

    def off(kernel: varlen.Kernel, dtype: torch.dtype = torch.float32) -> float:
        return measure_error(kernel, CPU, dtype, 4, 128)

    assert off(by_text) < 1e-6
    assert off(by_text, torch.bfloat16) < varlen.FAR < off(mixing)
    assert off(broken) == float("inf")


def test_the_reference_refuses_a_text_that_is_too_long() -> None:
    """As it would be cut short by a kernel, without a word."""
    with pytest.raises(ValueError, match="more than 2 tokens"):
        by_text(*torch.zeros(3, 4, 1, 8), torch.tensor([0, 3, 4]), 2)


def test_a_cpu_has_no_kernel() -> None:
    """It has its own way."""
    assert find_kernel(CPU, torch.float32, 4, 32) is None


@pytest.mark.parametrize(
    ("kernel", "dtype"), [(flash, torch.bfloat16), (flash, torch.float16), (efficient, torch.float32)]
)
def test_torch_takes_the_calls_that_a_gpu_would_get(kernel: varlen.Kernel, dtype: torch.dtype) -> None:
    """On its device without data, where operators see shapes and types alone: the whole network, and no value is asked for."""
    shape = Shape.read(CONFIG)
    assert shape is not None
    with META:
        network = with_kernel(Pooled(Bert(shape), "cls"), kernel)
        assert isinstance(network.body, Bert)
        network.body.layers = nn.ModuleList(layer.to(dtype) for layer in network.body.layers)
        network.body.dtype = dtype
    packed = pack(texts(9))
    found = network(Packed(packed.ids.to(META), packed.types.to(META), (), _move(locate(packed))))
    assert found.shape == (9, WIDTH)
    assert found.dtype == torch.float32


def _move(places: varlen.Places) -> varlen.Places:
    return varlen.Places(places.positions.to(META), places.bounds.to(META), places.lengths.to(META), places.longest)
