"""Light callers beside heavy ones, on a simulated device: who goes first, and how large passes are."""

from collections import Counter

import pytest

from services.inference.company import Company
from services.inference.scheduler import Scheduler
from tests.inference.test_scheduler import LANE, Lane, unit


def learned(fixed: float, lane: Lane = LANE, each: float = 0.01) -> Scheduler:
    """Its passes take `fixed` and `each` for each unit of cost, in seconds."""
    scheduler = Scheduler()
    for number in range(40):
        scheduler.learn(lane, 10 + number, fixed + each * (10 + number))
    return scheduler


def take_cost(scheduler: Scheduler, now: float) -> int:
    batch = scheduler.take(now)
    assert batch is not None
    return batch.cost


@pytest.mark.parametrize(("fixed", "most"), [(0.001, 10), (0.2, 46), (10.0, 100)])
def test_passes_are_smaller_while_a_light_caller_shares(fixed: float, most: int) -> None:
    """A tenth of the budget, or what wastes no more than three tenths of the device; all of it a second after the other has left."""
    scheduler = learned(fixed)
    scheduler.add([unit(5, caller="flood") for _ in range(120)])
    assert take_cost(scheduler, 0.0) == 100
    scheduler.add([unit(5, caller="other")])
    scheduler.take(1.0)
    assert most - 5 < take_cost(scheduler, 1.0) == take_cost(scheduler, 1.9) <= most
    assert take_cost(scheduler, 2.1) == 100


@pytest.mark.parametrize(("fixed", "most", "joined"), [(0.001, 5, 2), (0.2, 20, 8), (10.0, 100, 8)])
def test_a_light_callers_pass_is_not_slowed_down_by_a_heavy_one(fixed: float, most: int, joined: int) -> None:
    """The flood's rows join its own as long as half of the pass is what any takes; a light caller's join any up to the smaller size."""
    scheduler = learned(fixed)
    scheduler.add([unit(5, caller="flood") for _ in range(120)])
    scheduler.take(0.0)
    scheduler.add([unit(5, caller="other")])
    batch = scheduler.take(1.0)
    assert batch is not None
    assert {"other"} <= {each.caller for each in batch.units} <= {"other", "flood"}
    assert most - 10 < batch.cost <= most
    scheduler.add([unit(5, caller=f"another {number}") for number in range(8)])
    batch = scheduler.take(1.0)
    assert batch is not None
    assert len({each.caller for each in batch.units} - {"flood"}) == joined


def test_a_light_caller_goes_first_for_as_long_as_it_is_light() -> None:
    """Beside a flood, however long that has lasted: what it leaves to the flood is never held against it."""
    scheduler = learned(0.001)
    scheduler.add([unit(5, caller="flood") for _ in range(200)])
    scheduler.take(0.0)
    for number in range(200):
        scheduler.add([unit(5, caller="light"), *(unit(5, caller="flood") for _ in range(4))])
        passes = [scheduler.take(0.25 * number) for _ in range(3)]
        served = [{each.caller for each in batch.units} for batch in passes if batch is not None]
        assert served == [{"light"}, {"flood"}, {"flood"}]


def test_a_burst_of_a_light_caller_is_no_flood() -> None:
    """It has more than a pass waiting for a moment, a tenth of what the flood has: passes stay small."""
    scheduler = learned(0.02, each=0.001)
    scheduler.add([unit(5, caller="flood") for _ in range(400)])
    scheduler.add([unit(5, caller="burst") for _ in range(40)])
    assert take_cost(scheduler, 0.0) <= 46
    scheduler.add([unit(5, caller="burst") for _ in range(80)])
    assert take_cost(scheduler, 0.1) == 100


def test_who_has_some_passes_waiting_is_not_light_beside_whoever_has_more() -> None:
    """Five against a hundred: small passes would cost both, and gain neither anything."""
    scheduler = learned(0.2)
    scheduler.add([unit(5, caller="flood") for _ in range(2000)])
    scheduler.add([unit(5, caller="other") for _ in range(120)])
    assert [take_cost(scheduler, now) for now in (0.0, 0.1, 0.2)] == [100] * 3


def test_passes_are_full_while_all_callers_have_much_waiting() -> None:
    """Each waits for its own rows above all, be they in the same lane or another: smaller passes would cost both."""
    scheduler, images = learned(0.2), Lane("images")
    scheduler.add([unit(5, caller="flood") for _ in range(120)])
    scheduler.add([unit(5, caller="other", lane=images) for _ in range(120)])
    assert [take_cost(scheduler, now) for now in (0.0, 0.5, 1.0)] == [100] * 3


