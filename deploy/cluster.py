"""What every cluster of ours has in common: three nodes, and the settings on which the promises rest.

Taken from the embedded node's settings, so that production and `make up` cannot drift apart in what matters.
"""

from pathlib import Path

from chopar.broker.kafka_node import KafkaNode

NODES = 3
KAFKA_VERSION = "4.3.1"
METADATA_VERSION = "4.3-IV0"

_SHARED = (
    "auto.create.topics.enable",
    "default.replication.factor",
    "min.insync.replicas",
    "log.message.timestamp.type",
    "log.roll.ms",
    "offsets.retention.minutes",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
)


def shared_settings() -> dict[str, str]:
    """Kafka's own names and values, of a cluster of three."""
    node = KafkaNode(Path("node"), 1, 2, voters=tuple((number, number) for number in range(1, NODES + 1)))
    settings = node.settings()
    return {name: settings[name] for name in _SHARED}
