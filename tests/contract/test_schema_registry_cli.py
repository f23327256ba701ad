"""`chopar schema push` and `list` against our schema registry."""

import asyncio
import io
import json
from pathlib import Path

import httpx2
import pytest

from chopar.avro import SchemaFiles
from chopar.cli import schema as command
from chopar.cli.exit_codes import ExitCode
from chopar.cli.main import main
from chopar.cli.schema import Checked, Standing, check, push
from chopar.errors import IncompatibleSchemaError
from tests.schema_registry_fixture import Instance, listening, memory_bus, until

TEXT = '{"type":"record","name":"R","namespace":"a","fields":[]}'


async def chopar(*arguments: str) -> tuple[int, str, str]:
    """Run a command line in a thread, as it has a loop of its own."""
    out, err = io.StringIO(), io.StringIO()
    code = await asyncio.to_thread(main, arguments, environ={}, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


async def test_push_registers_what_is_shipped_under_the_names_of_the_records_and_again_changes_nothing() -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        code, out, err = await chopar("schema", "push", "--registry", url, "--format", "json")
        assert (code, err) == (ExitCode.DONE, "")
        rows = json.loads(out)
        assert [row["subject"] for row in rows] == sorted(SchemaFiles.shipped().texts)
        assert {row["version"] for row in rows} == {1}
        assert len({row["id"] for row in rows}) == len(rows)
        assert all(row["is_new"] for row in rows)
        code, out, err = await chopar("schema", "push", "--registry", url, "--format", "json")
        assert (code, err) == (ExitCode.DONE, "")
        assert json.loads(out) == [{**row, "is_new": False} for row in rows]
        assert len(instance.bus.records("_schemas")) == len(rows) + 1, "nothing was written again"


async def test_list_shows_every_version_as_a_table_too(tmp_path: Path) -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        for text in (TEXT, TEXT.replace("[]", '[{"name":"x","type":"int","default":0}]')):
            (tmp_path / "R.avsc").write_text(text, encoding="utf-8")
            assert (await chopar("schema", "push", str(tmp_path), "--registry", url))[0] == ExitCode.DONE
        code, out, _ = await chopar("schema", "list", "--registry", url, "--format", "json")
        assert code == ExitCode.DONE
        assert json.loads(out) == [
            {"subject": "a.R", "version": 1, "id": 1},
            {"subject": "a.R", "version": 2, "id": 2},
        ]
        _, table, _ = await chopar("schema", "list", "--registry", url)
        assert "subject" in table
        assert table.count("a.R") == 2


async def test_push_registers_nothing_if_one_schema_does_not_fit_and_says_where_and_why(tmp_path: Path) -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        (tmp_path / "R.avsc").write_text(TEXT.replace("[]", '[{"name":"x","type":"int"}]'), encoding="utf-8")
        assert (await chopar("schema", "push", str(tmp_path), "--registry", url))[0] == ExitCode.DONE
        (tmp_path / "R.avsc").write_text(TEXT.replace("[]", '[{"name":"x","type":"string"}]'), encoding="utf-8")
        (tmp_path / "A.avsc").write_text(TEXT.replace('"R"', '"A"'), encoding="utf-8")
        (tmp_path / "S.avsc").write_text(TEXT.replace('"R"', '"S"'), encoding="utf-8")
        code, out, err = await chopar("schema", "push", str(tmp_path), "--registry", url)
        assert (code, out) == (ExitCode.NO, "")
        lines = err.splitlines()
        assert lines[0] == "chopar: a.R does not fit its earlier versions:"
        assert lines[1] == "  x is string, but version 1 wrote int; keep that type, or use a field of another name"
        assert len(lines) == 3, "each place once for each direction"
        assert instance.schemas.subjects() == ["a.R"]
        assert [row.version for row in instance.schemas.versions("a.R")] == [1]


async def test_check_asks_without_registering(tmp_path: Path) -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        for name in "KLM":
            (tmp_path / f"{name}.avsc").write_text(TEXT.replace('"R"', f'"{name}"'), encoding="utf-8")
        assert (await chopar("schema", "push", str(tmp_path), "--registry", url))[0] == ExitCode.DONE
        log = len(instance.bus.records("_schemas"))
        added = '[{"name":"x","type":["null","int"],"default":null}]'
        (tmp_path / "L.avsc").write_text(TEXT.replace('"R"', '"L"').replace("[]", added), encoding="utf-8")
        (tmp_path / "N.avsc").write_text(TEXT.replace('"R"', '"N"'), encoding="utf-8")
        code, out, err = await chopar("schema", "check", str(tmp_path), "--registry", url)
        assert (code, err) == (ExitCode.DONE, "")
        assert [line.split() for line in out.splitlines()] == [
            ["subject", "standing"],
            ["a.K", "registered"],
            ["a.L", "compatible"],
            ["a.M", "registered"],
            ["a.N", "new"],
        ]
        required = '[{"name":"x","type":"int"}]'
        (tmp_path / "M.avsc").write_text(TEXT.replace('"R"', '"M"').replace("[]", required), encoding="utf-8")
        code, out, err = await chopar("schema", "check", str(tmp_path), "--registry", url)
        assert (code, err) == (ExitCode.NO, "")
        assert out.splitlines()[-2:] == [
            "a.M does not fit its earlier versions:",
            "  x is not in version 1 and has no default; give it one",
        ]
        code, out, _ = await chopar("schema", "check", str(tmp_path), "--registry", url, "--format", "json")
        assert code == ExitCode.NO
        assert json.loads(out)[2] == {
            "subject": "a.M",
            "standing": "incompatible",
            "reasons": ["x is not in version 1 and has no default; give it one"],
        }
        assert len(instance.bus.records("_schemas")) == log, "nothing was written"


async def test_a_registry_that_compares_with_one_version_only_is_asked_for_the_latest() -> None:
    compatible = {"is_compatible": True}

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked = request.method, request.url.path
        if asked == ("GET", "/subjects/a.R/versions"):
            return httpx2.Response(200, json=[1])
        if asked == ("POST", "/compatibility/subjects/a.R/versions/latest"):
            return httpx2.Response(200, json=compatible)
        if asked == ("POST", "/subjects/a.R/versions"):
            return httpx2.Response(409, json={"error_code": 409, "message": "somebody was faster"})
        return httpx2.Response(404, json={"error_code": 404, "message": "HTTP 404 Not Found"})

    files = SchemaFiles({"a.R": TEXT})
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://registry") as registry:
        assert await check(files, registry) == [Checked("a.R", Standing.COMPATIBLE)]
        with pytest.raises(IncompatibleSchemaError, match="somebody was faster"):
            await push(files, registry, set())
        compatible["is_compatible"] = False
        [row] = await check(files, registry)
        assert (row.standing, len(row.reasons)) == (Standing.INCOMPATIBLE, 1)


async def test_push_says_what_was_new(tmp_path: Path) -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        (tmp_path / "R.avsc").write_text(TEXT, encoding="utf-8")
        assert "1 of 1 are new" in (await chopar("schema", "push", str(tmp_path), "--registry", url))[1]
        assert "nothing new: all 1 " in (await chopar("schema", "push", str(tmp_path), "--registry", url))[1]
        (tmp_path / "S.avsc").write_text(TEXT.replace('"R"', '"S"'), encoding="utf-8")
        _, out, _ = await chopar("schema", "push", str(tmp_path), "--registry", url)
        assert [line.split() for line in out.splitlines()] == [
            ["subject", "id", "version", "new"],
            ["a.R", "1", "1", "no"],
            ["a.S", "2", "1", "yes"],
            ["1", "of", "2", "are", "new"],
        ]


async def test_an_empty_registry_lists_nothing() -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        assert (await chopar("schema", "list", "--registry", url, "--format", "json"))[:2] == (ExitCode.DONE, "[]\n")


async def test_a_schema_that_is_refused_is_wrong_use_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "R.avsc").write_text(TEXT.replace("[]", '[{"name":"x","type":"money"}]'), encoding="utf-8")
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        code, out, err = await chopar("schema", "push", str(tmp_path), "--registry", url)
    assert (code, out) == (ExitCode.WRONG_USE, "")
    assert "a.R" in err
    assert "money" in err


