"""The bus on Kafka: makes the clients, all with the same settings."""

from collections.abc import Mapping, Sequence

from chopar.bus.kafka.admin import KafkaAdmin
from chopar.bus.kafka.connection import KafkaClientSettings, quiet
from chopar.bus.kafka.consumer import KafkaConsumer
from chopar.bus.kafka.fetcher import KafkaReader
from chopar.bus.kafka.producer import FencedKafkaProducer, KafkaProducer
from chopar.bus.loopback import require_loopback
from chopar.bus.port import Assigned, Revoked, TopicPartition


class KafkaBus:
    """Kafka.

    Args:
        bootstrap: `host:port`, several separated by commas.
        insecure: allow a broker that is not loopback although nobody is authenticated.
        settings: deadlines, sizes, and the options of every client.

    Raises:
        ConfigurationError: an address is not loopback and `insecure` is not set.
    """

    def __init__(self, bootstrap: str, *, insecure: bool = False, settings: KafkaClientSettings | None = None) -> None:
        require_loopback(bootstrap.split(","), insecure)
        quiet()
        self._bootstrap = bootstrap
        self._settings = settings or KafkaClientSettings()

    def producer(self, name: str) -> KafkaProducer:
        """An idempotent producer."""
        return KafkaProducer(self._bootstrap, name, self._settings)

    def fenced_producer(self, transactional_id: str) -> FencedKafkaProducer:
        """A producer of which only the newest incarnation may write."""
        return FencedKafkaProducer(self._bootstrap, transactional_id, self._settings)

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Revoked) -> KafkaConsumer:
        """A member of a group."""
        return KafkaConsumer(self._bootstrap, group, topics, self._settings, assigned=assigned, revoked=revoked)

    def reader(self, start: Mapping[TopicPartition, int | None], *, read_committed: bool = False) -> KafkaReader:
        """A reader of named partitions."""
        return KafkaReader(self._bootstrap, start, self._settings, read_committed=read_committed)

    def admin(self) -> KafkaAdmin:
        """An admin."""
        return KafkaAdmin(self._bootstrap, self._settings)
