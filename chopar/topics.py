"""One table of every topic: its record, key, retention, who may write it and who may read it.

One topic per addressee (and per writer where identity rests on it), because a broker's access lists bind topics. The
key is a demand id as its 36 ASCII characters, never a person's identifier. Topics are made by
`python -m gateway --apply-topics`; access lists are generated from this table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from chopar.identifiers import AgencyId, agency_id

PARTITIONS = 6
"""Everywhere on a demand's way: every hop copies the partition number, so the counts must be equal."""

_DAY_MS = 24 * 60 * 60 * 1000
RETENTION_MS = 35 * _DAY_MS
"""Of every topic that says nothing else, dead letters included."""
_EVIDENCE_MS = 3 * _DAY_MS
_FOREVER = "-1"
_DEAD_LETTER_BYTES = (1024 + 64) * 1024
"""A dead letter is its original and a few headers more: where a whole record fits, its dead letter has to."""


class Key(StrEnum):
    """What a topic's records are keyed by."""

    DEMAND = "demand_id"
    ACTIVATION = "activation or mark"
    SCHEMA = "schema registry key"
    ORIGIN = "the original key"
    LETTER = "place of a dead letter"


class Role(StrEnum):
    """Who writes or reads a topic; the texts are shown."""

    AGENCY = "that agency"
    PROVIDERS = "providers"
    GATEWAY = "gateway"
    EVERY_PROCESS = "every process"
    OPERATIONS = "operations"
    LIST_KEEPERS = "those who keep the lists"
    SCHEMA_REGISTRY = "schema registry"
    TRANSPARENCY_LOG = "transparency log"
    SITUATIONAL_CENTRE = "situational centre"


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """A topic as it is to be created. `settings` are Kafka's own names (`retention.ms`, `cleanup.policy`, ...)."""

    name: str
    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table. `name` ends in a dot where an agency's id follows."""

    name: str
    records: tuple[str, ...]
    key: Key
    retention_ms: int | None
    compacted: bool
    partitions: int
    writers: tuple[Role, ...]
    readers: tuple[Role, ...]
    per: str | None = None
    largest_bytes: int | None = None

    @property
    def written_by(self) -> str:
        """Who may write it, for people."""
        return ", ".join(self.writers)

    @property
    def read_by(self) -> str:
        """Who may read it, for people."""
        return ", ".join(self.readers)

    def of(self, agency: AgencyId | None = None) -> str:
        """The topic's full name, for one agency where it is one per agency."""
        return f"{self.name}{agency}" if self.per and agency else self.name

    def settings(self) -> dict[str, str]:
        """Kafka's settings for it."""
        if self.compacted:
            policy = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        else:
            retention = _FOREVER if self.retention_ms is None else str(self.retention_ms)
            policy = {"cleanup.policy": "delete", "retention.ms": retention, "retention.bytes": _FOREVER}
        if self.largest_bytes is not None:
            policy["max.message.bytes"] = str(self.largest_bytes)
        return {**policy, "segment.ms": str(_DAY_MS), "message.timestamp.type": "LogAppendTime"}

    def layout(self, agency: AgencyId | None = None) -> TopicLayout:
        """How the topic is created."""
        return TopicLayout(self.of(agency), self.partitions, self.settings())


def _topic(
    name: str,
    records: tuple[str, ...],
    writers: tuple[Role, ...],
    readers: tuple[Role, ...],
    *,
    key: Key = Key.DEMAND,
    retention_ms: int | None = RETENTION_MS,
    compacted: bool = False,
    partitions: int = PARTITIONS,
    per: str | None = None,
) -> Topic:
    return Topic(name, records, key, retention_ms, compacted, partitions, writers, readers, per)


