"""What aiokafka cancels of its own does not end us, and what cancels us does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chopar.bus.kafka.connection import KafkaClientSettings, closed, connected, translated
from chopar.errors import BrokerUnavailableError

SETTINGS = KafkaClientSettings(close_deadline_seconds=0.05, start_deadline_seconds=5.0)


class Client:
    """A client as aiokafka's behave: one step of it awaits a task of its own that it has cancelled."""

    def __init__(self, *, start: bool = False, stop: bool = False) -> None:
        self.start_leaks = start
        self.stop_leaks = stop
        self.stopped = 0

    async def start(self) -> None:
        if self.start_leaks:
            await leak()

    async def stop(self) -> None:
        self.stopped += 1
        if self.stop_leaks:
            await leak()


async def leak() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def forever() -> None:
    await asyncio.Event().wait()


async def stop(client: Client) -> None:
    await client.stop()


async def test_closing_outlives_a_cancellation_of_the_client_and_keeps_the_first_error() -> None:
    client = Client(stop=True)

    async def fail_and_close() -> None:
        try:
            raise BrokerUnavailableError("what really happened")
        finally:
            await closed(client.stop(), SETTINGS)

    with pytest.raises(BrokerUnavailableError, match="what really happened"):
        await fail_and_close()
    assert client.stopped == 1


async def test_closing_that_hangs_ends_at_its_deadline() -> None:
    await closed(forever(), SETTINGS)


async def test_a_start_that_the_client_cancels_is_tried_again() -> None:
    clients = [Client(start=True, stop=True), Client()]
    waiting = list(clients)
    started = await connected(lambda: waiting.pop(0), stop, "127.0.0.1:9", SETTINGS)
    assert started is clients[1]
    assert [client.stopped for client in clients] == [1, 0]


async def test_a_call_that_the_client_cancels_is_an_error_of_ours() -> None:
    with pytest.raises(BrokerUnavailableError):
        async with translated("asking", 5.0):
            await leak()


async def close_something() -> None:
    await closed(forever(), KafkaClientSettings(close_deadline_seconds=60))


async def start_something() -> None:
    client = Client()
    client.start = forever  # type: ignore[method-assign]
    await connected(lambda: client, stop, "127.0.0.1:9", KafkaClientSettings())


async def call_something() -> None:
    async with translated("asking", 60):
        await forever()


@pytest.mark.parametrize("work", [close_something, start_something, call_something])
async def test_whoever_is_cancelled_ends(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_somebody_elses_deadline_is_theirs() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await close_something()


async def test_a_client_is_closed_in_a_task_that_is_being_cancelled() -> None:
    """The cancellation that is under way is known already; one more of the client's own is not for us."""
    closed_after: list[str] = []

    async def run() -> None:
        try:
            await forever()
        finally:
            await closed(Client(stop=True).stop(), SETTINGS)
            closed_after.append("the rest of the cleaning up")

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed_after
