"""What the nearest patients say of a label, as a share of votes and as a calibrated probability.

Each of the nearest patients has one vote, weighted by ``exp(cosine / TEMPERATURE)`` as in the
nearest-neighbour classifier of Wu et al. (CVPR 2018, arXiv 1805.01978). A share of 0.8 is no
probability of 0.8: how often shares like it are right is learnt from the library itself, each
patient being asked about while all of its own images are left out. That is Platt's scaling (1999),
a temperature and a bias on the log odds, and arrays in, numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

Numbers = Float[np.ndarray, " n"]
Truths = Bool[np.ndarray, " n"]
Counts = Int64[np.ndarray, " n"]

TEMPERATURE = 0.07
FEWEST, MOST = 3, 20
"""Patients that vote, at least and at most; calibrated for each number by itself."""
LEAST_PATIENTS = 30
"""Labelled patients below which no probability is given."""
BINS = 10
_RIDGE = 1e-3
_STEEPEST = 20.0
_SURE = 30.0


@dataclass(frozen=True)
class Scaling:
    """From a share to a probability: ``logit p = logit(share) / temperature + bias``.

    Attributes:
        slope: one over the temperature.
        bias: added to the log odds.
    """

    slope: float
    bias: float

    def __call__(self, shares: Numbers, voters: int | Counts) -> Numbers:
        """Probabilities in (0, 1)."""
        logits = self.slope * log_odds(shares, voters) + self.bias
        # Further out a probability cannot be told from 0 or 1.
        found: Numbers = _sigmoid(np.clip(logits, -_SURE, _SURE))
        return found


@dataclass(frozen=True)
class Quality:
    """How far calibrated probabilities can be trusted.

    Attributes:
        patients: that were asked about.
        questions: votes they were fitted on, each right or wrong.
        error: expected calibration error on the half of the patients not fitted on.
        raw_error: the same of the shares as they are.
    """

    patients: int
    questions: int
    error: float
    raw_error: float


def weights_of(cosines: Numbers) -> Numbers:
    """Weights of voters; they add up to 1."""
    strength = np.exp((cosines - np.max(cosines)) / TEMPERATURE)
    return np.asarray(strength / strength.sum())


def shares_of(cosines: Numbers, values: Sequence[frozenset[str]]) -> dict[str, float]:
    """Share of the votes for each value; a voter may speak for several, or none.

    Args:
        cosines: of the voters, nearest first.
        values: what each voter has.
    """
    weights = weights_of(cosines)
    found: dict[str, float] = {}
    for weight, said in zip(weights.tolist(), values, strict=True):
        for value in said:
            found[value] = found.get(value, 0.0) + weight
    return {value: min(share, 1.0) for value, share in sorted(found.items())}


def running_shares(cosines: Numbers, votes: np.ndarray) -> np.ndarray:
    """Shares as `shares_of` has them, of the first voter, the first two, and so on.

    Args:
        cosines: of the voters ``(n,)``, nearest first.
        votes: bool ``(values, n)``, whether a voter speaks for a value.

    Returns:
        float64 ``(values, n)``.
    """
    strength = np.exp((cosines - cosines[0]) / TEMPERATURE)
    shares = np.cumsum(votes * strength, axis=1) / np.cumsum(strength)
    return np.asarray(np.minimum(shares, 1.0))


def log_odds(shares: Numbers, voters: int | Counts) -> Numbers:
    """Log odds of shares, with half a vote added to either side so that they are finite."""
    smoothed = (shares * voters + 0.5) / (np.asarray(voters) + 1.0)
    return np.asarray(np.log(smoothed / (1 - smoothed)))


def fit_scaling(shares: Numbers, voters: int | Counts, truths: Truths) -> Scaling:
    """The temperature and bias of greatest likelihood.

    Args:
        shares: of votes, in [0, 1].
        voters: how many voted, each time or always.
        truths: whether what they voted for is so.
    """
    from scipy import optimize  # noqa: PLC0415 - slow to load, and every search loads this module

    odds, true = log_odds(shares, voters), truths.astype(np.float64)

    def loss(both: np.ndarray) -> tuple[float, np.ndarray]:
        logits = both[0] * odds + both[1]
        rest = _sigmoid(logits) - true
        ridge = _RIDGE * np.array([both[0] - 1, both[1]])
        value = np.mean(np.logaddexp(0, logits) - true * logits) + 0.5 * np.sum(ridge**2) / _RIDGE
        return float(value), np.array([np.mean(rest * odds), np.mean(rest)]) + ridge

    # More votes for something never make it less probable.
    bounds = [(0.0, _STEEPEST), (-_STEEPEST, _STEEPEST)]
    found = optimize.minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds
    )
    return Scaling(float(found.x[0]), float(found.x[1]))


def quality_of(shares: Numbers, voters: int | Counts, truths: Truths, patients: Counts) -> Quality:
    """How good such a fit is: made on one half of the patients, measured on the other, and back.

    Args:
        shares: as of `fit_scaling`.
        voters: as of `fit_scaling`.
        truths: as of `fit_scaling`.
        patients: of each question, a number.
    """
    numbers, of = np.unique(patients, return_inverse=True)
    half = (np.random.default_rng(0).permutation(len(numbers)) % 2 == 0)[of]
    many = np.broadcast_to(np.asarray(voters), shares.shape)
    probabilities = np.empty(len(shares))
    for fitted, asked in ((half, ~half), (~half, half)):
        scaling = fit_scaling(shares[fitted], many[fitted], truths[fitted])
        probabilities[asked] = scaling(shares[asked], many[asked])
    return Quality(
        patients=len(numbers),
        questions=len(shares),
        error=calibration_error(probabilities, truths),
        raw_error=calibration_error(shares, truths),
    )


def calibration_error(probabilities: Numbers, truths: Truths) -> float:
    """Expected calibration error over ten equal bins (Guo et al. 2017, arXiv 1706.04599)."""
    bins = np.minimum((probabilities * BINS).astype(np.intp), BINS - 1)
    gaps = np.bincount(bins, weights=probabilities - truths, minlength=BINS)
    return float(np.abs(gaps).sum() / max(len(truths), 1))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
