"""Making and describing topics on Kafka."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import LeaveGroupRequest

from chopar.bus.kafka.connection import KafkaClientSettings, closed, connected, knows, place_of, translated
from chopar.bus.port import TopicPartition
from chopar.errors import BrokerUnavailableError, ConfigurationError, TopicLayoutError
from chopar.topics import TopicLayout

_REPLICAS = 3  # where there are so many brokers
_CREATE_SECONDS = 60.0  # hundreds of topics at once on a small machine
_LOOK_AGAIN_SECONDS = 0.1


class KafkaAdmin:
    """An admin; see the port."""

    def __init__(self, bootstrap: str, settings: KafkaClientSettings) -> None:
        self._bootstrap = bootstrap
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        common = self._settings.patient(self._bootstrap, "admin")
        self._admin = await connected(
            lambda: AIOKafkaAdminClient(**common), _close_admin, self._bootstrap, self._settings
        )
        try:
            self._consumer = await connected(
                lambda: AIOKafkaConsumer(enable_auto_commit=False, **common),
                _close_consumer,
                self._bootstrap,
                self._settings,
            )
        except BrokerUnavailableError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        admin, self._admin = self._admin, None
        if consumer is not None:
            await closed(_close_consumer(consumer), self._settings)
        if admin is not None:
            await closed(_close_admin(admin), self._settings)

    async def create(self, layouts: Sequence[TopicLayout]) -> list[str]:
        """Make the topics that are missing, and wait until they can be written."""
        if not layouts:
            return []
        async with translated("making topics", _CREATE_SECONDS):
            brokers = len((await self._open().describe_cluster())["brokers"])
            replicas = min(_REPLICAS, max(1, brokers))
            answer = await self._open().create_topics(
                [
                    NewTopic(layout.name, layout.partitions, replicas, topic_configs=dict(layout.settings))
                    for layout in layouts
                ],
                timeout_ms=int(_CREATE_SECONDS * 1000),
            )
        made: list[str] = []
        there: list[TopicLayout] = []
        by_name = {layout.name: layout for layout in layouts}
        for name, code, *message in answer.topic_errors:
            error = for_code(code)
            if code == 0:
                made.append(name)
            elif error is TopicAlreadyExistsError:
                there.append(by_name[name])
            elif getattr(error, "retriable", False):
                raise BrokerUnavailableError(f"topic {name} could not be made: {error.__name__}")
            else:
                raise ConfigurationError(f"topic {name} cannot be made: {message[0] if message else error.__name__}")
        if there:
            await self._compare(there)
        await self._wait_for_leaders({layout.name: layout.partitions for layout in layouts})
        return made

    async def delete(self, names: Sequence[str]) -> None:
        """Delete topics with all that is in them. Those that do not exist are left out."""
        if not names:
            return
        async with translated("deleting topics", _CREATE_SECONDS):
            answer = await self._open().delete_topics(list(names), timeout_ms=int(_CREATE_SECONDS * 1000))
        for name, code, *_ in answer.topic_error_codes:
            error = for_code(code)
            if code and error is not UnknownTopicOrPartitionError:
                raise BrokerUnavailableError(f"topic {name} could not be deleted: {error.__name__}")

    async def partitions(self) -> dict[str, int]:
        """All topics but Kafka's own, and how many partitions each has."""
        async with translated("listing topics", self._settings.request_timeout_seconds):
            topics = await self._open().describe_topics()
        return {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic.get("is_internal")}

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """The committed offsets of a group."""
        async with translated("asking for committed offsets", self._settings.request_timeout_seconds):
            found = await _patiently(lambda: self._open().list_consumer_group_offsets(group))
        return {TopicPartition(*place): meta.offset for place, meta in found.items() if meta.offset >= 0}

    async def note(self, group: str, place: TopicPartition, text: str) -> None:
        """Keep a text beside an offset of a group that nobody joins: whoever is no member may commit to it."""
        async with translated("writing down", self._settings.request_timeout_seconds):
            await _patiently(lambda: self._note(group, place, text))

    async def _note(self, group: str, place: TopicPartition, text: str) -> None:
        coordinator = await self._open().find_coordinator(group)
        kept = [(place.topic, [(place.partition, 0, text)])]
        request = OffsetCommitRequest(
            group, OffsetCommitRequest.DEFAULT_GENERATION_ID, "", OffsetCommitRequest.DEFAULT_RETENTION_TIME, kept
        )
        answer = await self._open()._send_request(request, coordinator)
        for _, partitions in answer.topics:
            for _, code in partitions:
                if code:
                    raise for_code(code)

    async def noted(self, group: str, place: TopicPartition) -> str:
        """What was kept there last."""
        async with translated("asking what was written down", self._settings.request_timeout_seconds):
            found = await _patiently(lambda: self._open().list_consumer_group_offsets(group))
        kept = found.get(place_of(place))
        return str(kept.metadata or "") if kept is not None and kept.offset >= 0 else ""

    async def remove_member(self, group: str, member: str) -> bool:
        """Have a group go on without a member; whether it had it."""
        async with translated("leaving a group", self._settings.request_timeout_seconds):
            coordinator = await self._open().find_coordinator(group)
            answer = await self._open()._send_request(LeaveGroupRequest(group, member), coordinator)
            error = for_code(answer.error_code)
            if answer.error_code and error is not UnknownMemberIdError:
                raise error
            return not answer.error_code

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each."""
        async with translated("asking for end offsets", self._settings.request_timeout_seconds):
            await knows(self._offsets(), {place.topic for place in partitions})
            found = await self._offsets().end_offsets([place_of(place) for place in partitions])
        return {TopicPartition(*place): offset for place, offset in found.items()}

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """The first offset of each stamped at or after a time; the end offset where there is none."""
        async with translated("asking for offsets by time", self._settings.request_timeout_seconds):
            await knows(self._offsets(), {place.topic for place in partitions})
            found = await self._offsets().offsets_for_times({place_of(place): timestamp_ms for place in partitions})
        known = {TopicPartition(*place): meta.offset for place, meta in found.items() if meta is not None}
        late = [place for place in partitions if place not in known]
        return known | (await self.end_offsets(late) if late else {})

    async def _compare(self, layouts: Sequence[TopicLayout]) -> None:
        """Raise TopicLayoutError if a topic that exists is not as it should be."""
        counts = await self.partitions()
        for layout in layouts:
            if counts.get(layout.name) != layout.partitions:
                raise TopicLayoutError(
                    f"topic {layout.name} has {counts.get(layout.name)} partitions, {layout.partitions} are due"
                )
        asked = [
            ConfigResource(ConfigResourceType.TOPIC, layout.name, dict(layout.settings))
            for layout in layouts
            if layout.settings
        ]
        if not asked:
            return
        async with translated("asking for the settings of topics", self._settings.request_timeout_seconds):
            answers = await self._open().describe_configs(asked)
        found: dict[str, dict[str, str]] = {}
        for answer in answers:
            for code, message, _, name, entries in answer.resources:
                if code:
                    raise BrokerUnavailableError(f"the settings of topic {name} are not told: {message}")
                found[name] = {entry[0]: entry[1] for entry in entries}
        for layout in layouts:
            different = [
                f"{name} is {found.get(layout.name, {}).get(name, 'not set')}, {value} is due"
                for name, value in layout.settings.items()
                if found.get(layout.name, {}).get(name) != value
            ]
            if different:
                raise TopicLayoutError(f"topic {layout.name}: {'; '.join(different)}")

    async def _wait_for_leaders(self, counts: dict[str, int]) -> None:
        """A topic made just now has no leaders for a moment, and a send to it would wait."""
        deadline = time.monotonic() + _CREATE_SECONDS
        while True:
            async with translated("asking for leaders", self._settings.request_timeout_seconds):
                topics = await self._open().describe_topics(list(counts))
            led = {
                topic["topic"]: sum(1 for one in topic["partitions"] if one["leader"] >= 0 and not one["error_code"])
                for topic in topics
            }
            if all(led.get(name, 0) >= count for name, count in counts.items()):
                return
            if time.monotonic() > deadline:
                raise BrokerUnavailableError("topics were made, but have no leaders yet; try again")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def _open(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            raise BrokerUnavailableError("not connected")
        return self._admin

    def _offsets(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerUnavailableError("not connected")
        return self._consumer


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again while the broker says "not yet", as on its first day, when it still makes its own topics."""
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def _close_admin(client: Any) -> None:
    await client.close()


async def _close_consumer(client: Any) -> None:
    await client.stop()
