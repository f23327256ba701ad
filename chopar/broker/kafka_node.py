"""One Kafka node: a folder and two ports. Writes its files, formats it once, says how it starts and when it answers.

Combined broker and controller on the loopback address, alone by default; three nodes are three `KafkaNode`s that
share `voters` and the cluster id. Keeping the process alive is left to the supervisor, topics to the gateway.

Durability: an acknowledged record is in the page cache, so it survives kill -9 of the process (the log is checked when
the node comes back) but not a loss of power; production replicates instead (deploy/).
"""

import base64
import contextlib
import os
import secrets
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chopar.errors import BrokerUnavailableError, ConfigurationError

HOST = "127.0.0.1"
FORMAT_TIMEOUT_SECONDS = 120  # 1-2 s when quiet; a JVM on a machine with load 30 needs far longer
HEAP_MEGABYTES = 256
# Interpreted code first and the plain collector: half the start time and 50 MB less than the JVM's own choice.
JVM_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true")
# Java reads file names by the locale; in the C locale a folder with other than Latin letters would not be found.
JAVA_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # length, key 18, version 0, correlation 1, no client id

# The broker's log file is ours: at most 4 files of 10 MB. What went wrong is on its standard output as well.
_LOG4J2 = """\
# Written by chopar.broker at each start; changes here are lost.
status = warn
shutdownHook = disable
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {folder}/server.log
appender.file.filePattern = {folder}/server.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %-5p %c{{1}}: %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %-5p %c{{1}}: %m%n
appender.console.filter.threshold.type = ThresholdFilter
appender.console.filter.threshold.level = warn
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
rootLogger.appenderRef.console.ref = console
"""


