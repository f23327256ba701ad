"""Bringing lists into force: what is kept, what is refused, what is mended (on the in-memory bus)."""

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chopar.avro import SchemaFiles, encode_body, frame
from chopar.bus.memory import MemoryBus
from chopar.errors import ConfigurationError, LawIncompleteError
from chopar.messages.demand import Demand, FetchMode
from chopar.messages.dispute import DisputeReason, EvidenceDisputed
from chopar.secret_files import secret_path
from gateway.bundle import list_files, load
from gateway.law import Law
from gateway.standing import Standing
from tests.builders import NOW, NOW_MS, demand, demand_id
from tests.standing import FILES, LISTS
from tests.world import World, world


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(MemoryBus(lambda: time.time_ns() // 1_000_000), tmp_path) as made:
        yield made


async def test_the_same_again_changes_nothing(here: World) -> None:
    first = await here.prepare()
    again = await here.activate()
    assert (first.is_new, again.is_new) == (True, False)
    assert again.message == first.message


async def test_something_else_holds_from_a_lead_later(here: World) -> None:
    await here.prepare()
    other = await here.activate(fetch_mode=FetchMode.VERIFIED)
    assert other.is_new
    assert other.effective_at is not None
    assert (other.effective_at - here.clock()).total_seconds() > 6
    assert other.message.lead_seconds == 6
    again = await here.activate(fetch_mode=FetchMode.VERIFIED)
    assert (again.is_new, again.effective_at) == (False, other.message.effective_at)  # still to come


async def test_lists_in_which_lint_finds_an_error_do_not_come_into_force(here: World, tmp_path: Path) -> None:
    await here.prepare()
    folder = tmp_path / "wrong"
    folder.mkdir()
    for name, content in list_files(LISTS).items():
        (folder / name).write_bytes(content.replace(b"in_force_from = 2022-07-01", b"in_force_from = 9999-12-31"))
    before = sorted((here.home / "lists").iterdir())
    with pytest.raises(ConfigurationError, match=r"those that hold stay:(?s:.)*impossible_date"):
        await here.activate(folder)
    assert sorted((here.home / "lists").iterdir()) == before
    assert not (await here.activate()).is_new


async def test_what_somebody_else_activated_is_left_if_so_asked(here: World) -> None:
    await here.prepare(activated_by="chopar up")
    lawyer = await here.activate(fetch_mode=FetchMode.VERIFIED, activated_by="a lawyer")
    kept = await here.activate(activated_by="chopar up", leave_others=True)
    assert (kept.is_new, kept.message) == (False, lawyer.message)
    assert (await here.activate(activated_by="chopar up")).is_new


async def test_a_plan_of_somebody_else_is_left_if_so_asked_and_stays_a_plan_otherwise(here: World) -> None:
    first = await here.prepare(activated_by="chopar up")
    at = here.clock() + timedelta(hours=1)
    await here.activate(fetch_mode=FetchMode.VERIFIED, activated_by="a lawyer", at=at)
    kept = await here.activate(fetch_mode=FetchMode.VERIFIED, activated_by="chopar up", leave_others=True)
    assert (kept.is_new, kept.effective_at, kept.message) == (False, None, first.message)
    forward = await here.activate(fetch_mode=FetchMode.VERIFIED, activated_by="chopar up")
    assert forward.is_new
    assert forward.message.effective_at < at
    assert not (await here.activate(fetch_mode=None, secret_version=None, at=at)).is_new


async def test_a_secret_that_was_activated_is_never_made_anew(here: World) -> None:
    await here.prepare()
    path = secret_path(here.home, "gateway-1")
    secret = path.read_bytes()
    path.unlink()
    with pytest.raises(ConfigurationError, match="--secret-version 2"):
        await here.activate()
    assert not path.exists()
    path.write_bytes(b"x" * 32)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not the one that was activated"):
        await here.activate()
    assert (await here.activate(secret_version=2)).is_new
    path.write_bytes(secret)


async def test_a_bundle_that_was_changed_is_missed_and_put_back(here: World) -> None:
    first = await here.prepare()
    digest, folder = first.message.list_digest, here.home / "lists"
    path = folder / digest / "groups.toml"
    content = path.read_bytes()
    path.write_bytes(content + b"# changed")
    with pytest.raises(LawIncompleteError, match="changed"):
        load(digest, folder)
    await here.activate()
    assert path.read_bytes() == content
    assert load(digest, folder)


async def test_a_time_that_is_too_soon_to_count_is_refused(here: World) -> None:
    await here.prepare()
    with pytest.raises(ConfigurationError, match="at the soonest"):
        await here.activate(fetch_mode=FetchMode.VERIFIED, at=here.clock() + timedelta(seconds=5))
    later = here.clock() + timedelta(hours=1)
    done = await here.activate(fetch_mode=FetchMode.VERIFIED, at=later)
    assert done.effective_at == later


def disputed() -> EvidenceDisputed:
    return EvidenceDisputed(
        dispute_id=demand_id(9),
        demand_id=demand_id(),
        requester="electricity-het",
        request_id=b"r" * 32,
        answer_digest=b"a" * 32,
        reason=DisputeReason.WRONG_VALUE,
        official="official-7",
        disputed_at=NOW,
        original=b"a demand",
    )


@pytest.mark.parametrize(("said", "lacks"), [(demand(), "follows"), (disputed(), "fields")], ids=["demand", "dispute"])
async def test_agencies_with_the_library_of_before_are_read_on(
    said: Demand | EvidenceDisputed, lacks: str, tmp_path: Path
) -> None:
    record = said.RECORD
    schema = json.loads(FILES.texts[record])
    schema["fields"] = [field for field in schema["fields"] if field["name"] != lacks]
    before = SchemaFiles({**FILES.texts, record: json.dumps(schema)})
    async with world(MemoryBus(lambda: time.time_ns() // 1_000_000), tmp_path, files=before) as here:
        first = await here.prepare()
        here.files = FILES
        for name, shipped in FILES.texts.items():
            await here.registry.register(name, shipped)
        second = await here.activate()
        assert second.is_new
        ids = [one.id for one in second.message.schemas if one.record == record]
        assert ids == [await here.registry.id_of(record, one.texts[record]) for one in (FILES, before)]
        assert not (await here.activate()).is_new
        for files, schema_id in zip((before, FILES), reversed(ids), strict=True):
            value = frame(schema_id, encode_body(files.parsed(record), said))
            for activated in (first, second) if files is before else (second,):
                holds = Standing.from_disk(activated.message, home=here.home, lists_folder=here.home / "lists")
                read = holds.decode_demand if record == Demand.RECORD else holds.decode_dispute
                assert read(value) == said
                law = Law()
                law.read(0, NOW_MS, activated.message)
                assert law.is_dispute(value, NOW_MS) is (record == EvidenceDisputed.RECORD)
        third = await here.activate(fetch_mode=FetchMode.VERIFIED)
        assert third.message.schemas == second.message.schemas
