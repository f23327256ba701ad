"""Which synthetic population the register was filled with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "seeding",
        sa.Column("recipe", sa.String(200), primary_key=True),
        sa.Column("added", sa.Integer, nullable=False),
    )
