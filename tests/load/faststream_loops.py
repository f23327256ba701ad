"""FastStream as a reference, with the very handlers of the gateway or of the tax service, on their topics.

`usual` is how its guide begins: one subscriber, one message at a time, each output published and awaited, acknowledged
after each. `batch` is the fastest way that it documents: batches of 500, publications without confirmation, gathered.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from chopar.bus.port import Outgoing, TopicPartition
from tests.load.reference_loops import Reference, exit_with, outputs_of, record_of

BATCH = 500


class Handled:
    """A handler behind a subscriber, which does not say where its partitions begin: their first record does."""

    def __init__(self, here: Reference) -> None:
        self._handler = here.handler
        self._known: set[TopicPartition] = set()

    async def outputs(self, message: ConsumerRecord) -> tuple[Sequence[Outgoing], Sequence[Outgoing]]:
        """What one message leads to: first, and after that is acknowledged."""
        record = record_of(message)
        if record.topic_partition not in self._known:
            self._known.add(record.topic_partition)
            await self._handler.assigned({record.topic_partition: record.offset})
        found = await outputs_of(self._handler, record)
        return found.before, found.after


def broker_of(here: Reference) -> KafkaBroker:
    """A broker with the guarantees that ours has."""
    return KafkaBroker(here.bootstrap, acks="all", enable_idempotence=True, logger=None)


async def publish(broker: KafkaBroker, out: Outgoing, **more: Any) -> Any:
    """Publish one output."""
    headers = {name: value.decode() for name, value in out.headers}
    return await broker.publish(
        out.value, topic=out.topic, key=out.key, partition=out.partition, headers=headers, **more
    )


async def usual(here: Reference) -> None:
    """One at a time, for ever."""
    broker, handled = broker_of(here), Handled(here)

    @broker.subscriber(
        here.topic, group_id=here.group, auto_offset_reset="earliest", ack_policy=AckPolicy.NACK_ON_ERROR
    )
    async def handle(body: bytes, message: KafkaMessage) -> None:
        before, after = await handled.outputs(message.raw_message)
        for out in (*before, *after):
            await publish(broker, out)

    await run(broker, here)


async def batch(here: Reference) -> None:
    """Batches, for ever."""
    broker, handled = broker_of(here), Handled(here)

    @broker.subscriber(
        here.topic,
        group_id=here.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=BATCH,
    )
    async def handle(bodies: list[bytes], message: KafkaMessage) -> None:
        each = [await handled.outputs(one) for one in message.raw_message]
        for outputs in ([o for before, _ in each for o in before], [o for _, after in each for o in after]):
            flying = [await publish(broker, out, no_confirm=True) for out in outputs]
            await asyncio.gather(*flying)

    await run(broker, here)


async def run(broker: KafkaBroker, here: Reference) -> None:
    """Consume until the process is ended."""
    async with broker:
        await broker.start()
        here.missing.clear()
        await asyncio.Event().wait()


if __name__ == "__main__":
    exit_with({"usual": usual, "batch": batch})
