"""A process that cannot start says why: one line with what to set or to mend, the right exit code, no traceback."""

import contextlib
import gc
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from chopar import Provider, run_provider
from chopar.avro import SchemaFiles
from chopar.errors import ConfigurationError, SchemaRegistryUnavailableError
from chopar.health import Health
from chopar.listener import serve
from chopar.messages.evidence import EvidenceProvided, TaxDebt
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.process import Served, _say_when_ready
from chopar.schema_registry import Encoder, HttpSchemaRegistry, InMemorySchemaRegistry
from chopar.secret_files import SECRET_BYTES, check_value, ensure_secret, secret_path
from chopar.settings import ProcessSettings
from gateway.settings import GatewaySettings
from services.tax.settings import TaxSettings
from tests.full_disk import full_disk

provider = Provider("some-agency", register="a register")


@provider.answers("tax-debt")
async def tax_debt(request: object, register: object) -> TaxDebt:
    raise NotImplementedError


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The environment of a process; what it does to the whole of Python is taken back."""
    named = {"HOME": str(tmp_path / "home"), "KAFKA__BOOTSTRAP": "127.0.0.1:1", "HTTP__ADDRESS": "127.0.0.1:0"}
    for name, value in {**named, "SCHEMA_REGISTRY__URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(f"CHOPAR_MY_{name}", value)
    configured, handlers, threshold = structlog.get_config(), logging.getLogger().handlers[:], gc.get_threshold()
    yield
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers[:] = handlers
    gc.set_threshold(*threshold)
    gc.unfreeze()


def started(schemas: Path | None = None) -> int:
    return run_provider(provider, {}, [TaxDebt], schemas=schemas, prefix="CHOPAR_MY_", argv=[])


def reason(capsys: pytest.CaptureFixture[str]) -> str:
    """Of the one line that a process has written, but for that of the secret that it made."""
    out, err = capsys.readouterr()
    [line] = [line for line in (out + err).splitlines() if '"secret.made"' not in line]
    return str(json.loads(line)["reason"]) if line.startswith("{") else line


def test_a_port_that_is_taken_is_one_line(
    process: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("CHOPAR_MY_HTTP__ADDRESS", address)
        assert started() == 2
    said = reason(capsys)
    assert address in said
    assert "Address already in use" in said
    assert "HTTP__ADDRESS" in said


async def test_where_nothing_can_listen_nothing_is_begun() -> None:
    async def work() -> None:
        raise AssertionError

    with (
        contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other,
        pytest.raises(ConfigurationError, match="cannot listen there"),
    ):
        await serve(Health(dict, CollectorRegistry()), f"127.0.0.1:{other.getsockname()[1]}", work())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "record",', "line 1"),
        ("[]", "namespace, name and fields"),
        ('{"type": "record", "name": "A", "namespace": "x"}', "namespace, name and fields"),
        ('{"type": "record", "name": "A", "namespace": "x", "fields": [{"doc": "no name"}]}', "name and type"),
        (b"\xff\xfe", "cannot be read"),
    ],
    ids=["cut", "no record", "no fields", "a field without a name", "no text"],
)
def test_a_schema_file_that_is_none_is_one_line(
    process: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | bytes, words: str
) -> None:
    file = tmp_path / "schemas" / "A.avsc"
    file.parent.mkdir()
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert started(file.parent) == 2
    said = reason(capsys)
    assert str(file) in said
    assert words in said


def test_a_schema_of_an_unknown_type_is_a_sentence() -> None:
    files = SchemaFiles(
        {"x.A": '{"type": "record", "name": "A", "namespace": "x", "fields": [{"name": "f", "type": "strng"}]}'}
    )
    with pytest.raises(ConfigurationError, match="strng"):
        files.parsed("x.A")


def test_a_home_that_cannot_be_made_is_one_line(
    process: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHOPAR_MY_HOME", str(tmp_path / "file" / "home"))
    assert started() == 2
    assert reason(capsys).startswith(f"some-agency: CHOPAR_MY_HOME: {tmp_path / 'file' / 'home'} cannot be made")


def test_a_secret_that_cannot_be_made_is_one_line(
    process: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secrets").write_text("")  # where a folder is due
    assert started() == 2
    assert f"the secret {tmp_path / 'home' / 'secrets' / 'some-agency'} cannot be made" in reason(capsys)


def test_a_secret_that_is_made_is_said_and_another_one_is_told_by_its_check_value(tmp_path: Path) -> None:
    with capture_logs() as logs:
        one, again = (ensure_secret(tmp_path / "one", "some-agency") for _ in range(2))
        other = ensure_secret(tmp_path / "other", "some-agency")
    assert [log["file"] for log in logs] == [
        str(secret_path(tmp_path / home, "some-agency")) for home in ("one", "other")
    ]
    assert check_value(one) == check_value(again) != check_value(other)
    assert check_value(one).encode() not in one
    assert one.hex() not in str(logs)


def test_a_disk_without_room_for_a_secret_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    with full_disk(), pytest.raises(ConfigurationError, match="cannot be made"):
        ensure_secret(tmp_path, "some-agency")
    assert list((tmp_path / "secrets").iterdir()) == []
    assert len(ensure_secret(tmp_path, "some-agency")) == SECRET_BYTES


async def test_schemas_are_read_although_none_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with capture_logs() as logs:
        registry = HttpSchemaRegistry("http://127.0.0.1:1", cache=tmp_path / "file" / "cache")
        registry._keep(1, "{}", None)
        assert await registry.text_of(1) == "{}"
        await registry.aclose()
    assert [log["event"] for log in logs] == ["schema_cache.unwritable"]


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        (
            TaxSettings,
            {},
            [
                "CHOPAR_TAX_KAFKA__BOOTSTRAP: is not set",
                "CHOPAR_TAX_HTTP__ADDRESS: is not set",
                "CHOPAR_TAX_HOME: is not set",
                "CHOPAR_TAX_SCHEMA_REGISTRY__URL: is not set",
                "CHOPAR_TAX_STORE__URL: is not set",
            ],
        ),
        (GatewaySettings, {"CHOPAR_GATEWAY_KAFKA__BOOTSTRAP": "nonsense"}, ["CHOPAR_GATEWAY_KAFKA__BOOTSTRAP: String"]),
        (GatewaySettings, {"CHOPAR_GATEWAY_MAX_RECORDS": "0"}, ["CHOPAR_GATEWAY_MAX_RECORDS: Input should be"]),
        (
            TaxSettings,
            {"CHOPAR_TAX_HTTP__ADDRESS": "127.0.0.1:99999"},
            ["CHOPAR_TAX_HTTP__ADDRESS: Value error, the last"],
        ),
        (TaxSettings, {"CHOPAR_TAX_KAFKA": "127.0.0.1:9092"}, ["CHOPAR_TAX_KAFKA__BOOTSTRAP"]),
    ],
)
def test_what_is_not_set_or_wrong_is_named_as_it_has_to_be_set(
    settings: type[ProcessSettings], given: dict[str, str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        settings.read()
    told = str(raised.value)
    assert [words for words in said if words not in told] == []
    assert not any(value in told for value in given.values() if value != "0")


def test_every_variable_that_is_named_as_missing_is_one_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"KAFKA__BOOTSTRAP": "h:1", "HTTP__ADDRESS": "h:1", "HOME": "/x", "STORE__URL": "sqlite:///x"}
    values["SCHEMA_REGISTRY__URL"] = "http://h"
    for _ in range(2):
        try:
            TaxSettings.read()
        except ConfigurationError as error:
            for part in str(error).removeprefix("settings: ").split("; "):
                name = part.partition(":")[0]
                monkeypatch.setenv(name, values[name.removeprefix("CHOPAR_TAX_")])
    assert str(TaxSettings.read().home) == "/x"


def test_the_agency_is_named_and_no_module_that_does_not_exist(
    process: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHOPAR_MY_KAFKA__BOOTSTRAP")
    assert started() == 2
    assert reason(capsys) == "some-agency: settings: CHOPAR_MY_KAFKA__BOOTSTRAP: is not set"


async def test_all_schemas_that_are_not_registered_are_named_at_once() -> None:
    registry = InMemorySchemaRegistry(lambda: 0.0)
    files = SchemaFiles.shipped()
    await registry.register(EvidenceProvided.RECORD, files.text(EvidenceProvided.RECORD))
    with pytest.raises(SchemaRegistryUnavailableError) as raised:
        await Encoder(files, registry).prepare(ExchangeRecorded, TaxDebt, EvidenceProvided)
    assert ExchangeRecorded.RECORD in str(raised.value)
    assert TaxDebt.RECORD in str(raised.value)
    assert EvidenceProvided.RECORD not in str(raised.value)


async def test_a_provider_says_once_that_it_is_ready_who_answers_what_and_where_to_look() -> None:
    missing = [{"kafka": "not yet"}, {}]
    with capture_logs() as logs:
        await _say_when_ready([Served(provider, {}, [TaxDebt])], lambda: missing.pop(0), "127.0.0.1:18190")
    assert logs == [
        {
            "event": "provider.ready",
            "log_level": "info",
            "agency": "some-agency",
            "answers": "tax-debt",
            "look_at": "http://127.0.0.1:18190/ready",
        }
    ]


def test_a_service_with_a_register_in_sqlite_loads_neither_what_postgresql_takes_nor_what_pages_take() -> None:
    not_needed = {"sqlalchemy.dialects.postgresql", "starlette", "rich", "httpx2"}
    code = f"import sys, services.tax.__main__; print(*sorted({not_needed} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("first", "hidden"), [("gateway", True), ("services", True), ("structlog", False)])
def test_structlog_goes_without_rich_in_our_processes_and_nobody_else_does(first: str, hidden: bool) -> None:
    code = f"import {first}, gateway, sys; print('rich' not in sys.modules); import rich.console, greenlet, structlog"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(hidden)