def new_cluster_id() -> str:
    """Give a fresh cluster id in Kafka's form (base64url of 16 bytes) that begins with a letter.

    One that begins with `-` would be taken for an option by the format tool.
    """
    raw = bytearray(secrets.token_bytes(16))
    raw[0] &= 0x03  # the first six bits are the first character: A
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """A node by its folder and ports.

    Attributes:
        folder: holds server.properties, `data` (kept over restarts) and the log files.
        port: where clients connect.
        controller_port: where the controllers of the quorum connect.
        node_id: its number in the quorum.
        voters: (node id, controller port) of every node of the quorum, itself among them; empty means itself alone.
    """

    folder: Path
    port: int
    controller_port: int
    node_id: int = 1
    voters: tuple[tuple[int, int], ...] = ()

    @property
    def address(self) -> str:
        """The bootstrap address."""
        return f"{HOST}:{self.port}"

    @property
    def data(self) -> Path:
        """What must be kept."""
        return self.folder / "data"

    @property
    def properties(self) -> Path:
        """The configuration file, written anew at each start."""
        return self.folder / "server.properties"

    @property
    def formatted(self) -> bool:
        """Whether `format` was carried through once."""
        return (self.data / "meta.properties").is_file()

    def settings(self, data: Path | None = None) -> dict[str, str]:
        """Give the broker's settings.

        Args:
            data: another folder for the log, while formatting.
        """
        voters = self.voters or ((self.node_id, self.controller_port),)
        copies = str(min(3, len(voters)))
        in_sync = str(min(2, len(voters)))
        internal = {"num.partitions": "4", "replication.factor": copies}  # 50 partitions cost time and files
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{number}@{HOST}:{port}" for number, port in voters),
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(data or self.data),
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "auto.create.topics.enable": "false",
            "log.message.timestamp.type": "LogAppendTime",  # the day of a demand is the broker's, nobody else's
            "log.roll.ms": str(24 * 3600 * 1000),  # retention waits for a segment's end: a day at most
            "offsets.retention.minutes": str(37 * 24 * 60),  # a resting group keeps its place as long as records last
            "group.initial.rebalance.delay.ms": "0",
            # A node that was killed waits until its own old session has ended: 9 s by default, 2 s here. Across nodes
            # this is also how long a dead broker leads its partitions.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "num.recovery.threads.per.data.dir": "2",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),  # 128 MB of a heap of 256 by default
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.min.isr": in_sync,
        }
        for prefix in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            settings |= {f"{prefix}.{name}": value for name, value in internal.items()}
        return settings

    def write_files(self, data: Path | None = None) -> None:
        """Write server.properties and the log settings into the folder.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        lines = ["# Written by chopar.broker at each start; changes here are lost."]
        lines += [f"{name}={_escaped(value)}" for name, value in self.settings(data).items()]
        if "," in str(self.folder):
            raise ConfigurationError(
                f"The folder {self.folder} has a comma in its path, which Kafka takes for two folders: set CHOPAR_HOME "
                f"to one without."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.properties.write_text("\n".join(lines) + "\n", "utf-8")
            self._log_settings.write_text(_LOG4J2.format(folder=_escaped(str(self.folder))), "utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"The broker's folder {self.folder} cannot be written ({error.strerror}): check its owner."
            ) from error

    def format(self, java: Path, class_path: Sequence[Path], cluster_id: str) -> None:
        """Make the data folder, once in its life; a run that was cut short leaves nothing behind that counts.

        Raises:
            ConfigurationError: the format tool failed; its words are in the message.
        """
        if self.formatted:
            return
        unfinished = self.folder / "data.formatting"
        shutil.rmtree(unfinished, ignore_errors=True)
        self.write_files(unfinished)
        command = [str(java), "-Xmx64m", *JVM_OPTIONS, "-cp", _join(class_path), "kafka.tools.StorageTool", "format"]
        command += [f"--cluster-id={cluster_id}", "-c", str(self.properties)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env=os.environ | JAVA_ENVIRONMENT,
                timeout=FORMAT_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigurationError(f"The broker's data folder could not be formatted by {java}: {error}") from error
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise ConfigurationError(f"Kafka's format tool ended with {done.returncode}: {' / '.join(words)}")
        os.replace(unfinished, self.data)
        self.write_files()

    def command(self, java: Path, class_path: Sequence[Path]) -> list[str]:
        """Give the command line that runs the node in the foreground.

        Args:
            java: the program.
            class_path: the jars.
        """
        options = [f"-Xmx{HEAP_MEGABYTES}m", "-Xms64m", "-XX:+ExitOnOutOfMemoryError", *JVM_OPTIONS]
        options.append(f"-Dlog4j2.configurationFile={self._log_settings}")
        return [str(java), *options, "-cp", _join(class_path), "kafka.Kafka", str(self.properties)]

    @property
    def _log_settings(self) -> Path:
        return self.folder / "log4j2.properties"


def kafka_answers(address: str, timeout_seconds: float = 1.0) -> bool:
    """Tell whether a broker answers an ApiVersions request; that a port is open says too little.

    Args:
        address: HOST:PORT.
        timeout_seconds: for connecting and for each read.
    """
    host, _, port = address.rpartition(":")
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, int(port)), timeout=timeout_seconds) as connection,
    ):
        connection.sendall(API_VERSIONS_REQUEST)
        return is_api_versions_answer(_read(connection, 10))
    return False


def is_api_versions_answer(head: bytes) -> bool:
    """Tell whether these first 10 bytes answer `API_VERSIONS_REQUEST` without an error."""
    if len(head) < 10:
        return False
    length, correlation, error = struct.unpack(">iih", head[:10])
    return bool(length >= 6 and correlation == 1 and error == 0)


def wait_ready(address: str, deadline_seconds: float, alive: Callable[[], bool] = lambda: True) -> float:
    """Wait until a broker answers.

    Args:
        address: HOST:PORT.
        deadline_seconds: how long to wait at most.
        alive: tells whether its process still runs; when it does not, waiting ends at once.

    Returns:
        The seconds it took.

    Raises:
        BrokerUnavailableError: it did not answer in time, or its process has ended.
    """
    began = time.monotonic()
    while not kafka_answers(address):
        waited = time.monotonic() - began
        if not alive():
            raise BrokerUnavailableError(f"The broker at {address} ended before it answered; see its server.log.")
        if waited > deadline_seconds:
            raise BrokerUnavailableError(f"The broker at {address} did not answer within {deadline_seconds:.0f} s.")
        time.sleep(0.05)
    return time.monotonic() - began


def _read(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            break
        received += part
    return received


def _escaped(value: str) -> str:
    """Write a value so that Java, which reads these files as Latin-1, finds it again."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 127 else f"\\u{code:04x}" for code in codes)


def _join(class_path: Sequence[Path]) -> str:
    return os.pathsep.join(str(path) for path in class_path)
