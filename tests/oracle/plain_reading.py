"""A second reading of the law: what DESIGN.md section 1 says of the committed CSV files, written down once more.

It knows neither the converter nor the TOML nor the gateway. Slow, plain and made of strings, so that a fault in the
real one is not repeated here. What the CSV files do not say (which holder is connected) is given by the test.
"""

import csv
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

CSV_FOLDER = Path(__file__).parents[2] / "gateway" / "lists" / "facts"
ANYWHERE = "any public service"

CsvRow = dict[str, str]

FARTHEST = (
    "ground",
    "already_asked",
    "missing_parameter",
    "ground_not_verified",
    "holder_not_connected",
    "not_about_subject",
    "no_ground_to_know",
)
"""How far one may come on the way to the data, the farthest first."""


def cells(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def read(name: str) -> list[CsvRow]:
    with (CSV_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Expected:
    """What one document should come to."""

    outcome: str
    code: str
    asked: str
    entry: str | None = None
    also_binding: tuple[str, ...] = ()
    provider: str | None = None
    evidence_type: str | None = None
    fields: tuple[str, ...] = ()
    replaced_by: str | None = None
    alternatives: tuple[tuple[str, str, str], ...] = ()
    """Holder, evidence type and how it stands with them."""


Tried = tuple[tuple[str, str], Expected]
"""A holder with what it is asked for, and what comes of it."""


class Law:
    """The CSV files."""

    def __init__(self) -> None:
        self.rows = read("prohibited-documents.csv")
        self.by_id = {row["id"]: row for row in self.rows}
        self.members = read("groups.csv")
        self.agencies = {row["id"]: row for row in read("agencies.csv")}
        self.services = {row["id"]: row for row in read("services.csv")}
        self.procedures = {row["procedure"]: row for row in read("procedures.csv")}
        self.evidence = {row["id"]: row for row in read("evidence.csv")}

    @cached_property
    def document_types(self) -> list[str]:
        return sorted({row["document_type"] for row in self.rows})

    def groups(self, agency: str, day: str) -> set[str]:
        return {
            member["group"]
            for member in self.members
            if member["agency"] == agency
            and (not member["member_from"] or member["member_from"] <= day)
            and (not member["member_until"] or day <= member["member_until"])
        }

    def conducts(self, agency: str, procedure: str, day: str) -> bool:
        names = {agency} | {f"group:{group}" for group in self.groups(agency, day)}
        return bool(names & set(cells(self.procedures[procedure]["conducted_by"])))

    def basis_in_force(self, procedure: str, day: str) -> bool:
        service = self.services.get(procedure)
        return not service or not service["legal_basis_from"] or service["legal_basis_from"] <= day

    def named(self, procedure: str) -> list[str]:
        own = self.services.get(procedure) or self.procedures[procedure]
        return cells(own["documents_named"])

    def changed_on(self, procedure: str) -> str:
        own = self.services.get(procedure) or self.procedures[procedure]
        return own["changed_on"]

    # --- number 1 ---

    def binds_requester(self, row: CsvRow, agency: str, day: str) -> bool:
        return bool(set(cells(row["who_may_not_demand"])) & (self.groups(agency, day) | {agency}))

    def in_scope(self, row: CsvRow, procedure: str) -> bool:
        if row["scope"] == ANYWHERE:
            return self.procedures[procedure]["public_service"] == "yes"
        return row["scope"] in cells(self.procedures[procedure]["scopes"])

    def applicable(self, document: str, agency: str, procedure: str, kind: str, day: str) -> list[CsvRow]:
        return [
            row
            for row in self.rows
            if row["document_type"] == document
            and self.binds_requester(row, agency, day)
            and row["from_whom"] in ("both", kind)
            and self.in_scope(row, procedure)
        ]

    def said(self, row: CsvRow, procedure: str, circumstances: dict[str, str]) -> str:
        """yes, no or unsaid."""
        if not row["condition"]:
            return "yes"
        for implied in cells(self.procedures[procedure]["implies"]):
            code, answer = implied.split("=")
            if code == row["condition"]:
                return answer
        return circumstances.get(row["condition"], "unsaid")

    def verdict(self, row: CsvRow, procedure: str, circumstances: dict[str, str], day: str) -> str:
        early = bool(row["effective_from"]) and day < row["effective_from"]
        said = self.said(row, procedure, circumstances)
        if early and row["from_basis"] in ("in_force", "act_date"):
            return "no bar"
        if said == "no":
            return "no bar"
        if early:
            return "start_not_established"
        if said == "unsaid":
            return "condition_unsaid"
        return "binds"

    @staticmethod
    def place(row: CsvRow) -> tuple[object, ...]:
        """The order of number 3."""
        return (
            ["abolished", "not_needed", "replaced", "fetch"].index(row["disposition"]),
            1 if row["scope"] == ANYWHERE else 0,
            0 if row["confidence"] == "stated" else 1,
            row["effective_from"],
            row["id"],
        )

    # --- the access grounds ---

    def ground(self, row: CsvRow, procedure: str, day: str) -> bool:
        """Whether a row that fetches gives a ground here (its requester is bound, so it is the ground's too)."""
        if row["data_class"] != "ordinary" and not row["access_ground"]:
            return False
        start = self.evidence[row["id"]]["ground_from"] or row["effective_from"]
        if start and day < start:
            return False
        if row["scope"] != ANYWHERE:
            return True
        service = self.services.get(procedure)
        return (
            self.evidence[row["id"]]["every_procedure"] == "yes"
            or row["document_type"] in self.named(procedure)
            or (service is not None and row["holder_agency"] in cells(service["data_from"]))
        )

    # --- numbers 2, 4 and 5 ---

    def expected(
        self,
        *,
        requester: str,
        procedure: str,
        document: str,
        kind: str,
        day: str,
        circumstances: dict[str, str],
        given: set[str],
        mode: str,
        connected: set[tuple[str, str]],
        read_officially: bool,
        order: tuple[tuple[str, str], ...] = (),
        asked: frozenset[tuple[str, str]] = frozenset(),
    ) -> Expected:
        """One document, about a subject or party of that kind.

        `given` names the parameters that the demand gives; `connected` are pairs of holder and evidence type;
        `read_officially` says that every act that a row names as its ground was read as published. `order` are the
        holders that the directory names for the document, `asked` those who were asked by demands before this one.
        """
        rows = self.applicable(document, requester, procedure, kind, day)
        verdicts = {row["id"]: self.verdict(row, procedure, circumstances, day) for row in rows}
        rows.sort(key=self.place)
        bars = [row for row in rows if verdicts[row["id"]] == "binds"]
        if not bars:
            return self._unbarred(document, procedure, rows, verdicts, circumstances, day)
        decides = bars[0]
        others = tuple(row["id"] for row in bars[1:])
        if decides["disposition"] in ("fetch", "replaced") and decides["holder_agency"] == requester:
            return Expected("replaced", "own_register", "no", decides["id"], others)
        if decides["disposition"] == "abolished":
            return Expected("not_needed", "abolished", "no", decides["id"], others)
        if decides["disposition"] == "not_needed":
            return Expected("not_needed", "no_ground_to_know", "no", decides["id"], others)
        if decides["disposition"] == "replaced":
            further = self.evidence[decides["id"]]["replaced_by"] or None
            return Expected("replaced", "replaced_by", "no", decides["id"], others, replaced_by=further)

        def fetch(row: CsvRow) -> Expected:
            others = tuple(other["id"] for other in bars if other is not row)
            evidence = self.evidence[row["id"]]
            if row["about"] != "object" and kind not in row["about"].split("_or_"):
                return Expected("not_needed", "not_about_subject", "no", row["id"], others)
            if not self.ground(row, procedure, day) or row["holder_agency"] == requester:
                return Expected("not_needed", "no_ground_to_know", "no", row["id"], others)
            if (row["holder_agency"], evidence["evidence_type"]) in asked:
                return Expected("refused", "already_asked", "no", row["id"], others)
            if set(cells(row["parameters"])) - given:
                return Expected("refused", "missing_parameter", "no", row["id"], others)
            what = (row["holder_agency"], evidence["evidence_type"], tuple(cells(evidence["fields"])))
            if mode == "verified" and not (read_officially and row["access_ground"]):
                return Expected("gap", "ground_not_verified", "no", row["id"], others, *what)
            if what[:2] not in connected:
                return Expected("gap", "holder_not_connected", "no", row["id"], others, *what)
            return Expected("fetch", "ground", "no", row["id"], others, *what)

        tried = [(self.place_of(row), fetch(row)) for row in bars]
        by_order = [one for place in order for one in tried if one[0] == place]
        by_order += [one for one in tried if one[0] not in order]
        place, found = self._taken(tried, by_order)
        if found.code in ("no_ground_to_know", "not_about_subject"):
            return found
        standing = {
            where: min((one.code for at, one in tried if at == where), key=FARTHEST.index, default=FARTHEST[-1])
            for where in order
            if where != place
        }
        return replace(found, alternatives=tuple((*where, code) for where, code in standing.items()))

    def place_of(self, row: CsvRow) -> tuple[str, str]:
        return row["holder_agency"], self.evidence[row["id"]]["evidence_type"]

    @staticmethod
    def _taken(tried: list[Tried], by_order: list[Tried]) -> Tried:
        """Who is asked; if nobody: what the deciding row comes to, unless that was asked already."""
        for one in by_order:
            if one[1].outcome == "fetch":
                return one
        open_ones = [one for one in by_order if one[1].outcome == "gap" or one[1].code == "missing_parameter"]
        deciding = tried[0]
        if deciding in open_ones:
            return deciding
        if any(one[1].code == "already_asked" for one in tried):
            return (open_ones + [one for one in by_order if one[1].code == "already_asked"])[0]
        return deciding

    def _unbarred(
        self,
        document: str,
        procedure: str,
        rows: list[CsvRow],
        verdicts: dict[str, str],
        circumstances: dict[str, str],
        day: str,
    ) -> Expected:
        open_rows = [row for row in rows if verdicts[row["id"]] in ("start_not_established", "condition_unsaid")]
        if open_rows:
            first = open_rows[0]
            others = tuple(row["id"] for row in open_rows[1:])
            return Expected("undetermined", verdicts[first["id"]], "undetermined", first["id"], others)
        changed = self.changed_on(procedure)
        named = document in self.named(procedure)
        if named and changed and day >= changed:
            named = any(
                (row["effective_from"] and day < row["effective_from"])
                or self.said(row, procedure, circumstances) == "no"
                for row in rows
            )
        return Expected("may_be_asked", "named", "yes") if named else Expected("refused", "not_in_procedure", "no")
