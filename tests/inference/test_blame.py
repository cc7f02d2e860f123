"""Whose fault it is that a pass failed, on passes that fail as the test says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.inference.blame import Verdict, judge
from services.inference.units import Unit


@dataclass(frozen=True)
class Lane:
    budget: int = 100


@dataclass
class Trial:
    """A device on which passes of these rows fail; `works` says whether it answers a row that is known to be good."""

    fails: Callable[[Sequence[int]], bool]
    works: bool = True
    passes: int = 0
    computed: list[int] = field(default_factory=list)

    def compute(self, units: Sequence[Unit]) -> bool:
        self.passes += 1
        rows = [unit.payload for unit in units]
        if self.fails(rows):
            return False
        self.computed += rows
        return True

    def answers(self, unit: Unit) -> bool:
        self.passes += 1
        return self.works

    def judge(self, rows: Sequence[int], most: int = 10**6) -> Verdict:
        return judge([Unit(Lane(), 1, 0.0, payload=row) for row in rows], self.compute, self.answers, most)


def payloads(units: Sequence[Unit]) -> list[int]:
    return sorted(unit.payload for unit in units)


@given(st.integers(1, 200), st.data())
def test_exactly_the_bad_rows_are_blamed(rows: int, data: st.DataObject) -> None:
    """Whichever they are; all others are computed once, and each bad row costs passes as the logarithm of the batch."""
    bad = data.draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=10))
    trial = Trial(lambda batch: not bad.isdisjoint(batch))
    verdict = trial.judge(range(rows))
    assert (set(payloads(verdict.bad)), verdict.broken, verdict.untried) == (bad, [], [])
    assert sorted(trial.computed) == sorted(set(range(rows)) - bad)
    assert trial.passes <= len(bad) * 2 * (rows.bit_length() + 1)


def test_a_device_out_of_order_blames_nobody() -> None:
    """It fails on a row that it has answered before: a few passes settle that, however many rows there were."""
    trial = Trial(lambda batch: True, works=False)
    verdict = trial.judge(range(1000))
    assert (verdict.bad, payloads(verdict.broken), verdict.untried) == ([], list(range(1000)), [])
    assert trial.passes <= 2 * 10 + 2


def test_a_device_out_of_memory_computes_smaller_passes() -> None:
    """No row is at fault for the size of a batch; one that does not fit even alone is."""
    trial = Trial(lambda batch: sum(batch) > 100)
    verdict = trial.judge([*range(20, 40), 101])
    assert (payloads(verdict.bad), verdict.broken) == ([101], [])
    assert sorted(trial.computed) == list(range(20, 40))


def test_a_failure_that_passes_blames_nobody() -> None:
    """A row is at fault only if it fails again after the device has shown that it works."""
    failures = iter([True])
    trial = Trial(lambda batch: 7 in batch and next(failures, False))
    verdict = trial.judge([6, 7])
    assert (verdict.bad, verdict.broken, verdict.untried) == ([], [], [])
    assert sorted(trial.computed) == [6, 7]


@given(st.integers(2, 300), st.integers(30, 80))
def test_others_get_their_turn_and_the_rest_gets_on(rows: int, most: int) -> None:
    """However many are bad, a call makes about `most` passes; trying what is left again ends, with every row blamed."""
    left, calls = list(range(rows)), 0
    while left:
        trial = Trial(lambda batch: True)
        verdict = trial.judge(left, most)
        assert trial.passes <= most + 2
        assert len(verdict.untried) < len(left)
        left, calls = payloads(verdict.untried), calls + 1
    assert calls <= rows
