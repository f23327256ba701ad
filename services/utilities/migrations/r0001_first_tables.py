"""Accounts, their contracts, and which synthetic population the register was filled with."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "account",
        sa.Column("number", sa.String(32), primary_key=True),
        sa.Column("service", sa.String(16), nullable=False),
        sa.Column("address", sa.String(400), nullable=False),
        sa.Column("address_key", sa.String, nullable=False),
        sa.Column("owed_tiyin", sa.BigInteger, nullable=False),
        sa.CheckConstraint("owed_tiyin BETWEEN 0 AND 1000000000000000", name="owed_is_an_amount"),
        sa.CheckConstraint("length(address_key) > 0", name="account_has_an_address"),
        sqlite_with_rowid=False,
    )
    op.create_index("account_by_address", "account", ["address_key"])
    op.create_table(
        "contract",
        sa.Column("account", sa.String(32), sa.ForeignKey("account.number"), primary_key=True),
        sa.Column("number", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("party", sa.String(14), nullable=False),
        sa.Column("concluded_on", sa.Date, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("contract_by_party", "contract", ["party"])
    op.create_table(
        "seeding",
        sa.Column("recipe", sa.String(200), primary_key=True),
        sa.Column("added", sa.Integer, nullable=False),
    )
