"""Recorded passes, with a recorder that is none: whatever is asked for, the answers are those of passes launched as usual."""

import gc
import logging
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference import graphs as module
from services.inference.buckets import list_shapes
from services.inference.forward import Groups, Plain, Staged, open_forward
from services.inference.graphs import Graphs
from services.inference.launcher import Host, Recorded
from shared.nn.bert import Bert
from shared.nn.encoder import Pooled
from shared.nn.tokens import Tokens, pack
from shared.nn.varlen import by_text
from tests.inference.bundles import WIDTH
from tests.inference.recording import Tape
from tests.inference.test_encoder import tiny

CPU = torch.device("cpu")
LARGEST = 128  # tokens that are recorded here
Asked = tuple[list[Tokens], Groups]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield


def network(pooling: str = "mean") -> Pooled:
    made = tiny(pooling=pooling)
    assert isinstance(made.body, Bert)
    made.body.kernel = by_text
    return made


def read(pooled: Sequence[torch.Tensor]) -> torch.Tensor:
    """Something of another width for each group."""
    return torch.cat([each[:, : WIDTH - number].reshape(-1) for number, each in enumerate(pooled)])


def expect(batch: list[Tokens], groups: Groups) -> NDArray[np.float32]:
    return Plain(tiny(), CPU, Host()).run(batch, groups, read)


def staged(tape: Tape, largest: int = LARGEST) -> Staged:
    body = network()
    graphs = Graphs(body, tape, CPU, "tiny")
    graphs.record(list_shapes(32, largest), 64)
    return Staged(body, CPU, tape, graphs)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return Tape()


@pytest.fixture(scope="module")
def forward(tape: Tape) -> Staged:
    with torch.inference_mode():
        return staged(tape)


def draw(lengths: Sequence[int], parts: int, seed: int) -> Asked:
    """Texts, every third with a pair, and rows of several readers in any order."""
    random = np.random.default_rng(seed)
    batch = []
    for number, length in enumerate(lengths):
        types = (np.arange(length) >= length // 2).astype(np.int64) if number % 3 == 0 else None
        batch.append(Tokens(random.integers(4, 64, length).astype(np.int64), types))
    groups = [part.tolist() for part in np.array_split(random.permutation(len(batch)), parts) if len(part)]
    return batch, groups if len(groups) > 1 else [list(range(len(batch)))]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 32), min_size=1, max_size=40), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 1000),
)
def test_answers_are_those_of_passes_as_usual(forward: Staged, passes: list[list[int]], parts: int, seed: int) -> None:
    """Pass after pass, of any lengths, with rows of any readers: recorded where a shape fits, and launched where none does."""
    for number, lengths in enumerate(passes):
        batch, groups = draw(lengths, parts, seed + number)
        np.testing.assert_allclose(forward.run(batch, groups, read), expect(batch, groups), atol=2e-5, rtol=1e-3)


def test_small_passes_are_played_and_large_ones_launched(forward: Staged, tape: Tape) -> None:
    """And only what was played computed more than was asked for."""
    before = tape.plays
    forward.run(*draw([20] * 6, 1, 0), read)
    assert (tape.plays - before, forward.padding([20] * 6)) == (1, 128 - 120)
    forward.run(*draw([20] * 7, 1, 0), read)
    assert (tape.plays - before, forward.padding([20] * 7)) == (1, 0)


def test_two_threads_take_turns(forward: Staged) -> None:
    """Each gets its own answers, though both write the same inputs and read the same outputs."""
    both = threading.Barrier(2)
    asked = [[draw([5 + (seed + n) % 7] * 9, 2, 1000 * seed + n) for n in range(40)] for seed in range(2)]
    expected = [[expect(*each) for each in mine] for mine in asked]  # whose weights are drawn: by one thread at a time

    @torch.inference_mode()
    def work(seed: int) -> float:
        both.wait(30)
        found = [forward.run(*each, read) for each in asked[seed]]
        return max(float(np.abs(one - other).max()) for one, other in zip(found, expected[seed], strict=True))

    with ThreadPoolExecutor(2) as threads:
        assert max(threads.map(work, range(2))) <= 2e-5


def test_one_that_cannot_be_recorded_leaves_all_as_usual(caplog: pytest.LogCaptureFixture) -> None:
    """With one warning; the answers are the same."""
    tape = Tape(fails=5)
    with caplog.at_level(logging.WARNING):
        made = staged(tape)
    (told,) = caplog.messages
    assert told.startswith("encoder tiny: passes cannot be recorded and are launched as usual: operation not permitted")
    batch, groups = draw([4, 9, 9, 2], 2, 0)
    np.testing.assert_allclose(made.run(batch, groups, read), expect(batch, groups), atol=2e-5, rtol=1e-3)
    assert made.padding([4, 9, 9, 2]) == 0


def test_one_that_plays_something_else_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """A recording that does not look at its inputs again gives its first texts' vectors for ever."""

    class Stuck(Tape):
        def record(self, work, pool):  # type: ignore[no-untyped-def]
            return Recorded(lambda: None, super().record(work, pool).output)

    with caplog.at_level(logging.WARNING):
        made = staged(Stuck())
    assert "is off by" in caplog.text
    assert made.padding([8]) == 0


def test_memory_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Where recordings take more than they may, larger ones are not made; those that were are used."""
    with caplog.at_level(logging.WARNING):
        made = staged(Tape(grows=module.MEMORY // 3))
    assert caplog.messages == ["encoder tiny: passes of more than 48 tokens are not recorded"]
    assert made.padding([8, 8, 8, 8, 8]) == 8
    assert made.padding([8, 8, 8, 8, 8, 9]) == 0


def test_what_has_no_kernel_goes_its_own_way() -> None:
    """Nothing is staged or recorded on a CPU, nor for a network that is not ours; and nothing recorded where that is not wanted."""
    tape = Tape()
    assert isinstance(open_forward(tiny(), CPU, Host(), None), Plain)
    assert isinstance(open_forward(torch.nn.Identity(), CPU, tape, tape), Plain)
    made = open_forward(network(), CPU, tape, None)
    assert isinstance(made, Staged)
    assert not tape.outputs
    batch, groups = draw([3, 1, 7], 1, 0)
    np.testing.assert_allclose(made.run(batch, groups, read), expect(batch, groups), atol=2e-5, rtol=1e-3)


def test_the_first_tokens_vector_is_found() -> None:
    """Of texts, not of what fills a pass up, the last of which may start where there is nothing."""
    made = open_forward(network("cls"), CPU, tape := Tape(), tape)
    batch, _ = draw([16, 16, 16], 1, 3)
    found = made.run(batch, [[0, 1, 2]], lambda pooled: pooled[0].reshape(-1))
    right = tiny(pooling="cls")(pack(batch))
    np.testing.assert_allclose(found.reshape(3, -1), right.numpy(), atol=2e-5, rtol=1e-3)


def test_what_is_replaced_leaves_no_cycle() -> None:
    """Its recordings leave memory with it, without a collection."""
    gc.collect()
    gc.disable()
    try:
        made = open_forward(body := network(), CPU, tape := Tape(), tape)
        made.run([Tokens(np.arange(4, 9))], [[0]], lambda pooled: pooled[0].reshape(-1))
        left = weakref.ref(body), weakref.ref(made)
        tape.outputs.clear()
        del body, made
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()
