"""What a clustering was made with and what is told of its clusters; maps."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in _of_run():
        op.add_column("cluster_run", column)
    op.create_table(
        "cluster",
        _owner("run_id", "cluster_run", "cluster"),
        sa.Column("cluster", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "cluster", name=op.f("pk_cluster")),
    )
    op.create_table(
        "map",
        sa.Column("id", sa.Integer(), nullable=False),
        _owner("space_id", "space", "map"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_map")),
        sa.UniqueConstraint("space_id", "version", name=op.f("uq_map_space_id_version")),
    )
    op.create_table(
        "map_point",
        _owner("map_id", "map", "map_point"),
        _owner("item_id", "item", "map_point"),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("fitted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("map_id", "item_id", name=op.f("pk_map_point")),
    )
    op.create_index(op.f("ix_map_point_item_id"), "map_point", ["item_id"])


def _of_run() -> list[sa.Column[object]]:
    return [
        sa.Column("seed", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("filter", sa.Text(), nullable=False, server_default=""),
        sa.Column("items", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("items_sha256", sa.String(64), nullable=False, server_default=""),
        sa.Column("notes", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("curves", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("version", sa.String(32), nullable=False, server_default=""),
        sa.Column("seconds", sa.Double(), nullable=False, server_default="0"),
    ]


def _owner(column: str, table: str, of: str) -> sa.Column[int]:
    key = sa.ForeignKey(f"{table}.id", name=op.f(f"fk_{of}_{column}"), ondelete="CASCADE")
    return sa.Column(column, sa.Integer(), key, nullable=False)


def downgrade() -> None:
    op.drop_table("map_point")
    op.drop_table("map")
    op.drop_table("cluster")
    for column in _of_run():
        op.drop_column("cluster_run", column.name)
