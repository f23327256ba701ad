"""What every command shares: the output, the addresses that were given or found, and how it connects.

The options `--format`, `--bootstrap`, `--registry`, `--gateway` and `--insecure` belong to all commands alike, so they
are taken from the command line once (`take_shared`) and reach a command as `Session.of(context)`.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from chopar.cli.output import Format, Output
from chopar.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    import datetime

    import httpx2
    import typer

    from chopar.broker.stack import Stack
    from chopar.bus.port import Bus
    from chopar.schema_registry import HttpSchemaRegistry

T = TypeVar("T")

SHARED_HELP = """\
Options of every command:
  --format text|json    How data is printed; JSON holds the same.  [default: text]
  --bootstrap HOST:PORT Kafka, instead of the running stack's.
  --registry URL        The schema registry, instead of the running stack's.
  --gateway URL         The gateway's HTTP listener, instead of the running stack's.
  --insecure            Allow an address that is not loopback, although nobody is authenticated yet."""

_VALUED = ("--format", "--bootstrap", "--registry", "--gateway")
INSECURE = "--insecure"
_HTTP_SECONDS = 5.0
_GATEWAY_SECONDS = 20.0  # a gateway makes its rehearsals when it is first asked, which on a busy machine takes a while
_TERMINATED = 143  # 128 + SIGTERM, as shells have it
_START_SECONDS = 5.0  # somebody waits: a broker that is not there is said sooner than to a process


class SharedOptionError(ConfigurationError):
    """An option that every command takes was given wrongly."""


def take_shared(arguments: Sequence[str], own: frozenset[str] = frozenset()) -> tuple[dict[str, str], list[str]]:
    """Take the options that every command shares out of a command line, wherever they stand.

    Args:
        arguments: the command line, without the program.
        own: shared options that the noun declares itself; they stay where they are.

    Returns:
        The values by option (the last one counts), and what is left.

    Raises:
        SharedOptionError: one lacks its value.
    """
    given: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif name in own or name not in (*_VALUED, INSECURE) or (name == INSECURE and equals):
            rest.append(word)
        elif name == INSECURE:
            given[name] = "yes"
        else:
            found = value if equals else next(words, "")
            if not found:
                raise SharedOptionError(f"{name} needs a value")
            given[name] = found
    return given, rest


def require_address(address: str, option: str, insecure: bool) -> None:
    """Refuse what is no address, and an address that other machines can be behind.

    Raises:
        ConfigurationError: says which option and what to do.
    """
    from urllib.parse import urlsplit

    from chopar.bus.loopback import require_loopback

    for part in address.split(","):
        try:
            url = urlsplit(part if "://" in part else f"//{part}")
            host, port = url.hostname, url.port
        except ValueError:
            host, port = None, None
        if not host or (port is None and "://" not in part):
            raise ConfigurationError(f"{option}: {part!r} is no address; HOST:PORT is due")
        require_loopback([host], insecure, option)


@dataclass(frozen=True, slots=True)
class Session:
    """What a command is given.

    Args:
        output: where data and words go.
        given: the shared options that were given, by name.
        environ: of the process.
        cwd: where the command was called.
    """

    output: Output
    given: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()

    @classmethod
    def begin(
        cls, given: Mapping[str, str], environ: Mapping[str, str], cwd: Path, out: TextIO, err: TextIO
    ) -> "Session":
        """The session of a command line.

        Raises:
            SharedOptionError: the format is none of ours.
        """
        form = given.get("--format", Format.TEXT)
        if form not in tuple(Format):
            raise SharedOptionError(f"--format: {' or '.join(Format)} is due")
        return cls(Output(Format(form), out, err), given, environ, cwd)

    @staticmethod
    def of(context: "typer.Context") -> "Session":
        """The session that a command was called in."""
        session = context.find_root().obj
        if not isinstance(session, Session):
            raise ConfigurationError("this command was called without a session; call it by `chopar`")
        return session

    @property
    def insecure(self) -> bool:
        """Whether addresses that are not loopback are allowed."""
        return INSECURE in self.given

    def who(self, by: str) -> str:
        """Who does what is written down for good; see `chopar.cli.login.who`.

        Raises:
            ConfigurationError: nobody is named, and the system does not say who it is.
        """
        from chopar.cli.login import who

        return who(by, self.environ)

    def now(self) -> "datetime.datetime":
        """The aware UTC time."""
        import datetime

        return datetime.datetime.now(datetime.UTC)

    def home(self) -> Path:
        """The folder of the stack's state: CHOPAR_HOME, else the nearest `.chopar` upwards, else the checkout's."""
        from chopar.broker.stack import find_home

        return find_home(self.environ, self.cwd, checkout())

    def stack(self) -> "Stack":
        """The stack as it is written down.

        Raises:
            UnavailableError: there is none.
        """
        from chopar.broker.stack import read_stack

        home = self.home()
        found = read_stack(home)
        if found is None:
            raise UnavailableError(f"no stack is running in {home}: start one with `chopar up`")
        return found

    def _address(self, option: str, key: str) -> str:
        if option in self.given:
            address = self.given[option]
        else:
            try:
                address = self.stack().addresses.get(key, "")
            except UnavailableError as error:
                raise UnavailableError(f"{error}, or say where it is with {option}") from None
        if not address:
            raise UnavailableError(f"the running stack names no address for {option}: say it with {option}")
        require_address(address, option, self.insecure)
        return address

    @property
    def bootstrap(self) -> str:
        """Where Kafka is. Raises UnavailableError if nobody says so."""
        return self._address("--bootstrap", "bootstrap")

    @property
    def registry(self) -> str:
        """The schema registry's URL. Raises UnavailableError if nobody says so."""
        return as_url(self._address("--registry", "registry"))

    @property
    def gateway(self) -> str:
        """The URL of the gateway's listener. Raises UnavailableError if nobody says so."""
        return as_url(self._address("--gateway", "gateway"))

    def bus(self) -> "Bus":
        """A bus on the addressed Kafka; nothing is connected yet."""
        bootstrap = self.bootstrap
        from chopar.bus.kafka import KafkaBus, KafkaClientSettings

        settings = KafkaClientSettings(start_deadline_seconds=_START_SECONDS)
        return KafkaBus(bootstrap, insecure=self.insecure, settings=settings)

    def schema_registry(self) -> "HttpSchemaRegistry":
        """A client of the addressed schema registry; close it."""
        from chopar.schema_registry import HttpSchemaRegistry

        return HttpSchemaRegistry(self.registry, timeout_seconds=_HTTP_SECONDS)

    def gateway_client(self) -> "httpx2.AsyncClient":
        """An HTTP client of the addressed gateway; close it."""
        import httpx2

        timeout = httpx2.Timeout(_GATEWAY_SECONDS, connect=_HTTP_SECONDS)
        return httpx2.AsyncClient(base_url=self.gateway, timeout=timeout)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine to its end, with the library's logs kept off the screen: errors reach the caller anyway.

        SIGTERM ends it as Ctrl-C does: it may take away what it has made.
        """
        import asyncio
        import logging

        import structlog

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        logging.getLogger().addHandler(logging.NullHandler())
        terminated: list[bool] = []
        try:
            return asyncio.run(_until_terminated(work, terminated))
        except asyncio.CancelledError:
            if not terminated:
                raise
            raise SystemExit(_TERMINATED) from None


async def _until_terminated(work: Callable[[], Coroutine[Any, Any, T]], terminated: list[bool]) -> T:
    """Have SIGTERM cancel the work; notes that it did."""
    import asyncio
    import contextlib
    import signal

    task = asyncio.current_task()

    def terminate() -> None:
        terminated.append(True)
        if task is not None:
            task.cancel()

    with contextlib.suppress(RuntimeError, NotImplementedError):  # in another thread there are no signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    return await work()


def as_url(address: str) -> str:
    """An address as a URL; HTTP unless it says otherwise."""
    return address if "://" in address else f"http://{address}"


def checkout() -> Path | None:
    """The folder of the editable checkout that this package was imported from, if it is one."""
    folder = Path(__file__).resolve().parent.parent.parent
    return folder if (folder / "pyproject.toml").is_file() and (folder / "deploy").is_dir() else None
