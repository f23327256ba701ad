"""Which nouns there are, and how one is loaded when it is called.

The library's own stand here. Others are entry points of the group `chopar.cli`, `NOUN = "package.module:app"` with a
Typer app; one counts only if its top package holds `nouns.toml`:

    [nouns]
    NOUN = "one line of help"

The package is found without being imported, so that help costs nobody else's imports and a stranger's package of the
same name is never run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chopar.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import typer

GROUP = "chopar.cli"
NOUNS_FILE = "nouns.toml"


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun and where its Typer app is.

    Attributes:
        name: as it is typed.
        help: one line.
        module: the module that holds the app.
        attribute: the app's name there.
    """

    name: str
    help: str
    module: str
    attribute: str = "app"

    def load(self) -> "typer.Typer":
        """Import the app.

        Raises:
            ConfigurationError: it is not where it is said to be.
        """
        try:
            app: Any = getattr(import_module(self.module), self.attribute)
        except (ImportError, AttributeError) as error:
            missing = error.name if isinstance(error, ImportError) and error.name else self.module
            raise ConfigurationError(
                f"the command {self.name} cannot be loaded ({missing} is missing): install the project again"
            ) from error
        if not callable(app):
            raise ConfigurationError(f"the command {self.name} is no Typer app: {self.module}:{self.attribute}")
        return app  # type: ignore[no-any-return]


OWN = (
    Noun("up", "Start the local stack and send two example demands.", "chopar.cli.up"),
    Noun("down", "Stop the local stack; its data is kept.", "chopar.cli.down"),
    Noun("status", "List the processes of the local stack.", "chopar.cli.status"),
    Noun("run", "Run a process of the local stack by hand, with its settings: a backup, say.", "chopar.cli.run"),
    Noun("doctor", "Look for what would keep the stack from running, and say what to do.", "chopar.cli.doctor"),
    Noun("demand", "Send a demand for documents, follow one, list them.", "chopar.cli.demand"),
    Noun("topic", "List the topics with what is in them and who writes and reads them.", "chopar.cli.topic"),
    Noun("dead-letter", "List what could not be handled; look at it, replay or discard it.", "chopar.cli.dead_letter"),
    Noun("population", "List the synthetic people and businesses that the registers hold.", "chopar.cli.population"),
    Noun("provider", "Begin a provider of your own, check that one keeps its promises.", "chopar.cli.provider"),
    Noun("schema", "Push schemas to the schema registry, ask whether they fit, list what it has.", "chopar.cli.schema"),
    Noun("bench", "Measure what the Kafka cluster carries, on topics of its own.", "chopar.cli.bench"),
)  # fmt: skip


def own(name: str) -> Noun | None:
    """One of the library's own nouns."""
    return next((noun for noun in OWN if noun.name == name), None)


def brought() -> Iterator[Noun]:
    """The nouns that other packages bring, in the order of their names."""
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        noun = _counted(entry)
        if noun is not None and own(noun.name) is None:
            yield noun


def brought_by(name: str) -> str | None:
    """The package that would bring a noun and is not installed: a wheel names what only a checkout has."""
    from importlib.metadata import entry_points

    packages = (entry.module.partition(".")[0] for entry in entry_points(group=GROUP, name=name))
    return next((package for package in packages if not _folders(package)), None)


def _counted(entry: "EntryPoint") -> Noun | None:
    for folder in _folders(entry.module.partition(".")[0]):
        path = Path(folder) / NOUNS_FILE
        if path.is_file():
            help_line = _help_lines(path).get(entry.name)
            if help_line is not None:
                return Noun(entry.name, help_line, entry.module, entry.attr)
    return None


def _folders(package: str) -> list[str]:
    """Where a package lies, found without importing it; nowhere, if it is not installed."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return []
    return list(spec.submodule_search_locations or ()) if spec else []


def _help_lines(path: Path) -> dict[str, str]:
    """What a package says of its nouns; a file that cannot be read counts as absent, as it may be a stranger's."""
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("nouns")
    except (OSError, ValueError):
        return {}
    return {name: line for name, line in table.items() if isinstance(line, str)} if isinstance(table, dict) else {}
