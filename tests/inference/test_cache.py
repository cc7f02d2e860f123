"""Rows that were answered before: found, bounded, and never another version's."""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference import recall
from services.inference.cache import OVERHEAD, Cache, digest_rows
from services.inference.engine import Call
from services.inference.served import ROW_ERROR, TRUNCATED, Answer
from services.inference.tensors import Tensor, TensorSpec

LENGTH = TensorSpec("length", "FP32", (-1, 1))


@dataclass(eq=False)
class Model:
    """Answers each text with its length times `factor`; "bad" cannot be answered."""

    factor: int = 1
    repeatable: bool = True
    asked: list[bytes] = field(default_factory=list)
    name: str = "length"
    version: str = "v1"
    platform: str = "test"
    card: str = "{}"
    inputs: tuple[TensorSpec, ...] = (TensorSpec("text", "BYTES"),)
    outputs: tuple[TensorSpec, ...] = (LENGTH, TRUNCATED, ROW_ERROR)

    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        texts: Any = tensors["text"]
        assert len(texts) == rows
        self.asked += texts
        lengths = np.array([[self.factor * len(text)] for text in texts], np.float32)
        errors = {row: "BAD: no" for row, text in enumerate(texts) if text == b"bad"}
        return Answer({"length": lengths, "truncated": lengths[:, 0] > 9}, errors, repeatable=self.repeatable)

    def sample(self) -> tuple[int, dict[str, Tensor]]:
        return 1, {"text": [b"warm"]}


async def ask(cache: Cache, model: Model, *texts: bytes) -> Answer:
    call = Call(time.monotonic() + 30)
    return await recall.answer(cache, model, len(texts), {"text": list(texts)}, call, model.outputs)


def lengths(answer: Answer) -> list[float]:
    return [float(row) for row in np.ravel(np.asarray(answer.tensors["length"]))]


async def test_only_new_rows_are_computed() -> None:
    """In any mixture, and each answer stands in its row's place; rows in error are asked again."""
    cache, model = Cache(1 << 20), Model()
    first = await ask(cache, model, b"a", b"bad", b"ccc")
    assert (lengths(first)[::2], first.errors, first.recalled) == ([1, 3], {1: "BAD: no"}, 0)
    second = await ask(cache, model, b"ccc", b"dd", b"bad", b"a", b"long enough")
    assert lengths(second)[:2] + lengths(second)[3:] == [3, 2, 1, 11]
    assert (second.errors, second.recalled) == ({2: "BAD: no"}, 2)
    assert list(np.asarray(second.tensors["truncated"])) == [False, False, False, False, True]
    third = await ask(cache, model, b"dd", b"a")
    assert (lengths(third), third.recalled) == ([2, 1], 2)
    assert model.asked == [b"a", b"bad", b"ccc", b"dd", b"bad", b"long enough"]


async def test_another_version_is_never_answered_from() -> None:
    """Nor the same one loaded anew, under the same name, even if it lies where the old one lay."""
    cache = Cache(1 << 20)
    for factor in range(1, 20):
        model = Model(factor)
        assert lengths(await ask(cache, model, b"aaa")) == [3 * factor]
        assert lengths(await ask(cache, model, b"aaa")) == [3 * factor]
        assert len(model.asked) == 1
        del model
        gc.collect()


async def test_off_it_keeps_nothing() -> None:
    """And says so: statistics count neither hits nor misses."""
    cache, model = Cache(0), Model()
    for _ in range(2):
        assert (await ask(cache, model, b"a")).recalling is None
    assert (len(cache), model.asked) == (0, [b"a", b"a"])


async def test_what_differs_from_time_to_time_is_not_kept() -> None:
    """An answer that says so is computed again."""
    cache, model = Cache(1 << 20), Model(repeatable=False)
    for _ in range(2):
        assert (await ask(cache, model, b"a")).recalled == 0
    assert len(cache) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=200))
def test_it_is_bounded_and_the_least_used_leaves(steps: list[tuple[int, bool]]) -> None:
    """Against a list that is kept by hand."""
    cache, used = Cache(6 * (OVERHEAD + 1200)), list[int]()
    row = {"x": np.zeros(256, np.float32)}
    for number, keep in steps:
        key = (0, number.to_bytes(2))
        if keep:
            cache.keep(key, row)
            used = [*[each for each in used if each != number], number][-6:]
        else:
            assert (cache.find(key, ["x"]) is not None) == (number in used)
            if number in used:
                used = [*[each for each in used if each != number], number]
        assert cache.bytes <= cache.max_bytes
        assert len(cache) == len(used)
    assert cache.find((0, b""), []) is None


def test_a_row_larger_than_the_cache_costs_the_others_nothing() -> None:
    """It is not kept, nor what was kept under its key before."""
    cache = Cache(10_000)
    for number in range(5):
        cache.keep((0, bytes([number])), {"x": np.zeros(100)})
    cache.keep((0, b"\4"), {"x": np.zeros(10_000)})
    assert [cache.find((0, bytes([number])), ["x"]) is not None for number in range(5)] == [True] * 4 + [False]
    assert cache.bytes <= cache.max_bytes


def test_a_row_without_the_output_asked_for_is_not_found() -> None:
    """It was kept when fewer outputs were computed."""
    cache = Cache(1 << 20)
    cache.keep((0, b"k"), {"x": np.zeros(1)})
    assert cache.find((0, b"k"), ["x"]) is not None
    assert cache.find((0, b"k"), ["x", "y"]) is None


_columns = st.fixed_dictionaries({"text": st.binary(max_size=6)}, optional={"text_pair": st.binary(max_size=6)})


@given(_columns, _columns)
def test_digests_differ_where_inputs_do(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    """Also where the same bytes are split differently over the inputs."""
    first, second = (digest_rows(1, {name: [value] for name, value in row.items()}) for row in (one, other))
    assert (first == second) == (one == other)


@pytest.mark.parametrize(
    "other", [np.zeros((1, 3, 2), np.uint8), np.zeros((1, 2, 3), np.int8), np.ones((1, 2, 3), np.uint8)]
)
def test_images_are_told_apart_by_shape_type_and_content(other: Tensor) -> None:
    """Six zero bytes are not always the same picture."""
    assert digest_rows(1, {"image": np.zeros((1, 2, 3), np.uint8)}) != digest_rows(1, {"image": other})
