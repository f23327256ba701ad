"""The journal of all acts, what look-ups read of them, and which synthetic population the register was filled with."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ledger",
        sa.Column("ledger", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_serial", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO ledger (ledger, last_serial) VALUES (1, 0)")
    op.create_table(
        "journal",
        sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(64), nullable=False, unique=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "act",
        sa.Column("number", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("office", sa.String(200), nullable=False),
        sa.Column("recorded_on", sa.Date, nullable=False),
        sa.Column("died_on", sa.String(10)),
        sa.Column("concerns", sa.String(64)),
        sa.Column("supersedes", sa.String(64)),
        sa.Column("superseded_by", sa.String(64)),
        sa.Column("superseded_on", sa.Date),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "act_person",
        sa.Column("act", sa.String(64), sa.ForeignKey("act.number"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("pinfl", sa.String(14)),
        sa.Column("person", sa.String(14)),
        sa.Column("surname", sa.Text),
        sa.Column("given_name", sa.Text, nullable=False),
        sa.Column("patronymic", sa.Text),
        sa.Column("born_on", sa.String(10)),
        sa.Column("surname_after", sa.Text),
        sa.Column("given_name_after", sa.Text),
        sa.Column("patronymic_after", sa.Text),
        sa.Column("name_digest", sa.String(64), nullable=False),
        sa.Column("name_after_digest", sa.String(64)),
        sqlite_with_rowid=False,
    )
    for column in ("pinfl", "person", "name_digest", "name_after_digest"):
        op.create_index(f"act_person_{column}", "act_person", [column])
    op.create_table(
        "seeding",
        sa.Column("recipe", sa.String(200), primary_key=True),
        sa.Column("added", sa.Integer, nullable=False),
    )
