"""Which broker the tests get, and the settings of the one in Docker, without a daemon."""

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest

from chopar.errors import ConfigurationError
from tests.kafka_fixture import IMAGE, broker_provider, container_environment, docker_broker, why_not_docker


class NoSuchImageError(Exception):
    """As Docker says it."""


class Images:
    def __init__(self, *, present: bool, pulls: bool = True, wait: threading.Event | None = None) -> None:
        self.present, self.pulls, self.wait = present, pulls, wait
        self.pulled: list[str] = []

    def get(self, name: str) -> str:
        if not self.present:
            raise NoSuchImageError
        return name

    def pull(self, name: str) -> None:
        if self.wait:
            self.wait.wait()
        if not self.pulls:
            raise ConnectionError("no network")
        self.pulled.append(name)


class Daemon:
    def __init__(self, images: Images) -> None:
        self.images = images

    def ping(self) -> bool:
        return True


def absent() -> Any:
    raise ConnectionRefusedError


def with_image() -> Daemon:
    return Daemon(Images(present=True))


@pytest.mark.parametrize(
    ("environ", "docker", "name"),
    [
        ({}, absent, "local"),
        ({}, with_image, "docker"),
        ({"CHOPAR_TEST_BROKER": "auto"}, with_image, "docker"),
        ({"CHOPAR_TEST_BROKER": "local"}, with_image, "local"),
        ({"CHOPAR_TEST_BOOTSTRAP": "h:1"}, with_image, "external"),
        ({"CHOPAR_TEST_BROKER": "local", "CHOPAR_TEST_BOOTSTRAP": "h:1"}, with_image, "local"),
        ({"CHOPAR_TEST_BROKER": "external", "CHOPAR_TEST_BOOTSTRAP": "h:1"}, absent, "external"),
    ],
)
def test_which_broker_and_why(environ: dict[str, str], docker: Any, name: str) -> None:
    provider = broker_provider(environ, docker)
    assert provider.name == name
    assert provider.why


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CHOPAR_TEST_BROKER": "podman"}, "'podman': choose auto"),
        ({"CHOPAR_TEST_BROKER": "external"}, "needs CHOPAR_TEST_BOOTSTRAP"),
        ({"CHOPAR_TEST_BROKER": "docker"}, "no Docker daemon answers"),
    ],
)
def test_what_was_chosen_and_is_not_there_is_an_error(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        broker_provider(environ, absent)


def test_an_external_broker_that_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    provider = broker_provider({"CHOPAR_TEST_BOOTSTRAP": address}, absent)
    with pytest.raises(ConfigurationError, match=f"no Kafka answers at {address}"), provider.broker():
        pass


def test_the_image_is_pulled_if_it_must_be() -> None:
    images = Images(present=False)
    assert why_not_docker(lambda: Daemon(images)) is None
    assert images.pulled == [IMAGE]
    assert "did not pull" in str(why_not_docker(lambda: Daemon(Images(present=False, pulls=False))))


def test_a_pull_that_takes_too_long_is_not_waited_for() -> None:
    release = threading.Event()
    try:
        assert "did not pull it in 0 s" in str(
            why_not_docker(lambda: Daemon(Images(present=False, wait=release)), pull_seconds=0.01)
        )
    finally:
        release.set()


class Container:
    """Notes what it is told, and answers as Kafka does once it is entered."""

    made: "list[Container]" = []  # noqa: RUF012 (emptied by the fixture)

    def __init__(self, image: str) -> None:
        self.image, self.ports, self.environment = image, dict[int, int](), dict[str, str]()
        self.made.append(self)
        self.stopped = False

    def with_bind_ports(self, container: int, host: int) -> Self:
        self.ports[container] = host
        return self

    def with_env(self, key: str, value: str) -> Self:
        self.environment[key] = value
        return self

    def __enter__(self) -> Self:
        self.server = socket.create_server(("127.0.0.1", self.ports[9092]))
        self.thread = threading.Thread(target=self.answer)
        self.thread.start()
        return self

    def answer(self) -> None:
        connection, _ = self.server.accept()
        with connection:
            connection.recv(14)
            connection.sendall(struct.pack(">iih", 6, 1, 0))

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.server.close()
        self.stopped = True


@pytest.fixture
def containers() -> Iterator[list[Container]]:
    Container.made.clear()
    yield Container.made
    Container.made.clear()


def test_the_container_is_our_node_in_their_image(containers: list[Container]) -> None:
    with docker_broker(Container) as address:
        (container,) = containers
        assert container.image == "apache/kafka:4.3.1"
        port = container.ports[9092]
        assert address == f"127.0.0.1:{port}"
        assert container.environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://127.0.0.1:{port}"
        assert not container.stopped
    assert container.stopped


def test_the_containers_settings_are_those_of_the_local_broker() -> None:
    environment = container_environment(29092)
    assert environment["KAFKA_LISTENERS"] == "PLAINTEXT://:9092,CONTROLLER://:9093"
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@localhost:9093"
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert environment["KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE"] == "LogAppendTime"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "1"
    assert not any("/unused" in value for value in environment.values())
