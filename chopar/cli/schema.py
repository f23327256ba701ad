"""`chopar schema`: push the schemas of this distribution to a schema registry, ask whether it would take them, list
what it has.

Registering is a deployment step: processes only look ids up. Pushing again changes nothing, and nothing is registered
if one schema of many would be refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from chopar.avro import SchemaFiles
from chopar.avro.compatibility import merged
from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, IncompatibleSchemaError, SchemaRegistryUnavailableError

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, add_completion=False)

_START_UP_SECONDS = 10.0
"""A registry that was just started has to read its log: asked again so long before it counts as away."""

_PAUSE_SECONDS = 0.25
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One version in the registry; the subject is the full name of the record."""

    subject: str
    version: int
    id: int


class Standing(StrEnum):
    """How a schema stands to what the registry has."""

    REGISTERED = "registered"
    NEW = "new"
    """Its subject has no version yet."""

    COMPATIBLE = "compatible"
    """It can become the next version of its subject."""

    INCOMPATIBLE = "incompatible"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the registry would do with a schema, and in which words it refuses it."""

    subject: str
    standing: Standing
    reasons: tuple[str, ...] = ()


async def check(files: SchemaFiles, registry: "httpx2.AsyncClient") -> list[Checked]:
    """Ask whether each schema could be registered under the full name of its record; changes nothing.

    Args:
        files: the schemas.
        registry: an HTTP client of the schema registry.

    Returns:
        One row a schema, in the order of subjects.

    Raises:
        SchemaRegistryUnavailableError: it does not answer.
        ConfigurationError: a text is no valid schema; says which, in which file, and why.
    """
    return [
        Checked(subject, Standing.REGISTERED)
        if await _registered(files, subject, registry) is not None
        else await _compared(files, subject, registry)
        for subject in sorted(files.texts)
    ]


async def _registered(files: SchemaFiles, subject: str, registry: "httpx2.AsyncClient") -> Row | None:
    """The version that a schema is registered as; None if it is not."""
    path, body = f"/subjects/{_quoted(subject)}", {"schema": files.texts[subject]}
    answer = await _ask(registry, "POST", path, body, about=_about(files, subject), may_lack=True)
    return None if answer is None else Row(subject, int(answer["version"]), int(answer["id"]))


async def _compared(files: SchemaFiles, subject: str, registry: "httpx2.AsyncClient") -> Checked:
    """How a schema that is not registered stands to the versions of its subject."""
    path, body, about = f"/subjects/{_quoted(subject)}", {"schema": files.texts[subject]}, _about(files, subject)
    all_versions, verbose = f"/compatibility{path}/versions", "?verbose=true"
    # Before it is known whether there are versions: some schemas can be looked up, but not be registered.
    answer = await _ask(registry, "POST", f"{all_versions}{verbose}", body, about=about, may_lack=True)
    if await _ask(registry, "GET", f"{path}/versions", may_lack=True) is None:
        return Checked(subject, Standing.NEW)
    if answer is None:  # some registries compare with one version only
        answer = await _ask(registry, "POST", f"{all_versions}/latest{verbose}", body, about=about)
    if answer["is_compatible"]:
        return Checked(subject, Standing.COMPATIBLE)
    said = tuple(merged([str(one) for one in answer.get("messages", ())])) or ("the schema registry does not say why",)
    return Checked(subject, Standing.INCOMPATIBLE, said)


async def push(files: SchemaFiles, registry: "httpx2.AsyncClient", new: set[str]) -> list[Row]:
    """Register every schema under the full name of its record; what is there already stays as it is.

    Args:
        files: the schemas.
        registry: an HTTP client of the schema registry.
        new: is given the subjects of those that were not there, as far as they are registered.

    Returns:
        One row a schema, in the order of subjects.

    Raises:
        SchemaRegistryUnavailableError: it does not answer, or cannot write now.
        IncompatibleSchemaError: schemas do not fit earlier versions; says which and why. None was registered then.
        ConfigurationError: it refuses a schema; says which and why.
    """
    rows = {subject: await _registered(files, subject, registry) for subject in sorted(files.texts)}
    missing = [subject for subject, row in rows.items() if row is None]
    compared = [await _compared(files, subject, registry) for subject in missing]
    refused = {one.subject: one.reasons for one in compared if one.standing is Standing.INCOMPATIBLE}
    if refused:
        raise IncompatibleSchemaError(refused)
    for subject in missing:
        path, body = f"/subjects/{_quoted(subject)}", {"schema": files.texts[subject]}
        await _ask(registry, "POST", f"{path}/versions", body, about=subject)
        new.add(subject)
        answer = await _ask(registry, "POST", path, body, about=subject)
        rows[subject] = Row(subject, int(answer["version"]), int(answer["id"]))
    return [row for row in rows.values() if row is not None]


def _about(files: SchemaFiles, subject: str) -> str:
    """A schema as its author finds it."""
    return f"{files.paths[subject]}: {subject}" if subject in files.paths else subject


def _quoted(subject: str) -> str:
    from urllib.parse import quote

    return quote(subject, safe="")


async def versions(registry: "httpx2.AsyncClient") -> list[Row]:
    """Every version of every subject.

    Raises:
        SchemaRegistryUnavailableError: it does not answer.
    """
    rows = [Row(row["subject"], row["version"], row["id"]) for row in await _ask(registry, "GET", "/schemas")]
    return sorted(rows, key=lambda row: (row.subject, row.version))


async def _ask(
    registry: "httpx2.AsyncClient",
    method: str,
    path: str,
    body: dict[str, str] | None = None,
    *,
    about: str = "",
    may_lack: bool = False,
) -> Any:
    """What the registry answers; None if `may_lack`, and it does not have what is asked for."""
    import httpx2

    try:
        answer = await registry.request(method, path, json=body)
        content = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise SchemaRegistryUnavailableError(f"the schema registry at {registry.base_url} does not answer") from error
    if answer.is_success:
        return content
    said = content.get("message") if isinstance(content, dict) else None
    if answer.status_code >= 500:
        raise SchemaRegistryUnavailableError(
            f"the schema registry at {registry.base_url}: {said or answer.status_code}"
        )
    if may_lack and answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    if answer.status_code == HTTPStatus.CONFLICT:  # somebody else was faster than we between asking and registering
        raise IncompatibleSchemaError({about: [str(said)]})
    subject = f"{about}: " if about else ""
    raise ConfigurationError(f"{subject}the schema registry refuses: {said or answer.status_code}")


async def _patiently(url: str, work: Callable[["httpx2.AsyncClient"], Awaitable[T]]) -> T:
    """Do it, again and again while the registry starts up."""
    import httpx2

    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_UP_SECONDS
    async with httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS) as registry:
        while True:
            try:
                return await work(registry)
            except SchemaRegistryUnavailableError:
                if loop.time() + _PAUSE_SECONDS > deadline:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)


_Folder: TypeAlias = Annotated[
    Path | None, typer.Argument(help="A folder with .avsc files; those of this distribution by default.")
]
_COLUMNS = ("subject", "id", "version")
_RIGHT = frozenset(_COLUMNS[1:])


@app.command("push")
def push_command(
    context: typer.Context,
    folder: _Folder = None,
) -> None:
    """Register the schemas, and say which were new; none if one is refused, and again changes nothing."""
    session = Session.of(context)
    files = _files(folder)
    url = session.registry
    new: set[str] = set()
    rows = session.run(lambda: _patiently(url, lambda registry: push(files, registry, new)))
    data = [{**asdict(row), "is_new": row.subject in new} for row in rows]
    cells = [(row.subject, row.id, row.version, row.subject in new) for row in rows]
    counted = f"{len(new)} of {len(rows)} are new" if new else f"nothing new: all {len(rows)} were registered already"
    session.output.show(data, Table((*_COLUMNS, "new"), cells, right=_RIGHT), counted)


@app.command("check")
def check_command(
    context: typer.Context,
    folder: _Folder = None,
) -> None:
    """Ask whether the schemas could be registered, and why not; changes nothing. Exit code 1: one could not."""
    session = Session.of(context)
    files = _files(folder)
    url = session.registry
    rows = session.run(lambda: _patiently(url, lambda registry: check(files, registry)))
    refused = [row for row in rows if row.standing is Standing.INCOMPATIBLE]
    words = str(IncompatibleSchemaError({row.subject: row.reasons for row in refused})) if refused else ""
    cells = [(row.subject, row.standing) for row in rows]
    session.output.show([asdict(row) for row in rows], Table(("subject", "standing"), cells), *filter(None, [words]))
    if refused:
        raise typer.Exit(ExitCode.NO)


def _files(folder: Path | None) -> SchemaFiles:
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder")
    return SchemaFiles.shipped() if folder is None else SchemaFiles.from_folder(folder)


@app.command("list")
def list_command(context: typer.Context) -> None:
    """List subjects with their versions and ids."""
    session = Session.of(context)
    url = session.registry
    rows = session.run(lambda: _patiently(url, versions))
    cells = [(row.subject, row.id, row.version) for row in rows]
    session.output.show([asdict(row) for row in rows], Table(_COLUMNS, cells, right=_RIGHT))
