"""The scheduler on a simulated device: time is a number, and a pass takes as long as it costs."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.scheduler import Scheduler
from services.inference.units import Batch, Unit

NEVER = 1e9


@dataclass(frozen=True)
class Lane:
    name: str = "encoder"
    budget: int = 100


LANE = Lane()


def unit(cost: int = 10, deadline: float = NEVER, priority: int = 5, caller: str = "", lane: Lane = LANE) -> Unit:
    return Unit(lane, cost, deadline, priority, caller)


def drain(scheduler: Scheduler, now: float = 0.0) -> list[Batch]:
    batches = []
    while (batch := scheduler.take(now)) is not None:
        batches.append(batch)
    return batches


def test_the_pile_is_the_next_batch_shortest_first() -> None:
    """All that waits and fits goes at once, in the order of length."""
    scheduler = Scheduler()
    units = [unit(cost) for cost in (30, 5, 20)]
    scheduler.add(units)
    batch = scheduler.take(0)
    assert batch is not None
    assert [each.cost for each in batch.units] == [5, 20, 30]
    assert (scheduler.waiting, scheduler.cost) == (0, 0)
    assert scheduler.take(0) is None


def test_a_row_larger_than_the_budget_goes_alone() -> None:
    """It must be answered too."""
    scheduler = Scheduler()
    large, small = unit(500, deadline=1), unit(1, deadline=2)
    scheduler.add([large, small])
    assert [batch.units for batch in drain(scheduler)] == [[large], [small]]


def test_deadlines_order_rows_of_one_priority() -> None:
    """Earliest first, whenever they came."""
    scheduler = Scheduler()
    late, soon, sooner = (unit(100, deadline) for deadline in (30.0, 20.0, 10.0))
    scheduler.add([late, soon])
    scheduler.add([sooner])
    assert [batch.units[0] for batch in drain(scheduler)] == [sooner, soon, late]


def test_a_higher_priority_overtakes() -> None:
    """Whatever the deadlines."""
    scheduler = Scheduler()
    ordinary = [unit(100, deadline=float(i)) for i in range(1, 4)]
    scheduler.add(ordinary)
    urgent = unit(100, priority=1)
    scheduler.add([urgent])
    assert drain(scheduler)[0].units == [urgent]


def test_what_is_too_late_is_shed_before_compute() -> None:
    """Expired rows cost the device nothing and are all reported."""
    scheduler = Scheduler()
    dead, alive = [unit(90, deadline=float(i)) for i in range(5)], unit(90, deadline=50)
    scheduler.add([*dead, alive])
    batch = scheduler.take(10.0)
    assert batch is not None
    assert (batch.units, batch.shed) == ([alive], dead)
    assert scheduler.waiting == 0


def test_rows_of_callers_who_left_are_not_computed() -> None:
    """Dropped rows vanish at once, and dropping them twice or after they were taken changes nothing."""
    scheduler = Scheduler()
    stay, leave = [unit() for _ in range(3)], [unit() for _ in range(3)]
    scheduler.add(stay)
    scheduler.add(leave)
    scheduler.drop(leave)
    scheduler.drop(leave)
    assert scheduler.waiting == 3
    batch = scheduler.take(0)
    assert batch is not None
    assert batch.units == stay
    scheduler.drop(stay)
    assert (scheduler.waiting, scheduler.cost, scheduler.take(0)) == (0, 0, None)


def test_giving_up_many_requests_one_by_one_is_little_work() -> None:
    """Comparisons grow as n log n, whatever the order; what was given up is not kept beyond as much again as still waits."""
    compared = 0

    class Deadline(float):
        def __lt__(self, other: float) -> bool:
            nonlocal compared
            compared += 1
            return float(self) < float(other)

    for step in (1, -1, 7):  # 7 has no common factor with the number of rows
        scheduler = Scheduler()
        units = [unit(deadline=Deadline(i)) for i in range(4096)]
        scheduler.add(units)
        compared = 0
        for i in range(4095):
            scheduler.drop([units[i * step % 4096]])
            queue = scheduler._levels[5].lines[""].queues[LANE]
            assert len(queue.heap) <= 2 * queue.alive
        assert compared <= 4 * 4096 * 12
        batch = scheduler.take(0.0)
        assert batch is not None
        assert [each.deadline for each in batch.units] == [4095 * step % 4096]
        assert (scheduler.waiting, scheduler.cost, scheduler._levels) == (0, 0, {})


def test_only_rows_of_one_lane_share_a_pass() -> None:
    """Another encoder's rows wait for their own."""
    scheduler = Scheduler()
    one, other = Lane("one"), Lane("other")
    scheduler.add([unit(lane=one, deadline=1), unit(lane=other, deadline=2), unit(lane=one, deadline=3)])
    assert [(batch.lane, len(batch.units)) for batch in drain(scheduler)] == [(one, 2), (other, 1)]


