"""What a node's files and command line say, and what counts as its answer."""

import base64
import socket
import struct
import threading
from pathlib import Path

import pytest

from chopar.broker.kafka_node import KafkaNode, is_api_versions_answer, kafka_answers, new_cluster_id, wait_ready
from chopar.errors import BrokerUnavailableError, ConfigurationError


def written(node: KafkaNode) -> dict[str, str]:
    node.write_files()
    lines = node.properties.read_text("ascii").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_a_single_node_is_alone_on_loopback(tmp_path: Path) -> None:
    settings = written(KafkaNode(tmp_path, 19092, 19093))
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:19093"
    assert settings["log.dirs"] == str(tmp_path / "data")
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["log.message.timestamp.type"] == "LogAppendTime"
    assert int(settings["offsets.retention.minutes"]) >= 36 * 24 * 60
    assert settings["broker.session.timeout.ms"] == "2000"
    assert settings["offsets.topic.replication.factor"] == "1"
    assert settings["transaction.state.log.min.isr"] == "1"


def test_three_nodes_replicate(tmp_path: Path) -> None:
    voters = ((1, 5001), (2, 5002), (3, 5003))
    settings = written(KafkaNode(tmp_path, 4002, 5002, node_id=2, voters=voters))
    assert settings["node.id"] == "2"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:5001,2@127.0.0.1:5002,3@127.0.0.1:5003"
    assert settings["default.replication.factor"] == settings["offsets.topic.replication.factor"] == "3"
    assert settings["min.insync.replicas"] == settings["transaction.state.log.min.isr"] == "2"


def test_a_folder_in_another_script_is_written_for_java(tmp_path: Path) -> None:
    settings = written(KafkaNode(tmp_path / "Ўзбек", 1, 2))
    assert settings["log.dirs"].endswith(r"/\u040e\u0437\u0431\u0435\u043a/data")


def test_a_comma_in_the_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="comma"):
        KafkaNode(tmp_path / "a,b", 1, 2).write_files()


def test_cluster_ids_are_16_bytes_and_begin_with_a_letter() -> None:
    ids = {new_cluster_id() for _ in range(300)}
    assert len(ids) == 300
    assert all(len(base64.urlsafe_b64decode(one + "==")) == 16 and one[0].isalpha() for one in ids)


def test_command_line_is_lean_and_keeps_the_order_of_jars(tmp_path: Path) -> None:
    command = KafkaNode(tmp_path, 1, 2).command(Path("/j/java"), [Path("/c/a.jar"), Path("/c/b.jar")])
    assert command[0] == "/j/java"
    assert command[-2:] == ["kafka.Kafka", str(tmp_path / "server.properties")]
    assert command[command.index("-cp") + 1] == "/c/a.jar:/c/b.jar"
    assert {"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"} <= set(command)


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (struct.pack(">iih", 300, 1, 0), True),
        (struct.pack(">iih", 300, 1, 35), False),
        (struct.pack(">iih", 300, 2, 0), False),
        (struct.pack(">iih", 300, 1, 0)[:9], False),
        (b"HTTP/1.1 400 Bad Request", False),
        (b"", False),
    ],
)
def test_only_an_answer_without_error_counts(head: bytes, answer: bool) -> None:
    assert is_api_versions_answer(head) is answer


def test_an_open_port_that_says_nothing_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not kafka_answers(address, timeout_seconds=0.05)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(14)

        thread = threading.Thread(target=answer)
        thread.start()
        assert not kafka_answers(address)
        thread.join()
    assert not kafka_answers(address)


def test_waiting_ends_when_the_process_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(BrokerUnavailableError, match="ended before"):
        wait_ready(address, 30, alive=lambda: False)
    with pytest.raises(BrokerUnavailableError, match="did not answer"):
        wait_ready(address, 0.1)
