"""What is deployed elsewhere: generated files are up to date, fit their schemas, and name what the code has."""

import json
import re
from collections.abc import Iterator
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import promql_parser
import pytest
import yaml

from chopar.settings import ProcessSettings
from deploy.cluster import NODES, shared_settings
from deploy.compose import BOOTSTRAP as COMPOSE_BOOTSTRAP
from deploy.manifests import BOOTSTRAP as CLUSTER_BOOTSTRAP
from deploy.processes import PROCESSES, REGISTRY_URL, Process
from deploy.quotas import MESSAGE_BYTES, quotas
from deploy.render import FOLDER, main, rendered
from services.utilities.settings import UtilitiesSettings

STRIMZI = "kafka.strimzi.io/v1"
KUBERNETES = "1.37.0"
READER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COMPOSE = yaml.load((FOLDER / "compose.yaml").read_text("utf-8"), READER)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.load_all((FOLDER / "k8s" / name).read_text("utf-8"), READER))


def settings_class(process: Process) -> type[ProcessSettings]:
    module = import_module(f"{process.module}.settings")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ProcessSettings)
        and value.model_config.get("env_prefix") == process.prefix
    ]
    assert len(found) == 1
    return found[0]


def test_what_is_generated_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_generated_file_that_was_changed_by_hand_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.render.FOLDER", tmp_path / "deploy")
    assert main([]) == 0
    assert main(["--check"]) == 0
    changed = tmp_path / "deploy" / "k8s" / "kafka.yaml"
    changed.write_text(changed.read_text().replace("min.insync.replicas: 2", "min.insync.replicas: 1"))
    capsys.readouterr()
    assert main(["--check"]) == 1
    assert "kafka.yaml" in capsys.readouterr().err
    assert "min.insync.replicas: 1" in changed.read_text()  # looking changes nothing


def test_compose_fits_the_compose_specification() -> None:
    schema = json.loads(
        resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text("utf-8")
    )
    jsonschema.validate(COMPOSE, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**COMPOSE, "services": {"x": {"imagee": "y"}}}, schema)


def test_every_service_of_compose_waits_for_one_that_exists_and_uses_a_volume_that_exists() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services) - {name}
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]


def test_compose_publishes_on_the_loopback_address_alone() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_has_three_brokers_with_the_settings_the_promises_rest_on() -> None:
    brokers = [service for name, service in COMPOSE["services"].items() if name.startswith("kafka-")]
    assert len(brokers) == 3
    for broker in brokers:
        environment = broker["environment"]
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
        assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == "3"
        assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
        assert environment["KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE"] == "LogAppendTime"
    assert len({broker["environment"]["CLUSTER_ID"] for broker in brokers}) == 1
    assert sorted(broker["environment"]["KAFKA_NODE_ID"] for broker in brokers) == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["processes.yaml"])