def test_callers_share_what_there_is() -> None:
    """One who sends a thousand rows cannot keep out one who sends ten."""
    scheduler = Scheduler()
    scheduler.add([unit(caller="greedy", deadline=1.0) for _ in range(1000)])
    scheduler.add([unit(caller="modest", deadline=9.0) for _ in range(10)])
    given = Counter(each.caller for batch in drain(scheduler)[:3] for each in batch.units)
    assert given["modest"] == 10
    assert given["greedy"] >= 10


def test_the_lowest_priority_keeps_a_small_share() -> None:
    """Under a flood of urgent rows a twentieth of the device goes to those behind, also where they need another lane."""
    for lane in (LANE, Lane("other")):
        scheduler = Scheduler()
        scheduler.add([unit(priority=9, lane=lane) for _ in range(200)])
        spent: Counter[int] = Counter()
        for _ in range(200):
            scheduler.add([unit(priority=1) for _ in range(10)])
            batch = scheduler.take(0)
            assert batch is not None
            for each in batch.units:
                spent[each.priority] += each.cost
        assert spent[9] / spent.total() == pytest.approx(0.05, abs=0.02)


@dataclass(frozen=True)
class Arrival:
    at: float
    cost: int
    patience: float
    priority: int
    caller: str
    lane: Lane
    leaves: bool


_arrivals = st.lists(
    st.builds(
        Arrival,
        at=st.floats(0, 50),
        cost=st.integers(1, 150),
        patience=st.floats(0, 100),
        priority=st.integers(1, 9),
        caller=st.sampled_from("abc"),
        lane=st.sampled_from([Lane("x", 100), Lane("y", 60)]),
        leaves=st.booleans(),
    ),
    max_size=60,
)


@given(_arrivals)
def test_every_row_ends_exactly_once(arrivals: list[Arrival]) -> None:
    """Computed in time, shed too late, or gone with its caller: never two of these, never none; budgets and lanes hold."""
    scheduler = Scheduler()
    now, ends = 0.0, Counter[int]()
    coming = sorted(arrivals, key=lambda arrival: arrival.at)
    units = [Unit(each.lane, each.cost, each.at + each.patience, each.priority, each.caller, each) for each in coming]
    index = 0
    while index < len(units) or scheduler.waiting:
        while index < len(units) and coming[index].at <= now:
            scheduler.add([units[index]])
            if coming[index].leaves:
                scheduler.drop([units[index]])
                ends[id(units[index])] += 1
            index += 1
        batch = scheduler.take(now)
        if batch is None:
            now = coming[index].at if index < len(units) else now
            continue
        assert batch.units or batch.shed
        cost = sum(each.cost for each in batch.units)
        assert cost <= batch.lane.budget or len(batch.units) == 1
        assert all(each.lane == batch.lane and each.deadline > now for each in batch.units)
        assert all(each.deadline <= now for each in batch.shed)
        ends.update(id(each) for each in [*batch.units, *batch.shed])
        now += cost / 100
    assert scheduler.cost == 0
    assert ends == Counter(id(each) for each in units)
