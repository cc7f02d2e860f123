"""More comes than the device can do: what is promised then, in simulated time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.scheduler import Scheduler
from tests.inference.simulation import Device, Lane, Stream

STAT, NORMAL, BATCH = 1, 5, 9


def overload(device: Device, times: float, passes: float) -> list[Stream]:
    """`times` what the device can do, a fifth of it STAT, the rest half and half; STAT's patience is so many full passes."""
    load, lane = times * device.capacity(), Lane()
    whole = device.fixed + device.each * lane.budget
    return [
        Stream(0.2 * load, passes * whole, STAT, "ward"),
        Stream(0.4 * load, 2 * passes * whole, NORMAL, "desk"),
        Stream(0.4 * load, 20 * passes * whole, BATCH, "archive", rows=32),
    ]


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    times=st.floats(2.0, 3.0),
    passes=st.floats(4.0, 12.0),
    fixed=st.floats(0.0, 0.02),
    noise=st.floats(0.0, 0.1),
)
def test_three_times_too_much_costs_the_urgent_nothing(
    seed: int, times: float, passes: float, fixed: float, noise: float
) -> None:
    """99 % of STAT's requests in time, no expired row computed, few rows computed for nothing, a twentieth for the lowest priority."""
    device = Device(fixed=fixed, noise=noise)
    ended = device.run(overload(device, times, passes), until=10.0, seed=seed)
    assert ended.rate("answered", STAT) >= 0.99
    assert ended.cost[BATCH] >= 0.05 * ended.cost.total()
    assert ended.vain <= 0.06 * ended.computed


def test_shedding_keeps_passes_full() -> None:
    """In a queue that is too long every row is in a hurry; the device still does nearly all that it can."""
    device = Device()
    ended = device.run([Stream(3 * device.capacity(), 1.0)], until=30.0)
    assert np.median(ended.passes) > 0.9 * Lane().budget
    assert ended.vain <= 0.02 * ended.computed
    assert ended.cost.total() > 0.9 * device.capacity() * ended.busy
    assert ended.rate("answered") > 0.3


def test_what_cannot_be_done_is_refused_at_the_door() -> None:
    """One caller's queue stays as long as its deadlines allow; the rest is told at once instead of at its deadline."""
    device = Device()
    ended = device.run([Stream(3 * device.capacity(), 1.0)], until=30.0)
    gone = ended.count("refused") + ended.count("shed") + ended.count("expired")
    assert ended.count("refused") > 0.8 * gone


@pytest.mark.parametrize("rows", [1, 16])
def test_a_flood_at_most_doubles_what_others_wait(rows: int) -> None:
    """Before it, another caller's requests of 64 rows keep the device two fifths busy; then they are ten times as many."""
    lane = Lane(budget=256)
    whole = Device().capacity(lane)
    modest = Stream(0.2 * whole, 10.0, caller="modest", rows=rows, lane=lane)
    calm, flood = (Stream(load * whole, 10.0, caller="other", rows=64, lane=lane) for load in (0.4, 4.0))
    before, during = (Device().run([modest, other], until=60.0) for other in (calm, flood))
    assert during.count("refused", caller="other") > 0
    assert during.rate("answered", caller="modest") == 1.0
    assert np.quantile(during.took["modest"], 0.99) <= 2 * np.quantile(before.took["modest"], 0.99)


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("load", [0.2, 4.0])
def test_rows_that_fail_cost_others_little_more_than_good_ones(rows: int, load: float) -> None:
    """Beside a caller of nothing but bad rows, another's p99 is at most twice that beside as many good ones; none of its is lost."""
    lane = Lane(budget=256)
    whole = Device().capacity(lane)
    modest = Stream(0.2 * whole, 10.0, caller="modest", rows=rows, lane=lane)
    other = Stream(load * whole, 10.0, caller="other", rows=64, lane=lane)
    beside, harmed = (Device(bad=bad).run([modest, other], until=30.0) for bad in ((), ("other",)))
    assert harmed.count("bad", caller="other") > 0
    assert harmed.rate("answered", caller="modest") == 1.0
    assert np.quantile(harmed.took["modest"], 0.99) <= 2 * np.quantile(beside.took["modest"], 0.99)


def test_a_flood_does_not_shed_what_others_have_in_a_hurry() -> None:
    """Their deadlines leave a pass and a half: passes are small while they are there, and the device still does most of what it can."""
    device, lane = Device(), Lane()
    whole = lane.budget / device.capacity()
    modest = Stream(0.05 * device.capacity(), 1.6 * whole, caller="modest", rows=1)
    flood = Stream(4.0 * device.capacity(), 20 * whole, caller="other", rows=64)
    ended = device.run([modest, flood], until=60.0)
    assert ended.rate("answered", caller="modest") > 0.99
    assert ended.cost.total() > 0.65 * device.capacity() * ended.busy


