"""A real Kafka for tests, from wherever there is one: never a skip.

CHOPAR_TEST_BROKER=auto|local|docker|external chooses; `auto` takes an external broker if CHOPAR_TEST_BOOTSTRAP names
one, else Docker if its daemon answers and has the image (or pulls it in a minute), else a broker of our own with its
own folder and free ports, which ends with the session. The developer's running stack is not touched.
"""

import contextlib
import gc
import importlib
import os
import socket
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from chopar.broker.jars import ensure_jars, jar_cache
from chopar.broker.java import find_java
from chopar.broker.kafka_node import JAVA_ENVIRONMENT, KafkaNode, kafka_answers, new_cluster_id, wait_ready
from chopar.broker.processes import ProcessIdentity, end_process, identity_of
from chopar.errors import ConfigurationError

IMAGE = "apache/kafka:4.3.1"  # the version of kafka.lock.json
CHOICES = ("auto", "local", "docker", "external")
PULL_SECONDS = 60
READY_SECONDS = 120
STOP_SECONDS = 20


class DockerClient(Protocol):
    """What is asked of a Docker client."""

    images: Any

    def ping(self) -> bool:
        """Tell whether the daemon answers."""


@dataclass(frozen=True)
class Provider:
    """Where the broker of this run comes from.

    Attributes:
        name: local, docker or external.
        why: why this one, for the header of the run.
        broker: runs it for as long as the context is open, and gives its bootstrap address.
    """

    name: str
    why: str
    broker: Callable[[], AbstractContextManager[str]]


def docker_client() -> DockerClient:
    """Make a client of the daemon; raises whatever Docker does where there is none."""
    return cast("DockerClient", importlib.import_module("docker").from_env(timeout=3))


def broker_provider(environ: Mapping[str, str], connect_docker: Callable[[], DockerClient] = docker_client) -> Provider:
    """Choose the broker of this run.

    Args:
        environ: CHOPAR_TEST_BROKER and CHOPAR_TEST_BOOTSTRAP decide; Java and cache are looked up in it too.
        connect_docker: makes the client that is asked whether Docker is there.

    Raises:
        ConfigurationError: the choice is unknown, or what was chosen is not there.
    """
    choice = environ.get("CHOPAR_TEST_BROKER", "").strip() or "auto"
    bootstrap = environ.get("CHOPAR_TEST_BOOTSTRAP", "").strip()
    if choice not in CHOICES:
        raise ConfigurationError(f"CHOPAR_TEST_BROKER is {choice!r}: choose {', '.join(CHOICES)}.")
    if choice == "external" or (choice == "auto" and bootstrap):
        if not bootstrap:
            raise ConfigurationError("CHOPAR_TEST_BROKER=external needs CHOPAR_TEST_BOOTSTRAP=HOST:PORT.")
        return Provider("external", f"CHOPAR_TEST_BOOTSTRAP={bootstrap}", lambda: external_broker(bootstrap))
    if choice == "local":
        return Provider("local", "CHOPAR_TEST_BROKER=local", lambda: local_broker(environ))
    missing = why_not_docker(connect_docker)
    if missing is None:
        return Provider("docker", f"the daemon answers and has {IMAGE}", docker_broker)
    if choice == "docker":
        raise ConfigurationError(f"CHOPAR_TEST_BROKER=docker, but {missing}.")
    return Provider("local", missing, lambda: local_broker(environ))


def why_not_docker(connect_docker: Callable[[], DockerClient], pull_seconds: float = PULL_SECONDS) -> str | None:
    """Say what is missing for a broker in Docker; None if nothing is. Pulls the image if it must."""
    # A client that finds no daemon drops its socket unclosed; collected here, it is nobody else's warning later.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        client, failed = _connected(connect_docker)
        gc.collect()
    if client is None:
        return f"no Docker daemon answers ({failed})"
    try:
        client.images.get(IMAGE)
        return None
    except Exception as error:
        absent = type(error).__name__
    pulled: list[bool] = []

    def pull() -> None:
        with contextlib.suppress(Exception):
            client.images.pull(IMAGE)
            pulled.append(True)

    thread = threading.Thread(target=pull, daemon=True)  # left behind if it takes too long: the next run finds it
    thread.start()
    thread.join(pull_seconds)
    return None if pulled else f"Docker has no {IMAGE} ({absent}) and did not pull it in {pull_seconds:.0f} s"


