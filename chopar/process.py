"""How a process of ours begins and ends: settings, logs, signals, exit codes.

`python -m services.tax` and its like call `run` with their settings class and one coroutine. What the process does is
theirs.
"""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from chopar.errors import ChoparError, ConfigurationError
from chopar.observe import configure_logging
from chopar.settings import ProcessSettings

S = TypeVar("S", bound=ProcessSettings)

_OBJECTS_OF_A_BATCH = 10_000

EXIT_STOPPED = 1
EXIT_WRONG_USE = 2


def parser(process: str, about: str, *, program: str | None = None) -> argparse.ArgumentParser:
    """The options that every process takes; callers may add theirs.

    Args:
        process: its module.
        about: what it does.
        program: how it is called, where that is not `python -m` and its module.
    """
    options = argparse.ArgumentParser(prog=program or f"python -m {process}", description=about)
    options.add_argument("--check", action="store_true", help="read the settings, say whether they are valid, and exit")
    options.add_argument(
        "--insecure", action="store_true", help="allow a broker or listener that is not loopback, unauthenticated"
    )
    return options


def register_parser(process: str, about: str) -> argparse.ArgumentParser:
    """The options that a process with a register takes beside: what it does with it before it exits."""
    options = parser(process, about)
    correct_option(options)
    options.add_argument("--seed", action="store_true", help="fill the register with synthetic entries, and exit")
    options.add_argument("--migrate", action="store_true", help="bring the register's tables up to date, and exit")
    options.add_argument(
        "--backup", metavar="FILE", type=Path, help="copy the register (SQLite; also while it is in use), and exit"
    )
    return options


def correct_option(options: argparse.ArgumentParser) -> None:
    """The option by which a holder says that it was wrong about somebody; `chopar.provider.process` does it."""
    options.add_argument(
        "--correct",
        metavar="FILE",
        type=Path,
        help="answer again those who asked about the PINFLs or STIRs of FILE (one a line; - reads them), and exit",
    )


def run(
    settings_class: type[S],
    main: Callable[[S, argparse.Namespace, asyncio.Event], Awaitable[None]],
    options: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> int:
    """Run a process to its end and give its exit code: 0 done or stopped by a signal, 1 stopped, 2 wrong settings.

    Args:
        settings_class: what to read from the environment.
        main: given the settings, the parsed options and an event that a SIGTERM or SIGINT sets.
        options: from `parser`.
        argv: the arguments; those of the process by default.
    """
    arguments = options.parse_args(argv)
    if arguments.insecure:
        os.environ[f"{settings_class.model_config.get('env_prefix', '')}INSECURE"] = "true"
    try:
        settings = settings_class.read()
    except ConfigurationError as error:
        print(f"{options.prog}: {error}", file=sys.stderr)  # noqa: T201  before there is a log
        return EXIT_WRONG_USE
    if arguments.check:
        print(f"{options.prog}: the settings are valid", file=sys.stderr)  # noqa: T201
        return 0
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        variable = f"{settings_class.model_config.get('env_prefix', '')}HOME"
        print(f"{options.prog}: {variable}: {settings.home} cannot be made: {error.strerror}", file=sys.stderr)  # noqa: T201
        return EXIT_WRONG_USE
    configure_logging(settings.log_level, process=options.prog.removeprefix("python -m "), for_good=argv is None)
    look_less_for_garbage()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signalled(main, settings, arguments))
    except ConfigurationError as error:
        structlog.get_logger().error("process.misconfigured", code=error.code, reason=str(error))
        return EXIT_WRONG_USE
    except ChoparError as error:
        structlog.get_logger().error("process.stopped", code=error.code, reason=str(error))
        return EXIT_STOPPED
    return 0


def look_less_for_garbage() -> None:
    """A batch is some ten thousand objects that live shortly; by Python's defaults each has all others looked through.

    Measured: a sixth of the CPU time of a provider's answers.
    """
    gc.collect()
    gc.freeze()  # what was imported stays
    gc.set_threshold(_OBJECTS_OF_A_BATCH, 20, 20)


async def _until_signalled(
    main: Callable[[S, argparse.Namespace, asyncio.Event], Awaitable[None]], settings: S, arguments: argparse.Namespace
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(settings, arguments, stop)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
