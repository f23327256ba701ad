"""One suite of the port `SchemaRegistry`, on the in-memory twin and on the client against our registry over HTTP."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chopar.errors import (
    ConfigurationError,
    IncompatibleSchemaError,
    SchemaNotYetKnownError,
    SchemaRegistryUnavailableError,
    UnknownSchemaError,
)
from chopar.schema_registry import HttpSchemaRegistry, InMemorySchemaRegistry, SchemaRegistry
from tests.schema_registry_fixture import Instance, listening, memory_bus

TEXT = '{"type":"record","name":"R","namespace":"a","fields":[]}'
OTHER = '{"type":"record","name":"S","namespace":"a","fields":[]}'
UNKNOWN = 77


def with_field(kind: str, **more: object) -> str:
    return json.dumps({"type": "record", "name": "a.R", "fields": [{"name": "x", "type": kind, **more}]})


class Clock:
    """Seconds that move when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Setting:
    """A registry to be tested, its clock, and how it goes away."""

    registry: SchemaRegistry
    clock: Clock
    go_away: Callable[[], Awaitable[None]]
    reborn: Callable[[], SchemaRegistry]
    """The client after a restart of its process, with what it kept."""


@contextlib.asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    registry = InMemorySchemaRegistry(clock)

    async def go_away() -> None:
        registry.available = False

    yield Setting(registry, clock, go_away, lambda: registry)


@contextlib.asynccontextmanager
async def over_http(folder: Path) -> AsyncIterator[Setting]:
    async with contextlib.AsyncExitStack() as clients, contextlib.AsyncExitStack() as server:
        instance = await server.enter_async_context(Instance(memory_bus()).following())
        url = await server.enter_async_context(listening(instance.app))
        clock = Clock()

        def client() -> HttpSchemaRegistry:
            made = HttpSchemaRegistry(url, cache=folder, clock=clock)
            clients.push_async_callback(made.aclose)
            return made

        yield Setting(client(), clock, server.aclose, client)


@pytest.fixture(params=[in_memory, over_http])
async def setting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setting]:
    async with request.param(tmp_path / "cache") as made:
        yield made


async def test_the_same_text_gets_the_same_id(setting: Setting) -> None:
    registry = setting.registry
    first = await registry.register("a.R", TEXT)
    assert await registry.register("a.R", TEXT) == first
    assert await registry.register("elsewhere", TEXT) == first
    assert await registry.register("a.S", OTHER) != first
    assert await registry.id_of("a.R", TEXT) == first


async def test_the_text_comes_back_by_id(setting: Setting) -> None:
    schema_id = await setting.registry.register("a.R", TEXT)
    assert await setting.reborn().text_of(schema_id) == TEXT


async def test_an_incompatible_schema_is_refused_with_its_reasons(setting: Setting) -> None:
    await setting.registry.register("a.R", with_field("int", default=0))
    with pytest.raises(IncompatibleSchemaError, match="x is string, but version 1 wrote int") as caught:
        await setting.registry.register("a.R", with_field("string"))
    assert (caught.value.code, caught.value.retriable) == ("incompatible_schema", False)
    assert list(caught.value.reasons) == ["a.R"]
    assert isinstance(caught.value, ConfigurationError)
    with pytest.raises(SchemaRegistryUnavailableError):
        await setting.registry.id_of("a.R", with_field("string"))
    await setting.registry.register("a.R", with_field("int", default=1))
    await setting.registry.register("elsewhere", with_field("string"))
    with pytest.raises(IncompatibleSchemaError, match="versions 1 and 2 expect int"):
        await setting.registry.register("a.R", with_field("long", default=0))


async def test_a_default_that_only_a_later_type_of_a_union_takes_is_refused(setting: Setting) -> None:
    union = TEXT.replace("[]", '[{"name":"x","type":["int","null"],"default":null}]')
    with pytest.raises(ConfigurationError, match="put its type first"):
        await setting.registry.register("a.R", union)


async def test_what_means_the_same_is_the_same_schema_and_what_is_none_is_refused(setting: Setting) -> None:
    schema_id = await setting.registry.register("a.R", TEXT)
    other_text = '{"name": "a.R", "type": "record", "fields": []}'
    assert await setting.registry.register("a.R", other_text) == schema_id
    assert await setting.registry.id_of("a.R", other_text) == schema_id
    with pytest.raises(ConfigurationError, match=r"a\.R: .*money"):
        await setting.registry.register("a.R", '"money"')


async def test_a_schema_that_was_never_pushed_has_no_id_yet(setting: Setting) -> None:
    await setting.registry.register("a.R", TEXT)
    with pytest.raises(SchemaRegistryUnavailableError, match="schema push"):
        await setting.registry.id_of("a.S", OTHER)
    with pytest.raises(SchemaRegistryUnavailableError, match="schema push"):
        await setting.registry.id_of("a.R", OTHER)


