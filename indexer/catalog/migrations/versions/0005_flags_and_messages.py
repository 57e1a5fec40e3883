"""What references say of items, where watches stand, messages for webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in _of_score():
        op.add_column("ood_score", column)
    op.create_table(
        "monitor",
        sa.Column(
            "reference_id",
            sa.Integer(),
            sa.ForeignKey("reference.id", name=op.f("fk_monitor_reference_id"), ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("watched", sa.String(200), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("reference_id", "watched", name=op.f("pk_monitor")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
    )
    op.create_index(op.f("ix_delivery_state"), "delivery", ["state"])


def _of_score() -> list[sa.Column[object]]:
    return [
        sa.Column("verdicts", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("stratum", sa.Text(), nullable=False, server_default=""),
        sa.Column("flagged", sa.Boolean(), nullable=True),
        sa.Column("findings", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column(
            "judged_at",
            sa.DateTime(),
            nullable=False,
            server_default="2026-01-01 00:00:00.000000",
        ),
    ]


def downgrade() -> None:
    op.drop_table("delivery")
    op.drop_table("monitor")
    for column in _of_score():
        op.drop_column("ood_score", column.name)
