"""Taxpayers and what they owe."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "taxpayer",
        sa.Column("identifier", sa.String(14), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("registered_on", sa.Date, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tax_debt",
        sa.Column("identifier", sa.String(14), sa.ForeignKey("taxpayer.identifier"), primary_key=True),
        sa.Column("tax", sa.String(64), primary_key=True),
        sa.Column("amount_tiyin", sa.BigInteger, nullable=False),
        sa.CheckConstraint("amount_tiyin > 0", name="debt_is_positive"),
        sa.CheckConstraint("length(tax) BETWEEN 1 AND 64", name="tax_has_a_name"),
        sqlite_with_rowid=False,
    )
