"""A bridge of words: from the words of a report to where its image lies in a space.

A ridge regression from text features (TF-IDF, then truncated singular values) to the image vectors
of one space, fitted on a library's own reports. It lets spaces without a text tower be asked in
words, as far as the reports of this library speak of what the vectors show; how far that is, is
measured on patients that were not fitted on, and stored with it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32

from indexer.errors import ConfigError, MissingExtraError, QueryError
from indexer.types import Embeddings

MIN_PAIRS = 60
"""Fewer pairs of report and image than this are refused: folds would be too small to measure."""
_FOLDS = 5
_DIMENSIONS = 128
_PENALTIES = (0.1, 1.0, 10.0)
_WORDS = r"(?u)\b[^\W\d][\w-]+\b"
_FEWEST_REPORTS = 3
"""A word of fewer reports is left out: it may be a name, and says little about images."""

Matrix = Float32[np.ndarray, "rows columns"]
Row = Float32[np.ndarray, " columns"]


@dataclass(frozen=True)
class BridgeQuality:
    """How often a report finds its own image, among the images of its fold.

    Attributes:
        pairs, patients: that it was fitted on.
        hit_rate_at_1, hit_rate_at_5, hit_rate_at_10: share of held-out reports whose image is among
            the nearest k of the held-out images.
        chance_at_10: what a random order gives at 10.
        penalty: of the ridge, chosen by hit rate at 10.
    """

    pairs: int
    patients: int
    hit_rate_at_1: float
    hit_rate_at_5: float
    hit_rate_at_10: float
    chance_at_10: float
    penalty: float


@dataclass(frozen=True)
class Bridge:
    """A fitted map from words to vectors.

    Attributes:
        vocabulary: words, in the order of the columns of the text features.
        weights: inverse document frequency of each word.
        projection: text features to image space, ``(words, dim)``.
        middle: mean of the image vectors, which words are told apart from.
        quality: measured on held-out patients.
    """

    vocabulary: tuple[str, ...]
    weights: Row
    projection: Matrix
    middle: Row
    quality: BridgeQuality

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Unit vectors of phrases: float32 ``(n, dim)``.

        Raises:
            QueryError: a phrase has no word that the reports know.
        """
        features = self.features(texts)
        for text, row in zip(texts, features, strict=True):
            if not row.any():
                raise QueryError(
                    f"no word of '{text[:60]}' occurs in the reports that the bridge was fitted on"
                )
        rows = features @ self.projection
        found: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return found.astype(np.float32)

    def features(self, texts: Sequence[str]) -> Matrix:
        """TF-IDF of texts, unit rows; zeros for a text without any word of the vocabulary."""
        learn = _sklearn()
        counts = learn.CountVectorizer(vocabulary=list(self.vocabulary), token_pattern=_WORDS)
        raw = np.asarray(counts.transform(texts).todense(), np.float32)
        raw = np.where(raw > 0, 1 + np.log(np.maximum(raw, 1)), 0) * self.weights
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        features: Matrix = np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0)
        return features

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file, by rename."""
        temporary = path.with_suffix(".tmp.npz")
        np.savez(
            temporary,
            vocabulary=np.array(json.dumps(self.vocabulary)),
            quality=np.array(json.dumps(vars(self.quality))),
            weights=self.weights,
            projection=self.projection,
            middle=self.middle,
        )
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Bridge:
        """Read what `save` wrote.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                return cls(
                    vocabulary=tuple(json.loads(str(stored["vocabulary"]))),
                    weights=stored["weights"],
                    projection=stored["projection"],
                    middle=stored["middle"],
                    quality=BridgeQuality(**json.loads(str(stored["quality"]))),
                )
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise ConfigError(
                f"the bridge {path.name} is damaged; fit it again with: syntopy bridge fit"
            ) from error


