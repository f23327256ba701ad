"""Kubernetes: a cluster by Strimzi, its topics and users from the table of topics, and the processes.

Nobody is authenticated yet: the listener is internal and plain, the network policy lets in the processes of this
namespace alone, and the access lists and quotas of `users.yaml` bind as soon as the listener authenticates (Strimzi
leaves lists unused while `spec.kafka.authorization` is absent, and a broker knows nobody to apply a quota to).
"""

from collections.abc import Collection, Iterator
from typing import Any

from chopar.access import access_lists, principal_of
from chopar.identifiers import AgencyId
from chopar.topics import layouts
from deploy.cluster import KAFKA_VERSION, METADATA_VERSION, NODES, shared_settings
from deploy.processes import GATEWAY, HTTP_PORT, IMAGE, PROCESSES, REGISTRY_URL, USER, Process
from deploy.quotas import quotas

CLUSTER = "chopar"
BOOTSTRAP = f"{CLUSTER}-kafka-bootstrap:9092"
_API = "kafka.strimzi.io/v1"
_LABEL = {"strimzi.io/cluster": CLUSTER}
_OF_US = {"app.kubernetes.io/part-of": "chopar"}
_GIVEN = "/var/run/secrets/chopar"


def kafka() -> Iterator[dict[str, Any]]:
    """The cluster: three nodes, each broker and controller, and the operators of topics and users."""
    yield {
        "apiVersion": _API,
        "kind": "KafkaNodePool",
        "metadata": {"name": "node", "labels": _LABEL},
        "spec": {
            "replicas": NODES,
            "roles": ["controller", "broker"],
            "storage": {
                "type": "jbod",
                "volumes": [{"id": 0, "type": "persistent-claim", "size": "100Gi", "kraftMetadata": "shared"}],
            },
        },
    }
    yield {
        "apiVersion": _API,
        "kind": "Kafka",
        "metadata": {"name": CLUSTER},
        "spec": {
            "kafka": {
                "version": KAFKA_VERSION,
                "metadataVersion": METADATA_VERSION,
                "listeners": [
                    {
                        "name": "plain",
                        "port": 9092,
                        "type": "internal",
                        "tls": False,
                        "networkPolicyPeers": [{"podSelector": {"matchLabels": _OF_US}}],
                    }
                ],
                "config": {name: _value(text) for name, text in shared_settings().items()},
            },
            "entityOperator": {"topicOperator": {}, "userOperator": {}},
        },
    }


def _value(text: str) -> int | bool | str:
    return int(text) if text.lstrip("-").isdecimal() else {"true": True, "false": False}.get(text, text)


def topics(agencies: Collection[AgencyId]) -> Iterator[dict[str, Any]]:
    """Every topic of the table, for these agencies as askers and as holders."""
    for layout in layouts(agencies, agencies):
        name = layout.name.lstrip("_")  # a resource's name begins with a letter or digit
        yield {
            "apiVersion": _API,
            "kind": "KafkaTopic",
            "metadata": {"name": name, "labels": _LABEL},
            "spec": {
                **({"topicName": layout.name} if name != layout.name else {}),
                "partitions": layout.partitions,
                "replicas": NODES,
                "config": {setting: _value(text) for setting, text in layout.settings.items()},
            },
        }


def users(requesters: Collection[AgencyId], holders: Collection[AgencyId]) -> Iterator[dict[str, Any]]:
    """Every principal with its access list, and an agency's with its quotas; only connected holders may answer."""
    limits = {
        principal_of(agency): quotas(asks=agency in requesters, holds=agency in holders)
        for agency in {*requesters, *holders}
    }
    for principal, rules in access_lists(requesters, holders).items():
        acls = []
        for rule in rules:
            # Kafka has one cluster; Strimzi's rule about it names none.
            named = {} if rule.resource == "cluster" else {"name": rule.name, "patternType": "literal"}
            acls.append({"resource": {"type": rule.resource.value, **named}, "operations": list(rule.operations)})
        yield {
            "apiVersion": _API,
            "kind": "KafkaUser",
            "metadata": {"name": principal, "labels": _LABEL},
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": acls},
                **({"quotas": dict(limits[principal])} if principal in limits else {}),
            },
        }


