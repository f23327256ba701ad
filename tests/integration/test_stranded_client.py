"""A client that aiokafka has left standing: it is noticed, and the loop goes on with a new one."""

import asyncio
from contextlib import AsyncExitStack
from typing import NoReturn

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoOffsetForPartitionError

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.kafka import KafkaBus, KafkaClientSettings
from chopar.bus.kafka.client_watch import is_answered
from chopar.bus.kafka.connection import place_of
from chopar.bus.kafka.consumer import KafkaConsumer
from chopar.bus.kafka.fetcher import KafkaFetcher
from chopar.bus.port import Record, TopicPartition
from chopar.errors import BrokerUnavailableError
from tests.contract.bus_rig import FAST, Bench, KafkaRig, Script, unique, until
from tests.kafka_fixture import free_ports

pytestmark = pytest.mark.broker
IMPATIENT = KafkaClientSettings(unanswered_seconds=0.5, division_seconds=0.5, look_at_topics_seconds=0.2)


def impatient(bootstrap: str) -> KafkaRig:
    """Notices after half a second what takes ten and more."""
    rig = KafkaRig(bootstrap)
    rig.bus = KafkaBus(bootstrap, settings=IMPATIENT)
    return rig


async def nothing(*_: object) -> None:
    """Neither assigned nor revoked partitions matter here."""


async def joined(bench: Bench, stack: AsyncExitStack) -> KafkaConsumer:
    """A member that knows what it holds."""
    consumer = bench.bus.consumer(unique("group"), [await bench.topic(1)], assigned=nothing, revoked=nothing)
    assert isinstance(consumer, KafkaConsumer)
    await consumer.start()
    stack.push_async_callback(consumer.stop)
    async with asyncio.timeout(20):
        while not consumer.settled:
            await consumer.fetch(10, 0.1)
    return consumer


async def raised_by(consumer: KafkaFetcher) -> BrokerUnavailableError:
    """Fetch until it fails."""
    async with asyncio.timeout(20):
        while True:
            try:
                await consumer.fetch(10, 0.1)
            except BrokerUnavailableError as error:
                return error


async def test_a_refusal_to_join_again_is_said_and_not_waited_for(bootstrap: str) -> None:
    """aiokafka keeps it until records are asked for, which they are not while partitions are divided."""
    async with AsyncExitStack() as stack:
        consumer = await joined(Bench(KafkaRig(bootstrap), stack), stack)
        coordinator = consumer._open()._coordinator
        coordinator._session_timeout_ms = 1  # the broker's least is 6 s
        coordinator.request_rejoin()
        assert "joining the group: InvalidSessionTimeoutError" in str(await raised_by(consumer))


