"""Levels and deletions: as the log has them, over restarts, followers and compaction; and what must not be broken."""

import json
from collections.abc import AsyncIterator

import pytest

from chopar.avro.compatibility import DEFAULT_LEVEL, Level
from chopar.bus.memory import MemoryBus
from services.schema_registry.handlers import (
    Deletion,
    compare,
    delete_subject,
    delete_version,
    drop_level,
    register,
    set_level,
)
from services.schema_registry.log_records import level_key, schema_key
from services.schema_registry.model import RequestRefusedError, Schemas
from tests.schema_registry_fixture import Instance, memory_bus, until

ALL = Deletion(for_good=True)


def text(*fields: tuple[str, str], name: str = "R") -> str:
    made = [{"name": field, "type": kind} for field, kind in fields]
    return json.dumps({"type": "record", "name": name, "namespace": "a", "fields": made})


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    async with Instance(memory_bus()).following() as made:
        yield made


async def add(instance: Instance, schema: str, subject: str = "a.R") -> int:
    return (await register(instance.schemas, instance.topic, subject, schema)).version


def compacted(bus: MemoryBus) -> Schemas:
    """What a process knows that starts after all was cleaned up: of each key the last value, and no tombstones."""
    last = {record.key: record for record in bus.records("_schemas")}
    schemas = Schemas()
    for record in sorted(last.values(), key=lambda record: record.offset):
        if record.value is not None:
            schemas.apply(record.key, record.value)
    assert schemas.refused == 0
    return schemas


async def test_levels_and_deletions_are_in_the_log_for_restarts_and_followers() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as first, Instance(bus).following() as follower:
        await add(first, text(("x", "int")))
        await set_level(first.topic, None, Level.FORWARD)
        await set_level(first.topic, "a.R", Level.NONE)
        await add(first, text(("x", "string")))
        await delete_version(first.schemas, first.topic, "a.R", 1, ALL, for_good=False)
        await add(first, text(name="S"), "a.S")
        await delete_subject(first.schemas, first.topic, "a.S", ALL, for_good=False)
        await until(lambda: follower.schemas.subjects(deleted_only=True) == ["a.S"])
        async with Instance(bus).following() as second:
            for schemas in (first.schemas, follower.schemas, second.schemas, compacted(bus)):
                assert (schemas.level("a.R"), schemas.level("a.S")) == (Level.NONE, Level.FORWARD)
                assert [row.version for row in schemas.versions("a.R")] == [2]
                assert [row.version for row in schemas.versions("a.R", deleted=True)] == [1, 2]
                assert schemas.subjects() == ["a.R"]


async def test_the_level_of_the_moment_decides_and_only_over_live_versions(instance: Instance) -> None:
    await add(instance, text(("x", "int")))
    with pytest.raises(RequestRefusedError, match=r"x is string, but version 1 wrote int") as caught:
        await add(instance, text(("x", "string")))
    assert (caught.value.status, caught.value.number) == (409, 409)
    await delete_version(instance.schemas, instance.topic, "a.R", 1, ALL, for_good=False)
    assert await add(instance, text(("x", "string"))) == 2
    await set_level(instance.topic, "a.R", Level.BACKWARD)
    assert await add(instance, text()) == 3
    assert await drop_level(instance.schemas, instance.topic, "a.R") is Level.BACKWARD
    with pytest.raises(RequestRefusedError, match="FULL_TRANSITIVE"):
        await add(instance, text(("x", "int")))
    assert await drop_level(instance.schemas, instance.topic, None) is DEFAULT_LEVEL


async def test_what_is_there_already_is_registered_again_whatever_the_level_says(instance: Instance) -> None:
    await set_level(instance.topic, None, Level.NONE)
    await add(instance, text(("x", "int")))
    await add(instance, text(("x", "string")))
    await drop_level(instance.schemas, instance.topic, None)
    assert await add(instance, text(("x", "int"))) == 1


async def test_a_version_that_cannot_be_compared_stands_in_the_way(instance: Instance) -> None:
    value = {"subject": "a.R", "version": 1, "id": 1, "schema": "message R {}", "schemaType": "PROTOBUF"}
    instance.schemas.apply(schema_key("a.R", 1), json.dumps(value).encode())
    [said] = compare(instance.schemas, "a.R", text())
    assert "version 1" in said
    with pytest.raises(RequestRefusedError) as caught:
        await add(instance, text())
    assert caught.value.number == 409


async def test_a_deleted_subject_loses_its_level_too(instance: Instance) -> None:
    await add(instance, text())
    await set_level(instance.topic, "a.R", Level.NONE)
    await delete_subject(instance.schemas, instance.topic, "a.R", ALL, for_good=False)
    assert instance.schemas.own_level("a.R") is None
    assert instance.bus.records("_schemas")[-1].key == level_key("a.R")


async def test_an_id_that_was_deleted_for_good_is_never_given_again() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as first:
        await add(first, text(name="R"))
        await add(first, text(name="S"), "a.S")
        await delete_subject(first.schemas, first.topic, "a.S", ALL, for_good=False)
        assert first.schemas.by_id(2) is not None, "what was written with it is readable"
        await delete_subject(first.schemas, first.topic, "a.S", ALL, for_good=True)
        assert first.schemas.by_id(2) is None
    assert compacted(bus).next_id == 3
    async with Instance(bus).following() as second:  # it takes the pen with the same mark
        await add(second, text(name="T"), "a.T")
        assert [row.schema_id for row in second.schemas.versions("a.T")] == [3]
        assert compacted(bus).next_id == 4
        assert compacted(bus).subjects(deleted=True) == ["a.R", "a.T"]


async def test_a_schema_that_another_subject_has_too_stays_readable(instance: Instance) -> None:
    for subject in ("a.R", "elsewhere"):
        await add(instance, text(), subject)
    for for_good in (False, True):
        await delete_version(instance.schemas, instance.topic, "elsewhere", 1, ALL, for_good=for_good)
    assert instance.schemas.by_id(1) is not None
    assert instance.schemas.subjects(deleted=True) == ["a.R"]


async def test_what_the_processes_look_up_is_never_deleted(instance: Instance) -> None:
    await add(instance, text())
    kept = Deletion(frozenset({"a.R"}), for_good=True)
    for for_good in (False, True):
        with pytest.raises(RequestRefusedError, match="stays"):
            await delete_subject(instance.schemas, instance.topic, "a.R", kept, for_good=for_good)
        with pytest.raises(RequestRefusedError, match="stays"):
            await delete_version(instance.schemas, instance.topic, "a.R", 1, kept, for_good=for_good)
    assert [row.version for row in instance.schemas.versions("a.R")] == [1]


async def test_a_follower_changes_nothing() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as old, Instance(bus).following() as new:
        await add(old, text())
        await set_level(new.topic, "a.R", Level.FULL)
        for change in (
            set_level(old.topic, "a.R", Level.NONE),
            drop_level(old.schemas, old.topic, "a.R"),
            delete_subject(old.schemas, old.topic, "a.R", ALL, for_good=False),
        ):
            with pytest.raises(RequestRefusedError) as caught:
                await change
            assert caught.value.status == 503
        assert new.schemas.level("a.R") is Level.FULL