async def test_bad_input_05_an_unknown_id_is_asked_for_ten_seconds_and_then_unknown(setting: Setting) -> None:
    with pytest.raises(SchemaNotYetKnownError) as early:
        await setting.registry.text_of(UNKNOWN)
    assert early.value.retriable
    setting.clock.seconds += 9.9
    with pytest.raises(SchemaNotYetKnownError):
        await setting.registry.text_of(UNKNOWN)
    setting.clock.seconds += 0.1
    with pytest.raises(UnknownSchemaError) as late:
        await setting.registry.text_of(UNKNOWN)
    assert not late.value.retriable


async def test_bad_input_05_an_id_that_appears_within_ten_seconds_is_found(setting: Setting) -> None:
    with pytest.raises(SchemaNotYetKnownError):
        await setting.registry.text_of(1)
    setting.clock.seconds += 5
    assert await setting.registry.register("a.R", TEXT) == 1
    assert await setting.registry.text_of(1) == TEXT


async def test_bad_input_05_a_stream_of_unknown_ids_is_waited_for_once_in_five_minutes(setting: Setting) -> None:
    registry, clock = setting.registry, setting.clock
    held, began = 0.0, clock.seconds
    strangers = iter(range(1000, 100_000))
    stranger = next(strangers)
    while clock.seconds < began + 900:
        clock.seconds += 0.5
        try:
            await registry.text_of(stranger)
        except SchemaNotYetKnownError:
            held += 0.5
        except UnknownSchemaError:
            stranger = next(strangers)
    assert 30 <= held <= 31.5, "three waits of ten seconds in fifteen minutes"
    schema_id = await registry.register("a.R", TEXT)
    assert await setting.reborn().text_of(schema_id) == TEXT, "what the registry knows is found meanwhile"
    clock.seconds += 300
    with pytest.raises(SchemaNotYetKnownError):
        await registry.text_of(next(strangers))


async def test_bad_input_05_ids_that_come_up_together_are_waited_for_together(setting: Setting) -> None:
    for unknown in (UNKNOWN, UNKNOWN + 1):
        with pytest.raises(SchemaNotYetKnownError):
            await setting.registry.text_of(unknown)
        setting.clock.seconds += 5
    for unknown in (UNKNOWN, UNKNOWN + 1):
        with pytest.raises(UnknownSchemaError):
            await setting.registry.text_of(unknown)


async def test_bad_input_07_registry_down_what_is_cached_works_on(setting: Setting) -> None:
    schema_id = await setting.registry.register("a.R", TEXT)
    await setting.go_away()
    assert await setting.registry.text_of(schema_id) == TEXT


async def test_bad_input_07_registry_down_what_is_not_cached_pauses(setting: Setting) -> None:
    await setting.registry.register("a.R", TEXT)
    await setting.go_away()
    for call in (
        setting.registry.text_of(UNKNOWN),
        setting.registry.id_of("a.S", OTHER),
        setting.registry.register("a.S", OTHER),
    ):
        with pytest.raises(SchemaRegistryUnavailableError) as caught:
            await call
        assert caught.value.retriable, "the partition pauses; it is no dead letter"


# What only the client over HTTP has: a cache on disk, and a registry that others write to.


async def test_bad_input_05_unknown_is_believed_for_thirty_seconds(tmp_path: Path) -> None:
    async with over_http(tmp_path / "cache") as setting:
        for seconds, due in ((0, SchemaNotYetKnownError), (10, UnknownSchemaError)):
            setting.clock.seconds += seconds
            with pytest.raises(due):
                await setting.registry.text_of(1)
        others = setting.reborn()
        assert await others.register("a.R", TEXT) == 1
        setting.clock.seconds += 29.9
        with pytest.raises(UnknownSchemaError):
            await setting.registry.text_of(1)
        setting.clock.seconds += 0.1
        assert await setting.registry.text_of(1) == TEXT


async def test_bad_input_07_a_restarted_client_works_on_without_the_registry(tmp_path: Path) -> None:
    async with over_http(tmp_path / "cache") as setting:
        schema_id = await setting.registry.register("a.R", TEXT)
        await setting.go_away()
        reborn = setting.reborn()
        assert await reborn.text_of(schema_id) == TEXT
        assert await reborn.id_of("a.R", TEXT) == schema_id


async def test_bad_input_07_a_half_written_cache_file_is_only_a_miss(tmp_path: Path) -> None:
    async with over_http(tmp_path / "cache") as setting:
        schema_id = await setting.registry.register("a.R", TEXT)
        for path in (tmp_path / "cache").glob("*.json"):
            path.write_text(path.read_text("utf-8")[:9], encoding="utf-8")
        assert await setting.reborn().text_of(schema_id) == TEXT
