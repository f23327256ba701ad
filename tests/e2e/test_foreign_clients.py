"""Clients that we did not write, on the running stack: the CloudEvents SDK and Confluent's client read it and ask."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cloudevents.core.base import BaseCloudEvent, EventFactory
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from chopar.avro import SchemaFiles
from chopar.bus.port import partition_of
from chopar.topics import PARTITIONS
from tests.e2e.stack_fixture import DEADLINE_SECONDS, Cli, RunningStack, new_key

pytestmark = pytest.mark.broker

HET = "electricity-het"
TOPICS = {
    f"demand.submitted.{HET}": ("chopar.demand.Demand", f"/agencies/{HET}"),
    f"demand.resolved.{HET}": ("chopar.demand.DemandResolved", "/gateway"),
    "evidence.requested.tax-committee": ("chopar.evidence.EvidenceRequested", "/gateway"),
    f"evidence.provided.{HET}": ("chopar.evidence.EvidenceProvided", "/agencies/tax-committee"),
    "exchange.recorded": ("chopar.exchange.ExchangeRecorded", None),
}


class BytesFormat:
    """A CloudEvents format for data that is bytes; the SDK's own makes text of Avro that happens to be UTF-8."""

    def read(self, event_factory: EventFactory | None, data: str | bytes) -> BaseCloudEvent:
        raise NotImplementedError

    def write(self, event: BaseCloudEvent) -> bytes:
        raise NotImplementedError

    def read_data(self, body: bytes, datacontenttype: str | None) -> bytes:
        return body

    def write_data(self, data: dict[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:
        assert isinstance(data, bytes)
        return data

    def get_content_type(self) -> str:
        return "application/avro"


class Foreign:
    """Confluent's own clients, and what they have decoded."""

    def __init__(self, stack: RunningStack) -> None:
        self.bootstrap = stack.address("bootstrap")
        self.registry = SchemaRegistryClient({"url": stack.address("registry")})
        self.decode = AvroDeserializer(self.registry)

    def read(self, key: bytes, enough: Callable[[list[Message]], bool]) -> list[Message]:
        """Read the topics of an exchange until there is enough of one demand."""
        found: list[Message] = []
        settings = {
            "bootstrap.servers": self.bootstrap,
            "group.id": f"foreign-{key.decode()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        with closing(Consumer(settings)) as consumer:
            consumer.subscribe(list(TOPICS))
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not enough(found):
                assert time.monotonic() < deadline, [message.topic() for message in found]
                for message in consumer.consume(500, 0.2):
                    assert message.error() is None
                    if message.key() == key:
                        found.append(message)
        return found

    def datum(self, message: Message) -> dict[str, Any]:
        topic, value = message.topic(), message.value()
        assert isinstance(topic, str)
        return dict(self.decode(value, SerializationContext(topic, MessageField.VALUE)))

    def submit(self, pinfl: str, key: bytes, partitioner: str | None) -> int:
        """Send a demand by Confluent's producer and serialiser; the partition on which it was acknowledged."""
        now = datetime.now(UTC)
        demand: dict[str, Any] = {
            "demand_id": key.decode(),
            "requester": HET,
            "procedure": "electricity-supply-contract",
            "case_id": "foreign-1",
            "official": "official-7",
            "subject": {"kind": "person", "id": pinfl},
            "parties": [],
            "applicant": None,
            "acting_as": "self",
            "ground": {"kind": "law", "reference": "article 1"},
            "circumstances": {},
            "documents": [{"type": "tax-debt-certificate", "about": None, "parameters": {}}],
            "expires_at": now + timedelta(days=1),
        }
        topic = f"demand.submitted.{HET}"
        serializer = AvroSerializer(
            self.registry,
            Schema(SchemaFiles.shipped().texts["chopar.demand.Demand"], "AVRO"),
            conf={"auto.register.schemas": False, "subject.name.strategy": record_subject_name_strategy},
        )
        value = serializer(demand, SerializationContext(topic, MessageField.VALUE))
        places: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None
            partition = message.partition()
            assert partition is not None
            places.append(partition)

        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "acks": "all"}
        producer = Producer(settings | ({"partitioner": partitioner} if partitioner else {}))
        producer.produce(topic, value, key, on_delivery=delivered)
        assert producer.flush(DEADLINE_SECONDS) == 0
        return places[0]


@pytest.fixture(scope="module")
def foreign(stack: RunningStack, cli: Cli) -> Iterator[Foreign]:
    made = Foreign(stack)
    yield made
    made.registry.close()


def whole(messages: list[Message]) -> bool:
    """Whether an exchange about one document has all its six records."""
    return len(messages) == len(TOPICS) + 1


@pytest.fixture(scope="module")
def exchange(foreign: Foreign, cli: Cli, pinfl: str) -> list[Message]:
    """The records of a demand that our own requester sent."""
    return foreign.read(cli.demand(pinfl).data["demand_id"].encode(), whole)


def test_the_cloudevents_sdk_reads_every_record_of_an_exchange(exchange: list[Message]) -> None:
    events: dict[str, BaseCloudEvent] = {}
    for message in exchange:
        headers = dict(cast("list[tuple[str, bytes]]", message.headers()))
        value = message.value()
        assert isinstance(value, bytes)
        event = from_kafka(KafkaMessage(headers, message.key(), value), BytesFormat())
        events[event.get_id()] = event
        record, source = TOPICS[str(message.topic())]
        assert event.get_type() == record
        assert event.get_source() == source or record.endswith("ExchangeRecorded")
        assert event.get_specversion() == "1.0"
        assert event.get_datacontenttype() == "application/avro"
        assert event.get_data() == value
        assert event.get_extension("partitionkey") == event.get_extension("correlationid")
        at = event.get_time()
        assert at is not None
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    assert len(events) == len(exchange)
    resolved, requested, provided = (
        next(event for event in events.values() if event.get_type().endswith(record))
        for record in ("DemandResolved", "EvidenceRequested", "EvidenceProvided")
    )
    assert resolved.get_extension("causationid") == requested.get_extension("causationid")
    assert provided.get_extension("causationid") == requested.get_id()


def test_the_confluent_deserializer_reads_every_record_of_an_exchange(
    foreign: Foreign, exchange: list[Message], pinfl: str
) -> None:
    read = {str(message.topic()): foreign.datum(message) for message in exchange}
    demand, resolved = read[f"demand.submitted.{HET}"], read[f"demand.resolved.{HET}"]
    requested, provided = read["evidence.requested.tax-committee"], read[f"evidence.provided.{HET}"]
    assert demand["subject"] == requested["subject"] == {"kind": "person", "id": pinfl}
    assert {str(datum["demand_id"]) for datum in read.values()} == {str(demand["demand_id"])}
    assert [document["outcome"] for document in resolved["documents"]] == ["fetch"]
    assert resolved["documents"][0]["request_id"] == requested["request_id"] == provided["request_id"]
    body = foreign.decode(provided["body"], SerializationContext("", MessageField.VALUE))
    assert body["has_debt"] in (True, False)
    assert body["debts"] is None
    recorded = [foreign.datum(message) for message in exchange if message.topic() == "exchange.recorded"]
    assert sorted((entry["resolution"] is None, entry["access"] is None) for entry in recorded) == [
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize("partitioner", ["murmur2_random", None])
def test_a_demand_of_the_confluent_producer_is_answered(foreign: Foreign, pinfl: str, partitioner: str | None) -> None:
    """By Kafka's own partitioner where `partition_of` says; by librdkafka's default, another hash, where it was put."""
    key = new_key()
    partition = foreign.submit(pinfl, key, partitioner)
    if partitioner is not None:
        assert partition == partition_of(key, PARTITIONS)
    answers = foreign.read(key, whole)
    assert {message.partition() for message in answers} == {partition}
    [resolved] = [foreign.datum(m) for m in answers if m.topic() == f"demand.resolved.{HET}"]
    assert [(d["outcome"], d["code"]) for d in resolved["documents"]] == [("fetch", "ground")]
