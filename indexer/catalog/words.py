"""Keeping the full text of studies in step with the tables it comes from.

The view ``study_words`` says what the words of a study are, the FTS5 table ``words`` holds them.
Triggers note which studies a transaction touched (``study_change``), and `refresh_words` brings
those up to date before it commits: one update a study, however many rows were written. What is
noted stays noted, so a writer that skips this only leaves work for the next one.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update
from sqlalchemy.exc import DatabaseError

from indexer.catalog.tables import StudyChange, WordsState

_CHANGED = text("""
    SELECT study_words.*, words.rowid AS held, words.description AS old_description,
        words.report AS old_report, words.label AS old_label, words.tags AS old_tags
    FROM study_words LEFT JOIN words ON words.rowid = study_words.study_id
    WHERE study_words.study_id IN (SELECT study_id FROM study_change WHERE revision > :since)
""")
_INSERT = text("""
    INSERT INTO words (rowid, description, report, label, tags)
    VALUES (:study_id, :description, :report, :label, :tags)
""")
_UPDATE = text("""
    UPDATE words SET description = :description, report = :report, label = :label, tags = :tags
    WHERE rowid = :study_id
""")
_WRONG = text("""
    SELECT (
        SELECT count(*) FROM study_words AS said LEFT JOIN words ON words.rowid = said.study_id
        WHERE words.description IS NOT said.description OR words.report IS NOT said.report
            OR words.label IS NOT said.label OR words.tags IS NOT said.tags
    ) + (SELECT count(*) FROM words WHERE rowid NOT IN (SELECT id FROM study))
""")
_COLUMNS = ("description", "report", "label", "tags")
_WORD = re.compile(r"\w+")


def refresh_words(db: Connection) -> None:
    """Bring the words of all studies that changed since the last time up to date."""
    newest = db.execute(select(func.max(StudyChange.revision))).scalar() or 0
    since = db.execute(select(WordsState.revision)).scalar_one()
    if newest <= since:
        return
    new, changed, vanished = [], [], False
    for row in db.execute(_CHANGED, {"since": since}):
        values = {name: getattr(row, name) for name in ("study_id", *_COLUMNS)}
        if row.held is None:
            new.append(values)
        elif any(values[name] != getattr(row, f"old_{name}") for name in _COLUMNS):
            changed.append(values)
            vanished = vanished or _loses_words(row)
    if new:
        db.execute(_INSERT, new)
    if changed:
        db.execute(_UPDATE, changed)
    values = {"revision": newest} | ({"purge": True} if vanished else {})
    db.execute(update(WordsState).values(values))


def _loses_words(row: Row[Any]) -> bool:
    """Whether a study no longer says something that it said before."""
    old, new = (
        {word for name in _COLUMNS for word in _WORD.findall(getattr(row, prefix + name))}
        for prefix in ("old_", "")
    )
    return not old <= new


def purge_words(db: Connection) -> None:
    """Take words that are no longer said out of the index itself, if there are any.

    FTS5 marks a deletion and keeps the words until its parts are merged. Its own option
    ``secure-delete`` came with SQLite 3.42 and makes tables that older ones cannot read, so the
    parts are merged here; with ``PRAGMA secure_delete`` what is freed is overwritten.
    """
    refresh_words(db)
    if db.execute(select(WordsState.purge)).scalar_one():
        db.exec_driver_sql("INSERT INTO words (words) VALUES ('optimize')")
        db.execute(update(WordsState).values(purge=False))


def words_out_of_step(db: Connection, *, thorough: bool = False) -> list[str]:
    """What is wrong with the words, in sentences; nothing if all is well.

    ``thorough`` also compares the index with the text beside it. SQLite counts that as writing, so
    it needs a transaction.
    """
    said = []
    wrong = db.execute(_WRONG).scalar_one()
    if wrong:
        said.append(f"{wrong} studies cannot be found by their words, or by words of another time")
    if db.execute(select(WordsState.purge)).scalar_one():
        said.append("words that were removed can still be read in the file")
    if thorough:
        try:
            db.exec_driver_sql("INSERT INTO words (words) VALUES ('integrity-check')")
        except DatabaseError:
            said.append("the index of words does not equal the text")
    return said


def rebuild_words(db: Connection) -> None:
    """Make the words of all studies anew."""
    db.exec_driver_sql("INSERT INTO words (words) VALUES ('rebuild')")
    db.exec_driver_sql("DELETE FROM words")
    db.exec_driver_sql(
        "INSERT INTO words (rowid, description, report, label, tags) "
        "SELECT study_id, description, report, label, tags FROM study_words ORDER BY study_id"
    )
    newest = select(func.coalesce(func.max(StudyChange.revision), 0)).scalar_subquery()
    db.execute(update(WordsState).values(revision=newest, purge=True))
    purge_words(db)
