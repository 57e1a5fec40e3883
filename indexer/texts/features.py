"""Texts as numbers, for a bridge: by the words of the reports, or by the text tower of an encoder.

Both kinds are learnt from texts and then give rows for others. Pure: texts in, arrays out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32

from indexer.errors import MissingExtraError, QueryError

_DIMENSIONS = 128
_WORDS = r"(?u)\b[^\W\d][\w-]+\b"
_FEWEST_REPORTS = 3
"""A word of fewer reports is left out: it may be a name, and says little about images."""
_ENDS = re.compile(r"(?<=[.!?;])\s+|\s*\n\s*")
_LETTERS = re.compile(r"[^\W\d_]{2}")

Matrix = Float32[np.ndarray, "rows columns"]
Row = Float32[np.ndarray, " columns"]
Arrays = Mapping[str, np.ndarray]


class Features(Protocol):
    """Learnt from texts; gives a row for any text.

    Attributes:
        tower: name of the encoder whose text tower it is, "" for words counted.
        weights: digest of the tower's weights, "".
    """

    @property
    def tower(self) -> str:
        """Name of the encoder whose text tower it is, "" for words counted."""

    @property
    def weights(self) -> str:
        """Digest of the tower's weights, "" without a tower."""

    def rows(self, texts: Sequence[str]) -> Matrix:
        """A row for each text; zeros for one of which nothing is known."""

    def note(self, text: str) -> str:
        """What of a text is not looked at, in a sentence; "" if all of it is."""

    def arrays(self) -> Arrays:
        """What a file has to hold of it."""


Learn = Callable[[Sequence[str], int], Features]
"""From texts and a seed to features."""


class Tower(Protocol):
    """A text tower that is ready, with its name and the digest of its weights."""

    @property
    def name(self) -> str:
        """Of the encoder."""

    @property
    def weights(self) -> str:
        """SHA-256 of its weights."""

    def rows(self, texts: Sequence[str]) -> Matrix:
        """Unit rows, one for each text."""

    def note(self, text: str) -> str:
        """What is done with a text that is longer than the tower takes; "" for one that is not."""


@dataclass(frozen=True)
class TfidfFeatures:
    """TF-IDF of the words of reports, turned onto their first singular vectors.

    Attributes:
        vocabulary: words, in the order of the columns.
        idf: inverse document frequency of each word.
        turn: from words to features, ``(words, features)``.
    """

    vocabulary: tuple[str, ...]
    idf: Row
    turn: Matrix
    tower: str = ""
    weights: str = ""

    @classmethod
    def learn(cls, texts: Sequence[str], seed: int) -> TfidfFeatures:
        """Learn the words of at least three texts.

        Raises:
            QueryError: there are none that tell texts apart.
        """
        learn = _Learn()
        words = learn.TfidfVectorizer(
            sublinear_tf=True, token_pattern=_WORDS, min_df=_FEWEST_REPORTS
        )
        try:
            counted = words.fit_transform(texts)
        except ValueError as error:  # no word is left
            raise QueryError("the reports have no words in common to tell them apart") from error
        size = min(_DIMENSIONS, *(length - 1 for length in counted.shape))
        if size < 1:
            raise QueryError("the reports have no words in common to tell them apart")
        narrow = learn.TruncatedSVD(size, random_state=seed).fit(counted)
        return cls(
            vocabulary=tuple(str(word) for word in words.get_feature_names_out()),
            idf=words.idf_.astype(np.float32),
            turn=narrow.components_.T.astype(np.float32),
        )

    @classmethod
    def of(cls, arrays: Arrays) -> TfidfFeatures:
        """From what `arrays` gave."""
        vocabulary = tuple(str(arrays["vocabulary"]).split("\n"))
        return cls(vocabulary, arrays["idf"], arrays["turn"])

    def arrays(self) -> Arrays:
        """Words joined by line ends, their weights, and the turn."""
        joined = np.array("\n".join(self.vocabulary))
        return {"vocabulary": joined, "idf": self.idf, "turn": self.turn}

    def rows(self, texts: Sequence[str]) -> Matrix:
        """Rows of at most unit length; zeros for a text without any word of the vocabulary."""
        if not texts:
            return np.empty((0, self.turn.shape[1]), np.float32)
        counter = _Learn().CountVectorizer(vocabulary=list(self.vocabulary), token_pattern=_WORDS)
        counted = counter.transform(texts).astype(np.float32)
        counted.data = 1 + np.log(counted.data)
        weighted = counted.multiply(self.idf).tocsr()
        lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1), np.float32))
        turned = np.asarray(weighted @ self.turn, np.float32)
        rows: Matrix = np.divide(turned, lengths, out=np.zeros_like(turned), where=lengths > 0)
        return rows

    def note(self, text: str) -> str:
        """Which words are unknown; the first five of them."""
        known = set(self.vocabulary)
        words = dict.fromkeys(re.findall(_WORDS, text.lower()))
        unknown = [word[:30] for word in words if word not in known]
        if not unknown:
            return ""
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        return f"not known from the reports: {', '.join(unknown[:5])}{more}"


@dataclass(frozen=True)
class TowerFeatures:
    """Unit rows of a text tower, less what all reports have in common.

    Attributes:
        source: the tower.
        middle: mean of the rows that were learnt from: a tower's texts lie close together, and what
            tells them apart is small beside it.
    """

    source: Tower
    middle: Row

    @classmethod
    def learn(cls, source: Tower, texts: Sequence[str]) -> TowerFeatures:
        """Learn the mean.

        Raises:
            QueryError: all texts are alike to the tower.
        """
        rows = source.rows(texts)
        middle = rows.mean(axis=0)
        if np.abs(rows - middle).max() < 1e-3:
            raise QueryError("the reports have no words in common to tell them apart")
        return cls(source, middle)

    @property
    def tower(self) -> str:
        """Name of the tower's encoder."""
        return self.source.name

    @property
    def weights(self) -> str:
        """Digest of the tower's weights."""
        return self.source.weights

    def arrays(self) -> Arrays:
        """The mean."""
        return {"tower_middle": self.middle}

    def rows(self, texts: Sequence[str]) -> Matrix:
        """Rows of unit length; zeros for the text that is the mean itself."""
        rows: Matrix = unit(self.source.rows(texts) - self.middle)
        return rows

    def note(self, text: str) -> str:
        """What is done with a long text."""
        return self.source.note(text)


def sentences(text: str) -> list[str]:
    """The sentences of a text: up to a full stop, question mark, semicolon or line end.

    What has no word of two letters, such as the number of a list, is left out.
    """
    parts = (" ".join(part.split()) for part in _ENDS.split(text))
    return [part for part in parts if _LETTERS.search(part)]


def unit(rows: Matrix) -> Matrix:
    """Rows of length 1; zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return scaled


class _Learn:
    """The parts of scikit-learn that are used here, loaded together."""

    def __init__(self) -> None:
        try:
            from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - optional
            from sklearn.feature_extraction.text import (  # noqa: PLC0415
                CountVectorizer,
                TfidfVectorizer,
            )
        except ImportError as error:
            raise MissingExtraError(
                "counting the words of reports needs an extra: pip install 'syntopy[words]'"
            ) from error
        self.TruncatedSVD: Any = TruncatedSVD
        self.CountVectorizer: Any = CountVectorizer
        self.TfidfVectorizer: Any = TfidfVectorizer
