"""How much a server has in hand."""

import asyncio

import pytest

from shared.serve.room import Room


async def test_events_and_bytes_are_bounded() -> None:
    """What does not fit either bound is refused, until something is given back."""
    room = Room(3, 100)
    assert room.take(2, 50)
    assert not room.take(2, 1)
    assert not room.take(1, 51)
    assert room.take(1, 50)
    room.give(2, 50)
    assert room.take(2, 50)


async def test_what_is_larger_than_all_room_is_let_in_alone() -> None:
    """Refusing it would refuse it for ever."""
    room = Room(3, 100)
    assert room.take(1, 500)
    assert not room.take(1, 1)
    room.give(1, 500)
    assert room.take(4, 1)


async def test_who_waits_comes_in_order_and_before_who_asks_later() -> None:
    """A small one does not overtake the large one that waits."""
    room, order = Room(2, 100), []
    assert room.take(2, 10)

    async def enter(name: str, events: int) -> None:
        await room.wait(events, 1)
        order.append(name)

    tasks = [asyncio.ensure_future(enter("large", 2)), asyncio.ensure_future(enter("small", 1))]
    await asyncio.sleep(0)
    room.give(1, 5)
    assert not room.take(1, 1)
    room.give(1, 5)
    await tasks[0]
    assert order == ["large"]
    room.give(2, 1, patient=True)
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


@pytest.mark.parametrize("had_its_turn", [False, True])
async def test_who_leaves_holds_up_nobody(had_its_turn: bool) -> None:
    """Also one who leaves at the very moment at which it would have come in."""
    room = Room(1, 100)
    assert room.take(1, 1)
    leaving, staying = (asyncio.ensure_future(room.wait(1, 1)) for _ in range(2))
    await asyncio.sleep(0)
    if had_its_turn:
        room.give(1, 1)
        leaving.cancel()
    else:
        leaving.cancel()
        await asyncio.sleep(0)
        room.give(1, 1)
    await asyncio.wait_for(staying, 5)
    assert leaving.cancelled()
    assert not room.take(1, 1)


async def test_who_waits_leaves_a_quarter_to_who_may_not() -> None:
    """However many large ones of a stream wait, a call that fits the quarter comes in."""
    room = Room(8, 80)
    waiting = [asyncio.ensure_future(room.wait(1, 20)) for _ in range(5)]
    await asyncio.sleep(0)
    assert [each.done() for each in waiting] == [True, True, True, False, False]
    assert room.take(1, 15)
    assert not room.take(1, 6)
    assert room.take(1, 5)
    room.give(1, 20, patient=True)
    await waiting[3]
    for each in waiting:
        each.cancel()


async def test_who_may_not_wait_starves_nobody_who_does() -> None:
    """While one waits, calls that keep coming get no more than their quarter, and what they held before falls free."""
    room = Room(8, 80)
    assert all(room.take(1, 10) for _ in range(8))
    waiting = asyncio.ensure_future(room.wait(1, 60))
    await asyncio.sleep(0)
    let_in = []
    for _ in range(8):
        room.give(1, 10)
        let_in.append(room.take(1, 10))
        await asyncio.sleep(0)
    assert waiting.done()
    assert not any(let_in[:6])


async def test_what_is_larger_than_the_part_of_those_who_wait_comes_in_too() -> None:
    """Alone among them, and beside no more than the quarter that is kept."""
    room = Room(8, 80)
    assert room.take(1, 30)
    waiting = asyncio.ensure_future(room.wait(1, 200))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.give(1, 30)
    await asyncio.wait_for(waiting, 5)
    assert not room.take(1, 1)


async def test_who_leaves_lets_the_next_one_in() -> None:
    """A large one that gives up does not keep small ones behind it waiting for somebody else to end."""
    room = Room(8, 80)
    await room.wait(1, 30)
    large, small = (asyncio.ensure_future(room.wait(1, size)) for size in (50, 30))
    await asyncio.sleep(0)
    large.cancel()
    await asyncio.wait_for(small, 5)
