"""The topic as database: read at start, read-your-writes, fences, faults of the bus."""

import asyncio
import json

import pytest

from chopar.bus.memory import SendFault
from chopar.bus.port import Outgoing
from chopar.errors import OffsetOutOfRangeError, TopicLayoutError
from chopar.topics import TopicLayout
from services.schema_registry.handlers import register
from services.schema_registry.log_records import NOOP_KEY, schema_key
from services.schema_registry.model import RequestRefusedError
from services.schema_registry.store import PARTITION
from tests.schema_registry_fixture import Instance, memory_bus, until


def text(name: str) -> str:
    return json.dumps({"type": "record", "name": name, "fields": []})


async def add(instance: Instance, subject: str, schema: str) -> int:
    return (await register(instance.schemas, instance.topic, subject, schema)).schema_id


async def test_the_topic_is_made_and_ready_is_said_when_it_was_read() -> None:
    instance = Instance(memory_bus())
    assert instance.topic.missing()
    async with instance.following():
        assert not instance.topic.missing()
    assert instance.bus.log.layouts["_schemas"].settings["cleanup.policy"] == "compact"


async def test_what_is_written_is_the_fields_format() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as instance:
        await add(instance, "a.R", text("R"))
    noop, record = bus.records("_schemas")
    assert (noop.key, noop.value) == (NOOP_KEY, b'{"highestId":0}')
    assert record.key == b'{"keytype":"SCHEMA","subject":"a.R","version":1,"magic":1}'
    assert record.value is not None
    assert json.loads(record.value) == {
        "subject": "a.R",
        "version": 1,
        "id": 1,
        "schema": text("R"),
        "deleted": False,
    }


async def test_a_new_process_with_nothing_but_the_topic_has_the_same_ids() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as first:
        ids = {name: await add(first, name, text(name)) for name in "RSTU"}
    async with Instance(bus).following() as second:
        assert {name: await add(second, name, text(name)) for name in "UTSR"} == ids
        assert await add(second, "V", text("V")) == 5


async def test_many_at_once_get_one_id_each_and_equal_ones_one() -> None:
    async with Instance(memory_bus()).following() as instance:
        names = [f"N{number % 20}" for number in range(100)]
        ids = await asyncio.gather(*(add(instance, name, text(name)) for name in names))
    assert len(set(zip(names, ids, strict=True))) == 20
    assert sorted(set(ids)) == list(range(1, 21))


async def test_a_write_is_answered_only_after_it_was_read_back() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as instance:
        await add(instance, "R", text("R"))
        bus.hold(PARTITION)
        writing = asyncio.create_task(add(instance, "S", text("S")))
        await until(lambda: bus.log.partition(PARTITION).stamped == 3)
        assert not writing.done()
        assert instance.schemas.versions("S") == []
        bus.release(PARTITION)
        assert await writing == 2


async def test_before_the_log_was_read_nothing_is_written() -> None:
    instance = Instance(memory_bus())
    with pytest.raises(RequestRefusedError) as caught:
        await add(instance, "R", text("R"))
    assert (caught.value.status, caught.value.number) == (503, 50003)


async def test_two_writers_never_give_one_id_twice() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as old, Instance(bus).following() as new:
        assert await add(old, "R", text("R")) == 1
        assert await add(new, "S", text("S")) == 2
        with pytest.raises(RequestRefusedError, match="another instance") as caught:
            await add(old, "T", text("T"))
        assert caught.value.status == 503
        assert await add(new, "U", text("U")) == 3
        await until(lambda: old.schemas.next_id == 4)
        assert await add(old, "U", text("U")) == 3, "what is there already is answered by a follower too"
        assert (old.schemas.refused, new.schemas.refused) == (0, 0)


async def test_a_failed_send_is_said_and_the_next_one_goes_on() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as instance:
        await add(instance, "R", text("R"))
        bus.faults.send = lambda record: SendFault.NOT_WRITTEN
        with pytest.raises(RequestRefusedError) as caught:
            await add(instance, "S", text("S"))
        assert (caught.value.status, caught.value.number) == (503, 50003)
        bus.faults.send = lambda record: None
        assert await add(instance, "S", text("S")) == 2


