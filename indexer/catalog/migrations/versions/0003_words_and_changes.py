"""Full text of each study for keyword search, and which studies changed since when."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CONTENT = {
    "study": ("patient_id", "study_instance_uid", "study_date", "age_years", "sex", "description",
              "split"),
    "series": ("study_id", "series_instance_uid", "modality", "body_part", "view", "laterality",
               "description", "manufacturer", "model"),
    "item": ("series_id", "kind", "role", "slices"),
    "label": ("study_id", "item_id", "name", "value"),
    "report": ("study_id", "text"),
}  # fmt: skip
"""What a filter or a word can see; a change of anything else is no change of the study."""
_STUDIES = {
    "study": "{row}.id",
    "series": "{row}.study_id",
    "item": "(SELECT study_id FROM series WHERE id = {row}.series_id)",
    "label": "{row}.study_id",
    "report": "{row}.study_id",
}


def upgrade() -> None:
    op.create_table(
        "study_change",
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_study_change")),
        sa.UniqueConstraint("study_id", name=op.f("uq_study_change_study_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "words_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("purge", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_words_state")),
    )
    for table, columns in _CONTENT.items():
        op.execute(_on_insert(table))
        op.execute(_on_update(table, columns))
        if table != "study":
            op.execute(_on_delete(table))
    op.execute(_ON_PATIENT)
    op.execute(_ON_REMOVAL)
    op.execute(_VIEW)
    op.execute(
        "CREATE VIRTUAL TABLE words USING fts5(description, report, label, tags, "
        "tokenize = 'unicode61 remove_diacritics 2')"
    )
    op.execute("INSERT INTO study_change (study_id) SELECT id FROM study ORDER BY id")
    op.execute(
        "INSERT INTO words (rowid, description, report, label, tags) "
        "SELECT study_id, description, report, label, tags FROM study_words ORDER BY study_id"
    )
    op.execute(
        "INSERT INTO words_state (id, revision, purge) "
        "SELECT 1, coalesce(max(revision), 0), 0 FROM study_change"
    )


def _bumped(study: str) -> str:
    """Give a study the newest revision, if there still is such a study.

    In two steps, as the conflict clause of the statement that fires a trigger would override that
    of an INSERT OR REPLACE in it.
    """
    return (  # only names from this file go in
        f"DELETE FROM study_change WHERE study_id = {study};"  # noqa: S608
        f"INSERT INTO study_change (study_id) SELECT id FROM study WHERE id = {study};"
    )


def _on_insert(table: str) -> str:
    study = _STUDIES[table].format(row="NEW")
    return f"CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN {_bumped(study)} END"


def _on_delete(table: str) -> str:
    study = _STUDIES[table].format(row="OLD")
    return f"CREATE TRIGGER {table}_removed AFTER DELETE ON {table} BEGIN {_bumped(study)} END"


def _on_update(table: str, columns: tuple[str, ...]) -> str:
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
    steps = _bumped(_STUDIES[table].format(row="NEW"))
    if table != "study":
        steps = _bumped(_STUDIES[table].format(row="OLD")) + steps
    return (
        f"CREATE TRIGGER {table}_changed AFTER UPDATE OF {', '.join(columns)} ON {table} "
        f"WHEN {differs} BEGIN {steps} END"
    )


_ON_PATIENT = """
CREATE TRIGGER patient_changed AFTER UPDATE OF pseudonym, shared ON patient
WHEN OLD.pseudonym IS NOT NEW.pseudonym OR OLD.shared IS NOT NEW.shared
BEGIN
    DELETE FROM study_change WHERE study_id IN (SELECT id FROM study WHERE patient_id = NEW.id);
    INSERT INTO study_change (study_id) SELECT id FROM study WHERE patient_id = NEW.id;
END
"""
# A removal uses up a revision too, so that the counter alone tells whether anything has changed.
# The full-text index keeps what it was told until it is merged, hence the purge.
_ON_REMOVAL = """
CREATE TRIGGER study_removed AFTER DELETE ON study BEGIN
    DELETE FROM study_change WHERE study_id = OLD.id;
    INSERT INTO study_change (study_id) VALUES (OLD.id);
    DELETE FROM study_change WHERE study_id = OLD.id;
    DELETE FROM words WHERE rowid = OLD.id;
    UPDATE words_state SET purge = 1 WHERE purge = 0;
END
"""
_VIEW = """
CREATE VIEW study_words AS SELECT
    study.id AS study_id,
    (SELECT coalesce(group_concat(said, char(10)), '') FROM (
        SELECT study.description AS said WHERE study.description <> ''
        UNION SELECT description FROM series WHERE study_id = study.id AND description <> ''
    )) AS description,
    (SELECT coalesce(group_concat(text, char(10)), '') FROM (
        SELECT text FROM report WHERE study_id = study.id ORDER BY id
    )) AS report,
    (SELECT coalesce(group_concat(said, char(10)), '') FROM (
        SELECT DISTINCT name || ' ' || value AS said FROM label
        WHERE study_id = study.id ORDER BY said
    )) AS label,
    (SELECT coalesce(group_concat(said, char(10)), '') FROM (
        SELECT DISTINCT modality || ' ' || body_part || ' ' || "view" || ' ' || laterality
            || ' ' || manufacturer || ' ' || model AS said
        FROM series WHERE study_id = study.id ORDER BY said
    )) AS tags
FROM study
"""


def downgrade() -> None:
    op.execute("DROP TRIGGER patient_changed")
    op.execute("DROP TRIGGER study_removed")
    for table in _CONTENT:
        op.execute(f"DROP TRIGGER {table}_added")
        op.execute(f"DROP TRIGGER {table}_changed")
        if table != "study":
            op.execute(f"DROP TRIGGER {table}_removed")
    op.execute("DROP VIEW study_words")
    op.execute("DROP TABLE words")
    op.drop_table("words_state")
    op.drop_table("study_change")
