"""How many documents a second the resolver decides on one core, by a list of 1,000 entries and by one of 100,000.

`python -m tests.load.resolver_cpu`; CPU time, the two in turns, medians. Entries are those that are shipped, for papers
and groups of other names, so that one procedure has as many to look at in both.
"""

import argparse
import statistics
import time
from dataclasses import replace
from datetime import date

from chopar.identifiers import AgencyId, DocumentType, ProcedureId
from chopar.messages.demand import FetchMode
from gateway.demand import Demand, DocumentDemand
from gateway.list_version import ListVersion, _indexed
from gateway.resolver import resolve
from tests.oracle.asking import lists, subject

PROCEDURES = 280
ON = date(2026, 11, 26)
PAPERS = (
    "tax-debt-certificate",
    "private-housing-certificate",
    "criminal-record-certificate",
    "address-reference-certificate",
    "identity-document-copy",
    "no-such-paper",
)


def enlarged(entries: int) -> ListVersion:
    """The shipped lists with further papers, entries and procedures."""
    shipped = lists()
    models = sorted(shipped.prohibited.values(), key=lambda entry: entry.id)
    documents, prohibited = dict(shipped.documents), dict(shipped.prohibited)
    for number in range(entries - len(models)):
        model = models[number % len(models)]
        paper = DocumentType(f"{model.document_type}-{number // len(models)}")
        documents[paper] = replace(documents[model.document_type], id=paper)
        name = f"{model.id}-{number // len(models)}"
        prohibited[name] = replace(model, id=name, document_type=paper, replaced_by=None)
    procedures, bases = dict(shipped.procedures), dict(shipped.legal_bases)
    for number in range(PROCEDURES - len(procedures)):
        name = ProcedureId(f"procedure-{number}")
        procedures[name] = replace(procedures[ProcedureId("electricity-supply-contract")], id=name)
        bases[name] = replace(bases[ProcedureId("electricity-supply-contract")], procedure=name)
    return _indexed(
        digest="enlarged",
        agencies=shipped.agencies,
        memberships=shipped.memberships,
        procedures=procedures,
        legal_bases=bases,
        documents=documents,
        coverages=shipped.coverages,
        prohibited=prohibited,
        grounds=shipped.grounds,
        directory=shipped.directory,
        alternatives=shipped.alternatives,
        namings=shipped.namings,
    )


def documents_a_second(version: ListVersion, demands: int) -> float:
    """CPU, not wall."""
    who = AgencyId("electricity-het")
    groups = version.groups_of(who, ON)
    names = [name for name, procedure in version.procedures.items() if procedure.conducted_by(who, groups)]
    asked = [
        Demand(
            requester=who,
            procedure=names[number % len(names)],
            subject=subject("person"),
            documents=tuple(DocumentDemand(DocumentType(paper)) for paper in PAPERS),
        )
        for number in range(demands)
    ]
    began = time.process_time()
    for demand in asked:
        resolve(demand, version, ON, FetchMode.INFERRED)
    return demands * len(PAPERS) / (time.process_time() - began)


def main() -> None:
    """Print both rates and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--demands", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    small, large = enlarged(1_000), enlarged(100_000)
    rates: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(given.rounds):
        rates["small"].append(documents_a_second(small, given.demands))
        rates["large"].append(documents_a_second(large, given.demands))
    one, many = statistics.median(rates["small"]), statistics.median(rates["large"])
    print(f"{len(small.prohibited)} entries, {len(small.procedures)} procedures: {one:,.0f} documents a second")
    print(f"{len(large.prohibited)} entries: {many:,.0f} documents a second; {one / many:.2f} times as long each")
    print("goals: 50,000 documents a second; within 1.5 times")


if __name__ == "__main__":
    main()
