"""Keys of programs, and an audit whose rows are chained and cannot be changed."""

import sqlalchemy as sa
from alembic import op

from indexer.catalog.audit import GENESIS, row_hash

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_AUDIT = sa.table(
    "audit",
    sa.column("id", sa.Integer()),
    sa.column("at", sa.DateTime()),
    sa.column("actor", sa.String()),
    sa.column("action", sa.String()),
    sa.column("subject", sa.JSON()),
    sa.column("patients", sa.JSON()),
    sa.column("outcome", sa.String()),
    sa.column("origin", sa.String()),
    sa.column("request_id", sa.String()),
    sa.column("previous_hash", sa.String()),
    sa.column("hash", sa.String()),
)
_NEXT = """
    CREATE TRIGGER audit_only_grows BEFORE INSERT ON audit
    WHEN NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM audit)
        OR NEW.previous_hash IS NOT
            coalesce((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), '{genesis}')
    BEGIN SELECT RAISE(ABORT, 'a row of the audit follows the last one'); END
"""
"""Also against INSERT OR REPLACE, which fires no trigger for the row that it deletes."""


def upgrade() -> None:
    for column in _of_audit():
        op.add_column("audit", column)
    _chain(op.get_bind())
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{event.lower()} BEFORE {event} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit can only grow'); END"
        )
    op.execute(_NEXT.format(genesis=GENESIS))
    op.create_table(
        "api_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prefix", sa.String(12), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("libraries", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_on", sa.String(10), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )


def _of_audit() -> list[sa.Column[object]]:
    return [
        sa.Column("patients", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("outcome", sa.String(16), nullable=False, server_default="success"),
        sa.Column("origin", sa.String(128), nullable=False, server_default=""),
        sa.Column("request_id", sa.String(64), nullable=False, server_default=""),
        sa.Column("previous_hash", sa.String(64), nullable=False, server_default=""),
        sa.Column("hash", sa.String(64), nullable=False, server_default=""),
    ]


def _chain(connection: sa.Connection) -> None:
    """Number the rows there are from 1, and chain them."""
    previous = GENESIS
    rows = connection.execute(sa.select(_AUDIT).order_by(_AUDIT.c.id)).mappings().all()
    for number, row in enumerate(rows, 1):
        columns = {**row, "id": number, "previous_hash": previous}
        columns["hash"] = previous = row_hash(columns)
        connection.execute(sa.update(_AUDIT).where(_AUDIT.c.id == row["id"]).values(columns))


def downgrade() -> None:
    op.drop_table("api_key")
    for name in ("only_grows", "no_update", "no_delete"):
        op.execute(f"DROP TRIGGER audit_{name}")
    for column in _of_audit():
        op.drop_column("audit", column.name)
