"""The tables of the register, and rows from entries and back.

Acts lie twice. The journal has every act as it was recorded, adoptions too; rows are only ever added. `act` and
`act_person` are what look-ups read. No look-up reads the journal.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
)

from chopar.identifiers import PersonId
from chopar.migrations import Migrations
from chopar.provider.register import seeding_table
from services.registry_office.model.acts import LONGEST_NUMBER, LONGEST_OFFICE, Act, ActKind, Participant, Role
from services.registry_office.model.book import Entry
from services.registry_office.model.days import PartialDate
from services.registry_office.model.names import PersonName, search_digest

METADATA = MetaData()

LEDGER = Table(
    "ledger",
    METADATA,
    Column("ledger", Integer, primary_key=True, autoincrement=False),
    Column("last_serial", BigInteger, nullable=False),
)
"""One row; who records an act takes its lock first, so acts go in one after another."""

JOURNAL = Table(
    "journal",
    METADATA,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    Column("number", String(LONGEST_NUMBER), nullable=False, unique=True),
    Column("body", Text, nullable=False),
)
ACT = Table(
    "act",
    METADATA,
    Column("number", String(LONGEST_NUMBER), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("office", String(LONGEST_OFFICE), nullable=False),
    Column("recorded_on", Date, nullable=False),
    Column("died_on", String(10)),
    Column("concerns", String(LONGEST_NUMBER)),
    Column("supersedes", String(LONGEST_NUMBER)),
    Column("superseded_by", String(LONGEST_NUMBER)),
    Column("superseded_on", Date),
    sqlite_with_rowid=False,
)
ACT_PERSON = Table(
    "act_person",
    METADATA,
    Column("act", ForeignKey(ACT.c.number), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("role", String(16), nullable=False),
    Column("pinfl", String(14)),
    Column("person", String(14)),
    # Text: a name is kept whole, however long.
    Column("surname", Text),
    Column("given_name", Text, nullable=False),
    Column("patronymic", Text),
    Column("born_on", String(10)),
    Column("surname_after", Text),
    Column("given_name_after", Text),
    Column("patronymic_after", Text),
    Column("name_digest", String(64), nullable=False),
    Column("name_after_digest", String(64)),
    sqlite_with_rowid=False,
)
for _column in ("pinfl", "person", "name_digest", "name_after_digest"):
    Index(f"act_person_{_column}", ACT_PERSON.c[_column])
seeding_table(METADATA)

MIGRATIONS = Migrations(Path(__file__).parent.parent / "migrations", METADATA, "the register of civil status acts")

ENTRY_COLUMNS = (
    *ACT.c,
    *(column for column in ACT_PERSON.c if column.name not in ("act", "name_digest", "name_after_digest")),
)
"""What a look-up selects of an entry, one row for each of its people."""


def journal_row(serial: int, act: Act) -> dict[str, object]:
    """A row of the journal."""
    return {"serial": serial, "number": act.number, "body": json.dumps(act.to_json(), ensure_ascii=False)}


def act_row(entry: Entry) -> dict[str, object]:
    """The row of an entry in `act`."""
    act = entry.act
    return {
        "number": act.number,
        "kind": act.kind.value,
        "office": act.office,
        "recorded_on": act.recorded_on,
        "died_on": None if act.died_on is None else act.died_on.text,
        "concerns": act.concerns,
        "supersedes": act.supersedes,
        "superseded_by": entry.superseded_by,
        "superseded_on": entry.superseded_on,
    }


def person_rows(entry: Entry) -> list[dict[str, object]]:
    """The rows of an entry in `act_person`."""
    return [
        {
            "act": entry.act.number,
            "position": position,
            "role": one.role.value,
            "pinfl": None if one.pinfl is None else one.pinfl.text,
            "person": person,
            "surname": one.name.surname,
            "given_name": one.name.given_name,
            "patronymic": one.name.patronymic,
            "born_on": None if one.born_on is None else one.born_on.text,
            "surname_after": one.name_after and one.name_after.surname,
            "given_name_after": one.name_after and one.name_after.given_name,
            "patronymic_after": one.name_after and one.name_after.patronymic,
            "name_digest": search_digest(one.name.whole),
            "name_after_digest": one.name_after and search_digest(one.name_after.whole),
        }
        for position, (one, person) in enumerate(zip(entry.act.participants, entry.persons, strict=True))
    ]


def entries_of(rows: Iterable[RowMapping]) -> dict[str, Entry]:
    """Entries by number, from rows of `ENTRY_COLUMNS`; a row that comes twice counts once."""
    by_number: dict[str, dict[int, RowMapping]] = {}
    for row in rows:
        by_number.setdefault(row["number"], {})[row["position"]] = row
    return {number: _entry([found[position] for position in sorted(found)]) for number, found in by_number.items()}


def participant_of(row: RowMapping) -> Participant:
    """A person of an act."""
    after = row["given_name_after"]
    return Participant(
        Role(row["role"]),
        PersonName(row["surname"], row["given_name"], row["patronymic"]),
        None if row["pinfl"] is None else PersonId(row["pinfl"]),
        None if row["born_on"] is None else PartialDate.parse(row["born_on"]),
        None if after is None else PersonName(row["surname_after"], after, row["patronymic_after"]),
    )


def _entry(rows: Sequence[RowMapping]) -> Entry:
    first = rows[0]
    act = Act(
        number=first["number"],
        kind=ActKind(first["kind"]),
        office=first["office"],
        recorded_on=first["recorded_on"],
        participants=tuple(participant_of(row) for row in rows),
        died_on=None if first["died_on"] is None else PartialDate.parse(first["died_on"]),
        concerns=first["concerns"],
        supersedes=first["supersedes"],
    )
    return Entry(act, tuple(row["person"] for row in rows), first["superseded_by"], first["superseded_on"])
