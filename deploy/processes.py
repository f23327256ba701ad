"""The processes of a deployment, one row each; compose.yaml and the Kubernetes manifests are made from this table.

Which settings a process has is its settings class's to say; here stands what a deployment tells it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

IMAGE = "chopar:latest"
KAFKA_IMAGE = "apache/kafka:4.3.1"
HTTP_PORT = 8080
HOME = "/var/lib/chopar"
USER = 10001
"""Of the image: no root, and no number that a machine gives to a person."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that runs for ever.

    Attributes:
        name: of its service and of its folder under `HOME`.
        module: what `python -m` runs.
        prefix: of its settings in the environment.
        arguments: beside `--insecure`.
        secrets: whether it has any; they are equal in all its instances, or these would contradict one another.
        store: whether it has a register.
        database: its name; AGENCY where each agency of the process has one of its own.
        registry: whether it asks the schema registry.
        instances: how many.
        seeded: whether `--seed` fills its register with synthetic entries.
        settings: further settings, by their name without the prefix.
    """

    name: str
    module: str
    prefix: str
    arguments: tuple[str, ...] = ()
    secrets: bool = False
    store: bool = False
    database: str = "register"
    registry: bool = True
    instances: int = 1
    seeded: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """Its folder in the container."""
        return f"{HOME}/{self.name}"

    def environment(self, *, bootstrap: str, registry: str, store: str | None = None) -> dict[str, str]:
        """What it is told, by full names.

        Args:
            bootstrap: the brokers.
            registry: address of the schema registry.
            store: address of its register; by default a SQLite file in its home.
        """
        told = {"HOME": self.home, "KAFKA__BOOTSTRAP": bootstrap, "HTTP__ADDRESS": f"0.0.0.0:{HTTP_PORT}"}
        if self.registry:
            told["SCHEMA_REGISTRY__URL"] = registry
        if self.store:
            told["STORE__URL"] = store or f"sqlite+aiosqlite:///{self.home}/{self.database}.sqlite3"
        return {f"{self.prefix}{name}": value for name, value in {**told, **self.settings}.items()}


def _holder(name: str, *companies: str) -> Process:
    module = name.replace("-", "_")
    return Process(
        name,
        f"services.{module}",
        f"CHOPAR_{module.upper()}_",
        arguments=tuple(word for company in companies for word in ("--agency", company)),
        database="AGENCY" if companies else name,
        secrets=True,
        store=True,
        seeded=True,
    )


SCHEMA_REGISTRY = Process("schema-registry", "services.schema_registry", "CHOPAR_SCHEMA_REGISTRY_", registry=False)
GATEWAY = Process("gateway", "gateway", "CHOPAR_GATEWAY_", secrets=True, instances=2)
_COMPANIES = (
    "electricity-het",
    "gas-hududgaz",
    "water-uzsuvtaminot",
    "heat-supply",
    "waste-collection",
    "telecom-operator",
)
HOLDERS = (
    _holder("tax"),
    _holder("registry-office"),
    _holder("utilities", *_COMPANIES),
    _holder("benefits"),
)
PROCESSES = (SCHEMA_REGISTRY, GATEWAY, *HOLDERS)

REGISTRY_URL = f"http://{SCHEMA_REGISTRY.name}:{HTTP_PORT}"
