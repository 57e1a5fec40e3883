"""Words of reports, looked up in the full-text table ``words`` and never in the texts themselves.

A word is what FTS5's tokenizer takes for one, without case and diacritics: ``Röntgen`` is
``rontgen``. There is no stemming, and negation is not understood.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, Integer, Select, column, literal_column, select, table, text

from indexer.types import ItemIds

_WORDS = table("words", column("rowid", Integer))
_COUNTS = text("SELECT term, doc FROM temp.report_terms WHERE col = 'report' ORDER BY term")

# One statement for all words, and each list of numbers as one text: a tenth of the time of rows.
_STUDIES = text("""
    SELECT (SELECT group_concat(rowid) FROM words WHERE words MATCH 'report : "' || value || '"')
    FROM json_each(:terms) ORDER BY key
""")


def is_letter(character: str) -> bool:
    """Whether FTS5 takes a character for part of a word."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def is_one_word(said: str) -> bool:
    """Whether FTS5 takes all of a text for one word; marks belong to the letter before them."""
    plain = [each for each in said if not unicodedata.category(each).startswith("M")]
    return bool(plain) and all(map(is_letter, plain))


def studies_saying(words: Sequence[str]) -> Select[int]:
    """Row numbers of the studies whose reports have any of some words."""
    quoted = ('"' + word.replace('"', '""') + '"' for word in words)
    query = f"report : ({' OR '.join(quoted)})"
    return select(_WORDS.c.rowid).where(literal_column("words").bool_op("MATCH")(query))


def report_terms(db: Connection) -> list[tuple[str, int]]:
    """Every word of the reports as the index spells it, ascending; how many studies have it."""
    # Of the view's own connection, and gone with its transaction.
    db.exec_driver_sql(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.report_terms USING fts5vocab(main, words, col)"
    )
    return [(term, studies) for term, studies in db.execute(_COUNTS)]


def studies_with_terms(db: Connection, terms: Sequence[str]) -> tuple[ItemIds, ItemIds]:
    """How many studies have each of some words of `report_terms`, and which, word by word."""
    said = db.execute(_STUDIES, {"terms": json.dumps(list(terms))}).scalars().all()
    found = [numbers for numbers in said if numbers]
    sizes = np.array([numbers.count(",") + 1 if numbers else 0 for numbers in said], np.int64)
    return sizes, np.fromstring(",".join(found), np.int64, sep=",")