def test_manifests_fit_kubernetes_own_schemas(name: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    broken = {**documents(name)[0], "spec": {"accessMode": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_strimzi_resources_have_the_forms_of_its_v1() -> None:
    kinds = {"kafka.yaml": {"KafkaNodePool", "Kafka"}, "topics.yaml": {"KafkaTopic"}, "users.yaml": {"KafkaUser"}}
    resource_name = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
    for name, expected in kinds.items():
        found = documents(name)
        assert {document["kind"] for document in found} == expected
        assert {document["apiVersion"] for document in found} == {STRIMZI}
        names = [document["metadata"]["name"] for document in found]
        assert len(set(zip((d["kind"] for d in found), names, strict=True))) == len(found)
        assert all(resource_name.fullmatch(one) and len(one) <= 253 for one in names)
    pool, cluster = documents("kafka.yaml")
    assert pool["metadata"]["labels"]["strimzi.io/cluster"] == cluster["metadata"]["name"]
    assert pool["spec"]["replicas"] == 3
    config = cluster["spec"]["kafka"]["config"]
    assert config["min.insync.replicas"] == 2
    assert {name: str(value).lower() for name, value in config.items()} == {
        name: value.lower() for name, value in shared_settings().items()
    }


def test_every_topic_is_copied_three_times_and_keeps_its_kafka_name() -> None:
    topics = documents("topics.yaml")
    assert {topic["spec"]["replicas"] for topic in topics} == {3}
    assert "_schemas" in {topic["spec"].get("topicName") for topic in topics}
    by_name = {topic["metadata"]["name"]: topic["spec"] for topic in topics}
    assert by_name["demand.submitted.justice-notary"]["partitions"] == 6
    assert by_name["law.activated"]["config"]["cleanup.policy"] == "compact"


def test_only_connected_holders_may_answer() -> None:
    users = {user["metadata"]["name"]: user["spec"]["authorization"]["acls"] for user in documents("users.yaml")}

    def may_write(user: str, topic: str) -> bool:
        return any(acl["resource"].get("name") == topic and "Write" in acl["operations"] for acl in users[user])

    assert may_write("agency-tax-committee", "evidence.provided.justice-notary")
    assert not may_write("agency-justice-notary", "evidence.provided.electricity-het")
    assert not may_write("agency-tax-committee", "demand.submitted.justice-notary")


def test_bad_input_62_an_agency_that_floods_has_a_quota_and_the_exchange_itself_has_none() -> None:
    """What a quota leaves to others: ten askers at their limits are the load that is built for, and no more."""
    given = {user["metadata"]["name"]: user["spec"].get("quotas") for user in documents("users.yaml")}
    assert {name for name, limits in given.items() if not name.startswith("agency-") and limits} == set()
    askers = {name: limits for name, limits in given.items() if name.startswith("agency-")}
    assert all(limits["producerByteRate"] > 0 and limits["requestPercentage"] > 0 for limits in askers.values())
    asker, holder = given["agency-justice-notary"], given["agency-tax-committee"]
    assert asker == quotas(asks=True, holds=False)
    assert holder == quotas(asks=True, holds=True)
    today = 80 * MESSAGE_BYTES
    assert asker["producerByteRate"] >= 3 * today, "three times the whole country's peak of today, at one broker"
    assert asker["producerByteRate"] * NODES <= 0.2 * 100 * today, "a fifth of what is built for, of all brokers"
    assert holder["producerByteRate"] * NODES >= 2 * 100 * today, "one that all ask can answer all"


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_a_process_is_told_settings_that_it_has_and_all_that_it_needs(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bootstrap, store in ((COMPOSE_BOOTSTRAP, None), (CLUSTER_BOOTSTRAP, "postgresql+psycopg://tax@postgresql/tax")):
        told = process.environment(bootstrap=bootstrap, registry=REGISTRY_URL, store=store)
        fields = settings_class(process).model_fields
        for name in told:
            assert name.startswith(process.prefix)
            assert name.removeprefix(process.prefix).split("__")[0].lower() in fields
            monkeypatch.setenv(name, told[name])
        assert str(settings_class(process).read().home) == process.home


def test_each_company_has_a_register_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    [process] = [process for process in PROCESSES if process.name == "utilities"]
    for name, value in process.environment(bootstrap=COMPOSE_BOOTSTRAP, registry=REGISTRY_URL).items():
        monkeypatch.setenv(name, value)
    agencies = [word for word in process.arguments if word != "--agency"]
    stores = UtilitiesSettings.read().stores_of(agencies)
    assert len(set(stores.values())) == len(agencies) == 6


def test_every_process_has_a_folder_in_the_image_and_a_module_that_runs() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text("utf-8")
    made = re.search(r"for process in ([\w -]+); do", dockerfile)
    assert made is not None
    for process in PROCESSES:
        assert process.name in made[1].split()
        assert import_module(f"{process.module}.__main__") is not None


def known_metrics() -> set[str]:
    """The names that our code gives to metrics, with the endings that Prometheus puts on."""
    sources = [path for room in ("chopar", "gateway", "services") for path in (FOLDER.parent / room).rglob("*.py")]
    names = {name for path in sources for name in re.findall(r'"(chopar_[a-z_]+)"', path.read_text("utf-8"))}
    assert "chopar_records_handled" in names
    return {"up"} | {name + ending for name in names for ending in ("", "_total", "_bucket")}


def expressions() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((FOLDER / "prometheus" / "chopar.rules.yaml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads((FOLDER / "grafana" / "chopar.json").read_text("utf-8"))["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def metrics_of(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}", "", re.sub(r"\b(by|without)\s*\([^)]*\)", "", expression))
    return set(re.findall(r"\bchopar_[a-z_]+|\bup\b", without_labels))


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    known = known_metrics()
    asked = list(expressions())
    assert len(asked) > 15
    for title, expression in asked:
        promql_parser.parse(expression)
        assert metrics_of(expression), title
        assert metrics_of(expression) <= known, title
    with pytest.raises(ValueError):
        promql_parser.parse("sum(rate(chopar_demands_total[5m])")


def test_alerts_are_explained_and_ranked() -> None:
    rules = yaml.safe_load((FOLDER / "prometheus" / "chopar.rules.yaml").read_text("utf-8"))["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads((FOLDER / "grafana" / "chopar.json").read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)


def test_the_generated_files_are_those_that_lie_there() -> None:
    there = {path for path in FOLDER.rglob("*.yaml") if "prometheus" not in path.parts}
    assert set(rendered()) == there
