"""What the scheduler does by what it knows of the device: requests are computed as a whole, or not begun."""

import pytest

from services.inference.scheduler import Scheduler
from services.inference.units import Unit
from tests.inference.test_scheduler import LANE, Lane, drain, unit


def request(rows: int, cost: int, deadline: float, priority: int = 5, caller: str = "") -> list[Unit]:
    owner = object()
    return [Unit(LANE, cost, deadline, priority, caller, owner=owner) for _ in range(rows)]


def steady(seconds: float = 1.0) -> Scheduler:
    """A full pass is known to take this long, a smaller one as much less as it is smaller."""
    scheduler = Scheduler()
    for _ in range(50):
        for cost in (50, 100):
            scheduler.learn(LANE, cost, seconds * cost / 100)
    return scheduler


def test_of_a_request_that_would_end_late_nothing_is_computed() -> None:
    """Its first pass would be in time, its second would not; one that has time for both is computed whole."""
    for deadline, answered in ((1.5, False), (2.5, True)):
        scheduler = steady()
        units = request(20, 10, deadline)
        scheduler.add(units)
        first = scheduler.take(0.0)
        assert first is not None
        if answered:
            second = scheduler.take(1.0)
            assert second is not None
            assert first.units + second.units == units
        else:
            assert (first.units, first.shed, scheduler.take(0.0)) == ([], units, None)


def test_a_row_that_is_shed_takes_its_request_along() -> None:
    """What was computed of it was in vain, what was not need not be; others of the same caller are computed."""
    scheduler = steady()
    scheduler.add(both := request(15, 10, 2.5))
    scheduler.add(other := request(5, 10, 9.0))
    first = scheduler.take(0.0)
    assert first is not None
    assert first.units == both[:10]
    second = scheduler.take(2.2)  # later than was to be expected
    assert second is not None
    assert (second.units, second.shed) == (other, both[10:])


def test_callers_take_turns_by_request() -> None:
    """Of two requests that do not fit one pass together, one is done after it, not half of each."""
    scheduler = steady()
    one, other = request(2, 40, 9.0, caller="one"), request(2, 40, 9.0, caller="other")
    scheduler.add([*one[:1], *other[:1]])
    scheduler.add([*one[1:], *other[1:]])
    batches = drain(scheduler)
    assert [batch.units for batch in batches] == [one, other]


def test_a_full_pass_is_not_cut_short_for_an_equal_in_a_hurry() -> None:
    """A row that leaves time for a fifth of a pass is shed while a full one waits, unless its priority is higher; else it is computed."""
    for priority, others, computed in ((5, 20, False), (1, 20, True), (5, 4, True)):
        scheduler = Scheduler()
        for _ in range(50):
            for cost in (50, 100):
                scheduler.learn(LANE, cost, 1.0 + cost / 100)
        hurried = unit(10, 1.25, priority, "hurried")
        scheduler.add([hurried])
        for i in range(others):
            scheduler.add([unit(10, 60.0, caller=f"{i}")])
        batch = scheduler.take(0.0)
        assert batch is not None
        assert (hurried in batch.units, hurried in batch.shed) == (computed, not computed)
        assert batch.cost == (20 if computed else 100)


def test_a_refusal_by_the_estimate_does_not_last() -> None:
    """The device was slow and is not any more, but refuses what would tell it so: after a few refusals, one of many is let in."""
    scheduler = Scheduler()
    for _ in range(10):
        scheduler.learn(LANE, 100, 1.0)
    asked = [unit(100) for _ in range(4)]
    estimate = scheduler.foresee(asked)[1]
    assert estimate == pytest.approx(4.0)
    refused = 0
    while scheduler.foresee(asked)[1] > 2.0:
        scheduler.doubt(asked)
        refused += 1
    assert 5 <= refused <= 10
    scheduler.learn(LANE, 100, 1.0)  # it was let in, and the device is as slow as ever
    assert scheduler.foresee(asked)[1] == pytest.approx(estimate)


def test_refusals_change_nothing_while_rows_wait() -> None:
    """Their passes will tell; requests without hope must not make other callers' estimates worse."""
    scheduler = Scheduler()
    for _ in range(10):
        scheduler.learn(LANE, 100, 1.0)
    scheduler.add([unit(100)])
    estimate = scheduler.foresee([unit(100)])
    for _ in range(50):
        scheduler.doubt([unit(100)])
    assert scheduler.foresee([unit(100)]) == estimate


def test_a_request_in_a_hurry_is_not_begun_in_what_is_left_of_a_pass() -> None:
    """Another pass would take it as a whole, and what is more urgent may come before its rest does; one that has time is begun."""
    for deadline, others, begun in ((5.0, 9, False), (60.0, 9, True), (5.0, 1, True)):
        scheduler = Scheduler()  # a pass of 90 does nearly what a full one does in the same time, one of 10 does not
        for cost in (50, 100) * 50:
            scheduler.learn(LANE, cost, 0.5 + cost / 200)
        scheduler.add([unit(10, 60.0, priority=1) for _ in range(others)])
        scheduler.add(hurried := request(10, 10, deadline))
        first = scheduler.take(0.0)
        assert first is not None
        assert (hurried[0] in first.units) == begun
        assert first.shed == []
        second = scheduler.take(1.0)
        assert second is not None
        assert set(hurried) <= {*first.units, *second.units}


def test_a_priority_is_let_in_for_what_it_may_have_soon() -> None:
    """Alone: ten seconds' worth, if that is what its rows have. Behind others that leave it a part of the device: half more than that."""
    waits = {}
    for urgent in (0, 5):
        scheduler = steady()
        for _ in range(100):
            scheduler.add([unit(10, priority=1) for _ in range(urgent)])
            while sum(scheduler.foresee([unit(10)])) <= 10.0:
                scheduler.add([unit(10)])
            scheduler.take(0.0)
        waits[urgent] = scheduler.cost
    assert waits[0] == pytest.approx(900, rel=0.05)
    assert waits[5] == pytest.approx(1.5 * 450, rel=0.1)


def test_what_a_priority_may_have_is_told_by_seconds_of_the_device() -> None:
    """Beside urgent passes that take ten times as long, not half of all; and all of it, a second after the last of these."""
    scheduler, images = steady(0.1), Lane("images")
    for _ in range(10):
        scheduler.learn(images, 100, 1.0)
    scheduler.add([unit(10) for _ in range(2000)])
    for _ in range(60):
        scheduler.add([unit(10, priority=1, lane=images) for _ in range(10)])
        scheduler.take(0.0)
    level = scheduler._levels[5]
    assert level.part < 0.15
    assert scheduler.ahead(5, "", 1e10) > 4 * 0.001 * level.cost[LANE]
    while 1 in scheduler._levels:
        scheduler.take(0.0)
    for _ in range(11):
        scheduler.take(0.0)
    assert scheduler.ahead(5, "", 1e10) == pytest.approx(0.001 * level.cost[LANE])


def test_what_others_leave_is_not_owed_besides() -> None:
    """The urgent come in bursts; a priority that has the device between them does not hold them up for a share of its own."""
    scheduler = steady()
    scheduler.add([unit(10) for _ in range(1000)])
    for _ in range(10):
        assert {each.priority for each in _take(scheduler)} == {5}
        scheduler.add([unit(10, priority=1) for _ in range(40)])
        assert [{each.priority for each in _take(scheduler)} for _ in range(4)] == [{1}] * 4


def _take(scheduler: Scheduler) -> list[Unit]:
    batch = scheduler.take(0.0)
    assert batch is not None
    return batch.units