@pytest.mark.parametrize("patience", [0.03, 0.04, 0.05])
def test_one_caller_in_a_hurry_does_not_slow_down_all(patience: float) -> None:
    """On a device where small passes cost as much as large ones; the others keep it nine tenths busy, the impatient ask for a fiftieth."""
    device = Device(fixed=0.02, each=1e-5, noise=0.05)
    bulk = Stream(0.9 * device.capacity(), 1.0, caller="bulk", rows=16)
    hurry = Stream(0.02 * device.capacity(), patience, caller="hurry", rows=1)
    calm = Device(fixed=0.02, each=1e-5, noise=0.05).run([bulk], until=20.0, seed=1)
    ended = device.run([bulk, hurry], until=20.0, seed=1)
    assert ended.rate("answered", caller="bulk") > 0.99
    assert np.quantile(ended.took["bulk"], 0.99) < 1.5 * np.quantile(calm.took["bulk"], 0.99)


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_light_callers_below_cost_higher_priorities_nothing(load: float) -> None:
    """Passes that are smaller for their sake are so beside what waits above them: else the device could not do so much of it."""
    device = Device()
    capacity = device.capacity()
    streams = [
        Stream(load * capacity, 0.5, STAT, "ward"),
        Stream(capacity, 4.0, BATCH, "archive", rows=64),
        Stream(0.02 * capacity, 4.0, BATCH, "light", rows=1),
    ]
    ended = device.run(streams, until=20.0)
    assert ended.rate("answered", STAT) >= 0.99
    assert ended.rate("answered", BATCH, "light") >= 0.99
    assert ended.cost[BATCH] / 20 >= 0.9 * (1 - load) * capacity


@pytest.mark.parametrize(("callers", "rows", "answered"), [(2, 4, 0.995), (8, 4, 0.995), (64, 4, 0.995), (8, 64, 0.85)])
@pytest.mark.parametrize("fixed", [0.004, 0.02])
def test_callers_who_ask_for_their_share_get_it(callers: int, rows: int, answered: float, fixed: float) -> None:
    """Together for nine tenths of what the device can do: now and then each has much waiting, which makes nobody else light."""
    device = Device(fixed=fixed)
    load = 0.9 * device.capacity() / callers
    ended = device.run([Stream(load, 1.0, caller=f"{number}", rows=rows) for number in range(callers)], until=20.0)
    assert ended.rate("answered") >= answered


@pytest.mark.parametrize("patience", [2.0, 4.0])
def test_one_with_large_requests_does_not_make_others_light(patience: float) -> None:
    """They ask for eight tenths of the device, and it for one."""
    device = Device()
    capacity = device.capacity()
    streams = [Stream(0.04 * capacity, patience, caller=f"{number}") for number in range(20)]
    ended = device.run([*streams, Stream(0.1 * capacity, patience, caller="large", rows=128)], until=20.0)
    assert ended.rate("answered") >= 0.995


def test_weights_divide_the_device() -> None:
    """Both want all of it; one is to have three times the other's."""
    device = Device(scheduler=Scheduler({"heavy": 3.0}))
    both = [Stream(3 * device.capacity(), 5.0, caller=caller) for caller in ("heavy", "light")]
    ended = device.run(both, until=60.0)
    assert ended.count("answered", caller="heavy") / ended.count("answered", caller="light") == pytest.approx(
        3, rel=0.1
    )


def test_lanes_are_weighed_in_time_not_in_their_own_units() -> None:
    """A caller whose rows cost pixels gets no less of the device than one whose rows cost tokens."""
    scheduler = Scheduler()
    texts, images = Lane("texts", 1000), Lane("images", 1_000_000)
    for _ in range(10):
        for lane in (texts, images):
            scheduler.learn(lane, lane.budget, 0.1)
    device = Device(scheduler=scheduler, fixed=0.0)
    streams = [Stream(1e9, 10.0, caller="a", lane=texts, rows=64), Stream(1e9, 10.0, caller="b", lane=images, rows=64)]
    random = np.random.default_rng(0)
    for stream in streams:
        for _, units in zip(range(200), stream.arrivals(10.0, random), strict=False):
            for unit in units[1]:
                unit.cost *= stream.lane.budget // 1000
            scheduler.add(units[1])
    given_to = {"a": 0, "b": 0}
    for _ in range(100):
        batch = device.scheduler.take(0.0)
        assert batch is not None
        given_to[batch.units[0].caller] += batch.cost * 1000 // batch.lane.budget
    assert given_to["a"] == pytest.approx(given_to["b"], rel=0.1)
