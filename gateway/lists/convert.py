"""Makes the dated TOML of this folder from the collected facts: `python -m gateway.lists.convert [--check]`.

Each entry keeps its source, basis and doubt. What the facts do not say stands in `facts/*.toml`. No name of a
document, agency or act is written here. The result is loaded before it is written, so a list that the gateway would
refuse is never made.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chopar.errors import ChoparError, ConfigurationError
from chopar.messages.demand import ActingAs
from gateway.list_version import AGENCIES, DIRECTORY, DOCUMENTS, GROUNDS, GROUPS, PROHIBITED, REGULATIONS, ListVersion
from gateway.lists.facts_csv import Facts, Row, addresses, day, read_facts, several
from gateway.lists.toml_text import Table, document
from gateway.lists.vocabulary import Basis, DataClass, Disposition, TextRead

FOLDER = Path(__file__).parent
EVERY_PUBLIC_SERVICE = "any public service"
"""The scope by which a row speaks to all procedures that are public services."""

_GROUP = "group:"
_BOTH = "both"
_HEADING = """Made by `python -m gateway.lists.convert` from facts/*.csv and facts/*.toml. Do not edit: edit those.
An absent key: not known, or not so."""


def convert(facts: Facts) -> dict[str, bytes]:
    """The list files, by name.

    Args:
        facts: as they were collected.

    Raises:
        ConfigurationError: the facts contradict each other.
        LawUnreadableError: what they give would not be understood.
    """
    facts = _with_our_names(facts)
    grounds = _grounds(facts)
    arrays: dict[str, dict[str, list[Table]]] = {
        AGENCIES: {"agency": [_agency(row) for row in facts.agencies]},
        GROUPS: {
            "group": _namings(facts, "group", {row["group"] for row in facts.groups}),
            "member": [_member(row) for row in facts.groups],
        },
        REGULATIONS: {
            "scope": _namings(facts, "scope", {scope for row in facts.procedures for scope in several(row["scopes"])}),
            "procedure": _procedures(facts),
        },
        DOCUMENTS: {"document": _documents(facts)},
        PROHIBITED: {"coverage": _coverages(facts), "entry": _prohibited(facts)},
        GROUNDS: {"ground": grounds},
        DIRECTORY: {
            "evidence_type": _namings(
                facts, "evidence_type", {row["evidence_type"] for row in facts.evidence.values()}
            ),
            "holding": _directory(facts, grounds),
            "alternatives": facts.ours.get("alternatives", []),
        },
    }
    files = {name: document(_HEADING, parts).encode("utf-8") for name, parts in arrays.items()}
    ListVersion.from_files(files)
    return files


def _with_our_names(facts: Facts) -> Facts:
    """The facts, with the names that we mended."""
    return replace(
        facts,
        prohibited=_mended(facts, "entry", facts.prohibited),
        agencies=_mended(facts, "agency", facts.agencies),
    )


def _mended(facts: Facts, what: str, rows: list[Row]) -> list[Row]:
    mended = {
        item[what]: {key: item[key] for key in item if key != what}
        for item in facts.ours.get("name", [])
        if what in item
    }
    unknown = set(mended) - {row["id"] for row in rows}
    if unknown:
        raise ConfigurationError(f"ours.toml: {what}: names of none that the facts have: {', '.join(sorted(unknown))}")
    return [{**row, **mended.get(row["id"], {})} for row in rows]


def _namings(facts: Facts, what: str, ids: set[str]) -> list[Table]:
    """Names of what the facts call by an id, or in English only."""
    given = [item for item in facts.ours.get("naming", []) if what in item]
    unknown = {item[what] for item in given} - ids
    if unknown:
        raise ConfigurationError(f"names.toml: {what}: names of none that the facts have: {', '.join(sorted(unknown))}")
    return [
        {
            "id": item[what],
            **{key: item[key] for key in ("name_en", "name_uz", "name_ru")},
            "basis": Basis.INFERRED.value,
            "note": "the names are ours",
        }
        for item in given
    ]


def _agency(row: Row) -> Table:
    return {
        **_names(row),
        "kind": row["kind"],
        "registers": several(row["registers"]),
        "special_register": row["special_register"] == "yes",
        "information_systems": row["information_systems"],
        "basis": row["basis"],
        "note": row["note"],
        "sources": addresses(row["source"]),
    }


def _names(row: Row) -> dict[str, str]:
    return {"id": row["id"], **{key: row.get(key, "") for key in ("name_en", "name_uz", "name_ru")}}


def _member(row: Row) -> Table:
    where = f"groups.csv: {row['group']}"
    return {
        "group": row["group"],
        "agency": row["agency"],
        "member_from": day(row["member_from"], where),
        "member_until": day(row["member_until"], where),
        "basis": row["basis"],
        "note": row["note"],
        "sources": addresses(row["source"]),
    }


def _procedures(facts: Facts) -> list[Table]:
    services = {row["id"]: row for row in facts.services}
    ours = {row["id"]: row for row in facts.ours["procedure"]}
    acting = facts.ours["acting"]
    own_motion = acting["of_its_own_motion"]
    unknown = (set(ours) | set(own_motion)) - {row["procedure"] for row in facts.procedures}
    if unknown:
        raise ConfigurationError(f"ours.toml: no such procedures: {', '.join(sorted(unknown))}")
    tables: list[Table] = []
    for row in facts.procedures:
        name = row["procedure"]
        service, own = services.get(name, {}), ours.get(name, {})
        if not (service or own):
            raise ConfigurationError(f"procedures.csv: {name}: neither services.csv nor ours.toml describes it")
        described = {**dict.fromkeys(facts.services[0], ""), **own, **service, "id": name}
        also = [ActingAs.EX_OFFICIO.value] if name in own_motion else []
        where = f"services.csv or procedures.csv: {name}"
        tables.append(
            {
                **_names(described),
                "subjects": _kinds(row["subject"]),
                "conducted_by_agencies": [who for who in several(row["conducted_by"]) if not who.startswith(_GROUP)],
                "conducted_by_groups": [
                    who.removeprefix(_GROUP) for who in several(row["conducted_by"]) if who.startswith(_GROUP)
                ],
                "public_service": row["public_service"] == "yes",
                "scopes": several(row["scopes"]),
                "implies": _implied(row),
                "legal_basis": described["legal_basis"],
                "legal_basis_from": day(described["legal_basis_from"], where),
                "legal_basis_until": own.get("legal_basis_until"),
                "documents_named": _named(facts, name),
                "documents_named_basis": described["documents_named_basis"] or Basis.INFERRED.value,
                "changed_on": day(described["changed_on"] or row["changed_on"], where),
                "data_from": several(described["data_from"]),
                "acting_for_person": [*acting["for_person"], *also],
                "acting_for_business": [*acting["for_business"], *also],
                "acting_basis": Basis.INFERRED.value,
                "parent_acts_below_years": acting["parent_acts_below_years"],
                "documents_before": described["documents_before"],
                "count_before": described["count_before"],
                "documents_after": described["documents_after"],
                "count_after": described["count_after"],
                "service_standard": described["service_standard"],
                "confidence": described["confidence"] or Basis.INFERRED.value,
                "note": "; ".join(filter(None, (described["note"], row["note"]))),
                "sources": addresses(described["source"]),
            }
        )
    return tables


def _kinds(cell: str) -> list[str]:
    """The kinds of subject that a cell speaks of: `both` and `person_or_business` are two."""
    if cell == _BOTH:
        return ["person", "business"]
    return cell.split("_or_")


def _implied(row: Row) -> dict[str, bool]:
    implied: dict[str, bool] = {}
    for item in several(row["implies"]):
        code, _, answer = item.partition("=")
        if answer not in ("yes", "no"):
            raise ConfigurationError(f"procedures.csv: {row['procedure']}: implies: yes or no is due")
        implied[code] = answer == "yes"
    return implied


def _named(facts: Facts, procedure: str) -> list[str]:
    for row in facts.services:
        if row["id"] == procedure:
            return several(row["documents_named"])
    return next(several(row["documents_named"]) for row in facts.procedures if row["procedure"] == procedure)


def _documents(facts: Facts) -> list[Table]:
    documents: dict[str, Table] = {}
    for row in facts.prohibited:
        documents.setdefault(row["document_type"], {**_names(row), "id": row["document_type"]})
    return list(documents.values())


def _coverages(facts: Facts) -> list[Table]:
    return [
        {
            "id": coverage["id"],
            "known": len(coverage["entries"]),
            "total": coverage["total"],
            "basis": Basis.INFERRED.value,
            "note": coverage["note"],
            "sources": coverage["sources"],
        }
        for coverage in facts.ours["coverage"]
    ]


def _prohibited(facts: Facts) -> list[Table]:
    coverage = {entry: item["id"] for item in facts.ours["coverage"] for entry in item["entries"]}
    unknown = set(coverage) - {row["id"] for row in facts.prohibited}
    if unknown:
        raise ConfigurationError(f"ours.toml: coverage of no such entries: {', '.join(sorted(unknown))}")
    tables: list[Table] = []
    for row in facts.prohibited:
        barred_agencies, barred_groups = _who(facts, row["who_may_not_demand"])
        everywhere = row["scope"] == EVERY_PUBLIC_SERVICE
        evidence = facts.evidence.get(row["id"], {})
        tables.append(
            {
                "id": row["id"],
                "document_type": row["document_type"],
                **{key: row[key] for key in ("name_en", "name_uz", "name_ru", "names_in_source")},
                "barred_agencies": barred_agencies,
                "barred_groups": barred_groups,
                "from_whom": _kinds(row["from_whom"]),
                "scope": "" if everywhere else row["scope"],
                "every_public_service": everywhere,
                "in_force_from": day(row["effective_from"], f"prohibited-documents.csv: {row['id']}"),
                "in_force_basis": row["from_basis"],
                "condition": row["condition"],
                "act": row["legal_act"],
                "disposition": row["disposition"],
                "disposition_basis": row["disposition_basis"],
                "replaced_by": evidence.get("replaced_by", ""),
                "replacement_note": evidence["note"] if row["disposition"] == Disposition.REPLACED else "",
                "data_class": row["data_class"],
                "about": _kinds(row["about"]),
                "parameters": several(row["parameters"]),
                "holder": row["holder_agency"],
                "holder_basis": row["holder_basis"],
                "reason_code": row["reason_code"],
                "answer_data": row["answer_data"],
                "text_read": row["text_read"],
                "confidence": row["confidence"],
                "coverage": coverage.get(row["id"], ""),
                "note": row["note"],
                "sources": addresses(row["source"]),
            }
        )
    return tables


def _who(facts: Facts, cell: str) -> tuple[list[str], list[str]]:
    """Agencies and groups of a cell; a name that is both is the group."""
    groups = {row["group"] for row in facts.groups}
    names = several(cell)
    return [name for name in names if name not in groups], [name for name in names if name in groups]


def _grounds(facts: Facts) -> list[Table]:
    """One ground from each row that fetches, where a ban does not widen access; then those of their own."""
    tables: list[Table] = []
    for row in facts.prohibited:
        named = bool(row["access_ground"])
        if row["disposition"] != Disposition.FETCH or (row["data_class"] != DataClass.ORDINARY and not named):
            continue
        evidence = facts.evidence.get(row["id"])
        if evidence is None:
            raise ConfigurationError(f"evidence.csv: {row['id']}: a row that fetches has no evidence type")
        procedures = _procedures_of(facts, row, evidence)
        if not procedures:
            continue
        agencies, groups = _who(facts, row["who_may_not_demand"])
        first = evidence["ground_from"] or row["effective_from"]
        tables.append(
            {
                "id": f"ground-{row['id']}",
                "requester_agencies": agencies,
                "requester_groups": groups,
                "procedures": procedures,
                "about": _kinds(row["about"]),
                "condition": row["condition"],
                "document_type": row["document_type"],
                "evidence_type": evidence["evidence_type"],
                "holder": row["holder_agency"],
                "parameters": several(row["parameters"]),
                "fields": several(evidence["fields"]),
                "data_class": row["data_class"],
                "act": row["access_ground"],
                # Where no act is named none was read, however the ban itself was read.
                "text_read": row["text_read"] if named else TextRead.NONE.value,
                "basis": (Basis.STATED if named else Basis.INFERRED).value,
                "from": day(first, f"prohibited-documents.csv or evidence.csv: {row['id']}"),
                "made_from": row["id"],
                "note": evidence["note"],
                "sources": addresses(row["source"]),
            }
        )
    tables.extend(facts.ours.get("ground", []))
    return tables


def _procedures_of(facts: Facts, row: Row, evidence: Row) -> list[str]:
    """The procedures in which a row gives a ground."""
    if row["scope"] != EVERY_PUBLIC_SERVICE:
        return [item["procedure"] for item in facts.procedures if row["scope"] in several(item["scopes"])]
    takes_from = {service["id"]: several(service["data_from"]) for service in facts.services}
    return [
        item["procedure"]
        for item in facts.procedures
        if item["public_service"] == "yes"
        and (
            evidence["every_procedure"] == "yes"
            or row["document_type"] in _named(facts, item["procedure"])
            or row["holder_agency"] in takes_from.get(item["procedure"], ())
        )
    ]


def _directory(facts: Facts, grounds: list[Table]) -> list[Table]:
    promise = facts.ours["promise"]
    ours = {(item["provider"], item["evidence_type"]): item for item in facts.ours["holding"]}
    held = sorted({(str(ground["holder"]), str(ground["evidence_type"])) for ground in grounds} | set(ours))
    tables: list[Table] = []
    for provider, evidence_type in held:
        item = ours.get((provider, evidence_type), {})
        tables.append(
            {
                "provider": provider,
                "evidence_type": evidence_type,
                "connected": item.get("connected", False),
                "due_hours": item.get("due_hours", promise["due_hours"]),
                "basis": Basis.INFERRED.value,
                "note": item.get("note", promise["note"]),
            }
        )
    return tables


def differences(files: Mapping[str, bytes], folder: Path) -> list[str]:
    """Names of the files of a folder that are not as they would be made."""
    return [
        name
        for name, content in files.items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != content
    ]


def main(arguments: list[str]) -> int:
    """Make the lists, or with `--check` say whether they are as they would be made.

    Returns:
        0: made, or the same; 1: they differ, or the facts cannot be understood; 2: wrong use.
    """
    if arguments not in ([], ["--check"]):
        sys.stderr.write("python -m gateway.lists.convert [--check]\n")
        return 2
    try:
        files = convert(read_facts(FOLDER / "facts"))
    except ChoparError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if arguments:
        changed = differences(files, FOLDER)
        for name in changed:
            sys.stderr.write(f"{name} is not what the facts give; run python -m gateway.lists.convert\n")
        return 1 if changed else 0
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
