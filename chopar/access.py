"""Who may do what on the broker: access lists, made from the table of topics.

A broker's access list binds a principal to topics, and here a topic is an identity: who may write
`demand.submitted.<agency>` is that agency. So every rule names one topic literally; a prefix such as
`demand.submitted.` would also cover the dead letters of others. Bringing the rules to a broker is left to deployment
(`deploy/k8s/users.yaml` is made from them).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from chopar.identifiers import AgencyId
from chopar.topics import EVIDENCE_REQUESTED, TOPICS, Key, Role, Topic, dead_letter_topic

AGENCY_PREFIX = "agency-"
"""Of an agency's principal, so that no agency's id can be the name of a process of the exchange."""

_PRINCIPALS: Mapping[Role, str] = {
    Role.GATEWAY: "gateway",
    Role.OPERATIONS: "operations",
    Role.LIST_KEEPERS: "list-keepers",
    Role.SCHEMA_REGISTRY: "schema-registry",
    Role.TRANSPARENCY_LOG: "transparency-log",
    Role.SITUATIONAL_CENTRE: "situational-centre",
}
SCHEMA_WRITER = "schema-registry"
"""The transactional id by which the schema registry's leader is fenced."""


class Resource(StrEnum):
    """What a rule is about."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """What a principal may do with one resource, named in full. `operations` are Kafka's own words."""

    resource: Resource
    name: str
    operations: tuple[str, ...]


def principal_of(agency: AgencyId) -> str:
    """The principal of an agency, as asker and as holder."""
    return AGENCY_PREFIX + agency


def access_lists(requesters: Collection[AgencyId], providers: Collection[AgencyId]) -> dict[str, tuple[Rule, ...]]:
    """The rules of every principal, for these agencies.

    Args:
        requesters: agencies that ask; each has its topics.
        providers: agencies that hold registers; may be the same.

    Returns:
        Rules by principal, both sorted; nothing that is not listed is allowed.
    """
    agencies = sorted({*requesters, *providers})
    granted: dict[str, dict[tuple[Resource, str], set[str]]] = {name: {} for name in sorted(_PRINCIPALS.values())}
    granted.update({principal_of(agency): {} for agency in agencies})

    def allow(principal: str, resource: Resource, name: str, *operations: str) -> None:
        granted[principal].setdefault((resource, name), set()).update(operations)

    def principals(role: Role, of: AgencyId | None) -> list[str]:
        if role is Role.AGENCY:
            assert of is not None  # only a topic that is one per agency names it
            return [principal_of(of)]
        if role is Role.PROVIDERS:
            return [principal_of(provider) for provider in providers]
        if role is Role.EVERY_PROCESS:
            return [_PRINCIPALS[Role.GATEWAY], *(principal_of(agency) for agency in agencies)]
        return [_PRINCIPALS[role]]

    for topic, agency in _topics(requesters, providers):
        name = topic.of(agency)
        for role in topic.writers:
            for principal in principals(role, agency):
                allow(principal, Resource.TOPIC, name, "Write", "Describe")
        for role in topic.readers:
            for principal in principals(role, agency):
                allow(principal, Resource.TOPIC, name, "Read", "Describe")
                if topic.key is Key.DEMAND and role is not Role.OPERATIONS:
                    # Who fails on a record writes its dead letter, and replays it.
                    allow(principal, Resource.TOPIC, dead_letter_topic(name), "Read", "Write", "Describe")
        if topic.key is Key.DEMAND:
            allow(_PRINCIPALS[Role.OPERATIONS], Resource.TOPIC, dead_letter_topic(name), "Read", "Describe")

    allow(_PRINCIPALS[Role.GATEWAY], Resource.GROUP, "gateway", "Read")
    for agency in requesters:
        for name in (
            f"requester.{agency}",
            f"requester.{agency}.database",
        ):  # of its askers, and which database is theirs
            allow(principal_of(agency), Resource.GROUP, name, "Read")
    for agency in providers:
        allow(principal_of(agency), Resource.GROUP, f"provider.{agency}", "Read")
    for operation in ("Create", "Describe", "DescribeConfigs"):  # topics are made and compared by operations
        allow(_PRINCIPALS[Role.OPERATIONS], Resource.CLUSTER, "kafka-cluster", operation)
    allow(_PRINCIPALS[Role.SCHEMA_REGISTRY], Resource.TRANSACTIONAL_ID, SCHEMA_WRITER, "Write", "Describe")
    return {
        principal: tuple(
            Rule(resource, name, tuple(sorted(operations))) for (resource, name), operations in sorted(rules.items())
        )
        for principal, rules in granted.items()
    }


def _topics(
    requesters: Collection[AgencyId], providers: Collection[AgencyId]
) -> Iterator[tuple[Topic, AgencyId | None]]:
    for topic in TOPICS:
        if topic.per is None:
            yield topic, None
        else:
            for agency in sorted(providers if topic is EVIDENCE_REQUESTED else requesters):
                yield topic, agency
