"""Who gets in, and who is asked to come back."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.admission import Admission, Full


def fill(inside: ExitStack, requests: Iterable[AbstractContextManager[None]]) -> str:
    """Lets them in until one is refused; returns why."""
    try:
        for request in requests:
            inside.enter_context(request)
    except Full as full:
        return full.reason
    return ""


def test_what_is_inside_is_bounded() -> None:
    """Rows and bytes; what left makes room; one request larger than the limits enters alone."""
    admission = Admission(max_rows=16, max_bytes=160, caller_rows=99)
    with admission.enter(6, 60, "a"):
        with pytest.raises(Full), admission.enter(9, 10, "b"):
            pass
        with pytest.raises(Full), admission.enter(1, 81, "b"):
            pass
        with admission.enter(8, 80, "b"):
            assert (admission.rows, admission.bytes) == (14, 140)
    assert (admission.rows, admission.bytes) == (0, 0)
    with admission.enter(50, 500, "a"), pytest.raises(Full), admission.enter(1, 1, "b"):
        pass


@pytest.mark.parametrize("priority", range(1, 10))
def test_what_can_wait_does_not_shut_out_what_cannot(priority: int) -> None:
    """Callers within their quotas fill it with rows of any priority; while these are not above the default, an urgent row has room."""
    admission = Admission()
    with ExitStack() as inside:
        assert (
            fill(inside, (admission.enter(512, 1000, f"archive-{i // 8}", priority) for i in range(100)))
            == "QUEUE_FULL"
        )
        assert admission.rows == (14_336 if priority >= 5 else 16_384)
        if priority < 5:
            with pytest.raises(Full), admission.enter(1, 1, "ward", 1):
                pass
            return
        with admission.enter(1024, 1 << 20, "ward", 4), admission.enter(1024, 31 << 20, "ward", 1):
            assert admission.rows == 16_384


def test_no_weight_lets_one_caller_take_all() -> None:
    """Half at most, in rows and in bytes; another one's request has room beside it."""
    admission = Admission(weights={"ward": 1000.0})
    for rows, size, most in ((1024, 1, 8), (1, 32 << 20, 4)):
        with ExitStack() as inside:
            assert fill(inside, (admission.enter(rows, size, "ward", 1) for _ in range(100))) == "CALLER_QUOTA"
            assert admission.rows == most * rows
            with admission.enter(1024, 64 << 20, "desk"):
                pass


def test_one_caller_cannot_fill_it_for_the_others() -> None:
    """It is refused at its own quota, in rows or bytes; others enter; the reason says which it was."""
    admission = Admission(max_rows=12, max_bytes=1000, caller_rows=4, caller_bytes=100)
    with admission.enter(4, 10, "flood"):
        with pytest.raises(Full) as quota, admission.enter(1, 1, "flood"):
            pass
        assert quota.value.reason == "CALLER_QUOTA"
        assert "the limit is 4" in quota.value.detail
        with admission.enter(2, 90, "modest"):
            with pytest.raises(Full) as quota, admission.enter(1, 11, "modest"):
                pass
            assert quota.value.reason == "CALLER_QUOTA"
            assert "the limit is 100" in quota.value.detail
            with admission.enter(4, 10, "third"), pytest.raises(Full) as full, admission.enter(1, 10, "fourth"):
                pass
            assert full.value.reason == "QUEUE_FULL"


def test_a_weight_is_room_too() -> None:
    """Twice the weight, twice the quota; a request larger than its caller's quota enters alone."""
    admission = Admission(caller_rows=4, weights={"heavy": 2.0, "light": 0.5})
    with admission.enter(8, 1, "heavy"), pytest.raises(Full), admission.enter(1, 1, "heavy"):
        pass
    with admission.enter(3, 1, "light"), pytest.raises(Full), admission.enter(1, 1, "light"):
        pass


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6), st.integers(0, 60), st.booleans()), max_size=40))
def test_what_entered_leaves(requests: list[tuple[str, int, int, bool]]) -> None:
    """Whatever the order, the sums are right, within the limits but for one that is alone, and nothing of who left is kept."""
    admission, inside = Admission(max_rows=12, max_bytes=120, caller_rows=5, caller_bytes=50), []
    for caller, rows, size, leaves in requests:
        entering = admission.enter(rows, size, caller)
        try:
            entering.__enter__()
        except Full:
            assert inside
        else:
            inside.append((entering, caller, rows, size))
        if leaves and inside:
            inside.pop(0)[0].__exit__(None, None, None)
        assert admission.rows == sum(each[2] for each in inside)
        assert admission.bytes == sum(each[3] for each in inside)
        for name in "abc":
            own = [each for each in inside if each[1] == name]
            assert sum(each[2] for each in own) <= 5 or len(own) == 1
    for entering, *_ in inside:
        entering.__exit__(None, None, None)
    assert (admission.rows, admission.bytes, admission._callers) == (0, 0, {})
