"""What a simple classifier says of items it has not seen, patients held together.

The classifier tells what can be read off the vectors; it is no diagnostic model.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Bool, Float64

from clustering.columns import UNKNOWN, Codes, same
from clustering.contract import NO_ROW, Neighbours
from indexer.extras import extra
from indexer.types import Embeddings

_STRENGTH = 0.1
"""Inverse of the penalty on the weights, of rows whose variance is one on average."""
_ROUNDS, _TOLERANCE = 200, 1e-3

Probabilities = Float64[np.ndarray, "n classes"]
Mask = Bool[np.ndarray, " n"]


def owners_of(codes: Codes) -> Codes:
    """A number for each patient; an item whose patient is not known is a patient of its own."""
    return np.where(codes == UNKNOWN, len(codes) + np.arange(len(codes)), codes)


def with_two_owners(codes: Codes, owners: Codes) -> Mask:
    """Which items have a value that items of two patients or more have."""
    pairs = np.unique(np.stack([codes, owners]), axis=1)
    names, patients = np.unique(pairs[0], return_counts=True)
    return np.isin(codes, names[(patients > 1) & (names != UNKNOWN)])


def folds_of(codes: Codes, owners: Codes, folds: int, seed: int) -> np.ndarray:
    """The fold of each item: patients are dealt out class by class, so each fold has some of each.

    Args:
        codes: class of each item, known.
        owners: their patients.
        folds: how many.
        seed: of the order within a class.
    """
    patients, owner = np.unique(owners, return_inverse=True)
    usual = np.zeros(len(patients), np.int64)
    # The class of most of a patient's items: the last written is the most frequent.
    pairs, times = np.unique(np.stack([owner, codes]), axis=1, return_counts=True)
    by_times = np.argsort(times, kind="stable")
    usual[pairs[0][by_times]] = pairs[1][by_times]
    shuffled = np.random.default_rng([seed, 31]).permutation(len(patients))
    dealt = shuffled[np.argsort(usual[shuffled], kind="stable")]
    fold = np.empty(len(patients), np.int64)
    fold[dealt] = np.arange(len(patients)) % folds
    return fold[owner]


def out_of_fold(
    embeddings: Embeddings, codes: Codes, owners: Codes, *, folds: int = 5, seed: int = 0
) -> Probabilities:
    """Probabilities of each class by logistic regression that has not seen the item's patient.

    Args:
        embeddings: ``(n, dim)``.
        codes: 0 upwards without gaps, each of two patients at least.
        owners: patients.
        folds: of the cross-validation.
        seed: of the folds.

    Returns:
        float64 ``(n, classes)``; 0 for a class that the training had no item of.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    linear = extra("sklearn.linear_model")
    rows = np.asarray(embeddings, np.float32)
    found = np.zeros((len(rows), int(codes.max()) + 1))
    fold = folds_of(codes, owners, min(folds, len(np.unique(owners))), seed)
    for held in np.unique(fold):
        seen, unseen = fold != held, fold == held
        middle = rows[seen].mean(axis=0)
        scale = max(float(np.sqrt(((rows[seen] - middle) ** 2).mean())), np.finfo(np.float32).tiny)
        if len(np.unique(codes[seen])) < 2:
            found[unseen, codes[seen][0]] = 1
            continue
        model = linear.LogisticRegression(C=_STRENGTH, max_iter=_ROUNDS, tol=_TOLERANCE)
        with warnings.catch_warnings():
            # Weights that still move a little change no ranking of classes.
            warnings.simplefilter("ignore", extra("sklearn.exceptions").ConvergenceWarning)
            model.fit((rows[seen] - middle) / scale, codes[seen])
        found[np.ix_(unseen, model.classes_)] = model.predict_proba((rows[unseen] - middle) / scale)
    return found


def voted(neighbours: Neighbours, codes: Codes, owners: Codes, classes: int) -> Probabilities:
    """Probabilities of each class by the neighbours of other patients, one vote each.

    One more vote is shared by all classes, so that none has no probability.

    Args:
        neighbours: of all items.
        codes: class of each, `UNKNOWN` for those that do not vote.
        owners: patients.
        classes: how many.
    """
    votes = np.full((len(codes), classes), 1 / classes)
    rows = neighbours.rows
    counts = (rows != NO_ROW) & (codes[rows] != UNKNOWN) & ~same(owners, rows)
    item, place = np.nonzero(counts)
    np.add.at(votes, (item, codes[rows[item, place]]), 1)
    shares: Probabilities = votes / votes.sum(axis=1, keepdims=True)
    return shares
