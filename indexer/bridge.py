"""A bridge of words: from the words of a report to where its image lies in a space.

A ridge regression from text features (`indexer.features`) to the image vectors of one space, fitted
on a library's own reports and labels. It lets spaces without a text tower be asked in words, and
images be answered with reports, as far as the reports of this library speak of what the vectors
show; how far that is, is measured on patients that were not fitted on, and stored with it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float32, Int64

from indexer.errors import ConfigError, QueryError
from indexer.features import Features, Learn, TfidfFeatures, Tower, TowerFeatures, unit
from indexer.types import Embeddings

MIN_PAIRS = 60
"""Fewer pairs of report and image than this are refused: folds would be too small to measure."""
FORMAT = 2
_FOLDS = 5
_PENALTIES = (0.1, 1.0, 10.0, 100.0)
_BLOCK = 512
_EQUAL = 1e-6
"""Scores that differ by less are equal: products of other sizes round otherwise."""

Matrix = Float32[np.ndarray, "rows columns"]
Row = Float32[np.ndarray, " columns"]
Mask = Bool[np.ndarray, " n"]
Numbers = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class BridgeQuality:
    """How often a report finds its own image among those of its fold, and an image its report.

    Attributes:
        pairs, patients: that it was fitted on.
        hit_rate_at_1, hit_rate_at_5, hit_rate_at_10: share of held-out reports whose image is among
            the nearest k of the held-out images.
        report_hit_rate_at_1, report_hit_rate_at_5, report_hit_rate_at_10: the other way: share of
            images whose report is among the nearest k.
        chance_at_10: what a random order gives at 10, either way.
        penalty: of the ridge, the one of four with the best hit rate at 10, of equals at 5, at 1.
    """

    pairs: int
    patients: int
    hit_rate_at_1: float
    hit_rate_at_5: float
    hit_rate_at_10: float
    report_hit_rate_at_1: float
    report_hit_rate_at_5: float
    report_hit_rate_at_10: float
    chance_at_10: float
    penalty: float


@dataclass(frozen=True)
class BridgeAbout:
    """What a file says of its bridge before it is read whole.

    Attributes:
        made: when, ISO 8601 in UTC.
        tower: encoder whose text tower gives the features, "" for TF-IDF.
        weights: digest of the tower's weights.
        with_labels: pairs whose text was made from labels, wholly or in part.
        quality: measured on held-out patients.
    """

    made: str
    tower: str
    weights: str
    with_labels: int
    quality: BridgeQuality

    @property
    def features(self) -> str:
        """What the texts' features are, in a word."""
        return self.tower or "tfidf"


