"""Vectors of the slices of volumes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slice_embedding",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("slice_index", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id"],
            ["item.id"],
            name=op.f("fk_slice_embedding_item_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["space_id"],
            ["space.id"],
            name=op.f("fk_slice_embedding_space_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_slice_embedding")),
        sa.UniqueConstraint(
            "space_id",
            "item_id",
            "slice_index",
            name=op.f("uq_slice_embedding_space_id_item_id_slice_index"),
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("slice_embedding", schema=None) as batch_op:
        batch_op.create_index("ix_slice_embedding_space_seq", ["space_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_slice_embedding_item_id"), ["item_id"], unique=False)


def downgrade() -> None:
    op.drop_table("slice_embedding")
