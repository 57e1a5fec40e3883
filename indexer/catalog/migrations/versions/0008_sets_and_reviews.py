"""What people keep and decide: saved sets, and reviews with their history."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "saved_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("query", sa.JSON(), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_set")),
        sa.UniqueConstraint("name", name=op.f("uq_saved_set_name")),
    )
    op.create_table(
        "saved_set_item",
        _of("saved_set_item", "set_id", "saved_set.id"),
        _of("saved_set_item", "item_id", "item.id"),
        sa.PrimaryKeyConstraint("set_id", "item_id", name=op.f("pk_saved_set_item")),
    )
    op.create_index(op.f("ix_saved_set_item_item_id"), "saved_set_item", ["item_id"])
    _reviews()


def _reviews() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(160), nullable=False),
        sa.Column("subject", sa.String(140), nullable=False),
        _of("review", "study_id", "study.id"),
        _of("review", "other_study_id", "study.id", nullable=True),
        sa.Column("verdict", sa.String(8), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stands", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(128), nullable=False),
        sa.Column("claimed_until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("queue", "subject", name=op.f("uq_review_queue_subject")),
    )
    op.create_index("ix_review_queue_verdict", "review", ["queue", "verdict"])
    for column in ("study_id", "other_study_id"):
        op.create_index(op.f(f"ix_review_{column}"), "review", [column])
    op.create_table(
        "review_event",
        _of("review_event", "review_id", "review.id"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("undo", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(8), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("beneath", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("review_id", "number", name=op.f("pk_review_event")),
    )
    op.execute(
        "CREATE TRIGGER review_event_no_update BEFORE UPDATE ON review_event "
        "BEGIN SELECT RAISE(ABORT, 'the history of a review can only grow'); END"
    )
    # With the review itself, when its study is removed, its history goes too.
    op.execute(
        "CREATE TRIGGER review_event_no_delete BEFORE DELETE ON review_event "
        "WHEN EXISTS (SELECT 1 FROM review WHERE id = OLD.review_id) "
        "BEGIN SELECT RAISE(ABORT, 'the history of a review can only grow'); END"
    )


def _of(table: str, column: str, target: str, *, nullable: bool = False) -> sa.Column[int]:
    name = op.f(f"fk_{table}_{column}")
    return sa.Column(
        column,
        sa.Integer(),
        sa.ForeignKey(target, name=name, ondelete="CASCADE"),
        nullable=nullable,
    )


def downgrade() -> None:
    for table in ("review_event", "review", "saved_set_item", "saved_set"):
        op.drop_table(table)
