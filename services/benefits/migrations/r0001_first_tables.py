"""Who was assessed, what is assigned, and which synthetic population the register was filled with."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "assessed",
        sa.Column("identifier", sa.String(14), primary_key=True),
        sa.Column("category", sa.String(32), nullable=True),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("valid_until", sa.Date, nullable=True),
        sa.CheckConstraint("(category IS NULL) = (valid_until IS NULL)", name="taken_in_until_a_day"),
        sa.CheckConstraint("valid_until IS NULL OR valid_until >= since", name="entry_ends_after_it_began"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "benefit",
        sa.Column("identifier", sa.String(14), sa.ForeignKey("assessed.identifier"), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("since", sa.Date, primary_key=True),
        sa.Column("valid_until", sa.Date, nullable=False),
        sa.Column("monthly_tiyin", sa.BigInteger, nullable=False),
        sa.CheckConstraint("monthly_tiyin BETWEEN 1 AND 10000000000000", name="benefit_is_an_amount"),
        sa.CheckConstraint("valid_until >= since", name="benefit_ends_after_it_began"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seeding",
        sa.Column("recipe", sa.String(200), primary_key=True),
        sa.Column("added", sa.Integer, nullable=False),
    )