def processes() -> Iterator[dict[str, Any]]:
    """A service and a stateful set for each process, and the jobs that bring topics, schemas and lists into force."""
    yield {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "gateway-lists", "labels": _OF_US},
        # Every gateway reads the bundles that the job below writes.
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    for process in PROCESSES:
        labels = {**_OF_US, "app.kubernetes.io/name": process.name}
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": process.name, "labels": labels},
            "spec": {
                "selector": {"app.kubernetes.io/name": process.name},
                "ports": [{"name": "http", "port": HTTP_PORT, "targetPort": "http"}],
            },
        }
        yield _stateful_set(process, labels)
    yield _job("apply-topics", ["gateway", "--apply-topics"])
    yield _job("push-schemas", ["chopar.cli", "schema", "push", "--registry", REGISTRY_URL])
    yield _job("activate", ["gateway", "--activate", "--by", "deployment", "--leave-others"])


def _stateful_set(process: Process, labels: dict[str, str]) -> dict[str, Any]:
    container = {
        **_container(process, process.name, [process.module, *process.arguments]),
        "ports": [{"name": "http", "containerPort": HTTP_PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 10, "failureThreshold": 6},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": process.name, "labels": labels},
        "spec": {
            "serviceName": process.name,
            "replicas": process.instances,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app.kubernetes.io/name": process.name}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(HTTP_PORT),
                        "prometheus.io/path": "/metrics",
                    },
                },
                "spec": {**_pod(process), "terminationGracePeriodSeconds": 30, "containers": [container]},
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "home"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
                }
            ],
        },
    }


def _job(name: str, command: list[str]) -> dict[str, Any]:
    pod = _pod(GATEWAY)
    pod["volumes"].append({"name": "home", "emptyDir": {}})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": _OF_US},
        "spec": {
            "backoffLimit": 20,
            "template": {
                "metadata": {"labels": _OF_US},
                "spec": {**pod, "restartPolicy": "OnFailure", "containers": [_container(GATEWAY, name, command)]},
            },
        },
    }


def _pod(process: Process) -> dict[str, Any]:
    """What a process's pods share: who runs, and the secrets, copied to files that only their owner may read."""
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if process.secrets:
        # A mounted secret is readable by the pod's group, and a process refuses a secret that others may read.
        pod["volumes"].append({"name": "given", "secret": {"secretName": f"chopar-{process.name}"}})
        copy = f"mkdir -p -m 700 {process.home}/secrets && install -m 600 {_GIVEN}/* {process.home}/secrets/"
        pod["initContainers"] = [
            {
                "name": "secrets",
                "image": IMAGE,
                "command": ["sh", "-c", copy],
                "volumeMounts": [
                    {"name": "home", "mountPath": process.home},
                    {"name": "given", "mountPath": _GIVEN, "readOnly": True},
                ],
                "securityContext": _confined(),
            }
        ]
    if process is GATEWAY:
        pod["volumes"].append({"name": "lists", "persistentVolumeClaim": {"claimName": "gateway-lists"}})
    return pod


def _container(process: Process, name: str, command: list[str]) -> dict[str, Any]:
    # The password is no part of the address: libpq reads it from the file that PGPASSFILE names.
    store = f"postgresql+psycopg://{process.name}@postgresql/{process.database}" if process.store else None
    told = process.environment(bootstrap=BOOTSTRAP, registry=REGISTRY_URL, store=store)
    if process.store:
        told["PGPASSFILE"] = f"{process.home}/secrets/pgpass"
    mounts = [{"name": "home", "mountPath": process.home}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if process is GATEWAY:
        mounts.append({"name": "lists", "mountPath": f"{process.home}/lists"})
    return {
        "name": name,
        "image": IMAGE,
        "args": [*command, "--insecure"],
        "env": [{"name": variable, "value": value} for variable, value in told.items()],
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": _confined(),
    }


def _confined() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
