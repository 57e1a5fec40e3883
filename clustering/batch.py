"""Whether the vectors tell site, maker or year apart, which they should not.

Three views: whether a linear classifier can tell it, whether neighbours mix, and whether the class
or the batch weighs more. Sites whose patients differ are told apart for good reasons, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from clustering.columns import UNKNOWN, Codes, Column, aligned, coded
from clustering.contract import Neighbours
from clustering.mixing import lisi, robustness_index
from clustering.probing import Probabilities, out_of_fold, owners_of, with_two_owners
from indexer.errors import QueryError
from indexer.types import Embeddings

_SAMPLE = 5_000
_SHUFFLES = 200
_LIMIT = 95


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier tells a field of patients it has not seen.

    Attributes:
        auroc: one value against the rest, mean over the values; 0.5 is chance.
        chance: what 95 % of shuffles of the values stay below.
        accuracy: share of right answers.
        majority: share of the most frequent value, which needs no vectors.
        items, patients, values: that were looked at.
        left_out: items of values that fewer than two patients have.
    """

    auroc: float
    chance: float
    accuracy: float
    majority: float
    items: int
    patients: int
    values: int
    left_out: int


@dataclass(frozen=True)
class BatchEffect:
    """What the vectors tell of one field.

    Attributes:
        field: its name.
        items: that have a value.
        values: different ones.
        ilisi: mean effective number of values among the neighbours; None without neighbours of
            other patients.
        even_ilisi: what it would be if values were dealt out at random.
        mixing: where it lies between one value alone (0) and even mixing (1).
        clisi: mean effective number of classes among the neighbours, 1 is best; None without
            classes.
        robustness_index: same class and other value, over other class and same value; above 1 the
            class weighs more. None without classes, or without any of the latter.
        probe: by a linear classifier; None where fewer than two values have two patients each.
        sentences: what that means.
    """

    field: str
    items: int
    values: int
    ilisi: float | None
    even_ilisi: float | None
    mixing: float | None
    clisi: float | None
    robustness_index: float | None
    probe: Probe | None
    sentences: tuple[str, ...]


def batch_effects(
    embeddings: Embeddings,
    neighbours: Neighbours,
    batches: Mapping[str, Column],
    *,
    classes: Column | None = None,
    patients: Column | None = None,
    seed: int = 0,
) -> tuple[BatchEffect, ...]:
    """Look at every field.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        neighbours: of all items.
        batches: ``{"site": …, "manufacturer": …, "year": …}``.
        classes: what the images show, as far as it is known.
        patients: whose each item is; neighbours of the same patient do not count.
        seed: of the classifier's folds, its sample and the shuffles.

    Raises:
        QueryError: lengths differ, or a field has fewer than two values.
        MissingExtraError: scikit-learn is not installed.
    """
    count = len(embeddings)
    aligned(count, neighbours=neighbours.rows, classes=classes, patients=patients, **batches)
    owners = owners_of(coded(patients)[0] if patients is not None else np.full(count, UNKNOWN))
    kinds = coded(classes)[0] if classes is not None else None
    found = []
    for field, column in batches.items():
        codes, names = coded(column)
        if len(names) < 2:
            raise QueryError(f"{field}: two different values are needed, there are {len(names)}")
        probe = linear_probe(embeddings, codes, owners, seed=seed)
        found.append(_effect(field, neighbours, codes, kinds, owners=owners, probe=probe))
    return tuple(found)


