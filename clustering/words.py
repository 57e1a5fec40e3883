"""Words that the reports of a cluster have more often than those of the rest.

Log-odds with an informative Dirichlet prior (Monroe, Colaresi, Quinn, Political Analysis 16 (2008)
372), of the reports that have a word, not of how often it stands in them. Words that may be a name,
a date or a number are left out: see `readable_words`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from clustering.columns import Column, aligned
from clustering.contract import NOISE

_TITLE = (
    r"dr|drs|prof|md|mr|mrs|ms|miss|sir|herr|herrn|frau|fr|hr|pat|patient|patientin|patientname|name"
    r"|vorname|nachname|surname|geb|geboren|born|dob|signed|dictated|reported|read|gez|gezeichnet"
    r"|befunder|referring|attending|radiologist|physician|oberarzt|oberärztin|chefarzt|chefärztin"
)
_CAPITAL = rf"(?!(?i:{_TITLE})\b)[A-ZÄÖÜ][\w'\u2019-]*"
_NAMED = re.compile(
    rf"\b(?i:{_TITLE})\b(?:\s+(?i:by|von|durch))?[.:,\s]{{0,4}}"
    rf"(?:(?i:med|univ|habil|dent|name|dr|prof)[.:\s]{{1,3}})*"
    rf"(?:{_CAPITAL}[.,]?[^\S\n]+){{0,3}}{_CAPITAL}"
)
_CARETS = re.compile(r"[\w'\u2019-]*\^[\w'\u2019^-]+")
_WORD = re.compile(r"(?<![\w@.:-])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w@^]|[.:-]\w)")
_BEGINS = re.compile(r"(?:^|[.!?:;\n(\[•*-])\s*$")
_BEFORE = 3
"""Letters before a word that are looked at for whether a sentence begins with it."""
_ACRONYM = 5
_LETTERS = 3
_FEWEST = 3
"""A word of fewer reports, or of fewer patients, is left out: it may be a name."""
_PRIOR = 0.1
"""What the prior is worth, as a share of all that is counted."""
_SURE = 1.96


@dataclass(frozen=True)
class Word:
    """A word that sets a cluster's reports apart.

    Attributes:
        cluster: its number.
        word: in small letters.
        score: its log-odds in standard deviations; 1.96 is the least that is told.
        reports: of the cluster that have it.
        share_inside, share_outside: of the reports in and outside of the cluster.
    """

    cluster: int
    word: str
    score: float
    reports: int
    share_inside: float
    share_outside: float


@cache
def stop_words() -> dict[str, frozenset[str]]:
    """The words of each group of ``stop_words.txt`` by the group's name."""
    groups: dict[str, frozenset[str]] = {}
    name = ""
    text = files("clustering").joinpath("stop_words.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("# "):
            name = line.removeprefix("# ")
            continue
        groups[name] = groups.get(name, frozenset()).union(line.split())
    return groups


def distinctive_words(
    labels: np.ndarray,
    texts: Column,
    *,
    patients: Column | None = None,
    count: int = 10,
    known: Iterable[str] = (),
) -> tuple[Word, ...]:
    """The most distinctive words of each cluster, by cluster, the highest score first.

    Args:
        labels: int64 ``(n,)``.
        texts: report of each item; the same report of several items in a cluster counts once.
        patients: whose each item is; a word of fewer than three patients is left out.
        count: words of each cluster, at most.
        known: words that are no names, of a vocabulary for instance.

    Raises:
        QueryError: the lengths differ.
    """
    aligned(len(labels), texts=texts, patients=patients)
    words, cluster = _reports(labels, texts, patients, frozenset(map(str.lower, known)))
    names = sorted(set().union(*words))
    numbers = sorted(set(cluster) - {NOISE})
    table = _counted(words, cluster, numbers, names)
    sizes, everywhere = Counter(cluster), table.sum(axis=0)
    found: list[Word] = []
    for number, own in zip(numbers, table, strict=False):
        scores, outside = _log_odds(own, everywhere), len(cluster) - sizes[number]
        sure = np.flatnonzero((scores >= _SURE) & (own >= _FEWEST))
        found += [
            Word(
                number,
                names[at],
                float(scores[at]),
                int(own[at]),
                float(own[at] / sizes[number]),
                float((everywhere[at] - own[at]) / max(outside, 1)),
            )
            for at in sure[np.argsort(-scores[sure], kind="stable")][:count]
        ]
    return tuple(found)


def readable_words(texts: Sequence[str], known: frozenset[str] = frozenset()) -> list[set[str]]:
    """The words of each text, small, without those that may be names, dates or numbers.

    Left out are stop words, words of fewer than three letters, months and days, whatever has a
    digit, what follows a title, a role or "name:", words joined by ``^``, and words that English
    texts mostly write with a capital within a sentence. German writes all nouns so: there a name
    without a title before it can only be told by its being rare.

    Args:
        texts: reports.
        known: words that are kept however they are written.
    """
    small, capital = Counter[str](), Counter[str]()
    every = []
    for text in texts:
        cleaned = _CARETS.sub(" ", _NAMED.sub(" ", text))
        found = list(_WORD.finditer(cleaned))
        english = _is_english(match.group().lower() for match in found)
        shouted = cleaned.isupper()
        own = set[str]()
        for match in found:
            word, name = match.group(), match.group().lower()
            own.add(name)
            before = cleaned[max(match.start() - _BEFORE, 0) : match.start()]
            if english and not shouted and not _BEGINS.search(before):
                (capital if _is_capital(word) else small)[name] += 1
        every.append(own)
    names = {word for word, times in capital.items() if times > small[word]} - known
    useless = names.union(*stop_words().values())
    return [{word for word in own - useless if len(word) >= _LETTERS} for own in every]


def _reports(
    labels: np.ndarray, texts: Column, patients: Column | None, known: frozenset[str]
) -> tuple[list[set[str]], list[int]]:
    """Words and cluster of each report that says anything, rare words left out."""
    owners = texts if patients is None else patients
    once = dict.fromkeys(
        (text, int(cluster), who or f"#{row}")
        for row, (text, cluster, who) in enumerate(zip(texts, labels, owners, strict=True))
        if text
    )
    words = readable_words([text for text, _, _ in once], known)
    whose = dict[str, set[str]]()
    for own, (_, _, who) in zip(words, once, strict=True):
        for word in own:
            whose.setdefault(word, set()).add(who)
    common = {word for word, some in whose.items() if len(some) >= _FEWEST}
    return [own & common for own in words], [cluster for _, cluster, _ in once]


def _counted(
    words: Sequence[set[str]], cluster: Sequence[int], numbers: Sequence[int], names: Sequence[str]
) -> np.ndarray:
    """How many reports have each word: a row for each cluster, and one for noise."""
    column = {name: place for place, name in enumerate(names)}
    row = {number: place for place, number in enumerate(numbers)}
    table = np.zeros((len(numbers) + 1, len(names)))
    for own, number in zip(words, cluster, strict=True):
        table[row.get(number, len(numbers)), [column[word] for word in own]] += 1
    return table


def _log_odds(inside: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """Monroe's z of each word, a cluster against the rest."""
    outside = everywhere - inside
    prior = everywhere * _PRIOR
    total = prior.sum()
    odds = [np.log((own + prior) / (own.sum() + total - own - prior)) for own in (inside, outside)]
    scores: np.ndarray = (odds[0] - odds[1]) / np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    return scores


def _is_english(words: Iterable[str]) -> bool:
    seen, stops = Counter(words), stop_words()
    english, german = (sum(seen[word] for word in stops[name]) for name in ("English", "German"))
    return english >= german


def _is_capital(word: str) -> bool:
    """As a name is written; short words in capitals are acronyms."""
    return word[0].isupper() and not (word.isupper() and len(word) <= _ACRONYM)
