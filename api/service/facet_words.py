"""Words of reports that studies can be narrowed by, and how many studies have each.

A word is offered only if it says something of a study and of nobody: reports are kept as they were
written, names and all. See `ReportWords` for what is left out.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select, text

from clustering.words import readable_words, stop_words
from indexer.catalog.report_words import report_terms, studies_with_terms
from indexer.catalog.tables import Report, StudyChange
from indexer.dicom.identity import fingerprint
from indexer.types import ItemIds

FEWEST = 3
"""A word of the reports of fewer patients is not offered."""
NEARLY_EVERY = 0.8
"""Nor is one that more than this share of the studies with a report have."""
_LETTERS = 3
_MOST_TERMS = 20_000
_SAMPLE = 5
"""Reports that are read to see how a word is written."""
_AT_ONCE = 32
_PART = 500
_NAMES = text("SELECT DISTINCT value FROM patient, json_each(patient.fingerprint, '$.names')")


@dataclass(frozen=True)
class CountedWords:
    """Words, and how many studies have each; how many words and studies are not among them."""

    values: tuple[tuple[str, int], ...]
    more: int
    without_report: int


class ReportWords:
    """The words of all reports.

    Left out are stop words, whatever has a digit, words of fewer than three letters, words that
    nearly every report has, and what may be a name: words of the reports of fewer than three
    patients, words of a patient's name (known by its keyed trace alone), and words that are mostly
    written as names are, see `clustering.words.readable_words`.
    """

    def __init__(self, db: Connection, key: bytes, studies: ItemIds, patients: ItemIds) -> None:
        """Read them.

        Args:
            db: a view of the catalog.
            key: of the library, by which traces of names are made.
            studies: row numbers of those that can be asked of, ascending.
            patients: row number of each study's patient.
        """
        self._key, self._studies, self._patients = key, studies, patients
        self._said = _said(db)
        self._reported = np.isin(studies, list(self._said))
        self._terms, code, self._place = self._read(db)
        self._first = np.searchsorted(code, np.arange(len(self._terms) + 1))
        self._traces = _traces(db)
        self._spelled: dict[int, str] = {}
        """Of each word that was looked at how it is written, or "" if it is not offered."""

    def still_hold(self, db: Connection, since: int, studies: ItemIds, patients: ItemIds) -> bool:
        """Whether no report came, went or changed after a revision, nor whose studies are."""
        same = np.array_equal(studies, self._studies), np.array_equal(patients, self._patients)
        if not all(same) or _traces(db) != self._traces:
            return False
        changed = db.execute(select(StudyChange.study_id).where(StudyChange.revision > since))
        now = _said(db, since)
        return all(now.get(study) == self._said.get(study) for study in changed.scalars())

    def count(self, db: Connection, passing: np.ndarray, most: int) -> CountedWords:
        """The most frequent words of some studies.

        Args:
            db: a view in which these words still hold.
            passing: mask of the studies.
            most: words, at most.
        """
        counts = np.zeros(0, np.int32)
        if self._terms:
            counts = np.add.reduceat(passing[self._place], self._first[:-1], dtype=np.int32)
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].tolist()
        offered: list[int] = []
        refused = 0
        for start in range(0, len(order), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            self._look_at(db, [code for code in part if code not in self._spelled])
            good = [code for code in part if self._spelled[code]]
            refused += len(part) - len(good)
            offered += good
            if len(offered) >= most:
                break
        told = tuple((self._spelled[code], int(counts[code])) for code in offered[:most])
        more = len(order) - refused - len(told)
        return CountedWords(told, more, int(np.count_nonzero(passing & ~self._reported)))

    def _read(self, db: Connection) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Words; and in pairs, word by word, the number of one and the place of a study with it."""
        useless = frozenset(_folded(word) for some in stop_words().values() for word in some)
        found = [
            (term, studies)
            for term, studies in report_terms(db)
            if studies >= FEWEST and _says_something(term, useless)
        ]
        found.sort(key=lambda pair: -pair[1])
        terms = [term for term, _ in found[:_MOST_TERMS]]
        sizes, studies = studies_with_terms(db, terms)
        code = np.repeat(np.arange(len(terms), dtype=np.int32), sizes)
        place = _places(self._studies, studies)
        code, place = code[place >= 0], place[place >= 0]
        good = np.bincount(code, minlength=len(terms)) <= NEARLY_EVERY * self._reported.sum()
        good &= _of_several(code, self._patients[place], len(terms))
        kept = good[code]
        number = (np.cumsum(good) - 1).astype(np.int32)
        return [terms[at] for at in np.flatnonzero(good)], number[code[kept]], place[kept]

    def _look_at(self, db: Connection, codes: Sequence[int]) -> None:
        """Find out of some words whether they are offered, and how they are written."""
        asked = []
        for code in codes:
            self._spelled[code] = ""
            if self._traces.isdisjoint(fingerprint(self._key, "", "", self._terms[code]).names):
                asked.append(code)
        samples = self._samples(asked)
        said = _readable(db, sorted(set[int]().union(*samples)))
        for code, sample in zip(asked, samples, strict=True):
            term = self._terms[code]
            spelled = [said[study][term] for study in sample if term in said[study]]
            if 2 * len(spelled) > len(sample):
                self._spelled[code] = Counter(spelled).most_common(1)[0][0]

    def _samples(self, codes: Sequence[int]) -> list[list[int]]:
        """Studies with each word, the same ones for many words."""
        taken = np.zeros(len(self._studies), bool)
        for code in codes:
            own = self._own(code)
            free = own[~taken[own]]
            wanted = min(_SAMPLE - (len(own) - len(free)), len(free))
            taken[free[np.linspace(0, len(free) - 1, max(wanted, 0)).astype(int)]] = True
        return [self._studies[own[taken[own]]].tolist() for own in map(self._own, codes)]

    def _own(self, code: int) -> np.ndarray:
        """Places of the studies that have a word."""
        return self._place[self._first[code] : self._first[code + 1]]