def _connected(connect_docker: Callable[[], DockerClient]) -> tuple[DockerClient | None, str]:
    """A client whose daemon answers, or the name of what went wrong."""
    try:
        client = connect_docker()
        client.ping()
    except Exception as error:  # a client of three libraries: each has errors of its own, and all mean "not here"
        return None, type(error).__name__
    return client, ""


@contextlib.contextmanager
def external_broker(bootstrap: str) -> Iterator[str]:
    """Use a broker that somebody else runs."""
    first = bootstrap.split(",")[0]
    if not kafka_answers(first, timeout_seconds=5):
        raise ConfigurationError(f"CHOPAR_TEST_BOOTSTRAP: no Kafka answers at {first}.")
    yield bootstrap


@contextlib.contextmanager
def docker_broker(make_container: Callable[[str], Any] | None = None, port: int | None = None) -> Iterator[str]:
    """Run the broker in a container with the settings of our own.

    Args:
        make_container: makes the container of an image; testcontainers unless a test says otherwise.
        port: where it is reached; a free one unless given.
    """
    if make_container is None:
        from testcontainers.core.container import DockerContainer

        make_container = DockerContainer
    port = port or free_ports(1)[0]
    container = make_container(IMAGE).with_bind_ports(9092, port)
    for name, value in container_environment(port).items():
        container = container.with_env(name, value)
    with container:
        wait_ready(f"127.0.0.1:{port}", READY_SECONDS)
        yield f"127.0.0.1:{port}"


def container_environment(port: int) -> dict[str, str]:
    """Give a single node's settings as the image takes them: all of them, since one replaces its defaults whole.

    Clients come from outside by `port`; the node's own listeners are those inside the container.
    """
    ours = KafkaNode(Path("/unused"), port, 9093).settings()
    inside = {
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "controller.quorum.voters": "1@localhost:9093",
        "log.dirs": "/tmp/kafka-logs",
    }
    return {"KAFKA_" + name.replace(".", "_").upper(): value for name, value in (ours | inside).items()}


@contextlib.contextmanager
def local_broker(environ: Mapping[str, str]) -> Iterator[str]:
    """Run a broker of our own in a temporary folder, and end it by its pid."""
    java, class_path = find_java(environ), ensure_jars(jar_cache(environ))
    with tempfile.TemporaryDirectory(prefix="chopar-kafka-", ignore_cleanup_errors=True) as folder:
        port, controller_port = free_ports(2)
        node = KafkaNode(Path(folder), port, controller_port)
        node.format(java, class_path, new_cluster_id())
        node.write_files()
        with run_node(node, java, class_path):
            yield node.address


@contextlib.contextmanager
def run_node(node: KafkaNode, java: Path, class_path: tuple[Path, ...]) -> Iterator[ProcessIdentity]:
    """Run a formatted node for as long as the context is open."""
    with (node.folder / "stdout.log").open("ab") as log:
        process = subprocess.Popen(
            node.command(java, class_path),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | JAVA_ENVIRONMENT,
            start_new_session=True,
        )
    identity = identity_of(process.pid)
    assert identity is not None
    try:
        wait_ready(node.address, READY_SECONDS, alive=lambda: process.poll() is None)
        yield identity
    finally:
        end_process(identity, STOP_SECONDS)
        process.wait()


_FIRST_PORT, _LAST_PORT = 20_000, 25_000


def free_ports(count: int) -> list[int]:
    """Give that many ports in a row on which nobody listens now.

    Below those that the system hands to clients, and below those of the end-to-end tests' stack (from 25,000 on): what
    is found free is taken only seconds later.
    """
    start = _FIRST_PORT + os.getpid() * 97 % 4000  # parallel runs begin at different places
    for first in (*range(start, _LAST_PORT, count), *range(_FIRST_PORT, start, count)):
        ports = list(range(first, first + count))
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in ports:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
    raise ConfigurationError(f"No {count} free ports in a row from {_FIRST_PORT} to {_LAST_PORT} for the tests.")