@dataclass(frozen=True)
class Bridge:
    """A fitted map from words to vectors.

    Attributes:
        features: of texts.
        projection: text features to image space, ``(features, dim)``.
        middle: mean of the image vectors, which words are told apart from.
        quality: measured on held-out patients.
        with_labels: pairs whose text was made from labels, wholly or in part.
        made: when, ISO 8601 in UTC.
    """

    features: Features
    projection: Matrix
    middle: Row
    quality: BridgeQuality
    with_labels: int = 0
    made: str = ""

    def rows(self, texts: Sequence[str]) -> Embeddings:
        """Unit vectors of texts, float32 ``(n, dim)``; zeros for one without a known word."""
        return unit(self.features.rows(texts) @ self.projection)

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Unit vectors of phrases: float32 ``(n, dim)``.

        Raises:
            QueryError: a phrase has no word that the reports know.
        """
        rows = self.rows(texts)
        for text, row in zip(texts, rows, strict=True):
            if not row.any():
                raise QueryError(
                    f"no word of '{text[:60]}' occurs in the reports that the bridge was fitted on"
                )
        return rows

    @property
    def about(self) -> BridgeAbout:
        """What is told of it in a list."""
        return BridgeAbout(
            self.made, self.features.tower, self.features.weights, self.with_labels, self.quality
        )

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file, by rename."""
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as handle:
            np.savez(
                handle,
                about=np.array(json.dumps({"format": FORMAT} | asdict(self.about))),
                projection=self.projection,
                middle=self.middle,
                **self.features.arrays(),  # type: ignore[arg-type]
            )
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, towers: Callable[[BridgeAbout], Tower] | None = None) -> Bridge:
        """Read what `save` wrote.

        Args:
            path: the file.
            towers: gives the tower that a bridge was fitted with, or raises.

        Raises:
            ConfigError: the file is damaged, or its tower is not at hand.
        """
        stored = _read(path)
        try:
            about = _about(stored)
            features: Features
            if not about.tower:
                features = TfidfFeatures.of(stored)
            elif towers is None:
                raise ConfigError(f"the bridge {path.name} needs the text tower of '{about.tower}'")
            else:
                features = TowerFeatures(towers(about), stored["tower_middle"])
            return cls(
                features=features,
                projection=stored["projection"],
                middle=stored["middle"],
                quality=about.quality,
                with_labels=about.with_labels,
                made=about.made,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error


def read_about(path: Path) -> BridgeAbout:
    """What a bridge's file says of it.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        return _about(_read(path, ("about",)))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _read(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return {name: stored[name] for name in names or stored.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise _damaged(path) from error


def _about(stored: dict[str, np.ndarray]) -> BridgeAbout:
    said: dict[str, Any] = json.loads(str(stored["about"]))
    if said.pop("format") != FORMAT:
        raise ValueError("another format")
    return BridgeAbout(**(said | {"quality": BridgeQuality(**said["quality"])}))


def _damaged(path: Path) -> ConfigError:
    return ConfigError(
        f"the bridge {path.name} is damaged, or of another version of Syntopy; fit it again with: "
        "syntopy bridge fit"
    )


def fit_bridge(
    texts: Sequence[str],
    vectors: Embeddings,
    patients: Sequence[str],
    *,
    learn: Learn = TfidfFeatures.learn,
    with_labels: int = 0,
    seed: int = 0,
) -> Bridge:
    """Fit a bridge on pairs of text and image, and measure it on patients it has not seen.

    Args:
        texts: a report, or labels in words, for each image.
        vectors: L2-normalised image vectors, float32 ``(n, dim)``.
        patients: of each pair; folds are disjoint by patient.
        learn: what makes features of texts.
        with_labels: how many texts were made from labels; kept to be shown.
        seed: of the folds and of what is learnt.

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
    folds = np.array([fold_of[p] for p in patients], np.int64)
    ranks = np.zeros((len(_PENALTIES), 2, len(texts)), np.int64)
    for fold in range(_FOLDS):
        held: Mask = np.equal(folds, fold)
        ranks[:, :, held] = _held_out(texts, vectors, held, learn, seed)
    best = max(range(len(_PENALTIES)), key=lambda i: (*_rates(ranks[i, 0]), i))
    image_at_10, image_at_5, image_at_1 = _rates(ranks[best, 0])
    report_at_10, report_at_5, report_at_1 = _rates(ranks[best, 1])
    sizes = np.bincount(folds)[folds]
    quality = BridgeQuality(
        pairs=len(texts),
        patients=len(names),
        hit_rate_at_1=image_at_1,
        hit_rate_at_5=image_at_5,
        hit_rate_at_10=image_at_10,
        report_hit_rate_at_1=report_at_1,
        report_hit_rate_at_5=report_at_5,
        report_hit_rate_at_10=report_at_10,
        chance_at_10=float(np.mean(np.minimum(10 / sizes, 1))),
        penalty=_PENALTIES[best],
    )
    features = learn(texts, seed)
    (projection,), middle = _maps(features.rows(texts), vectors, [quality.penalty])
    bridge = Bridge(features, projection, middle, quality, with_labels)
    return replace(bridge, made=datetime.now(UTC).isoformat(timespec="seconds"))


def _rates(ranks: Numbers) -> tuple[float, float, float]:
    """Hit rates at 10, 5 and 1."""
    at_10, at_5, at_1 = (float(np.mean(ranks < k)) for k in (10, 5, 1))
    return at_10, at_5, at_1


def _held_out(
    texts: Sequence[str], vectors: Embeddings, held: Mask, learn: Learn, seed: int
) -> np.ndarray:
    """Ranks of the own image and of the own report: ``(penalties, 2, held-out pairs)``."""
    inside, outside = np.flatnonzero(held).tolist(), np.flatnonzero(~held).tolist()
    seen = [texts[i] for i in outside]
    features = learn(seen, seed)
    projections, middle = _maps(features.rows(seen), vectors[outside], _PENALTIES)
    asked = features.rows([texts[i] for i in inside])
    images = vectors[inside] - middle
    ranks = []
    for projection in projections:
        said = unit(asked @ projection)
        silent: Mask = np.logical_not(said.any(axis=1))
        to_image = _ranks(said, images, np.zeros(len(inside), bool))
        to_image[silent] = len(inside)
        ranks.append((to_image, _ranks(images, said, silent)))
    return np.array(ranks)


def _ranks(asked: Matrix, others: Matrix, silent: Mask) -> Numbers:
    """For each row, how many others than its own lie at least as near to it.

    Of equal scores the own one counts last: reports alike must not look like hits. So does one that
    is ``silent``.
    """
    ranks = np.zeros(len(asked), np.int64)
    for start in range(0, len(asked), _BLOCK):
        scores = asked[start : start + _BLOCK] @ others.T
        scores[:, silent] = -np.inf
        rows = np.arange(len(scores))
        own = scores[rows, start + rows]
        ranks[start + rows] = (scores >= own[:, None] - _EQUAL).sum(axis=1) - 1
    return ranks


def _maps(
    features: Matrix, vectors: Embeddings, penalties: Sequence[float]
) -> tuple[list[Matrix], Row]:
    """A ridge without intercept for each penalty, and the mean that the vectors are told from."""
    middle = vectors.mean(axis=0)
    wide = features.astype(np.float64)
    square, across = wide.T @ wide, wide.T @ (vectors - middle)
    steps = np.eye(len(square))
    projections = [
        np.linalg.solve(square + penalty * steps, across).astype(np.float32)
        for penalty in penalties
    ]
    return projections, middle.astype(np.float32)
