"""The proxy does to a connection what it is told, and nothing else."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import pytest

from tests.fault.proxy import HOST, Fault, Proxy
from tests.kafka_fixture import free_ports

DEADLINE_SECONDS = 10


class Server:
    """Says what it was told back, and remembers it."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.told: list[StreamWriter] = []

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.told.append(writer)
        try:
            while piece := await reader.read(100):
                await self.heard.put(piece)
                writer.write(piece.upper())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


class Sleeper:
    """Sleeps until it is woken."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self.woken = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        await self.asked.put(seconds)
        await self.woken.wait()


class Rig:
    """A server, a proxy before it, and clients."""

    def __init__(self) -> None:
        self.port, target = free_ports(2)
        self.server = Server()
        self.sleeper = Sleeper()
        self.proxy = Proxy(self.port, target, sleep=self.sleeper)
        self.target = target
        self.listening: asyncio.Server | None = None
        self._writers: list[StreamWriter] = []

    async def connect(self) -> tuple[StreamReader, StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in [*self._writers, *self.server.told]:
            writer.transport.abort()
        await self.proxy.stop()
        if self.listening is not None:
            self.listening.close()
            await self.listening.wait_closed()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    made.listening = await asyncio.start_server(made.server.serve, HOST, made.target)
    await made.proxy.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        yield made
    await made.close()


async def is_reset(reader: StreamReader) -> bool:
    """Whether nothing more comes but the end."""
    try:
        return await reader.read(100) == b""
    except ConnectionError:
        return True


async def test_what_goes_in_comes_out_both_ways(rig: Rig) -> None:
    reader, writer = await rig.connect()
    writer.write(b"demand")
    assert await reader.readexactly(6) == b"DEMAND"
    writer.write_eof()
    assert await is_reset(reader)
    while rig.proxy.connections:
        await asyncio.sleep(0)


async def test_a_cut_resets_what_is_open_and_refuses_what_is_new_until_it_is_healed(rig: Rig) -> None:
    reader, _ = await rig.connect()
    while not rig.proxy.connections:
        await asyncio.sleep(0)
    rig.proxy.break_down(Fault.CUT)
    assert await is_reset(reader)
    again, _ = await rig.connect()
    assert await is_reset(again)
    assert rig.proxy.felt == 2
    rig.proxy.heal()
    healed, writer = await rig.connect()
    writer.write(b"demand")
    assert await healed.readexactly(6) == b"DEMAND"


async def test_a_delay_holds_each_piece_back_for_as_long_as_was_said(rig: Rig) -> None:
    reader, writer = await rig.connect()
    rig.proxy.break_down(Fault.DELAY, 0.4)
    writer.write(b"demand")
    assert await rig.sleeper.asked.get() == 0.4
    assert rig.server.heard.empty()
    rig.sleeper.woken.set()
    assert await rig.server.heard.get() == b"demand"
    assert await rig.sleeper.asked.get() == 0.4  # the answer, on its way back
    assert rig.proxy.felt == 2
    assert await reader.readexactly(6) == b"DEMAND"


async def test_a_dropped_answer_was_heard_by_the_server_and_never_arrives(rig: Rig) -> None:
    reader, writer = await rig.connect()
    rig.proxy.break_down(Fault.DROP_TO_CLIENT)
    writer.write(b"demand")
    assert await rig.server.heard.get() == b"demand"
    writer.write(b"second")
    assert await rig.server.heard.get() == b"second"
    while rig.proxy.felt < 2:
        await asyncio.sleep(0)
    rig.proxy.heal()
    assert await is_reset(reader)
    healed, writer = await rig.connect()
    writer.write(b"third")
    assert await healed.readexactly(5) == b"THIRD"


async def test_a_dropped_request_is_not_heard_though_the_server_may_speak(rig: Rig) -> None:
    reader, writer = await rig.connect()
    writer.write(b"first")
    assert await reader.readexactly(5) == b"FIRST"
    assert await rig.server.heard.get() == b"first"
    rig.proxy.break_down(Fault.DROP_TO_BROKER)
    writer.write(b"demand")
    rig.server.told[0].write(b"news")
    assert await reader.readexactly(4) == b"news"
    while not rig.proxy.felt:
        await asyncio.sleep(0)
    rig.proxy.heal()
    assert await is_reset(reader)
    assert rig.server.heard.empty()


async def test_a_client_of_a_dead_broker_hears_of_it(rig: Rig) -> None:
    assert rig.listening is not None
    rig.listening.close()
    reader, _ = await rig.connect()
    assert await is_reset(reader)
