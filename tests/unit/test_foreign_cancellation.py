"""Whose cancellation it is that comes out of a client: the client's own is an error, ours stays what it is."""

import asyncio

import pytest
from aiokafka.errors import KafkaError

from chopar.bus.kafka.connection import foreign_cancellation


async def ended(work: asyncio.Task[None]) -> asyncio.Task[None]:
    await asyncio.wait([work])
    return work


async def test_what_the_client_cancels_of_its_own_is_an_error() -> None:
    own = asyncio.get_running_loop().create_future()
    own.cancel()
    with pytest.raises(KafkaError, match="cancelled its own work"), foreign_cancellation():
        await own


async def test_who_is_cancelled_while_it_waits_ends() -> None:
    async def wait() -> None:
        with foreign_cancellation():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert (await ended(task)).cancelled()


async def test_who_is_cancelled_while_it_runs_ends_too() -> None:
    """The handler of a signal does that: the cancellation is counted before we look, and comes behind it."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with foreign_cancellation():
            await asyncio.Event().wait()

    assert (await ended(asyncio.create_task(run()))).cancelled()


async def test_a_time_out_around_it_is_a_time_out() -> None:
    async def wait() -> None:
        async with asyncio.timeout(0):
            with foreign_cancellation():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


async def test_who_was_cancelled_before_and_went_on_still_tells_the_two_apart() -> None:
    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        own = asyncio.get_running_loop().create_future()
        own.cancel()
        with pytest.raises(KafkaError), foreign_cancellation():
            await own

    assert (await ended(asyncio.create_task(run()))).exception() is None
