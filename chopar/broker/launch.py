"""From an entry of the plan to a running process: its command line, folder, environment, log file and port.

Used by the supervisor, which starts, and by `local_stack`, which must know beforehand what would be started. Keeping
what was started alive is the supervisor's.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from chopar.broker.kafka_node import JAVA_ENVIRONMENT, KafkaNode, new_cluster_id
from chopar.broker.plan import Entry, Plan
from chopar.broker.ports import HOST, port_at
from chopar.broker.stack import Home
from chopar.errors import ConfigurationError

LOG_LIMIT_BYTES = 10 * 1024 * 1024  # a log larger than this is put aside (one generation) when its process is started
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Command:
    """What is executed."""

    arguments: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def digest(self) -> str:
        """Tells two commands apart; goes into stack.json in their place."""
        parts = [list(self.arguments), str(self.directory), sorted(self.environment.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Launcher:
    """Knows for one home and port base what each entry of a plan comes to.

    Args:
        plan: what is to be started.
        home: where its state lives.
        base: where its ports begin.
        java: runs the broker; may be None in a plan without one.
        class_path: the broker's jars.
    """

    def __init__(
        self, plan: Plan, home: Path, base: int, java: Path | None = None, class_path: tuple[Path, ...] = ()
    ) -> None:
        self.plan = plan
        self.home = Home(home)
        self.base = base
        self._java = java
        self._class_path = class_path
        self.addresses = {
            entry.provides: address if entry.kind == "broker" else f"http://{address}"
            for entry in plan.entries
            if entry.provides and (address := self.address(entry))
        }

    @cached_property
    def commands(self) -> dict[str, Command]:
        """What each entry comes to, by its name."""
        return {entry.name: self.command(entry) for entry in self.plan.entries}

    @property
    def digest(self) -> str:
        """Tells whether another launcher would start the same."""
        parts = [[entry.name, entry.after, self.commands[entry.name].digest] for entry in self.plan.entries]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def address(self, entry: Entry) -> str | None:
        """Give HOST:PORT of an entry that listens."""
        return None if entry.port_offset is None else f"{HOST}:{port_at(self.base, entry.port_offset)}"

    def ports(self, entry: Entry) -> dict[int, str]:
        """Give the ports that an entry takes, each with what it is for."""
        if entry.port_offset is None:
            return {}
        port = port_at(self.base, entry.port_offset)
        if entry.kind == "broker":
            return {port: "Kafka", port_at(self.base, entry.port_offset + 1): "Kafka's controller"}
        return {port: entry.name}

    def prepare(self, entry: Entry) -> None:
        """Do what must be done before an entry is started; a broker's folder is made and formatted. May take seconds.

        Raises:
            ConfigurationError: the broker's folder cannot be made or formatted.
        """
        if entry.kind == "broker":
            node = self._node(entry)
            node.format(self._require_java(), self._class_path, new_cluster_id())
            node.write_files()

    def spawn(self, entry: Entry) -> "subprocess.Popen[bytes]":
        """Start an entry in a session of its own, its output appended to its log file.

        Raises:
            ConfigurationError: the program cannot be executed.
        """
        command = self.commands[entry.name]
        path = self.home.log(entry.name)
        put_aside(path)
        try:
            with path.open("ab") as log:
                return subprocess.Popen(
                    command.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=command.directory,
                    env=inherited(os.environ) | dict(command.environment),
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigurationError(
                f"{entry.name} cannot be started: {command.arguments[0]} in {command.directory}: {error.strerror}."
            ) from error

    def command(self, entry: Entry) -> Command:
        """What an entry comes to.

        Raises:
            ConfigurationError: the plan names a placeholder that is none; it is a broker, and there is no Java.
        """
        if entry.kind == "broker":
            arguments = self._node(entry).command(self._require_java(), self._class_path)
            return Command(tuple(arguments), self.home.folder, JAVA_ENVIRONMENT)
        return Command(
            arguments=(sys.executable, "-m", entry.module, *(self._filled(entry, text) for text in entry.args)),
            directory=self.plan.directory,
            environment=self._environment(entry),
        )

    def _environment(self, entry: Entry) -> dict[str, str]:
        environment = {}
        if entry.environment_of:
            environment = self._environment(self.plan.entry(entry.environment_of))
        return environment | {name: self._filled(entry, text) for name, text in entry.environment.items()}

    def _filled(self, entry: Entry, text: str) -> str:
        known = {"home": str(self.home.folder)} | self.addresses
        address = self.address(entry)
        if address is not None:
            known |= {"address": address, "port": address.rpartition(":")[2]}

        def value(match: re.Match[str]) -> str:
            if match[1] not in known:
                raise ConfigurationError(
                    f"The plan {self.plan.path}: {entry.name}: {{{match[1]}}} is unknown; known are "
                    f"{', '.join('{' + name + '}' for name in known)}."
                )
            return known[match[1]]

        return _PLACEHOLDER.sub(value, text)

    def _node(self, entry: Entry) -> KafkaNode:
        port, controller_port = self.ports(entry)
        return KafkaNode(self.home.kafka, port, controller_port)

    def _require_java(self) -> Path:
        if self._java is None:
            raise ConfigurationError(f"The plan {self.plan.path} has a broker, and no Java was given to run it.")
        return self._java


def put_aside(log: Path) -> None:
    """Give a log that has grown large another name; the one that had it goes."""
    with contextlib.suppress(OSError):  # none yet; or one that cannot be renamed, and grows on
        if log.stat().st_size > LOG_LIMIT_BYTES:
            os.replace(log, log.with_suffix(".log.1"))


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Our environment without CHOPAR_...: what a process of the stack is told stands in the plan, and only there."""
    environment = {name: value for name, value in environ.items() if not name.startswith("CHOPAR_")}
    return environment | {"PYTHONUNBUFFERED": "1"}  # the last words of a process that is killed are in its log
