"""The bus on Kafka, by aiokafka. Only this package imports aiokafka; its errors do not leave it."""

from chopar.bus.kafka.bus import KafkaBus
from chopar.bus.kafka.connection import KafkaClientSettings, record_code_is_native

__all__ = ["KafkaBus", "KafkaClientSettings", "record_code_is_native"]
