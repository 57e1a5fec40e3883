"""Fitting a bridge of words, and measuring it on patients it has not seen. Pure: arrays in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Bool, Float32, Int64

from indexer.errors import QueryError
from indexer.texts.bridge import Bridge, BridgeQuality
from indexer.texts.features import Learn, TfidfFeatures, unit
from indexer.types import Embeddings

MIN_PAIRS = 60
"""Fewer pairs of report and image than this are refused: folds would be too small to measure."""
_FOLDS = 5
_PENALTIES = (0.1, 1.0, 10.0, 100.0)
_BLOCK = 512
_EQUAL = 1e-6
"""Scores that differ by less are equal: products of other sizes round otherwise."""

Matrix = Float32[np.ndarray, "rows columns"]
Row = Float32[np.ndarray, " columns"]
Mask = Bool[np.ndarray, " n"]
Numbers = Int64[np.ndarray, " n"]
Ranks = Int64[np.ndarray, "penalties 2 n"]


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
    best = _strongest_of_the_best(ranks[:, 0])
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
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Bridge(features, projection, middle, quality, with_labels, made)


def _strongest_of_the_best(ranks: Numbers) -> int:
    """The greatest penalty whose mean reciprocal rank is within a standard error of the best one.

    Between penalties that differ by less than chance the weakest would win as often as not, and
    phrases unlike the texts that were fitted on then end up anywhere.

    Args:
        ranks: of the own image, ``(penalties, pairs)``, penalties ascending.
    """
    scores = 1 / (1 + ranks.astype(np.float64))
    means = scores.mean(axis=1)
    best = int(np.argmax(means))
    least = means[best] - scores[best].std() / np.sqrt(scores.shape[1])
    return int(np.flatnonzero(means >= least)[-1])


def _rates(ranks: Numbers) -> tuple[float, float, float]:
    """Hit rates at 10, 5 and 1."""
    at_10, at_5, at_1 = (float(np.mean(ranks < k)) for k in (10, 5, 1))
    return at_10, at_5, at_1


def _held_out(
    texts: Sequence[str], vectors: Embeddings, held: Mask, learn: Learn, seed: int
) -> Ranks:
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
