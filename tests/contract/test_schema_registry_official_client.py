"""The field's own Python client against our schema registry, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from confluent_kafka.schema_registry import ConfigCompatibilityLevel, Schema, SchemaRegistryClient, ServerConfig
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from chopar.avro import SchemaFiles, unframe
from services.schema_registry.handlers import Deletion
from tests.schema_registry_fixture import Instance, listening, memory_bus

T = TypeVar("T")
TEXT = json.dumps({"type": "record", "name": "R", "namespace": "a", "fields": [{"name": "x", "type": "int"}]})
OTHER = json.dumps(
    {
        "type": "record",
        "name": "R",
        "namespace": "a",
        "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": ["null", "string"], "default": None}],
    }
)
BROKEN = TEXT.replace('"int"', '"string"')


class Client:
    """The official client, each call in a thread, as it blocks."""

    def __init__(self, url: str) -> None:
        self.blocking = SchemaRegistryClient({"url": url, "max.retries": 0})

    async def __call__(self, call: Callable[[SchemaRegistryClient], T]) -> T:
        return await asyncio.to_thread(call, self.blocking)

    def forget(self) -> None:
        """Let the next question go to the registry."""
        self.blocking.clear_caches()  # type: ignore[no-untyped-call]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        made = Client(url)
        yield made
        made.blocking.close()


async def refused(client: Client, call: Callable[[SchemaRegistryClient], Any]) -> tuple[int, int]:
    with pytest.raises(SchemaRegistryError) as caught:
        await client(call)
    return caught.value.http_status_code, caught.value.error_code


async def test_register_gives_id_version_guid_and_schema(client: Client) -> None:
    row = await client(lambda c: c.register_schema_full_response("a.R", Schema(TEXT, "AVRO")))
    assert (row.schema_id, row.version, row.subject) == (1, 1, "a.R")
    assert row.guid
    assert row.schema.schema_str == TEXT
    assert row.schema.schema_type == "AVRO"


@pytest.mark.parametrize("normalize", [False, True])
async def test_register_again_and_elsewhere_gives_the_same_id(client: Client, normalize: bool) -> None:
    first = await client(lambda c: c.register_schema("a.R", Schema(TEXT), normalize_schemas=normalize))
    other_text = json.dumps(json.loads(TEXT), indent=4)
    again = await client(lambda c: c.register_schema("a.R", Schema(other_text), normalize_schemas=normalize))
    elsewhere = await client(lambda c: c.register_schema("b-value", Schema(TEXT), normalize_schemas=normalize))
    new = await client(lambda c: c.register_schema("a.R", Schema(OTHER), normalize_schemas=normalize))
    assert (first, again, elsewhere, new) == (1, 1, 1, 2)
    assert await client(lambda c: c.get_versions("a.R")) == [1, 2]


async def test_lookup(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    row = await client(lambda c: c.lookup_schema("a.R", Schema(TEXT), deleted=True))
    assert (row.schema_id, row.version, row.subject) == (1, 1, "a.R")
    assert await refused(client, lambda c: c.lookup_schema("a.R", Schema(OTHER))) == (404, 40403)
    assert await refused(client, lambda c: c.lookup_schema("none", Schema(TEXT))) == (404, 40401)
    assert await refused(client, lambda c: c.lookup_schema("a.R", Schema("{"))) == (422, 42201)


async def test_by_id(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    await client(lambda c: c.register_schema("z", Schema(TEXT)))
    client.forget()
    schema = await client(lambda c: c.get_schema(1))
    assert (schema.schema_str, schema.schema_type) == (TEXT, "AVRO")
    assert await client(lambda c: c.get_subjects_by_schema_id(1)) == ["a.R", "z"]
    uses = await client(lambda c: c.get_schema_versions(1))
    assert [(use.subject, use.version) for use in uses] == [("a.R", 1), ("z", 1)]
    assert await refused(client, lambda c: c.get_schema(2)) == (404, 40403)
    assert await refused(client, lambda c: c.get_subjects_by_schema_id(2)) == (404, 40403)


async def test_by_guid(client: Client) -> None:
    row = await client(lambda c: c.register_schema_full_response("a.R", Schema(TEXT)))
    client.forget()
    assert (await client(lambda c: c.get_schema_by_guid(str(row.guid)))).schema_str == TEXT
    assert await refused(client, lambda c: c.get_schema_by_guid("no-guid")) == (404, 40403)


async def test_versions(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    await client(lambda c: c.register_schema("a.R", Schema(OTHER)))
    latest = await client(lambda c: c.get_latest_version("a.R"))
    assert (latest.version, latest.schema_id, latest.schema.schema_str) == (2, 2, OTHER)
    first = await client(lambda c: c.get_version("a.R", 1))
    assert (first.version, first.schema_id, first.schema.schema_str, first.subject) == (1, 1, TEXT, "a.R")
    assert (await client(lambda c: c.get_version("a.R", -1))).version == 2
    assert await client(lambda c: c.get_referenced_by("a.R", 1)) == []
    assert await refused(client, lambda c: c.get_version("a.R", 3)) == (404, 40402)
    assert await refused(client, lambda c: c.get_version("a.R", 0)) == (422, 42202)
    assert await refused(client, lambda c: c.get_version("none", 1)) == (404, 40401)
    assert await refused(client, lambda c: c.get_latest_version("none")) == (404, 40401)
    assert await refused(client, lambda c: c.get_versions("none")) == (404, 40401)


async def test_subjects_with_a_prefix_a_page_and_odd_names(client: Client) -> None:
    names = ["a.R", "a/b%2F c", "oʻzbek", "z"]
    for name in names:
        await client(lambda c, name=name: c.register_schema(name, Schema(TEXT)))  # type: ignore[misc]
    assert await client(lambda c: c.get_subjects()) == sorted(names)
    assert await client(lambda c: c.get_subjects(subject_prefix="a")) == ["a.R", "a/b%2F c"]
    assert await client(lambda c: c.get_subjects(offset=1, limit=2)) == sorted(names)[1:3]
    assert await client(lambda c: c.get_subjects(deleted_only=True)) == []
    assert await client(lambda c: c.get_versions("a/b%2F c")) == [1]


async def test_types_config_mode_and_contexts(client: Client) -> None:
    assert await client(lambda c: c.get_schema_types()) == ["AVRO"]
    assert await client(lambda c: c.get_compatibility()) == "FULL_TRANSITIVE"
    assert await client(lambda c: c.get_global_mode()) == "READWRITE"
    assert await client(lambda c: c.get_contexts()) == ["."]
    assert await refused(client, lambda c: c.get_compatibility("a.R")) == (404, 40408)
    assert await refused(client, lambda c: c.get_mode("a.R")) == (404, 40409)


async def test_an_incompatible_schema_is_refused(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    with pytest.raises(SchemaRegistryError, match=r"x is string, but version 1 wrote int.*FULL_TRANSITIVE") as caught:
        await client(lambda c: c.register_schema("a.R", Schema(BROKEN)))
    assert (caught.value.http_status_code, caught.value.error_code) == (409, 409)
    assert await client(lambda c: c.get_versions("a.R")) == [1]
    assert await client(lambda c: c.register_schema("a.R", Schema(OTHER))) == 2


@pytest.mark.parametrize("verbose", [False, True])
async def test_compatibility_is_asked_without_registering(client: Client, verbose: bool) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    await client(lambda c: c.register_schema("a.R", Schema(OTHER)))
    for version in (1, "latest"):
        for text, due in ((OTHER, True), (BROKEN, False)):
            asked = Schema(text)
            found = await client(lambda c, s=asked, v=version: c.test_compatibility("a.R", s, v, verbose=verbose))  # type: ignore[misc]
            assert found is due
    for text, due in ((OTHER, True), (BROKEN, False)):
        asked = Schema(text)
        found = await client(lambda c, s=asked: c.test_compatibility_all_versions("a.R", s, verbose=verbose))  # type: ignore[misc]
        assert found is due
    assert await client(lambda c: c.get_versions("a.R")) == [1, 2]
    assert await refused(client, lambda c: c.test_compatibility("none", Schema(TEXT))) == (404, 40401)
    assert await refused(client, lambda c: c.test_compatibility("a.R", Schema(TEXT), 9)) == (404, 40402)
    assert await client(lambda c: c.test_compatibility_all_versions("none", Schema(TEXT)))


async def test_levels_are_set_and_taken_away(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    await client(lambda c: c.set_compatibility(level="BACKWARD"))
    assert await client(lambda c: c.get_compatibility()) == "BACKWARD"
    config = ServerConfig(compatibility=ConfigCompatibilityLevel.NONE)
    await client(lambda c: c.set_config("a.R", config))
    assert await client(lambda c: c.get_compatibility("a.R")) == "NONE"
    assert await client(lambda c: c.register_schema("a.R", Schema(BROKEN))) == 2
    assert (await client(lambda c: c.delete_config("a.R"))).compatibility_level == "NONE"
    assert await refused(client, lambda c: c.get_compatibility("a.R")) == (404, 40408)
    assert await refused(client, lambda c: c.delete_config("a.R")) == (404, 40408)
    assert (await client(lambda c: c.delete_config())).compatibility_level == "BACKWARD"
    assert await client(lambda c: c.get_compatibility()) == "FULL_TRANSITIVE"
    assert await refused(client, lambda c: c.set_compatibility(level="SOME")) == (422, 42203)
    more = ServerConfig(compatibility=ConfigCompatibilityLevel.FULL, compatibility_group="g")
    assert await refused(client, lambda c: c.set_config("a.R", more)) == (422, 42205)


async def test_versions_and_subjects_are_deleted_in_two_steps() -> None:
    instance = Instance(memory_bus(), deletion=Deletion(frozenset({"kept"}), for_good=True))
    async with instance.following(), listening(instance.app) as url:
        client = Client(url)
        for subject in ("a.R", "kept"):
            for text in (TEXT, OTHER):
                await client(lambda c, s=subject, t=text: c.register_schema(s, Schema(t)))  # type: ignore[misc]
        assert await refused(client, lambda c: c.delete_version("a.R", 1, permanent=True)) == (404, 40407)
        assert await client(lambda c: c.delete_version("a.R", 1)) == 1
        assert await refused(client, lambda c: c.delete_version("a.R", 1)) == (404, 40406)
        assert await client(lambda c: c.get_versions("a.R")) == [2]
        assert await client(lambda c: c.delete_version("a.R", 1, permanent=True)) == 1
        assert await refused(client, lambda c: c.delete_version("a.R", 1, permanent=True)) == (404, 40402)
        assert await refused(client, lambda c: c.delete_subject("a.R", permanent=True)) == (404, 40405)
        assert await client(lambda c: c.delete_subject("a.R")) == [2]
        assert await refused(client, lambda c: c.delete_subject("a.R")) == (404, 40404)
        assert await client(lambda c: c.get_subjects()) == ["kept"]
        assert await client(lambda c: c.delete_subject("a.R", permanent=True)) == [2]
        assert await client(lambda c: c.get_subjects(deleted=True)) == ["kept"]
        for call in (lambda c: c.delete_subject("a.R"), lambda c: c.delete_version("a.R", 1)):
            assert await refused(client, call) == (404, 40401)
        for call in (lambda c: c.delete_subject("kept"), lambda c: c.delete_version("kept", 1)):
            assert await refused(client, call) == (422, 42205)
        client.blocking.close()


async def test_nothing_is_deleted_for_good_unless_that_is_switched_on(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    await client(lambda c: c.delete_subject("a.R"))
    assert await refused(client, lambda c: c.delete_subject("a.R", permanent=True)) == (422, 42205)
    assert await refused(client, lambda c: c.delete_version("a.R", 1, permanent=True)) == (422, 42205)
    client.forget()
    assert (await client(lambda c: c.get_schema(1))).schema_str == TEXT, "records that were written stay readable"
    assert await client(lambda c: c.register_schema("a.R", Schema(TEXT))) == 1, "registered again, it is back"


async def test_what_is_not_here_yet_says_so(client: Client) -> None:
    await client(lambda c: c.register_schema("a.R", Schema(TEXT)))
    calls: list[Callable[[SchemaRegistryClient], Any]] = [
        lambda c: c.update_global_mode("READONLY"),
        lambda c: c.update_mode("a.R", "READONLY"),
        lambda c: c.get_latest_with_metadata("a.R", {"owner": "x"}),
    ]
    for call in calls:
        assert await refused(client, call) == (501, 501)


async def test_what_would_be_dropped_is_refused(client: Client) -> None:
    assert await refused(client, lambda c: c.register_schema("a", Schema("message A {}", "PROTOBUF"))) == (422, 42201)
    assert await refused(client, lambda c: c.register_schema("", Schema(TEXT))) in {(404, 404), (422, 42208)}
    assert await refused(client, lambda c: c.register_schema(":.ctx:a", Schema(TEXT))) == (422, 42208)
    assert await client(lambda c: c.get_subjects()) == []


async def test_the_official_serializer_and_deserializer_go_through_it(client: Client) -> None:
    serialize = AvroSerializer(client.blocking, TEXT)
    deserialize = AvroDeserializer(client.blocking)
    context = SerializationContext("t", MessageField.VALUE)
    value = await asyncio.to_thread(serialize, {"x": 7}, context)
    assert unframe(value) == (1, b"\x0e")
    client.forget()
    assert await asyncio.to_thread(deserialize, value, context) == {"x": 7}


async def test_the_shipped_schemas_register_and_come_back_as_they_are(client: Client) -> None:
    for subject, text in SchemaFiles.shipped().texts.items():
        row = await client(lambda c, s=subject, t=text: c.register_schema_full_response(s, Schema(t)))  # type: ignore[misc]
        client.forget()
        found = await client(lambda c, i=row.schema_id: c.get_schema(i))  # type: ignore[misc]
        assert found.schema_str == text