INVALID = {
    "default": '{"name":"x","type":"int","default":"one"}',
    "default_of_a_later_type": '{"name":"x","type":["int","null"],"default":null}',
    "twice": '{"name":"x","type":"int"},{"name":"x","type":"int"}',
    "unknown_type": '{"name":"x","type":"integer"}',
}


@pytest.mark.parametrize("fields", INVALID.values(), ids=INVALID.keys())
async def test_an_invalid_schema_is_named_with_its_file_before_anything_is_registered(
    fields: str, tmp_path: Path
) -> None:
    (tmp_path / "A.avsc").write_text(TEXT.replace('"R"', '"A"'), encoding="utf-8")
    (tmp_path / "R.avsc").write_text(TEXT.replace("[]", f"[{fields}]"), encoding="utf-8")
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        for verb in ("check", "push"):
            code, out, err = await chopar("schema", verb, str(tmp_path), "--registry", url)
            assert (code, out) == (ExitCode.WRONG_USE, "")
            assert err.startswith(f"chopar: {tmp_path / 'R.avsc'}: a.R: the schema registry refuses: Invalid schema: ")
            assert "a.R.x" in err
        assert instance.schemas.subjects() == []


async def test_a_reason_that_holds_for_several_versions_is_said_once(tmp_path: Path) -> None:
    async with Instance(memory_bus()).following() as instance, listening(instance.app) as url:
        for default in (0, 1, 2):
            added = f'[{{"name":"x","type":"int","default":{default}}}]'
            (tmp_path / "R.avsc").write_text(TEXT.replace("[]", added), encoding="utf-8")
            assert (await chopar("schema", "push", str(tmp_path), "--registry", url))[0] == ExitCode.DONE
        (tmp_path / "R.avsc").write_text(TEXT.replace("[]", '[{"name":"y","type":"int"}]'), encoding="utf-8")
        code, out, _ = await chopar("schema", "check", str(tmp_path), "--registry", url)
    assert code == ExitCode.NO
    assert out.splitlines()[-1] == "  y is not in versions 1 to 3 and has no default; give it one"


