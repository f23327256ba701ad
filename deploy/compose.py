"""compose.yaml: three brokers of the JVM image, the schema registry, the gateway and every holder, on one machine.

Nobody is authenticated yet, so every process is started with `--insecure`, the network is internal, and what is
published is published on the loopback address.
"""

from typing import Any

from deploy.cluster import NODES, shared_settings
from deploy.processes import GATEWAY, HTTP_PORT, IMAGE, KAFKA_IMAGE, PROCESSES, REGISTRY_URL, SCHEMA_REGISTRY, Process

_BROKERS = [f"kafka-{number}" for number in range(1, NODES + 1)]
BOOTSTRAP = ",".join(f"{name}:9092" for name in _BROKERS)
_CLUSTER_ID = "ChoparComposeCluster00"  # 22 characters of base64url; a name, no secret
_PUBLISHED = {SCHEMA_REGISTRY.name: 18081, GATEWAY.name: 18080}
_HEALTH = (
    "import sys, urllib.request; "
    f"sys.exit(urllib.request.urlopen('http://127.0.0.1:{HTTP_PORT}/ready', timeout=3).status != 200)"
)


def compose() -> dict[str, Any]:
    """The whole file."""
    services: dict[str, Any] = {name: _broker(number) for number, name in enumerate(_BROKERS, start=1)}
    healthy = {name: {"condition": "service_healthy"} for name in _BROKERS}
    topics = _task(GATEWAY, ["gateway", "--apply-topics"], healthy)
    schemas = _task(
        GATEWAY,
        ["chopar.cli", "schema", "push", "--registry", REGISTRY_URL],
        {SCHEMA_REGISTRY.name: {"condition": "service_healthy"}},
    )
    activate = _task(
        GATEWAY,
        ["gateway", "--activate", "--fetch-mode", "inferred", "--by", "compose", "--leave-others"],
        {"push-schemas": {"condition": "service_completed_successfully"}},
    )
    services |= {"apply-topics": topics, "push-schemas": schemas, "activate": activate}
    for process in PROCESSES:
        before = {"apply-topics": {"condition": "service_completed_successfully"}}
        if process.registry:
            before = {"push-schemas": {"condition": "service_completed_successfully"}}
        if process is GATEWAY:
            before = {"activate": {"condition": "service_completed_successfully"}}
        if process.seeded:
            seed = f"seed-{process.name}"
            services[seed] = _task(process, [process.module, *process.arguments, "--seed"], {})
            before[seed] = {"condition": "service_completed_successfully"}
        services[process.name] = _process(process, before)
    volumes = [*_BROKERS, *(process.name for process in PROCESSES if process.secrets or process.store)]
    return {
        "name": "chopar",
        "services": services,
        "networks": {"exchange": {}},
        "volumes": {name: {} for name in volumes},
    }


def _broker(number: int) -> dict[str, Any]:
    name = _BROKERS[number - 1]
    settings = {
        "node.id": str(number),
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(f"{n}@{broker}:9093" for n, broker in enumerate(_BROKERS, start=1)),
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{name}:9092",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "/var/lib/kafka/data",
        **shared_settings(),
    }
    return {
        "image": KAFKA_IMAGE,
        "hostname": name,
        "networks": ["exchange"],
        "restart": "unless-stopped",
        "environment": {
            "CLUSTER_ID": _CLUSTER_ID,
            "KAFKA_HEAP_OPTS": "-Xms512m -Xmx512m",
            **{f"KAFKA_{setting.upper().replace('.', '_')}": value for setting, value in settings.items()},
        },
        "volumes": [f"{name}:/var/lib/kafka/data"],
        "healthcheck": {
            "test": ["CMD", "/opt/kafka/bin/kafka-broker-api-versions.sh", "--bootstrap-server", "localhost:9092"],
            "interval": "10s",
            "timeout": "10s",
            "retries": 12,
            "start_period": "20s",
        },
    }


def _process(process: Process, before: dict[str, Any]) -> dict[str, Any]:
    service = {
        **_container(process, [process.module, *process.arguments, "--insecure"], before),
        "restart": "unless-stopped",
        "healthcheck": {
            "test": ["CMD", "python", "-c", _HEALTH],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
            "start_period": "10s",
        },
        "stop_grace_period": "30s",
    }
    if process.name in _PUBLISHED:
        service["ports"] = [f"127.0.0.1:{_PUBLISHED[process.name]}:{HTTP_PORT}"]
    return service


def _task(process: Process, command: list[str], before: dict[str, Any]) -> dict[str, Any]:
    return {**_container(process, [*command, "--insecure"], before), "restart": "on-failure:5"}


def _container(process: Process, command: list[str], before: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "image": IMAGE,
        "build": {"context": "..", "dockerfile": "deploy/Dockerfile"},
        "command": command,
        "networks": ["exchange"],
        "environment": process.environment(bootstrap=BOOTSTRAP, registry=REGISTRY_URL),
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108  the container's own
        "security_opt": ["no-new-privileges:true"],
        "cap_drop": ["ALL"],
    }
    if process.secrets or process.store:
        container["volumes"] = [f"{process.name}:{process.home}"]
    if before:
        container["depends_on"] = before
    return container
