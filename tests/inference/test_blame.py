"""Whose fault it is that a pass failed, on passes that fail as the test says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.inference.blame import judge
from services.inference.pace import GUESS
from services.inference.scheduler import DOUBTED, Scheduler
from services.inference.units import Batch, Unit


@dataclass(frozen=True)
class Lane:
    budget: int = 10_000


LANE = Lane()


@dataclass
class Trial:
    """A device on which passes of these rows fail; `works` says whether it answers a row that is known to be good."""

    fails: Callable[[Sequence[int]], bool]
    works: bool = True
    lane: Lane = LANE
    seconds: float = 0.1  # that a failed pass takes
    scheduler: Scheduler = field(default_factory=Scheduler)
    passes: list[list[int]] = field(default_factory=list)  # rows
    tried: int = 0  # passes, those that a verdict takes included
    computed: list[int] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    broken: list[int] = field(default_factory=list)

    def add(self, rows: Sequence[int], caller: str = "", deadline: float = 9.0) -> None:
        self.scheduler.add([Unit(self.lane, 1, deadline, caller=caller, payload=row, owner=self) for row in rows])

    def settle(self, rows: Sequence[int]) -> "Trial":
        """All of these."""
        self.add(rows)
        while self.step():
            pass
        return self

    def step(self, now: float = 0.0) -> bool:
        """What the engine does with a batch; False: there is none."""
        batch = self.scheduler.take(now)
        if batch is None:
            return False
        self.passes.append(payloads(batch.units))
        if not self._compute(batch.units):
            self._hear(batch, now)
        return True

    def _hear(self, batch: Batch, now: float) -> None:
        verdict = judge(batch.units, self._compute, self._works)
        if verdict.untried:
            self.scheduler.try_again(verdict.untried, self.seconds)
        for unit in verdict.bad:
            self.scheduler.distrust(unit, self.seconds, now)
            self.bad.add(unit.payload)
        if verdict.broken:
            self.broken += payloads(verdict.broken) + [None] * len(self.scheduler.give_up(batch.lane))  # type: ignore[list-item]

    def _compute(self, units: Sequence[Unit]) -> bool:
        self.tried += 1
        if self.fails(rows := [unit.payload for unit in units]):
            return False
        self.computed += rows
        return True

    def _works(self, unit: Unit) -> bool:
        self.tried += 1
        return self.works


def payloads(units: Sequence[Unit]) -> list[int]:
    return sorted(unit.payload for unit in units)


@given(st.integers(1, 200), st.data())
def test_exactly_the_bad_rows_are_blamed(rows: int, data: st.DataObject) -> None:
    """Whichever they are; all others are computed once, and each bad row costs passes as the logarithm of the batch."""
    bad = data.draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=10))
    trial = Trial(lambda batch: not bad.isdisjoint(batch)).settle(range(rows))
    assert (trial.bad, trial.broken) == (bad, [])
    assert sorted(trial.computed) == sorted(set(range(rows)) - bad)
    assert trial.tried <= len(bad) * 3 * (rows.bit_length() + 2)


def test_a_device_out_of_order_blames_nobody() -> None:
    """It fails on a row that it has answered before: a few passes settle that, however many rows there were."""
    trial = Trial(lambda batch: True, works=False).settle(range(1000))
    assert (trial.bad, len(trial.broken), trial.computed) == (set(), 1000, [])
    assert trial.tried <= 2 * 10 + 2
    assert trial.scheduler.waiting == trial.scheduler.cost == 0


def test_a_device_out_of_memory_computes_smaller_passes() -> None:
    """No row is at fault for the size of a batch; one that does not fit even alone is."""
    trial = Trial(lambda batch: sum(batch) > 100).settle([*range(20, 40), 101])
    assert (trial.bad, trial.broken) == ({101}, [])
    assert sorted(trial.computed) == list(range(20, 40))


def test_a_failure_that_passes_blames_nobody() -> None:
    """A row is at fault only if it fails again after the device has shown that it works."""
    failures = iter([True] * 3)
    trial = Trial(lambda batch: 7 in batch and next(failures, False)).settle([6, 7, 8])
    assert (trial.bad, trial.broken) == (set(), [])
    assert sorted(trial.computed) == [6, 7, 8]


def test_others_wait_for_one_failed_pass_at_most() -> None:
    """Rows that shared a pass with bad ones are answered by the next but one; those that come later are never in a pass with them."""
    trial = Trial(lambda batch: min(batch) < 64)
    trial.add(range(64), "poisoner")
    trial.add([100, 101], "patient")
    for now in range(3):
        trial.step(now / 100)
    assert sorted(trial.computed) == [100, 101]
    while not trial.bad:
        trial.step(0.05)
    failed = len(trial.bad)
    trial.add([102], "patient")
    trial.add([5], "poisoner")  # with deadlines as the others have
    while trial.step(0.1):
        pass
    assert sorted(trial.computed) == [100, 101, 102]
    assert failed < len(trial.bad) == 64
    assert all(each in ([102], [100, 101]) for each in trial.passes[1:] if max(each) > 99)


def test_a_caller_is_trusted_again() -> None:
    """A second after its last bad row a caller's rows share passes as before."""
    trial = Trial(lambda batch: 0 in batch).settle([0])
    for now, shared in ((DOUBTED / 2, False), (DOUBTED * 1.01, True)):
        trial.passes.clear()
        trial.add([1, 2])
        trial.add([3], "other")
        while trial.step(now):
            pass
        assert (trial.passes == [[1, 2, 3]]) is shared
        assert sum(map(len, trial.passes)) == 3


def test_a_search_is_at_its_callers_expense() -> None:
    """What the rows of one caller took, failed passes included, counts as its share of the device: another is served as much first."""
    trial = Trial(lambda batch: min(batch) < 64, lane=Lane(budget=4))
    trial.add([1], "poisoner")
    trial.step()
    trial.add([0, 8], "poisoner")
    trial.add(range(100, 120), "patient", deadline=99.0)
    trial.seconds = 5 * GUESS  # of five full passes, as nothing is known of them
    for _ in range(7):
        trial.step(0.01)
    assert trial.passes[1] == [0, 8]
    assert trial.passes[2:7] == [list(range(start, start + 4)) for start in range(100, 120, 4)]
    assert trial.passes[7] == [0]