@pytest.mark.parametrize("arguments", [("schema", "push", "/nowhere"), ("schema", "push", "--wrong"), ("schema",)])
async def test_wrong_use(arguments: tuple[str, ...]) -> None:
    code, out, err = await chopar(*arguments, "--registry", "http://127.0.0.1:1")
    assert (code, out) == (ExitCode.WRONG_USE, "")
    assert err


async def test_an_address_that_is_not_loopback_is_refused() -> None:
    code, _, err = await chopar("schema", "list", "--registry", "http://192.0.2.1:8081")
    assert code == ExitCode.WRONG_USE
    assert "--insecure" in err


async def test_no_registry_is_said_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_START_UP_SECONDS", 0.3)
    code, out, err = await chopar("schema", "push", "--registry", "http://127.0.0.1:1")
    assert (code, out) == (ExitCode.UNREACHABLE, "")
    assert "127.0.0.1:1" in err
    assert "Traceback" not in err


async def test_a_registry_that_is_still_starting_is_waited_for() -> None:
    bus = memory_bus()
    bus.faults.down = True
    instance = Instance(bus)
    async with instance.following(ready=False), listening(instance.app) as url:
        pushing = asyncio.create_task(chopar("schema", "push", "--registry", url, "--format", "json"))
        refused = {"status": "503"}
        await until(lambda: bool(instance.metrics.get_sample_value("chopar_schema_registry_answers_total", refused)))
        bus.faults.down = False
        code, out, _ = await pushing
    assert code == ExitCode.DONE
    assert len(json.loads(out)) == len(SchemaFiles.shipped().texts)