_DISPUTED = "chopar.evidence.EvidenceDisputed"
DEMAND_SUBMITTED = _topic(
    "demand.submitted.", ("chopar.demand.Demand", _DISPUTED), (Role.AGENCY,), (Role.GATEWAY,), per="requester"
)
DEMAND_RESOLVED = _topic(
    "demand.resolved.", ("chopar.demand.DemandResolved",), (Role.GATEWAY,), (Role.AGENCY,), per="requester"
)
EVIDENCE_REQUESTED = _topic(
    "evidence.requested.",
    ("chopar.evidence.EvidenceRequested", _DISPUTED),
    (Role.GATEWAY,),
    (Role.AGENCY,),
    per="provider",
)
EVIDENCE_PROVIDED = _topic(
    "evidence.provided.",
    ("chopar.evidence.EvidenceProvided", "chopar.evidence.EvidenceUpheld", "chopar.evidence.EvidenceCorrected"),
    (Role.PROVIDERS,),
    (Role.AGENCY,),
    retention_ms=_EVIDENCE_MS,
    per="requester",
)
EXCHANGE_RECORDED = _topic(
    "exchange.recorded",
    ("chopar.exchange.ExchangeRecorded",),
    (Role.PROVIDERS, Role.GATEWAY),
    (Role.GATEWAY, Role.OPERATIONS, Role.TRANSPARENCY_LOG, Role.SITUATIONAL_CENTRE),
    retention_ms=None,
)
LAW_ACTIVATED = _topic(
    "law.activated",
    ("chopar.law.ListActivated", "chopar.law.ListMark"),
    (Role.LIST_KEEPERS, Role.GATEWAY),  # the gateway writes marks
    (Role.GATEWAY, Role.OPERATIONS, Role.LIST_KEEPERS),
    key=Key.ACTIVATION,
    compacted=True,
    partitions=1,
)
OPERATIONS_REPLAYED = _topic(
    "operations.replayed",
    ("chopar.operations.ReplayRequested", "chopar.operations.LetterReplayed"),
    (Role.OPERATIONS, Role.EVERY_PROCESS),  # a process says what it replayed
    (Role.OPERATIONS, Role.EVERY_PROCESS),
    key=Key.LETTER,
    retention_ms=None,
    partitions=1,
)
SCHEMAS = _topic(
    "_schemas", (), (Role.SCHEMA_REGISTRY,), (Role.SCHEMA_REGISTRY,), key=Key.SCHEMA, compacted=True, partitions=1
)

TOPICS = (
    DEMAND_SUBMITTED,
    DEMAND_RESOLVED,
    EVIDENCE_REQUESTED,
    EVIDENCE_PROVIDED,
    EXCHANGE_RECORDED,
    LAW_ACTIVATED,
    OPERATIONS_REPLAYED,
    SCHEMAS,
)

DEAD_LETTER_SUFFIX = ".dlq"


def dead_letter_topic(topic: str) -> str:
    """Where a record of this topic goes if it cannot be handled."""
    return topic + DEAD_LETTER_SUFFIX


def suffix_of(topic: Topic, name: str) -> AgencyId | None:
    """The agency in a topic's name: for `demand.submitted.*` that is the asker's identity.

    Returns:
        None if the name is not of this topic.
    """
    if topic.per is None or not name.startswith(topic.name) or name.endswith(DEAD_LETTER_SUFFIX):
        return None
    return agency_id(name.removeprefix(topic.name))


def layouts(requesters: Iterable[AgencyId], providers: Iterable[AgencyId]) -> Iterator[TopicLayout]:
    """Every topic to be made for these agencies, dead letter topics included."""
    agencies = {"requester": sorted(requesters), "provider": sorted(providers)}
    for topic in TOPICS:
        for agency in agencies[topic.per] if topic.per else [None]:
            yield topic.layout(agency)
            if topic.key is Key.DEMAND:
                dead = Topic(
                    dead_letter_topic(topic.of(agency)),
                    topic.records,
                    Key.ORIGIN,
                    RETENTION_MS,
                    compacted=False,
                    partitions=1,
                    writers=topic.readers,  # the consumer that failed is one of them
                    readers=(*topic.readers, Role.OPERATIONS),
                    largest_bytes=_DEAD_LETTER_BYTES,
                )
                yield dead.layout()