async def test_a_client_that_cancels_its_own_joining_does_not_cancel_who_fetches(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        consumer = await joined(Bench(KafkaRig(bootstrap), stack), stack)
        consumer._open()._coordinator._coordination_task.cancel()
        consumer._settled.clear()
        assert "joining the group" in str(await raised_by(consumer))


async def test_a_refusal_at_the_start_is_named(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        topic = await Bench(KafkaRig(bootstrap), stack).topic(1)
        settings = KafkaClientSettings(session_timeout_seconds=0.001, start_deadline_seconds=0.5)
        consumer = KafkaBus(bootstrap, settings=settings).consumer(
            unique("group"), [topic], assigned=nothing, revoked=nothing
        )
        with pytest.raises(BrokerUnavailableError, match="refuses us: InvalidSessionTimeoutError"):
            await consumer.start()
        await consumer.stop()


async def test_a_loop_whose_member_is_stranded_goes_on_with_another(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        bench = Bench(impatient(bootstrap), stack)
        topic = await bench.topic(1)
        handled: list[bytes | None] = []

        async def handle(record: Record) -> Outputs:
            handled.append(record.value)
            return Outputs()

        loop = ConsumeLoop(bench.bus, unique("group"), [topic], Script(handle), settings=FAST)
        running = asyncio.create_task(loop.run())
        try:
            await until(lambda: not loop.missing(), "it is there")
            stranded = loop._consumer
            assert isinstance(stranded, KafkaConsumer)
            coordinator = stranded._open()._coordinator
            await coordinator._coordinator_lookup_lock.acquire()  # as a look-up that never ends
            coordinator.coordinator_dead()
            assert "no broker answers" in str(loop.missing())
            await until(lambda: loop._consumer is not stranded and not loop.missing(), "a new member is there")
            await bench.send(topic, 0, b"after")
            await until(lambda: handled == [b"after"], "it reads")
        finally:
            loop.stop()
            await asyncio.gather(running, return_exceptions=True)
        assert running.exception() is None


async def test_a_division_that_aiokafka_does_not_end_is_left(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        consumer = await joined(Bench(impatient(bootstrap), stack), stack)
        consumer._settled.clear()  # as `on_partitions_revoked` does, and nothing after it
        assert "not done within" in str(await raised_by(consumer))


async def test_what_a_handler_takes_to_take_partitions_over_is_no_division(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        bench = Bench(impatient(bootstrap), stack)
        called, ready = asyncio.Event(), asyncio.Event()

        async def slow(*_: object) -> None:
            called.set()
            await ready.wait()

        consumer = bench.bus.consumer(unique("group"), [await bench.topic(1)], assigned=slow, revoked=nothing)
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        async with asyncio.timeout(20):
            await called.wait()
            for _ in range(10):  # twice as long as a division may take
                assert await consumer.fetch(10, 0.1) == {}
            assert not consumer.settled
            ready.set()
            while not consumer.settled:
                await consumer.fetch(10, 0.1)


async def test_a_member_asks_by_a_client_for_its_group_and_stopped_it_asks_no_more(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        bench = Bench(KafkaRig(bootstrap), stack)
        asked: list[object] = []
        ended = asyncio.Event()

        async def asks(*what: object) -> bool:
            asked.append(what[-1])
            try:
                return await asyncio.Event().wait()
            finally:
                ended.set()

        monkeypatch.setattr("chopar.bus.kafka.fetcher.is_answered", asks)
        bench.bus = KafkaBus(bootstrap, settings=KafkaClientSettings(unanswered_seconds=0.0))
        consumer = await joined(bench, stack)
        asked.clear()
        coordinator = consumer._open()._coordinator
        async with coordinator._coordinator_lookup_lock:
            coordinator.coordinator_dead()
            async with asyncio.timeout(20):
                while not asked:
                    await consumer.fetch(10, 0.01)
        assert asked == [consumer._group]
        await consumer.stop()
        assert ended.is_set()
        consumer._settled.clear()  # as a division does that begins while it leaves
        for _ in range(3):
            assert await consumer.fetch(10, 0.01) == {}
            await asyncio.sleep(0)
        assert len(asked) == 1


async def test_a_reader_whose_brokers_have_all_moved_says_so(bootstrap: str) -> None:
    """aiokafka asks the bootstrap list at start alone."""
    async with AsyncExitStack() as stack:
        topic = await Bench(KafkaRig(bootstrap), stack).topic(1)
        reader = KafkaBus(bootstrap, settings=IMPATIENT).reader({TopicPartition(topic, 0): None})
        await reader.start()
        stack.push_async_callback(reader.stop)
        assert await reader.fetch(1, 0.1) == {}
        network = reader._open()._client
        [port] = free_ports(1)
        [(number, known)] = network.cluster._brokers.items()
        network.cluster._brokers = {number: known._replace(port=port)}
        for connection in network._conns.values():
            connection.close()
        said = str(await raised_by(reader))
        assert "another client is answered (metadata runs, fetching runs)" in said, said


async def test_a_reader_whose_start_is_cancelled_leaves_nothing_behind(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        topic = await Bench(KafkaRig(bootstrap), stack).topic(1)
        asked = asyncio.Event()

        async def asks(*_: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr("chopar.bus.kafka.fetcher.knows", asks)
        reader = KafkaBus(bootstrap).reader({TopicPartition(topic, 0): None})
        assert isinstance(reader, KafkaFetcher)
        before = asyncio.all_tasks()
        starting = asyncio.create_task(reader.start())
        await asked.wait()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        assert asyncio.all_tasks() == before


async def test_reading_that_ends_in_the_client_is_said(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        consumer = await joined(Bench(KafkaRig(bootstrap), stack), stack)
        fetcher = consumer._open()._fetcher

        def fail(*_: object) -> NoReturn:
            raise AssertionError("as aiokafka asserts")

        fetcher._get_actions_per_node = fail
        fetcher._notify(fetcher._wait_consume_future)
        assert "ended in the client (AssertionError)" in str(await raised_by(consumer))


async def test_a_client_that_looks_for_leaders_no_more_is_left(bootstrap: str) -> None:
    async with AsyncExitStack() as stack:
        consumer = await joined(Bench(KafkaRig(bootstrap), stack), stack)
        consumer._open()._client._sync_task.cancel()
        assert "ended in the client (cancelled)" in str(await raised_by(consumer))


async def test_a_partition_found_twice_without_an_offset_is_read_on(bootstrap: str) -> None:
    """Its leader moved while aiokafka looked: both looks end so, and the start that we name counts."""
    async with AsyncExitStack() as stack:
        bench = Bench(KafkaRig(bootstrap), stack)
        consumer = await joined(bench, stack)
        [place] = consumer.held()
        client = consumer._open()
        for _ in range(2):
            client._fetcher._set_error(place_of(place), NoOffsetForPartitionError(place_of(place)))
        await bench.send(place.topic, place.partition, b"read")
        async with asyncio.timeout(20):
            while not (got := await consumer.fetch(1, 0.1)):
                consumer.seek(place, 0)
        assert [record.value for record in got[place]] == [b"read"]


async def test_another_client_finds_the_coordinator_of_a_broker_that_is_there_alone(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaClientSettings(request_timeout_seconds=2.0)
    assert await is_answered(settings, settings.common(bootstrap, "probe"), unique("group"))
    monkeypatch.setattr(AIOKafkaClient, "get_random_node", lambda _: None)
    assert not await is_answered(settings, settings.common(bootstrap, "probe"), unique("group")), "it names no brokers"
    [port] = free_ports(1)
    assert not await is_answered(settings, settings.common(f"127.0.0.1:{port}", "probe"), unique("group"))


@pytest.mark.parametrize("step", ["bootstrap", "coordinator_lookup", "ready"])
async def test_another_client_is_not_waited_for_without_end(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def silent(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaClient, step, silent)
    settings = KafkaClientSettings(request_timeout_seconds=0.5)
    async with asyncio.timeout(20):
        assert not await is_answered(settings, settings.common(bootstrap, "probe"), unique("group"))


async def test_a_coordinator_that_cannot_be_reached_is_no_answer(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, usual = KafkaClientSettings(), AIOKafkaClient.ready

    async def reaches(client: AIOKafkaClient, *node: object, group: int = 0) -> bool:
        return not group and await usual(client, *node)

    monkeypatch.setattr(AIOKafkaClient, "ready", reaches)
    assert not await is_answered(settings, settings.common(bootstrap, "probe"), unique("group"))