def _traces(db: Connection) -> frozenset[str]:
    """Keyed traces of the words of all patients' names."""
    return frozenset(db.execute(_NAMES).scalars())


def _says_something(term: str, useless: frozenset[str]) -> bool:
    return len(term) >= _LETTERS and term.isalpha() and term not in useless


def _places(studies: ItemIds, wanted: ItemIds) -> np.ndarray:
    """Where the wanted ones are among the studies, or -1."""
    place = np.full(max(studies.max(initial=0), wanted.max(initial=0)) + 1, -1, np.int32)
    place[studies] = np.arange(len(studies))
    found: np.ndarray = place[wanted]
    return found


def _of_several(code: np.ndarray, patient: ItemIds, words: int) -> np.ndarray:
    """Which words, whose pairs follow each other, are of at least `FEWEST` different patients."""
    left = np.ones(len(code), bool)
    for _ in range(FEWEST - 1):
        at = np.flatnonzero(left)
        at = at[np.flatnonzero(np.diff(code[at], prepend=-1))]
        one = np.full(words, -1)
        one[code[at]] = patient[at]
        left &= patient != one[code]
    return np.bincount(code[left], minlength=words) > 0


def _said(db: Connection, since: int = -1) -> dict[int, int]:
    """Of each study that changed after a revision and has reports what tells them from others."""
    query = select(Report.study_id, Report.text).order_by(Report.study_id, Report.id)
    if since >= 0:
        changed = select(StudyChange.study_id).where(StudyChange.revision > since)
        query = query.where(Report.study_id.in_(changed))
    told: dict[int, int] = {}
    for study, words in db.execute(query):
        told[study] = hash((told.get(study), words))
    return told


def _readable(db: Connection, studies: Sequence[int]) -> dict[int, dict[str, str]]:
    """Of the reports of studies the words that are no names: folded, and as they are written."""
    texts: dict[int, str] = {}
    for start in range(0, len(studies), _PART):
        some = Report.study_id.in_(studies[start : start + _PART])
        for study, said in db.execute(select(Report.study_id, Report.text).where(some)):
            texts[study] = f"{texts.get(study, '')}\n{said}"
    words = readable_words(list(texts.values()))
    return {
        study: {_folded(part): part for word in own for part in word.split("-")}
        for study, own in zip(texts, words, strict=True)
    }


def _folded(word: str) -> str:
    """As the index spells it."""
    parts = unicodedata.normalize("NFD", word.lower())
    return "".join(each for each in parts if not unicodedata.combining(each))
