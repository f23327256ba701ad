"""Three brokers, of which one is killed, and then a second: nothing acknowledged is lost, nothing falsely acknowledged.

How long that takes is measured by `make test-fault`, which breaks far more.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Collection

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, Producer, Record, Sent, TopicPartition
from chopar.errors import DeliveryError
from chopar.topics import TopicLayout
from tests.contract.bus_rig import FAST, Script, count, fetched
from tests.fault.cluster import PORTS, Cluster
from tests.kafka_fixture import free_ports

pytestmark = [
    pytest.mark.broker,
    pytest.mark.asyncio(loop_scope="module"),
    # aiokafka leaves the connections of a client unclosed whose broker died while it was connecting.
    pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning"),
]

TOPIC = "kept"
PARTITIONS = 6
DEADLINE_SECONDS = 120
"""Against hanging only."""


class Kept:
    """Three brokers, a topic, and which of the values sent to it were acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bus = KafkaBus(cluster.bootstrap)
        self.acknowledged: set[bytes] = set()
        self._next = 0

    async def send(self, producer: Producer) -> list[Exception]:
        """Send a value to each partition; gives what was not acknowledged, with the words for it."""
        values = [b"%d" % number for number in range(self._next, self._next + PARTITIONS)]
        self._next += PARTITIONS
        results = await producer.send([Outgoing(TOPIC, n, b"key", value) for n, value in enumerate(values)])
        pairs = list(zip(values, results, strict=True))
        self.acknowledged |= {value for value, result in pairs if isinstance(result, Sent)}
        return [result for _, result in pairs if isinstance(result, Exception)]

    async def read(self) -> list[bytes]:
        """All that is on the topic."""
        places = [TopicPartition(TOPIC, n) for n in range(PARTITIONS)]
        reader = self.bus.reader(dict.fromkeys(places))
        await reader.start()
        try:
            found: list[bytes] = []
            ends = await reader.end_offsets(places)
            while any(reader.position(place) < end for place, end in ends.items()):
                for records in (await reader.fetch(1000, 0.5)).values():
                    found += [record.value or b"" for record in records]
            return found
        finally:
            await reader.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kept]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), free_ports(PORTS))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await cluster.start()
            made = Kept(cluster)
            admin = made.bus.admin()
            await admin.start()
            await admin.create([TopicLayout(TOPIC, PARTITIONS, {"message.timestamp.type": "LogAppendTime"})])
            await admin.stop()
        yield made
    finally:
        await cluster.stop()


async def test_bad_input_54_a_killed_broker_loses_nothing_and_the_others_go_on(kept: Kept) -> None:
    producer = kept.bus.producer("feeder")
    await producer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await kept.send(producer) == []
            await kept.cluster.brokers[0].kill()
            before = len(kept.acknowledged)
            while len(kept.acknowledged) < before + 5 * PARTITIONS:
                await kept.send(producer)
            read = await kept.read()
            assert kept.acknowledged <= set(read)
            assert len(read) == len(set(read))
            await kept.cluster.brokers[0].start()
            assert await kept.cluster.whole(DEADLINE_SECONDS)
    finally:
        await producer.stop()


async def test_a_group_works_on_while_the_broker_that_keeps_its_offsets_hangs(kept: Kept) -> None:
    """Two of three hang, so that nobody takes over; the one that holds the group's records answers."""
    alive, *hung = kept.cluster.brokers
    topic, echo, group = "asked", "answered", await _group_kept_by(kept, {broker.node.node_id for broker in hung})
    await _create_on(kept, alive.node.node_id, topic, echo)

    def handle(record: Record) -> Outputs:
        return Outputs(after=[Outgoing(echo, 0, record.key, record.value)])

    script = Script(handle)
    loop = ConsumeLoop(kept.bus, group, [topic], script, settings=FAST)
    running = asyncio.create_task(loop.run())
    producer, reader = kept.bus.producer("feeder"), kept.bus.reader({TopicPartition(echo, 0): None})
    await producer.start()
    await reader.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for number in range(6):
                if number == 1:
                    for broker in hung:
                        broker.send(signal.SIGSTOP)
                (result,) = await producer.send([Outgoing(topic, 0, b"key", b"%d" % number)])
                assert isinstance(result, Sent)
                (record,) = await fetched(reader, count(1))
                assert record.value == b"%d" % number
            assert len(script.handled) == 6, "nothing was read again: no session had to be built anew"
    finally:
        for broker in hung:
            broker.send(signal.SIGCONT)
        loop.stop()
        await asyncio.gather(running, producer.stop(), reader.stop(), return_exceptions=True)
    assert await kept.cluster.whole(DEADLINE_SECONDS)


async def _group_kept_by(kept: Kept, brokers: Collection[int]) -> str:
    """A name of a group whose offsets are kept by one of these."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kept.cluster.direct.split(","))
    await admin.start()
    try:
        for number in range(100):
            try:
                if await admin.find_coordinator(f"group-{number}") in brokers:
                    return f"group-{number}"
            except GroupCoordinatorNotAvailableError:  # the topic of offsets is being made
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    raise AssertionError("no group is kept by these")


async def _create_on(kept: Kept, broker: int, *topics: str) -> None:
    """Make topics of one partition, of which one broker alone has a copy."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kept.cluster.direct.split(","))
    await admin.start()
    settings = {"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1"}
    try:
        await admin.create_topics([NewTopic(one, -1, -1, {0: [broker]}, settings) for one in topics])
    finally:
        await admin.close()


async def test_bad_input_55_two_dead_brokers_acknowledge_nothing_falsely_and_it_is_said(kept: Kept) -> None:
    producer = kept.bus.producer("feeder")
    await producer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await kept.send(producer) == []
            before = set(kept.acknowledged)
            dead = kept.cluster.brokers[1:]
            await asyncio.gather(*(broker.kill() for broker in dead))
            errors = await kept.send(producer)
            assert kept.acknowledged == before
            assert [type(error) for error in errors] == [DeliveryError] * PARTITIONS
            assert {str(error) for error in errors} == {"not acknowledged within 12 s"}
            await asyncio.gather(*(broker.start() for broker in dead))
            while len(kept.acknowledged) < len(before) + PARTITIONS:
                await kept.send(producer)
            assert kept.acknowledged <= set(await kept.read())
    finally:
        await producer.stop()


async def test_bad_input_56_a_full_disk_refuses_what_it_cannot_keep_and_what_was_there_stays_readable(
    kept: Kept,
) -> None:
    producer = kept.bus.producer("feeder")
    await producer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            first, second, _ = kept.cluster.brokers
            first.fill_disk()
            before = len(kept.acknowledged)
            while len(kept.acknowledged) < before + 5 * PARTITIONS:  # the others have room
                await kept.send(producer)
            assert kept.acknowledged <= set(await kept.read())
            assert await first.ended(DEADLINE_SECONDS)  # a broker that cannot write says so and goes
            second.fill_disk()
            while not any(isinstance(error, DeliveryError) for error in await kept.send(producer)):
                pass
            assert await second.ended(DEADLINE_SECONDS)
            acknowledged = set(kept.acknowledged)
            assert len(await kept.send(producer)) == PARTITIONS
            assert kept.acknowledged == acknowledged
            await asyncio.gather(first.start(), second.start())  # somebody has made room
            while len(kept.acknowledged) < len(acknowledged) + PARTITIONS:
                await kept.send(producer)
            assert kept.acknowledged <= set(await kept.read())
    finally:
        await producer.stop()
