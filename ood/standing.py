"""Where cases stand among held-out cases of their own kind, on one scale for all kinds.

Scores of two strata cannot be compared, a case's place among the calibration cases of its stratum
can. The place is turned into the quantile of a normal distribution that lies as high (B. van der
Waerden, Indagationes Mathematicae 14 (1952) 453), so that without a change the figures of every
stratum are standard normal; higher is more unlike. Within one stratum the figure rises with the
score, and new cases and calibration cases follow each other as their scores do: the statistic of
Kolmogorov and Smirnov is that of the scores themselves. And means of such figures are normal even
for small windows, which those of skewed scores are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from indexer.types import Embeddings, Scores
from ood.calibrate import Calibration
from ood.reference import ReferenceSet, Stratum
from ood.strata import Key

_AT_ONCE = 4_096


@dataclass(frozen=True)
class Standing:
    """Cases that a stratum could judge.

    Attributes:
        rows: int64 ``(m,)``, rising: which of the cases that were handed in.
        normal: of each detector by its name, float64 ``(m,)``, the normal scores.
        p_values: of each detector, ``(m,)``; those of held-out cases count themselves.
        together: p-values of all detectors together, ``(m,)``.
    """

    rows: np.ndarray
    normal: Mapping[str, np.ndarray]
    p_values: Mapping[str, np.ndarray]
    together: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Standing], rows: Sequence[np.ndarray]) -> Standing:
        """Cases that several references judged, by the same detectors.

        Args:
            parts: one or more.
            rows: of each part, which of all cases its rows are.
        """
        places = np.concatenate(rows)
        order = np.argsort(places, kind="stable")

        def ordered(values: Sequence[np.ndarray]) -> np.ndarray:
            return np.concatenate(values)[order]

        return cls(
            places[order],
            {name: ordered([each.normal[name] for each in parts]) for name in parts[0].normal},
            {name: ordered([each.p_values[name] for each in parts]) for name in parts[0].p_values},
            ordered([each.together for each in parts]),
        )


def normal_scores(
    calibration: Calibration, scores: Scores, *, calibrates: bool = False
) -> np.ndarray:
    """Normal scores, float64 ``(n,)``, of places among calibration cases.

    The k-th of n calibration cases has the place ``(k - 0.5) / n``, a new case above k of them
    ``(k + 0.5) / (n + 1)``; so a new one lies between the two that it is between. Cases of one
    patient share one place's weight.

    Args:
        calibration: of the stratum.
        scores: of the cases, ``(n,)``.
        calibrates: whether these are calibration cases themselves.
    """
    mass = np.append(0.0, np.cumsum(calibration.weights))
    values = np.asarray(scores, np.float32)
    below = mass[np.searchsorted(calibration.scores, values, side="left")]
    count = calibration.patients
    if calibrates:
        up_to = mass[np.searchsorted(calibration.scores, values, side="right")]
        places = np.clip((below + up_to) / 2, 0.5, count - 0.5) / count
    else:
        places = (below + 0.5) / (count + 1)
    found: np.ndarray = norm.ppf(places)
    return found


def standing(
    reference: ReferenceSet,
    embeddings: Embeddings,
    keys: Sequence[Key],
    *,
    alarm: float,
    numbers: np.ndarray | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Standing:
    """Where cases stand, each in the stratum that judges its kind.

    Args:
        reference: fitted.
        embeddings: ``(n, dim)``; may be a memory map.
        keys: what kind of image each is.
        alarm: the false-alarm rate that strata have to be large enough for.
        numbers: of cases of the reference itself, which of its cases each is, int64 ``(n,)``. Those
            that the judging stratum was fitted on are left out. None for new cases.
        progress: told how many cases are done, of how many; what it raises stops the work.

    Raises:
        ReferenceSetError: the rate is none.
        VectorError: rows that are no embeddings, or of another space.
    """
    rows_of = _rows_of(reference, keys, alarm, numbers)
    order = np.array([row for rows in rows_of.values() for row in rows], np.int64)
    names = [each.label for each in reference.recipes]
    parts: list[np.ndarray] = [np.zeros((2 * len(names) + 1, 0))]
    done = 0
    for key, rows in rows_of.items():
        for start in range(0, len(rows), _AT_ONCE):
            progress(done, len(order))
            some = rows[start : start + _AT_ONCE]
            stratum = reference.strata[key]
            parts.append(_figures(stratum, embeddings[some], calibrates=numbers is not None))
            done += len(some)
    rising = np.argsort(order)
    figures = np.concatenate(parts, axis=1)[:, rising]
    return Standing(
        order[rising],
        dict(zip(names, figures[: len(names)], strict=True)),
        dict(zip(names, figures[len(names) : -1], strict=True)),
        figures[-1],
    )


def _rows_of(
    reference: ReferenceSet, keys: Sequence[Key], alarm: float, numbers: np.ndarray | None
) -> dict[Key, list[int]]:
    """The cases that each stratum judges; without those it was fitted on."""
    judges = {key: reference.stratum_for(key, alarm)[0] for key in set(keys)}
    found: dict[Key, list[int]] = {}
    for row, key in enumerate(keys):
        by = judges[key]
        if by is not None:
            found.setdefault(by, []).append(row)
    if numbers is None:
        return found
    return {
        key: np.array(rows)[~np.isin(numbers[rows], reference.strata[key].fitted)].tolist()
        for key, rows in found.items()
    }


def _figures(stratum: Stratum, embeddings: Embeddings, *, calibrates: bool) -> np.ndarray:
    """Normal scores of each detector, then their p-values, then those together; a row each."""
    scores = [each.score(embeddings) for each in stratum.detectors.values()]
    pairs = list(zip(stratum.together.parts, scores, strict=True))
    normal = [
        # What a detector does not know of a case says nothing of a change.
        np.where(np.isfinite(each), normal_scores(part, each, calibrates=calibrates), 0.0)
        for part, each in pairs
    ]
    p_values = [part.p_values(each) for part, each in pairs]
    return np.stack([*normal, *p_values, stratum.together.p_values(scores)])