def linear_probe(
    embeddings: Embeddings, codes: Codes, owners: Codes, *, seed: int = 0
) -> Probe | None:
    """Let a linear classifier tell a field, cross-validated by patient.

    Each patient counts once for each value it has, by the mean of its items. Of more than 5,000
    items a random part is looked at.

    Args:
        embeddings: ``(n, dim)``.
        codes: value of each item, `UNKNOWN` where it is not known.
        owners: patients.
        seed: of the folds, the sample and the shuffles.

    Returns:
        None where fewer than two values have two patients each.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    rng = np.random.default_rng([seed, 41])
    known = np.flatnonzero(codes != UNKNOWN)
    drawn = np.sort(rng.permutation(known)[:_SAMPLE])
    kept = drawn[with_two_owners(codes[drawn], owners[drawn])]
    values, own = np.unique(codes[kept], return_inverse=True)
    if len(values) < 2:
        return None
    shares = out_of_fold(np.asarray(embeddings[kept], np.float32), own, owners[kept], seed=seed)
    units, unit = np.unique(np.stack([owners[kept], own]), axis=1, return_inverse=True)
    sums = np.zeros((units.shape[1], len(values)))
    np.add.at(sums, unit.reshape(-1), shares)
    means, truth = sums / np.bincount(unit.reshape(-1))[:, None], units[1]
    shuffles = [mean_auroc(means, rng.permutation(truth)) for _ in range(_SHUFFLES)]
    return Probe(
        auroc=mean_auroc(means, truth),
        chance=float(np.percentile(shuffles, _LIMIT)),
        accuracy=float((means.argmax(axis=1) == truth).mean()),
        majority=float(np.bincount(truth).max() / len(truth)),
        items=len(kept),
        patients=len(np.unique(units[0])),
        values=len(values),
        left_out=len(drawn) - len(kept),
    )


def mean_auroc(scores: Probabilities, truth: Codes) -> float:
    """AUROC of each class against the rest, ties half, mean over the classes.

    Args:
        scores: ``(n, classes)``, higher for the class.
        truth: int64 ``(n,)``, every class at least once.
    """
    found = []
    for each in range(scores.shape[1]):
        own = truth == each
        positives, negatives = int(own.sum()), int((~own).sum())
        above = rankdata(scores[:, each])[own].sum() - positives * (positives + 1) / 2
        found.append(above / (positives * negatives))
    return float(np.mean(found))


def _effect(
    field: str,
    neighbours: Neighbours,
    codes: Codes,
    classes: Codes | None,
    *,
    owners: Codes,
    probe: Probe | None,
) -> BatchEffect:
    mixed = lisi(neighbours, codes, owners)
    near, even = _mean(mixed.values), _mean(mixed.even)
    index, pure = None, None
    if classes is not None:
        index = robustness_index(neighbours, codes, classes, owners)
        pure = _mean(lisi(neighbours, classes, owners).values)
    return BatchEffect(
        field=field,
        items=int((codes != UNKNOWN).sum()),
        values=int(codes.max()) + 1,
        ilisi=near,
        even_ilisi=even,
        mixing=_between(near, even),
        clisi=pure,
        robustness_index=index,
        probe=probe,
        sentences=(
            _of_probe(field, probe),
            _of_mixing(field, near, even),
            _of_index(field, index, classes is not None),
        ),
    )


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _between(near: float | None, even: float | None) -> float | None:
    if near is None or even is None or even <= 1:
        return None
    return float(np.clip((near - 1) / (even - 1), 0, 1))


def _of_probe(field: str, probe: Probe | None) -> str:
    if probe is None:
        return f"{field}: too few patients to see whether a classifier can tell it"
    figures = f"AUROC {probe.auroc:.2f}, 95 % of shuffles stay below {probe.chance:.2f}"
    if probe.auroc <= probe.chance:
        return f"{field} cannot be told from the vectors better than by chance ({figures})"
    return (
        f"{field} can be told from the vectors of patients that were not seen ({figures}; "
        f"{probe.accuracy:.0%} right, always the most frequent value: {probe.majority:.0%})"
    )


def _of_mixing(field: str, near: float | None, even: float | None) -> str:
    if near is None or even is None:
        return f"{field}: there are no neighbours of other patients to look at"
    return (
        f"the neighbours of an item have {near:.2f} different values of {field} on average; 1 is "
        f"no mixing, {even:.2f} is even mixing"
    )


def _of_index(field: str, index: float | None, classes: bool) -> str:
    if not classes:
        return f"without classes it is open whether {field} goes with what the images show"
    if index is None:
        return f"no neighbour shares the {field} without sharing the class: no robustness index"
    heavier = (
        f"the class weighs more than {field}" if index > 1 else f"{field} weighs as much or more"
    )
    return (
        f"neighbours of the same class and another {field} are {index:.2f} times as many as those "
        f"of another class and the same {field}: {heavier}"
    )