def test_passes_are_full_where_nobody_has_much_waiting() -> None:
    """Then what waits is of many, and small passes, which do less, would make all of them wait longer."""
    scheduler = learned(0.2)
    scheduler.add([unit(5, caller=f"{number}") for number in range(80)])
    assert [take_cost(scheduler, now) for now in (0.0, 1.0, 2.0, 3.0)] == [100] * 4


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize(("rows", "most"), [(10, 100), (5, 46)])
def test_who_asks_for_its_share_is_not_light(rows: int, most: int, sides: int) -> None:
    """Having little waiting when another has much: it comes now and then with half of a pass, and is light for half of that.
    While it is away the device serves the other, twice as fast where two passes are made side by side."""
    scheduler = learned(0.2)
    scheduler.sides = sides
    for number in range(12):
        scheduler.add([unit(5, caller="other") for _ in range(rows * sides)])
        scheduler.add([unit(5, caller="flood") for _ in range(20 * sides)])
        for part in range(4 * sides):
            scheduler.take(1.2 * number + 0.3 * part / sides)
    scheduler.add([unit(5, caller="flood") for _ in range(400)])
    scheduler.add([unit(5, caller="other")])
    scheduler.take(14.4)
    assert most - 5 < take_cost(scheduler, 14.5) <= most


FLOOD = {"flood": 9.0}


def met(company: Company, now: float, **waiting: float) -> frozenset[str]:
    """Who is light beside a flood, of these with so many seconds waiting, half a pass each."""
    company.meet(FLOOD | dict.fromkeys(waiting, 0.5), (FLOOD | waiting).__getitem__, now)
    return company.light


def test_shares_are_by_weight() -> None:
    """Of the last three seconds one caller had one: two thirds of a half, more than two thirds of a quarter."""
    for weight, light in ((1.0, {"other"}), (1 / 3, set())):
        company = Company(lambda caller, weight=weight: weight if caller == "other" else 1.0)  # type: ignore[misc]
        met(company, 0.0, other=0.0)
        company.serve("other", 0.99)
        assert met(company, 0.0, other=0.0) == light


def test_what_waits_counts_as_had() -> None:
    """A caller whom a flood keeps from its rows asks for no less by that."""
    company = Company(lambda caller: 1.0)
    assert met(company, 0.0, other=0.9) == {"other"}
    assert met(company, 0.0, other=1.1) == set()


def test_who_went_counts_for_a_while() -> None:
    """Many who come and go take as much as some who stay."""
    company = Company(lambda caller: 1.0)
    for number in range(3):
        met(company, 1.5 * number, **{f"{number}": 0.1})
        company.serve(f"{number}", 1.0)
    assert met(company, 4.5, new=0.1) == set()
    assert met(company, 9.0, new=0.1) == {"new"}


def test_passes_are_full_where_the_light_caller_goes_first_anyway() -> None:
    """A higher priority does not wait for the others' rows but for one pass; its deadline says when that is too long."""
    scheduler = learned(0.2)
    scheduler.add([unit(5, caller="flood") for _ in range(120)])
    scheduler.add([unit(5, caller="ward", priority=1)])
    assert take_cost(scheduler, 0.0) == take_cost(scheduler, 0.5) == 100


def test_who_had_little_may_have_much_for_a_moment() -> None:
    """A quarter of a second of the device beyond its share, once: after that callers share again."""
    scheduler = learned(0.0)
    scheduler.add([unit(5, caller="flood") for _ in range(400)])
    for _ in range(4):
        scheduler.take(0.0)
    scheduler.add([unit(5, caller="burst") for _ in range(100)])
    first = [each.caller for _ in range(8) for each in scheduler.take(0.0).units]  # type: ignore[union-attr]
    assert set(first[:5]) == {"burst"}
    assert first[6:16].count("burst") == 5


def test_callers_under_ever_new_names_are_forgotten() -> None:
    """Twenty of them wait at any time; who left is remembered for a quarter of a second, in which each could be served five of its rows."""
    lane = Lane(budget=10)
    scheduler = learned(0.0, lane)
    scheduler.add([unit(5, caller=f"first {number}", lane=lane) for number in range(20)])
    for number in range(500):
        scheduler.add([unit(5, caller=f"{number} {each}", lane=lane) for each in range(2)])
        assert take_cost(scheduler, 0.0) == 10
    assert 0 < len(scheduler._levels[5].left) <= 300


