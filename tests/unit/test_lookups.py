"""Look-ups made at the same time become one call, and nobody is left waiting."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from chopar.errors import NotFoundError, RegisterUnavailableError
from chopar.provider.lookups import CoalescedLookups


class Squares:
    """A register of squares: knows even numbers, can be held up and made to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.errors: list[Exception] = []
        self.open = asyncio.Event()
        self.open.set()

    async def lookup(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.calls.append(tuple(keys))
        await self.open.wait()
        if self.errors:
            raise self.errors.pop()
        return {key: key * key for key in keys if key % 2 == 0}


async def test_look_ups_of_one_turn_are_one_call_in_their_order() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup)
    assert await asyncio.gather(*(lookups.get(key) for key in (4, 3, 2, 4))) == [16, None, 4, 16]
    assert squares.calls == [(4, 3, 2)]
    assert await lookups.get(6) == 36
    assert squares.calls[1:] == [(6,)]


async def test_a_call_has_no_more_keys_than_allowed() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup, most_at_once=3)
    assert await asyncio.gather(*(lookups.get(key) for key in range(7))) == [0, None, 4, None, 16, None, 36]
    assert squares.calls == [(0, 1, 2), (3, 4, 5), (6,)]


async def test_what_comes_while_a_call_runs_goes_into_the_next_one_together() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup)
    squares.open.clear()
    first = asyncio.create_task(lookups.get(2))
    await _until(lambda: squares.calls == [(2,)])
    later = [asyncio.create_task(lookups.get(key)) for key in (2, 4, 6)]
    await _turns(5)
    assert squares.calls == [(2,)]
    squares.open.set()
    assert await asyncio.gather(first, *later) == [4, 4, 16, 36]
    assert squares.calls == [(2,), (2, 4, 6)]


async def test_a_failed_call_fails_all_its_waiters_and_no_later_ones() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup)
    squares.errors.append(RegisterUnavailableError("away"))
    failed = await asyncio.gather(*(lookups.get(key) for key in (2, 4, 2)), return_exceptions=True)
    assert [type(error) for error in failed] == [RegisterUnavailableError] * 3
    assert await lookups.get(2) == 4


async def test_an_error_of_any_kind_reaches_the_waiters() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup)
    squares.errors.append(NotFoundError("a fault of ours"))
    with pytest.raises(NotFoundError):
        await lookups.get(2)


async def test_a_waiter_who_gives_up_takes_nothing_from_the_others() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup)
    squares.open.clear()
    one, other = (asyncio.create_task(lookups.get(2)) for _ in range(2))
    await _until(lambda: bool(squares.calls))
    waiting = asyncio.create_task(lookups.get(8))
    await _turns(2)
    one.cancel()
    waiting.cancel()
    squares.open.set()
    assert await other == 4
    with pytest.raises(asyncio.CancelledError):
        await one
    assert await lookups.get(4) == 16
    assert squares.calls == [(2,), (4,)]


async def test_closing_fails_who_waits_and_who_comes_later() -> None:
    squares = Squares()
    lookups = CoalescedLookups(squares.lookup)
    squares.open.clear()
    running = asyncio.create_task(lookups.get(2))
    await _until(lambda: bool(squares.calls))
    queued = asyncio.create_task(lookups.get(4))
    await _turns(2)
    await lookups.close()
    for task in (running, queued):
        with pytest.raises(RegisterUnavailableError):
            await task
    with pytest.raises(RegisterUnavailableError):
        await lookups.get(2)
    await lookups.close()
    assert squares.calls == [(2,)]


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)
