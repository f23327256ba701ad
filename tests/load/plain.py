"""The reference that everybody would write first: `getone`, handle, `send_and_wait` each message, commit each record.

It runs the very handlers of the gateway or of the tax service, in their place and on their topics; only the loop is
plain.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from chopar.bus import port
from tests.load.reference_loops import Reference, exit_with, outputs_of, record_of


async def loop(here: Reference) -> None:
    """Consume for ever."""
    producer = AIOKafkaProducer(bootstrap_servers=here.bootstrap, acks="all", enable_idempotence=True, linger_ms=0)
    consumer = AIOKafkaConsumer(
        here.topic,
        bootstrap_servers=here.bootstrap,
        group_id=here.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await producer.start()
    await consumer.start()
    while not consumer.assignment():
        await asyncio.sleep(0.05)
    places = consumer.assignment()
    await here.handler.assigned({port.TopicPartition(*place): await consumer.position(place) for place in places})
    here.missing.clear()
    async for message in consumer:
        outputs = await outputs_of(here.handler, record_of(message))
        for out in (*outputs.before, *outputs.after):
            await producer.send_and_wait(out.topic, out.value, out.key, out.partition, headers=list(out.headers))
        await consumer.commit({TopicPartition(message.topic, message.partition): message.offset + 1})


if __name__ == "__main__":
    exit_with({"plain": loop})
