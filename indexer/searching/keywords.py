"""Keyword search over descriptions, reports, labels and tags of studies (SQLite FTS5).

Words are compared without case and diacritics (``Röntgen`` is ``rontgen``, not ``roentgen``) and as
they are written: there is no stemming, as one for English would harm German and the other way
round; ``effus*`` finds what begins so. Negation is not understood: "no effusion" has the word
``effusion``, in a report as in a query. ``-effusion`` leaves out every study that has the word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select, text

from indexer.catalog.report_words import is_letter
from indexer.catalog.tables import Item, Series
from indexer.errors import QueryError
from indexer.types import ItemIds

MOST_WORDS = 64
"""Words of a query that count; those beyond are left out, and `keyword_note` says so."""
_PART = 500
_TERM = re.compile(
    r'(?P<no>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+?)(?=\*?(?:[\s"]|$)))(?P<prefix>\*?)'
)
_RANKED = text("""
    SELECT rowid AS study_id, bm25(words, 2.0, 1.0, 2.0, 0.5) AS cost FROM words
    WHERE words MATCH :query ORDER BY cost, rowid
""")
"""A word counts double in descriptions and labels, half in modality, body part, view and maker."""
_SNIPPET = text("""
    SELECT snippet(words, -1, '', '', '…', 16) FROM words
    WHERE words MATCH :query AND rowid = :study
""")


@dataclass(frozen=True)
class KeywordHit:
    """A study that has the words.

    Attributes:
        study_id: its row number.
        score: BM25, higher is better; comparable only among hits of the same ``all_words``.
        all_words: whether it has every word, not only some.
    """

    study_id: int
    score: float
    all_words: bool


def keyword_ranks(
    db: Connection,
    words: str,
    limit: int,
    allowed: ItemIds | None = None,
    excluded_studies: Collection[int] = (),
) -> list[KeywordHit]:
    """Studies that have the words: first those with all of them, then those with any.

    Each part is in the order of BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75 as in FTS5),
    ties by row number. Every study with the word is scored, so a word that most studies have costs
    time in proportion.

    Args:
        db: a view of the catalog.
        words: words, ``"phrases in quotes"``, ``begin*``, and ``-word`` for what must not be there.
        limit: how many at most, from one.
        allowed: items, ascending; a study counts if it has one of them. None allows every study,
            also one without any item.
        excluded_studies: row numbers of studies to leave out.

    Raises:
        QueryError: there is no word to look for.
    """
    if limit < 1:
        raise ValueError(f"limit is at least 1, not {limit}")
    wanted, unwanted = _terms(words)
    if not wanted:
        raise QueryError("name at least one word to look for, of letters or digits")
    taken = set(excluded_studies)
    hits: list[KeywordHit] = []
    joined = [(" AND ", True), (" OR ", False)] if len(wanted) > 1 else [(" AND ", True)]
    for joint, all_words in joined:
        query = _excluding(joint.join(wanted), unwanted)
        for study, cost in _passing(db, query, allowed, taken):
            if len(hits) == limit:
                return hits
            hits.append(KeywordHit(study, -cost, all_words))
            taken.add(study)
    return hits


def keyword_snippets(db: Connection, words: str, studies: Sequence[int]) -> dict[int, str]:
    """About 16 words around the best match in each of a few studies, by row number."""
    wanted, unwanted = _terms(words)
    found = {}
    for study in studies if wanted else ():
        asked = {"query": _excluding(" OR ".join(wanted), unwanted), "study": study}
        snippet = db.execute(_SNIPPET, asked).scalar()
        if snippet is not None:
            found[study] = " ".join(snippet.split())
    return found


def keyword_note(words: str) -> str:
    """What must be said of a query: which of its words do not count; "" if all do."""
    wanted, _ = _all_terms(words)
    if len(wanted) <= MOST_WORDS:
        return ""
    return f"of {len(wanted)} different words the first {MOST_WORDS} count"


def _terms(words: str) -> tuple[list[str], list[str]]:
    """What to look for and what must not be there, as strings of FTS5's language."""
    wanted, unwanted = _all_terms(words)
    return wanted[:MOST_WORDS], unwanted[:MOST_WORDS]


def _all_terms(words: str) -> tuple[list[str], list[str]]:
    # Half of a surrogate pair cannot be stored, and a NUL would end the query.
    readable = words.encode("utf-8", "replace").decode().replace("\0", " ")
    wanted: dict[str, None] = {}
    unwanted: dict[str, None] = {}
    for match in _TERM.finditer(readable):
        term = match["phrase"] if match["phrase"] is not None else match["word"]
        if any(map(is_letter, term)):
            quoted = f'"{term.lower()}"{match["prefix"]}'
            (unwanted if match["no"] else wanted)[quoted] = None
    return list(wanted), list(unwanted)


def _excluding(query: str, unwanted: Sequence[str]) -> str:
    return f"({query}) NOT ({' OR '.join(unwanted)})" if unwanted else query


def _passing(
    db: Connection, query: str, allowed: ItemIds | None, taken: Collection[int]
) -> Iterator[tuple[int, float]]:
    """Studies that match, best first, with an allowed item and not taken yet."""
    for rows in db.execute(_RANKED, {"query": query}).partitions(_PART):
        left = [(row.study_id, row.cost) for row in rows if row.study_id not in taken]
        if allowed is not None and left:
            held = _with_items(db, [study for study, _ in left], allowed)
            left = [pair for pair in left if pair[0] in held]
        yield from left


def _with_items(db: Connection, studies: Sequence[int], allowed: ItemIds) -> set[int]:
    """Those of some studies that have an allowed item."""
    rows = db.execute(
        select(Series.study_id, Item.id).join(Item).where(Series.study_id.in_(studies))
    ).all()
    found = np.array(rows, np.int64).reshape(-1, 2)
    places = np.searchsorted(allowed, found[:, 1])
    inside = np.append(allowed, -1)[places] == found[:, 1]
    return set(found[inside, 0].tolist())
