"""Who gets in, and who is asked to come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.admission import Admission, Full


def test_what_is_inside_is_bounded() -> None:
    """Rows and bytes; what left makes room; one request larger than the limits enters alone."""
    admission = Admission(max_rows=10, max_bytes=100, caller_rows=99)
    with admission.enter(6, 10):
        with pytest.raises(Full), admission.enter(5, 10):
            pass
        with pytest.raises(Full), admission.enter(1, 91):
            pass
        with admission.enter(4, 90):
            assert (admission.rows, admission.bytes) == (10, 100)
    assert (admission.rows, admission.bytes) == (0, 0)
    with admission.enter(50, 500), pytest.raises(Full), admission.enter(1, 1):
        pass


def test_one_caller_cannot_fill_it_for_the_others() -> None:
    """It is refused at its own quota, in rows or bytes; others enter; the reason says which it was."""
    admission = Admission(max_rows=10, max_bytes=1000, caller_rows=4, caller_bytes=100)
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
    admission, inside = Admission(max_rows=12, max_bytes=100, caller_rows=5, caller_bytes=50), []
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
