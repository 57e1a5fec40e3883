"""What findings said of the subjects of queues, and the labels that verdicts gave."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NEW = {"review": ("finding", "labels"), "review_event": ("labels", "replaced")}


def upgrade() -> None:
    for table, columns in _NEW.items():
        for name in columns:
            op.add_column(table, sa.Column(name, sa.JSON(), nullable=True))


def downgrade() -> None:
    for table, columns in _NEW.items():
        for name in columns:
            op.drop_column(table, name)
