"""The plan as data: what it says, how it is refused, and what an entry comes to."""

from pathlib import Path

import pytest

from chopar.broker.launch import Launcher
from chopar.broker.plan import Plan, load_plan
from chopar.broker.ports import port_at, port_base
from chopar.errors import ConfigurationError

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local.toml"
BROKER = '[[start]]\nname = "broker"\nkind = "broker"\nport_offset = 1012\n'


def plan_of(folder: Path, text: str) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text, "utf-8")
    return load_plan(path)


def local_launcher(base: int = 18080, home: Path = Path("/h")) -> Launcher:
    return Launcher(load_plan(LOCAL), home, base, Path("/java"), (Path("/a.jar"),))


def test_the_local_plan_has_the_ports_that_are_promised() -> None:
    launcher = local_launcher()
    assert launcher.addresses == {
        "bootstrap": "127.0.0.1:19092",
        "registry": "http://127.0.0.1:18081",
        "gateway": "http://127.0.0.1:18080",
    }
    entries = {entry.name: entry for entry in launcher.plan.entries}
    assert launcher.ports(entries["broker"]) == {19092: "Kafka", 19093: "Kafka's controller"}
    assert launcher.address(entries["tax"]) == "127.0.0.1:18100"
    assert local_launcher(30000).addresses["bootstrap"] == "127.0.0.1:31012"


def test_the_local_plan_is_started_in_the_order_of_its_needs() -> None:
    names = [entry.name for entry in load_plan(LOCAL).entries]
    for first, then in [
        ("broker", "apply-topics"),
        ("apply-topics", "schema-registry"),
        ("schema-registry", "push-schemas"),
        ("push-schemas", "activate"),
        ("activate", "gateway"),
        ("push-schemas", "tax"),
        ("seed-tax", "tax"),
    ]:
        assert names.index(first) < names.index(then)
    layers = [{entry.name for entry in layer} for layer in load_plan(LOCAL).layers]
    assert layers[0] == {"broker", "seed-tax"}
    assert layers[-1] == {"gateway"}


def test_a_task_sees_what_its_process_sees() -> None:
    commands = local_launcher().commands
    assert commands["apply-topics"].environment == commands["gateway"].environment
    assert commands["tax"].environment == {
        "CHOPAR_TAX_HOME": "/h/tax",
        "CHOPAR_TAX_KAFKA__BOOTSTRAP": "127.0.0.1:19092",
        "CHOPAR_TAX_SCHEMA_REGISTRY__URL": "http://127.0.0.1:18081",
        "CHOPAR_TAX_HTTP__ADDRESS": "127.0.0.1:18100",
        "CHOPAR_TAX_STORE__URL": "sqlite+aiosqlite:////h/tax/register.sqlite3",
    }
    assert commands["seed-tax"].arguments[1:] == ("-m", "services.tax", "--seed")
    assert commands["tax"].directory == LOCAL.parents[1]


def test_the_example_demands_are_data() -> None:
    sale, contract = load_plan(LOCAL).demands
    assert (sale.requester, sale.business, sale.person) == ("justice-notary", "first", None)
    assert sale.parties == ("owner={founder}",)
    assert sale.parameters == ("account_address={account_address}",)
    assert "civil-status-record-marriage@owner" in sale.documents
    assert (contract.requester, contract.procedure, contract.person) == (
        "electricity-het",
        "electricity-supply-contract",
        "first",
    )
    assert len(contract.documents) == 6


def test_digests_tell_commands_apart() -> None:
    assert local_launcher().digest == local_launcher().digest
    assert local_launcher().digest != local_launcher(20000).digest
    assert local_launcher().commands["tax"].digest != local_launcher(home=Path("/g")).commands["tax"].digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[start]\n", "not valid TOML"),
        ('colour = "red"\n', "unknown key 'colour'"),
        ("start = 1\n", r"write it as \[\[start\]\]"),
        ('[[start]]\nkind = "task"\n', "name must be a text"),
        ('[[start]]\nname = "a"\nkind = "daemon"\n', "a: kind 'daemon' is none of"),
        ('[[start]]\nname = "a"\nkind = "process"\n', "a: module must be a text"),
        ('[[start]]\nname = "a"\nkind = "broker"\n', "a: a broker needs a port_offset"),
        ('[[start]]\nname = "a"\nkind = "task"\nmodule = "m"\nafter = ["b"]\n', "a: it comes after 'b'"),
        ('[[start]]\nname = "a"\nkind = "task"\nmodule = "m"\nafter = ["a"]\n', "a: it waits for itself"),
        ('[[start]]\nname = "a"\nkind = "task"\nmodule = "m"\nprovides = "x"\n', "a: what provides an address"),
        ('[[start]]\nname = "a"\nkind = "task"\nmodule = "m"\nargs = "x"\n', "a: args must be a list"),
        ('[[start]]\nname = "a"\nkind = "task"\nmodule = "m"\nenvironment_of = "z"\n', "a: environment_of"),
        (BROKER + BROKER, "broker: its name or what it provides occurs twice"),
        (
            BROKER + '[[start]]\nname = "a"\nkind = "process"\nmodule = "m"\nport_offset = 1013\n',
            "1013 is that of broker",
        ),
        ('[[demand]]\nrequester = "r"\nprocedure = "p"\ndocuments = ["d"]\n', "either a person or a business"),
        ('[[demand]]\nrequester = "r"\nprocedure = "p"\nperson = "first"\n', "names no documents"),
    ],
)
def test_a_wrong_plan_is_refused_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        plan_of(tmp_path, text)


def test_an_absent_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        load_plan(tmp_path / "absent.toml")


def test_an_unknown_placeholder_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '[[start]]\nname = "a"\nkind = "task"\nmodule = "m"\nargs = ["{gateway}"]\n')
    with pytest.raises(ConfigurationError, match=r"a: \{gateway\} is unknown; known are \{home\}"):
        _ = Launcher(plan, tmp_path, 18080).digest


def test_the_port_base_is_read_and_bounded() -> None:
    assert port_base({}) == 18080
    assert port_base({"CHOPAR_PORT_BASE": "20000"}) == 20000
    for wrong in ("abc", "80", "70000", "-1", "２００００"):
        with pytest.raises(ConfigurationError, match="CHOPAR_PORT_BASE"):
            port_base({"CHOPAR_PORT_BASE": wrong})
    with pytest.raises(ConfigurationError, match="CHOPAR_PORT_BASE lower"):
        port_at(65000, 1012)
