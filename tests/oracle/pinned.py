"""What each entry of the prohibited list comes to, written down: `python -m tests.oracle.pinned` writes it anew.

The file is made by the oracle from the facts, and read by a test of the resolver. It is committed, so an entry that
leaves facts and lists together is still missed, by its id; whoever takes one out on purpose writes the file anew and
sees in the difference what was lost. Holders are all connected, grounds all opened, parameters all given.
"""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from itertools import product
from pathlib import Path

from tests.oracle.asking import PARAMETERS
from tests.oracle.plain_reading import CsvRow, Expected, Law

PATH = Path(__file__).with_name("pinned.csv")
TODAY = "2026-11-26"


@dataclass(frozen=True)
class Pinned:
    """A question about an entry, and the answer."""

    row: str
    when: str
    """`before` its day, `on` it (today, if none is known), `today`, `stranger`: on it, by one whom it does not bind."""
    requester: str
    procedure: str
    subject: str
    party: str
    document: str
    day: str
    circumstance: str
    outcome: str
    code: str
    asked: str
    entry: str
    also_binding: str

    @property
    def names(self) -> bool:
        """Whether the answer names the entry."""
        return self.row in (self.entry, *self.also_binding.split("; "))


def read() -> list[Pinned]:
    with PATH.open(encoding="utf-8", newline="") as file:
        return [Pinned(**row) for row in csv.DictReader(file)]


def made() -> Iterator[Pinned]:
    """The questions and answers of every row, by the oracle."""
    law = Law()
    pairs = [
        (requester, procedure)
        for requester, procedure in product(sorted(law.agencies), law.procedures)
        if law.conducts(requester, procedure, TODAY)
    ]
    for row in law.rows:
        day = row["effective_from"] or TODAY
        eve = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        asked = [one for pair in pairs for kind in ("person", "business") for one in _asked(law, row, pair, kind, day)]
        naming = [one for one in asked if one.names]
        # Best one in which it decides, and for one that fetches, in which data are fetched.
        naming.sort(key=lambda one: (one.entry != one.row, row["disposition"] == "fetch" and one.outcome != "fetch"))
        on = naming[0]
        yield on
        if row["disposition"] == "fetch" and on.outcome != "fetch":  # its ground begins later than its bar
            [today] = _asked(law, row, (on.requester, on.procedure), on.party or on.subject, TODAY, "today")
            yield today
        if row["effective_from"]:
            [before] = _asked(law, row, (on.requester, on.procedure), on.party or on.subject, eve, "before")
            yield before
        strangers = [pair for pair in pairs if not law.binds_requester(row, pair[0], day)]
        yield next(one for pair in strangers for one in _asked(law, row, pair, "person", day, "stranger"))


def _asked(law: Law, row: CsvRow, pair: tuple[str, str], kind: str, day: str, when: str = "on") -> Iterator[Pinned]:
    requester, procedure = pair
    if not law.basis_in_force(procedure, day):
        return
    subjects = law.procedures[procedure]["subject"]
    direct = subjects in ("both", kind)
    found: Expected = law.expected(
        requester=requester,
        procedure=procedure,
        document=row["document_type"],
        kind=kind,
        day=day,
        circumstances={row["condition"]: "yes"} if row["condition"] else {},
        given=set(PARAMETERS),
        mode="inferred",
        connected={
            (one["holder_agency"], law.evidence[one["id"]]["evidence_type"])
            for one in law.rows
            if one["disposition"] == "fetch"
        },
        read_officially=False,
    )
    yield Pinned(
        row=row["id"],
        when=when,
        requester=requester,
        procedure=procedure,
        subject=kind if direct else subjects,
        party="" if direct else kind,
        document=row["document_type"],
        day=day,
        circumstance=row["condition"],
        outcome=found.outcome,
        code=found.code,
        asked=found.asked,
        entry=found.entry or "",
        also_binding="; ".join(found.also_binding),
    )


if __name__ == "__main__":
    with PATH.open("w", encoding="utf-8", newline="") as written:
        lines = csv.writer(written, lineterminator="\n")
        lines.writerow(field.name for field in fields(Pinned))
        lines.writerows(astuple(one) for one in made())
