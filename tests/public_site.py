"""The gateway's listener on lists that hold, without a broker: for tests of what it tells everybody."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chopar.bus.memory import MemoryBus
from chopar.health import AsgiApp, Health
from gateway import listener
from gateway.bundle import install
from gateway.law_reader import LawReader
from gateway.standing import secret_name
from tests.builders import NOW_MS
from tests.standing import FILES, SECRET, activation, bundle


def law_reader(home: Path, files: Mapping[str, bytes] | None = None, **activated: Any) -> LawReader:
    """A reader that has read one activation, whose bundle and secret lie on disk."""
    whole = dict(files) if files is not None else bundle()
    install(whole, home / "lists")
    secrets = home / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    secret = secrets / secret_name(1)
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    reader = reader_without_law(home)
    reader.law.read(0, NOW_MS, activation(whole, **activated))
    return reader


def reader_without_law(home: Path) -> LawReader:
    """A reader that has read nothing."""
    return LawReader(MemoryBus(lambda: NOW_MS), FILES, home=home, lists_folder=home / "lists", instance="test")


def site(reader: LawReader, home: Path, ready: Callable[[], Mapping[str, str]] = dict) -> AsgiApp:
    """The application."""
    return Health(ready, CollectorRegistry()).before(listener.site(reader, home / "lists"))