def fit_bridge(
    texts: Sequence[str], vectors: Embeddings, patients: Sequence[str], *, seed: int = 0
) -> Bridge:
    """Fit a bridge on pairs of report and image, and measure it on patients it has not seen.

    Args:
        texts: a report for each image.
        vectors: L2-normalised image vectors, float32 ``(n, dim)``.
        patients: of each pair; folds are disjoint by patient.
        seed: of the folds and the singular values.

    Raises:
        QueryError: fewer than `MIN_PAIRS` pairs, or of fewer than five patients.
    """
    names = sorted(set(patients))
    if len(texts) < MIN_PAIRS or len(names) < _FOLDS:
        raise QueryError(
            f"{len(texts)} pairs of report and image of {len(names)} patients; a bridge needs "
            f"{MIN_PAIRS} pairs of {_FOLDS} patients at least"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[i]: place % _FOLDS for place, i in enumerate(order)}
    folds = np.array([fold_of[p] for p in patients])
    ranks = {
        penalty: _held_out_ranks(texts, vectors, folds, penalty, seed) for penalty in _PENALTIES
    }
    penalty = max(_PENALTIES, key=lambda p: (float(np.mean(ranks[p] < 10)), p))
    sizes = np.bincount(folds)[folds]
    quality = BridgeQuality(
        pairs=len(texts),
        patients=len(names),
        hit_rate_at_1=float(np.mean(ranks[penalty] < 1)),
        hit_rate_at_5=float(np.mean(ranks[penalty] < 5)),
        hit_rate_at_10=float(np.mean(ranks[penalty] < 10)),
        chance_at_10=float(np.mean(np.minimum(10 / sizes, 1))),
        penalty=penalty,
    )
    return _fitted(texts, vectors, penalty, seed, quality)


def _held_out_ranks(
    texts: Sequence[str], vectors: Embeddings, folds: np.ndarray, penalty: float, seed: int
) -> np.ndarray:
    """For each report, how many images of its fold lie nearer to it than its own."""
    ranks = np.zeros(len(texts), np.int64)
    blank = BridgeQuality(0, 0, 0, 0, 0, 0, penalty)
    for fold in range(_FOLDS):
        held: list[int] = np.flatnonzero(folds == fold).tolist()
        rest: list[int] = np.flatnonzero(folds != fold).tolist()
        bridge = _fitted([texts[i] for i in rest], vectors[rest], penalty, seed, blank)
        said = bridge.features([texts[i] for i in held]) @ bridge.projection
        scores = said @ (vectors[held] - bridge.middle).T
        own = np.diag(scores)
        # Of equal scores the own image counts last: reports alike must not look like hits.
        ranks[held] = (scores >= own[:, None]).sum(axis=1) - 1
    return ranks


def _fitted(
    texts: Sequence[str], vectors: Embeddings, penalty: float, seed: int, quality: BridgeQuality
) -> Bridge:
    learn = _sklearn()
    words = learn.TfidfVectorizer(sublinear_tf=True, token_pattern=_WORDS, min_df=_FEWEST_REPORTS)
    try:
        features = words.fit_transform(texts)
    except ValueError as error:  # no word is left
        raise QueryError("the reports have no words in common to tell them apart") from error
    size = min(_DIMENSIONS, *(length - 1 for length in features.shape))
    if size < 1:
        raise QueryError("the reports have no words in common to tell them apart")
    narrow = learn.TruncatedSVD(size, random_state=seed)
    middle = vectors.mean(axis=0)
    ridge = learn.Ridge(alpha=penalty, fit_intercept=False)
    ridge.fit(narrow.fit_transform(features), vectors - middle)
    return Bridge(
        vocabulary=tuple(str(word) for word in words.get_feature_names_out()),
        weights=words.idf_.astype(np.float32),
        projection=(narrow.components_.T @ ridge.coef_.T).astype(np.float32),
        middle=middle.astype(np.float32),
        quality=quality,
    )


class _Learn:
    """The parts of scikit-learn that are used here, loaded together."""

    def __init__(self) -> None:
        try:
            from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - optional
            from sklearn.feature_extraction.text import (  # noqa: PLC0415
                CountVectorizer,
                TfidfVectorizer,
            )
            from sklearn.linear_model import Ridge  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError(
                "a bridge of words needs an extra: pip install 'syntopy[words]'"
            ) from error
        self.TruncatedSVD, self.Ridge = TruncatedSVD, Ridge
        self.CountVectorizer, self.TfidfVectorizer = CountVectorizer, TfidfVectorizer


def _sklearn() -> Any:
    return _Learn()
