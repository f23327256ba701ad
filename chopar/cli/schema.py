"""`chopar schema`: push the schemas of this distribution to a schema registry, list what it has.

Registering is a deployment step: processes only look ids up. Pushing again changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chopar.avro import SchemaFiles
from chopar.cli.output import Table
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, SchemaRegistryUnavailableError

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


async def push(files: SchemaFiles, registry: "httpx2.AsyncClient") -> list[Row]:
    """Register every schema under the full name of its record; what is there already stays as it is.

    Args:
        files: the schemas.
        registry: an HTTP client of the schema registry.

    Returns:
        One row a schema, in the order of subjects.

    Raises:
        SchemaRegistryUnavailableError: it does not answer, or cannot write now.
        ConfigurationError: it refuses a schema; says which and why.
    """
    from urllib.parse import quote

    rows = []
    for subject in sorted(files.texts):
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = await _ask(registry, "POST", path, {"schema": files.texts[subject]}, about=subject)
        # Registries other than ours may answer with the id alone.
        version = answer.get("version")
        if version is None:
            path = f"/subjects/{quote(subject, safe='')}"
            version = (await _ask(registry, "POST", path, {"schema": files.texts[subject]}, about=subject))["version"]
        rows.append(Row(subject, int(version), int(answer["id"])))
    return rows


async def versions(registry: "httpx2.AsyncClient") -> list[Row]:
    """Every version of every subject.

    Raises:
        SchemaRegistryUnavailableError: it does not answer.
    """
    rows = [Row(row["subject"], row["version"], row["id"]) for row in await _ask(registry, "GET", "/schemas")]
    return sorted(rows, key=lambda row: (row.subject, row.version))


async def _ask(
    registry: "httpx2.AsyncClient", method: str, path: str, body: dict[str, str] | None = None, *, about: str = ""
) -> Any:
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


def _show(session: Session, rows: list[Row]) -> None:
    cells = [(row.subject, row.id, row.version) for row in rows]
    columns = ("subject", "id", "version")
    session.output.show([asdict(row) for row in rows], Table(columns, cells, right=frozenset(columns[1:])))


@app.command("push")
def push_command(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="A folder with .avsc files; those of this distribution by default.")
    ] = None,
) -> None:
    """Register the schemas; again changes nothing."""
    session = Session.of(context)
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder")
    files = SchemaFiles.shipped() if folder is None else SchemaFiles.from_folder(folder)
    url = session.registry
    _show(session, session.run(lambda: _patiently(url, lambda registry: push(files, registry))))


@app.command("list")
def list_command(context: typer.Context) -> None:
    """List subjects with their versions and ids."""
    session = Session.of(context)
    url = session.registry
    _show(session, session.run(lambda: _patiently(url, versions)))
