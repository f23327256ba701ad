"""Dead letters of the largest records, on both buses: kept whole where they fit, cut where not, and nothing stops."""

import hashlib

from aiokafka import AIOKafkaProducer

from chopar.bus.consume import ConsumeMetrics, Outputs
from chopar.bus.dead_letter import LARGEST_BYTES, read_dead_letter
from chopar.bus.port import Outgoing, Record, Sent, TopicPartition, size_bytes
from chopar.errors import TooLargeError, UndecodableError
from chopar.topics import DEAD_LETTER_SUFFIX
from tests.contract.bus_rig import Bench, KafkaRig, MemoryRig, Script, layout, loop_of, unique

TOPIC_TAKES = 1_048_588  # Kafka's default, which our topics have


async def made(bench: Bench, largest_bytes: int = TOPIC_TAKES) -> str:
    """A topic, and its dead letter topic as ours are."""
    name = await bench.topic(1, max_message_bytes=str(largest_bytes))
    admin = bench.bus.admin()
    await admin.start()
    try:
        await admin.create([layout(name + DEAD_LETTER_SUFFIX, 1, max_message_bytes=str(LARGEST_BYTES))])
    finally:
        await admin.stop()
    return name


async def put(bench: Bench, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
    """Write a record as a foreign client does, which compresses and has no bounds of its own."""
    rig = bench.rig
    if isinstance(rig, MemoryRig):
        rig.bus.log.append(Outgoing(topic, 0, key, value, headers))  # the twin compresses nothing
        return
    assert isinstance(rig, KafkaRig)
    producer = AIOKafkaProducer(
        bootstrap_servers=rig.bootstrap, compression_type="zstd", max_request_size=64 * 1024 * 1024
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key, partition=0, headers=list(headers))
    finally:
        await producer.stop()


async def given_up(bench: Bench, topic: str, count: int) -> list[Record]:
    """Run a loop that gives up all but b"good"; its letters."""

    def handle(record: Record) -> Outputs:
        if record.value != b"good":
            raise UndecodableError("bad")
        return Outputs()

    metrics, group = ConsumeMetrics(), unique("group")
    handler = Script(handle)
    loop = loop_of(bench, topic, handler, group, metrics=metrics)
    await bench.run(loop, lambda: b"good" in handler.values(), "the partition goes on")
    assert await bench.committed(group) == {TopicPartition(topic, 0): count + 1}
    stopped = {"topic": topic, "partition": "0"}
    assert not metrics.registry.get_sample_value("chopar_partition_stopped", stopped)
    return await bench.records(topic + DEAD_LETTER_SUFFIX)


async def test_bad_input_12_the_largest_records_are_dead_letters_as_a_whole(bench: Bench) -> None:
    topic = await made(bench)
    headers = (("ce_id", b"a" * 250), ("traceparent", b"00"))
    keys = (b"k" * 36, b"k" * 400_000)
    values = []
    for key in keys:
        # The overhead that is counted is the most there can be: a broker takes this, and hardly a byte more.
        room = TOPIC_TAKES - size_bytes(Outgoing(topic, 0, key, b"", headers))
        values.append(b"v" * room)
        await put(bench, topic, key, values[-1], headers)
    await bench.send(topic, 0, b"good")
    letters = await given_up(bench, topic, 2)
    for letter, key, value in zip(letters, keys, values, strict=True):
        noted, original = read_dead_letter(letter)
        assert noted.cut is None
        assert (original.key, original.headers) == (key, headers)
        assert original.value == value


async def test_a_record_that_was_taken_compressed_is_cut_and_its_partition_goes_on(bench: Bench) -> None:
    topic = await made(bench, TOPIC_TAKES if bench.rig.name == "kafka" else 32 * 1024 * 1024)
    large = bytes(20 * 1024 * 1024)
    await put(bench, topic, b"key", large)
    await put(bench, topic, b"k" * 2 * 1024 * 1024, b"small")
    await bench.send(topic, 0, b"good")
    letters = [read_dead_letter(letter) for letter in await given_up(bench, topic, 2)]
    assert [noted.offset for noted, _ in letters] == [0, 1]
    cuts = [noted.cut for noted, _ in letters]
    assert [cut and (cut.key_bytes, cut.value_bytes) for cut in cuts] == [(3, len(large)), (2 * 1024 * 1024, 5)]
    assert [cut and cut.value_sha256 for cut in cuts] == [hashlib.sha256(v).hexdigest() for v in (large, b"small")]
    assert letters[0][1].value == large[:65_536]


async def test_client_and_topic_agree_on_the_largest_letter(bench: Bench) -> None:
    topic = await made(bench)
    producer = await bench.producer()
    headers = tuple((f"dlq_{number}", b"x" * 300) for number in range(12))
    for key in (b"k", b"k" * 300_000):
        empty = Outgoing(topic + DEAD_LETTER_SUFFIX, 0, key, b"", headers)
        room = LARGEST_BYTES - size_bytes(empty)
        fits, exceeds = (empty._replace(value=bytes(length)) for length in (room, room + 1))
        results = await producer.send([fits, exceeds])
        assert [type(result) for result in results] == [Sent, TooLargeError]
