"""What `chopar provider check` does: finds the cases, runs the kit in memory and on the Kafka that was named."""

import json
import sys
import time
import uuid
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chopar.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chopar.cli.session import Session
    from chopar.conformance import Conformance, Finding

_PLACEHOLDER = "say here "  # as the texts of `provider init` begin that only the agency can write


def load(target: str, cwd: Path) -> "Conformance":
    """The cases that `MODULE:FUNCTION` gives, looked for from the folder where the command was called.

    Raises:
        ConfigurationError: there is no such function, or what it gives is something else.
    """
    from chopar.conformance import Conformance

    module, colon, name = target.partition(":")
    if not module or not colon or not name:
        raise ConfigurationError("MODULE:FUNCTION is due, as pension_office.provider:conformance")
    sys.path.insert(0, str(cwd))
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigurationError(f"{module} cannot be imported from here: {error.name or module} is missing") from error
    except AttributeError as error:
        raise ConfigurationError(f"{module} has no {name}") from error
    finally:
        sys.path.remove(str(cwd))
    conformance = found() if callable(found) else found
    if not isinstance(conformance, Conformance):
        raise ConfigurationError(f"{target} gives no chopar.conformance.Conformance")
    return conformance


async def findings_on(session: "Session", cases: "Callable[[], Conformance]") -> list[dict[str, Any]]:
    """Run the kit, and say on which bus each finding was made; each time anew, as a case may change its register.

    Raises:
        BrokerUnavailableError: the Kafka that was named does not answer.
    """
    from chopar.bus.memory import MemoryBus
    from chopar.bus.prefixed import PrefixedBus
    from chopar.conformance import check

    rows = _rows("memory", await check(cases(), MemoryBus(lambda: time.time_ns() // 1_000_000)))
    if "--bootstrap" in session.given:
        bus = PrefixedBus(session.bus(), f"conformance-{uuid.uuid4()}.")
        rows += _rows("kafka", await check(cases(), bus))
    return rows


async def against_grounds(session: "Session", conformance: "Conformance") -> tuple[list[dict[str, Any]], list[str]]:
    """Compare the fields of each evidence type with what the grounds in force let through of it.

    Returns:
        A finding for each evidence type that grounds name, and sentences on what was not compared.

    Raises:
        UnavailableError: the gateway that was named does not answer.
    """
    from chopar.cli.provider_grounds import compared, grounds_in_force
    from chopar.conformance import Finding
    from chopar.near import near_miss

    grounds = await grounds_in_force(session)
    if grounds is None:
        return [], ["not compared with the grounds in force: no gateway answers; --gateway HOST:PORT names one"]
    agency = conformance.provider.agency
    rows: list[dict[str, Any]] = []
    words: list[str] = []
    for case in conformance.cases:
        name = case.evidence_type
        of_type = grounds.of_type(name, agency)
        if not of_type:
            near = near_miss(name, grounds.evidence_types)
            words.append(f"no ground in force names the evidence type {name}: nobody may ask for it.{near}")
            continue
        if agency not in {ground.holder for ground in of_type}:
            holders = ", ".join(sorted({ground.holder for ground in of_type}))
            words.append(f"the grounds for {name} name another holder than {agency}: {holders}")
        said = "; ".join(compared(grounds, agency, name, case.record))
        rows += _rows("grounds", [Finding(name, "fields of the grounds", passed=not said, said=said)])
        unused = set(case.all_fields) - {field.partition(".")[0] for ground in of_type for field in ground.fields}
        if unused:
            words.append(f"{name}: no ground lets through {', '.join(sorted(unused))}; it reaches nobody")
    return rows, words


def to_do(target: str, conformance: "Conformance") -> list[str]:
    """What `provider init` left to be said by the agency, and is not said yet: no promise is broken by it."""
    from chopar.avro import SchemaFiles

    said = []
    coverage = getattr(sys.modules.get(target.partition(":")[0]), "COVERAGE", "")
    if isinstance(coverage, str) and coverage.lower().startswith(_PLACEHOLDER):
        said.append("to do: COVERAGE, what the register covers; it goes out with every `no record`")
    files = conformance.files or SchemaFiles.shipped()
    for record in sorted({case.record.RECORD for case in conformance.cases}):
        unsaid = sum(doc.lower().startswith(_PLACEHOLDER) for doc in _docs(json.loads(files.text(record))))
        if unsaid:
            said.append(f"to do: {record}.avsc, whose `doc` is still the one it was made with, in {unsaid} places")
    return said


def _docs(schema: object) -> "Iterator[str]":
    """Every `doc` in an Avro schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("doc"), str):
            yield schema["doc"]
        for part in schema.values():
            yield from _docs(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _docs(part)


def _rows(bus: str, findings: "list[Finding]") -> list[dict[str, Any]]:
    return [
        {
            "bus": bus,
            "evidence_type": finding.evidence_type,
            "check": finding.check,
            "passed": finding.passed,
            "said": finding.said,
        }
        for finding in findings
    ]