def test_the_clock_keeps_up_with_who_gets_more_than_a_share() -> None:
    """Beside one who always has a little waiting, another is served more than half, for hours; a newcomer owes it no more for that."""
    scheduler = learned(0.0)
    for _ in range(500):
        scheduler.add([unit(5, caller="little"), *(unit(5, caller="much") for _ in range(19))])
        scheduler.take(0.0)
    scheduler.add([unit(5, caller="much") for _ in range(100)])
    scheduler.add([unit(5, caller="new") for _ in range(100)])
    first = [each.caller for _ in range(6) for each in scheduler.take(0.0).units]  # type: ignore[union-attr]
    assert first.count("much") >= len(first) // 4


def test_passes_are_full_where_the_light_caller_has_another_priority() -> None:
    """Above or below, there now or a moment ago: it does not share with them."""
    for priority in (1, 9):
        scheduler = learned(0.2)
        scheduler.add([unit(5, caller="other", priority=priority)])
        if priority == 1:
            scheduler.take(0.0)
        scheduler.add([unit(5, caller="flood") for _ in range(120)])
        assert [take_cost(scheduler, now) for now in (0.1, 0.2, 0.3)] == [100] * 3


@pytest.mark.parametrize(("others", "second"), [(1, 30 + 2 * 5), (120, 30 + 5)])
def test_what_waits_at_higher_priorities_has_its_room(others: int, second: int) -> None:
    """Light callers below make no pass smaller than that; their rows come besides, without those of a heavy one beside them."""
    scheduler = learned(0.2)
    scheduler.add([unit(5, caller="light", priority=9), *(unit(5, caller="other", priority=9) for _ in range(others))])
    scheduler.add([unit(5, caller="ward", priority=1) for _ in range(26)])
    assert [take_cost(scheduler, now) for now in (0.0, 0.1)] == [100, second]


def test_an_urgent_row_goes_first_whatever_else_its_caller_has_waiting() -> None:
    """A flood at the lowest priority makes its caller's other rows no heavier."""
    scheduler = learned(0.001)
    scheduler.add([unit(5, caller="flood", priority=9) for _ in range(120)])
    scheduler.add([unit(5, caller="light", priority=9)])
    for caller in ("light", "flood"):
        scheduler.add([unit(5, caller=caller, priority=1)])
    batch = scheduler.take(0.0)
    assert batch is not None
    assert {(each.caller, each.priority) for each in batch.units} >= {("light", 1), ("flood", 1)}


def test_who_had_more_than_a_share_is_not_behind_for_as_long_again() -> None:
    """Another caller always had one row in each of two lanes, one of which was always passed over; then one comes who wants as much."""
    images = Lane("images")
    scheduler = learned(0.001)
    for _ in range(10):
        scheduler.learn(images, 100, 1.0)

    def step(*callers: str) -> Counter[str]:
        line = scheduler._levels[5].lines.get("little") if 5 in scheduler._levels else None
        scheduler.add(
            [unit(1, caller="little", lane=each) for each in (LANE, images) if line is None or each not in line.queues]
        )
        scheduler.add([unit(5, caller=caller) for caller in callers for _ in range(10)])
        batch = scheduler.take(0.0)
        assert batch is not None
        return Counter(each.caller for each in batch.units)

    for _ in range(1000):
        step("much")
    given = sum((step("much", "new") for _ in range(400)), Counter[str]())
    assert given["much"] > 0.6 * given["new"] > 0


@pytest.mark.parametrize("weight", [0.5, 0.1])
def test_a_caller_of_little_weight_gets_no_more_than_that(weight: float) -> None:
    """Also where one pass is a second of the device: what it is behind for such a pass is not forgotten."""
    scheduler = Scheduler({"little": weight})
    for cost in (50, 100) * 10:
        scheduler.learn(LANE, cost, cost / 100)
    given = Counter[str]()
    for _ in range(400):
        scheduler.add([unit(50, caller=caller) for caller in ("little", "other") for _ in range(2)])
        batch = scheduler.take(0.0)
        assert batch is not None
        given.update(each.caller for each in batch.units)
    assert given["little"] / given.total() == pytest.approx(weight / (1 + weight), abs=0.02)


def test_who_waits_is_not_shut_out_by_ever_new_names() -> None:
    """Forty rows of callers who are new wait at any time; whoever else waits gets a row in forty."""
    scheduler = learned(0.001)
    scheduler.add([unit(5, caller="job") for _ in range(600)])
    scheduler.take(0.0)
    given, new = Counter[str](), 0
    for number in range(500):
        while scheduler.cost - scheduler._levels[5].lines["job"].cost.total() < 200:
            scheduler.add([unit(5, caller=f"{(new := new + 1)}")])
        batch = scheduler.take(0.1 * number)
        assert batch is not None
        given.update("job" if each.caller == "job" else "new" for each in batch.units)
    assert 0.01 < given["job"] / given.total() < 0.06
    assert len(scheduler._levels[5].left) < 500