async def test_a_broker_that_goes_away_leaves_reading_as_it_was() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as instance:
        await add(instance, "R", text("R"))
        bus.faults.down = True
        bus.changed.notify()
        await until(lambda: len(instance.waits) > 3)
        assert instance.waits[:3] == [0.1, 0.2, 0.5]
        assert not instance.topic.missing()
        assert instance.schemas.by_id(1) is not None
        with pytest.raises(RequestRefusedError):
            await add(instance, "S", text("S"))
        bus.faults.down = False
        async with Instance(bus).following() as other:
            assert await add(other, "T", text("T")) == 2
        await until(lambda: instance.schemas.by_id(2) is not None)


async def test_no_broker_at_start_is_waited_for_and_said() -> None:
    bus = memory_bus()
    bus.faults.down = True
    instance = Instance(bus)
    async with instance.following(ready=False):
        await until(lambda: len(instance.waits) > 2)
        assert "broker" in instance.topic.missing()
        bus.faults.down = False
        await until(lambda: not instance.topic.missing())


async def test_how_far_it_has_read_is_said_meanwhile() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as first:
        await add(first, "R", text("R"))
    bus.faults.stale_ends[PARTITION] = 5
    instance = Instance(bus)
    async with instance.following(ready=False):
        await until(lambda: instance.topic.missing() == {"log": "read to 2 of 5"})


async def test_a_topic_that_deletes_instead_of_compacting_is_refused() -> None:
    bus = memory_bus()
    bus.log.add(TopicLayout("_schemas", 1, {"cleanup.policy": "delete"}))
    with pytest.raises(TopicLayoutError, match=r"cleanup\.policy"):
        async with Instance(bus).following():
            pass


async def test_records_deleted_before_they_were_read_stop_it() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as other:
        instance = Instance(bus)
        paused = asyncio.Event()

        async def pause(_: float) -> None:
            await paused.wait()

        instance.topic._back_off = pause
        following = asyncio.create_task(instance.topic.follow())
        await until(lambda: not instance.topic.missing())
        bus.faults.down = True
        bus.changed.notify()
        await until(lambda: bool(other.waits))
        bus.faults.down = False
        for name in "RST":
            await add(other, name, text(name))
        bus.delete_before(PARTITION, 2)
        paused.set()
        with pytest.raises(OffsetOutOfRangeError):
            await following


async def test_a_taken_id_in_the_log_is_refused_said_and_counted_and_the_rest_goes_on() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as instance:
        await add(instance, "R", text("R"))
        stranger = bus.producer("stranger")
        value = {"subject": "S", "version": 1, "id": 1, "schema": text("S")}
        await stranger.send([Outgoing(*PARTITION, schema_key("S", 1), json.dumps(value).encode())])
        await until(lambda: instance.schemas.refused == 1)
        found = instance.schemas.by_id(1)
        assert found is not None
        assert found.text == text("R")
        assert await add(instance, "T", text("T")) == 2


async def test_a_schema_too_large_for_a_record_is_refused_with_its_code() -> None:
    async with Instance(memory_bus()).following() as instance:
        huge = json.dumps({"type": "record", "name": "R", "fields": [], "doc": '"' * 400_000})
        with pytest.raises(RequestRefusedError) as caught:
            await add(instance, "R", huge)
        assert (caught.value.status, caught.value.number) == (422, 42209)
        assert await add(instance, "R", text("R")) == 1


async def test_a_write_whose_caller_left_does_not_block_the_next() -> None:
    bus = memory_bus()
    async with Instance(bus).following() as instance:
        await add(instance, "R", text("R"))
        bus.hold(PARTITION)
        leaving = asyncio.create_task(add(instance, "S", text("S")))
        await until(lambda: bus.log.partition(PARTITION).stamped == 3)
        leaving.cancel()
        bus.release(PARTITION)
        assert await add(instance, "T", text("T")) == 3
        assert await add(instance, "S", text("S")) == 2, "it was written all the same, and keeps its id"


async def test_a_write_that_takes_too_long_is_told_so_and_can_be_sent_again() -> None:
    bus = memory_bus()
    async with Instance(bus, write_timeout_seconds=0.05).following() as instance:
        bus.hold(PARTITION)
        both = await asyncio.gather(
            add(instance, "R", text("R")), add(instance, "S", text("S")), return_exceptions=True
        )
        for late in both:
            assert isinstance(late, RequestRefusedError)
            assert (late.status, late.number) == (503, 50002)
        bus.release(PARTITION)
        assert await add(instance, "S", text("S")) == 1
        assert await add(instance, "R", text("R")) == 2
